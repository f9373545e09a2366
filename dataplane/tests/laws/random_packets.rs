//! Whatever bytes come: no panic, one end for each packet, and nothing changes but counters unless
//! the packet is one that its sender may send.

use dataplane::packet::LinkId;
use dataplane::wire::virtio::VirtioNetHdr;

use crate::common::datagram::{ACK, SYN, echo, tcp, udp};
use crate::common::net::Net;
use crate::common::topology::{
    APP, BASTION_PUBLIC, INTERNET, NAT_PRIVATE, NAT_PUBLIC, Topology, address,
};
use crate::wire_sums::sum;

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
            assert!(outcome.dropped.is_some() && outcome.emitted.is_none(), "{outcome:?}");
        }
    }
    net.check();
    let counters = &net.shard.counters;
    assert_eq!(counters.received, PACKETS as u64);
    assert_eq!(counters.dropped(), PACKETS as u64);
    assert_eq!((counters.opened, counters.answers), (0, 0));
    assert!(net.shard.flows.is_empty() && net.shared.directory.is_empty());
    assert_eq!(net.shared.ports.total(), 0);
    // The packets were not all refused for one reason: they reach into the path.
    let reasons: std::collections::HashSet<_> = counters.drops.keys().map(|(r, _)| *r).collect();
    assert!(reasons.len() >= 5, "{reasons:?}");
}

/// Random bytes; half of them made to look like IPv4 of some protocol, to an address that exists.
fn random_packet(random: &mut fastrand::Rng) -> (LinkId, Vec<u8>, VirtioNetHdr) {
    let length = random.usize(0..120);
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    if length >= 20 && random.bool() {
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
        sum_header(&mut bytes);
    }
    let link = LinkId(random.u16(0..7));
    (link, bytes, random_offload(random))
}

/// Gives an IPv4 header without options its checksum.
fn sum_header(bytes: &mut [u8]) {
    if let Some(header) = bytes.get_mut(..20) {
        header[10..12].fill(0);
        let checksum = !sum(header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
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

/// Packets that belong here, damaged: nothing is promised of them but the laws.
#[test]
fn damaged_packets_keep_the_laws() {
    let mut net = Net::with_limit(&Topology::open(), 200, 3);
    let mut random = fastrand::Rng::with_seed(0x7475_6e21);
    let (inside, outside) = (address(APP), address(INTERNET));
    for round in 0..40_000_u32 {
        let port = random.u16(1..20);
        let sound = match random.u8(0..4) {
            0 => tcp((inside, port), (outside, 80), SYN, &[]),
            1 => tcp((inside, port), (outside, 80), ACK, &[1; 30]),
            2 => udp((inside, port), (outside, 53), &[2; 30]),
            _ => echo(inside, outside, true, port, &[3; 30]),
        };
        let mut bytes = sound.bytes();
        for _ in 0..random.usize(0..4) {
            let at = random.usize(..bytes.len());
            bytes[at] =
                if random.bool() { random.u8(..) } else { bytes[at] ^ 1 << random.u8(0..8) };
        }
        if random.u8(0..4) == 0 {
            bytes.truncate(random.usize(bytes.len() / 2..));
        }
        if random.u8(0..8) > 0 {
            sum_header(&mut bytes);
        }
        let outcome = net.send_offloaded(APP, &bytes, random_offload(&mut random));
        // Half of what comes out is answered, or quoted in an error, damaged as it is.
        if let Some(emitted) = outcome.emitted {
            let mut back = emitted.bytes.clone();
            let (src, dst) = (12..16, 16..20);
            if random.bool() {
                let error = crate::common::datagram::Payload::Error {
                    kind: [3, 4, 5, 11, 12][random.usize(..5)],
                    code: random.u8(..),
                    word: [0; 4],
                    quoted: back[..random.usize(back.len() / 2..=back.len())].to_vec(),
                };
                let from: [u8; 4] = back[dst].try_into().unwrap();
                let to: [u8; 4] = back[src].try_into().unwrap();
                let error = crate::common::datagram::Datagram::new(from.into(), to.into(), error);
                back = error.bytes();
            } else {
                back.copy_within(dst, 12);
                back[8] = 64;
                back[16..20].copy_from_slice(&emitted.bytes[src]);
                if back.len() >= 24 {
                    back[20..22].copy_from_slice(&emitted.bytes[22..24]);
                    back[22..24].copy_from_slice(&emitted.bytes[20..22]);
                }
                sum_header(&mut back);
            }
            net.send_offloaded(emitted.link, &back, random_offload(&mut random));
        }
        match round % 100 {
            99 => net.advance(random.u32(1..400)),
            50 => net.check(),
            _ => {}
        }
    }
    assert!(net.shard.counters.forwarded > 10_000, "{:?}", net.shard.counters);
    net.advance(600_000);
    net.check();
    assert!(net.shard.flows.is_empty());
    assert_eq!((net.shared.ports.total(), net.shared.directory.len()), (0, 0));
}
