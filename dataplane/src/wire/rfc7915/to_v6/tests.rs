//! Clauses of RFC 7915 s. 4, each by the packets that it is about.

use etherparse::Ipv4Options;

use super::{translate, translate_error};
use crate::wire::rfc7915::test_packets::*;
use crate::wire::rfc7915::{Ends, Hop, Owed, Quoting, Refusal};

fn made_by(packet: &[u8], hop: Hop) -> Made {
    run(packet, |slot, frame| translate(slot, frame, &ENDS6, &hop))
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

fn error_made(packet: &[u8], hop: &Hop) -> Made {
    // An error from B to A about what A had sent to B.
    let ends = Quoting {
        source: A6,
        destination: B6,
        quoted: Ends { source: B6, destination: A6, ports: (4000, 2000) },
    };
    run(packet, |slot, frame| translate_error(slot, frame, &ends, hop))
}

#[test]
fn s_4_1_each_field_of_the_header() {
    let packet = udp4(b"data", |header| {
        header.dscp = 46.try_into().unwrap();
        header.ecn = 1.try_into().unwrap();
        header.time_to_live = 9;
    });
    let expected = udp6(b"data", |header| {
        header.traffic_class = 46 << 2 | 1;
        header.hop_limit = 8;
    });
    assert_eq!(whole(&packet), expected);
}

#[test]
fn s_4_1_hops_are_counted_as_many_as_there_are() {
    let packet = udp4(b"data", |header| header.time_to_live = 3);
    for (hops, left) in [(0, 3), (1, 2), (2, 1)] {
        let (packet, _) = made_by(&packet, Hop { hops, ..HOP }).unwrap();
        assert_eq!(packet[7], left);
    }
    for hops in [3, 4] {
        let refusal = made_by(&packet, Hop { hops, ..HOP }).unwrap_err();
        assert_eq!(refusal, Refusal::TimeExceeded);
        assert_eq!(refusal.icmpv4(), Some(Owed { kind: 11, code: 0, word: 0 }));
    }
}

#[test]
fn s_4_1_options_are_ignored() {
    let packet = udp4(b"data", |header| {
        header.options = Ipv4Options::from([131, 7, 8, 198, 51, 100, 1, 0]);
    });
    assert_eq!(whole(&packet), whole(&udp4(b"data", |_| {})));
}

#[test]
fn s_4_1_a_source_route_that_is_not_used_up_is_refused() {
    let packet = udp4(b"data", |header| {
        header.options = Ipv4Options::from([137, 7, 4, 198, 51, 100, 1, 0]);
    });
    assert_eq!(made(&packet), Err(Refusal::SourceRoute));
    assert_eq!(Refusal::SourceRoute.icmpv4(), Some(Owed { kind: 3, code: 5, word: 0 }));
    let message = icmp(&udp4(b"", |_| {}), [3, 3, 0, 0, 0, 0, 0, 0], &udp4(b"", |_| {}));
    let mut error = [&packet[..28], &message[20..]].concat();
    error[9] = 1;
    error[3] = 28 + 8 + 28;
    assert_eq!(error_made(&error, &HOP), Err(Refusal::SourceRoute));
}

#[test]
fn s_4_1_no_packet_comes_from_an_illegal_source() {
    for source in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
        let refusal = made(&udp4(b"data", |header| header.source = source)).unwrap_err();
        assert_eq!((refusal, refusal.icmpv4()), (Refusal::IllegalSource, None));
    }
}

#[test]
fn s_4_1_padding_is_not_translated() {
    let packet = udp4(b"data", |_| {});
    assert_eq!(whole(&[&packet[..], &[7; 9]].concat()), whole(&packet));
}

#[test]
fn s_4_1_fragments_keep_offset_and_low_half_of_their_identification() {
    let packet = udp4(&[1; 16], |header| {
        header.dont_fragment = false;
        header.identification = 0xabcd;
        header.fragment_offset = 185.try_into().unwrap();
        header.more_fragments = true;
    });
    let packet = whole(&packet);
    assert_eq!(packet.len(), 40 + 8 + 24);
    assert_eq!((packet[6], &packet[4..6]), (44, &[0, 32][..]));
    assert_eq!(packet[40..48], [17, 0, 0x05, 0xc9, 0, 0, 0xab, 0xcd]);
    // Bytes that are no header are not touched.
    assert_eq!(packet[48..], udp4(&[1; 16], |_| {})[20..]);
}

#[test]
fn s_4_with_df_or_without_a_small_packet_has_no_fragment_header() {
    let free = udp4(&[1; 1232], |header| header.dont_fragment = false);
    assert_eq!(whole(&free), whole(&udp4(&[1; 1232], |_| {})));
    assert_eq!(whole(&free).len(), 1280);
}

#[test]
fn s_4_1_a_packet_above_1280_that_may_be_fragmented_has_to_be() {
    let packet = udp4(&[1; 1233], |header| {
        header.dont_fragment = false;
        header.identification = 1234;
    });
    let (translated, fragment) = made(&packet).unwrap();
    assert_eq!((translated.len(), fragment), (1289, Some(1280)));
    assert_eq!(translated[40..48], [17, 0, 0, 0, 0, 0, 0x04, 0xd2]);
    let (translated, fragment) = made_by(&packet, Hop { lowest_mtu6: 1402, ..HOP }).unwrap();
    assert_eq!((translated.len(), fragment), (1281, None));
    let narrow = Hop { lowest_mtu6: 1500, mtu6: 1280, ..HOP };
    assert_eq!(made_by(&packet, narrow).unwrap().1, Some(1280));
}

#[test]
fn s_4_1_a_packet_that_must_not_be_fragmented_is_refused() {
    let narrow = Hop { mtu6: 1280, ..HOP };
    let refusal = made_by(&udp4(&[1; 1233], |_| {}), narrow).unwrap_err();
    assert_eq!(refusal, Refusal::TooBig { mtu: 1260 });
    assert_eq!(refusal.icmpv4(), Some(Owed { kind: 3, code: 4, word: 1260 }));
    let fragment = |data: &[u8]| udp4(data, |header| header.more_fragments = true);
    assert_eq!(made_by(&fragment(&[1; 1233]), narrow), Err(Refusal::TooBig { mtu: 1260 }));
    // Too long only for the fragment header that it gets.
    assert_eq!(made_by(&fragment(&[1; 1225]), narrow), Err(Refusal::TooBig { mtu: 1252 }));
    assert_eq!(made_by(&fragment(&[1; 1224]), narrow).unwrap().0.len(), 1280);
}

#[test]
fn s_4_1_and_4_5_other_protocols_go_as_they_are() {
    for protocol in [33, 50, 51, 59, 132, 136, 255] {
        let packet = carrying(&udp4(b"", |_| {}), protocol, b"anything");
        let expected = carrying(&udp6(b"", |it| it.hop_limit = 63), protocol, b"anything");
        assert_eq!(whole(&packet), expected, "protocol {protocol}");
    }
}

#[test]
fn s_4_2_igmp_and_what_ipv6_has_headers_of_are_dropped() {
    for protocol in [2, 0, 43, 44, 58, 60] {
        let refusal = made(&carrying(&udp4(b"", |_| {}), protocol, b"anything")).unwrap_err();
        assert_eq!((refusal, refusal.icmpv4()), (Refusal::Untranslatable, None), "{protocol}");
    }
}

#[test]
fn s_4_2_echoes() {
    for (kind, expected) in [(8, 128), (0, 129)] {
        let packet = icmp(&udp4(b"", |_| {}), [kind, 0, 0, 0, 7, 0xd0, 0, 9], b"payload");
        // The identifier of a request is the source's, of a reply the destination's.
        let id = if kind == 8 { 2000_u16 } else { 4000 }.to_be_bytes();
        let start = [expected, 0, 0, 0, id[0], id[1], 0, 9];
        let expected = icmp(&udp6(b"", |it| it.hop_limit = 63), start, b"payload");
        assert_eq!(whole(&packet), expected);
    }
}

#[test]
fn s_4_2_other_queries_are_dropped() {
    for kind in (1..=255).filter(|kind| *kind != 8) {
        let packet = icmp(&udp4(b"", |_| {}), [kind, 0, 0, 0, 0, 0, 0, 0], &[]);
        assert_eq!(made(&packet), Err(Refusal::Untranslatable), "type {kind}");
    }
}

#[test]
fn s_1_2_fragments_of_icmp_are_dropped() {
    for (offset, more) in [(0, true), (8, true), (8, false)] {
        let network = udp4(b"", |header| {
            header.more_fragments = more;
            header.fragment_offset = offset.try_into().unwrap();
        });
        let refusal = made(&icmp(&network, [8, 0, 0, 0, 0, 1, 0, 1], &[0; 16])).unwrap_err();
        assert_eq!((refusal, refusal.icmpv4()), (Refusal::FragmentedIcmp, None));
    }
}

#[test]
fn s_4_5_a_udp_checksum_of_zero_is_computed() {
    let mut packet = udp4(b"data", |_| {});
    packet[26..28].fill(0);
    assert_eq!(whole(&packet), udp6(b"data", |it| it.hop_limit = 63));
}

#[test]
fn s_4_5_a_first_fragment_without_udp_checksum_is_refused() {
    let mut packet = udp4(b"data", |header| header.more_fragments = true);
    packet[26..28].fill(0);
    let refusal = made(&packet).unwrap_err();
    assert_eq!(refusal, Refusal::ZeroChecksum);
    assert_eq!(refusal.icmpv4(), Some(Owed { kind: 3, code: 13, word: 0 }));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let packet = udp4(b"data", |_| {});
    let changed = |at: usize, value: u8| {
        let mut packet = packet.clone();
        packet[at] = value;
        made(&packet)
    };
    assert_eq!(changed(0, 0x44), Err(Refusal::Malformed), "a header of 16 bytes");
    assert_eq!(changed(0, 0x65), Err(Refusal::Malformed), "another version");
    assert_eq!(changed(3, 19), Err(Refusal::Malformed), "shorter than its header");
    assert_eq!(changed(3, 200), Err(Refusal::Malformed), "longer than it is");
    assert_eq!(made(&packet[..19]), Err(Refusal::Malformed));
    assert_eq!(made(&carrying(&packet, 6, &[0; 19])), Err(Refusal::Malformed), "half a TCP header");
    assert_eq!(made(&carrying(&packet, 1, &[8; 7])), Err(Refusal::Malformed), "half an echo");
}

#[test]
fn s_4_3_the_quoted_packet_is_translated_but_keeps_its_time_to_live() {
    let quoted = udp4(b"data", |header| {
        (header.source, header.destination) = (B4, A4);
        header.time_to_live = 1;
    });
    let mut quoted = quoted;
    // From port 4000 to 2000.
    quoted[20..24].copy_from_slice(&[0x0f, 0xa0, 0x07, 0xd0]);
    let packet = icmp(&udp4(b"", |_| {}), [3, 3, 0, 0, 0, 0, 0, 0], &quoted);
    let mut sent = udp6(b"data", |header| {
        (header.source, header.destination) = (B6, A6);
        header.hop_limit = 1;
    });
    sent[40..44].copy_from_slice(&[0x0f, 0xa0, 0x07, 0xd0]);
    let expected = icmp(&udp6(b"", |it| it.hop_limit = 63), [1, 4, 0, 0, 0, 0, 0, 0], &sent);
    assert_eq!(error_made(&packet, &HOP).unwrap(), (expected, None));
}

#[test]
fn s_4_3_an_error_that_quotes_an_error_is_dropped() {
    let inner = icmp(&udp4(b"", |_| {}), [3, 3, 0, 0, 0, 0, 0, 0], &udp4(b"", |_| {}));
    let packet = icmp(&udp4(b"", |_| {}), [3, 3, 0, 0, 0, 0, 0, 0], &inner);
    assert_eq!(error_made(&packet, &HOP), Err(Refusal::Untranslatable));
}

#[test]
fn s_4_3_a_quoted_fragment_gets_a_fragment_header() {
    let quoted = udp4(&[1; 16], |header| {
        header.more_fragments = true;
        header.identification = 77;
    });
    let packet = icmp(&udp4(b"", |_| {}), [11, 1, 0, 0, 0, 0, 0, 0], &quoted);
    let (packet, _) = error_made(&packet, &HOP).unwrap();
    assert_eq!(packet.len(), 40 + 8 + 48 + 24);
    assert_eq!(packet[40..42], [3, 1]);
    assert_eq!((packet[54], &packet[52..54]), (44, &[0, 32][..]));
    assert_eq!(packet[88..96], [17, 0, 0, 1, 0, 0, 0, 77]);
}

#[test]
fn s_4_3_an_error_ends_at_1280_bytes() {
    let packet = icmp(&udp4(b"", |_| {}), [3, 1, 0, 0, 0, 0, 0, 0], &udp4(&[5; 1444], |_| {}));
    assert_eq!(error_made(&packet, &HOP).unwrap().0.len(), 1280);
}

#[test]
fn s_4_1_errors_come_from_wherever_they_like() {
    for source in [[127, 0, 0, 1], [0, 0, 0, 0]] {
        let network = udp4(b"", |header| header.source = source);
        let packet = icmp(&network, [3, 1, 0, 0, 0, 0, 0, 0], &udp4(b"data", |_| {}));
        assert!(error_made(&packet, &HOP).is_ok());
    }
}

#[test]
fn s_4_2_the_mtu_of_a_quoted_packet_without_one() {
    let packet = icmp(&udp4(b"", |_| {}), [3, 4, 0, 0, 0, 0, 0, 0], &udp4(&[0; 1473], |_| {}));
    let (packet, _) = error_made(&packet, &Hop { mtu6: 9001, ..HOP }).unwrap();
    assert_eq!(packet[40..42], [2, 0]);
    assert_eq!(packet[44..48], 1512_u32.to_be_bytes());
}
