//! The shard against a NAT of sixty obvious lines: same verdicts, same translations but for the
//! port numbers, which are learnt and must be unique towards each destination; and the same metrics,
//! as somebody outside counts who sees what goes in and comes out.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::collections::HashMap;

use dataplane::packet::{LinkId, Reason};
use dataplane::shared::PortRange;
use dataplane::state::Count::{
    self, BytesInFromDestination, BytesInFromSource, BytesOutToDestination, BytesOutToSource,
    ConnectionAttempts, ConnectionsEstablished, IdleTimeouts, PacketsDropped,
    PacketsInFromDestination, PacketsInFromSource, PacketsOutToDestination, PacketsOutToSource,
    PortErrors,
};
use dataplane::state::{GatewayMetrics, Tally};
use proptest::prelude::*;

use common::datagram::{ACK, Datagram, FIN, Payload, RST, SYN, echo, tcp, udp};
use common::net::Net;
use common::topology::{APP, DB, INTERNET, NAT_A, NAT_PUBLIC, OTHER, Topology, address};

const IDLE: u32 = 350;
const REST: u32 = 60;
const PORTS: u16 = 4;

type End = (LinkId, u16);
/// Destination and protocol: what ports are counted for.
type Remote = (End, Protocol);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

#[derive(Clone, Debug)]
struct Mapping {
    port: u16,
    last: u32,
    /// Who has sent FIN: the inside, the outside.
    fins: [bool; 2],
    closed: bool,
    /// Whether the handshake waits for the answer to a SYN, or for the answer to that.
    waits_for: Option<usize>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    /// Out by the port of the mapping, or by a new one.
    Out(Option<u16>),
    In(End),
    Reset,
    Dropped(Reason),
}

/// The obvious NAT.
#[derive(Default)]
struct Model {
    now: u32,
    mappings: HashMap<(End, Remote), Mapping>,
    /// Ports of connections that were over when others took their place, and until when they rest.
    resting: Vec<(Remote, u16, u32)>,
    /// What the gateway has to count: when, what and how much.
    events: Vec<(u32, Count, u64)>,
    /// When a connection opened, or ended.
    connections: Vec<(u32, i64)>,
}

impl Mapping {
    fn ends(&self) -> u32 {
        self.last + if self.closed { REST } else { IDLE }
    }

    /// Whether that completes the handshake, and whether it closes the connection.
    fn pass(&mut self, now: u32, side: usize, flags: u8) -> [bool; 2] {
        if self.closed {
            return [false; 2];
        }
        let answers = match (self.waits_for, side) {
            (Some(1), 1) => flags & SYN != 0,
            (Some(0), 0) => flags & SYN == 0,
            _ => false,
        };
        if flags & (FIN | RST) != 0 {
            self.waits_for = None;
        }
        let completes = answers && self.waits_for == Some(0);
        if answers {
            self.waits_for = self.waits_for.and_then(|side| side.checked_sub(1));
        }
        self.last = now;
        self.fins[side] |= flags & FIN != 0;
        self.closed = self.fins == [true, true] || flags & RST != 0;
        [completes, self.closed]
    }
}

impl Model {
    fn advance(&mut self, seconds: u32) {
        self.now += seconds;
        let mut idle: Vec<u32> = Vec::new();
        self.mappings.retain(|(_, to), mapping| {
            let lives = mapping.ends() > self.now;
            if !lives && !mapping.closed && to.1 == Protocol::Tcp {
                idle.push(mapping.ends());
            }
            lives
        });
        idle.sort_unstable();
        for at in idle {
            self.events.push((at, IdleTimeouts, 1));
            self.connections.push((at, -1));
        }
        self.resting.retain(|&(_, _, until)| until > self.now);
    }

    /// Ports that nobody else may have towards `remote`.
    fn taken(&self, remote: Remote) -> Vec<u16> {
        let live = self.mappings.iter().filter(|((_, to), _)| *to == remote).map(|(_, m)| m.port);
        let resting =
            self.resting.iter().filter(|(to, ..)| *to == remote).map(|&(_, port, _)| port);
        live.chain(resting).collect()
    }

    fn inside(&mut self, client: End, remote: Remote, flags: u8) -> Verdict {
        let opens = remote.1 != Protocol::Tcp || flags & (SYN | ACK | RST) == SYN;
        let full = self.taken(remote).len() >= usize::from(PORTS);
        let mapping = self.mappings.get_mut(&(client, remote));
        match mapping.filter(|mapping| !(mapping.closed && opens)) {
            Some(mapping) => {
                let (port, passed) = (mapping.port, mapping.pass(self.now, 0, flags));
                self.follow(passed);
                Verdict::Out(Some(port))
            }
            None if !opens && flags & RST != 0 => Verdict::Dropped(Reason::NatIdleTimeout),
            None if !opens => Verdict::Reset,
            None if full => Verdict::Dropped(Reason::NatPortAllocation),
            None => Verdict::Out(None),
        }
    }

    fn map(&mut self, client: End, remote: Remote, port: u16) {
        if remote.1 == Protocol::Tcp {
            self.count(ConnectionAttempts, 1);
            self.connections.push((self.now, 1));
        }
        let (fins, closed, waits_for) = ([false; 2], false, Some(1));
        let mapping = Mapping { port, last: self.now, fins, closed, waits_for };
        if let Some(old) = self.mappings.insert((client, remote), mapping) {
            self.resting.push((remote, old.port, old.ends()));
        }
    }

    fn follow(&mut self, [completes, closes]: [bool; 2]) {
        self.count(ConnectionsEstablished, completes.into());
        if closes {
            self.connections.push((self.now, -1));
        }
    }

    fn count(&mut self, what: Count, how_much: u64) {
        if how_much > 0 {
            self.events.push((self.now, what, how_much));
        }
    }

    /// Counts a packet by what becomes of it.
    fn carry(&mut self, inside: bool, protocol: Protocol, bytes: u64, verdict: &Verdict) {
        let (came, left) = if inside {
            (
                [PacketsInFromSource, BytesInFromSource],
                [PacketsOutToDestination, BytesOutToDestination],
            )
        } else {
            (
                [PacketsInFromDestination, BytesInFromDestination],
                [PacketsOutToSource, BytesOutToSource],
            )
        };
        let passes = matches!(verdict, Verdict::Out(_) | Verdict::In(_));
        for counts in [Some(came), passes.then_some(left)].into_iter().flatten() {
            self.count(counts[0], 1);
            self.count(counts[1], bytes);
        }
        let full = *verdict == Verdict::Dropped(Reason::NatPortAllocation);
        self.count(PortErrors, full.into());
        self.count(ConnectionAttempts, (full && protocol == Protocol::Tcp).into());
        let scanned = *verdict == Verdict::Dropped(Reason::NatUnsolicited);
        self.count(PacketsDropped, (!passes && !scanned).into());
    }

    /// The first second of the minute of six times ten seconds, of which the last may run.
    fn minute(&self) -> u32 {
        (self.now / 10).saturating_sub(5) * 10
    }

    fn since(&self, from: u32, to: u32) -> Tally {
        let mut tally = Tally::default();
        let events = self.events.iter().filter(|(at, ..)| (from..to).contains(at));
        events.for_each(|&(_, what, how_much)| tally[what] += how_much);
        tally
    }

    fn metrics(&self) -> GatewayMetrics {
        let tens = (self.minute()..=self.now).step_by(10).map(|from| self.since(from, from + 10));
        let most = |count: fn(&Tally) -> u64| {
            let most = tens.clone().map(|tally| count(&tally)).max().unwrap_or(0);
            f64::from(u32::try_from(most).unwrap()) / 10.0
        };
        GatewayMetrics {
            total: self.since(0, u32::MAX),
            minute: self.since(self.minute(), u32::MAX),
            peak_bytes: most(Tally::bytes_in),
            peak_packets: most(Tally::packets_in),
        }
    }

    fn most_active(&self) -> i64 {
        let (before, within): (Vec<_>, Vec<_>) =
            self.connections.iter().partition(|(at, _)| *at < self.minute());
        let mut active = before.iter().map(|(_, more)| more).sum::<i64>();
        let mut most = active;
        for (_, more) in within {
            active += more;
            most = most.max(active);
        }
        most
    }

    fn outside(&mut self, remote: Remote, port: u16, flags: u8) -> Verdict {
        let found = self.mappings.iter_mut().find(|((_, to), m)| *to == remote && m.port == port);
        let Some((&(client, _), mapping)) = found else {
            return Verdict::Dropped(Reason::NatUnsolicited);
        };
        let passed = mapping.pass(self.now, 1, flags);
        self.follow(passed);
        Verdict::In(client)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Inside {
        client: End,
        remote: Remote,
        flags: u8,
    },
    /// To a port by its place among the last that were seen; from its remote, or from another.
    Outside {
        place: usize,
        other: Option<Remote>,
        flags: u8,
    },
    Wait(u32),
}

fn remote() -> impl Strategy<Value = Remote> {
    let protocol = prop_oneof![
        3 => Just(Protocol::Tcp), 1 => Just(Protocol::Udp), 1 => Just(Protocol::Icmp)
    ];
    (prop::sample::select(vec![INTERNET, OTHER]), 80_u16..82, protocol).prop_map(
        |(link, port, protocol)| {
            ((link, if protocol == Protocol::Icmp { 0 } else { port }), protocol)
        },
    )
}

/// Only TCP has control bits.
fn of(remote: Remote, flags: u8) -> u8 {
    if remote.1 == Protocol::Tcp { flags } else { 0 }
}

fn step() -> impl Strategy<Value = Step> {
    let client = (prop::sample::select(vec![APP, DB]), 1_u16..4);
    let inside = prop::sample::select(vec![SYN, SYN, SYN, ACK, ACK, FIN | ACK, RST, SYN | ACK]);
    let outside = prop::sample::select(vec![SYN | ACK, ACK, ACK, FIN | ACK, RST | ACK]);
    let time = prop_oneof![0_u32..61, Just(59), Just(60), Just(349), Just(350), Just(351)];
    prop_oneof![
        5 => (client, remote(), inside)
            .prop_map(|(client, remote, flags)| Step::Inside { client, remote, flags: of(remote, flags) }),
        6 => (0_usize..8, prop::option::weighted(0.2, remote()), outside)
            .prop_map(|(place, other, flags)| Step::Outside { place, other, flags }),
        2 => time.prop_map(Step::Wait),
    ]
}

fn packet(
    src: (std::net::Ipv4Addr, u16),
    dst: (std::net::Ipv4Addr, u16),
    protocol: Protocol,
    flags: u8,
    request: bool,
) -> Datagram {
    match protocol {
        Protocol::Tcp => tcp(src, dst, flags, &[]),
        Protocol::Udp => udp(src, dst, &[1, 2, 3]),
        Protocol::Icmp => echo(src.0, dst.0, request, src.1.max(dst.1), &[1, 2, 3]),
    }
}

/// What the shard does, in the model's words.
fn verdict(net: &mut Net, link: LinkId, sent: &Datagram) -> Verdict {
    let outcome = net.send_datagram(link, sent);
    let seen =
        outcome.emitted.as_ref().map(|emitted| (emitted.link, Datagram::read(&emitted.bytes)));
    match (outcome.dropped, seen) {
        (Some((Reason::NatIdleTimeout, _)), Some((at, reset))) => {
            assert_eq!(at, link);
            assert!(matches!(reset.payload, Payload::Tcp { flags, .. } if flags & RST != 0));
            assert_eq!((reset.src, reset.dst), (sent.dst, sent.src));
            Verdict::Reset
        }
        (Some((reason, _)), None) => Verdict::Dropped(reason),
        (None, Some((at, seen))) if matches!(at, INTERNET | OTHER) => {
            assert_eq!((seen.src, seen.dst), (NAT_PUBLIC.into(), address(at).into()));
            assert_eq!(seen.dst, sent.dst);
            assert_eq!(seen.ports().1, sent.ports().1);
            Verdict::Out(Some(seen.ports().0))
        }
        (None, Some((at, seen))) => {
            assert_eq!((seen.src, seen.dst), (sent.src, address(at).into()));
            assert_eq!(seen.ports().0, sent.ports().0);
            Verdict::In((at, seen.ports().1))
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_shard_is_a_nat(steps in prop::collection::vec(step(), 1..250), lazily in any::<bool>()) {
        // Lazily, no port comes back before the wheel has passed it.
        let last = if lazily { 60_000 } else { 2000 + PORTS - 1 };
        let ports = PortRange { first: 2000, last, limit: 55_000 };
        let mut net = Net::new(&Topology { ports, ..Topology::open() });
        let mut model = Model::default();
        let mut seen: Vec<(Remote, u16)> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => {
                    model.advance(seconds);
                    if lazily { net.jump(seconds) } else { net.advance(seconds) }
                }
                Step::Inside { client, remote, flags } => {
                    let expected = model.inside(client, remote, flags);
                    let ((link, port), protocol) = remote;
                    if lazily && expected == Verdict::Dropped(Reason::NatPortAllocation) {
                        continue;
                    }
                    let sent = packet((address(client.0), client.1), (address(link), port), protocol, flags, true);
                    let is = verdict(&mut net, client.0, &sent);
                    model.carry(true, protocol, sent.bytes().len() as u64, &is);
                    match (expected, is) {
                        (Verdict::Out(None), Verdict::Out(Some(port))) => {
                            prop_assert!((ports.first..=ports.last).contains(&port));
                            prop_assert!(!model.taken(remote).contains(&port), "{port} is taken");
                            model.map(client, remote, port);
                            seen.push((remote, port));
                        }
                        (expected, is) => prop_assert_eq!(expected, is),
                    }
                }
                Step::Outside { place, other, flags } => {
                    let Some(&(remote, port)) = seen.iter().rev().nth(place) else { continue };
                    let remote = other.unwrap_or(remote);
                    let flags = of(remote, flags);
                    let ((link, from), protocol) = remote;
                    let expected = model.outside(remote, port, flags);
                    let sent = packet((address(link), from), (NAT_PUBLIC, port), protocol, flags, false);
                    let is = verdict(&mut net, link, &sent);
                    model.carry(false, protocol, sent.bytes().len() as u64, &is);
                    prop_assert_eq!(expected, is);
                }
            }
            net.check();
            if !lazily {
                let live = model.mappings.len() + model.resting.len();
                prop_assert_eq!(net.shared.ports.total(), live as u64, "ports in use");
                prop_assert_eq!(net.metrics(NAT_A), model.metrics());
                prop_assert_eq!(i64::try_from(net.most_active(NAT_A)).unwrap(), model.most_active());
            }
        }
        // What was retired late counts at the time when it should have been.
        net.advance(0);
        prop_assert_eq!(net.metrics(NAT_A), model.metrics());
    }
}
