//! How much does a Hyperplane ENI carry, in the numbers that AWS gives (AWS "Giving Lambda functions access to resources in
//! an Amazon VPC")?

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use common::datagram::{SYN, tcp};
use common::net::Net;
use common::topology::{BASTION, DB, HYPERPLANE_ENIS, INSTANCES, Topology, address};
use dataplane::packet::{Component, LinkId, Reason};
use dataplane::shared::{Presence, Reclaim};

const CONNECTIONS: u16 = 65_000;
const PORTS: u16 = 64_512;

/// The two instances' connections to `to`, `count` of them; the sources that it sees, without repetition.
fn connect(net: &mut Net, to: LinkId, ports: std::ops::Range<u32>) -> Vec<Ipv4Addr> {
    let mut seen: Vec<Ipv4Addr> = Vec::new();
    for number in ports {
        let (_, link, own, _) = INSTANCES[usize::try_from(number % 2).unwrap()];
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
fn what_is_idle_for_14_days_is_gone_and_made_anew_when_it_is_wanted() {
    const DAY: u64 = 24 * 60 * 60;
    let mut topology = Topology::open();
    topology.hyperplane.reclaim = Some(Reclaim { after: 14 * 24 * 60 * 60, creation: 180 });
    let mut net = Net::new(&topology);
    let reclaim = topology.hyperplane.reclaim.unwrap();
    let tell = |net: &Net, seconds| net.shared.uses.tell(Duration::from_secs(seconds));
    let presence = |net: &Net| net.shared.uses.presence(HYPERPLANE_ENIS[0], false, reclaim);
    connect(&mut net, DB, 0..1);
    net.advance(600);
    tell(&net, 14 * DAY - 1);
    assert_eq!(presence(&net), Presence::There);
    tell(&net, 14 * DAY);
    assert_eq!(presence(&net), Presence::Gone);
    let (_, link, own, _) = INSTANCES[0];
    let syn = tcp((own, 9), (address(DB), 5432), SYN, b"");
    let refused = net.send_datagram(link, &syn).dropped;
    let at = Component::Eni(HYPERPLANE_ENIS[0]);
    assert_eq!(refused, Some((Reason::HyperplanePending, at)));
    assert_eq!(presence(&net), Presence::Pending);
    tell(&net, 14 * DAY + 180);
    connect(&mut net, DB, 2..3);
    assert_eq!(presence(&net), Presence::There);
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
