//! Fragments of a datagram, in any order and by any queues, arrive as parts of the datagram that would
//! have arrived whole.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::net::Ipv4Addr;

use common::datagram::{Datagram, Payload, echo, udp};
use common::shards::{Outcome, Shards};
use common::topology::{APP, BASTION, DB, INTERNET, Topology, address};
use dataplane::io::fragment::fragment;
use dataplane::io::{Frame, HEADROOM, SLOT};
use dataplane::packet::{Component, EniId, LinkId, NatGatewayId, Reason};
use dataplane::wire::virtio::VirtioNetHdr;
use etherparse::Ipv4Header;
use proptest::prelude::*;

/// A datagram in fragments of at most `mtu` bytes, which bear `id`.
fn cut(datagram: &Datagram, id: u16, mtu: usize) -> Vec<Vec<u8>> {
    let mut bytes = datagram.bytes();
    patch(&mut bytes, |header| header.identification = id);
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

/// What the receiver makes of fragments (RFC 791 s. 3.2), read by the judge of all packets.
fn put_together(mut pieces: Vec<Vec<u8>>) -> Datagram {
    let header = |bytes: &[u8]| Ipv4Header::from_slice(bytes).unwrap().0;
    let offset = |bytes: &[u8]| usize::from(header(bytes).fragment_offset.value()) * 8;
    pieces.sort_by_key(|piece| offset(piece));
    let mut whole = pieces[0][..20].to_vec();
    for piece in &pieces {
        assert_eq!(header(piece).header_checksum, header(piece).calc_header_checksum());
        assert_eq!(header(piece).identification, header(&whole).identification);
        assert_eq!(offset(piece), whole.len() - 20, "no hole and nothing twice");
        whole.extend_from_slice(&piece[20..]);
    }
    assert!(!header(pieces.last().unwrap()).more_fragments);
    let length = u16::try_from(whole.len()).unwrap();
    patch(&mut whole, |header| {
        header.more_fragments = false;
        header.total_len = length;
    });
    Datagram::read(&whole)
}

fn patch(bytes: &mut [u8], change: impl FnOnce(&mut Ipv4Header)) {
    let (mut header, _) = Ipv4Header::from_slice(bytes).unwrap();
    change(&mut header);
    header.header_checksum = header.calc_header_checksum();
    let mut changed = Vec::new();
    header.write(&mut changed).unwrap();
    bytes[..20].copy_from_slice(&changed);
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
    put_together(pieces.collect())
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_datagram_and_its_answer_pass_a_nat_gateway(
        shards in prop_oneof![Just(1_u16), Just(2), Just(4)],
        length in 1480_usize..8000,
        mtu in 100_usize..1480,
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut net = Shards::new(&Topology::default(), shards);
        let to = (address(INTERNET), 53);
        let sent = udp((address(APP), 4000), to, &bytes(length));
        let there = arrived(send(&mut net, APP, &cut(&sent, 7, mtu), &mut random), INTERNET);
        prop_assert_eq!(data(&there), data(&sent));
        prop_assert_eq!((there.dst, there.ports().1, there.ttl), (to.0.into(), to.1, 63));
        // Another datagram of the same flow, in the middle of which a whole one passes.
        let whole = udp((address(APP), 4000), to, b"whole");
        let whole = net.send(APP, &whole.bytes(), random.usize(..64)).unwrap().unwrap().1;
        prop_assert_eq!(Datagram::read(&whole).ports(), there.ports());

        let answer = udp(to, (there.src, there.ports().0), &bytes(length));
        let back = arrived(send(&mut net, INTERNET, &cut(&answer, 7, mtu), &mut random), APP);
        prop_assert_eq!(data(&back), data(&answer));
        prop_assert_eq!((back.src, back.ports()), (to.0.into(), (53, 4000)));
        // Nothing is remembered of them for long.
        net.advance(31);
        prop_assert!(net.shards.iter().all(|shard| shard.fragments.is_empty()));
        net.check();
    }

    #[test]
    fn where_no_nat_gateway_is_any_protocol_passes(
        shards in prop_oneof![Just(1_u16), Just(2), Just(4)],
        length in 1480_usize..8000,
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut net = Shards::new(&Topology::open(), shards);
        let outward = echo(address(BASTION), address(INTERNET), true, 9, &bytes(length));
        let there = arrived(send(&mut net, BASTION, &cut(&outward, 1, 1480), &mut random), INTERNET);
        prop_assert_eq!(data(&there), data(&outward));
        let back = echo(address(INTERNET), there.src, false, 9, &bytes(length));
        arrived(send(&mut net, INTERNET, &cut(&back, 2, 1480), &mut random), BASTION);
        let inside = echo(address(APP), address(DB), true, 9, &bytes(length));
        let there = arrived(send(&mut net, APP, &cut(&inside, 1, 1480), &mut random), DB);
        prop_assert_eq!(data(&there), data(&inside));
    }
}

#[test]
fn a_nat_gateway_drops_every_fragment_of_icmp() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut net = Shards::new(&Topology::default(), 2);
    let ping = echo(address(APP), address(INTERNET), true, 9, &bytes(8000));
    let outcomes = send(&mut net, APP, &cut(&ping, 1, 1500), &mut random);
    assert_eq!(outcomes.len(), 6);
    let dropped = (Reason::NatFragment, Component::NatGateway(NatGatewayId(0)));
    assert!(outcomes.iter().all(|outcome| *outcome == Err(dropped)), "{outcomes:?}");
    assert_eq!(net.shared.ports.total(), 0);
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
    let mut piece =
        Datagram::new(address(APP), address(DB), Payload::Other { protocol: 6, data: bytes(64) })
            .bytes();
    patch(&mut piece, |header| header.fragment_offset = 1.try_into().unwrap());
    let (reason, _) = net.send(APP, &piece, 0).unwrap().unwrap_err();
    assert_eq!(reason, Reason::Malformed);
    let short = cut(&udp((address(APP), 1), (Ipv4Addr::new(10, 0, 1, 20), 2), &bytes(600)), 1, 500);
    let mut tiny = short[0][..24].to_vec();
    patch(&mut tiny, |header| header.total_len = 24);
    let (reason, _) = net.send(APP, &tiny, 0).unwrap().unwrap_err();
    assert_eq!(reason, Reason::Malformed);
}
