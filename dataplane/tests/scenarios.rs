//! What happens at a NAT gateway over minutes, and to the bytes that it does not understand.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use common::datagram::{ACK, Datagram, FIN, Payload, SYN, tcp};
use common::net::Net;
use common::topology::{APP, DB, INTERNET, Topology, address};
use dataplane::packet::{Component, LinkId, NatGatewayId, Reason};
use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, TcpOptionElement};

/// Opens and closes a connection; whether it got a port.
fn short_connection(net: &mut Net, number: u32) -> bool {
    let (client, server) = (APP, (address(INTERNET), 443));
    let port = u16::try_from(1024 + number % 60_000).unwrap();
    let from = (address(client), port);
    let syn = net.send_datagram(client, &tcp(from, server, SYN, b""));
    let Some(emitted) = syn.emitted else {
        let full = (Reason::NatPortAllocation, Component::NatGateway(NatGatewayId(0)));
        assert_eq!(syn.dropped, Some(full));
        return false;
    };
    let Datagram { src, payload: Payload::Tcp { ports, .. }, .. } = Datagram::read(&emitted.bytes)
    else {
        panic!("a SYN")
    };
    let back = (src, ports.0);
    net.send_datagram(INTERNET, &tcp(server, back, SYN | ACK, b"")).at(client);
    net.send_datagram(client, &tcp(from, server, FIN | ACK, b"")).at(INTERNET);
    net.send_datagram(INTERNET, &tcp(server, back, FIN | ACK, b"")).at(client);
    true
}

#[test]
fn n9_a_thousand_short_connections_a_second_run_out_of_ports_after_55_seconds() {
    let mut net = Net::new(&Topology::default());
    let (mut made, mut first_failure, mut failures) = (0, None, 0);
    for second in 0..70 {
        for _ in 0..1000 {
            let succeeded = short_connection(&mut net, made + failures);
            made += u32::from(succeeded);
            failures += u32::from(!succeeded);
            if !succeeded {
                first_failure.get_or_insert(second);
            }
        }
        net.advance(1);
    }
    net.check();
    assert_eq!(first_failure, Some(55), "55,000 ports at 1,000 a second");
    // From the 61st second on as many ports are free again as were closed a minute before.
    assert_eq!((made, failures), (65_000, 5_000));
}

/// A SYN with the timestamp option (RFC 7323 s. 3).
fn stamped(from: LinkId, port: u16, timestamp: u32) -> Vec<u8> {
    let (src, dst) = (address(from).octets(), address(INTERNET).octets());
    let options =
        [TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::Timestamp(timestamp, 0)];
    let builder = etherparse::PacketBuilder::ipv4(src, dst, 64).tcp(port, 80, 1, 1000).syn();
    let builder = builder.options(&options).unwrap();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).unwrap();
    bytes
}

#[test]
fn n28_two_clients_behind_one_address_keep_their_timestamps() {
    let mut net = Net::new(&Topology::default());
    // The server that takes the address for one host sees time run backwards, and drops the second.
    for (client, timestamp) in [(APP, 4_000_000_000), (DB, 1_000)] {
        let emitted = net.send(client, &stamped(client, 40_000, timestamp)).emitted.unwrap();
        Datagram::read(&emitted.bytes);
        let ip = Ipv4HeaderSlice::from_slice(&emitted.bytes).unwrap();
        assert_eq!(ip.source(), [198, 51, 100, 10], "one address for both");
        let tcp = TcpHeaderSlice::from_slice(&emitted.bytes[20..]).unwrap();
        let options: Vec<_> = tcp.options_iterator().map(Result::unwrap).collect();
        assert!(options.contains(&TcpOptionElement::Timestamp(timestamp, 0)), "{options:?}");
        assert!(options.contains(&TcpOptionElement::MaximumSegmentSize(1460)), "{options:?}");
    }
}
