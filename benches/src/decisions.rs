//! What a decision costs by many rules, beside what it costs by one: security groups, network ACLs and
//! routes by themselves, and packets to be judged by them.
//!
//! Some packets are such as a rule is about, the others any; so deep places of the compiled rules are
//! seen as well as shallow ones, in random order.

use std::hint::black_box;
use std::net::Ipv4Addr;

use dataplane::packet::{Addr, GroupId, NatGatewayId};
use dataplane::tables::{
    AclRule, Classifier, GroupRule, GroupRules, Peer, PeerOf, RouteTable, Selector, Target, Terms,
};
use dataplane::wire::protocol::{ICMP, TCP, UDP};
use fastrand::Rng;
use ipnet::{IpNet, Ipv4Net};

use crate::BATCH;

/// What a packet is judged by, peers' groups aside.
#[derive(Clone, Copy, Debug)]
struct Packet {
    protocol: u8,
    port: u16,
    peer: Addr,
}

/// An ENI's groups, and the ACLs of the subnet that a packet leaves and of the one that it enters.
#[derive(Debug)]
pub struct Rules {
    groups: GroupRules,
    acls: [Classifier<AclRule>; 2],
    packets: Vec<Packet>,
}

/// A route table.
#[derive(Debug)]
pub struct Routes {
    table: RouteTable,
    addresses: Vec<Addr>,
}

/// Decisions of a round.
pub const ROUND: usize = 8 * BATCH;

impl Rules {
    /// One rule each: what a default group and a default ACL have.
    #[must_use]
    pub fn one() -> Self {
        let terms = [(everything(), Peer::Net(everywhere()))];
        let mut random = Rng::with_seed(1);
        Self::of(&terms, [&terms, &terms], &mut random)
    }

    /// Sixty rules in each of five groups, and ACLs of forty.
    #[must_use]
    pub fn many() -> Self {
        let mut random = Rng::with_seed(2);
        let mut rules = |count| -> Vec<_> { (0..count).map(|_| rule(&mut random)).collect() };
        let (groups, leaving, entering) = (rules(300), acl(rules(39)), acl(rules(39)));
        Self::of(&groups, [&leaving, &entering], &mut random)
    }

    fn of(groups: &[(Selector, Peer)], acls: [&[(Selector, Peer)]; 2], random: &mut Rng) -> Self {
        let packets = (0..ROUND).map(|_| match random.bool() {
            true => packet(&groups[random.usize(..groups.len())], random),
            false => packet(&rule(random), random),
        });
        let packets = packets.collect();
        let terms: Vec<_> = (0_u16..)
            .zip(groups)
            .map(|(n, (selector, peer))| {
                let rule = GroupRule { group: GroupId(n / 60), place: n % 60 };
                Terms { selector: selector.clone(), peer: *peer, rule }
            })
            .collect();
        let acl = |rules: &[(Selector, Peer)]| {
            let terms: Vec<_> = (1_u16..)
                .zip(rules)
                .map(|(n, (selector, peer))| {
                    let rule = AclRule { number: n * 100, allow: n % 4 > 0 };
                    Terms { selector: selector.clone(), peer: *peer, rule }
                })
                .collect();
            Classifier::compile(&terms)
        };
        let groups = GroupRules::new(terms);
        groups.ready();
        Self { groups, acls: acls.map(acl), packets }
    }

    /// Decides on a packet a time; how many checks they have passed.
    #[must_use]
    pub fn round(&self) -> u32 {
        self.packets.iter().map(|packet| self.decide(black_box(packet))).sum()
    }

    fn decide(&self, packet: &Packet) -> u32 {
        let &Packet { protocol, port, peer } = packet;
        let groups = [GroupId(2)];
        let allowed = self.groups.allow(protocol, port, PeerOf { addr: peer, groups: &groups });
        let peer = PeerOf { addr: peer, groups: &[] };
        let [leaving, entering] = &self.acls;
        let passes = |acl: &Classifier<AclRule>| {
            acl.first(protocol, port, peer).is_some_and(|rule| rule.allow)
        };
        // Whatever one of them says, the others are asked.
        u32::from(allowed.is_some()) + u32::from(passes(leaving)) + u32::from(passes(entering))
    }
}

/// ACLs end with a rule for the rest.
fn acl(mut rules: Vec<(Selector, Peer)>) -> Vec<(Selector, Peer)> {
    for (_, peer) in &mut rules {
        if let Peer::Group(_) = peer {
            *peer = Peer::Net(IpNet::V4(local()));
        }
    }
    rules.push((everything(), Peer::Net(everywhere())));
    rules
}

fn rule(random: &mut Rng) -> (Selector, Peer) {
    let single = |port| port..=port;
    let protocol = [TCP, TCP, TCP, UDP, UDP, ICMP][random.usize(..6)];
    let ports = match random.u8(..4) {
        0 => single([22, 53, 80, 443, 3306, 5432, 8080][random.usize(..7)]),
        1 => 1024..=u16::MAX,
        2 => single(random.u16(..)),
        _ => {
            let first = random.u16(..60_000);
            first..=first + random.u16(1..5000)
        }
    };
    let peer = match random.u8(..8) {
        0 => Peer::Group(GroupId(random.u16(..5))),
        1 => Peer::Net(everywhere()),
        _ => Peer::Net(IpNet::V4(block(random))),
    };
    (Selector { protocol: Some(protocol), ports }, peer)
}

fn block(random: &mut Rng) -> Ipv4Net {
    let address = if random.bool() { 10 << 24 | random.u32(..1 << 20) } else { random.u32(..) };
    Ipv4Net::new_assert(address.into(), random.u8(12..=32)).trunc()
}

fn packet((selector, peer): &(Selector, Peer), random: &mut Rng) -> Packet {
    let peer = match peer {
        Peer::Net(IpNet::V4(net)) => within(*net, random),
        _ => Ipv4Addr::from(random.u32(..)),
    };
    Packet {
        protocol: selector.protocol.unwrap_or(TCP),
        port: random.u16(selector.ports.clone()),
        peer: Addr::v4(peer),
    }
}

fn within(net: Ipv4Net, random: &mut Rng) -> Ipv4Addr {
    random.u32(u32::from(net.network())..=u32::from(net.broadcast())).into()
}

impl Routes {
    /// So many, the default and the local route among them.
    #[must_use]
    pub fn of(count: usize) -> Self {
        let mut random = Rng::with_seed(3);
        let mut nets: Vec<Ipv4Net> = vec![Ipv4Net::default(), local()];
        while nets.len() < count {
            let net = block(&mut random);
            if net.prefix_len() <= 28 && !nets.contains(&net) {
                nets.push(net);
            }
        }
        let addresses = (0..ROUND)
            .map(|_| Addr::v4(within(nets[random.usize(..nets.len())], &mut random)))
            .collect();
        let routes =
            (0..).zip(nets).map(|(id, net)| (IpNet::V4(net), Target::NatGateway(NatGatewayId(id))));
        Self { table: RouteTable::new(routes), addresses }
    }

    /// Finds the route of an address a time; how many have one.
    #[must_use]
    pub fn round(&self) -> usize {
        let found = |&&addr: &&Addr| self.table.longest(black_box(addr)).is_some();
        self.addresses.iter().filter(found).count()
    }
}

fn local() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 16)
}

fn everything() -> Selector {
    Selector { protocol: None, ports: 0..=u16::MAX }
}

fn everywhere() -> IpNet {
    IpNet::V4(Ipv4Net::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_a_route_and_some_packets_pass() {
        assert_eq!(Routes::of(5).round(), ROUND);
        assert_eq!(Routes::of(500).round(), ROUND);
        let checks = u32::try_from(3 * ROUND).unwrap();
        assert_eq!(Rules::one().round(), checks, "one rule allows all");
        let passed = Rules::many().round();
        assert!((checks / 4..checks).contains(&passed), "{passed} of {checks}");
    }
}
