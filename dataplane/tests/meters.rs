//! What does a NAT gateway count of a packet that does not get through? It has received what reached
//! it, and has sent what also arrived.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::time::Duration;

use dataplane::packet::{LinkId, NatGatewayId, Reason};
use dataplane::state::Count::{
    self, BytesInFromDestination, BytesInFromSource, BytesOutToDestination, BytesOutToSource,
    ConnectionAttempts, PacketsDropped, PacketsInFromDestination, PacketsInFromSource,
    PacketsOutToDestination, PacketsOutToSource, PortErrors,
};
use dataplane::state::Tally;
use dataplane::tables::{AclRule, Target};
use dataplane::time::Period;
use dataplane::wire::virtio::VirtioNetHdr;

use common::datagram::{ACK, Datagram, Part, Payload, RST, SYN, tcp, udp};
use common::net::{Net, Outcome};
use common::topology::{
    APP, Acl, BASTION, BASTION_PUBLIC, DB, INTERNET, NAT_A, NAT_B, NAT_PUBLIC, PUBLIC_A, Topology,
    address, address6, everything, nat64, net,
};

const FROM_SOURCE: [Count; 2] = [PacketsInFromSource, BytesInFromSource];
const TO_DESTINATION: [Count; 2] = [PacketsOutToDestination, BytesOutToDestination];
const FROM_DESTINATION: [Count; 2] = [PacketsInFromDestination, BytesInFromDestination];
const TO_SOURCE: [Count; 2] = [PacketsOutToSource, BytesOutToSource];

/// What each gateway must count: of the packet and its bytes, and once.
type Counts<'a> = &'a [(NatGatewayId, &'a [[Count; 2]], &'a [Count])];

/// Sends a packet. Each gateway must count what is listed, and nothing else.
#[track_caller]
fn sends(
    world: &mut Net,
    (link, datagram): (LinkId, &Datagram),
    drops: Option<Reason>,
    counts: Counts<'_>,
) {
    let (counted, outcome) = counted(world, (link, datagram));
    assert_eq!(outcome.dropped.map(|(reason, _)| reason), drops);
    let mut expected = [Tally::default(); 2];
    for &(gateway, volumes, single) in counts {
        let tally = &mut expected[gateway.index()];
        for &[packets, bytes] in volumes {
            tally[packets] += 1;
            tally[bytes] += datagram.bytes().len() as u64;
        }
        single.iter().for_each(|&count| tally[count] += 1);
    }
    assert_eq!(counted, expected);
}

/// Sends a packet; what both gateways have counted of it, and what became of it.
fn counted(world: &mut Net, (link, datagram): (LinkId, &Datagram)) -> ([Tally; 2], Outcome) {
    let read = |world: &Net| [NAT_A, NAT_B].map(|gateway| world.metrics(gateway).total);
    let before = read(world);
    let outcome = world.send_datagram(link, datagram);
    let after = read(world);
    ([&after[0] - &before[0], &after[1] - &before[1]], outcome)
}

fn request() -> Datagram {
    udp((address(APP), 5000), (address(INTERNET), 53), &[1; 100])
}

fn acl(allow: bool) -> Vec<(AclRule, dataplane::tables::Selector, ipnet::IpNet)> {
    vec![(AclRule { number: 100, allow }, everything(), net("0.0.0.0/0"))]
}

#[test]
fn what_is_dropped_before_a_gateway_counts_nowhere() {
    let mut topology = Topology::open();
    topology.groups[0].egress.clear();
    let from = (APP, &request());
    sends(&mut Net::new(&topology), from, Some(Reason::GroupMismatch), &[]);
    let mut topology = Topology::open();
    topology.acls[PUBLIC_A] = Acl { ingress: acl(false), egress: acl(true) };
    sends(&mut Net::new(&topology), from, Some(Reason::AclDenied), &[]);
}

#[test]
fn what_is_dropped_behind_a_gateway_was_received() {
    let mut topology = Topology::open();
    topology.acls[PUBLIC_A] = Acl { ingress: acl(true), egress: acl(false) };
    let from = (APP, &request());
    let counts: Counts<'_> = &[(NAT_A, &[FROM_SOURCE], &[])];
    sends(&mut Net::new(&topology), from, Some(Reason::AclDenied), counts);
    // A table that takes no flow.
    let mut full = Net::with_limit(&Topology::open(), 0, 1);
    sends(&mut full, from, Some(Reason::FlowTableFull), counts);
}

#[test]
fn what_is_too_long_was_received_from_the_inside_alone() {
    let mut world = Net::new(&Topology::open());
    let through: Counts<'_> = &[(NAT_A, &[FROM_SOURCE, TO_DESTINATION], &[])];
    sends(&mut world, (APP, &request()), None, through);
    let mut long = udp((address(APP), 5000), (address(INTERNET), 53), &[0; 2000]);
    long.df = true;
    let counts: Counts<'_> = &[(NAT_A, &[FROM_SOURCE], &[])];
    sends(&mut world, (APP, &long), Some(Reason::MtuExceeded), counts);
    let got = world.send_datagram(APP, &request()).at(INTERNET);
    let mut long = udp((got.dst, 53), (got.src, got.ports().0), &[0; 2000]);
    long.df = true;
    sends(&mut world, (INTERNET, &long), Some(Reason::MtuExceeded), &[]);
}

#[test]
fn what_an_internet_gateway_cuts_was_received_unless_it_tells() {
    let mut world = Net::new(&Topology::open());
    let syn = tcp((address(APP), 5000), (BASTION_PUBLIC, 80), SYN, &[]);
    let got = world.send_datagram(APP, &syn).at(BASTION);
    let mut long = tcp((got.dst, 80), (got.src, got.ports().0), ACK, &[0; 1461]);
    let dropped: Counts<'_> = &[(NAT_A, &[FROM_DESTINATION], &[PacketsDropped])];
    sends(&mut world, (BASTION, &long), Some(Reason::NatFragment), dropped);
    long.df = true;
    sends(&mut world, (BASTION, &long), Some(Reason::MtuExceeded), &[]);
}

#[test]
fn of_two_gateways_in_a_row_each_counts_what_reaches_it() {
    let mut topology = Topology::open();
    topology.routes[PUBLIC_A].push((net("203.0.113.0/24"), Target::NatGateway(NAT_B)));
    let mut world = Net::new(&topology);
    let got = world.send_datagram(APP, &request()).at(INTERNET);
    let reply = udp((got.dst, 53), (got.src, got.ports().0), &[2; 10]);
    let out: &[_] = &[FROM_SOURCE, TO_DESTINATION];
    let back: &[_] = &[FROM_DESTINATION, TO_SOURCE];
    // At first with walks, then without, then with clocks that have run out.
    for _ in 0..3 {
        for _ in 0..2 {
            sends(&mut world, (APP, &request()), None, &[(NAT_A, out, &[]), (NAT_B, out, &[])]);
            sends(&mut world, (INTERNET, &reply), None, &[(NAT_A, back, &[]), (NAT_B, back, &[])]);
        }
        let ttl = |datagram: &Datagram, ttl| Datagram { ttl, ..datagram.clone() };
        let expired = Some(Reason::TtlExpired);
        let dropped: &[_] = &[PacketsDropped];
        let first: Counts<'_> = &[(NAT_A, &out[..1], dropped)];
        sends(&mut world, (APP, &ttl(&request(), 1)), expired, first);
        let second: Counts<'_> = &[(NAT_A, &out[..1], &[]), (NAT_B, &out[..1], dropped)];
        sends(&mut world, (APP, &ttl(&request(), 2)), expired, second);
        let first: Counts<'_> = &[(NAT_B, &back[..1], dropped)];
        sends(&mut world, (INTERNET, &ttl(&reply, 1)), expired, first);
        let second: Counts<'_> = &[(NAT_B, &back[..1], &[]), (NAT_A, &back[..1], dropped)];
        sends(&mut world, (INTERNET, &ttl(&reply, 2)), expired, second);
        world.jump(31);
    }
    // An error about it comes through both, too.
    let quoted = got.bytes();
    let error = Payload::Error { kind: 3, code: 1, word: [0; 4], quoted };
    let error = Datagram::new(address(INTERNET), got.src, error);
    sends(&mut world, (INTERNET, &error), None, &[(NAT_A, back, &[]), (NAT_B, back, &[])]);
}

#[test]
fn a_gateway_drops_what_it_cannot_carry_or_has_no_port_for() {
    let mut topology = Topology::open();
    topology.ports.limit = 1;
    let mut world = Net::new(&topology);
    let gre = Payload::Other { protocol: 47, data: vec![0; 30] };
    let gre = Datagram::new(address(APP), address(INTERNET), gre);
    let dropped: Counts<'_> = &[(NAT_A, &[FROM_SOURCE], &[PacketsDropped])];
    sends(&mut world, (APP, &gre), Some(Reason::ProtocolRestricted), dropped);

    let to = (address(INTERNET), 80);
    let [first, second] = [APP, DB].map(|link| (link, tcp((address(link), 1), to, SYN, &[])));
    let opened: Counts<'_> = &[(NAT_A, &[FROM_SOURCE, TO_DESTINATION], &[ConnectionAttempts])];
    sends(&mut world, (first.0, &first.1), None, opened);
    // A SYN that is sent again is no other attempt, unless it got no port.
    let again: Counts<'_> = &[(NAT_A, &[FROM_SOURCE, TO_DESTINATION], &[])];
    sends(&mut world, (first.0, &first.1), None, again);
    let refused: &[_] = &[PacketsDropped, PortErrors, ConnectionAttempts];
    for _ in 0..2 {
        let counts: Counts<'_> = &[(NAT_A, &[FROM_SOURCE], refused)];
        sends(&mut world, (second.0, &second.1), Some(Reason::NatPortAllocation), counts);
    }
    let late = tcp((address(DB), 9), to, ACK, &[]);
    sends(&mut world, (DB, &late), Some(Reason::NatIdleTimeout), dropped);
}

#[test]
fn what_is_unsolicited_is_no_drop_unless_told_so() {
    let mut world = Net::new(&Topology::open());
    let scan = udp((address(INTERNET), 1), (NAT_PUBLIC, 2000), &[]);
    let reason = Some(Reason::NatUnsolicited);
    sends(&mut world, (INTERNET, &scan), reason, &[(NAT_A, &[FROM_DESTINATION], &[])]);
    world.tables.choices.nat_counts_unsolicited = true;
    let counts: Counts<'_> = &[(NAT_A, &[FROM_DESTINATION], &[PacketsDropped])];
    sends(&mut world, (INTERNET, &scan), reason, counts);
}

/// Sends a packet that one gateway or two translate between families, at the one that stands at `changes`: bytes
/// are those of the packet as it comes to a gateway, and as it leaves it.
#[track_caller]
fn crosses(world: &mut Net, (link, datagram): (LinkId, &Datagram), changes: usize, ways: Ways<'_>) {
    let (counted, outcome) = counted(world, (link, datagram));
    let Some(left) = outcome.emitted.filter(|_| outcome.dropped.is_none()) else {
        panic!("{:?}", outcome.dropped)
    };
    let (came, left) = (datagram.bytes().len() as u64, left.bytes.len() as u64);
    let mut expected = [Tally::default(); 2];
    for (at, &(gateway, [into, out])) in ways.iter().enumerate() {
        let tally = &mut expected[gateway.index()];
        for ([packets, bytes], is_old) in [(into, at <= changes), (out, at < changes)] {
            tally[packets] += 1;
            tally[bytes] += if is_old { came } else { left };
        }
    }
    assert_eq!(counted, expected);
}

/// The gateways that a packet comes to, each with what it counts.
type Ways<'a> = &'a [(NatGatewayId, [[Count; 2]; 2])];

#[test]
fn what_changes_its_family_is_counted_as_it_comes_and_as_it_leaves() {
    let mut topology = Topology::open();
    for through in [&[NAT_A][..], &[NAT_A, NAT_B]] {
        if through.contains(&NAT_B) {
            topology.routes[PUBLIC_A].push((net("203.0.113.0/24"), Target::NatGateway(NAT_B)));
        }
        let mut world = Net::new(&topology);
        let there: Vec<_> = through.iter().map(|&id| (id, [FROM_SOURCE, TO_DESTINATION])).collect();
        let back: Vec<_> =
            through.iter().rev().map(|&id| (id, [FROM_DESTINATION, TO_SOURCE])).collect();
        let last = back.len() - 1;
        let ends = ((address6(APP), 5000), (nat64(address(INTERNET)), 53));
        let request = |data: &[u8]| udp(ends.0, ends.1, data);
        let got = world.send_datagram(APP, &request(b"first")).at(INTERNET);
        let reply = udp((got.dst, 53), (got.src, got.ports().0), &[2; 100]);
        for _ in 0..3 {
            crosses(&mut world, (APP, &request(&[1; 100])), 0, &there);
            crosses(&mut world, (INTERNET, &reply), last, &back);
        }
        // Headers that one family has and the other has not: of fragments, extension headers; errors, which quote.
        let mut atomic = request(&[1; 100]);
        atomic.part = Some(Part { id: 1, offset: 0, more: false });
        crosses(&mut world, (APP, &atomic), 0, &there);
        let mut options = request(&[1; 100]);
        options.extensions = vec![(60, vec![1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])];
        crosses(&mut world, (APP, &options), 0, &there);
        let mut first = udp((got.dst, 53), (got.src, got.ports().0), &[2; 800]);
        first.part = Some(Part { id: 1, offset: 0, more: true });
        crosses(&mut world, (INTERNET, &first), last, &back);
        let error = Payload::Error { kind: 3, code: 1, word: [0; 4], quoted: got.bytes() };
        let error = Datagram::new(address(INTERNET), got.src, error);
        crosses(&mut world, (INTERNET, &error), last, &back);
    }
}

#[test]
fn what_ends_behind_the_gateway_that_changed_its_family_came_to_the_next_as_that() {
    let mut topology = Topology::open();
    topology.routes[PUBLIC_A].push((net("203.0.113.0/24"), Target::NatGateway(NAT_B)));
    topology.acls[2] = Acl { ingress: acl(true), egress: acl(false) };
    let request = udp((address6(APP), 5000), (nat64(address(INTERNET)), 53), &[1; 100]);
    let (counted, outcome) = counted(&mut Net::new(&topology), (APP, &request));
    assert_eq!(outcome.dropped.map(|(reason, _)| reason), Some(Reason::AclDenied));
    let of = |tally: &Tally| (tally[BytesInFromSource], tally[BytesOutToDestination]);
    assert_eq!(counted.each_ref().map(of), [(148, 0), (128, 0)]);
}

/// The flow of a connection's first packet is committed when the next was judged; all the same the one that opens is
/// counted before an earlier one closes.
#[test]
fn connections_of_one_batch_are_active_at_once_if_they_were() {
    let mut world = Net::new(&Topology::open());
    let segment = |link, flags| {
        (link, tcp((address(link), 5000), (address(INTERNET), 80), flags, &[]).bytes())
    };
    let packets = [segment(APP, SYN), segment(DB, SYN), segment(APP, RST)];
    let packets = packets.each_ref().map(|(link, bytes)| (*link, &bytes[..], VirtioNetHdr::PLAIN));
    let outcomes = world.turn(&packets);
    assert!(outcomes.iter().all(|outcome| outcome.emitted.is_some()), "{outcomes:?}");
    assert_eq!(world.most_active(NAT_A), 2);
}

/// Connections that are active at the gateway two minutes later, if nobody does anything any more, as where workers sleep.
fn active_later(world: &Net) -> u64 {
    let later = Period::of(world.shard.elapsed() + Duration::from_mins(2));
    world.shared.connections.of(NAT_A).most(later)
}

#[test]
fn connections_that_end_are_told_the_others_in_the_same_turn() {
    let opened = || {
        let mut world = Net::new(&Topology::open());
        for port in 5000..5003 {
            let syn = tcp((address(APP), port), (address(INTERNET), 443), SYN, b"");
            world.send_datagram(APP, &syn).at(INTERNET);
        }
        assert_eq!(world.most_active(NAT_A), 3);
        world
    };
    let mut world = opened();
    world.shard.forget_links(&[APP], 0, &world.tables.timers);
    assert_eq!(active_later(&world), 0);

    let mut world = opened();
    world.jump(400);
    assert_eq!(active_later(&world), 3, "nobody has looked yet");
    while !world.shard.expire(&world.tables.timers) {}
    assert_eq!((world.shard.flows.len(), active_later(&world)), (0, 0));
}

#[test]
fn connections_that_end_in_one_turn_were_active_until_each_was_due() {
    let mut world = Net::new(&Topology::open());
    for port in 5000..5003 {
        let syn = tcp((address(APP), port), (address(INTERNET), 443), SYN, b"");
        world.send_datagram(APP, &syn).at(INTERNET);
        world.jump(20);
    }
    // Due at 350, 370 and 390 s.
    world.jump(340);
    while !world.shard.expire(&world.tables.timers) {}
    assert_eq!(world.shard.flows.len(), 0);
    // Of the minutes that end then.
    let most = |seconds| {
        let active = world.shared.connections.of(NAT_A);
        active.most(Period::of(Duration::from_secs(seconds)))
    };
    assert_eq!([400, 415, 435, 455].map(most), [3, 2, 1, 0]);
}

#[test]
fn a_connection_that_is_reset_is_told_the_others_in_the_same_turn() {
    let mut world = Net::new(&Topology::open());
    for (flags, active) in [(SYN, 1), (RST, 0)] {
        let segment = tcp((address(APP), 5000), (address(INTERNET), 443), flags, b"");
        world.send_datagram(APP, &segment).at(INTERNET);
        assert_eq!(active_later(&world), active);
    }
}
