//! Laws of what is finished in software: partial checksums, super-packets, fragments.
//!
//! `etherparse` builds the packets and judges the results: it shares no code with what is tested.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::io;

use dataplane::io::fragment::fragment;
use dataplane::io::segment::{complete_checksum, cut, longest};
use dataplane::io::{Frame, HEADROOM, SLOT};
use dataplane::wire::virtio::{NEEDS_CSUM, VirtioNetHdr, gso};
use etherparse::defrag::IpDefragPool;
use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice,
};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn completing_a_partial_checksum_is_recomputing_it(super_packet in super_packet(1500)) {
        let SuperPacket { whole, partial, offload } = super_packet;
        let mut packet = partial;
        complete_checksum(&mut packet, offload).unwrap();
        assert_same(&packet, &whole, checksum_at(offload));
    }

    #[test]
    fn segments_carry_the_payload_of_the_whole(super_packet in super_packet(20_000)) {
        let SuperPacket { whole, partial, offload } = super_packet;
        let segments = cut_all(&partial, offload);
        let original = SlicedPacket::from_ip(&whole).unwrap();
        let mut payload = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            judge_checksums(segment);
            let segment = SlicedPacket::from_ip(segment).unwrap();
            judge_network(&original, &segment, index);
            judge_transport(&original, &segment, payload.len(), index + 1 == segments.len());
            payload.extend_from_slice(transport_payload(&segment));
        }
        prop_assert_eq!(&payload[..], transport_payload(&original));
        let size = usize::from(offload.gso_size);
        prop_assert_eq!(segments.len(), payload.len().div_ceil(size).max(1));
        let largest = segments.iter().map(Vec::len).max();
        prop_assert_eq!(longest(&partial, offload), largest);
    }

    #[test]
    fn fragments_reassemble(packet in datagram(20_000), mtu in 68_usize..3000, again in 68_usize..1500) {
        let fragments = fragment_all(&packet, mtu);
        let refragmented: Vec<_> =
            fragments.iter().flat_map(|fragment| fragment_all(fragment, again)).collect();
        judge_fragments(&packet, &fragments, mtu);
        judge_fragments(&packet, &refragmented, again);
    }

    #[test]
    fn fragments_of_ipv6_reassemble(
        payload in vec(any::<u8>(), 1..20_000),
        identification in any::<u32>(),
        mtu in 1280_usize..3000,
        again in 1280_usize..1500,
    ) {
        let whole = with_fragment_header(&payload, identification);
        let fragments = fragment_all(&whole, mtu);
        if let [whole] = &fragments[..] {
            // What fits without the header goes without it.
            prop_assert!(whole.len() <= mtu);
            let sliced = SlicedPacket::from_ip(whole).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("{sliced:?}") };
            prop_assert_eq!((whole[6], udp.payload()), (IpNumber::UDP.0, &payload[..]));
            return Ok(());
        }
        let refragmented = fragments.iter().flat_map(|it| fragment_all(it, again));
        judge_fragments_of_ipv6(&payload, identification, &fragments, mtu);
        judge_fragments_of_ipv6(&payload, identification, &refragmented.collect::<Vec<_>>(), again);
    }

    #[test]
    fn nothing_panics_on_headers_that_lie(
        bytes in vec(any::<u8>(), 0..200),
        version in prop_oneof![Just(0x45_u8), Just(0x46), Just(0x60), any::<u8>()],
        offload in (any::<u8>(), any::<u8>(), any::<u16>(), 0..300_u16, 0..300_u16, 0..40_u16),
        mtu in 0..300_usize,
    ) {
        let (flags, gso_type, hdr_len, gso_size, csum_start, csum_offset) = offload;
        let offload = VirtioNetHdr { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset };
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        let (mut slot, frame) = in_slot(&bytes, offload);
        let mut inside = |slot: &mut [u8], piece: Frame| {
            assert!(piece.start >= frame.start);
            assert!(piece.start + piece.len <= frame.start + frame.len);
            assert!(piece.packet(slot).is_some());
            Ok(())
        };
        let _ = cut(&mut slot, frame, &mut inside);
        let _ = fragment(&mut slot, frame, mtu, &mut inside);
        let _ = fragment(&mut slot, Frame { offload: VirtioNetHdr::PLAIN, ..frame }, mtu, &mut inside);
        let _ = complete_checksum(&mut bytes, offload);
        let _ = longest(&bytes, offload);
    }
}

#[test]
fn options_without_the_copy_flag_are_in_the_first_fragment_only() {
    // Record route (7, not copied), then a stream identifier (136, copied): RFC 791 s. 3.1.
    let options = [7, 7, 4, 0, 0, 0, 0, 1, 136, 4, 0xab, 0xcd];
    let packet = datagram_with(&options, &[5; 3000], 77);
    let fragments = fragment_all(&packet, 1000);
    assert_eq!(options_of(&fragments[0]), options);
    assert!(fragments.len() > 2);
    for later in &fragments[1..] {
        assert_eq!(options_of(later), [136, 4, 0xab, 0xcd]);
    }
}

#[test]
fn what_must_not_be_fragmented_is_refused() {
    let mut packet = datagram_with(&[], &[5; 3000], 77);
    packet[6] |= 0x40;
    let (mut slot, frame) = in_slot(&packet, VirtioNetHdr::PLAIN);
    let error = fragment(&mut slot, frame, 1500, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn an_error_of_the_taker_ends_the_cutting() {
    let packet = datagram_with(&[], &[5; 3000], 77);
    let (mut slot, frame) = in_slot(&packet, VirtioNetHdr::PLAIN);
    let mut taken = 0;
    let error = fragment(&mut slot, frame, 1500, &mut |_, _| {
        taken += 1;
        Err(io::ErrorKind::WouldBlock.into())
    });
    assert_eq!((taken, error.unwrap_err().kind()), (1, io::ErrorKind::WouldBlock));
}

/// A super-packet as its sender would have it with finished checksums, and as a device gets it.
#[derive(Debug)]
struct SuperPacket {
    whole: Vec<u8>,
    partial: Vec<u8>,
    offload: VirtioNetHdr,
}

prop_compose! {
    fn super_packet(longest: usize)(
        payload in vec(any::<u8>(), 0..longest),
        gso_size in prop_oneof![1_u16..40, 500_u16..9000],
        udp in any::<bool>(),
        v6 in any::<bool>(),
        tcp in (any::<u32>(), any::<u16>(), any::<[bool; 5]>(), 0..=10_usize),
        network in (any::<u16>(), any::<bool>(), 0..=10_usize, any::<[u8; 16]>(), any::<[u8; 16]>()),
    ) -> SuperPacket {
        // At most some hundreds of segments.
        let payload = &payload[..payload.len().min(usize::from(gso_size) * 300)];
        let (identification, dont_fragment, ip_words, source, destination) = network;
        let ip = if v6 {
            let header = Ipv6Header { source, destination, hop_limit: 64, ..Default::default() };
            IpHeaders::Ipv6(header, Default::default())
        } else {
            let short = |address: [u8; 16]| *address.first_chunk::<4>().unwrap();
            let mut header =
                Ipv4Header::new(0, 64, IpNumber::TCP, short(source), short(destination)).unwrap();
            header.identification = identification;
            header.dont_fragment = dont_fragment;
            header.options = Ipv4Options::try_from(&vec![1; ip_words * 4][..]).unwrap();
            IpHeaders::Ipv4(header, Default::default())
        };
        let mut whole = Vec::new();
        if udp {
            PacketBuilder::ip(ip).udp(4000, 53).write(&mut whole, payload).unwrap();
        } else {
            let (sequence, window, [fin, psh, cwr, ece, urg], tcp_words) = tcp;
            let mut header = TcpHeader::new(40_000, 443, sequence, window);
            (header.ack, header.fin, header.psh, header.cwr) = (true, fin, psh, cwr);
            (header.ece, header.urg) = (ece, urg);
            header.set_options_raw(&vec![1; tcp_words * 4]).unwrap();
            PacketBuilder::ip(ip).tcp_header(header).write(&mut whole, payload).unwrap();
        }
        as_device_gets(whole, gso_size)
    }
}

fn as_device_gets(whole: Vec<u8>, gso_size: u16) -> SuperPacket {
    let sliced = SlicedPacket::from_ip(&whole).unwrap();
    let (mut sum, start, v6) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            (words(&ip.header().slice()[12..20]), ip.header().slice().len(), false)
        }
        NetSlice::Ipv6(ip) => (words(&ip.header().slice()[8..40]), 40, true),
        NetSlice::Arp(_) => unreachable!("not built"),
    };
    let (protocol, csum_offset, gso_type) = match sliced.transport.as_ref().unwrap() {
        TransportSlice::Tcp(_) => (6, 16, if v6 { gso::TCPV6 } else { gso::TCPV4 }),
        _ => (17, 6, gso::UDP_L4),
    };
    sum += protocol + u32::try_from(whole.len() - start).unwrap();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let csum_start = u16::try_from(start).unwrap();
    let offload =
        VirtioNetHdr { flags: NEEDS_CSUM, gso_type, hdr_len: 0, gso_size, csum_start, csum_offset };
    let mut partial = whole.clone();
    let field = u16::try_from(sum).unwrap().to_be_bytes();
    partial[checksum_at(offload)..][..2].copy_from_slice(&field);
    drop(sliced);
    SuperPacket { whole, partial, offload }
}

fn words(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum()
}

fn checksum_at(offload: VirtioNetHdr) -> usize {
    usize::from(offload.csum_start + offload.csum_offset)
}

prop_compose! {
    fn datagram(longest: usize)(
        payload in vec(any::<u8>(), 1..longest),
        options in vec(prop_oneof![Just(vec![1]), Just(vec![136, 4, 1, 2]), Just(vec![7, 3, 4])], 0..8),
        identification in any::<u16>(),
    ) -> Vec<u8> {
        datagram_with(&options.concat(), &payload, identification)
    }
}

fn datagram_with(options: &[u8], payload: &[u8], identification: u16) -> Vec<u8> {
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 0);
    let mut header = Ipv4Header::new(0, 64, IpNumber::UDP, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
    header.identification = identification;
    header.dont_fragment = false;
    header.options = Ipv4Options::try_from(&padded[..]).unwrap();
    let mut packet = Vec::new();
    let ip = IpHeaders::Ipv4(header, Default::default());
    PacketBuilder::ip(ip).udp(4000, 53).write(&mut packet, payload).unwrap();
    packet
}

/// A whole UDP datagram over IPv6 that is to be fragmented.
fn with_fragment_header(payload: &[u8], identification: u32) -> Vec<u8> {
    let header = Ipv6Header { source: [0x20; 16], destination: [0x30; 16], ..Default::default() };
    let fragment = IpFragOffset::ZERO;
    let extensions = Ipv6Extensions {
        fragment: Some(Ipv6FragmentHeader::new(IpNumber::UDP, fragment, false, identification)),
        ..Default::default()
    };
    let mut packet = Vec::new();
    let ip = IpHeaders::Ipv6(header, extensions);
    PacketBuilder::ip(ip).udp(4000, 53).write(&mut packet, payload).unwrap();
    packet
}

fn judge_fragments_of_ipv6(payload: &[u8], identification: u32, all: &[Vec<u8>], mtu: usize) {
    let mut pool = IpDefragPool::<(), ()>::new();
    let mut whole = None;
    for fragment in all {
        assert!(fragment.len() <= mtu);
        let sliced = SlicedPacket::from_ip(fragment).unwrap();
        let Some(NetSlice::Ipv6(ip)) = &sliced.net else { panic!("{sliced:?}") };
        let (extensions, ..) =
            Ipv6Extensions::from_slice(ip.header().next_header(), &fragment[40..]).unwrap();
        assert_eq!(extensions.fragment.unwrap().identification, identification);
        assert!(whole.is_none(), "complete before the last fragment");
        whole = pool.process_sliced_packet(&sliced, (), ()).unwrap();
    }
    assert_eq!(whole.expect("fragments are missing").payload[8..], *payload);
}

fn in_slot(packet: &[u8], offload: VirtioNetHdr) -> (Vec<u8>, Frame) {
    let mut slot = vec![0; SLOT];
    slot[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    (slot, Frame { start: HEADROOM, len: packet.len(), offload })
}

fn cut_all(packet: &[u8], offload: VirtioNetHdr) -> Vec<Vec<u8>> {
    let (mut slot, frame) = in_slot(packet, offload);
    let mut segments = Vec::new();
    cut(&mut slot, frame, &mut |slot, segment| {
        let packet = segment.packet(slot).unwrap();
        complete_checksum(packet, segment.offload)?;
        segments.push(packet.to_vec());
        // What a link may do with its headroom.
        slot[segment.start - 10..segment.start].fill(0xee);
        Ok(())
    })
    .unwrap();
    segments
}

fn fragment_all(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let (mut slot, frame) = in_slot(packet, VirtioNetHdr::PLAIN);
    let mut fragments = Vec::new();
    fragment(&mut slot, frame, mtu, &mut |slot, piece| {
        fragments.push(piece.packet(slot).unwrap().to_vec());
        slot[piece.start - 10..piece.start].fill(0xee);
        Ok(())
    })
    .unwrap();
    fragments
}

/// Ones' complement has two zeros.
fn assert_same(one: &[u8], other: &[u8], checksum: usize) {
    let zero = |packet: &[u8]| matches!(packet[checksum..][..2], [0, 0] | [0xff, 0xff]);
    if zero(one) && zero(other) {
        assert_eq!(one[..checksum], other[..checksum]);
        assert_eq!(one[checksum + 2..], other[checksum + 2..]);
    } else {
        assert_eq!(one, other);
    }
}

fn judge_checksums(packet: &[u8]) {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let (found, expected) = match (sliced.net.as_ref().unwrap(), sliced.transport.as_ref().unwrap())
    {
        (NetSlice::Ipv4(ip), transport) => {
            let header = ip.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            match transport {
                TransportSlice::Tcp(tcp) => {
                    let (source, destination) = (header.source(), header.destination());
                    (tcp.checksum(), tcp.calc_checksum_ipv4(source, destination).unwrap())
                }
                TransportSlice::Udp(udp) => {
                    let expected =
                        udp.to_header().calc_checksum_ipv4(&header.to_header(), udp.payload());
                    (udp.checksum(), expected.unwrap())
                }
                other => panic!("{other:?}"),
            }
        }
        (NetSlice::Ipv6(ip), transport) => {
            let header = ip.header();
            match transport {
                TransportSlice::Tcp(tcp) => {
                    let expected = tcp.calc_checksum_ipv6(header.source(), header.destination());
                    (tcp.checksum(), expected.unwrap())
                }
                TransportSlice::Udp(udp) => {
                    let expected =
                        udp.to_header().calc_checksum_ipv6(&header.to_header(), udp.payload());
                    (udp.checksum(), expected.unwrap())
                }
                other => panic!("{other:?}"),
            }
        }
        (other, _) => panic!("{other:?}"),
    };
    assert!(found == expected || (found, expected) == (0xffff, 0), "{found:#x} {expected:#x}");
}

fn judge_network(original: &SlicedPacket<'_>, segment: &SlicedPacket<'_>, index: usize) {
    match (original.net.as_ref().unwrap(), segment.net.as_ref().unwrap()) {
        (NetSlice::Ipv4(whole), NetSlice::Ipv4(part)) => {
            let mut expected = whole.header().to_header();
            let index = u16::try_from(index).unwrap();
            expected.identification = expected.identification.wrapping_add(index);
            expected.total_len = part.header().total_len();
            expected.header_checksum = part.header().header_checksum();
            assert_eq!(part.header().to_header(), expected);
        }
        (NetSlice::Ipv6(whole), NetSlice::Ipv6(part)) => {
            let mut expected = whole.header().to_header();
            expected.payload_length = part.header().payload_length();
            assert_eq!(part.header().to_header(), expected);
        }
        other => panic!("{other:?}"),
    }
}

fn judge_transport(
    original: &SlicedPacket<'_>,
    segment: &SlicedPacket<'_>,
    sent: usize,
    last: bool,
) {
    match (original.transport.as_ref().unwrap(), segment.transport.as_ref().unwrap()) {
        (TransportSlice::Tcp(whole), TransportSlice::Tcp(part)) => {
            let mut expected = whole.to_header();
            let sent = u32::try_from(sent).unwrap();
            expected.sequence_number = expected.sequence_number.wrapping_add(sent);
            expected.fin &= last;
            expected.psh &= last;
            expected.cwr &= sent == 0;
            expected.checksum = part.checksum();
            assert_eq!(part.to_header(), expected);
        }
        (TransportSlice::Udp(whole), TransportSlice::Udp(part)) => {
            assert_eq!(part.source_port(), whole.source_port());
            assert_eq!(part.destination_port(), whole.destination_port());
            assert_eq!(usize::from(part.length()), part.payload().len() + 8);
        }
        other => panic!("{other:?}"),
    }
}

fn transport_payload<'a>(packet: &SlicedPacket<'a>) -> &'a [u8] {
    match packet.transport.as_ref().unwrap() {
        TransportSlice::Tcp(tcp) => tcp.payload(),
        TransportSlice::Udp(udp) => udp.payload(),
        other => panic!("{other:?}"),
    }
}

fn judge_fragments(packet: &[u8], fragments: &[Vec<u8>], mtu: usize) {
    let original = Ipv4Header::from_slice(packet).unwrap().1;
    if let [only] = fragments {
        assert_eq!(only, packet);
        return;
    }
    let mut pool = IpDefragPool::<(), ()>::new();
    let mut whole = None;
    for fragment in fragments {
        assert!(fragment.len() <= mtu);
        let sliced = SlicedPacket::from_ip(fragment).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("{sliced:?}") };
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(header.identification, u16::from_be_bytes([packet[4], packet[5]]));
        assert!(whole.is_none(), "complete before the last fragment");
        whole = pool.process_sliced_packet(&sliced, (), ()).unwrap();
    }
    assert_eq!(whole.expect("fragments are missing").payload, original);
}

fn options_of(packet: &[u8]) -> Vec<u8> {
    Ipv4Header::from_slice(packet).unwrap().0.options.as_slice().to_vec()
}
