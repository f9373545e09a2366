//! From a checked topology to the tables that the data plane reads.
//!
//! Names become indices here and nowhere else; [`Names`] leads back. Nothing can fail: what could
//! be wrong was refused by `check`.

mod names;
mod rules;

use std::net::Ipv4Addr;

use dataplane::packet::{
    AclId, Addr, EniId, GroupId, HostId, InternetGatewayId, LinkId, NatGatewayId, RouteTableId,
    SubnetId, VpcId,
};
use dataplane::shared::PortRange;
use dataplane::tables::{
    AddrMap, Eni, Holder, Host, InternetGateway, NatGateway, NetworkAcl, Place, Public, RouteTable,
    Subnet, Tables, Target, Timers, Vpc,
};
use ipnet::{IpNet, Ipv4Net};

use crate::check::{
    Checked, InternetGatewayIndex, InternetHostIndex, NatGatewayIndex, NetworkAclIndex,
    NetworkInterfaceIndex, RouteTableIndex, SecurityGroupIndex, SubnetIndex, Topology, VpcIndex,
};

pub use names::Names;
use rules::{GroupRules, acl};

/// The tables of a topology, and what they call things.
#[derive(Debug)]
pub struct Compiled {
    /// What the data plane reads.
    pub tables: Tables,
    /// What users read.
    pub names: Names,
}

/// The epoch of an instance's first tables.
pub const FIRST_EPOCH: u32 = 1;

/// Compiles a topology into the tables of `epoch`.
#[must_use]
pub fn compile(topology: &Checked, epoch: u32) -> Compiled {
    let mut groups = GroupRules::new(topology);
    let enis = topology.network_interfaces.iter().enumerate().map(|(place, interface)| {
        let mut sorted: Vec<GroupId> =
            interface.security_groups.iter().map(|&group| group.into()).collect();
        sorted.sort_unstable();
        let (ingress, egress) = groups.of(&interface.security_groups);
        Eni {
            link: eni_link(NetworkInterfaceIndex(place)),
            subnet: interface.subnet.into(),
            addresses: vec![Addr::v4(interface.private_ip)],
            source_dest_check: interface.source_dest_check,
            groups: sorted,
            egress,
            ingress,
        }
    });
    let hosts = topology.internet_hosts.iter().enumerate().map(|(place, host)| Host {
        link: host_link(topology, place),
        addresses: host.addresses.iter().copied().map(Addr::v4).collect(),
    });
    let tables = Tables {
        epoch,
        links: places(topology),
        enis: enis.collect(),
        subnets: topology.subnets.iter().map(subnet).collect(),
        route_tables: topology.route_tables.iter().map(|table| routes(topology, table)).collect(),
        network_acls: topology
            .network_acls
            .iter()
            .map(|list| NetworkAcl { ingress: acl(&list.ingress), egress: acl(&list.egress) })
            .collect(),
        vpcs: vpcs(topology),
        internet_gateways: internet_gateways(topology),
        nat_gateways: topology
            .nat_gateways
            .iter()
            .map(|gateway| NatGateway {
                subnet: gateway.subnet.into(),
                address: Addr::v4(gateway.private_ip),
                ports: PortRange::NAT_GATEWAY,
            })
            .collect(),
        hosts: hosts.collect(),
        internet: internet(topology),
        timers: Timers::default(),
    };
    Compiled { tables, names: Names::of(topology) }
}

/// The link of a network interface.
#[must_use]
pub fn eni_link(interface: NetworkInterfaceIndex) -> LinkId {
    LinkId(narrow(interface.0))
}

/// The link of the internet host at `place`: hosts come after interfaces.
#[must_use]
pub fn host_link(topology: &Topology, place: usize) -> LinkId {
    LinkId(narrow(topology.network_interfaces.len() + place))
}

fn places(topology: &Topology) -> Vec<Option<Place>> {
    let enis = (0..topology.network_interfaces.len()).map(|at| Place::Eni(EniId(narrow(at))));
    let hosts = (0..topology.internet_hosts.len()).map(|at| Place::Host(HostId(narrow(at))));
    enis.chain(hosts).map(Some).collect()
}

fn subnet(subnet: &crate::check::Subnet) -> Subnet {
    // Base address plus one: the implicit router (AWS "Subnet CIDR blocks").
    let router = Ipv4Addr::from_bits(subnet.cidr.network().to_bits() + 1);
    Subnet {
        vpc: subnet.vpc.into(),
        router: Addr::v4(router),
        route_table: subnet.route_table.into(),
        network_acl: subnet.network_acl.into(),
    }
}

fn routes(topology: &Topology, table: &crate::check::RouteTable) -> RouteTable {
    let local = topology[table.vpc].cidrs.iter().map(|&cidr| (net(cidr), Target::Local));
    let declared = table.routes.iter().map(|route| {
        let target = match route.target {
            crate::check::RouteTarget::InternetGateway(gateway) => {
                Target::InternetGateway(gateway.into())
            }
            crate::check::RouteTarget::NatGateway(gateway) => Target::NatGateway(gateway.into()),
            crate::check::RouteTarget::Blackhole => Target::Blackhole,
        };
        (net(route.destination), target)
    });
    RouteTable::new(local.chain(declared))
}

fn vpcs(topology: &Topology) -> Vec<Vpc> {
    let mut vpcs: Vec<Vpc> = topology.vpcs.iter().map(|_| Vpc::default()).collect();
    let mut hold = |subnet: SubnetIndex, address: Ipv4Addr, holder| {
        vpcs[topology[subnet].vpc.0].holders.insert(Addr::v4(address), holder);
    };
    for (at, interface) in topology.network_interfaces.iter().enumerate() {
        hold(interface.subnet, interface.private_ip, Holder::Eni(EniId(narrow(at))));
    }
    for (at, gateway) in topology.nat_gateways.iter().enumerate() {
        let holder = Holder::NatGateway(NatGatewayId(narrow(at)));
        hold(gateway.subnet, gateway.private_ip, holder);
    }
    vpcs
}

/// Public addresses, private ones, and the VPC that both are of.
fn associations(topology: &Topology) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr, VpcIndex)> {
    let interfaces = topology.network_interfaces.iter().filter_map(|interface| {
        Some((interface.public_ip?, interface.private_ip, topology[interface.subnet].vpc))
    });
    let gateways = topology
        .nat_gateways
        .iter()
        .map(|gateway| (gateway.public_ip, gateway.private_ip, topology[gateway.subnet].vpc));
    interfaces.chain(gateways)
}

fn internet_gateways(topology: &Topology) -> Vec<InternetGateway> {
    let gateways = topology.internet_gateways.iter().map(|gateway| InternetGateway {
        vpc: gateway.vpc.into(),
        public: associations(topology)
            .filter(|&(_, _, vpc)| vpc == gateway.vpc)
            .map(|(public, private, _)| (Addr::v4(private), Addr::v4(public)))
            .collect(),
    });
    gateways.collect()
}

fn internet(topology: &Topology) -> AddrMap<Public> {
    let hosts = topology.internet_hosts.iter().enumerate().flat_map(|(at, host)| {
        let host_id = HostId(narrow(at));
        host.addresses.iter().map(move |&address| (Addr::v4(address), Public::Host(host_id)))
    });
    // A public address of a VPC without internet gateway cannot be reached.
    let associated = associations(topology).filter_map(|(public, private, vpc)| {
        let gateway = topology[vpc].internet_gateway?;
        let private = Addr::v4(private);
        Some((Addr::v4(public), Public::Vpc { gateway: gateway.into(), private }))
    });
    hosts.chain(associated).collect()
}

fn net(cidr: Ipv4Net) -> IpNet {
    IpNet::V4(cidr)
}

/// An index as the data plane keeps it.
fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("check refuses more than 65,535 things of a kind")
}

macro_rules! ids {
    ($($index:ident => $id:ident),+ $(,)?) => {$(
        impl From<$index> for $id {
            fn from(index: $index) -> Self {
                Self(narrow(index.0))
            }
        }
    )+};
}

ids! {
    InternetGatewayIndex => InternetGatewayId,
    InternetHostIndex => HostId,
    NatGatewayIndex => NatGatewayId,
    NetworkAclIndex => AclId,
    NetworkInterfaceIndex => EniId,
    RouteTableIndex => RouteTableId,
    SecurityGroupIndex => GroupId,
    SubnetIndex => SubnetId,
    VpcIndex => VpcId,
}
