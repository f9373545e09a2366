//! A packet between IPv4 and IPv6 (RFC 7915): there and back it is what it was, but for time to live,
//! DF, identification, options and flow label; a super-packet is translated as its segments are;
//! nothing panics, and what is refused is as it came.

use dataplane::io::fragment::fragment;
use dataplane::io::segment::{complete_checksum, cut};
use dataplane::io::{Frame, HEADROOM};
use dataplane::wire::rfc7915::{Deltas, Ends, Hop, Quoting, Refusal, Translated, to_v4, to_v6};
use dataplane::wire::virtio::{self, VirtioNetHdr, gso};
use etherparse::SlicedPacket;
use etherparse::defrag::IpDefragPool;
use proptest::collection::vec;
use proptest::prelude::*;

use super::both_families::{
    Error, Load, Outside, Read, WIDE, ends4, ends6, in_slot, load, outside, read, v4, v6,
};
use crate::common::raw::transport;
use crate::common::wire_sums::{checksum_place, make_partial, sum_header};

prop_compose! {
    /// What a packet carries, and its ends on both sides.
    fn crossing(longest: usize)(load in load(longest))(
        ends4 in ends4(&load),
        ends6 in ends6(&load),
        outside in outside(),
        load in Just(load),
    ) -> (Load, Outside, Ends<[u8; 4]>, Ends<[u8; 16]>) {
        (load, outside, ends4, ends6)
    }
}

fn bytes_of(slot: &mut [u8], frame: Frame) -> Vec<u8> {
    frame.packet(slot).unwrap().to_vec()
}

fn owned<A: AsRef<[u8]>>(ends: &Ends<A>) -> Ends<Vec<u8>> {
    let (source, destination) = (ends.source.as_ref().to_vec(), ends.destination.as_ref().to_vec());
    Ends { source, destination, ports: ends.ports }
}

const fn later(outside: Outside, hops: u8) -> Outside {
    Outside { limit: outside.limit - hops, ..outside }
}

proptest! {
    /// [`read`] verifies every checksum.
    #[test]
    fn from_v4_there_and_back((load, outside, ends4, ends6) in crossing(3000), options in 0..=10_usize) {
        let (mut slot, frame) = in_slot(&v4(&ends4, outside, options, &load), VirtioNetHdr::PLAIN);
        let there = to_v6::translate(&mut slot, frame, &ends6, &WIDE).unwrap();
        let inside = read(there.frame.packet(&mut slot).unwrap());
        let expected = Read { ends: owned(&ends6), outside: later(outside, 1), load: load.clone() };
        prop_assert_eq!(inside, expected);
        let back = to_v4::translate(&mut slot, there.frame, &ends4, &WIDE).unwrap();
        let expected = Read { ends: owned(&ends4), outside: later(outside, 2), load };
        prop_assert_eq!(read(back.frame.packet(&mut slot).unwrap()), expected);
        prop_assert_eq!((there.fragment, back.fragment), (None, None));
    }

    #[test]
    fn from_v6_there_and_back((load, outside, ends4, ends6) in crossing(3000), options in 0..3_usize) {
        let (mut slot, frame) = in_slot(&v6(&ends6, outside, options, &load), VirtioNetHdr::PLAIN);
        let there = to_v4::translate(&mut slot, frame, &ends4, &WIDE).unwrap();
        let inside = read(there.frame.packet(&mut slot).unwrap());
        let expected = Read { ends: owned(&ends4), outside: later(outside, 1), load: load.clone() };
        prop_assert_eq!(inside, expected);
        let back = to_v6::translate(&mut slot, there.frame, &ends6, &WIDE).unwrap();
        let expected = Read { ends: owned(&ends6), outside: later(outside, 2), load };
        prop_assert_eq!(read(back.frame.packet(&mut slot).unwrap()), expected);
    }

    /// The checksum of a damaged packet is wrong by as much afterwards.
    #[test]
    fn no_damage_is_repaired((load, outside, ends4, ends6) in crossing(100), bit in 0..16_u16) {
        let whole = v4(&ends4, outside, 0, &load);
        let mut damaged = whole.clone();
        let at = checksum_place(&whole);
        let sum: u16 = u16::from_be_bytes([whole[at], whole[at + 1]]) ^ 1 << bit;
        // Zero and all ones say something else in UDP.
        prop_assume!(sum != 0 && sum != 0xffff);
        damaged[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        let translated = |packet: &[u8]| {
            let (mut slot, frame) = in_slot(packet, VirtioNetHdr::PLAIN);
            let there = to_v6::translate(&mut slot, frame, &ends6, &WIDE).unwrap();
            let there_bytes = bytes_of(&mut slot, there.frame);
            let back = to_v4::translate(&mut slot, there.frame, &ends4, &WIDE).unwrap();
            (there_bytes, bytes_of(&mut slot, back.frame))
        };
        let (right, wrong) = (translated(&whole), translated(&damaged));
        prop_assert_ne!(&right.0, &wrong.0);
        prop_assert_eq!(&wrong.1[at..at + 2], sum.to_be_bytes());
        let verdict = std::panic::catch_unwind(|| read(&wrong.0));
        prop_assert!(verdict.is_err());
    }

    /// The way of a known flow is the way of all.
    #[test]
    fn replaying_a_flow_is_translating_each_packet(
        (load, outside, ends4, ends6) in crossing(1500),
        partial in any::<bool>(),
        hops in 0..3_u8,
    ) {
        let hop = Hop { hops, ..WIDE };
        let deltas = Deltas::between(&ends4, &ends6);
        let back = Deltas::between(&ends6, &ends4);
        let is_echo = matches!(load, Load::Echo { .. });
        for (bytes, is_v4) in [(v4(&ends4, outside, 0, &load), true), (v6(&ends6, outside, 0, &load), false)] {
            let mut bytes = bytes;
            let offload = match partial && !is_echo {
                true => make_partial(&mut bytes),
                false => VirtioNetHdr::PLAIN,
            };
            let (mut slot, frame) = in_slot(&bytes, offload);
            let mut replayed = slot.clone();
            let (whole, flow) = if is_v4 {
                (
                    to_v6::translate(&mut slot, frame, &ends6, &hop),
                    to_v6::replay(&mut replayed, frame, &ends6, deltas, hops),
                )
            } else {
                (
                    to_v4::translate(&mut slot, frame, &ends4, &hop),
                    to_v4::replay(&mut replayed, frame, &ends4, back, hops, hop.identification),
                )
            };
            if is_echo {
                prop_assert_eq!(flow, None);
                continue;
            }
            prop_assert_eq!(flow, Some(whole.unwrap().frame));
            prop_assert_eq!(slot, replayed);
        }
    }

    #[test]
    fn a_partial_checksum_stays_one((load, outside, ends4, ends6) in crossing(1500)) {
        prop_assume!(!matches!(load, Load::Echo { .. }));
        let mut bytes = v4(&ends4, outside, 0, &load);
        let offload = make_partial(&mut bytes);
        let (mut slot, frame) = in_slot(&bytes, offload);
        let there = to_v6::translate(&mut slot, frame, &ends6, &WIDE).unwrap().frame;
        let mut inside = bytes_of(&mut slot, there);
        complete_checksum(&mut inside, there.offload).unwrap();
        prop_assert_eq!(read(&inside).load, load.clone());
        let back = to_v4::translate(&mut slot, there, &ends4, &WIDE).unwrap().frame;
        let mut outside = bytes_of(&mut slot, back);
        prop_assert_eq!(back.offload, offload);
        complete_checksum(&mut outside, offload).unwrap();
        prop_assert_eq!(read(&outside).load, load);
    }
}

/// The packets that a super-packet is, with finished checksums.
fn segments(slot: &mut [u8], frame: Frame) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    cut(slot, frame, &mut |slot, segment| {
        let packet = segment.packet(slot).unwrap();
        complete_checksum(packet, segment.offload)?;
        segments.push(packet.to_vec());
        Ok(())
    })
    .unwrap();
    segments
}

/// Identification, DF, and the header's checksum apart, if it has them.
fn without_identification(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        read(&packet);
        packet[4..7].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_super_packet_translated_whole_is_its_segments_translated_one_by_one(
        (load, outside, ends4, ends6) in crossing(60_000),
        gso_size in 500..1401_u16,
        ecn in any::<bool>(),
        from_v4 in any::<bool>(),
    ) {
        let (mut bytes, tcp) = match from_v4 {
            true => (v4(&ends4, outside, 0, &load), gso::TCPV4),
            false => (v6(&ends6, outside, 0, &load), gso::TCPV6),
        };
        let gso_type = match load {
            Load::Tcp { .. } if ecn => tcp | gso::ECN,
            Load::Tcp { .. } => tcp,
            Load::Udp { .. } => gso::UDP_L4,
            Load::Echo { .. } => return Ok(()),
        };
        let offload = VirtioNetHdr { gso_type, gso_size, hdr_len: 99, ..make_partial(&mut bytes) };
        let hop = Hop { mtu4: 1500, mtu6: 1520, lowest_mtu6: 1520, ..WIDE };
        let translate = |slot: &mut [u8], frame| match from_v4 {
            true => to_v6::translate(slot, frame, &ends6, &hop),
            false => to_v4::translate(slot, frame, &ends4, &hop),
        };

        let (mut slot, frame) = in_slot(&bytes, offload);
        let whole = translate(&mut slot, frame).unwrap();
        prop_assert_eq!(whole.fragment, None);
        let cut_last = segments(&mut slot, whole.frame);
        let (mut slot, frame) = in_slot(&bytes, offload);
        let cut_first = segments(&mut slot, frame);
        prop_assert_eq!(cut_first.len(), cut_last.len());
        for (segment, expected) in cut_first.into_iter().zip(cut_last) {
            let (mut slot, frame) = in_slot(&segment, VirtioNetHdr::PLAIN);
            let translated = translate(&mut slot, frame).unwrap();
            let translated = bytes_of(&mut slot, translated.frame);
            prop_assert_eq!(without_identification(translated), without_identification(expected));
        }
    }

    /// Segments that IPv6 has to carry in fragments are those that one by one would have been cut, and the same.
    #[test]
    fn a_super_packet_that_may_be_fragmented_is_cut_as_its_segments_are(
        (load, outside, ends4, ends6) in crossing(20_000),
        gso_size in 1100..1440_u16,
        lowest_mtu6 in 1280..1400_u16,
        identification in any::<u16>(),
    ) {
        let mut bytes = v4(&ends4, outside, 0, &load);
        bytes[4..6].copy_from_slice(&identification.to_be_bytes());
        may_fragment(&mut bytes);
        let gso_type = match load {
            Load::Tcp { .. } => gso::TCPV4,
            Load::Udp { .. } => gso::UDP_L4,
            Load::Echo { .. } => return Ok(()),
        };
        let offload = VirtioNetHdr { gso_type, gso_size, hdr_len: 99, ..make_partial(&mut bytes) };
        let hop = Hop { mtu4: 1500, mtu6: 1520, lowest_mtu6, ..WIDE };

        let (mut slot, frame) = in_slot(&bytes, offload);
        let whole = to_v6::translate(&mut slot, frame, &ends6, &hop).unwrap();
        let mut cut_last = Vec::new();
        for segment in segments(&mut slot, whole.frame) {
            let (mut slot, frame) = in_slot(&segment, VirtioNetHdr::PLAIN);
            cut_last.extend(fragmented(&mut slot, Translated { frame, fragment: whole.fragment }));
        }
        let (mut slot, frame) = in_slot(&bytes, offload);
        let mut cut_first = Vec::new();
        for segment in segments(&mut slot, frame) {
            let (mut slot, frame) = in_slot(&segment, VirtioNetHdr::PLAIN);
            let translated = to_v6::translate(&mut slot, frame, &ends6, &hop).unwrap();
            cut_first.extend(fragmented(&mut slot, translated));
        }
        prop_assert!(cut_last.iter().all(|piece| piece.len() <= lowest_mtu6.into()));
        prop_assert_eq!(cut_last, cut_first);
    }

    /// In whatever order a datagram is fragmented and translated, it arrives.
    #[test]
    fn fragments_of_a_translated_datagram_are_translated_fragments(
        data in vec(any::<u8>(), 1..20_000),
        outside in outside(),
        ends in (ends4(&Load::Udp { data: Vec::new() }), ends6(&Load::Udp { data: Vec::new() })),
        mtu in 576..3000_usize,
        lowest_mtu6 in 1280..1500_u16,
    ) {
        let (ends4, ends6) = ends;
        let load = Load::Udp { data };
        let mut whole = v4(&ends4, outside, 0, &load);
        may_fragment(&mut whole);
        let hop = Hop { lowest_mtu6, mtu4: 1500, ..WIDE };
        let (mut slot, frame) = in_slot(&whole, VirtioNetHdr::PLAIN);
        let first_cut = fragmented(&mut slot, Translated { frame, fragment: u16::try_from(mtu).ok() });
        let mut inside = Vec::new();
        for piece in first_cut {
            let (mut slot, frame) = in_slot(&piece, VirtioNetHdr::PLAIN);
            let translated = to_v6::translate(&mut slot, frame, &ends6, &hop).unwrap();
            inside.extend(fragmented(&mut slot, translated));
        }
        prop_assert!(inside.iter().all(|piece| piece.len() <= lowest_mtu6.into()));
        // And back: what was a fragment in IPv6 is one in IPv4.
        let mut back = Vec::new();
        for piece in &inside {
            let (mut slot, frame) = in_slot(piece, VirtioNetHdr::PLAIN);
            let translated = to_v4::translate(&mut slot, frame, &ends4, &hop).unwrap();
            back.extend(fragmented(&mut slot, translated));
        }
        let (mut slot, frame) = in_slot(&whole, VirtioNetHdr::PLAIN);
        let there = to_v6::translate(&mut slot, frame, &ends6, &WIDE).unwrap();
        let there = bytes_of(&mut slot, there.frame);
        prop_assert_eq!(reassembled(&inside), &there[40..]);
        prop_assert_eq!(reassembled(&back), &whole[20..]);
    }
}

/// Clears DF.
fn may_fragment(packet: &mut [u8]) {
    packet[6] &= !0x40;
    sum_header(packet);
}

fn fragmented(slot: &mut [u8], translated: Translated) -> Vec<Vec<u8>> {
    let mtu = translated.fragment.unwrap_or(u16::MAX).into();
    let mut fragments = Vec::new();
    fragment(slot, translated.frame, mtu, &mut |slot, piece| {
        fragments.push(piece.packet(slot).unwrap().to_vec());
        Ok(())
    })
    .unwrap();
    fragments
}

/// The payload of the datagram that all of these are.
fn reassembled(fragments: &[Vec<u8>]) -> Vec<u8> {
    if let [only] = fragments {
        return only[transport(only).0..].to_vec();
    }
    let mut pool = IpDefragPool::<(), ()>::new();
    let whole = fragments.iter().filter_map(|fragment| {
        pool.process_sliced_packet(&SlicedPacket::from_ip(fragment).unwrap(), (), ()).unwrap()
    });
    whole.last().expect("fragments are missing").payload
}

prop_compose! {
    /// A packet, or an error about it, with some bytes changed or none, perhaps cut short; and where a
    /// translator stands.
    fn anything()(
        (load, outside, ends4, ends6) in crossing(600),
        (is_v4, options, error) in (any::<bool>(), 0..3_usize, any::<Option<(u8, u8, [u8; 4])>>()),
        kind in prop::sample::select(vec![1, 2, 3, 3, 4, 11, 12]),
        changes in prop_oneof![Just(Vec::new()), vec((0..160_usize, any::<u8>()), 1..4)],
        cut in prop_oneof![4 => Just(usize::MAX), 1 => 0..200_usize],
        hop in (0..3_u8, 68..3000_u16, 1280..3000_u16, 1280..3000_u16),
    ) -> (Vec<u8>, Hop) {
        let mut bytes = match is_v4 {
            true => v4(&ends4, outside, options, &load),
            false => v6(&ends6, outside, options, &load),
        };
        if let Some((code, attribute, mut word)) = error {
            word[usize::from(is_v4)] = attribute % 80;
            let (source, destination) = match is_v4 {
                true => (ends4.destination.to_vec(), ends4.source.to_vec()),
                false => (ends6.destination.to_vec(), ends6.source.to_vec()),
            };
            let code = code % 16;
            bytes = Error { source, destination, kind, code, word, content: bytes }.bytes();
        }
        bytes.truncate(cut);
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let (hops, mtu4, mtu6, lowest_mtu6) = hop;
        (bytes, Hop { hops, mtu4, mtu6, lowest_mtu6, identification: 7 })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics_and_what_is_refused_is_as_it_came(
        (bytes, hop) in anything(),
        ends in (any::<([u8; 4], [u8; 4])>(), any::<([u8; 16], [u8; 16])>(), any::<(u16, u16)>()),
        offload in (any::<u8>(), any::<u8>(), any::<[u16; 4]>()),
    ) {
        let ((source, destination), (source6, destination6), ports) = ends;
        let ends4 = Ends { source, destination, ports };
        let ends6 = Ends { source: source6, destination: destination6, ports };
        let (flags, gso_type, [hdr_len, gso_size, csum_start, csum_offset]) = offload;
        let offload = VirtioNetHdr { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset };
        let quoting4 = Quoting { source, destination, quoted: ends4 };
        let quoting6 = Quoting { source: source6, destination: destination6, quoted: ends6 };
        for offload in [VirtioNetHdr::PLAIN, offload] {
            judge(&bytes, offload, |slot, frame| to_v6::translate(slot, frame, &ends6, &hop))?;
            judge(&bytes, offload, |slot, frame| to_v4::translate(slot, frame, &ends4, &hop))?;
            judge(&bytes, offload, |slot, frame| to_v6::translate_error(slot, frame, &quoting6, &hop))?;
            judge(&bytes, offload, |slot, frame| to_v4::translate_error(slot, frame, &quoting4, &hop))?;
            let deltas = Deltas::between(&ends4, &ends6);
            let replayed = |frame: Option<Frame>| {
                let whole = |frame| Translated { frame, fragment: None };
                frame.map(whole).ok_or(Refusal::Malformed)
            };
            judge(&bytes, offload, |slot, frame| {
                replayed(to_v6::replay(slot, frame, &ends6, deltas, hop.hops))
            })?;
            judge(&bytes, offload, |slot, frame| {
                replayed(to_v4::replay(slot, frame, &ends4, deltas, hop.hops, 1))
            })?;
        }
    }
}

fn judge(
    bytes: &[u8],
    offload: VirtioNetHdr,
    translate: impl Fn(&mut [u8], Frame) -> Result<Translated, Refusal>,
) -> Result<(), TestCaseError> {
    let (mut slot, frame) = in_slot(bytes, offload);
    let before = slot.clone();
    let Ok(Translated { frame, fragment }) = translate(&mut slot, frame) else {
        prop_assert!(slot == before, "it was refused, and touched");
        return Ok(());
    };
    prop_assert!((virtio::HEADER..=HEADROOM + 255).contains(&frame.start), "{:?}", frame);
    let packet = frame.packet(&mut slot).unwrap();
    prop_assert!(fragment.is_none_or(|most| packet.len() > most.into()), "{:?}", fragment);
    let told = match packet[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([packet[2], packet[3]])),
        _ => usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40,
    };
    prop_assert_eq!(told, packet.len());
    // Nothing outside the old and the new packet is touched.
    let from = frame.start.min(HEADROOM);
    prop_assert_eq!(&slot[..from], &before[..from]);
    Ok(())
}
