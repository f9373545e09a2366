//! A super-packet taken whole through the path and then cut is its segments taken one by one: in either
//! family, and from one to the other.

use std::net::IpAddr;

use dataplane::packet::{Direction, LinkId, Reason};
use dataplane::wire::virtio::{VirtioNetHdr, gso};
use proptest::prelude::*;

use crate::common::datagram::{ACK, Datagram, SYN, tcp, udp};
use crate::common::net::Net;
use crate::common::raw::{is_v6, transport};
use crate::common::topology::{APP, BASTION, INTERNET, NAT_A, Topology, address, address6, nat64};
use crate::common::wire_sums::{checksum_place, complete, cut, make_partial};

/// A conversation with a host on the internet: who begins, and both addresses as he has them.
#[derive(Clone, Copy, Debug)]
struct Way {
    from: LinkId,
    ends: (IpAddr, IpAddr),
}

impl Way {
    fn translates(&self) -> bool {
        self.ends.0.is_ipv4() && self.from == APP || self.crosses()
    }

    fn crosses(&self) -> bool {
        self.ends.1 == nat64(address(INTERNET))
    }

    /// The longest data of a TCP segment without options.
    fn most(&self) -> u16 {
        if self.ends.0.is_ipv6() && !self.crosses() { 1440 } else { 1460 }
    }
}

/// Through a NAT gateway, an internet gateway of either family, an egress-only one, and NAT64.
fn ways() -> [Way; 5] {
    let v4 = |from| (address(from).into(), address(INTERNET).into());
    let v6 = |from| (address6(from).into(), address6(INTERNET).into());
    let across = (address6(APP).into(), nat64(address(INTERNET)).into());
    [(APP, v4(APP)), (BASTION, v4(BASTION)), (APP, v6(APP)), (BASTION, v6(BASTION)), (APP, across)]
        .map(|(from, ends)| Way { from, ends })
}

/// What the packets of a whole must have in common with it: all but checksums, which have two zeros, and where
/// the family changes DF and identification.
fn comparable(mut packet: Vec<u8>, crosses: bool) -> Vec<u8> {
    Datagram::read(&packet);
    let at = checksum_place(&packet);
    packet[at..at + 2].fill(0);
    if !is_v6(&packet) {
        packet[10..12].fill(0);
        packet[4..7].iter_mut().take(if crosses { 3 } else { 0 }).for_each(|byte| *byte = 0);
    }
    packet
}

/// The kind of super-packet that `kind` is in the family of `bytes`.
fn kind_in(bytes: &[u8], kind: u8) -> u8 {
    match kind & !gso::ECN {
        gso::UDP_L4 => kind,
        _ if is_v6(bytes) => gso::TCPV6 | kind & gso::ECN,
        _ => gso::TCPV4 | kind & gso::ECN,
    }
}

fn offload(bytes: &mut [u8], kind: u8, gso_size: u16) -> VirtioNetHdr {
    let partial = make_partial(bytes);
    // The length of the headers is a hint that nobody believes.
    VirtioNetHdr { gso_type: kind_in(bytes, kind), gso_size, hdr_len: 107, ..partial }
}

fn check(
    net: &mut Net,
    way: &Way,
    (from, to): (LinkId, LinkId),
    whole: &Datagram,
    kind: u8,
    size: u16,
) {
    let mut bytes = whole.bytes();
    let offload = offload(&mut bytes, kind, size);
    let cut_first = cut(&bytes, offload);
    let count = cut_first.len();
    let sent = net.shard.counters.forwarded;
    let before = net.metrics(NAT_A).total;
    let emitted = net.send_offloaded(from, &bytes, offload).emitted.unwrap();
    assert_eq!((emitted.link, emitted.fragment), (to, None));
    let expected = VirtioNetHdr {
        gso_type: kind_in(&emitted.bytes, offload.gso_type),
        csum_start: u16::try_from(transport(&emitted.bytes).0).unwrap(),
        hdr_len: emitted.offload.hdr_len,
        ..offload
    };
    assert_eq!(emitted.offload, expected);
    assert_eq!(net.shard.counters.forwarded, sent + 1, "a super-packet is one packet");
    let after = net.metrics(NAT_A).total;
    let cut_last = cut(&emitted.bytes, emitted.offload);
    assert_eq!(cut_last.len(), count);
    for (segment, expected) in cut_first.into_iter().zip(cut_last) {
        let rewritten = net.send(from, &segment).emitted.unwrap();
        assert_eq!((rewritten.link, rewritten.fragment), (to, None));
        let [rewritten, expected] =
            [rewritten.bytes, expected].map(|packet| comparable(packet, way.crosses()));
        assert_eq!(rewritten, expected);
    }
    let segments = &net.metrics(NAT_A).total - &after;
    assert_eq!(&after - &before, segments, "gateways count segments and their headers");
    let expected = if way.translates() { count as u64 } else { 0 };
    assert_eq!(segments.packets_in(), expected);
    // And a device that only completes the checksum of the whole gets a whole that is right.
    let mut completed = emitted.bytes;
    complete(&mut completed);
    Datagram::read(&completed);
}

/// The packet that `way` begins with has arrived; the other end answers.
fn back(arrived: &Datagram) -> ((IpAddr, u16), (IpAddr, u16)) {
    ((arrived.dst, arrived.ports().1), (arrived.src, arrived.ports().0))
}

fn bytes(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn of_tcp(length in 1_usize..60_000, size in 500_u16..1441, flags in any::<u8>(), port in any::<u16>(), ecn in any::<bool>()) {
        let flags = flags & !(SYN | 0x24) | ACK;
        let data = bytes(length);
        for way in ways() {
            let mut net = Net::new(&Topology::open());
            let (client, server) = ((way.ends.0, port), (way.ends.1, 80));
            let first = net.send_datagram(way.from, &tcp(client, server, SYN, &[])).at(INTERNET);
            let there = tcp(client, server, flags, &data);
            check(&mut net, &way, (way.from, INTERNET), &there, gso::TCPV4, size);
            let (server, client) = back(&first);
            let back = tcp(server, client, flags, &data);
            check(&mut net, &way, (INTERNET, way.from), &back, gso::TCPV4, size);
            // The kind of a super-packet with ECN is the same kind.
            let kind = if ecn { gso::TCPV4 | gso::ECN } else { gso::TCPV4 };
            let mut whole = there.bytes();
            let offload = offload(&mut whole, kind, size);
            prop_assert!(net.send_offloaded(way.from, &whole, offload).dropped.is_none());
        }
    }

    #[test]
    fn of_udp(length in 1_usize..60_000, size in 500_u16..1453, port in any::<u16>()) {
        let data = bytes(length);
        for way in ways() {
            let mut net = Net::new(&Topology::open());
            let there = udp((way.ends.0, port), (way.ends.1, 443), &data);
            check(&mut net, &way, (way.from, INTERNET), &there, gso::UDP_L4, size);
            let mut one = there.clone();
            one.payload = udp((way.ends.0, port), (way.ends.1, 443), &[]).payload;
            let (server, client) = back(&net.send_datagram(way.from, &one).at(INTERNET));
            let back = udp(server, client, &data);
            check(&mut net, &way, (INTERNET, way.from), &back, gso::UDP_L4, size);
        }
    }

    /// It is the segments that must fit, and are counted.
    #[test]
    fn segments_are_what_counts(segments in 2_u64..40, size in 1400_u16..1500) {
        for way in ways() {
            let mut net = Net::new(&Topology::open());
            let data = vec![0; usize::try_from(segments).unwrap() * usize::from(size)];
            let mut whole = tcp((way.ends.0, 1), (way.ends.1, 80), SYN, &data);
            whole.df = true;
            let mut bytes = whole.bytes();
            let offload = offload(&mut bytes, gso::TCPV4, size);
            let outcome = net.send_offloaded(way.from, &bytes, offload);
            prop_assert_eq!(outcome.dropped.is_some(), size > way.most(), "{:?}", way);
            let flow = net.shard.flows.live().next().unwrap();
            let (hot, cold) = net.shard.flows.parts(flow).unwrap();
            let (packets, _) = cold.counts(hot, Direction::Original);
            prop_assert_eq!(packets, segments);
        }
    }
}

/// Virtual I/O Device 1.2, s. 5.1.6.2: who cuts it makes each segment's checksum of the partial one; and each
/// family has its own kind.
#[test]
fn a_super_packet_without_a_partial_checksum_or_of_another_kind_is_malformed() {
    for way in ways() {
        let mut net = Net::new(&Topology::open());
        let mut whole = tcp((way.ends.0, 1), (way.ends.1, 80), SYN, &[0; 3000]).bytes();
        let (own, alien) = match is_v6(&whole) {
            true => (gso::TCPV6, gso::TCPV4),
            false => (gso::TCPV4, gso::TCPV6),
        };
        let plain = VirtioNetHdr::PLAIN;
        let partial = make_partial(&mut whole.clone());
        for wrong in [
            VirtioNetHdr { gso_type: own, gso_size: 1400, ..plain },
            VirtioNetHdr { gso_type: own | gso::ECN, gso_size: 1400, ..plain },
            VirtioNetHdr { gso_type: own, gso_size: 0, ..plain },
            VirtioNetHdr { gso_type: alien, gso_size: 1400, ..partial },
            VirtioNetHdr { gso_type: gso::UDP_L4, gso_size: 1400, ..partial },
        ] {
            let outcome = net.send_offloaded(way.from, &whole, wrong);
            let reason = outcome.dropped.map(|(reason, _)| reason);
            assert_eq!((reason, outcome.emitted), (Some(Reason::Malformed), None), "{wrong:?}");
        }
        assert!(net.shard.flows.is_empty());
        let right = offload(&mut whole, own, 1400);
        assert_eq!(net.send_offloaded(way.from, &whole, right).dropped, None);
    }
}
