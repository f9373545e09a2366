//! Whatever happens, in whatever order: ports leased are those that somebody holds, a flow has both
//! its keys or neither, each packet ends once, and after a long silence nothing is left.

use std::net::IpAddr;

use dataplane::packet::{Component, LinkId, Reason};
use dataplane::shared::PortRange;
use dataplane::state::Count::{
    BytesOutToDestination, ConnectionAttempts, ConnectionsEstablished, PacketsDropped,
    PacketsInFromDestination, PacketsInFromSource, PacketsOutToDestination, PacketsOutToSource,
    PortErrors,
};
use dataplane::state::Tally;
use dataplane::tables::{AclRule, Target};
use dataplane::wire::virtio::VirtioNetHdr;
use proptest::prelude::*;

use crate::common::datagram::{ACK, Datagram, FIN, Payload, RST, SYN, echo, tcp, udp};
use crate::common::net::{Net, Outcome};
use crate::common::topology::{
    APP, BASTION, BASTION_PUBLIC, DB, IGW, INTERNET, NAT_A, NAT_B, NAT_B_PRIVATE, NAT_B_PUBLIC,
    NAT_PRIVATE, NAT_PUBLIC, OTHER, PRIVATE_A, PUBLIC_A, Topology, address, address6, everything,
    nat64, net,
};

#[derive(Clone, Debug)]
enum Step {
    Send { ways: (u8, u8, Family), protocol: u8, port: u16, flags: u8 },
    Reply { flags: u8 },
    Error { inside: bool },
    Wait { seconds: u32, prompt: bool },
    Change { what: u8 },
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
    /// From IPv6 to where NAT64 has an address of IPv4.
    Across,
}

fn step() -> impl Strategy<Value = Step> {
    let families = [Family::V4, Family::V4, Family::V6, Family::Across];
    let family = prop::sample::select(families.to_vec());
    let flags = prop_oneof![3 => Just(SYN), 2 => Just(ACK), 1 => Just(FIN | ACK), 1 => Just(RST)];
    let flags = flags.boxed();
    prop_oneof![
        8 => ((0_u8..5, 0_u8..7, family), 0_u8..3, 1_u16..4, flags.clone()).prop_map(
            |(ways, protocol, port, flags)| Step::Send { ways, protocol, port, flags }
        ),
        8 => flags.prop_map(|flags| Step::Reply { flags }),
        2 => any::<bool>().prop_map(|inside| Step::Error { inside }),
        3 => (prop_oneof![0_u32..70, Just(121), Just(181), Just(351)], any::<bool>())
            .prop_map(|(seconds, prompt)| Step::Wait { seconds, prompt }),
        1 => (0_u8..10).prop_map(|what| Step::Change { what }),
    ]
}

/// Packets that open flows, or would like to, and keep their family. What goes by a known flow overtakes them, which shows
/// only in what packets of IPv4 that come from such of IPv6 are numbered by.
fn beginning() -> impl Strategy<Value = Step> {
    let ways = prop_oneof![
        2 => (0_u8..5, 0_u8..7, Just(Family::V4)),
        1 => (0_u8..5, 0_u8..5, Just(Family::V6)),
    ];
    prop_oneof![
        16 => (ways, 0_u8..3, 1_u16..4, prop_oneof![4 => Just(SYN), 1 => Just(RST)]).prop_map(
            |(ways, protocol, port, flags)| Step::Send { ways, protocol, port, flags }
        ),
        // What is due ends at once: between packets that come together nothing would.
        1 => (1_u32..400).prop_map(|seconds| Step::Wait { seconds, prompt: true }),
        1 => (0_u8..10).prop_map(|what| Step::Change { what }),
    ]
}

struct Play {
    topology: Topology,
    net: Net,
    /// Who got something last, and what.
    last: Option<(LinkId, Datagram)>,
    /// Of each NAT gateway, as seen from outside.
    seen: [Seen; 2],
    /// Packets since somebody took this.
    sent: Vec<Sent>,
}

/// A packet, and what became of it.
#[derive(Debug)]
struct Sent {
    link: LinkId,
    bytes: Vec<u8>,
    outcome: Outcome,
}

/// What somebody outside sees of a NAT gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    /// Packets and bytes that have arrived from its addresses.
    sent: [u64; 2],
    /// Packets that it dropped, but for unsolicited ones.
    dropped: u64,
    /// Packets that it had no port for.
    port_errors: u64,
}

impl Play {
    fn new(ports: PortRange, limit: usize) -> Self {
        let topology = Topology { ports, ..Topology::open() };
        let net = Net::with_limit(&topology, limit, 5);
        Self { topology, net, last: None, seen: Default::default(), sent: Vec::new() }
    }

    /// What other histories are to agree with.
    fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let flows = &self.net.shard.flows;
        let keys = flows.live().map(|flow| format!("{:?}", flows.keys_of(flow)));
        let keys: std::collections::BTreeSet<String> = keys.collect();
        let gateways = [NAT_A, NAT_B]
            .map(|gateway| (self.net.metrics(gateway).total, self.net.most_active(gateway)));
        (keys, self.net.shard.counters.clone(), gateways)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send { ways: (from, to, family), protocol, port, flags } => {
                let link = [APP, DB, BASTION, INTERNET, OTHER][usize::from(from)];
                let to = LinkId(u16::from(to));
                let dst = match to.index() {
                    0..5 => address(to),
                    5 => NAT_PUBLIC,
                    _ => BASTION_PUBLIC,
                };
                let (src, dst): (IpAddr, IpAddr) = match family {
                    Family::V4 => (address(link).into(), dst.into()),
                    Family::V6 if to.index() < 5 => (address6(link).into(), address6(to).into()),
                    Family::V6 | Family::Across => (address6(link).into(), nat64(dst).into()),
                };
                let datagram = match protocol {
                    0 => tcp((src, port), (dst, 80), flags, &[]),
                    1 => udp((src, port), (dst, 80), &[]),
                    _ => echo(src, dst, true, port, &[]),
                };
                self.send(link, &datagram);
            }
            Step::Reply { flags } => {
                let Some((link, got)) = self.last.clone() else { return };
                let (src, dst) = ((got.dst, got.ports().1), (got.src, got.ports().0));
                let reply = match got.payload {
                    Payload::Tcp { .. } => tcp(src, dst, flags | ACK, &[]),
                    Payload::Udp { .. } => udp(src, dst, &[]),
                    Payload::Echo { id, request, .. } => echo(src.0, dst.0, !request, id, &[]),
                    _ => return,
                };
                self.send(link, &reply);
            }
            Step::Error { inside } => {
                let Some((link, got)) = self.last.clone() else { return };
                let quoted = got.bytes();
                let (own, kind, code) = match got.src {
                    IpAddr::V4(_) => (address(link).into(), 3, 3),
                    IpAddr::V6(_) => (address6(link).into(), 1, 4),
                };
                let error = Payload::Error { kind, code, word: [0; 4], quoted };
                let from = if inside { got.dst } else { own };
                self.send(link, &Datagram::new(from, got.src, error));
            }
            Step::Wait { seconds, prompt: true } => self.net.advance(seconds),
            Step::Wait { seconds, prompt: false } => self.net.jump(seconds),
            Step::Change { what } => {
                let all = net("0.0.0.0/0");
                let across = net("64:ff9b::/96");
                let topology = &mut self.topology;
                match what {
                    0 => topology.groups[0].egress.clear(),
                    1 => topology.acls[PRIVATE_A].ingress.push((
                        AclRule { number: 1, allow: false },
                        everything(),
                        net("203.0.113.80/32"),
                    )),
                    2 => topology.routes[PRIVATE_A].push((all, Target::Blackhole)),
                    3 => topology.routes[PRIVATE_A].push((all, Target::NatGateway(NAT_B))),
                    4 => topology.routes[PUBLIC_A].push((all, Target::NatGateway(NAT_B))),
                    5 => topology.routes[PRIVATE_A].push((all, Target::InternetGateway(IGW))),
                    6 => topology.routes[PUBLIC_A].push((all, Target::NatGateway(NAT_A))),
                    7 => topology.routes[PRIVATE_A].push((across, Target::NatGateway(NAT_B))),
                    8 => topology.routes[PUBLIC_A].push((across, Target::NatGateway(NAT_B))),
                    _ => {
                        let ports = topology.ports;
                        *topology = Topology { epoch: topology.epoch, ..Topology::open() };
                        topology.ports = ports;
                    }
                }
                topology.epoch += 1;
                self.net.tables = topology.tables();
            }
        }
    }

    fn send(&mut self, link: LinkId, datagram: &Datagram) {
        let outcome = self.net.send_datagram(link, datagram);
        self.sent.push(Sent { link, bytes: datagram.bytes(), outcome: outcome.clone() });
        let Outcome { emitted, dropped, .. } = outcome;
        if let Some((reason, Component::NatGateway(id))) = dropped {
            let seen = &mut self.seen[id.index()];
            seen.dropped += u64::from(reason != Reason::NatUnsolicited);
            seen.port_errors += u64::from(reason == Reason::NatPortAllocation);
        }
        if let Some(emitted) = emitted {
            // Reading verifies.
            let got = Datagram::read(&emitted.bytes);
            let sources = [[NAT_PUBLIC, NAT_PRIVATE], [NAT_B_PUBLIC, NAT_B_PRIVATE]];
            // Behind a further gateway it may have become one of IPv6, and what an error quotes too.
            let grown = match got.payload {
                Payload::Error { .. } => 40,
                _ => 20,
            };
            let translated = sources.iter().enumerate().find_map(|(at, own)| {
                let is_own = own.iter().any(|it| *it == got.src);
                let is_across = own.iter().any(|it| nat64(*it) == got.src);
                (is_own || is_across).then_some((at, if is_across { grown } else { 0 }))
            });
            if let Some((at, grown)) = translated.filter(|_| dropped.is_none()) {
                let [packets, bytes] = &mut self.seen[at].sent;
                *packets += 1;
                *bytes += emitted.bytes.len() as u64 - grown;
            }
            self.last = Some((emitted.link, got));
        }
    }

    /// What the gateways have counted is what can be seen of it.
    fn check_metrics(&self) {
        for (gateway, seen) in [NAT_A, NAT_B].into_iter().zip(self.seen) {
            let total = self.net.metrics(gateway).total;
            let counted = Seen {
                sent: [total[PacketsOutToDestination], total[BytesOutToDestination]],
                dropped: total[PacketsDropped],
                port_errors: total[PortErrors],
            };
            if gateway == NAT_B {
                // Nothing else is behind it.
                assert_eq!(counted, seen);
            } else {
                assert_eq!(Seen { sent: seen.sent, ..counted }, seen);
                assert!(counted.sent >= seen.sent, "{counted:?} {seen:?}");
            }
            assert!(total[PacketsInFromSource] >= total[PacketsOutToDestination]);
            assert!(total[PacketsInFromDestination] >= total[PacketsOutToSource]);
            assert!(total[ConnectionAttempts] >= total[ConnectionsEstablished]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn keep_the_laws(
        steps in prop::collection::vec(step(), 1..120),
        last_port in 1001_u16..1006,
        limit in 3_usize..40,
    ) {
        let ports = PortRange { first: 1001, last: last_port, limit: 4 };
        let mut play = Play::new(ports, limit);
        for step in &steps {
            play.step(step);
            play.net.check();
            play.check_metrics();
            prop_assert!(play.net.shard.flows.len() <= limit);
        }
        play.net.advance(600_000);
        play.net.check();
        prop_assert!(play.net.shard.flows.is_empty());
        prop_assert_eq!(play.net.shared.ports.total(), 0);
        prop_assert!(play.net.shared.directory.is_empty());
        for gateway in [NAT_A, NAT_B] {
            prop_assert_eq!(play.net.most_active(gateway), 0);
            prop_assert_eq!(play.net.metrics(gateway).minute, Tally::default());
        }
    }

    /// Packets that begin conversations become the same whether they come together or one by one.
    #[test]
    fn begin_the_same_by_batches(
        steps in prop::collection::vec(beginning(), 1..120),
        last_port in 1001_u16..1004,
        limit in 1_usize..12,
        together in 2_usize..40,
    ) {
        let ports = PortRange { first: 1001, last: last_port, limit: 4 };
        let (mut single, mut batched) = (Play::new(ports, limit), Play::new(ports, limit));
        let catch_up = |single: &mut Play, batched: &mut Play| {
            let sent = std::mem::take(&mut single.sent);
            let packets = sent.iter().map(|it| (it.link, &it.bytes[..], VirtioNetHdr::PLAIN));
            let outcomes = batched.net.turn(&packets.collect::<Vec<_>>());
            for (at, (outcome, it)) in outcomes.iter().zip(&sent).enumerate() {
                prop_assert_eq!(outcome, &it.outcome, "packet {} of {:#?}", at, sent);
            }
            prop_assert_eq!(batched.state(), single.state());
            Ok(())
        };
        for step in steps {
            if matches!(step, Step::Wait { .. } | Step::Change { .. }) {
                catch_up(&mut single, &mut batched)?;
                batched.step(&step);
            }
            single.step(&step);
            if single.sent.len() >= together {
                catch_up(&mut single, &mut batched)?;
            }
        }
        catch_up(&mut single, &mut batched)?;
        batched.net.check();
    }
}
