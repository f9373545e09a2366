//! The resolver's transports: datagrams, and messages on a connection. What is answered is tested where it is found.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

use super::client::Net;
use super::realm::{address, asked_by_datagram, serving};
use crate::endpoints::Service;
use crate::endpoints::framing::QUERY_LIMIT;

const RESOLVERS: [&str; 3] = ["10.0.0.2", "169.254.169.253", "fd00:ec2::253"];

fn net() -> Net {
    serving(Service::Resolver, &RESOLVERS).0
}

fn connect(net: &mut Net) -> SocketHandle {
    let socket = net.client.connect(address(RESOLVERS[0]), 53);
    net.settle();
    assert_eq!(net.client.state(socket), State::Established);
    socket
}

/// For the address of `example.com` (RFC 1035 s. 4.1).
fn query(id: u16) -> Vec<u8> {
    let header = [0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    [&id.to_be_bytes()[..], &header, b"\x07example\x03com\0\0\x01\0\x01"].concat()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

/// The ids of the answers that wait to be read.
fn answered(net: &mut Net, socket: SocketHandle) -> Vec<u16> {
    ids(&net.client.bytes(socket))
}

/// The ids of whole answers.
fn ids(bytes: &[u8]) -> Vec<u16> {
    let mut rest = bytes;
    let mut ids = Vec::new();
    while let Some((length, message)) = rest.split_first_chunk() {
        let (message, behind) = message.split_at(u16::from_be_bytes(*length).into());
        assert_ne!(message[2] & 0x80, 0, "an answer");
        ids.push(u16::from_be_bytes(*message.first_chunk().unwrap()));
        rest = behind;
    }
    ids
}

#[test]
fn answers_datagrams_at_each_address_from_there() {
    let mut net = net();
    for (from, to) in [("10.0.0.5", 0), ("10.0.0.5", 1), ("2600:1f18:1234:5601::5", 2)]
        .map(|(a, b)| (a, RESOLVERS[b]))
    {
        let answers = asked_by_datagram(&mut net, (from, to, 53), &query(0x1234));
        let [(source, answer)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((*source, &answer[..2]), (address(to), &[0x12, 0x34][..]));
    }
    for noise in [&b"hello"[..], b""] {
        assert_eq!(asked_by_datagram(&mut net, ("10.0.0.5", RESOLVERS[0], 53), noise), []);
    }
}

#[test]
fn answers_a_query_in_pieces_on_a_connection() {
    let mut net = net();
    let socket = connect(&mut net);
    let query = framed(&query(7));
    let (last, pieces) = query.split_last().unwrap();
    for &byte in pieces {
        net.client.send(socket, &[byte]);
        net.settle();
        assert_eq!(answered(&mut net, socket), [0_u16; 0]);
    }
    net.client.send(socket, &[*last]);
    net.settle();
    assert_eq!(answered(&mut net, socket), [7]);
}

#[test]
fn answers_many_queries_in_their_order_and_closes_after_the_client() {
    let mut net = net();
    let socket = connect(&mut net);
    let all: Vec<u8> = (0..300).flat_map(|id| framed(&query(id))).collect();
    net.client.send(socket, &all);
    net.client.socket(socket).close();
    let mut told = Vec::new();
    for _ in 0..10 {
        net.pass(Duration::from_millis(20));
        told.extend(net.client.bytes(socket));
    }
    assert!(ids(&told).into_iter().eq(0..300), "{:?}", ids(&told));
    assert!(matches!(net.client.state(socket), State::TimeWait | State::Closed));
    assert_eq!(net.host.connections(), 0);
}

#[test]
fn a_client_that_never_speaks_is_cut_after_10_seconds() {
    let mut net = net();
    let socket = connect(&mut net);
    assert_eq!(net.host.turn(net.now), Some(Instant::from_secs(10)), "it asks to be woken");
    net.pass(Duration::from_millis(9_900));
    assert_eq!(net.client.state(socket), State::Established);
    net.pass(Duration::from_millis(200));
    assert_eq!(net.client.state(socket), State::CloseWait);
    // The client does not close either.
    net.pass(Duration::from_secs(11));
    assert_eq!(net.client.state(socket), State::Closed);
    assert_eq!(net.host.connections(), 0);
}

#[test]
fn a_client_that_stops_halfway_is_cut_10_seconds_after_its_last_query() {
    let mut net = net();
    let socket = connect(&mut net);
    net.pass(Duration::from_secs(9));
    net.client.send(socket, &framed(&query(1)));
    net.settle();
    assert_eq!(answered(&mut net, socket), [1]);
    // A byte now and then is no query.
    for byte in &framed(&query(2))[..9] {
        net.pass(Duration::from_secs(1));
        assert_eq!(net.client.state(socket), State::Established);
        net.client.send(socket, &[*byte]);
    }
    net.pass(Duration::from_millis(1_100));
    assert_eq!(net.client.state(socket), State::CloseWait);
    assert_eq!(answered(&mut net, socket), [0_u16; 0]);
}

#[test]
fn a_client_that_announces_too_much_is_hung_up_on() {
    let mut net = net();
    let most = u16::try_from(QUERY_LIMIT - 2).unwrap();
    for (length, state) in [(most, State::Established), (most + 1, State::CloseWait)] {
        let socket = connect(&mut net);
        net.client.send(socket, &length.to_be_bytes());
        net.settle();
        assert_eq!(net.client.state(socket), state, "{length}");
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    let mut net = net();
    let socket = connect(&mut net);
    let many: Vec<u8> = (0..200).flat_map(|id| framed(&query(id))).collect();
    let mut taken = 0;
    for _ in 0..100 {
        taken += net.client.socket(socket).send_slice(&many).unwrap_or(0);
        net.settle();
    }
    // Three buffers of the client, two of the host.
    assert!(taken < 100_000, "{taken} bytes");
    net.pass(Duration::from_secs(21));
    assert_eq!(net.host.connections(), 0, "it was cut");
}
