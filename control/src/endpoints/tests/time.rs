//! Time Sync, asked as `chronyd` asks.

use std::time::Duration;

use smoltcp::socket::tcp::State;

use super::realm::{address, asked_by_datagram, serving};
use crate::endpoints::Service;

const SERVERS: [&str; 2] = ["169.254.169.123", "fd00:ec2::123"];

fn seconds(stamp: &[u8]) -> u32 {
    u32::from_be_bytes(*stamp.first_chunk().unwrap())
}

#[test]
fn tells_emulated_time_in_both_families() {
    let (mut net, surroundings) = serving(Service::TimeSync, &SERVERS);
    let mut request = [0; 48];
    request[0] = 0o43;
    request[40..].copy_from_slice(b"transmit");
    let mut ask = |from: &str, to: &str| {
        let mut answers = asked_by_datagram(&mut net, (from, to, 123), &request);
        assert_eq!(answers.len(), 1);
        let (source, answer) = answers.remove(0);
        assert_eq!((source.to_string().as_str(), answer.len()), (to, 48));
        assert_eq!((answer[0], &answer[24..32]), (0o44, &b"transmit"[..]));
        assert_eq!(answer[32..40], answer[40..48], "received and sent at once");
        seconds(&answer[40..48])
    };
    let first = ask("10.0.0.5", SERVERS[0]);
    surroundings.clock.advance(Duration::from_secs(86_400));
    let second = ask("2600:1f18:1234:5601::5", SERVERS[1]);
    assert_eq!((first, second), (2_208_988_800, 2_208_988_800 + 86_400));
}

#[test]
fn says_nothing_to_what_is_no_request_and_resets_tcp() {
    let (mut net, _) = serving(Service::TimeSync, &SERVERS);
    for noise in [&b"hello"[..], &[0o44; 48], &[]] {
        assert_eq!(asked_by_datagram(&mut net, ("10.0.0.5", SERVERS[0], 123), noise), []);
    }
    let socket = net.client.connect(address(SERVERS[0]), 123);
    net.settle();
    assert_eq!(net.client.state(socket), State::Closed);
}
