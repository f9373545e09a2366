//! Answers as long as DNS can tell, on a connection whose buffers are far shorter.

use std::net::IpAddr;

use dataplane::io::memory::pair;
use dataplane::tables::{INTERNET_MTU, VPC_MTU};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::HardwareAddress;

use super::client::{CLIENT, Client, HOST};
use crate::endpoints::framing::{self, QUERY_LIMIT};
use crate::endpoints::link::HostLink;
use crate::endpoints::outbox::Outbox;

/// Sends `queries` to a server that answers each with as many bytes as it says, and gives what came back once the server
/// has closed.
fn conversation(queries: &[u8], mtu: u16) -> Vec<u8> {
    let (link, peer) = pair(4096).unwrap();
    let mut now = Instant::ZERO;
    let mut link_of_host = HostLink::new(peer, vec![HOST], mtu.into());
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut link_of_host, now);
    interface.set_any_ip(true);
    let buffer = |length| SocketBuffer::new(vec![0; length]);
    let mut socket = Socket::new(buffer(QUERY_LIMIT), buffer(1000));
    socket.listen(53).unwrap();
    let mut sockets = SocketSet::new(Vec::new());
    let server = sockets.add(socket);

    let answer = |query: &[u8], caller: IpAddr| {
        assert_eq!(caller, CLIENT);
        let length = u32::from_be_bytes(*query.first_chunk()?);
        Some((0..length).map(|at| (at % 251) as u8).collect())
    };
    let mut outbox = Outbox::default();
    let mut client = Client::new(link, CLIENT);
    let asking = client.connect(HOST, 53);
    let (mut sent, mut received) = (false, Vec::new());
    for _ in 0..100_000 {
        client.turn(now);
        if !sent && client.socket(asking).may_send() {
            client.send(asking, queries);
            client.socket(asking).close();
            sent = true;
        }
        received.extend(client.bytes(asking));
        interface.poll(now, &mut link_of_host, &mut sockets);
        let socket = sockets.get_mut::<Socket<'_>>(server);
        if !matches!(socket.state(), State::Listen | State::SynReceived) {
            framing::converse(socket, &mut outbox, answer);
        }
        if matches!(client.state(asking), State::TimeWait | State::Closed) {
            return received;
        }
        now += Duration::from_millis(1);
    }
    panic!("the server does not close");
}

fn query(answer: u32) -> Vec<u8> {
    [&[0, 4][..], &answer.to_be_bytes()].concat()
}

#[test]
fn answers_of_every_length_arrive_whole_and_in_order() {
    let lengths = [0, 1, 997, 998, 999, 4096, 65_535, 3, 65_534];
    let queries: Vec<u8> = lengths.iter().flat_map(|&length| query(length)).collect();
    for mtu in [INTERNET_MTU, VPC_MTU] {
        let received = conversation(&queries, mtu);
        let mut rest = &received[..];
        for length in lengths {
            let (told, behind) = rest.split_first_chunk().unwrap();
            assert_eq!(u32::from(u16::from_be_bytes(*told)), length);
            let (message, behind) = behind.split_at(length as usize);
            assert!(
                message.iter().zip(0..).all(|(&byte, at): (_, u32)| u32::from(byte) == at % 251)
            );
            rest = behind;
        }
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[test]
fn queries_without_an_answer_are_passed_over() {
    let silent = [0, 0, 0, 1, 9, 0, 3, 9, 9, 9];
    assert!(conversation(&silent, INTERNET_MTU).is_empty());
    let queries = [&silent[..], &query(1), &[0, 9, 1]].concat();
    assert_eq!(conversation(&queries, INTERNET_MTU), [0, 1, 0], "and half a one at the end");
    assert!(conversation(&query(65_536), INTERNET_MTU).is_empty(), "it cannot be told");
}
