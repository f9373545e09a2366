//! Which conversations there are, and what their packets look like.
//!
//! Named in the manner of FD.io CSIT: `nat44-h1024-p63-s64512` are 1024 hosts with 63 ports each,
//! so 64512 sessions, through a NAT gateway. `ip4-…` are the same between interfaces of one VPC:
//! security groups at both ends, no translation. `ip6-…` are those in IPv6, and `nat64-…` lead from IPv6 to the
//! internet of IPv4. `hyperplane-…` come from workloads outside the VPC.

use std::fmt;
use std::time::Duration;

use crate::segment::Segment;
use crate::topology;

/// What is sent, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What lies between the ends.
    pub path: Path,
    /// Clients, each an interface with an address and a link of its own.
    pub hosts: u16,
    /// Ports that each of them sends from, a session each.
    pub ports: u32,
    /// How long packets are.
    pub size: Size,
    /// Whose packet comes next.
    pub order: Order,
}

/// What lies between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Security groups, network ACLs, two route tables, a NAT gateway, an internet gateway.
    Nat44,
    /// Security groups at both ends.
    Ip4,
    /// The same in IPv6.
    Ip6,
    /// As [`Path::Nat44`], from IPv6 to IPv4.
    Nat64,
    /// From workloads outside the VPC into it, by a Hyperplane ENI.
    Hyperplane,
}

/// How long packets are, from the IP header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 64 bytes; the smallest frame of Ethernet would hold 46.
    B64,
    /// CSIT's `IMIX_v4_1`: frames of 64, 570 and 1518 bytes, 7 to 4 to 1. Without the 18 bytes of
    /// Ethernet the longer two are packets of 552 and 1500; the shortest are as in [`Size::B64`].
    Imix,
    /// 1500 bytes.
    B1500,
}

/// Whose packet comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each session's once, in random order, and again: the worst for caches.
    Uniform,
    /// The session of rank *k* with a probability proportional to 1/*k*.
    Zipf,
}

impl Profile {
    /// The profiles through a NAT gateway by size: about 1 Ki, 64 Ki, 1 Mi and 4 Mi sessions, 64
    /// bytes, uniform.
    pub const NAT44: [Self; 4] = [
        Self::of(Path::Nat44, 16, 63),
        Self::of(Path::Nat44, 1 << 10, 63),
        Self::of(Path::Nat44, 1 << 14, 63),
        // Links are numbered by 16 bits, and the server needs one.
        Self::of(Path::Nat44, 1 << 15, 126),
    ];

    /// 64 bytes, uniform.
    #[must_use]
    pub const fn of(path: Path, hosts: u16, ports: u32) -> Self {
        Self { path, hosts, ports, size: Size::B64, order: Order::Uniform }
    }

    /// The same conversations without NAT.
    #[must_use]
    pub const fn without_nat(self) -> Self {
        Self { path: Path::Ip4, ..self }
    }

    /// The same conversations into a VPC, by a Hyperplane ENI: at most 64,512, one destination's ports.
    #[must_use]
    pub const fn by_hyperplane(self) -> Self {
        Self { path: Path::Hyperplane, ..self }
    }

    /// The same conversations in IPv6, or from IPv6; none goes by a Hyperplane ENI.
    #[must_use]
    pub const fn in_ipv6(self) -> Self {
        let path = match self.path {
            Path::Nat44 | Path::Nat64 => Path::Nat64,
            Path::Ip4 | Path::Ip6 | Path::Hyperplane => Path::Ip6,
        };
        Self { path, ..self }
    }

    /// The same conversations in IPv4: what the floor knows.
    #[must_use]
    pub const fn in_ipv4(self) -> Self {
        let path = match self.path {
            Path::Nat44 | Path::Nat64 => Path::Nat44,
            Path::Ip4 | Path::Ip6 | Path::Hyperplane => Path::Ip4,
        };
        Self { path, ..self }
    }

    /// Conversations.
    #[must_use]
    pub const fn sessions(&self) -> u32 {
        self.hosts as u32 * self.ports
    }

    /// Its name: sessions, and what is between their ends.
    #[must_use]
    pub fn name(&self) -> String {
        let path = match self.path {
            Path::Nat44 => "nat44",
            Path::Ip4 => "ip4",
            Path::Ip6 => "ip6",
            Path::Nat64 => "nat64",
            Path::Hyperplane => "hyperplane",
        };
        format!("{path}-h{}-p{}-s{}", self.hosts, self.ports, self.sessions())
    }

    /// The link and a segment of session `number`; numbers from [`sessions`](Self::sessions) on are
    /// others of the same hosts.
    ///
    /// A destination, which is a port of the one server, gets less than half of the connections that
    /// a NAT gateway has ports for.
    #[must_use]
    pub fn segment(&self, number: u32, flags: u8) -> (u16, Segment) {
        let hosts = u32::from(self.hosts);
        let (host, port) = (number % hosts, number / hosts);
        let narrow = |n: u32| u16::try_from(n).expect("ports of few million sessions suffice");
        let client = (topology::client(self.path, narrow(host)), narrow(20_000 + port));
        let server = (topology::server(self.path), narrow(1000 + number / 30_000));
        (topology::client_link(narrow(host)), Segment { src: client, dst: server, flags })
    }

    /// At most how many times the floor a packet of known flows is to cost
    /// (through a NAT gateway, 64 bytes, uniform).
    #[must_use]
    pub const fn target(&self) -> Option<f64> {
        if !matches!((self.path, self.size, self.order), (Path::Nat44, Size::B64, Order::Uniform)) {
            return None;
        }
        Some(match self.sessions() {
            0..32_768 => 1.65,
            32_768..524_288 => 1.5,
            524_288..2_097_152 => 1.45,
            _ => 1.4,
        })
    }

    /// Bytes that its sessions take in the ring, the floor's tables and ours, generously.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let sessions = self.sessions() as usize;
        let others = self.size.longest() + 2 * 128;
        Self::flows(sessions) + (sessions * others) as u64
    }

    /// Bytes that so many flows take in our tables, generously.
    pub(crate) const fn flows(count: usize) -> u64 {
        count as u64 * 512
    }
}

impl Size {
    /// Lengths of packets and how often each comes.
    #[must_use]
    pub const fn lengths(self) -> &'static [(u16, u32)] {
        match self {
            Self::B64 => &[(64, 1)],
            Self::Imix => &[(64, 7), (552, 4), (1500, 1)],
            Self::B1500 => &[(1500, 1)],
        }
    }

    /// The longest, in bytes.
    #[must_use]
    pub fn longest(self) -> usize {
        self.lengths().iter().map(|&(length, _)| usize::from(length)).max().unwrap_or_default()
    }

    /// Packets a second that fill a line of 10 Gbit/s, in millions: frames, each with 20 bytes of
    /// preamble and gap.
    #[must_use]
    pub fn line_rate(self) -> f64 {
        let frame = match self {
            Self::B64 => 64.0,
            Self::Imix => mean(&[(64, 7), (570, 4), (1518, 1)]),
            Self::B1500 => 1518.0,
        };
        1e4 / (8.0 * (frame + 20.0))
    }
}

fn mean(lengths: &[(u16, u32)]) -> f64 {
    let (mut bytes, mut packets) = (0, 0);
    for &(length, times) in lengths {
        bytes += u32::from(length) * times;
        packets += times;
    }
    f64::from(bytes) / f64::from(packets)
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::B64 => "64 B",
            Self::Imix => "IMIX",
            Self::B1500 => "1500 B",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
        })
    }
}

/// How far time goes on in a turn.
pub(crate) const TURN: Duration = Duration::from_micros(8);

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn names_are_those_of_csit() {
        let names = Profile::NAT44.map(|profile| profile.name());
        assert_eq!(
            names,
            [
                "nat44-h16-p63-s1008",
                "nat44-h1024-p63-s64512",
                "nat44-h16384-p63-s1032192",
                "nat44-h32768-p126-s4128768",
            ]
        );
        assert_eq!(Profile::NAT44[1].without_nat().name(), "ip4-h1024-p63-s64512");
        assert_eq!(Profile::NAT44[1].in_ipv6().name(), "nat64-h1024-p63-s64512");
        assert_eq!(Profile::NAT44[1].without_nat().in_ipv6().name(), "ip6-h1024-p63-s64512");
        assert_eq!(Profile::NAT44[1].in_ipv6().in_ipv4(), Profile::NAT44[1]);
    }

    #[test]
    fn a_line_of_ten_gigabits_takes_so_many() {
        let rates = [Size::B64, Size::Imix, Size::B1500].map(Size::line_rate);
        assert_eq!(rates.map(|rate| format!("{rate:.2}")), ["14.88", "3.34", "0.81"]);
    }

    #[test]
    fn sessions_differ_and_no_destination_has_too_many() {
        let profile = Profile::NAT44[1];
        let mut seen = HashSet::new();
        let mut towards: HashMap<_, u32> = HashMap::new();
        for number in 0..profile.sessions() {
            let (link, segment) = profile.segment(number, 0);
            assert!(seen.insert((segment.src, segment.dst)), "{segment:?}");
            assert_ne!(link, topology::SERVER_LINK);
            *towards.entry(segment.dst).or_default() += 1;
        }
        assert!(towards.values().all(|&count| count < 64_512 / 2), "{towards:?}");
    }

    #[test]
    fn targets_are_for_what_they_were_set_for() {
        assert_eq!(
            Profile::NAT44.map(|it| it.target()),
            [Some(1.65), Some(1.5), Some(1.45), Some(1.4)]
        );
        assert_eq!(Profile::NAT44[0].without_nat().target(), None);
        assert_eq!(Profile { size: Size::Imix, ..Profile::NAT44[0] }.target(), None);
    }
}
