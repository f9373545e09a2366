//! What can a built-in host serve? On the internet the words of `internet.hosts.*.serves`; in a VPC what AWS puts at
//! link-local addresses of every instance.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A service that a host offers without a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// HTTP on TCP port 80: answers any `GET` with the caller's address, as
    /// checkip.amazonaws.com does.
    Checkip,
    /// Sends back what it receives, on TCP and UDP port 7 (RFC 862).
    Echo,
    /// Reads and forgets, on TCP and UDP port 9 (RFC 863).
    Discard,
    /// The public side of a service of AWS: HTTP without TLS on TCP port 443, which answers any `GET` as checkip does.
    Aws,
    /// A VPC's resolver: DNS on UDP and TCP port 53.
    Resolver,
    /// The instance metadata service: HTTP on TCP port 80.
    Metadata,
    /// The Amazon Time Sync Service: NTP on UDP port 123.
    TimeSync,
}

impl Service {
    /// What an internet host can serve, in the order of the words.
    pub const ALL: [Self; 3] = [Self::Checkip, Self::Discard, Self::Echo];

    /// The port that it listens on.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Checkip | Self::Metadata => 80,
            Self::Aws => 443,
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Resolver => 53,
            Self::TimeSync => 123,
        }
    }

    /// Whether it is offered on TCP.
    #[must_use]
    pub const fn over_tcp(self) -> bool {
        !matches!(self, Self::TimeSync)
    }

    /// Whether it is offered on UDP.
    #[must_use]
    pub const fn over_udp(self) -> bool {
        matches!(self, Self::Echo | Self::Discard | Self::Resolver | Self::TimeSync)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Checkip => "checkip",
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Aws => "aws",
            Self::Resolver => "resolver",
            Self::Metadata => "metadata",
            Self::TimeSync => "time sync",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that names no [`Service`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a built-in service: one of checkip, discard, echo")]
pub struct UnknownService(String);

impl FromStr for Service {
    type Err = UnknownService;

    fn from_str(word: &str) -> Result<Self, UnknownService> {
        Self::ALL
            .into_iter()
            .find(|service| service.word() == word)
            .ok_or_else(|| UnknownService(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_no_other_does() {
        for service in Service::ALL {
            assert_eq!(service.to_string().parse(), Ok(service));
        }
        let error = "chargen".parse::<Service>().unwrap_err();
        for service in Service::ALL {
            assert!(error.to_string().contains(&service.to_string()), "{error}");
        }
        for word in ["Echo", "aws", "resolver", "metadata", "time sync"] {
            assert!(word.parse::<Service>().is_err(), "{word}");
        }
    }
}
