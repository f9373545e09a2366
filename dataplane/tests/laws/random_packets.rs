//! Whatever bytes come: no panic, one end for each packet, and nothing changes but counters unless
//! the packet is one that its sender may send.

use std::net::{IpAddr, Ipv6Addr};

use dataplane::packet::LinkId;
use dataplane::wire::virtio::VirtioNetHdr;

use crate::common::datagram::{ACK, Datagram, Payload, SYN, echo, tcp, udp};
use crate::common::ipv6;
use crate::common::net::{Emitted, Net, Outcome};
use crate::common::raw::{answered, ends, is_v6};
use crate::common::topology::{
    APP, BASTION_PUBLIC, INTERNET, NAT_PRIVATE, NAT_PUBLIC, OTHER, Topology, address, address6,
    nat64,
};
use crate::common::wire_sums::sum_header;

/// Some 20 s in a debug build.
const PACKETS: usize = 1_000_000;

#[test]
fn a_million_random_packets_change_nothing_but_counters() {
    let mut net = Net::new(&Topology::open());
    let mut random = fastrand::Rng::with_seed(0x6879_7065);
    for _ in 0..PACKETS / 100 {
        let packets: Vec<_> = (0..100).map(|_| random_packet(&mut random)).collect();
        let turn: Vec<_> =
            packets.iter().map(|(link, bytes, offload)| (*link, &bytes[..], *offload)).collect();
        for outcome in net.turn(&turn) {
            let ends = [outcome.dropped.is_some(), outcome.ignored, outcome.held];
            assert_eq!(ends.iter().filter(|end| **end).count(), 1, "{outcome:?}");
            assert_eq!(outcome.emitted, None);
        }
    }
    net.check();
    // Until then some wait for the first fragment of their datagram.
    net.advance(31);
    net.check();
    let counters = &net.shard.counters;
    assert_eq!(counters.received, PACKETS as u64);
    assert_eq!(counters.dropped() + counters.ignored, PACKETS as u64);
    assert_eq!((counters.opened, counters.answers, counters.forwarded), (0, 0, 0));
    assert!(net.shard.flows.is_empty() && net.shared.directory.is_empty());
    assert_eq!(net.shared.ports.total(), 0);
    // The packets were not all refused for one reason: they reach into the path.
    let reasons: std::collections::HashSet<_> = counters.drops.keys().map(|(r, _)| *r).collect();
    assert!(reasons.len() >= 7 && counters.ignored > 0, "{reasons:?}");
}

/// Random bytes; half of them made to look like a packet of some protocol, to an address that exists.
fn random_packet(random: &mut fastrand::Rng) -> (LinkId, Vec<u8>, VirtioNetHdr) {
    let length = random.usize(0..120);
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    match random.u8(0..4) {
        0 => pretend_v4(&mut bytes, random),
        1 => pretend_v6(&mut bytes, random),
        _ => {}
    }
    let link = LinkId(random.u16(0..7));
    (link, bytes, random_offload(random))
}

fn pretend_v4(bytes: &mut [u8], random: &mut fastrand::Rng) {
    let length = bytes.len();
    if length >= 20 {
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        bytes[6..8].fill(0);
        bytes[9] = [1, 6, 17, 47][random.usize(..4)];
        let to = [NAT_PRIVATE, address(INTERNET), NAT_PUBLIC, BASTION_PUBLIC];
        bytes[16..20].copy_from_slice(&to[random.usize(..4)].octets());
        // Nobody's: those who may send have other addresses.
        bytes[12] = 11;
        if bytes[9] == 6 && length >= 40 {
            bytes[32] = 0x50;
        }
        if bytes[9] == 1 && length >= 48 && random.bool() {
            bytes[20] = 3;
            bytes[28] = 0x45;
        }
        sum_header(bytes);
    }
}

fn pretend_v6(bytes: &mut [u8], random: &mut fastrand::Rng) {
    let Some(length) = bytes.len().checked_sub(40) else { return };
    bytes[0] = 0x60;
    bytes[4..6].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    bytes[6] = [0, 6, 17, 43, 44, 47, 51, 58, 59, 60][random.usize(..10)];
    let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let (there, gateway) = (nat64(address(INTERNET)), nat64(NAT_PRIVATE));
    let to = [address6(INTERNET), address6(OTHER), there, gateway, everybody];
    bytes[24..40].copy_from_slice(&to[random.usize(..5)].octets());
    // Nobody's: those who may send have other addresses.
    bytes[8] = 0x11;
    if bytes[6] == 6 && length >= 20 {
        bytes[52] = 0x50;
    }
    if bytes[6] == 58 && length >= 8 {
        bytes[40] = [1, 2, 3, 4, 128, 129, 133, 135, 143][random.usize(..9)];
    }
    // A chain that goes on, and sometimes says how far.
    if matches!(bytes[6], 0 | 43 | 60) && length >= 8 && random.bool() {
        bytes[40] = [6, 17, 44, 58, 60][random.usize(..5)];
        bytes[41] = random.u8(0..2);
    }
}

fn random_offload(random: &mut fastrand::Rng) -> VirtioNetHdr {
    if random.u8(0..8) > 0 {
        return VirtioNetHdr::PLAIN;
    }
    VirtioNetHdr {
        flags: random.u8(..),
        gso_type: random.u8(..),
        hdr_len: random.u16(..),
        gso_size: random.u16(..),
        csum_start: if random.bool() { 20 } else { random.u16(..) },
        csum_offset: if random.bool() { 16 } else { random.u16(..) },
    }
}

/// A packet that belongs here: of either family or across, or one of IPv6 that is drawn.
fn sound(random: &mut fastrand::Rng) -> (LinkId, Vec<u8>) {
    let (src, dst): (IpAddr, IpAddr) = match random.u8(0..8) {
        0..3 => (address(APP).into(), address(INTERNET).into()),
        3..5 => (address6(APP).into(), nat64(address(INTERNET)).into()),
        5 => (address6(APP).into(), address6(INTERNET).into()),
        _ => {
            let (link, drawn) = ipv6::draw(&mut || random.u8(..));
            return (link, drawn.bytes());
        }
    };
    let port = random.u16(1..20);
    let sound = match random.u8(0..4) {
        0 => tcp((src, port), (dst, 80), SYN, &[]),
        1 => tcp((src, port), (dst, 80), ACK, &[1; 30]),
        2 => udp((src, port), (dst, 53), &[2; 30]),
        _ => echo(src, dst, true, port, &[3; 30]),
    };
    (APP, sound.bytes())
}

/// What comes back to who sent `bytes`: an answer, or an error that quotes it.
fn back(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    if random.bool() {
        let mut back = answered(bytes);
        if !is_v6(&back) {
            sum_header(&mut back);
        }
        return back;
    }
    let kinds = if is_v6(bytes) { [1, 2, 3, 4, 5] } else { [3, 4, 5, 11, 12] };
    let error = Payload::Error {
        kind: kinds[random.usize(..5)],
        code: random.u8(..8),
        // In the first or second byte lies the length of what is quoted, if something follows it (RFC 4884).
        word: [random.u8(..40) / 8 * 4, random.u8(..40) / 8 * 4, random.u8(..8), random.u8(..)],
        quoted: bytes[..random.usize(bytes.len() / 2..=bytes.len())].to_vec(),
    };
    let (from, to) = ends(bytes);
    Datagram::new(to, from, error).bytes()
}

/// Packets that belong here, damaged: nothing is promised of them but the laws.
#[test]
fn damaged_packets_keep_the_laws() {
    let mut net = Net::with_limit(&Topology::open(), 200, 3);
    let mut random = fastrand::Rng::with_seed(0x7475_6e21);
    for round in 0..80_000_u32 {
        let (link, mut bytes) = sound(&mut random);
        for _ in 0..random.usize(0..4) {
            // Mostly its headers.
            let headers = random.usize(..bytes.len().min(100));
            let at = if random.u8(0..4) == 0 { random.usize(..bytes.len()) } else { headers };
            bytes[at] =
                if random.bool() { random.u8(..) } else { bytes[at] ^ 1 << random.u8(0..8) };
        }
        if random.u8(0..4) == 0 {
            bytes.truncate(random.usize(bytes.len() / 2..));
        }
        if random.u8(0..8) > 0 && bytes[0] >> 4 == 4 {
            sum_header(&mut bytes);
        }
        let outcome = net.send_offloaded(link, &bytes, random_offload(&mut random));
        // What comes out is answered, or quoted in an error, damaged as it is.
        if let Some(emitted) = outcome.emitted {
            let back = back(&emitted.bytes, &mut random);
            net.send_offloaded(emitted.link, &back, random_offload(&mut random));
        }
        match round % 100 {
            99 => net.advance(random.u32(1..400)),
            50 => net.check(),
            _ => {}
        }
    }
    let counters = &net.shard.counters;
    assert!(counters.forwarded > 10_000 && counters.answers > 100, "{counters:?}");
    net.advance(600_000);
    net.check();
    assert!(net.shard.flows.is_empty());
    assert_eq!((net.shared.ports.total(), net.shared.directory.len()), (0, 0));
}

/// Packets of a batch lie one behind the other: what becomes of one, or the answer to it, is written over no other.
#[test]
fn a_packet_becomes_the_same_whoever_is_in_its_batch() {
    let [mut together, mut alone] = [(); 2].map(|()| Net::new(&Topology::open()));
    let mut random = fastrand::Rng::with_seed(0x6261_7463);
    let (mut longer, mut answers) = (0, 0);
    for round in 0..600 {
        let packets: Vec<_> = (0..random.usize(2..9)).map(|_| sound(&mut random)).collect();
        let plain = |(link, bytes): &(LinkId, Vec<u8>)| (*link, bytes.clone(), VirtioNetHdr::PLAIN);
        let mut turn: Vec<_> = packets.iter().map(plain).collect();
        let out = together.turn(&borrowed(&turn));
        assert_eq!(numberless(out.clone()), each(&mut alone, &turn), "round {round}");
        // What comes back is longer where its family changes.
        let emitted = out.iter().filter_map(|it| it.emitted.as_ref());
        let answer = |it: &Emitted| (it.link, back(&it.bytes, &mut random), VirtioNetHdr::PLAIN);
        turn = emitted.map(answer).collect();
        let back = together.turn(&borrowed(&turn));
        assert_eq!(numberless(back.clone()), each(&mut alone, &turn), "round {round}");
        for (outcome, (_, sent, _)) in back.iter().zip(&turn) {
            let grows = |it: &&Emitted| it.bytes.len() > sent.len();
            longer += usize::from(outcome.emitted.as_ref().filter(grows).is_some());
        }
        answers += out.iter().filter(|it| it.dropped.is_some() && it.emitted.is_some()).count();
    }
    assert!(longer > 100 && answers > 20, "{longer} grew, {answers} answers");
}

type Sent = (LinkId, Vec<u8>, VirtioNetHdr);

fn borrowed(packets: &[Sent]) -> Vec<(LinkId, &[u8], VirtioNetHdr)> {
    packets.iter().map(|(link, bytes, offload)| (*link, &bytes[..], *offload)).collect()
}

/// What becomes of packets of which each is in a batch by itself.
fn each(net: &mut Net, packets: &[Sent]) -> Vec<Outcome> {
    let send = |(link, bytes, offload): &Sent| net.send_offloaded(*link, bytes, *offload);
    numberless(packets.iter().map(send).collect())
}

/// The same without identifications of IPv4: packets of known conversations get theirs before the others of their
/// batch.
fn numberless(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    for emitted in outcomes.iter_mut().filter_map(|it| it.emitted.as_mut()) {
        if !is_v6(&emitted.bytes) {
            emitted.bytes[4..6].fill(0);
            emitted.bytes[10..12].fill(0);
        }
    }
    outcomes
}
