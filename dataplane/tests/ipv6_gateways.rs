//! What does a VPC let out to the internet in IPv6, and what in? Headers are judged as those of live
//! packets are.
//!
//! ```text
//! 2600:1f18:1234:5600::/56   public ::/0 to the internet gateway, private ::/0 to the egress-only one
//! internet                   2001:db8:90::90
//! ```
//!
//! Groups and ACLs allow everything.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use dataplane::packet::{
    AclId, Addr, Component, EgressOnlyInternetGatewayId, EniId, GroupId, HostId, InternetGatewayId,
    Key, LinkId, Reason, RouteTableId, SubnetId, VpcId,
};
use dataplane::path::admit::{Denial, Headers, Hop, HopVerdict, Refusal, admit};
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::{Device, Shard};
use dataplane::tables::{
    AclRule, Classifier, Eni, Gateway, GroupRule, GroupRules, Holder, Host, InternetGateway,
    NetworkAcl, Peer, Place, Public, Role, RouteTable, Selector, Subnet, Tables, Target, Terms,
    Vpc,
};
use dataplane::wire::protocol::{ICMPV6, TCP, UDP};
use dataplane::wire::tcp::flags::{ACK, SYN};

const HOST: LinkId = LinkId(0);
const PUBLIC: LinkId = LinkId(1);
const PRIVATE: LinkId = LinkId(2);
/// An address of the host that is none of the internet.
const UNIQUE_LOCAL: &str = "fd12:3456:789a:1::10";

const IGW: InternetGatewayId = InternetGatewayId(0);
const EIGW: EgressOnlyInternetGatewayId = EgressOnlyInternetGatewayId(0);
const AT_IGW: Component = Component::InternetGateway(IGW);
const AT_EIGW: Component = Component::EgressOnlyInternetGateway(EIGW);

fn routes(out: Target) -> RouteTable {
    let local = ("2600:1f18:1234:5600::/56".parse().unwrap(), Target::Local);
    RouteTable::new([local, ("::/0".parse().unwrap(), out)])
}

fn addr(text: &str) -> Addr {
    text.parse::<Ipv6Addr>().unwrap().into()
}

fn address(link: LinkId) -> Addr {
    addr(match link {
        PUBLIC => "2600:1f18:1234:5601::10",
        PRIVATE => "2600:1f18:1234:5602::10",
        _ => "2001:db8:90::90",
    })
}

struct World {
    tables: Tables,
    shard: Shard,
}

impl World {
    /// The internet reaches the VPC by `gateway` where routes do not say otherwise.
    fn new(gateway: Gateway) -> Self {
        let (vpc, all) = (VpcId(0), "::/0".parse().unwrap());
        let selector = Selector { protocol: None, ports: 0..=u16::MAX };
        let rule = GroupRule { group: GroupId(0), place: 0 };
        let open = Terms { selector: selector.clone(), peer: Peer::Net(all), rule };
        let open = Arc::new(GroupRules::new(vec![open]));
        let rule = AclRule { number: 101, allow: true };
        let allow = Classifier::compile(&[Terms { selector, peer: Peer::Net(all), rule }]);
        let eni = |link: LinkId, index: u16| Eni {
            link,
            subnet: SubnetId(index),
            addresses: [address(link), addr(UNIQUE_LOCAL)].into_iter().collect(),
            source_dest_check: true,
            groups: vec![GroupId(0)],
            egress: open.clone(),
            ingress: open.clone(),
            services: Arc::default(),
            role: Role::Interface,
        };
        let subnet = |index: u16| Subnet {
            vpc,
            router: addr("2600:1f18:1234:5601::1"),
            ipv6_router: Some(addr("2600:1f18:1234:5601::1")),
            route_table: RouteTableId(index),
            network_acl: AclId(0),
        };
        let enis = [(PUBLIC, EniId(0)), (PRIVATE, EniId(1))];
        let holders = enis.map(|(link, eni)| (address(link), Holder::Eni(eni)));
        let public = enis.map(|(link, _)| (address(link), Public::Ipv6 { vpc, gateway }));
        let tables = Tables {
            epoch: 1,
            links: vec![Place::Host(HostId(0)), Place::Eni(EniId(0)), Place::Eni(EniId(1))].into(),
            enis: vec![eni(PUBLIC, 0), eni(PRIVATE, 1)].into(),
            subnets: vec![subnet(0), subnet(1)].into(),
            route_tables: vec![
                routes(Target::InternetGateway(IGW)),
                routes(Target::EgressOnlyInternetGateway(EIGW)),
            ]
            .into(),
            network_acls: vec![NetworkAcl { ingress: allow.clone(), egress: allow }].into(),
            vpcs: vec![Vpc { holders: holders.into_iter().collect(), ..Vpc::default() }].into(),
            internet_gateways: vec![InternetGateway { vpc, public: Default::default() }].into(),
            hosts: vec![Host { link: HOST, addresses: vec![address(HOST)] }].into(),
            internet: public
                .into_iter()
                .chain([(address(HOST), Public::Host(HostId(0)))])
                .collect(),
            ..Tables::default()
        };
        let shared = Arc::new(Shared::default());
        Self { tables, shard: Shard::new(WorkerId(0), shared, 64, 1) }
    }

    /// Judges a packet; the hops at gateways, or why and where it was dropped.
    fn judge(&mut self, headers: &Headers) -> Result<Vec<Component>, (Reason, Component)> {
        let mut hops: Vec<Hop> = Vec::new();
        let hash = self.shard.flows.hash(&headers.key);
        match admit(headers, hash, &mut self.shard, &self.tables, &mut hops) {
            Ok(_) => {
                let gateways = hops.iter().filter(|hop| matches!(hop.component, AT_IGW | AT_EIGW));
                let gateways = gateways.map(|hop| {
                    assert_eq!(hop.verdict, HopVerdict::Forward, "no address changes");
                    hop.component
                });
                Ok(gateways.collect())
            }
            Err(Refusal::Denied(Denial { reason, component, .. })) => {
                Err((reason, component.unwrap()))
            }
            Err(other) => unreachable!("one shard owns every flow: {other:?}"),
        }
    }

    fn send(&mut self, from: LinkId, to: LinkId, protocol: u8, flags: u8) -> Judged {
        // Who begins uses the high port.
        let port = |link| if link == HOST { 80 } else { 40_000 };
        let ends = [from, to].map(|link| match protocol {
            ICMPV6 => (address(link), if link == HOST { 0 } else { 7 }),
            _ => (address(link), port(link)),
        });
        let key = Key::new(from, protocol, ends[0], ends[1]);
        let selector = if protocol == ICMPV6 { 128 << 8 } else { ends[1].1 };
        self.judge(&Headers {
            key,
            selector,
            tcp_flags: flags,
            error: None,
            fragment: false,
            packets: 1,
        })
    }

    fn wait(&mut self, seconds: u64) {
        self.shard.stamp(self.shard.elapsed() + Duration::from_secs(seconds));
    }
}

type Judged = Result<Vec<Component>, (Reason, Component)>;

/// Both gateways are there.
fn both() -> World {
    World::new(Gateway::Internet(IGW))
}

#[test]
fn an_internet_gateway_lets_pass_both_ways_and_translates_nothing() {
    let mut world = both();
    for protocol in [TCP, UDP, ICMPV6, 47] {
        assert_eq!(world.send(PUBLIC, HOST, protocol, SYN), Ok(vec![AT_IGW]), "{protocol}");
        assert_eq!(world.send(HOST, PUBLIC, protocol, SYN | ACK), Ok(vec![AT_IGW]), "{protocol}");
    }
    let mut world = both();
    assert_eq!(world.send(HOST, PUBLIC, TCP, SYN), Ok(vec![AT_IGW]), "from outside too");
    assert_eq!(world.send(PUBLIC, HOST, TCP, SYN | ACK), Ok(vec![AT_IGW]));
}

#[test]
fn an_egress_only_gateway_lets_in_answers_alone() {
    for gateway in [Gateway::Internet(IGW), Gateway::EgressOnly(EIGW)] {
        for protocol in [TCP, UDP, ICMPV6, 47] {
            let mut world = World::new(gateway);
            let unsolicited = Err((Reason::EgressOnly, AT_EIGW));
            assert_eq!(world.send(HOST, PRIVATE, protocol, SYN), unsolicited, "{protocol}");
            assert_eq!(world.send(PRIVATE, HOST, protocol, SYN), Ok(vec![AT_EIGW]), "{protocol}");
            assert_eq!(world.send(HOST, PRIVATE, protocol, ACK), Ok(vec![AT_EIGW]), "{protocol}");
        }
    }
}

#[test]
fn an_egress_only_gateway_remembers_for_350_seconds_and_again_with_the_next_packet_out() {
    let mut world = both();
    let unsolicited = Err((Reason::EgressOnly, AT_EIGW));
    let handshake = [(PRIVATE, HOST, SYN), (HOST, PRIVATE, SYN | ACK), (PRIVATE, HOST, ACK)];
    for (from, to, flags) in handshake {
        assert_eq!(world.send(from, to, TCP, flags), Ok(vec![AT_EIGW]));
    }
    world.wait(349);
    assert_eq!(world.send(HOST, PRIVATE, TCP, ACK), Ok(vec![AT_EIGW]));
    world.wait(351);
    assert_eq!(world.send(HOST, PRIVATE, TCP, ACK), unsolicited);
    assert_eq!(world.send(PRIVATE, HOST, TCP, ACK), Ok(vec![AT_EIGW]));
    assert_eq!(world.send(HOST, PRIVATE, TCP, ACK), Ok(vec![AT_EIGW]));
}

#[test]
fn what_passes_an_egress_only_gateway_is_tracked_whatever_the_rules_say() {
    let entries = |world: &World| {
        let flow = world.shard.flows.live().next().unwrap();
        let (_, cold) = world.shard.flows.parts(flow).unwrap();
        let facets = cold.facets().iter();
        facets.map(|facet| (facet.device, facet.is_tracked())).collect::<Vec<_>>()
    };
    let mut world = both();
    world.send(PRIVATE, HOST, TCP, SYN).unwrap();
    let eigw = Device::EgressOnlyInternetGateway(EIGW);
    assert_eq!(entries(&world), [(Device::Eni(EniId(1)), true), (eigw, false)]);
    let mut world = both();
    world.send(PUBLIC, HOST, TCP, SYN).unwrap();
    assert_eq!(entries(&world), [(Device::Eni(EniId(0)), false)]);
}

#[test]
fn an_answer_to_what_came_by_another_way_is_not_let_out() {
    let mut world = both();
    world.send(HOST, PUBLIC, TCP, SYN).unwrap();
    // The public subnet is routed by the egress-only gateway from here on.
    let out = routes(Target::EgressOnlyInternetGateway(EIGW));
    world.tables.route_tables = vec![out].into();
    world.tables.epoch = 2;
    let refused = Err((Reason::EgressOnly, AT_EIGW));
    assert_eq!(world.send(PUBLIC, HOST, TCP, SYN | ACK), refused);
    assert_eq!(world.send(HOST, PUBLIC, TCP, ACK), refused);
}

#[test]
fn errors_pass_with_the_flow_that_they_quote() {
    let error = |world: &mut World| {
        let (own, host) = ((address(PRIVATE), 40_000), (address(HOST), 80));
        let key = Key::new(HOST, TCP, host, own);
        let router = Some((address(HOST), address(PRIVATE)));
        // Packet too big (RFC 4443 s. 3.2).
        world.judge(&Headers {
            key,
            selector: 2 << 8,
            tcp_flags: 0,
            error: router,
            fragment: false,
            packets: 1,
        })
    };
    let mut world = both();
    assert_eq!(error(&mut world), Err((Reason::IcmpUnmatched, AT_EIGW)));
    world.send(PRIVATE, HOST, TCP, SYN).unwrap();
    assert_eq!(error(&mut world), Ok(vec![AT_EIGW]));
}

#[test]
fn only_what_the_internet_can_answer_leaves() {
    for (link, gateway) in [(PUBLIC, AT_IGW), (PRIVATE, AT_EIGW)] {
        let mut world = both();
        let mut send = |from: &str, to: &str| {
            let key = Key::new(link, UDP, (addr(from), 5000), (addr(to), 53));
            world.judge(&Headers {
                key,
                selector: 53,
                tcp_flags: 0,
                error: None,
                fragment: false,
                packets: 1,
            })
        };
        let own = IpAddr::from(address(link)).to_string();
        assert_eq!(send(UNIQUE_LOCAL, "2001:db8:90::90"), Err((Reason::NoPublicAddress, gateway)));
        assert_eq!(send(&own, "2001:db8::1"), Err((Reason::NoPath, gateway)));
        let subnet = Component::Subnet(SubnetId(link.0 - 1));
        assert_eq!(send(&own, "ff02::1"), Err((Reason::Multicast, subnet)));
    }
}
