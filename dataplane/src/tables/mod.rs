//! What every worker reads and none changes: interfaces, routes, groups, ACLs, gateways.
//!
//! Tables are built whole by the control side, made ready and published whole ([`Published`]), and read
//! through one cached load a batch. Names never get here: things are called by their place ([`EniId`] and
//! its like), which stays theirs for the instance's life.

mod classifier;
mod column;
mod groups;
mod internet;
mod publish;
mod ranges;
mod routes;
mod timers;
mod translator;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smallvec::SmallVec;

use crate::packet::{
    AclId, Addr, Component, EniId, GroupId, HostId, HyperplaneId, InternetGatewayId, LinkId,
    LinkService, NatGatewayId, RouteTableId, SubnetId, VpcId,
};
use crate::shared::{PortRange, Reclaim};
use crate::time::Tick;
use crate::wire::protocol;
use crate::wire::rfc6052::Prefix;

pub use classifier::{Classifier, Peer, PeerOf, Selector, Terms};
pub use column::Column;
pub use groups::{Allowed, GroupRule, GroupRules};
pub use internet::{Gateway, Host, Public, VpcEndpoint};
pub use publish::{Published, Reader};
pub use routes::{ByPrefix, RouteTable, Target};
pub use timers::{Choices, ConnectionTracking, IcmpErrors, Timers};
pub use translator::{End, Mappings, Pool, StaticBindings, Translator};

/// MTU inside a VPC, in bytes (AWS "Network MTU for your EC2 instance").
pub const VPC_MTU: u16 = 9001;

/// MTU of an internet gateway, in bytes (AWS "Network MTU for your EC2 instance").
pub const INTERNET_MTU: u16 = 1500;

/// MTU of a NAT gateway, in bytes (AWS "NAT gateway basics").
pub const NAT_GATEWAY_MTU: u16 = 8500;

/// MTU of an interface endpoint, in bytes (AWS "AWS PrivateLink quotas").
pub const INTERFACE_ENDPOINT_MTU: u16 = 8500;

/// The protocol and the port that interface endpoints carry, and nothing else (AWS "Access an AWS service using an
/// interface VPC endpoint": HTTPS).
pub const INTERFACE_ENDPOINT_SERVES: (u8, u16) = (protocol::TCP, 443);

/// What routes never lead to, however wide they are: services at the link alone have these addresses
/// (AWS "Route table concepts").
pub const LINK_SERVICES: [IpNet; 2] = [IpNet::V4(SERVICES_V4), IpNet::V6(SERVICES_V6)];
const SERVICES_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 168, 0), 22);
const SERVICES_V6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32);

/// Whether an address is one of [`LINK_SERVICES`].
#[must_use]
pub fn is_service(address: Addr) -> bool {
    match address.into() {
        IpAddr::V4(address) => SERVICES_V4.contains(&address),
        IpAddr::V6(address) => SERVICES_V6.contains(&address),
    }
}

/// A map by address.
pub type AddrMap<T> = HashMap<Addr, T, FixedState>;

/// The whole of a compiled topology.
#[derive(Debug, Default)]
pub struct Tables {
    /// Counts the tables that were published; never 0. A flow judged under another epoch is judged
    /// again.
    pub epoch: u32,
    /// Who sits at each link, by [`LinkId`].
    pub links: Column<Place>,
    /// By [`EniId`].
    pub enis: Column<Eni>,
    /// By [`SubnetId`].
    pub subnets: Column<Subnet>,
    /// By [`RouteTableId`].
    pub route_tables: Column<RouteTable>,
    /// By [`AclId`].
    pub network_acls: Column<NetworkAcl>,
    /// By [`VpcId`].
    pub vpcs: Column<Vpc>,
    /// By [`InternetGatewayId`].
    pub internet_gateways: Column<InternetGateway>,
    /// By [`NatGatewayId`].
    pub nat_gateways: Column<NatGateway>,
    /// By the [`NatGatewayId`] that each has.
    pub vpc_endpoints: Column<VpcEndpoint>,
    /// By [`HostId`].
    pub hosts: Column<Host>,
    /// By [`HyperplaneId`].
    pub hyperplanes: Column<Hyperplane>,
    /// The VPC of workloads that live outside those of the topology.
    pub provider: Option<VpcId>,
    /// Who has an address on the internet.
    pub internet: AddrMap<Public>,
    /// How long devices remember.
    pub timers: Timers,
    /// What AWS leaves open.
    pub choices: Choices,
    /// What stands in the place of the NAT64 of every NAT gateway, where AWS's does not.
    pub translator: Option<Translator>,
}

/// Who sits at a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An ENI of a VPC.
    Eni(EniId),
    /// A host on the internet.
    Host(HostId),
    /// A service at the links of a VPC.
    Service(LinkService, VpcId),
}

/// Addresses of an interface: most have one, which lies with the rest.
pub type Addresses = SmallVec<[Addr; 1]>;

/// An elastic network interface. It begins with a cache line, so that it lies in two, and not one time in four in three.
#[derive(Debug)]
#[repr(align(64))]
pub struct Eni {
    /// The link that it is.
    pub link: LinkId,
    /// Where it lies.
    pub subnet: SubnetId,
    /// Its private addresses, the primary first.
    pub addresses: Addresses,
    /// Whether packets that are neither from nor to it are refused (AWS "NAT instances").
    pub source_dest_check: bool,
    /// Its security groups, sorted.
    pub groups: Vec<GroupId>,
    /// The rules of all its groups for what it sends.
    pub egress: Arc<GroupRules>,
    /// The rules of all its groups for what it gets.
    pub ingress: Arc<GroupRules>,
    /// Where it reaches which service at its link, and of which VPC.
    pub services: Arc<AddrMap<(LinkService, VpcId)>>,
    /// What it is to those who send by it.
    pub role: Role,
}

/// What an ENI is to those who send by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// An interface of a VPC.
    #[default]
    Interface,
    /// That of a workload outside the VPC, which sends into it by a Hyperplane ENI.
    Instance(HyperplaneId),
    /// A Hyperplane ENI, by which others send.
    Hyperplane(HyperplaneId),
    /// A network interface of an interface endpoint.
    VpcEndpoint(NatGatewayId),
}

/// Hyperplane ENIs that workloads outside a VPC share to send into it: those of one subnet and one set of
/// groups (AWS "Giving Lambda functions access to resources in an Amazon VPC").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hyperplane {
    /// The ENIs, in the order in which they are taken: one more where those before it are full.
    pub enis: Vec<EniId>,
    /// The ports of each towards each destination.
    pub ports: PortRange,
    /// The most connections of each, to all destinations.
    pub connections: u32,
    /// Set while the first of them is being made: when it is there.
    pub ready: Option<Tick>,
    /// When they are taken away, if ever.
    pub reclaim: Option<Reclaim>,
}

/// A subnet.
#[derive(Debug)]
pub struct Subnet {
    /// The VPC.
    pub vpc: VpcId,
    /// The implicit router: base address plus one (AWS "Subnet CIDR blocks"). Of IPv4, or of IPv6 where
    /// the subnet has no IPv4.
    pub router: Addr,
    /// Its address of IPv6, where the subnet has that.
    pub ipv6_router: Option<Addr>,
    /// Its route table.
    pub route_table: RouteTableId,
    /// Its network ACL.
    pub network_acl: AclId,
}

/// A network ACL: stateless rules, the lowest number first.
#[derive(Debug)]
pub struct NetworkAcl {
    /// For what enters a subnet.
    pub ingress: Classifier<AclRule>,
    /// For what leaves one.
    pub egress: Classifier<AclRule>,
}

/// A rule of a network ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclRule {
    /// Its number, 1 to 32766.
    pub number: u16,
    /// Whether it allows.
    pub allow: bool,
}

/// A VPC: an address space of its own.
#[derive(Debug, Default)]
pub struct Vpc {
    /// Who has which private address.
    pub holders: AddrMap<Holder>,
    /// The link of each service, by [`LinkService`]; none where nobody offers it.
    pub services: [Option<LinkId>; LinkService::ALL.len()],
}

/// Who has a private address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An ENI.
    Eni(EniId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
}

/// An internet gateway: for IPv4 a stateless 1:1 translation, for IPv6 none (AWS "Internet gateways").
#[derive(Debug)]
pub struct InternetGateway {
    /// The VPC that it is attached to.
    pub vpc: VpcId,
    /// The public address of each private one of IPv4 that has one.
    pub public: AddrMap<Addr>,
}

/// A NAT gateway (AWS "NAT gateway basics").
#[derive(Debug)]
pub struct NatGateway {
    /// Where it lies.
    pub subnet: SubnetId,
    /// Its private addresses, the primary first; never empty.
    pub addresses: Vec<NatAddress>,
    /// The ports that it gives out of each address towards each destination.
    pub ports: PortRange,
}

/// An address of a NAT gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatAddress {
    /// The private address.
    pub address: Addr,
    /// Set while it takes no new connections: when those that it has end (AWS
    /// "DisassociateNatGatewayAddress").
    pub draining: Option<Tick>,
}

impl NatGateway {
    /// Its primary address, which ICMP errors of its own come from.
    #[must_use]
    pub fn primary(&self) -> Addr {
        self.addresses.first().map_or(Addr::default(), |it| it.address)
    }

    /// Whether connections go on at `address`.
    #[must_use]
    pub fn has(&self, address: Addr, now: Tick) -> bool {
        let ended = |it: &NatAddress| it.draining.is_some_and(|end| end.is_due(now));
        self.addresses.iter().any(|it| it.address == address && !ended(it))
    }
}

impl Tables {
    /// Compiles all rules, so that no packet waits for it.
    pub fn ready(&self) {
        for (_, eni) in self.enis.iter() {
            eni.egress.ready();
            eni.ingress.ready();
        }
    }

    /// Under which IPv4 hosts have addresses of IPv6.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        self.translator.as_ref().map_or(Prefix::WELL_KNOWN, |it| it.prefix)
    }

    /// The IPv4 host that is meant by `address` at a NAT gateway.
    #[must_use]
    pub fn to_v4(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        match &self.translator {
            Some(translator) => translator.to_v4(address),
            None => Prefix::WELL_KNOWN.extract(address),
        }
    }

    /// Whether something is translated of which nothing is remembered.
    #[must_use]
    pub fn translates_without_state(&self) -> bool {
        self.translator.as_ref().is_some_and(Translator::is_stateless)
    }

    /// The translator of the RFCs, if it keeps to them where AWS does otherwise.
    #[must_use]
    pub fn strict(&self) -> Option<&Translator> {
        self.translator.as_ref().filter(|it| it.strict)
    }

    /// Who sits at `link`, if anybody does.
    #[must_use]
    pub fn place(&self, link: LinkId) -> Option<Place> {
        self.links.get(link).copied()
    }

    /// Who sits at `link`, or sat there.
    #[must_use]
    pub fn component_at(&self, link: LinkId) -> Component {
        match self.place(link) {
            Some(Place::Host(host)) => Component::InternetHost(host),
            Some(Place::Eni(eni)) => Component::Eni(eni),
            Some(Place::Service(service, vpc)) => Component::Service(service, vpc),
            // A removed interface's link, with packets still on their way; no such id is given out.
            None => Component::Eni(EniId(u16::MAX)),
        }
    }

    /// The ENI.
    ///
    /// # Panics
    ///
    /// When nothing has the id in these tables. Whatever these tables name, they have; what a flow
    /// remembers may be gone, and is looked for with [`Column::get`]. The same holds for the methods
    /// below.
    #[must_use]
    pub fn eni(&self, id: EniId) -> &Eni {
        self.enis.at(id)
    }

    /// The subnet.
    #[must_use]
    pub fn subnet(&self, id: SubnetId) -> &Subnet {
        self.subnets.at(id)
    }

    /// The route table.
    #[must_use]
    pub fn route_table(&self, id: RouteTableId) -> &RouteTable {
        self.route_tables.at(id)
    }

    /// The network ACL.
    #[must_use]
    pub fn network_acl(&self, id: AclId) -> &NetworkAcl {
        self.network_acls.at(id)
    }

    /// The VPC.
    #[must_use]
    pub fn vpc(&self, id: VpcId) -> &Vpc {
        self.vpcs.at(id)
    }

    /// The internet gateway.
    #[must_use]
    pub fn internet_gateway(&self, id: InternetGatewayId) -> &InternetGateway {
        self.internet_gateways.at(id)
    }

    /// The NAT gateway.
    #[must_use]
    pub fn nat_gateway(&self, id: NatGatewayId) -> &NatGateway {
        self.nat_gateways.at(id)
    }

    /// The VPC endpoint.
    #[must_use]
    pub fn vpc_endpoint(&self, id: NatGatewayId) -> &VpcEndpoint {
        self.vpc_endpoints.at(id)
    }

    /// The Hyperplane ENIs.
    #[must_use]
    pub fn hyperplane(&self, id: HyperplaneId) -> &Hyperplane {
        self.hyperplanes.at(id)
    }

    /// The host.
    #[must_use]
    pub fn host(&self, id: HostId) -> &Host {
        self.hosts.at(id)
    }
}
