//! What a test and a `peer agent` in a namespace tell each other: packets to send by real sockets,
//! and packets that arrived there. One line of JSON each way.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::up::{Talker, Up};

/// What a test asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Send these at once, each by a socket of its own.
    Send(Vec<Probe>),
    /// Tell what arrived since the last time.
    Seen,
}

/// One packet to send, which asks for an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// `tcp` (a SYN), `udp` (a datagram), `icmp` (an echo request, of ICMPv6 where the way is by IPv6).
    pub protocol: String,
    /// Destination.
    pub to: IpAddr,
    /// Destination port; not for `icmp`.
    pub port: u16,
    /// Source port, or the identifier of an echo.
    pub source_port: u16,
}

/// What became of a probe, as its sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The other end answered, be it by a refusal.
    Answered,
    /// Nothing came in time.
    Silence,
    /// Something else.
    Error(String),
}

/// A request that arrived at `eth0`: a SYN, a datagram to a port that is asked for, an echo request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arrival {
    /// See [`Probe::protocol`].
    pub protocol: String,
    /// Source, as it arrives.
    pub src: IpAddr,
    /// Destination, as it arrives.
    pub dst: IpAddr,
    /// Destination port; 0 for `icmp`.
    pub port: u16,
}

/// A `peer agent` in a namespace.
#[derive(Debug)]
pub struct Agent(Talker);

impl Agent {
    /// Starts one in the namespace of `member`.
    #[must_use]
    pub fn start(up: &Up<'_>, member: &str) -> Self {
        let talker = up.talker(member, &["agent"]);
        assert_eq!(talker.hear(), "ready", "agent in {member}");
        Self(talker)
    }

    /// Has packets sent; to be followed by [`answers`](Self::answers).
    pub fn send(&mut self, probes: Vec<Probe>) {
        self.say(&Request::Send(probes));
    }

    /// What became of them, in their order.
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        self.hear()
    }

    /// What arrived since the last time, in order.
    #[must_use]
    pub fn seen(&mut self) -> Vec<Arrival> {
        self.say(&Request::Seen);
        let mut arrivals: Vec<Arrival> = self.hear();
        arrivals.sort();
        arrivals
    }

    fn say(&mut self, request: &Request) {
        self.0.say(&serde_json::to_string(request).expect("it is data"));
    }

    fn hear<T: serde::de::DeserializeOwned>(&self) -> T {
        let line = self.0.hear();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("agent: {error}: {line}"))
    }
}
