//! One VPC, 10.0.0.0/16 and 2600:1f18:1234:5600::/56, and two hosts on the internet; groups, ACLs and routes
//! can be changed.
//!
//! ```text
//! public-a  10.0.0.0/24  nat-a 10.0.0.220 <-> 198.51.100.10, bastion 10.0.0.10 <-> 198.51.100.20
//! private-a 10.0.1.0/24  app 10.0.1.10, db 10.0.1.20, an interface endpoint for `internet` 10.0.1.40
//! public-b  10.0.2.0/24  nat-b 10.0.2.220 <-> 198.51.100.11
//! internet               203.0.113.80, 203.0.113.90
//!
//! public-a  2600:1f18:1234:5600::/64  bastion ::10
//! private-a 2600:1f18:1234:5601::/64  app ::10, db ::20
//! public-b  2600:1f18:1234:5602::/64
//! internet                            2001:db8:80::80, 2001:db8:90::90
//!
//! job       100.64.0.4 \  outside the VPC, by a Hyperplane ENI of the group of app in private-a: 10.0.1.30, and
//! task      100.64.0.5 /  10.0.1.31 where that one is full
//!
//! resolver  10.0.0.2, 169.254.169.253, fd00:ec2::253, at the link of each ENI
//! ```
//!
//! Each ENI has a group of its own that lets everything out and nothing in, each subnet an ACL that
//! allows all. `private-a` routes to nat-a, in IPv6 what NAT64 is for, and all else of IPv6 to an egress-only
//! internet gateway; the public subnets route to the internet gateway.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use dataplane::packet::{
    AclId, Addr, EgressOnlyInternetGatewayId, EniId, GroupId, HostId, HyperplaneId,
    InternetGatewayId, LinkId, LinkService, NatGatewayId, RouteTableId, SubnetId, VpcId,
};
use dataplane::shared::PortRange;
use dataplane::tables::{
    AclRule, Choices, Classifier, Column, ConnectionTracking, Eni, Gateway, GroupRule, GroupRules,
    Holder, Host, Hyperplane, InternetGateway, NatAddress, NatGateway, NetworkAcl, Peer, Place,
    Public, Role, RouteTable, Selector, Subnet, Tables, Target, Terms, Timers, Vpc, VpcEndpoint,
};
use dataplane::time::Tick;
use ipnet::IpNet;

/// Links, ENIs and hosts are numbered apart, so that one is not taken for another.
pub const INTERNET: LinkId = LinkId(0);
pub const OTHER: LinkId = LinkId(1);
pub const APP: LinkId = LinkId(2);
pub const DB: LinkId = LinkId(3);
pub const BASTION: LinkId = LinkId(4);
pub const RESOLVER: LinkId = LinkId(5);
pub const JOB: LinkId = LinkId(6);
pub const TASK: LinkId = LinkId(7);

pub const NAT_A: NatGatewayId = NatGatewayId(0);
pub const NAT_B: NatGatewayId = NatGatewayId(1);
/// A gateway endpoint for `internet`, which no route leads to.
pub const S3: NatGatewayId = NatGatewayId(2);
/// The interface endpoint.
pub const SECRETS: NatGatewayId = NatGatewayId(3);
pub const IGW: InternetGatewayId = InternetGatewayId(0);
pub const EIGW: EgressOnlyInternetGatewayId = EgressOnlyInternetGatewayId(0);

pub const PUBLIC_A: usize = 0;
pub const PRIVATE_A: usize = 1;
pub const PUBLIC_B: usize = 2;

pub const NAT_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
pub const BASTION_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
pub const NAT_B_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 11);
pub const NAT_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 220);
pub const NAT_B_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 220);
/// Where the interface endpoint is reached.
pub const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 40);
pub const ENDPOINT_ENI: EniId = EniId(7);
/// Another address of nat-a, where its first one drains.
pub const SECOND: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 221), Ipv4Addr::new(198, 51, 100, 12)];

/// Name, link and addresses of everybody who can send; internet hosts first, then ENIs.
pub const SENDERS: [(&str, LinkId, Ipv4Addr, Ipv6Addr); 5] = [
    ("internet", INTERNET, Ipv4Addr::new(203, 0, 113, 80), outside(0x80)),
    ("other", OTHER, Ipv4Addr::new(203, 0, 113, 90), outside(0x90)),
    ("app", APP, Ipv4Addr::new(10, 0, 1, 10), inside(1, 0x10)),
    ("db", DB, Ipv4Addr::new(10, 0, 1, 20), inside(1, 0x20)),
    ("bastion", BASTION, Ipv4Addr::new(10, 0, 0, 10), inside(0, 0x10)),
];
/// Addresses of the resolver of both families; it has another of IPv4.
pub const RESOLVER_ADDRESSES: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(10, 0, 0, 2), Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253));

/// Those who send by a Hyperplane ENI.
pub const INSTANCES: [(&str, LinkId, Ipv4Addr, Ipv6Addr); 2] = [
    ("job", JOB, Ipv4Addr::new(100, 64, 0, 4), provided(4)),
    ("task", TASK, Ipv4Addr::new(100, 64, 0, 5), provided(5)),
];
/// The Hyperplane ENIs, and those who send by them.
pub const HYPERPLANE_ENIS: [EniId; 2] = [EniId(3), EniId(4)];
pub const INSTANCE_ENIS: [EniId; 2] = [EniId(5), EniId(6)];
const HYPERPLANE_ADDRESSES: [(Ipv4Addr, Ipv6Addr); 2] = [
    (Ipv4Addr::new(10, 0, 1, 30), inside(1, 0x30)),
    (Ipv4Addr::new(10, 0, 1, 31), inside(1, 0x31)),
];
const PROVIDER: VpcId = VpcId(1);

pub const SUBNETS: [&str; 3] = ["public-a", "private-a", "public-b"];

const fn outside(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, host, 0, 0, 0, 0, host)
}

const fn provided(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd64, 0, 0, 0, 0, 0, 0, host)
}

const fn inside(subnet: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2600, 0x1f18, 0x1234, 0x5600 + subnet, 0, 0, 0, host)
}

/// The address of IPv4 of whoever sits at `link`.
pub fn address(link: LinkId) -> Ipv4Addr {
    SENDERS[link.index()].2
}

/// The address of IPv6 of whoever sits at `link`.
pub fn address6(link: LinkId) -> Ipv6Addr {
    SENDERS[link.index()].3
}

fn addresses(link: LinkId) -> [Addr; 2] {
    [address(link).into(), address6(link).into()]
}

/// Where NAT64 has `address`.
pub fn nat64(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets().map(u16::from);
    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d)
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
    /// Of app, db, bastion and the interface endpoint.
    pub groups: [Group; 4],
    /// Of each subnet.
    pub acls: [Acl; 3],
    /// Of each subnet.
    pub routes: [Vec<(IpNet, Target)>; 3],
    /// Ports of both NAT gateways.
    pub ports: PortRange,
    /// Set where the address of nat-a drains until then, and [`SECOND`] is beside it.
    pub draining: Option<Tick>,
    pub choices: Choices,
    pub hyperplane: Hyperplane,
    /// What ENIs set for themselves.
    pub tracking: [ConnectionTracking; 3],
}

/// All of either family.
pub const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

const VPC_BLOCK: &str = "2600:1f18:1234:5600::/56";

pub fn everything() -> Selector {
    Selector { protocol: None, ports: 0..=u16::MAX }
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

impl Default for Topology {
    fn default() -> Self {
        let all = EVERYWHERE.map(net);
        let egress = all.map(|all| (everything(), Peer::Net(all))).into();
        let group = Group { ingress: vec![], egress };
        let allow = [(100, all[0]), (101, all[1])]
            .map(|(number, all)| (AclRule { number, allow: true }, everything(), all));
        let acl = Acl { ingress: allow.to_vec(), egress: allow.to_vec() };
        let local = ["10.0.0.0/16", VPC_BLOCK].map(|block| (net(block), Target::Local));
        let out = all.map(|all| (all, Target::InternetGateway(IGW)));
        let through = [
            (all[0], Target::NatGateway(NAT_A)),
            (net("64:ff9b::/96"), Target::NatGateway(NAT_A)),
            (all[1], Target::EgressOnlyInternetGateway(EIGW)),
        ];
        let public = [local, out].concat();
        Self {
            epoch: 1,
            groups: [group.clone(), group.clone(), group.clone(), group],
            acls: [acl.clone(), acl.clone(), acl],
            routes: [public.clone(), [&local[..], &through].concat(), public],
            ports: PortRange::NAT_GATEWAY,
            draining: None,
            choices: Choices::default(),
            hyperplane: Hyperplane {
                enis: HYPERPLANE_ENIS.into(),
                ports: PortRange::HYPERPLANE,
                connections: 65_000,
                ready: None,
                reclaim: None,
            },
            tracking: [ConnectionTracking::default(); 3],
        }
    }
}

impl Topology {
    /// Everybody accepts everything.
    pub fn open() -> Self {
        let mut topology = Self::default();
        for group in &mut topology.groups {
            group.ingress.extend(EVERYWHERE.map(|all| (everything(), Peer::Net(net(all)))));
        }
        topology
    }

    pub fn tables(&self) -> Tables {
        let subnet = |third: u8| Subnet {
            vpc: VpcId(0),
            router: Addr::v4(Ipv4Addr::new(10, 0, third, 1)),
            ipv6_router: Some(inside(third.into(), 1).into()),
            route_table: RouteTableId(third.into()),
            network_acl: AclId(third.into()),
        };
        let mut translated = vec![
            (NAT_A, NAT_PRIVATE, NAT_PUBLIC, self.draining),
            (NAT_B, NAT_B_PRIVATE, NAT_B_PUBLIC, None),
        ];
        translated.extend(self.draining.map(|_| (NAT_A, SECOND[0], SECOND[1], None)));
        let nat = |id: NatGatewayId, subnet: u16| NatGateway {
            subnet: SubnetId(subnet),
            addresses: translated
                .iter()
                .filter(|(of, ..)| *of == id)
                .map(|&(_, address, _, draining)| NatAddress { address: address.into(), draining })
                .collect(),
            ports: self.ports,
        };
        let nats = translated.iter().map(|&(id, it, ..)| (it.into(), Holder::NatGateway(id)));
        let public = translated.iter().map(|&(_, private, public, _)| (private, public));
        let public = public.chain([(address(BASTION), BASTION_PUBLIC)]);
        let public: Vec<_> = public.map(|(it, public)| (Addr::v4(it), Addr::v4(public))).collect();
        let enis = [(APP, EniId(0)), (DB, EniId(1)), (BASTION, EniId(2))];
        let shared = HYPERPLANE_ADDRESSES.into_iter().zip(HYPERPLANE_ENIS);
        let shared = shared.flat_map(|((v4, v6), eni)| {
            [Addr::from(v4), v6.into()].map(|it| (it, Holder::Eni(eni)))
        });
        let instances = INSTANCES.into_iter().zip(INSTANCE_ENIS);
        let instances = instances.flat_map(|((.., v4, v6), eni)| {
            [Addr::from(v4), v6.into()].map(|it| (it, Holder::Eni(eni)))
        });
        let holders = enis.map(|(link, eni)| addresses(link).map(|it| (it, Holder::Eni(eni))));
        let endpoint = (Addr::v4(ENDPOINT), Holder::Eni(ENDPOINT_ENI));
        let leads =
            |enis: &[EniId]| VpcEndpoint { vpc: VpcId(0), host: HostId(0), enis: enis.to_vec() };
        let hosts = [(INTERNET, HostId(0)), (OTHER, HostId(1))];
        let of_hosts = hosts.map(|(link, id)| addresses(link).map(|it| (it, Public::Host(id))));
        let host = |link: LinkId| Host { link, addresses: addresses(link).into() };
        let own = Public::Ipv6 { vpc: VpcId(0), gateway: Gateway::Internet(IGW) };
        Tables {
            epoch: self.epoch,
            links: vec![
                Place::Host(HostId(0)),
                Place::Host(HostId(1)),
                Place::Eni(EniId(0)),
                Place::Eni(EniId(1)),
                Place::Eni(EniId(2)),
                Place::Service(LinkService::Resolver, VpcId(0)),
                Place::Eni(INSTANCE_ENIS[0]),
                Place::Eni(INSTANCE_ENIS[1]),
            ]
            .into(),
            enis: vec![
                self.eni(APP, 0, 1),
                self.eni(DB, 1, 1),
                self.eni(BASTION, 2, 0),
                self.shared_eni(0),
                self.shared_eni(1),
                self.instance(0),
                self.instance(1),
                self.endpoint_eni(),
            ]
            .into(),
            subnets: [0, 1, 2].map(subnet).into_iter().collect(),
            route_tables: self.routes.iter().cloned().map(RouteTable::new).collect(),
            network_acls: self.acls.iter().map(Acl::compile).collect(),
            vpcs: vec![
                Vpc {
                    holders: holders
                        .into_iter()
                        .flatten()
                        .chain(nats)
                        .chain(shared)
                        .chain([endpoint])
                        .collect(),
                    services: [Some(RESOLVER), None, None],
                },
                Vpc { holders: instances.collect(), services: [None; 3] },
            ]
            .into(),
            hyperplanes: vec![self.hyperplane.clone()].into(),
            provider: Some(PROVIDER),
            internet_gateways: vec![InternetGateway {
                vpc: VpcId(0),
                public: public.iter().copied().collect(),
            }]
            .into(),
            nat_gateways: vec![nat(NAT_A, 0), nat(NAT_B, 2)].into(),
            vpc_endpoints: Column::by_id([
                (S3.into(), leads(&[])),
                (SECRETS.into(), leads(&[ENDPOINT_ENI])),
            ]),
            hosts: vec![host(INTERNET), host(OTHER)].into(),
            internet: public
                .into_iter()
                .map(|(private, public)| (public, Public::Vpc { gateway: IGW, private }))
                .chain(of_hosts.into_iter().flatten())
                .chain(enis.map(|(link, _)| (address6(link).into(), own)))
                .chain(HYPERPLANE_ADDRESSES.map(|(_, it)| (it.into(), own)))
                .collect(),
            timers: Timers { enis: self.tracking.into_iter().collect(), ..Timers::default() },
            choices: self.choices,
            translator: None,
        }
    }

    /// One of the Hyperplane ENIs, at no link.
    fn shared_eni(&self, place: usize) -> Eni {
        let (v4, v6) = HYPERPLANE_ADDRESSES[place];
        Eni {
            link: LinkId(u16::MAX),
            addresses: [v4.into(), v6.into()].into_iter().collect(),
            services: Arc::default(),
            role: Role::Hyperplane(HyperplaneId(0)),
            ..self.eni(APP, 0, 1)
        }
    }

    fn instance(&self, place: usize) -> Eni {
        let (_, link, v4, v6) = INSTANCES[place];
        let role = Role::Instance(HyperplaneId(0));
        Eni {
            link,
            addresses: [v4.into(), v6.into()].into_iter().collect(),
            role,
            ..self.eni(APP, 0, 1)
        }
    }

    /// The network interface of the interface endpoint.
    fn endpoint_eni(&self) -> Eni {
        Eni {
            link: LinkId(u16::MAX),
            addresses: std::iter::once(ENDPOINT.into()).collect(),
            source_dest_check: false,
            services: Arc::default(),
            role: Role::VpcEndpoint(SECRETS),
            ..self.eni(APP, 3, 1)
        }
    }

    fn eni(&self, link: LinkId, group: u16, subnet: u16) -> Eni {
        let rules = &self.groups[usize::from(group)];
        let of = |rules: &[(Selector, Peer)]| {
            let terms = (0..)
                .zip(rules)
                .map(|(place, (selector, peer))| Terms {
                    selector: selector.clone(),
                    peer: *peer,
                    rule: GroupRule { group: GroupId(group), place },
                })
                .collect();
            Arc::new(GroupRules::new(terms))
        };
        Eni {
            link,
            subnet: SubnetId(subnet),
            addresses: addresses(link).iter().copied().collect(),
            source_dest_check: true,
            groups: vec![GroupId(group)],
            egress: of(&rules.egress),
            ingress: of(&rules.ingress),
            services: Arc::new(
                resolver_addresses()
                    .map(|it| (it, (LinkService::Resolver, VpcId(0))))
                    .into_iter()
                    .collect(),
            ),
            role: Role::Interface,
        }
    }
}

fn resolver_addresses() -> [Addr; 3] {
    let (v4, v6) = RESOLVER_ADDRESSES;
    [v4.into(), Ipv4Addr::new(169, 254, 169, 253).into(), v6.into()]
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
