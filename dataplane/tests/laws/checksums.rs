//! An updated checksum is the recomputed one, with and without a partial checksum; the reply's
//! rewrite undoes the original's.

use std::net::IpAddr;

use dataplane::packet::LinkId;
use dataplane::wire::virtio::VirtioNetHdr;
use proptest::prelude::*;

use crate::common::datagram::{Datagram, Payload, SYN, echo, tcp, udp};
use crate::common::net::Net;
use crate::common::raw::{is_v6, transport};
use crate::common::topology::{
    APP, BASTION, BASTION_PUBLIC, DB, INTERNET, OTHER, Topology, address, address6, nat64,
};
use crate::common::wire_sums::{checksum_place, complete, make_partial, pseudo_header};

/// Who sends to whom, as the sender has the addresses: through the NAT gateway, the internet gateway, both, and
/// neither; in IPv6 through gateways of both kinds, and across families.
fn ends() -> impl Strategy<Value = (LinkId, LinkId, IpAddr, IpAddr)> {
    let v4 = |from, to, dst: std::net::Ipv4Addr| (from, to, address(from).into(), dst.into());
    let v6 = |from, to, dst: std::net::Ipv6Addr| (from, to, address6(from).into(), dst.into());
    prop::sample::select(vec![
        v4(APP, INTERNET, address(INTERNET)),
        v4(DB, OTHER, address(OTHER)),
        v4(BASTION, INTERNET, address(INTERNET)),
        v4(APP, DB, address(DB)),
        v4(OTHER, BASTION, BASTION_PUBLIC),
        v4(APP, BASTION, BASTION_PUBLIC),
        v6(APP, INTERNET, address6(INTERNET)),
        v6(BASTION, OTHER, address6(OTHER)),
        v6(OTHER, BASTION, address6(BASTION)),
        v6(APP, DB, address6(DB)),
        v6(APP, INTERNET, nat64(address(INTERNET))),
        v6(DB, OTHER, nat64(address(OTHER))),
        v6(APP, BASTION, nat64(address(BASTION))),
        v6(APP, BASTION, nat64(BASTION_PUBLIC)),
    ])
}

fn first_packet() -> impl Strategy<Value = (LinkId, LinkId, Datagram)> {
    let data = prop::collection::vec(any::<u8>(), 0..40);
    (ends(), 0_u8..3, any::<(u16, u16)>(), data, 2_u8..).prop_map(
        |((from, to, src, dst), kind, (src_port, dst_port), data, ttl)| {
            let mut datagram = match kind {
                0 => tcp((src, src_port), (dst, dst_port), SYN, &data),
                1 => udp((src, src_port), (dst, dst_port), &data),
                _ => echo(src, dst, true, src_port, &data),
            };
            datagram.ttl = ttl;
            (from, to, datagram)
        },
    )
}

/// What the receiver of `packet` answers.
fn answer(packet: &Datagram) -> Datagram {
    let mut answer = packet.clone();
    (answer.src, answer.dst) = (packet.dst, packet.src);
    answer.ttl = 64;
    match &mut answer.payload {
        Payload::Tcp { ports, flags, .. } => {
            *ports = (ports.1, ports.0);
            *flags |= crate::common::datagram::ACK;
        }
        Payload::Udp { ports, .. } => *ports = (ports.1, ports.0),
        Payload::Echo { request, .. } => *request = false,
        other => panic!("nobody answers {other:?}"),
    }
    answer
}

proptest! {
    /// [`Datagram::read`] verifies every checksum of what leaves.
    #[test]
    fn replies_undo_what_requests_did((from, to, request) in first_packet(), again in 0_usize..3) {
        let mut net = Net::new(&Topology::open());
        let arrived = net.send_datagram(from, &request).at(to);
        for _ in 0..=again {
            let reply = answer(&arrived);
            let back = net.send_datagram(to, &reply).at(from);
            prop_assert_eq!((back.src, back.dst), (request.dst, request.src));
            prop_assert_eq!(back.ports(), answer(&request).ports());
            let same = Datagram { src: reply.src, dst: reply.dst, ttl: reply.ttl, ..back.clone() };
            prop_assert_eq!(data(&same), data(&reply));
            prop_assert_eq!(&net.send_datagram(from, &request).at(to), &arrived, "as the first one");
        }
        prop_assert_eq!(net.shard.flows.len(), 1);
        net.check();
    }

    #[test]
    fn a_partial_checksum_stays_one((from, to, request) in first_packet()) {
        prop_assume!(!matches!(request.payload, Payload::Echo { .. }));
        let mut net = Net::new(&Topology::open());
        let arrived = net.send_datagram(from, &request).at(to);
        let ways = [(from, to, request.clone()), (to, from, answer(&arrived))];
        for (link, exit, datagram) in ways {
            let mut bytes = datagram.bytes();
            let offload = make_partial(&mut bytes);
            let mut emitted = net.send_offloaded(link, &bytes, offload).emitted.unwrap();
            let csum_start = u16::try_from(transport(&emitted.bytes).0).unwrap();
            let hdr_len = emitted.offload.hdr_len;
            let expected = VirtioNetHdr { csum_start, hdr_len, ..offload };
            prop_assert_eq!((emitted.link, emitted.offload), (exit, expected));
            let at = checksum_place(&emitted.bytes);
            let stored = u16::from_be_bytes([emitted.bytes[at], emitted.bytes[at + 1]]);
            prop_assert_eq!(stored % 0xffff, pseudo_header(&emitted.bytes) % 0xffff);
            complete(&mut emitted.bytes);
            let whole = net.send_datagram(link, &datagram).at(exit);
            prop_assert_eq!(Datagram::read(&emitted.bytes), whole);
        }
    }

    /// UDP without a checksum leaves without one; a checksum that becomes zero leaves as all ones.
    #[test]
    fn udp_says_what_zero_means(port in any::<u16>(), last in any::<u16>()) {
        let mut net = Net::new(&Topology::open());
        let request = udp((address(APP), port), (address(INTERNET), 53), &last.to_be_bytes());
        let arrived = net.send_datagram(APP, &request).at(INTERNET);
        let mut bytes = request.bytes();
        bytes[26..28].fill(0);
        let without = net.send(APP, &bytes).emitted.unwrap().bytes;
        prop_assert_eq!(&without[26..28], [0, 0]);

        // Data that makes the outside checksum zero.
        let sum_without = !udp(
            (arrived.src, arrived.ports().0), (arrived.dst, 53), &[0, 0],
        ).bytes()[26..28].iter().fold(0_u16, |word, &byte| word << 8 | u16::from(byte));
        let data = (0xffff - sum_without).to_be_bytes();
        let request = udp((address(APP), port), (address(INTERNET), 53), &data);
        let emitted = net.send_datagram(APP, &request).emitted.unwrap().bytes;
        prop_assert_eq!(&emitted[26..28], [0xff, 0xff]);
        Datagram::read(&emitted);
    }

    /// Across families likewise; but what came without a checksum leaves IPv4 with one.
    #[test]
    fn udp_that_becomes_ipv6_has_a_checksum(port in any::<u16>(), last in any::<u16>(), data in prop::collection::vec(any::<u8>(), 0..1473)) {
        let mut net = Net::new(&Topology::open());
        let (client, server) = ((address6(APP), port), (nat64(address(INTERNET)), 53));
        let request = udp(client, server, &last.to_be_bytes());
        let arrived = net.send_datagram(APP, &request).at(INTERNET);
        let reply = udp((arrived.dst, 53), (arrived.src, arrived.ports().0), &data);
        let mut bytes = reply.bytes();
        bytes[26..28].fill(0);
        let without = net.send(INTERNET, &bytes).at(APP);
        prop_assert_eq!(&without.payload, &udp(server, client, &data).payload);
        prop_assert_eq!(without, net.send_datagram(INTERNET, &reply).at(APP), "as with one");
    }

    /// IPv6 that stays such is nobody's to change.
    #[test]
    fn what_stays_ipv6_leaves_as_it_came((from, to, request) in first_packet(), options in any::<Option<[u8; 6]>>(), class in any::<u8>(), label in any::<[u8; 3]>()) {
        prop_assume!(request.src.is_ipv6());
        let mut net = Net::new(&Topology::open());
        let mut request = request;
        request.extensions = options.map(|it| (60, [&[0][..], &it].concat())).into_iter().collect();
        let mut bytes = request.bytes();
        bytes[0] |= class >> 4;
        bytes[1] = class << 4 | label[0] & 15;
        bytes[2..4].copy_from_slice(&label[1..]);
        for _ in 0..2 {
            let emitted = net.send(from, &bytes).emitted.unwrap();
            prop_assert_eq!(emitted.link, to);
            if is_v6(&emitted.bytes) {
                prop_assert_eq!(&emitted.bytes, &bytes);
            } else {
                prop_assert_eq!(emitted.bytes[1], class, "but its class is kept across");
            }
        }
    }

    /// What came damaged leaves damaged.
    #[test]
    fn no_damage_is_repaired((from, _, request) in first_packet(), bit in 0_usize..16) {
        prop_assume!(!matches!(request.payload, Payload::Echo { .. }));
        let mut net = Net::new(&Topology::open());
        let mut bytes = request.bytes();
        let at = checksum_place(&bytes);
        bytes[at + bit / 8] ^= 1 << (bit % 8);
        prop_assume!(request.bytes()[at..at + 2] != [0, 0] && bytes[at..at + 2] != [0, 0]);
        let emitted = net.send(from, &bytes).emitted.unwrap().bytes;
        let verdict = std::panic::catch_unwind(|| Datagram::read(&emitted));
        prop_assert!(verdict.is_err());
    }
}

fn data(datagram: &Datagram) -> &[u8] {
    match &datagram.payload {
        Payload::Tcp { data, .. } | Payload::Udp { data, .. } | Payload::Echo { data, .. } => data,
        Payload::Error { quoted, .. } => quoted,
        Payload::Query { data, .. } | Payload::Other { data, .. } => data,
    }
}

/// A packet whose checksum is left to the device is quoted with the one that it would have had on a wire.
#[test]
fn what_an_error_quotes_is_summed() {
    let ends: [(IpAddr, IpAddr); 2] = [
        (address(APP).into(), address(INTERNET).into()),
        (address6(APP).into(), nat64(address(INTERNET)).into()),
    ];
    for (src, dst) in ends {
        for request in [udp((src, 5000), (dst, 53), b"question"), tcp((src, 1), (dst, 2), SYN, &[])]
        {
            let whole = Datagram { ttl: 1, ..request }.bytes();
            let mut bytes = whole.clone();
            let offload = make_partial(&mut bytes);
            assert_ne!(bytes, whole);
            let outcome = Net::new(&Topology::open()).send_offloaded(APP, &bytes, offload);
            let told = Datagram::read(&outcome.emitted.unwrap().bytes);
            let Payload::Error { quoted, .. } = told.payload else { panic!("{told:?}") };
            assert_eq!(quoted, whole, "the packet that was sent");
        }
    }
}
