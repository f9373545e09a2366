//! `hypertun forward`: a port of the host that leads to a port inside.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use clap::Args;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cli::say::{self, say};
use crate::cli::{Failure, OfInstance, Outcome};
use crate::runtime::forward;
use crate::runtime::signals::{Signals, Woken};

/// Forward a TCP port of the host to a port of an interface or internet host, until Ctrl-C or SIGTERM
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hypertun forward 8080 app:80
  hypertun forward 0.0.0.0:0 partner.example:443")]
pub struct Forward {
    #[command(flatten)]
    instance: OfInstance,
    /// Where to listen on the host; ADDR is 127.0.0.1 unless given, PORT 0 is any that is free.
    #[arg(value_name = "[ADDR:]PORT", value_parser = outside)]
    outside: SocketAddr,
    /// A network interface, or an internet host that serves nothing by itself, and a port there.
    #[arg(value_name = "NAME:PORT", value_parser = inside)]
    inside: Inside,
}

/// A port of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inside {
    member: String,
    port: u16,
}

impl Forward {
    /// Forwards until told to end.
    ///
    /// # Errors
    ///
    /// When nothing can be forwarded, or the instance ends.
    pub fn run(self) -> Outcome {
        let Inside { member, port } = self.inside;
        // On the host still, with the rights that the user has there.
        let listener = forward::listen(self.outside)?;
        let at = listener.local_addr()?;
        let process = self.instance.paths().process().and_then(Pid::from_raw);
        let (namespace, _) = self.instance.join(&member)?;
        let process = process.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        let process = pidfd_open(process, PidfdFlags::empty())?;
        let mut signals = Signals::catch()?;
        let name = member.clone();
        forward::start(listener, namespace, port, move |from, error| {
            say::aside(format_args!("hypertun: {from}: {}\n", refusal(&name, port, &error)));
        })?;
        say!("forwarding {at} to {member}:{port}");
        match signals.wait(Some(process.as_fd()), None)? {
            Woken::Readable => {
                let message = format!("instance {} has ended", self.instance.instance);
                Err(Failure::with_status(1, &message))
            }
            Woken::Signal(_) | Woken::Deadline => Ok(0),
        }
    }
}

fn refusal(member: &str, port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nothing listens on port {port} of {member}"),
        _ => format!("cannot connect to port {port} of {member}: {error}"),
    }
}

fn outside(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse()).map_err(|_| {
        "not a port, such as 8080, or an address and a port, such as 0.0.0.0:8080 or [::1]:8080"
            .to_owned()
    })
}

fn inside(text: &str) -> Result<Inside, String> {
    let told = || "not a name and a port, such as app:80".to_owned();
    let (member, port) = text.rsplit_once(':').ok_or_else(told)?;
    let port = port.parse().ok().filter(|&port: &u16| port > 0).ok_or_else(told)?;
    if member.is_empty() { Err(told()) } else { Ok(Inside { member: member.to_owned(), port }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_the_loopbacks() {
        for (text, address) in [
            ("8080", "127.0.0.1:8080"),
            ("0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(outside(text).map(|it| it.to_string()), Ok(address.to_owned()));
        }
        for text in ["", "x", "65536", "localhost", ":80", "::1:80", "1.2.3:4"] {
            assert!(outside(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_port_comes_after_the_last_colon() {
        let of = |member: &str, port| Ok(Inside { member: member.to_owned(), port });
        assert_eq!(inside("api/0:443"), of("api/0", 443));
        assert_eq!(inside("partner.example:1"), of("partner.example", 1));
        for text in ["app", "app:", ":80", "app:0", "app:65536", "app:http"] {
            assert!(inside(text).is_err(), "{text}");
        }
    }
}
