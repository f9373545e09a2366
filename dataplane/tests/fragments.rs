//! Fragments of a datagram, in any order and by any queues, arrive as parts of the datagram that would
//! have arrived whole.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::net::IpAddr;

use common::datagram::{Datagram, Part, Payload, echo, udp};
use common::shards::{Outcome, Shards};
use common::topology::{APP, BASTION, DB, INTERNET, Topology, address, address6, nat64};
use dataplane::io::fragment::fragment;
use dataplane::io::{Frame, HEADROOM, SLOT};
use dataplane::packet::{Component, EniId, LinkId, NatGatewayId, Reason};
use dataplane::wire::virtio::VirtioNetHdr;
use proptest::prelude::*;

/// A datagram in fragments of at most `mtu` bytes, which bear `id`.
fn cut(datagram: &Datagram, id: u32, mtu: usize) -> Vec<Vec<u8>> {
    let part = Some(Part { id, offset: 0, more: false });
    let bytes = Datagram { part, ..datagram.clone() }.bytes();
    let mut slot = vec![0; SLOT];
    slot[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(&bytes);
    let frame = Frame { start: HEADROOM, len: bytes.len(), offload: VirtioNetHdr::PLAIN };
    let mut pieces = Vec::new();
    fragment(&mut slot, frame, mtu, &mut |slot, piece| {
        pieces.push(piece.packet(slot).unwrap().to_vec());
        Ok(())
    })
    .unwrap();
    assert!(pieces.len() > 1, "it is in fragments");
    pieces
}

/// What the receiver makes of fragments (RFC 791 s. 3.2, RFC 8200 s. 4.5), read by the judge of all packets.
fn put_together(pieces: &[Vec<u8>]) -> Datagram {
    let mut pieces: Vec<_> = pieces.iter().map(|piece| Datagram::read(piece)).collect();
    pieces.sort_by_key(|piece| piece.part.unwrap().offset);
    let (mut whole, mut protocol) = (Vec::new(), 0);
    for piece in &pieces {
        let Payload::Other { protocol: own, data } = &piece.payload else { panic!("{piece:?}") };
        let part = piece.part.unwrap();
        assert_eq!(part.id, pieces[0].part.unwrap().id);
        assert_eq!(part.offset, whole.len(), "no hole and nothing twice");
        whole.extend_from_slice(data);
        protocol = *own;
    }
    assert!(!pieces.last().unwrap().part.unwrap().more);
    let payload = Payload::Other { protocol, data: whole };
    Datagram::read(&Datagram { part: None, payload, ..pieces.swap_remove(0) }.bytes())
}

/// Sends fragments in some order by some queues; what became of them.
fn send(
    net: &mut Shards,
    link: LinkId,
    pieces: &[Vec<u8>],
    random: &mut fastrand::Rng,
) -> Vec<Outcome> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    random.shuffle(&mut order);
    let mut outcomes = Vec::new();
    for at in order {
        outcomes.extend(net.send(link, &pieces[at], random.usize(..64)));
        net.check();
    }
    outcomes.append(&mut net.resumed);
    outcomes
}

/// The datagram that arrived at `exit`.
fn arrived(outcomes: Vec<Outcome>, exit: LinkId) -> Datagram {
    let pieces = outcomes.into_iter().map(|outcome| {
        let (link, bytes) = outcome.unwrap();
        assert_eq!(link, exit);
        bytes
    });
    put_together(&pieces.collect::<Vec<_>>())
}

fn bytes(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

fn data(datagram: &Datagram) -> &[u8] {
    match &datagram.payload {
        Payload::Udp { data, .. } | Payload::Echo { data, .. } => data,
        other => panic!("{other:?}"),
    }
}

/// The client and its server behind a NAT gateway, as the client has their addresses, and whether they are of
/// IPv6.
fn ends(is_v6: bool) -> (IpAddr, IpAddr) {
    match is_v6 {
        true => (address6(APP).into(), nat64(address(INTERNET)).into()),
        false => (address(APP).into(), address(INTERNET).into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_datagram_and_its_answer_pass_a_nat_gateway(
        shards in prop_oneof![Just(1_u16), Just(2), Just(4)],
        length in 1480_usize..8000,
        mtu in 100_usize..1480,
        is_v6 in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut net = Shards::new(&Topology::default(), shards);
        let (own, to) = ends(is_v6);
        let sent = udp((own, 4000), (to, 53), &bytes(length));
        let there = arrived(send(&mut net, APP, &cut(&sent, 7, mtu), &mut random), INTERNET);
        prop_assert_eq!(data(&there), data(&sent));
        prop_assert_eq!((there.dst, there.ports().1, there.ttl), (address(INTERNET).into(), 53, 63));
        // Another datagram of the same flow, in the middle of which a whole one passes.
        let whole = udp((own, 4000), (to, 53), b"whole");
        let whole = net.send(APP, &whole.bytes(), random.usize(..64)).unwrap().unwrap().1;
        prop_assert_eq!(Datagram::read(&whole).ports(), there.ports());

        let answer = udp((there.dst, 53), (there.src, there.ports().0), &bytes(length));
        let back = arrived(send(&mut net, INTERNET, &cut(&answer, 7, mtu), &mut random), APP);
        prop_assert_eq!(data(&back), data(&answer));
        prop_assert_eq!((back.src, back.dst, back.ports()), (to, own, (53, 4000)));
        // Nothing is remembered of them for long.
        net.advance(31);
        prop_assert!(net.shards.iter().all(|shard| shard.fragments.is_empty()));
        net.check();
    }

    #[test]
    fn where_no_nat_gateway_is_any_protocol_passes(
        shards in prop_oneof![Just(1_u16), Just(2), Just(4)],
        length in 1480_usize..8000,
        is_v6 in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut net = Shards::new(&Topology::open(), shards);
        let of = |link| if is_v6 { address6(link).into() } else { IpAddr::from(address(link)) };
        let outward = echo(of(BASTION), of(INTERNET), true, 9, &bytes(length));
        let there = arrived(send(&mut net, BASTION, &cut(&outward, 1, 1480), &mut random), INTERNET);
        prop_assert_eq!(data(&there), data(&outward));
        let back = echo(of(INTERNET), there.src, false, 9, &bytes(length));
        arrived(send(&mut net, INTERNET, &cut(&back, 2, 1480), &mut random), BASTION);
        let inside = echo(of(APP), of(DB), true, 9, &bytes(length));
        let there = arrived(send(&mut net, APP, &cut(&inside, 1, 1480), &mut random), DB);
        prop_assert_eq!(data(&there), data(&inside));
    }
}

#[test]
fn a_nat_gateway_drops_every_fragment_of_icmp() {
    for is_v6 in [false, true] {
        let mut random = fastrand::Rng::with_seed(3);
        let mut net = Shards::new(&Topology::default(), 2);
        let (own, to) = ends(is_v6);
        let ping = echo(own, to, true, 9, &bytes(8000));
        let outcomes = send(&mut net, APP, &cut(&ping, 1, 1500), &mut random);
        assert_eq!(outcomes.len(), 6);
        let dropped = (Reason::NatFragment, Component::NatGateway(NatGatewayId(0)));
        assert!(outcomes.iter().all(|outcome| *outcome == Err(dropped)), "{outcomes:?}");
        assert_eq!(net.shared.ports.total(), 0);
    }
}

#[test]
fn without_its_first_fragment_a_datagram_is_dropped_in_the_end() {
    let mut net = Shards::new(&Topology::default(), 1);
    let sent = udp((address(APP), 4000), (address(INTERNET), 53), &bytes(4000));
    let pieces = cut(&sent, 7, 1500);
    for piece in &pieces[1..] {
        assert!(net.send(APP, piece, 0).is_none());
    }
    net.advance(29);
    assert_eq!(net.shards[0].fragments.held(), pieces.len() - 1);
    net.advance(2);
    net.check();
    let dropped = (Reason::FragmentIncomplete, Component::Eni(EniId(0)));
    assert_eq!(net.shards[0].counters.drops[&dropped], pieces.len() as u64 - 1);
    assert_eq!((net.shards[0].fragments.held(), net.shared.directory.len()), (0, 0));
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let mut net = Shards::new(&Topology::default(), 1);
    let sent = udp((address(APP), 4000), (address(INTERNET), 53), &bytes(1500));
    for id in 0..10_000 {
        let pieces = cut(&sent, id, 1500);
        let _ = net.send(APP, &pieces[1], 0);
        if id % 1000 == 0 {
            net.check();
        }
    }
    assert!(net.shards[0].fragments.held() <= 512 && net.shards[0].fragments.len() <= 4096);
    // The first fragments of the latest find theirs; those of the oldest come alone.
    let first = |id| cut(&sent, id, 1500).swap_remove(0);
    net.send(APP, &first(9_999), 0).unwrap().unwrap();
    assert_eq!(net.resumed.len(), 1);
    net.send(APP, &first(0), 0).unwrap().unwrap();
    assert_eq!(net.resumed.len(), 1);
}

#[test]
fn what_would_overwrite_a_tcp_header_is_refused() {
    let mut net = Shards::new(&Topology::open(), 1);
    let ways: [(IpAddr, IpAddr); 2] =
        [(address(APP).into(), address(DB).into()), (address6(APP).into(), address6(DB).into())];
    for (src, dst) in ways {
        let mut refused = |protocol, length, offset| {
            let payload = Payload::Other { protocol, data: bytes(length) };
            let part = Some(Part { id: 1, offset, more: true });
            let piece = Datagram { part, ..Datagram::new(src, dst, payload) };
            net.send(APP, &piece.bytes(), 0).unwrap().unwrap_err().0
        };
        assert_eq!(refused(6, 64, 8), Reason::Malformed);
        // Nor is half of a header one.
        assert_eq!(refused(17, 4, 0), Reason::Malformed);
        assert_eq!(refused(6, 16, 0), Reason::Malformed);
    }
}
