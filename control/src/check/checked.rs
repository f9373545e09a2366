//! What a right topology says, with nothing left to look up.
//!
//! Names are resolved to indices, defaults are filled in, addresses are assigned. The `default`
//! security group, the `default` network ACL and the `main` route table of each VPC stand behind
//! the declared ones, marked `implicit`. [`Checked`] is the witness that all of it holds: only
//! [`check`](super::check) makes one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Deref, Index};

use dataplane::tables::ConnectionTracking;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use crate::check::aws::{AwsService, SERVICES};
pub use crate::check::dns::{Dhcp, DhcpOptions, PrivateHostedZone, ZoneRecords};
pub use crate::check::nat64::{Nat64, Nat64Mapping, Nat64Pool, Nat64Static};
pub use crate::check::profile::Profile;
pub use crate::check::provider::{INSTANCES, PROVIDER};
use crate::check::ruled::{NetworkAcl, PrefixList, SecurityGroup};
pub use crate::check::vpc_endpoints::{EndpointKind, VpcEndpoint};
pub use crate::check::workloads::{Hyperplane, Role, Workload, WorkloadKind};
pub use crate::endpoints::{MetadataOptions, Service};

/// A topology that [`read`](super::read) found nothing wrong with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked(Topology);

impl Checked {
    /// Vouches for `topology`; called once, where the last fault has been looked for.
    pub(super) fn vouch(topology: Topology) -> Self {
        Self(topology)
    }
}

impl Deref for Checked {
    type Target = Topology;

    fn deref(&self) -> &Topology {
        &self.0
    }
}

/// All that a topology file declares, each kind in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The AWS region, `us-east-1` unless the file names one.
    pub region: String,
    /// The VPCs.
    pub vpcs: Vec<Vpc>,
    /// The internet gateways; at most one a VPC.
    pub internet_gateways: Vec<InternetGateway>,
    /// The egress-only internet gateways; at most one a VPC.
    pub egress_only_internet_gateways: Vec<EgressOnlyInternetGateway>,
    /// The subnets.
    pub subnets: Vec<Subnet>,
    /// The route tables: declared ones, then `main` of each VPC that names no other.
    pub route_tables: Vec<RouteTable>,
    /// The NAT gateways.
    pub nat_gateways: Vec<NatGateway>,
    /// The security groups: declared ones, then `default` of each VPC that names no other.
    pub security_groups: Vec<SecurityGroup>,
    /// The network ACLs: declared ones, then `default` of each VPC that names no other.
    pub network_acls: Vec<NetworkAcl>,
    /// The prefix lists: declared ones, then those that AWS manages.
    pub prefix_lists: Vec<PrefixList>,
    /// The DHCP option sets that the file declares.
    pub dhcp_options: Vec<DhcpOptions>,
    /// The private hosted zones.
    pub private_hosted_zones: Vec<PrivateHostedZone>,
    /// The network interfaces: declared ones, then those of workloads and of VPC endpoints.
    pub network_interfaces: Vec<NetworkInterface>,
    /// The Hyperplane ENIs that workloads share.
    pub hyperplanes: Vec<Hyperplane>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// The VPC endpoints.
    pub vpc_endpoints: Vec<VpcEndpoint>,
    /// The hosts of the simulated internet: declared ones, then the public sides of AWS's services.
    pub internet_hosts: Vec<InternetHost>,
    /// What AWS leaves open.
    pub profile: Profile,
}

macro_rules! indices {
    ($($(#[$doc:meta])* $index:ident, $item:ident, $field:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $index(pub usize);

        impl Index<$index> for Topology {
            type Output = $item;

            fn index(&self, index: $index) -> &$item {
                &self.$field[index.0]
            }
        }
    )*};
}

indices! {
    /// A place in [`Topology::vpcs`].
    VpcIndex, Vpc, vpcs;
    /// A place in [`Topology::internet_gateways`].
    InternetGatewayIndex, InternetGateway, internet_gateways;
    /// A place in [`Topology::egress_only_internet_gateways`].
    EgressOnlyInternetGatewayIndex, EgressOnlyInternetGateway, egress_only_internet_gateways;
    /// A place in [`Topology::subnets`].
    SubnetIndex, Subnet, subnets;
    /// A place in [`Topology::route_tables`].
    RouteTableIndex, RouteTable, route_tables;
    /// A place in [`Topology::nat_gateways`].
    NatGatewayIndex, NatGateway, nat_gateways;
    /// A place in [`Topology::security_groups`].
    SecurityGroupIndex, SecurityGroup, security_groups;
    /// A place in [`Topology::network_acls`].
    NetworkAclIndex, NetworkAcl, network_acls;
    /// A place in [`Topology::prefix_lists`].
    PrefixListIndex, PrefixList, prefix_lists;
    /// A place in [`Topology::dhcp_options`].
    DhcpOptionsIndex, DhcpOptions, dhcp_options;
    /// A place in [`Topology::network_interfaces`].
    NetworkInterfaceIndex, NetworkInterface, network_interfaces;
    /// A place in [`Topology::hyperplanes`].
    HyperplaneIndex, Hyperplane, hyperplanes;
    /// A place in [`Topology::vpc_endpoints`].
    VpcEndpointIndex, VpcEndpoint, vpc_endpoints;
    /// A place in [`Topology::internet_hosts`].
    InternetHostIndex, InternetHost, internet_hosts;
}

/// A virtual private cloud: one realm of private addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// Its key in the file.
    pub name: String,
    /// `vpc-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// Its blocks of IPv4, the primary one first; never empty, never overlapping.
    pub cidrs: Vec<Ipv4Net>,
    /// Its block of IPv6: /44 to /60, apart from every other VPC's.
    pub ipv6_cidr: Option<Ipv6Net>,
    /// Whether the VPC resolver answers.
    pub dns_support: bool,
    /// Whether interfaces with public addresses get DNS names.
    pub dns_hostnames: bool,
    /// What those who start in it are told by DHCP.
    pub dhcp: Dhcp,
    /// The group of interfaces that name none.
    pub default_group: SecurityGroupIndex,
    /// The ACL of subnets that name none.
    pub default_acl: NetworkAclIndex,
    /// The table of subnets that name none.
    pub main_table: RouteTableIndex,
    /// The internet gateway attached to it.
    pub internet_gateway: Option<InternetGatewayIndex>,
    /// The egress-only internet gateway attached to it.
    pub egress_only: Option<EgressOnlyInternetGatewayIndex>,
}

impl Vpc {
    /// Where its resolver answers: the primary block's base plus two (AWS "Understanding Amazon DNS").
    #[must_use]
    pub fn resolver(&self) -> Ipv4Addr {
        let primary = self.cidrs.first().map_or(0, |block| block.network().to_bits());
        Ipv4Addr::from_bits(primary.wrapping_add(2))
    }

    /// Its blocks of both families. Each is a `local` route in every route table of the VPC.
    pub fn blocks(&self) -> impl Iterator<Item = IpNet> {
        let ipv6 = self.ipv6_cidr.into_iter().map(IpNet::V6);
        self.cidrs.iter().copied().map(IpNet::V4).chain(ipv6)
    }
}

/// An internet gateway, attached to a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetGateway {
    /// Its key in the file.
    pub name: String,
    /// `igw-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The VPC that it is attached to.
    pub vpc: VpcIndex,
}

/// An egress-only internet gateway, attached to a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressOnlyInternetGateway {
    /// Its key in the file.
    pub name: String,
    /// `eigw-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The VPC that it is attached to.
    pub vpc: VpcIndex,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its key in the file.
    pub name: String,
    /// `subnet-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The VPC that it lies in.
    pub vpc: VpcIndex,
    /// Such as `us-east-1a`.
    pub availability_zone: String,
    /// Inside one of the VPC's blocks, apart from every other subnet of the VPC; /16 to /28. None where the subnet is of
    /// IPv6 alone.
    pub cidr: Option<Ipv4Net>,
    /// Inside the VPC's block of IPv6, apart from every other subnet; /44 to /64.
    pub ipv6_cidr: Option<Ipv6Net>,
    /// The table that packets leaving it are routed by; of the same VPC.
    pub route_table: RouteTableIndex,
    /// The ACL at its border; of the same VPC.
    pub network_acl: NetworkAclIndex,
    /// Whether the VPC resolver answers it by DNS64.
    pub dns64: bool,
}

impl Subnet {
    /// The implicit router of IPv4: base address plus one (AWS "Subnet CIDR blocks").
    #[must_use]
    pub fn router(&self) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from_bits(self.cidr?.network().to_bits() + 1))
    }

    /// The implicit router of IPv6, likewise. AWS's is link-local too, which has no meaning on a device without layer 2.
    #[must_use]
    pub fn ipv6_router(&self) -> Option<Ipv6Addr> {
        Some(Ipv6Addr::from_bits(self.ipv6_cidr?.network().to_bits() + 1))
    }
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// Its key in the file, or `main`.
    pub name: String,
    /// `rtb-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The VPC that it belongs to.
    pub vpc: VpcIndex,
    /// The static routes, in file order, no two to one destination. The `local` routes follow from [`Vpc::blocks`].
    pub routes: Vec<Route>,
    /// Whether it is the `main` table that a VPC has undeclared.
    pub implicit: bool,
}

/// A static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to; canonical (no host bits).
    pub destination: IpNet,
    /// By way of what.
    pub target: RouteTarget,
}

/// What a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteTarget {
    /// An internet gateway of the same VPC.
    InternetGateway(InternetGatewayIndex),
    /// An egress-only internet gateway of the same VPC; of destinations in IPv6.
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayIndex),
    /// A NAT gateway of the same VPC; of destinations in IPv4, and of 64:ff9b::/96.
    NatGateway(NatGatewayIndex),
    /// Nothing: packets are dropped.
    Blackhole,
}

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatGateway {
    /// Its key in the file.
    pub name: String,
    /// `nat-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The subnet that it stands in; if the gateway is public, that VPC has an internet gateway.
    pub subnet: SubnetIndex,
    /// Its addresses, the primary first: one to eight.
    pub addresses: Vec<NatAddress>,
    /// How long, in seconds, connections go on at an address that is taken away: 1 to 4000.
    pub drain: u32,
    /// Whether it was deleted: a blackhole, whose public addresses nobody else has.
    pub deleted: bool,
}

impl NatGateway {
    /// What the internet sees, the primary address first; empty if the gateway is private.
    pub fn public_ips(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses.iter().filter_map(|it| it.public_ip)
    }
}

/// An address of a NAT gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatAddress {
    /// In the gateway's subnet.
    pub private_ip: Ipv4Addr,
    /// What the internet sees; none iff the gateway is private.
    pub public_ip: Option<Ipv4Addr>,
}

/// An elastic network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInterface {
    /// Its key in the file.
    pub name: String,
    /// `eni-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The subnet that it lies in.
    pub subnet: SubnetIndex,
    /// Its address in the subnet; unlike any other of the VPC. None where the subnet is of IPv6 alone: then it has one of
    /// IPv6.
    pub private_ip: Option<Ipv4Addr>,
    /// Its addresses of IPv6 in the subnet; each unlike any other of the file.
    pub ipv6_addresses: Vec<Ipv6Addr>,
    /// Its groups, of the same VPC: 1 to 16, none twice.
    pub security_groups: Vec<SecurityGroupIndex>,
    /// The address that an internet gateway translates [`Self::private_ip`] to and from.
    pub public_ip: Option<Ipv4Addr>,
    /// Whether packets that are neither from nor to it are dropped.
    pub source_dest_check: bool,
    /// How long it tracks silent flows, where it sets that itself; within AWS's bounds.
    pub connection_tracking: ConnectionTracking,
    /// How the instance metadata service answers it.
    pub metadata: MetadataOptions,
    /// What it is to those who send by it.
    pub role: Role,
}

impl NetworkInterface {
    /// Whether processes sit on it, in a namespace: not on one that workloads share, nor on an endpoint's.
    #[must_use]
    pub const fn is_seat(&self) -> bool {
        match self.role {
            Role::Interface | Role::Instance(_) => true,
            Role::Hyperplane(_) | Role::VpcEndpoint(_) => false,
        }
    }

    /// Its own addresses, that of IPv4 first; at least one.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv6 = self.ipv6_addresses.iter().copied().map(IpAddr::V6);
        self.private_ip.map(IpAddr::V4).into_iter().chain(ipv6)
    }
}

/// A host of the simulated internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetHost {
    /// Its key in the file.
    pub name: String,
    /// Its addresses in file order: at least one, each unlike any other public address.
    pub addresses: Vec<IpAddr>,
    /// The built-in services that it offers.
    pub serves: Vec<Service>,
    /// Whether it has a namespace of its own, in which a user's program serves: iff the file gives no `serves`.
    pub namespace: bool,
    /// Whether it is the public side of a service of AWS that the file does not declare.
    pub implicit: bool,
}

/// What an endpoint's name in a command stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A network interface.
    NetworkInterface(NetworkInterfaceIndex),
    /// A host of the simulated internet.
    InternetHost(InternetHostIndex),
}

impl Topology {
    /// The VPC whose resolver an interface asks: its own, or for a workload outside the VPCs that which it sends into.
    #[must_use]
    pub fn resolving_vpc(&self, interface: &NetworkInterface) -> VpcIndex {
        let subnet = match interface.role {
            Role::Instance(Some(hyperplane)) => self[hyperplane].subnet,
            _ => interface.subnet,
        };
        self[subnet].vpc
    }

    /// What `name` stands for in `--from`, `--to`, `--in` and the like, if anything.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<Endpoint> {
        // A workload's name stands for its first instance.
        let first = format!("{name}/0");
        let named = |it: &NetworkInterface| (it.name == name || it.name == first) && it.is_seat();
        let interface = self.network_interfaces.iter().position(named);
        let host = || self.internet_hosts.iter().position(|it| it.name == name);
        interface
            .map(|index| Endpoint::NetworkInterface(NetworkInterfaceIndex(index)))
            .or_else(|| host().map(|index| Endpoint::InternetHost(InternetHostIndex(index))))
    }
}
