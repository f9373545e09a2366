//! Floods, forgeries and clients that vanish: memory stays bounded, the service stays up.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;
use proptest::prelude::*;
use smoltcp::socket::tcp::State;
use smoltcp::time::Duration;

use super::client::{CLIENT, HOST, Net};
use crate::endpoints::connections::MAX_CONNECTIONS;

fn syn(from: Ipv4Addr, port: u16) -> Vec<u8> {
    syn_to(80, from, port)
}

fn syn_to(service: u16, from: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.octets(), [203, 0, 113, 80], 64)
        .tcp(port, service, 1, 1024)
        .syn()
        .write(&mut packet, &[])
        .unwrap();
    packet
}

fn serves(net: &mut Net) {
    let socket = net.client.connect(HOST, 80);
    net.settle();
    net.client.send(socket, b"GET / HTTP/1.0\r\n\r\n");
    net.settle();
    assert!(net.client.read(socket).ends_with(&format!("\r\n\r\n{CLIENT}\n")));
}

#[test]
fn a_flood_of_syns_takes_no_more_than_the_cap() {
    let mut net = Net::new();
    // An idle connection from before must live through it.
    let idle = net.client.connect(HOST, 7);
    net.settle();
    for count in 0..5000_u16 {
        let from = Ipv4Addr::new(192, 0, 2, (count % 250) as u8 + 1);
        net.client.link.put(&syn(from, 1000 + count));
        if count % 500 == 499 {
            for _ in 0..8 {
                net.host.turn(net.now);
                assert!(net.host.connections() <= MAX_CONNECTIONS);
            }
            while net.client.link.take().is_some() {}
        }
    }
    assert_eq!(net.host.connections(), MAX_CONNECTIONS);
    assert!(net.host.sockets() <= MAX_CONNECTIONS + 8);
    serves(&mut net);
    net.client.send(idle, b"hello");
    net.settle();
    assert_eq!(net.client.read(idle), "hello");

    // What is left of it goes by itself.
    for _ in 0..120 {
        net.now += Duration::from_secs(1);
        net.host.turn(net.now);
        while net.client.link.take().is_some() {}
    }
    assert_eq!(net.host.connections(), 1, "only the idle one");
}

#[test]
fn clients_that_vanish_are_given_up() {
    let mut net = Net::new();
    net.client.link.put(&syn_to(7, Ipv4Addr::new(192, 0, 2, 1), 1000));
    let socket = net.client.connect(HOST, 7);
    net.settle();
    net.client.send(socket, b"hello");
    net.client.turn(net.now);
    // From here on nobody acknowledges anything.
    for (seconds, left) in [(59, 2), (2, 1), (860, 1), (10, 0)] {
        for _ in 0..seconds {
            net.now += Duration::from_secs(1);
            net.host.turn(net.now);
            while net.client.link.take().is_some() {}
        }
        assert_eq!(net.host.connections(), left, "at {}", net.now);
    }
}

#[test]
fn a_full_table_lets_the_longest_silent_go() {
    let mut net = Net::new();
    let first = net.client.connect(HOST, 7);
    net.pass(Duration::from_millis(10));
    let others: Vec<_> = (1..MAX_CONNECTIONS).map(|_| net.client.connect(HOST, 7)).collect();
    net.pass(Duration::from_millis(10));
    assert_eq!(net.host.connections(), MAX_CONNECTIONS);
    assert_eq!(net.client.state(first), State::Established);

    serves(&mut net);
    assert_eq!(net.client.state(first), State::Closed, "it was reset");
    for socket in others {
        assert_eq!(net.client.state(socket), State::Established);
    }
}

#[test]
fn ten_thousand_short_connections_leave_nothing() {
    let mut net = Net::new();
    for _ in 0..100 {
        let sockets: Vec<_> = (0..100).map(|_| net.client.connect(HOST, 80)).collect();
        net.settle();
        for &socket in &sockets {
            net.client.send(socket, b"GET / HTTP/1.0\r\n\r\n");
        }
        net.settle();
        for &socket in &sockets {
            assert!(net.client.read(socket).contains(" 200 "));
            net.client.socket(socket).close();
        }
        net.settle();
        assert_eq!(net.host.connections(), 0);
        for socket in sockets {
            net.client.forget(socket);
        }
    }
}

#[test]
fn a_reset_half_open_connection_is_forgotten() {
    let mut net = Net::new();
    let from = Ipv4Addr::new(192, 0, 2, 1);
    net.client.link.put(&syn(from, 1000));
    net.host.turn(net.now);
    assert_eq!(net.host.connections(), 1);
    let mut reset = Vec::new();
    PacketBuilder::ipv4(from.octets(), [203, 0, 113, 80], 64)
        .tcp(1000, 80, 2, 0)
        .rst()
        .write(&mut reset, &[])
        .unwrap();
    net.client.link.put(&reset);
    net.host.turn(net.now);
    assert_eq!(net.host.connections(), 0);
    while net.client.link.take().is_some() {}
    serves(&mut net);
}

proptest! {
    /// Bytes of any kind, and packets with bytes changed (checksums made right again by chance
    /// only, so the headers before them are what is tried), never end the thread.
    #[test]
    fn no_packet_panics(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut net = Net::new();
        for packet in &noise {
            net.client.link.put(packet);
        }
        let mut changed = syn(Ipv4Addr::new(192, 0, 2, 1), 1000);
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        net.client.link.put(&changed);
        net.host.turn(net.now);
        while net.client.link.take().is_some() {}
        serves(&mut net);
    }

    /// The same behind right addresses and checksums: TCP and UDP headers of any content.
    #[test]
    fn no_segment_panics(segments in prop::collection::vec(segment(), 1..40)) {
        let mut net = Net::new();
        for packet in &segments {
            net.client.link.put(packet);
            net.host.turn(net.now);
            net.now += Duration::from_millis(300);
        }
        while net.client.link.take().is_some() {}
        serves(&mut net);
    }
}

prop_compose! {
    /// Segments of a few flows, with small sequence numbers, so that some belong together.
    fn segment()(
        source in prop::sample::select(vec![
            [192, 0, 2, 1], [0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1],
            [203, 0, 113, 80], [127, 0, 0, 1],
        ]),
        from in prop::sample::select(vec![0_u16, 7, 1000]),
        to in prop::sample::select(vec![0_u16, 7, 9, 80, 81]),
        udp in any::<bool>(),
        (seq, ack, window) in (0_u32..4, any::<u32>(), any::<u16>()),
        flags in any::<u8>(),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) -> Vec<u8> {
        let ip = PacketBuilder::ipv4(source, [203, 0, 113, 80], 64);
        let mut packet = Vec::new();
        if udp {
            ip.udp(from, to).write(&mut packet, &payload).unwrap();
            return packet;
        }
        let mut tcp = ip.tcp(from, to, seq, window);
        if flags & 1 != 0 { tcp = tcp.fin() }
        if flags & 2 != 0 { tcp = tcp.syn() }
        if flags & 4 != 0 { tcp = tcp.rst() }
        if flags & 8 != 0 { tcp = tcp.psh() }
        if flags & 16 != 0 { tcp = tcp.ack(ack) }
        tcp.write(&mut packet, &payload).unwrap();
        packet
    }
}
