//! The VPC that the packets of a profile cross.
//!
//! ```text
//! private  10.1.0.0/16…  clients, each with a group that lets TCP out and nothing in
//! public   10.0.0.0/24   NAT gateway 10.0.0.220 <-> 198.51.100.10, server of `ip4` and `hyperplane` 10.0.0.10,
//!                        Hyperplane ENI 10.0.0.4
//! internet               server of `nat44` 203.0.113.80
//! ```
//!
//! In IPv6 clients are in 2001:db8:1::/64, and the server of `ip6` is 2001:db8::10; a route of 64:ff9b::/96 leads from
//! there to the NAT gateway. The clients of `hyperplane` are workloads'
//! instances, whose own VPC this one is as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use dataplane::packet::{
    AclId, Addr, EniId, GroupId, HostId, HyperplaneId, InternetGatewayId, LinkId, LinkService,
    NatGatewayId, RouteTableId, SubnetId, VpcId,
};
use dataplane::shared::PortRange;
use dataplane::tables::{
    AclRule, AddrMap, Classifier, Eni, GroupRule, GroupRules, Holder, Host, Hyperplane,
    InternetGateway, NatAddress, NatGateway, NetworkAcl, Peer, Place, Public, Role, RouteTable,
    Selector, Subnet, Tables, Target, Terms, Vpc,
};
use dataplane::wire::protocol;
use dataplane::wire::rfc6052::Prefix;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::profile::{Path, Profile};

/// The link of either server.
pub const SERVER_LINK: u16 = 0;

const NAT_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 220);
/// What a server on the internet sees.
pub const NAT_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);

const PUBLIC: u16 = 0;
const PRIVATE: u16 = 1;
const CLIENTS: u16 = 0;
const SERVERS: u16 = 1;

/// What a server in the VPC sees of workloads outside.
pub const HYPERPLANE_ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);

/// The server on the internet.
pub const REMOTE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);

/// The address of client `host`.
#[must_use]
pub fn client(path: Path, host: u16) -> IpAddr {
    match path {
        Path::Nat44 | Path::Ip4 | Path::Hyperplane => {
            let first = u32::from(Ipv4Addr::new(10, 1, 0, 0));
            Ipv4Addr::from(first + u32::from(host)).into()
        }
        Path::Nat64 | Path::Ip6 => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 1, host).into(),
    }
}

/// The link of client `host`.
#[must_use]
pub const fn client_link(host: u16) -> u16 {
    host + 1
}

/// The address that clients send to.
#[must_use]
pub fn server(path: Path) -> IpAddr {
    match path {
        Path::Nat44 => REMOTE.into(),
        Path::Ip4 | Path::Hyperplane => Ipv4Addr::new(10, 0, 0, 10).into(),
        Path::Ip6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10).into(),
        Path::Nat64 => Prefix::WELL_KNOWN.embed(REMOTE).into(),
    }
}

/// The tables of a profile's topology.
#[must_use]
pub fn tables(profile: &Profile) -> Tables {
    let path = profile.path;
    let clients = || (0..profile.hosts).map(|host| (host, Addr::from(client(path, host))));
    let inner_server = |path| Addr::from(server(path));
    let server = match path {
        Path::Nat44 | Path::Nat64 => REMOTE.into(),
        Path::Ip4 | Path::Ip6 | Path::Hyperplane => inner_server(path),
    };
    let (nat, nat_public) = (Addr::v4(NAT_PRIVATE), Addr::v4(NAT_PUBLIC));
    let (gateway, nat_gateway) = (InternetGatewayId(0), NatGatewayId(0));

    // The server of a VPC is the ENI behind those of the clients.
    let server_eni = EniId(profile.hosts);
    let at_server = match path {
        Path::Nat44 | Path::Nat64 => Place::Host(HostId(0)),
        Path::Ip4 | Path::Ip6 | Path::Hyperplane => Place::Eni(server_eni),
    };
    let places = (0..profile.hosts).map(|host| Place::Eni(EniId(host)));
    let holders = clients().map(|(host, address)| (address, Holder::Eni(EniId(host))));

    let nothing = rules(CLIENTS, &[], 0..=u16::MAX);
    let anywhere = rules(CLIENTS, &[all(), all_v6()], 0..=u16::MAX);
    let from_clients = rules(SERVERS, &[inside(), inside_v6()], 1000..=2000);
    let services = Arc::new(services());
    let eni =
        |link, subnet, address, group, egress: &Arc<GroupRules>, ingress: &Arc<GroupRules>| Eni {
            link: LinkId(link),
            subnet: SubnetId(subnet),
            addresses: std::iter::once(address).collect(),
            source_dest_check: true,
            groups: vec![GroupId(group)],
            egress: egress.clone(),
            ingress: ingress.clone(),
            services: services.clone(),
            role: Role::Interface,
        };
    let role = match path {
        Path::Hyperplane => Role::Instance(HyperplaneId(0)),
        _ => Role::Interface,
    };
    let client_eni = |(host, address)| Eni {
        role,
        ..eni(client_link(host), PRIVATE, address, CLIENTS, &anywhere, &nothing)
    };
    // Behind the server's; no link leads to it.
    let (shared_id, shared) = (EniId(profile.hosts + 1), Addr::v4(HYPERPLANE_ENI));
    let shared_eni = Eni {
        role: Role::Hyperplane(HyperplaneId(0)),
        ..eni(u16::MAX, PUBLIC, shared, CLIENTS, &anywhere, &nothing)
    };
    let server_eni = eni(SERVER_LINK, PUBLIC, server, SERVERS, &nothing, &from_clients);

    let subnet = |third: u8, index: u16| Subnet {
        vpc: VpcId(0),
        router: Addr::v4(Ipv4Addr::new(10, third, 0, 1)),
        ipv6_router: None,
        route_table: RouteTableId(index),
        network_acl: AclId(index),
    };
    let routes = |target| {
        let nat64 = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
        let local = [inside(), inside_v6()].map(|net| (net, Target::Local));
        let rest = [(all(), target), (nat64.into(), Target::NatGateway(nat_gateway))];
        RouteTable::new([local, rest].concat())
    };
    Tables {
        epoch: 1,
        links: std::iter::once(at_server).chain(places).collect(),
        enis: clients().map(client_eni).chain([server_eni, shared_eni]).collect(),
        subnets: vec![subnet(0, PUBLIC), subnet(1, PRIVATE)].into(),
        route_tables: vec![
            routes(Target::InternetGateway(gateway)),
            routes(Target::NatGateway(nat_gateway)),
        ]
        .into(),
        network_acls: vec![allow_all(), allow_all()].into(),
        vpcs: vec![Vpc {
            holders: holders
                .chain([
                    (nat, Holder::NatGateway(nat_gateway)),
                    (shared, Holder::Eni(shared_id)),
                    (inner_server(Path::Ip4), Holder::Eni(EniId(profile.hosts))),
                    (inner_server(Path::Ip6), Holder::Eni(EniId(profile.hosts))),
                ])
                .collect(),
            services: [None; 3],
        }]
        .into(),
        hyperplanes: vec![Hyperplane {
            enis: vec![shared_id],
            ports: PortRange::HYPERPLANE,
            // Of the VPC of the benches, more than AWS has: sessions are opened beside those that are known.
            connections: u32::MAX,
            ready: None,
            reclaim: None,
        }]
        .into(),
        provider: Some(VpcId(0)),
        internet_gateways: vec![InternetGateway {
            vpc: VpcId(0),
            public: [(nat, nat_public)].into_iter().collect(),
        }]
        .into(),
        nat_gateways: vec![NatGateway {
            subnet: SubnetId(PUBLIC),
            addresses: vec![NatAddress { address: nat, draining: None }],
            ports: PortRange::NAT_GATEWAY,
        }]
        .into(),
        hosts: vec![Host { link: LinkId(SERVER_LINK), addresses: vec![server] }].into(),
        internet: [
            (REMOTE.into(), Public::Host(HostId(0))),
            (nat_public, Public::Vpc { gateway, private: nat }),
        ]
        .into_iter()
        .collect(),
        ..Tables::default()
    }
}

/// Rules of one group that let TCP through, from or to these blocks and ports.
fn rules(group: u16, nets: &[IpNet], ports: std::ops::RangeInclusive<u16>) -> Arc<GroupRules> {
    let terms = nets
        .iter()
        .map(|&net| Terms {
            selector: Selector { protocol: Some(protocol::TCP), ports: ports.clone() },
            peer: Peer::Net(net),
            rule: GroupRule { group: GroupId(group), place: 0 },
        })
        .collect();
    Arc::new(GroupRules::new(terms))
}

fn allow_all() -> NetworkAcl {
    let terms = [(100, all()), (101, all_v6())].map(|(number, net)| Terms {
        selector: Selector { protocol: None, ports: 0..=u16::MAX },
        peer: Peer::Net(net),
        rule: AclRule { number, allow: true },
    });
    NetworkAcl { ingress: Classifier::compile(&terms), egress: Classifier::compile(&terms) }
}

/// What each ENI reaches at its link, as a VPC has it; no packet goes there.
fn services() -> AddrMap<(LinkService, VpcId)> {
    let at = |host: u8| Addr::v4(Ipv4Addr::new(169, 254, 169, host));
    let resolver = [Addr::v4(Ipv4Addr::new(10, 0, 0, 2)), at(253)];
    let resolver = resolver.map(|it| (it, (LinkService::Resolver, VpcId(0)))).into_iter();
    resolver
        .chain(
            [(at(254), LinkService::Metadata), (at(123), LinkService::TimeSync)]
                .map(|(it, service)| (it, (service, VpcId(0)))),
        )
        .collect()
}

fn all() -> IpNet {
    Ipv4Net::default().into()
}

fn all_v6() -> IpNet {
    Ipv6Net::default().into()
}

fn inside_v6() -> IpNet {
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32).into()
}

fn inside() -> IpNet {
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8).into()
}
