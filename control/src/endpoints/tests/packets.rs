//! Single packets, built and read by etherparse: what smoltcp answers by itself, and datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::tables::VPC_MTU;
use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Slice, Icmpv4Type, Icmpv6Type, IpNumber, NetSlice,
    PacketBuilder, SlicedPacket, TransportSlice, icmpv4, icmpv6,
};

use super::client::{CLIENT, HOST, Net};
use super::realm::{asked_by_datagram, serving};
use crate::endpoints::Service;

const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 81));

fn octets(address: IpAddr) -> [u8; 4] {
    let IpAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    address.octets()
}

fn from_to(
    source: IpAddr,
    destination: IpAddr,
) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ipv4(octets(source), octets(destination), 64)
}

fn built<T>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), T>) -> Vec<u8>
where
    T: std::fmt::Debug,
{
    let mut packet = Vec::new();
    write(&mut packet).unwrap();
    packet
}

fn datagram(to: (IpAddr, u16), from_port: u16, payload: &[u8]) -> Vec<u8> {
    built(|packet| from_to(CLIENT, to.0).udp(from_port, to.1).write(packet, payload))
}

/// What the host answers at once.
fn answers(net: &mut Net, packet: &[u8]) -> Vec<Vec<u8>> {
    net.client.link.put(packet);
    net.host.turn(net.now);
    std::iter::from_fn(|| net.client.link.take()).collect()
}

fn the_answer(net: &mut Net, packet: &[u8]) -> Vec<u8> {
    let mut all = answers(net, packet);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn between(packet: &SlicedPacket<'_>) -> (IpAddr, IpAddr) {
    match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        other => panic!("not IP: {other:?}"),
    }
}

fn icmp<'a>(packet: &'a SlicedPacket<'a>) -> &'a Icmpv4Slice<'a> {
    match packet.transport.as_ref().unwrap() {
        TransportSlice::Icmpv4(icmp) => icmp,
        other => panic!("not ICMP: {other:?}"),
    }
}

#[test]
fn answers_icmp_echo() {
    let mut net = Net::new();
    let payload = [7; 1472];
    let request = built(|packet| {
        from_to(CLIENT, HOST).icmpv4_echo_request(0xbeef, 3).write(packet, &payload)
    });
    let answer = the_answer(&mut net, &request);

    let packet = SlicedPacket::from_ip(&answer).unwrap();
    assert_eq!(between(&packet), (HOST, CLIENT));
    let reply = icmp(&packet);
    let echo = IcmpEchoHeader { id: 0xbeef, seq: 3 };
    assert_eq!(reply.icmp_type(), Icmpv4Type::EchoReply(echo));
    assert_eq!(reply.payload(), payload);
    let sum = Icmpv4Header::with_checksum(reply.icmp_type(), reply.payload()).checksum;
    assert_eq!(reply.checksum(), sum);
}

#[test]
fn answers_for_its_addresses_only() {
    let third = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 82));
    let mut net = Net::between(&[HOST, SECOND], CLIENT);

    let answer = the_answer(&mut net, &datagram((SECOND, 7), 4000, b"hello"));
    assert_eq!(between(&SlicedPacket::from_ip(&answer).unwrap()), (SECOND, CLIENT));
    assert_eq!(answers(&mut net, &datagram((third, 7), 4000, b"hello")), Vec::<Vec<u8>>::new());
}

#[test]
fn resets_what_comes_for_a_closed_tcp_port() {
    let mut net = Net::new();
    let syn =
        built(|packet| from_to(CLIENT, HOST).tcp(4000, 81, 1000, 1024).syn().write(packet, &[]));
    let answer = the_answer(&mut net, &syn);

    let packet = SlicedPacket::from_ip(&answer).unwrap();
    assert_eq!(between(&packet), (HOST, CLIENT));
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("not TCP") };
    assert!(tcp.rst() && tcp.ack());
    assert_eq!(tcp.acknowledgment_number(), 1001);
    assert_eq!((tcp.source_port(), tcp.destination_port()), (81, 4000));
    let sum = tcp.calc_checksum_ipv4(octets(HOST), octets(CLIENT)).unwrap();
    assert_eq!(tcp.checksum(), sum);
}

#[test]
fn answers_a_closed_udp_port_with_port_unreachable() {
    let mut net = Net::new();
    let sent = datagram((HOST, 80), 4000, b"hello");
    let answer = the_answer(&mut net, &sent);

    let packet = SlicedPacket::from_ip(&answer).unwrap();
    let error = icmp(&packet);
    assert_eq!(
        error.icmp_type(),
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port)
    );
    let quoted = error.payload();
    assert_eq!(&quoted[12..], &sent[12..], "addresses, ports and payload");
}

#[test]
fn echoes_datagrams_up_to_the_mtu_and_discards_the_others() {
    let mut net = Net::new();
    for len in [0, 1, 1472] {
        let payload = vec![b'x'; len];
        let answer = the_answer(&mut net, &datagram((HOST, 7), 4000, &payload));
        let packet = SlicedPacket::from_ip(&answer).unwrap();
        assert_eq!(between(&packet), (HOST, CLIENT));
        let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("not UDP") };
        assert_eq!((udp.source_port(), udp.destination_port()), (7, 4000));
        assert_eq!(udp.payload(), payload);
    }
    assert!(answers(&mut net, &datagram((HOST, 9), 4000, b"hello")).is_empty());
}

#[test]
fn echoes_a_whole_ring_of_datagrams() {
    let mut net = Net::new();
    for count in 0..1000_u16 {
        net.client.link.put(&datagram(
            (HOST, 7),
            4000,
            &[&count.to_be_bytes()[..], &[0; 1000]].concat(),
        ));
    }
    for _ in 0..1000 {
        net.host.turn(net.now);
    }
    for count in 0..1000_u16 {
        let answer = net.client.link.take().unwrap();
        assert_eq!(answer[28..30], count.to_be_bytes());
    }
}

#[test]
fn two_echo_hosts_do_not_talk_for_ever() {
    let mut net = Net::new();
    assert!(answers(&mut net, &datagram((HOST, 7), 7, b"forged")).is_empty());
}

#[test]
fn drops_a_wrong_checksum() {
    let mut net = Net::new();
    let mut packet = datagram((HOST, 7), 4000, b"hello");
    assert_eq!(answers(&mut net, &packet).len(), 1);
    *packet.last_mut().unwrap() ^= 1;
    assert!(answers(&mut net, &packet).is_empty());
}

const HOST_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x90, 0, 0, 0, 0, 0x90);
const CLIENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

#[test]
fn echoes_datagrams_over_ipv6_and_answers_a_closed_port() {
    let mut net = Net::between(&[HOST_6.into()], CLIENT_6.into());
    let mut ask = |port: u16| {
        let request = built(|packet| {
            let ip = PacketBuilder::ipv6(CLIENT_6.octets(), HOST_6.octets(), 64);
            ip.udp(4000, port).write(packet, b"hello")
        });
        (answers(&mut net, &request), request)
    };
    let (answers, _) = ask(7);
    let packet = SlicedPacket::from_ip(&answers[0]).unwrap();
    assert_eq!(between(&packet), (HOST_6.into(), CLIENT_6.into()));
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("not UDP") };
    assert_eq!(
        (udp.source_port(), udp.destination_port(), udp.payload()),
        (7, 4000, &b"hello"[..])
    );
    assert_eq!(ask(9).0, [[0_u8; 0]; 0], "forgotten");
    let (answers, request) = ask(5000);
    let packet = SlicedPacket::from_ip(&answers[0]).unwrap();
    assert_eq!(between(&packet), (HOST_6.into(), CLIENT_6.into()));
    let Some(TransportSlice::Icmpv6(error)) = &packet.transport else { panic!("not ICMPv6") };
    let unreachable = icmpv6::DestUnreachableCode::Port;
    assert_eq!(error.icmp_type(), Icmpv6Type::DestinationUnreachable(unreachable));
    assert_eq!(error.payload(), &request[..]);
}

#[test]
fn answers_a_ping_over_ipv6() {
    let (host, client) = (HOST_6, CLIENT_6);
    let mut net = Net::between(&[host.into()], client.into());

    let request = built(|packet| {
        PacketBuilder::ipv6(client.octets(), host.octets(), 64)
            .icmpv6_echo_request(1, 2)
            .write(packet, b"hello")
    });
    let answer = the_answer(&mut net, &request);
    let packet = SlicedPacket::from_ip(&answer).unwrap();
    assert_eq!(between(&packet), (host.into(), client.into()));
    let Some(TransportSlice::Icmpv6(reply)) = &packet.transport else { panic!("not ICMPv6") };
    assert_eq!(reply.icmp_type(), Icmpv6Type::EchoReply(IcmpEchoHeader { id: 1, seq: 2 }));
    assert!(reply.is_checksum_valid(host.octets(), client.octets()));
}

#[test]
fn owes_no_answer_to_the_unspecified_address() {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut net = Net::new();
    for port in [7, 80] {
        let packet = built(|packet| from_to(nobody, HOST).udp(4000, port).write(packet, b"hello"));
        assert!(answers(&mut net, &packet).is_empty(), "UDP port {port}");
    }
    let ping = built(|packet| from_to(nobody, HOST).icmpv4_echo_request(1, 2).write(packet, &[]));
    assert!(answers(&mut net, &ping).is_empty());
}

#[test]
fn answers_an_unknown_protocol_with_protocol_unreachable() {
    let mut net = Net::new();
    let packet = built(|packet| from_to(CLIENT, HOST).write(packet, IpNumber(132), &[0; 12]));
    let answer = the_answer(&mut net, &packet);
    let packet = SlicedPacket::from_ip(&answer).unwrap();
    let expected = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Protocol);
    assert_eq!(icmp(&packet).icmp_type(), expected);
}

#[test]
fn a_host_of_a_vpc_sends_packets_as_long_as_its_mtu_and_no_longer() {
    let (mut net, _) = serving(Service::Echo, &["10.0.0.2"]);
    let most = usize::from(VPC_MTU) - 20 - 8;
    for (length, answers) in [(most, 1), (most + 1, 0)] {
        let echoed = asked_by_datagram(&mut net, ("10.0.0.5", "10.0.0.2", 7), &vec![9; length]);
        assert_eq!(echoed.len(), answers, "{length} bytes");
    }
}
