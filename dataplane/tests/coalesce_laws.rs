//! Laws of datagrams that leave as one: whoever takes them apart again has what would have left one by one.
//!
//! `etherparse` builds the packets: it shares no code with what is tested.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use dataplane::io::coalesce::{LONGEST, coalesce};
use dataplane::io::segment::cut;
use dataplane::io::{Frame, HEADROOM, MAX_PACKET, TAILROOM};
use dataplane::wire::virtio::{VirtioNetHdr, gso};
use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Header, PacketBuilder};
use proptest::collection::vec;
use proptest::prelude::*;

use common::wire_sums::{checksum_place, make_partial};

/// A packet, and what its sender left to be done.
type Packet = (Vec<u8>, VirtioNetHdr);

/// A conversation that datagrams are of.
#[derive(Clone, Copy, Debug)]
struct Conversation {
    v6: bool,
    /// Of the first datagram.
    identification: u16,
    /// Words of options of IPv4.
    options: usize,
    ends: [[u8; 16]; 2],
}

/// What sets a datagram apart from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oddity {
    None,
    Port,
    HopLimit,
    TrafficClass,
    /// Its identification is not the next one.
    Identification,
    /// Its checksum is finished.
    Finished,
    /// Its partial checksum is wrong.
    Checksum,
    /// Its UDP length leaves out the last byte.
    Length,
    /// It is TCP.
    Protocol,
}

fn datagram(conversation: &Conversation, index: u16, len: usize, oddity: Oddity) -> Packet {
    let is = |other| oddity == other;
    let [source, destination] = conversation.ends;
    let hop_limit = if is(Oddity::HopLimit) { 63 } else { 64 };
    let class = if is(Oddity::TrafficClass) { 3 } else { 0 };
    let ip = if conversation.v6 {
        let header = Ipv6Header { source, destination, hop_limit, ..Default::default() };
        IpHeaders::Ipv6(Ipv6Header { traffic_class: class, ..header }, Default::default())
    } else {
        let [source, destination] = [source, destination].map(|it| *it.first_chunk::<4>().unwrap());
        let mut header = Ipv4Header::new(0, hop_limit, IpNumber::UDP, source, destination).unwrap();
        let jump = if is(Oddity::Identification) { 7 } else { 0 };
        header.identification = conversation.identification.wrapping_add(index + jump);
        header.ecn = class.try_into().unwrap();
        header.options = Ipv4Options::try_from(&vec![1; conversation.options * 4][..]).unwrap();
        IpHeaders::Ipv4(header, Default::default())
    };
    let payload: Vec<u8> =
        (0..len).map(|at| at.wrapping_mul(usize::from(index) + 3).to_le_bytes()[0]).collect();
    let mut packet = Vec::new();
    let start = ip.header_len();
    if is(Oddity::Protocol) {
        PacketBuilder::ip(ip).tcp(4000, 53, 0, 0).write(&mut packet, &payload).unwrap();
        return (packet, VirtioNetHdr::PLAIN);
    }
    let port = if is(Oddity::Port) { 54 } else { 53 };
    PacketBuilder::ip(ip).udp(4000, port).write(&mut packet, &payload).unwrap();
    if is(Oddity::Finished) {
        return (packet, VirtioNetHdr::PLAIN);
    }
    let offload = make_partial(&mut packet);
    let length = start + 5;
    let checksum = checksum_place(&packet) + 1;
    packet[length] = packet[length].wrapping_sub(u8::from(is(Oddity::Length)));
    packet[checksum] ^= u8::from(is(Oddity::Checksum));
    (packet, offload)
}

/// Puts together what can be, and gives what leaves as it would leave.
fn put_together(packets: &[Packet]) -> Vec<(Vec<u8>, Frame)> {
    let room = |packet: &[u8]| HEADROOM + packet.len() + TAILROOM;
    let mut slots = vec![0xee; packets.iter().map(|(packet, _)| room(packet)).sum()];
    let mut next = 0;
    let frames = packets
        .iter()
        .map(|(packet, offload)| {
            let frame = Frame { start: next + HEADROOM, len: packet.len(), offload: *offload };
            next += room(packet);
            frame.packet(&mut slots).unwrap().copy_from_slice(packet);
            frame
        })
        .collect::<Vec<_>>();
    let mut left = Vec::new();
    let mut frames = &frames[..];
    while let [first, behind @ ..] = frames {
        let (whole, joined) = coalesce(&mut slots, *first, behind.iter().copied());
        assert_eq!(whole.start, first.start);
        // What a link may do with the room before it.
        slots[whole.start - 10..whole.start].fill(0xdd);
        left.push((slots.clone(), whole));
        frames = &behind[joined..];
    }
    left
}

/// What a packet is on the wire.
fn taken_apart((mut slots, frame): (Vec<u8>, Frame)) -> Vec<Packet> {
    if frame.offload.segmented().is_none() {
        return vec![(frame.packet(&mut slots).unwrap().to_vec(), frame.offload)];
    }
    let mut segments = Vec::new();
    cut(&mut slots, frame, &mut |slots, segment| {
        segments.push((segment.packet(slots).unwrap().to_vec(), segment.offload));
        Ok(())
    })
    .unwrap();
    segments
}

prop_compose! {
    fn conversation()(
        v6 in any::<bool>(),
        identification in any::<u16>(),
        options in prop_oneof![3 => Just(0_usize), 1 => 0..=10_usize],
        ends in any::<[[u8; 16]; 2]>(),
    ) -> Conversation {
        Conversation { v6, identification, options, ends }
    }
}

/// What is odd about a datagram that differs.
fn odd() -> impl Strategy<Value = Oddity> {
    use Oddity::*;
    let odd = [Port, HopLimit, TrafficClass, Identification, Finished, Checksum, Length, Protocol];
    proptest::sample::select(odd.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_was_put_together_comes_apart_as_it_was(
        conversation in conversation(),
        usual in 1_usize..1500,
        datagrams in vec((prop_oneof![20 => Just(None), 1 => (0_usize..1500).prop_map(Some)], prop_oneof![30 => Just(Oddity::None), 1 => odd()]), 1..150),
    ) {
        let packets: Vec<_> = (0..).zip(datagrams).map(|(index, (len, oddity))| {
            datagram(&conversation, index, len.unwrap_or(usual), oddity)
        }).collect();
        let left = put_together(&packets);
        prop_assert!(left.len() <= packets.len());
        let apart: Vec<_> = left.into_iter().flat_map(taken_apart).collect();
        prop_assert_eq!(apart, packets);
    }

    #[test]
    fn datagrams_that_are_alike_leave_in_as_few_as_can_be(
        conversation in conversation(),
        count in 1_u16..150,
        len in 1_usize..1500,
        last in 1_usize..1500,
    ) {
        let last = last.min(len);
        let packets: Vec<_> = (0..count).map(|index| {
            let len = if index + 1 == count { last } else { len };
            datagram(&conversation, index, len, Oddity::None)
        }).collect();
        let headers = packets[0].0.len() - if count == 1 { last } else { len };
        let most = LONGEST.min((MAX_PACKET - headers) / len);
        let left = put_together(&packets);
        // A shorter one may find room where another had not.
        let whole = usize::from(count).div_ceil(most);
        prop_assert!((whole.saturating_sub(1)..=whole).contains(&left.len()), "{} of {}", left.len(), whole);
        for (_, frame) in left {
            if frame.offload.segmented().is_some() {
                let offload = frame.offload;
                prop_assert_eq!(usize::from(offload.gso_size), len);
                prop_assert_eq!((offload.gso_type, usize::from(offload.hdr_len)), (gso::UDP_L4, headers));
            }
        }
    }

    #[test]
    fn nothing_follows_that_differs(conversation in conversation(), len in 2_usize..1500, odd in odd()) {
        let first = datagram(&conversation, 0, len, Oddity::None);
        let second = datagram(&conversation, 1, len, odd);
        // IPv6 has no identification.
        let is_same = conversation.v6 && odd == Oddity::Identification;
        prop_assert_eq!(put_together(&[first, second]).len(), if is_same { 1 } else { 2 });
    }

    /// A device may take them apart otherwise, or not at all.
    #[test]
    fn nothing_follows_behind_extension_headers(conversation in conversation(), len in 1_usize..1500) {
        let conversation = Conversation { v6: true, ..conversation };
        let packets = [0, 1].map(|index| {
            let (mut packet, offload) = datagram(&conversation, index, len, Oddity::None);
            // Destination options (60) that say nothing: a padding of six bytes.
            packet[6] = 60;
            packet[4..6].copy_from_slice(&u16::try_from(len + 16).unwrap().to_be_bytes());
            packet.splice(40..40, [17, 0, 1, 4, 0, 0, 0, 0]);
            (packet, VirtioNetHdr { csum_start: offload.csum_start + 8, ..offload })
        });
        prop_assert_eq!(put_together(&packets).len(), 2);
    }

    #[test]
    fn nothing_panics_on_headers_that_lie(
        conversation in conversation(),
        len in 0_usize..100,
        lies in vec((0_u16..4, 0_usize..60, any::<u8>()), 0..4),
        offload in proptest::option::weighted(0.3, (any::<u8>(), 0..6_u8, any::<u16>(), 0..100_u16, prop_oneof![Just(6_u16), 0..40_u16])),
    ) {
        let mut packets: Vec<_> = (0..4).map(|index| datagram(&conversation, index, len, Oddity::None)).collect();
        for (index, at, value) in lies {
            let bytes = &mut packets[usize::from(index)].0;
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Some((flags, gso_type, gso_size, csum_start, csum_offset)) = offload {
            packets[0].1 = VirtioNetHdr { flags, gso_type, hdr_len: 0, gso_size, csum_start, csum_offset };
        }
        let packets_in = packets.len();
        prop_assert!((1..=packets_in).contains(&put_together(&packets).len()));
    }
}
