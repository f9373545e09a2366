//! One VPC, 10.0.0.0/16, and two hosts on the internet; groups, ACLs and routes can be changed.
//!
//! ```text
//! public-a  10.0.0.0/24  nat-a 10.0.0.220 <-> 198.51.100.10, bastion 10.0.0.10 <-> 198.51.100.20
//! private-a 10.0.1.0/24  app 10.0.1.10, db 10.0.1.20
//! public-b  10.0.2.0/24  nat-b 10.0.2.220 <-> 198.51.100.11
//! internet               203.0.113.80, 203.0.113.90
//! ```
//!
//! Each ENI has a group of its own that lets everything out and nothing in, each subnet an ACL that
//! allows all. `private-a` routes to nat-a, the public subnets to the internet gateway.

use std::net::Ipv4Addr;
use std::sync::Arc;

use dataplane::packet::{
    AclId, Addr, EniId, GroupId, HostId, InternetGatewayId, LinkId, NatGatewayId, RouteTableId,
    SubnetId, VpcId,
};
use dataplane::shared::PortRange;
use dataplane::tables::{
    AclRule, Choices, Classifier, ConnectionTracking, Eni, GroupRule, GroupRules, Holder, Host,
    InternetGateway, NatAddress, NatGateway, NetworkAcl, Peer, Place, Public, RouteTable, Selector,
    Subnet, Tables, Target, Terms, Timers, Vpc,
};
use ipnet::IpNet;

/// Links, ENIs and hosts are numbered apart, so that one is not taken for another.
pub const INTERNET: LinkId = LinkId(0);
pub const OTHER: LinkId = LinkId(1);
pub const APP: LinkId = LinkId(2);
pub const DB: LinkId = LinkId(3);
pub const BASTION: LinkId = LinkId(4);

pub const NAT_A: NatGatewayId = NatGatewayId(0);
pub const NAT_B: NatGatewayId = NatGatewayId(1);
pub const IGW: InternetGatewayId = InternetGatewayId(0);

pub const PUBLIC_A: usize = 0;
pub const PRIVATE_A: usize = 1;
pub const PUBLIC_B: usize = 2;

pub const NAT_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
pub const BASTION_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
pub const NAT_B_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 11);
pub const NAT_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 220);
pub const NAT_B_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 220);

/// Name, link and address of everybody who can send; internet hosts first, then ENIs.
pub const SENDERS: [(&str, LinkId, Ipv4Addr); 5] = [
    ("internet", INTERNET, Ipv4Addr::new(203, 0, 113, 80)),
    ("other", OTHER, Ipv4Addr::new(203, 0, 113, 90)),
    ("app", APP, Ipv4Addr::new(10, 0, 1, 10)),
    ("db", DB, Ipv4Addr::new(10, 0, 1, 20)),
    ("bastion", BASTION, Ipv4Addr::new(10, 0, 0, 10)),
];
pub const SUBNETS: [&str; 3] = ["public-a", "private-a", "public-b"];

/// The address of whoever sits at `link`.
pub fn address(link: LinkId) -> Ipv4Addr {
    SENDERS[link.index()].2
}

/// Rules of one group, in order.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub ingress: Vec<(Selector, Peer)>,
    pub egress: Vec<(Selector, Peer)>,
}

/// Rules of one ACL, in order.
#[derive(Clone, Debug)]
pub struct Acl {
    pub ingress: Vec<(AclRule, Selector, IpNet)>,
    pub egress: Vec<(AclRule, Selector, IpNet)>,
}

/// What tables are made of; change it and make them again.
#[derive(Clone, Debug)]
pub struct Topology {
    pub epoch: u32,
    /// Of app, db and bastion.
    pub groups: [Group; 3],
    /// Of each subnet.
    pub acls: [Acl; 3],
    /// Of each subnet.
    pub routes: [Vec<(IpNet, Target)>; 3],
    /// Ports of both NAT gateways.
    pub ports: PortRange,
    pub choices: Choices,
    /// What ENIs set for themselves.
    pub tracking: [ConnectionTracking; 3],
}

pub fn everything() -> Selector {
    Selector { protocol: None, ports: 0..=u16::MAX }
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

impl Default for Topology {
    fn default() -> Self {
        let all = net("0.0.0.0/0");
        let group = Group { ingress: vec![], egress: vec![(everything(), Peer::Net(all))] };
        let allow = vec![(AclRule { number: 100, allow: true }, everything(), all)];
        let acl = Acl { ingress: allow.clone(), egress: allow };
        let local = (net("10.0.0.0/16"), Target::Local);
        let public = vec![local, (all, Target::InternetGateway(IGW))];
        Self {
            epoch: 1,
            groups: [group.clone(), group.clone(), group],
            acls: [acl.clone(), acl.clone(), acl],
            routes: [public.clone(), vec![local, (all, Target::NatGateway(NAT_A))], public],
            ports: PortRange::NAT_GATEWAY,
            choices: Choices::default(),
            tracking: [ConnectionTracking::default(); 3],
        }
    }
}

impl Topology {
    /// Everybody accepts everything.
    pub fn open() -> Self {
        let mut topology = Self::default();
        for group in &mut topology.groups {
            group.ingress.push((everything(), Peer::Net(net("0.0.0.0/0"))));
        }
        topology
    }

    pub fn tables(&self) -> Tables {
        let subnet = |third: u8, index: u16| Subnet {
            vpc: VpcId(0),
            router: Addr::v4(Ipv4Addr::new(10, 0, third, 1)),
            ipv6_router: None,
            route_table: RouteTableId(index),
            network_acl: AclId(index),
        };
        let nat = |subnet: u16, address| NatGateway {
            subnet: SubnetId(subnet),
            addresses: vec![NatAddress { address: Addr::v4(address), draining: None }],
            ports: self.ports,
        };
        let of = |link: LinkId| Addr::v4(address(link));
        let host = |link: LinkId| Host { link, addresses: vec![of(link)] };
        let vpc = |private: Addr| Public::Vpc { gateway: IGW, private };
        Tables {
            epoch: self.epoch,
            links: vec![
                Place::Host(HostId(0)),
                Place::Host(HostId(1)),
                Place::Eni(EniId(0)),
                Place::Eni(EniId(1)),
                Place::Eni(EniId(2)),
            ]
            .into(),
            enis: vec![self.eni(APP, 0, 1), self.eni(DB, 1, 1), self.eni(BASTION, 2, 0)].into(),
            subnets: vec![subnet(0, 0), subnet(1, 1), subnet(2, 2)].into(),
            route_tables: self.routes.iter().cloned().map(RouteTable::new).collect(),
            network_acls: self.acls.iter().map(Acl::compile).collect(),
            vpcs: vec![Vpc {
                holders: [
                    (of(APP), Holder::Eni(EniId(0))),
                    (of(DB), Holder::Eni(EniId(1))),
                    (of(BASTION), Holder::Eni(EniId(2))),
                    (Addr::v4(NAT_PRIVATE), Holder::NatGateway(NAT_A)),
                    (Addr::v4(NAT_B_PRIVATE), Holder::NatGateway(NAT_B)),
                ]
                .into_iter()
                .collect(),
            }]
            .into(),
            internet_gateways: vec![InternetGateway {
                vpc: VpcId(0),
                public: [
                    (Addr::v4(NAT_PRIVATE), Addr::v4(NAT_PUBLIC)),
                    (Addr::v4(NAT_B_PRIVATE), Addr::v4(NAT_B_PUBLIC)),
                    (of(BASTION), Addr::v4(BASTION_PUBLIC)),
                ]
                .into_iter()
                .collect(),
            }]
            .into(),
            nat_gateways: vec![nat(0, NAT_PRIVATE), nat(2, NAT_B_PRIVATE)].into(),
            hosts: vec![host(INTERNET), host(OTHER)].into(),
            internet: [
                (of(INTERNET), Public::Host(HostId(0))),
                (of(OTHER), Public::Host(HostId(1))),
                (Addr::v4(NAT_PUBLIC), vpc(Addr::v4(NAT_PRIVATE))),
                (Addr::v4(NAT_B_PUBLIC), vpc(Addr::v4(NAT_B_PRIVATE))),
                (Addr::v4(BASTION_PUBLIC), vpc(of(BASTION))),
            ]
            .into_iter()
            .collect(),
            timers: Timers { enis: self.tracking.into_iter().collect(), ..Timers::default() },
            choices: self.choices,
            translator: None,
        }
    }

    fn eni(&self, link: LinkId, group: u16, subnet: u16) -> Eni {
        let rules = &self.groups[usize::from(group)];
        let compile = |rules: &[(Selector, Peer)]| {
            let terms: Vec<_> = (0..)
                .zip(rules)
                .map(|(place, (selector, peer))| Terms {
                    selector: selector.clone(),
                    peer: *peer,
                    rule: GroupRule { group: GroupId(group), place },
                })
                .collect();
            Arc::new(GroupRules::compile(&terms))
        };
        Eni {
            link,
            subnet: SubnetId(subnet),
            addresses: vec![Addr::v4(address(link))],
            source_dest_check: true,
            groups: vec![GroupId(group)],
            egress: compile(&rules.egress),
            ingress: compile(&rules.ingress),
        }
    }
}

impl Acl {
    fn compile(&self) -> NetworkAcl {
        let compile = |rules: &[(AclRule, Selector, IpNet)]| {
            let mut rules = rules.to_vec();
            rules.sort_by_key(|(rule, ..)| rule.number);
            let terms: Vec<_> = rules
                .into_iter()
                .map(|(rule, selector, net)| Terms { selector, peer: Peer::Net(net), rule })
                .collect();
            Classifier::compile(&terms)
        };
        NetworkAcl { ingress: compile(&self.ingress), egress: compile(&self.egress) }
    }
}
