//! The thread: it wakes for packets and for timers, serves several hosts, ends when told. That it
//! sleeps otherwise is in `tests/endpoints_thread.rs`, which has a process of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use smoltcp::time::Instant as NetInstant;

use super::client::{CLIENT, Client, HOST, spec, surroundings};
use crate::endpoints::{Endpoints, Knowledge};

/// Turns the client on real time until `done`.
fn until(client: &mut Client, mut done: impl FnMut(&mut Client) -> bool) {
    let start = Instant::now();
    while !done(client) {
        assert!(start.elapsed() < Duration::from_secs(20), "not done after 20 s");
        let now = NetInstant::from_micros(i64::try_from(start.elapsed().as_micros()).unwrap());
        if !client.turn(now) {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn two_hundred_clients_of_each_of_two_hosts() {
    let other = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 81));
    let (first, first_link) = spec(&[HOST]);
    let (second, second_link) = spec(&[other]);
    let mut endpoints = Endpoints::start(surroundings(Knowledge::default())).unwrap();
    endpoints.add(first).unwrap();
    endpoints.add(second).unwrap();
    for (host, link) in [(HOST, first_link), (other, second_link)] {
        let mut client = Client::new(link, CLIENT);
        let sockets: Vec<_> = (0..200).map(|_| client.connect(host, 80)).collect();
        let mut asked = vec![false; sockets.len()];
        let mut answered = vec![false; sockets.len()];
        until(&mut client, |client| {
            for (at, &socket) in sockets.iter().enumerate() {
                if !asked[at] && client.socket(socket).may_send() {
                    client.send(socket, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                    asked[at] = true;
                }
                if asked[at] && !answered[at] && client.socket(socket).can_recv() {
                    let response = client.read(socket);
                    assert!(response.ends_with(&format!("\r\n\r\n{CLIENT}\n")), "{response}");
                    answered[at] = true;
                }
            }
            answered.iter().all(|&answered| answered)
        });
    }
}

#[test]
fn wakes_for_its_own_retransmission() {
    let (host, link) = spec(&[HOST]);
    let mut endpoints = Endpoints::start(surroundings(Knowledge::default())).unwrap();
    endpoints.add(host).unwrap();
    let mut client = Client::new(link, CLIENT);
    client.connect(HOST, 80);
    client.turn(NetInstant::ZERO);
    // The SYN|ACK is left unanswered: it comes again, although nothing more is sent to the host.
    let start = Instant::now();
    let mut seen = 0;
    while seen < 2 {
        assert!(start.elapsed() < Duration::from_secs(20), "no retransmission in 20 s");
        seen += usize::from(client.link.take().is_some());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_host_that_is_removed_falls_silent_and_the_others_go_on() {
    let other = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 81));
    let (mut first, first_link) = spec(&[HOST]);
    let (mut second, second_link) = spec(&[other]);
    first.name = "first".to_owned();
    second.name = "second".to_owned();
    let mut endpoints = Endpoints::start(surroundings(Knowledge::default())).unwrap();
    endpoints.add(first).unwrap();
    endpoints.add(second).unwrap();
    let (mut gone, mut stays) = (Client::new(first_link, CLIENT), Client::new(second_link, CLIENT));
    let connects = |client: &mut Client, host| {
        let socket = client.connect(host, 80);
        until(client, |client| client.socket(socket).may_send());
    };
    connects(&mut gone, HOST);
    endpoints.remove("first");
    endpoints.remove("nobody");
    connects(&mut stays, other);
    gone.connect(HOST, 80);
    gone.turn(NetInstant::ZERO);
    connects(&mut stays, other);
    assert!(gone.link.take().is_none(), "it was asked before the other, and answers no more");
}
