//! Clauses of RFC 7915 s. 5, each by the packets that it is about.

use super::{translate, translate_error};
use crate::wire::chain::Broken;
use crate::wire::rfc7915::test_packets::*;
use crate::wire::rfc7915::{Ends, Hop, Owed, Quoting, Refusal};

fn made_by(packet: &[u8], hop: Hop) -> Made {
    run(packet, |slot, frame| translate(slot, frame, &ENDS4, &hop))
}

fn made(packet: &[u8]) -> Made {
    made_by(packet, HOP)
}

/// What the packet becomes, where it is not cut.
fn whole(packet: &[u8]) -> Vec<u8> {
    let (packet, fragment) = made(packet).unwrap();
    assert_eq!(fragment, None);
    packet
}

/// What a whole packet with `data` becomes, without DF.
fn plain(data: &[u8]) -> Vec<u8> {
    udp4(data, |header| {
        header.time_to_live = 63;
        header.dont_fragment = false;
        header.identification = 0x4321;
    })
}

fn error_made(packet: &[u8], hop: &Hop) -> Made {
    // An error from B to A about what A had sent to B.
    let quoted = Ends { source: B4, destination: A4, ports: (4000, 2000) };
    let ends = Quoting { source: A4, destination: B4, quoted };
    run(packet, |slot, frame| translate_error(slot, frame, &ends, hop))
}

/// A fragment header.
fn fragment(next_header: u8, offset: u16, more: bool, identification: u32) -> Vec<u8> {
    let offset = (offset << 3 | u16::from(more)).to_be_bytes();
    [&[next_header, 0], &offset[..], &identification.to_be_bytes()].concat()
}

#[test]
fn s_5_1_each_field_of_the_header() {
    let packet = udp6(b"data", |header| {
        header.traffic_class = 46 << 2 | 1;
        header.flow_label = 0x12345.try_into().unwrap();
        header.hop_limit = 9;
    });
    let expected = udp4(b"data", |header| {
        header.dscp = 46.try_into().unwrap();
        header.ecn = 1.try_into().unwrap();
        header.time_to_live = 8;
        header.dont_fragment = false;
        header.identification = 0x4321;
    });
    assert_eq!(whole(&packet), expected);
}

#[test]
fn s_5_1_hops_end() {
    let refusal = made(&udp6(b"data", |header| header.hop_limit = 1)).unwrap_err();
    assert_eq!(refusal, Refusal::TimeExceeded);
    assert_eq!(refusal.icmpv6(), Some(Owed { kind: 3, code: 0, word: 0 }));
}

#[test]
fn s_5_df_is_set_above_1260_bytes() {
    assert_eq!(whole(&udp6(&[1; 1232], |_| {})), plain(&[1; 1232]));
    let expected = udp4(&[1; 1233], |header| {
        header.time_to_live = 63;
        header.identification = 0x4321;
    });
    assert_eq!(whole(&udp6(&[1; 1233], |_| {})), expected);
}

#[test]
fn s_5_1_extension_headers_are_skipped() {
    let packet = udp6(b"data", |_| {});
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let hop_by_hop = [43, 0, 1, 4, 0, 0, 0, 0];
    let routing = [17, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(whole(&with_headers(&packet, 60, &options)), plain(b"data"));
    let both = [hop_by_hop, routing].concat();
    assert_eq!(whole(&with_headers(&packet, 0, &both)), plain(b"data"));
}

#[test]
fn s_5_1_an_authentication_header_is_a_payload() {
    let header = [17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let packet = with_headers(&udp6(b"data", |_| {}), 51, &header);
    let expected = carrying(&plain(b""), 51, &packet[40..]);
    assert_eq!(whole(&packet), expected);
}

#[test]
fn s_5_1_a_routing_header_that_is_not_used_up_is_refused() {
    let routing = [17, 0, 0, 1, 0, 0, 0, 0];
    let refusal = made(&with_headers(&udp6(b"data", |_| {}), 43, &routing)).unwrap_err();
    assert_eq!(refusal, Refusal::RoutingHeader { pointer: 43 });
    assert_eq!(refusal.icmpv6(), Some(Owed { kind: 4, code: 0, word: 43 }));
    let routing = [58, 0, 0, 1, 0, 0, 0, 0];
    let error = icmp(&udp6(b"", |_| {}), [1, 4, 0, 0, 0, 0, 0, 0], &udp6(b"", |_| {}));
    assert_eq!(error_made(&with_headers(&error, 43, &routing), &HOP), Err(refusal));
}

#[test]
fn s_5_1_no_packet_comes_from_an_illegal_source() {
    let first = |first: [u8; 2], last| {
        let mut address = [0; 16];
        address[..2].copy_from_slice(&first);
        address[15] = last;
        address
    };
    for source in [first([0, 0], 0), first([0, 0], 1), first([0xff, 2], 1), first([0xfe, 0x80], 1)]
    {
        let refusal = made(&udp6(b"data", |header| header.source = source)).unwrap_err();
        assert_eq!((refusal, refusal.icmpv6()), (Refusal::IllegalSource, None));
    }
}

#[test]
fn s_5_1_1_fragments_keep_offset_and_low_half_of_their_identification() {
    let packet = udp6(&[1; 16], |_| {});
    let packet = whole(&with_headers(&packet, 44, &fragment(17, 185, true, 0x1234_abcd)));
    assert_eq!(packet.len(), 20 + 24);
    assert_eq!(packet[4..10], [0xab, 0xcd, 0x20, 185, 63, 17]);
    assert_eq!(packet[20..], udp6(&[1; 16], |_| {})[40..]);
}

#[test]
fn s_5_1_1_a_first_fragment_has_its_ports_and_checksum_translated() {
    let packet = with_headers(&udp6(&[1; 16], |_| {}), 44, &fragment(17, 0, true, 9));
    assert_eq!(whole(&packet)[20..], plain(&[1; 16])[20..]);
}

#[test]
fn s_5_1_1_an_atomic_fragment_brings_its_identification() {
    let packet = with_headers(&udp6(b"data", |_| {}), 44, &fragment(17, 0, false, 0x1234_0408));
    let expected = udp4(b"data", |header| {
        header.time_to_live = 63;
        header.dont_fragment = false;
        header.identification = 0x0408;
    });
    assert_eq!(whole(&packet), expected);
}

#[test]
fn s_5_1_1_df_is_cleared_for_fragments_of_any_length() {
    let packet = with_headers(&udp6(&[1; 1300], |_| {}), 44, &fragment(17, 0, true, 9));
    assert_eq!(whole(&packet)[6..8], [0x20, 0]);
}

#[test]
fn s_5_1_1_an_extension_header_inside_a_fragment_is_refused() {
    for (number, refusal) in [
        (0, Refusal::Chain(Broken::HopByHopInside)),
        (43, Refusal::FragmentedExtension),
        (51, Refusal::FragmentedExtension),
        (60, Refusal::FragmentedExtension),
        (135, Refusal::FragmentedExtension),
    ] {
        let headers = [&fragment(number, 0, true, 9)[..], &[17, 0, 0, 0, 0, 0, 0, 0]].concat();
        let packet = with_headers(&udp6(b"data", |_| {}), 44, &headers);
        assert_eq!(made(&packet), Err(refusal), "{number}");
        assert_eq!(refusal.icmpv6(), Some(Owed { kind: 1, code: 1, word: 0 }));
    }
    let esp = with_headers(&udp6(b"data", |_| {}), 44, &fragment(50, 0, true, 9));
    assert_eq!(whole(&esp)[9], 50);
}

#[test]
fn s_1_4_a_packet_above_the_mtu_is_refused() {
    let narrow = Hop { mtu4: 1400, ..HOP };
    let refusal = made_by(&udp6(&[1; 1373], |_| {}), narrow).unwrap_err();
    assert_eq!(refusal, Refusal::TooBig { mtu: 1420 });
    assert_eq!(refusal.icmpv6(), Some(Owed { kind: 2, code: 0, word: 1420 }));
    assert!(made_by(&udp6(&[1; 1372], |_| {}), narrow).is_ok());
    let packet = with_headers(&udp6(&[1; 1373], |_| {}), 44, &fragment(17, 0, true, 9));
    assert_eq!(made_by(&packet, narrow), Err(Refusal::TooBig { mtu: 1420 }));
}

#[test]
fn s_5_what_ipv6_carries_anywhere_is_fragmented_below() {
    let narrow = Hop { mtu4: 1000, ..HOP };
    let (packet, most) = made_by(&udp6(&[1; 1232], |_| {}), narrow).unwrap();
    assert_eq!((packet, most), (plain(&[1; 1232]), Some(1000)));
    let refusal = made_by(&udp6(&[1; 1233], |_| {}), narrow);
    assert_eq!(refusal, Err(Refusal::TooBig { mtu: 1280 }));
}

#[test]
fn s_5_1_and_5_5_other_protocols_go_as_they_are() {
    for protocol in [33, 50, 59, 132, 136, 255] {
        let packet = carrying(&udp6(b"", |_| {}), protocol, b"anything");
        assert_eq!(whole(&packet), carrying(&plain(b""), protocol, b"anything"), "{protocol}");
    }
}

#[test]
fn what_ipv4_has_another_meaning_of_is_dropped() {
    for protocol in [1, 2] {
        let refusal = made(&carrying(&udp6(b"", |_| {}), protocol, b"anything")).unwrap_err();
        assert_eq!((refusal, refusal.icmpv6()), (Refusal::Untranslatable, None));
    }
}

#[test]
fn s_5_2_echoes() {
    for (kind, expected) in [(128, 8), (129, 0)] {
        let packet = icmp(&udp6(b"", |_| {}), [kind, 0, 0, 0, 7, 0xd0, 0, 9], b"payload");
        let id = if kind == 128 { 2000_u16 } else { 4000 }.to_be_bytes();
        let start = [expected, 0, 0, 0, id[0], id[1], 0, 9];
        assert_eq!(whole(&packet), icmp(&plain(b""), start, b"payload"));
    }
}

#[test]
fn s_5_2_neighbours_and_listeners_are_dropped() {
    for kind in (0..=255).filter(|kind| ![128, 129].contains(kind)) {
        let packet = icmp(&udp6(b"", |_| {}), [kind, 0, 0, 0, 0, 0, 0, 0], &[0; 16]);
        let refusal = made(&packet).unwrap_err();
        assert_eq!((refusal, refusal.icmpv6()), (Refusal::Untranslatable, None), "type {kind}");
    }
}

#[test]
fn s_1_2_fragments_of_icmp_are_dropped() {
    let echo = icmp(&udp6(b"", |_| {}), [128, 0, 0, 0, 0, 1, 0, 1], &[0; 16]);
    for (offset, more) in [(0, true), (8, true), (8, false)] {
        let packet = with_headers(&echo, 44, &fragment(58, offset, more, 9));
        assert_eq!(made(&packet), Err(Refusal::FragmentedIcmp));
    }
    let atomic = with_headers(&echo, 44, &fragment(58, 0, false, 0x4321));
    let identified = |at: usize| whole(&atomic)[at];
    assert_eq!((identified(4), identified(5), identified(20)), (0x43, 0x21, 8));
}

#[test]
fn rfc_8200_s_8_1_no_udp_comes_without_checksum() {
    let mut packet = udp6(b"data", |_| {});
    packet[46..48].fill(0);
    let refusal = made(&packet).unwrap_err();
    assert_eq!((refusal, refusal.icmpv6()), (Refusal::ZeroChecksum, None));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let packet = udp6(b"data", |_| {});
    let changed = |at: usize, value: u8| {
        let mut packet = packet.clone();
        packet[at] = value;
        made(&packet)
    };
    assert_eq!(changed(0, 0x45), Err(Refusal::Malformed), "another version");
    assert_eq!(changed(5, 200), Err(Refusal::Malformed), "longer than it is");
    assert_eq!(made(&packet[..39]), Err(Refusal::Malformed));
    assert_eq!(made(&carrying(&packet, 6, &[0; 19])), Err(Refusal::Malformed), "half a TCP header");
    let endless = with_headers(&packet, 60, &[17, 9, 1, 4, 0, 0, 0, 0]);
    assert_eq!(made(&endless), Err(Refusal::Chain(Broken::Incomplete)));
    assert_eq!(Refusal::Chain(Broken::Incomplete).icmpv6(), None);
}

#[test]
fn s_5_3_the_quoted_packet_is_translated_but_keeps_its_hop_limit() {
    let mut quoted = udp6(b"data", |header| {
        (header.source, header.destination) = (B6, A6);
        header.hop_limit = 1;
    });
    quoted[40..44].copy_from_slice(&[0x0f, 0xa0, 0x07, 0xd0]);
    let options = with_headers(&quoted, 60, &[17, 0, 1, 4, 0, 0, 0, 0]);
    let mut sent = udp4(b"data", |header| {
        (header.source, header.destination) = (B4, A4);
        header.time_to_live = 1;
        header.dont_fragment = false;
        header.identification = 0x4321;
    });
    sent[20..24].copy_from_slice(&[0x0f, 0xa0, 0x07, 0xd0]);
    let expected = icmp(&plain(b""), [3, 3, 0, 0, 0, 0, 0, 0], &sent);
    for quoted in [quoted, options] {
        let packet = icmp(&udp6(b"", |_| {}), [1, 4, 0, 0, 0, 0, 0, 0], &quoted);
        assert_eq!(error_made(&packet, &HOP).unwrap(), (expected.clone(), None));
    }
}

#[test]
fn s_5_3_an_error_that_quotes_an_error_is_dropped() {
    let inner = icmp(&udp6(b"", |_| {}), [1, 4, 0, 0, 0, 0, 0, 0], &udp6(b"", |_| {}));
    let packet = icmp(&udp6(b"", |_| {}), [1, 4, 0, 0, 0, 0, 0, 0], &inner);
    assert_eq!(error_made(&packet, &HOP), Err(Refusal::Untranslatable));
}

#[test]
fn s_5_3_an_error_ends_at_576_bytes() {
    let packet = icmp(&udp6(b"", |_| {}), [1, 0, 0, 0, 0, 0, 0, 0], &udp6(&[5; 604], |_| {}));
    assert_eq!(error_made(&packet, &HOP).unwrap().0.len(), 576);
    let (_, most) = error_made(&packet, &Hop { mtu4: 500, ..HOP }).unwrap();
    assert_eq!(most, Some(500));
}

#[test]
fn s_5_2_the_mtu_takes_a_quoted_fragment_header_into_account() {
    let quoted = with_headers(&udp6(&[1; 16], |_| {}), 44, &fragment(17, 0, true, 77));
    let packet = icmp(&udp6(b"", |_| {}), [2, 0, 0, 0, 0, 0, 5, 0], &quoted);
    let (packet, _) = error_made(&packet, &HOP).unwrap();
    assert_eq!(packet[20..22], [3, 4]);
    assert_eq!(packet[26..28], 1252_u16.to_be_bytes());
    assert_eq!(packet[28..36], [0x45, 0, 0, 44, 0, 77, 0x20, 0]);
}
