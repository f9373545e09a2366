//! A super-packet rewritten whole and then cut is its segments rewritten one by one.

use dataplane::packet::{LinkId, Reason};
use dataplane::wire::virtio::{VirtioNetHdr, gso};
use proptest::prelude::*;

use super::wire_sums::{checksum_place, complete, cut, make_partial};
use crate::common::datagram::{self, ACK, Datagram, SYN, udp};
use crate::common::net::Net;
use crate::common::topology::{APP, BASTION, INTERNET, NAT_A, Topology, address};

/// Checksums apart, which have two zeros.
fn without_checksums(mut packet: Vec<u8>) -> Vec<u8> {
    Datagram::read(&packet);
    let at = checksum_place(&packet);
    packet[10..12].fill(0);
    packet[at..at + 2].fill(0);
    packet
}

fn check(net: &mut Net, from: LinkId, to: LinkId, whole: &Datagram, kind: u8, size: u16) {
    let mut bytes = whole.bytes();
    let partial = make_partial(&mut bytes);
    // The length of the headers is a hint that nobody believes.
    let offload = VirtioNetHdr { gso_type: kind, gso_size: size, hdr_len: 7, ..partial };

    let cut_first = cut(&bytes, offload);
    let count = cut_first.len();
    let sent = net.shard.counters.forwarded;
    let before = net.metrics(NAT_A).total;
    let emitted = net.send_offloaded(from, &bytes, offload).emitted.unwrap();
    assert_eq!((emitted.link, emitted.offload, emitted.fragment), (to, offload, None));
    assert_eq!(net.shard.counters.forwarded, sent + 1, "a super-packet is one packet");
    let after = net.metrics(NAT_A).total;
    let cut_last = cut(&emitted.bytes, emitted.offload);
    assert_eq!(cut_last.len(), count);
    for (segment, expected) in cut_first.into_iter().zip(cut_last) {
        let rewritten = net.send(from, &segment).emitted.unwrap();
        assert_eq!(rewritten.link, to);
        assert_eq!(without_checksums(rewritten.bytes), without_checksums(expected));
    }
    let segments = &net.metrics(NAT_A).total - &after;
    assert_eq!(&after - &before, segments, "gateways count segments and their headers");
    let expected = if [from, to].contains(&APP) { count as u64 } else { 0 };
    assert_eq!(segments.packets_in(), expected);
    // And a device that only completes the checksum of the whole gets a whole that is right.
    let mut completed = emitted.bytes;
    complete(&mut completed);
    Datagram::read(&completed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn tcp(length in 1_usize..60_000, size in 500_u16..1461, flags in any::<u8>(), port in any::<u16>(), ecn in any::<bool>()) {
        let flags = flags & !(SYN | 0x24) | ACK;
        let kind = if ecn { gso::TCPV4 | gso::ECN } else { gso::TCPV4 };
        let data: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        for from in [APP, BASTION] {
            let mut net = Net::new(&Topology::open());
            let ends = ((address(from), port), (address(INTERNET), 80));
            let first = net.send_datagram(from, &tcp_datagram(ends, SYN, &[])).at(INTERNET);
            check(&mut net, from, INTERNET, &tcp_datagram(ends, flags, &data), kind & !gso::ECN, size);
            let back = ((first.dst, 80), (first.src, first.ports().0));
            check(&mut net, INTERNET, from, &tcp_datagram(back, flags, &data), kind & !gso::ECN, size);
            // The kind of a super-packet with ECN is the same kind.
            let mut whole = tcp_datagram(ends, flags, &data).bytes();
            let partial = make_partial(&mut whole);
            let offload = VirtioNetHdr { gso_type: kind, gso_size: size, ..partial };
            prop_assert!(net.send_offloaded(from, &whole, offload).dropped.is_none());
        }
    }

    #[test]
    fn udp_segments(length in 1_usize..60_000, size in 500_u16..1473, port in any::<u16>()) {
        let data: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        let mut net = Net::new(&Topology::open());
        let whole = udp((address(APP), port), (address(INTERNET), 443), &data);
        check(&mut net, APP, INTERNET, &whole, gso::UDP_L4, size);
    }

    /// It is the segments that must fit, and are counted.
    #[test]
    fn segments_are_what_counts(segments in 2_u64..40, size in 1400_u16..1500) {
        let mut net = Net::new(&Topology::open());
        let data = vec![0; usize::try_from(segments).unwrap() * usize::from(size)];
        let mut whole = tcp_datagram(((address(APP), 1), (address(INTERNET), 80)), SYN, &data);
        whole.df = true;
        let mut bytes = whole.bytes();
        let partial = make_partial(&mut bytes);
        let offload = VirtioNetHdr { gso_type: gso::TCPV4, gso_size: size, ..partial };
        let outcome = net.send_offloaded(APP, &bytes, offload);
        prop_assert_eq!(outcome.dropped.is_some(), size > 1460);
        let (_, flow) = net.shard.flows.live_from(0).next().unwrap();
        let (hot, cold) = net.shard.flows.parts(flow).unwrap();
        let (packets, _) = cold.counts(hot, dataplane::packet::Direction::Original);
        prop_assert_eq!(packets, segments);
    }
}

/// Virtual I/O Device 1.2, s. 5.1.6.2: who cuts it makes each segment's checksum of the partial one.
#[test]
fn a_super_packet_without_a_partial_checksum_is_malformed() {
    let mut net = Net::new(&Topology::open());
    let ends = ((address(APP), 1), (address(INTERNET), 80));
    let whole = tcp_datagram(ends, SYN, &[0; 3000]).bytes();
    for (gso_type, gso_size) in [(gso::TCPV4, 1448), (gso::TCPV4 | gso::ECN, 1448), (gso::TCPV4, 0)]
    {
        let offload = VirtioNetHdr { gso_type, gso_size, ..VirtioNetHdr::PLAIN };
        let outcome = net.send_offloaded(APP, &whole, offload);
        let reason = outcome.dropped.map(|(reason, _)| reason);
        assert_eq!((reason, outcome.emitted), (Some(Reason::Malformed), None));
    }
    assert!(net.shard.flows.is_empty());
}

type End = (std::net::Ipv4Addr, u16);

fn tcp_datagram((src, dst): (End, End), flags: u8, data: &[u8]) -> Datagram {
    datagram::tcp(src, dst, flags, data)
}
