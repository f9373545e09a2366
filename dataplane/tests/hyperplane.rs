//! How much does a Hyperplane ENI carry, in the numbers that AWS gives (AWS "Giving Lambda functions access to resources in
//! an Amazon VPC")?

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::net::Ipv4Addr;

use common::datagram::{SYN, tcp};
use common::net::Net;
use common::topology::{BASTION, DB, HYPERPLANE_ENIS, INSTANCES, Topology, address};
use dataplane::packet::LinkId;

const CONNECTIONS: u16 = 65_000;
const PORTS: u16 = 64_512;

/// The two instances' connections to `to`, `count` of them; the sources that it sees, without repetition.
fn connect(net: &mut Net, to: LinkId, ports: std::ops::Range<u32>) -> Vec<Ipv4Addr> {
    let mut seen: Vec<Ipv4Addr> = Vec::new();
    for number in ports {
        let (_, link, own) = INSTANCES[usize::try_from(number % 2).unwrap()];
        let from: (Ipv4Addr, u16) = (own, u16::try_from(1 + number / 2).unwrap());
        let packet = tcp(from, (address(to), 5432), SYN, b"");
        let arrived = net.send_datagram(link, &packet).at(to);
        let std::net::IpAddr::V4(source) = arrived.src else { panic!("{arrived:?}") };
        if !seen.contains(&source) {
            seen.push(source);
        }
    }
    seen
}

#[test]
fn the_65_001st_connection_goes_by_another_eni_whose_address_is_seen() {
    let mut net = Net::with_limit(&Topology::open(), 1 << 18, 1);
    let [first, second] = [Ipv4Addr::new(10, 0, 1, 30), Ipv4Addr::new(10, 0, 1, 31)];
    let half = u32::from(CONNECTIONS) / 2;
    assert_eq!(connect(&mut net, DB, 0..half), [first]);
    assert_eq!(connect(&mut net, BASTION, 0..half), [first]);
    let tracked = |net: &Net| HYPERPLANE_ENIS.map(|eni| net.shared.tracked.count(eni));
    assert_eq!(tracked(&net), [u32::from(CONNECTIONS), 0]);
    assert_eq!(connect(&mut net, DB, half..half + 1), [second]);
    assert_eq!(tracked(&net), [u32::from(CONNECTIONS), 1]);
    net.advance(600);
    assert_eq!(tracked(&net), [0, 0]);
    net.check();
}

#[test]
fn one_destination_has_as_many_connections_as_there_are_ports() {
    let mut net = Net::with_limit(&Topology::open(), 1 << 18, 1);
    let [first, second] = [Ipv4Addr::new(10, 0, 1, 30), Ipv4Addr::new(10, 0, 1, 31)];
    let ports = u32::from(PORTS);
    assert_eq!(connect(&mut net, DB, 0..ports), [first]);
    assert_eq!(connect(&mut net, DB, ports..ports + 1), [second]);
    assert_eq!(connect(&mut net, BASTION, 0..1), [first], "it has room for other destinations");
    net.check();
}
