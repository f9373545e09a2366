//! What every worker reads and none changes: interfaces, routes, groups, ACLs, gateways.
//!
//! Tables are built whole by the control side, published whole ([`Published`]), and read through
//! one cached load a batch. Names never get here: things are called by their place ([`EniId`] and
//! its like), which stays theirs for the instance's life.

mod classifier;
mod column;
mod publish;
mod ranges;
mod routes;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::packet::{
    AclId, Addr, Component, EniId, GroupId, HostId, InternetGatewayId, LinkId, NatGatewayId,
    RouteTableId, SubnetId, VpcId,
};
use crate::shared::PortRange;
use crate::time::Span;

pub use classifier::{Classifier, Peer, PeerOf, Selector, Terms};
pub use column::Column;
pub use publish::{Published, Reader};
pub use routes::{RouteTable, Target};

/// MTU inside a VPC, in bytes (AWS "Network MTU for your EC2 instance").
pub const VPC_MTU: u16 = 9001;

/// MTU of an internet gateway, in bytes (AWS "Network MTU for your EC2 instance").
pub const INTERNET_MTU: u16 = 1500;

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
    /// By [`HostId`].
    pub hosts: Column<Host>,
    /// Who has an address on the internet.
    pub internet: AddrMap<Public>,
    /// How long devices remember.
    pub timers: Timers,
    /// Whether NAT gateways count as dropped what comes to them unsolicited (undocumented; what the
    /// internet scans would then look like trouble, so they do not unless told to).
    pub unsolicited_is_drop: bool,
}

/// Who sits at a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An ENI of a VPC.
    Eni(EniId),
    /// A host on the internet.
    Host(HostId),
}

/// An elastic network interface.
#[derive(Debug)]
pub struct Eni {
    /// The link that it is.
    pub link: LinkId,
    /// Where it lies.
    pub subnet: SubnetId,
    /// Its private addresses, the primary first.
    pub addresses: Vec<Addr>,
    /// Whether packets that are neither from nor to it are refused (AWS "NAT instances").
    pub source_dest_check: bool,
    /// Its security groups, sorted.
    pub groups: Vec<GroupId>,
    /// The rules of all its groups for what it sends.
    pub egress: Arc<Classifier<GroupRule>>,
    /// The rules of all its groups for what it gets.
    pub ingress: Arc<Classifier<GroupRule>>,
}

/// A rule of a security group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// The group.
    pub group: GroupId,
    /// Its place among the group's rules of that direction, from 0.
    pub place: u16,
}

/// A subnet.
#[derive(Debug)]
pub struct Subnet {
    /// The VPC.
    pub vpc: VpcId,
    /// The implicit router: base address plus one (AWS "Subnet CIDR blocks").
    pub router: Addr,
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
}

/// Who has a private address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An ENI.
    Eni(EniId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
}

/// An internet gateway: a stateless 1:1 translation (AWS "Internet gateways").
#[derive(Debug)]
pub struct InternetGateway {
    /// The VPC that it is attached to.
    pub vpc: VpcId,
    /// The public address of each private one that has one.
    pub public: AddrMap<Addr>,
}

/// A NAT gateway (AWS "NAT gateway basics").
#[derive(Debug)]
pub struct NatGateway {
    /// Where it lies.
    pub subnet: SubnetId,
    /// Its private address.
    pub address: Addr,
    /// The ports that it gives out towards each destination.
    pub ports: PortRange,
}

/// A host on the simulated internet.
#[derive(Debug)]
pub struct Host {
    /// The link that it is.
    pub link: LinkId,
    /// Its addresses.
    pub addresses: Vec<Addr>,
}

/// Who has an address on the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Public {
    /// A host.
    Host(HostId),
    /// A public address of a VPC, by way of its internet gateway.
    Vpc {
        /// The gateway.
        gateway: InternetGatewayId,
        /// The private address that it stands for.
        private: Addr,
    },
}

/// How long devices remember a silent flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// A mapping at a NAT gateway (AWS "Troubleshoot NAT gateways": 350 s).
    pub nat_idle: Span,
    /// A port whose connection is over (derived from AWS's 900 connections a second to one
    /// destination: 55,000 / 900 = 61 s).
    pub nat_port_rest: Span,
    /// Tracking of an established TCP connection (AWS "Security group connection tracking": five
    /// days).
    pub tracking_tcp_established: Span,
    /// Tracking of a TCP connection that opens or closes (undocumented; as Linux does).
    pub tracking_tcp_transitory: Span,
    /// Tracking of UDP with one transaction (AWS, same page: 30 s).
    pub tracking_udp: Span,
    /// Tracking of UDP with more than one transaction (AWS, same page: 180 s).
    pub tracking_udp_stream: Span,
    /// Tracking of ICMP (undocumented; as Linux does).
    pub tracking_icmp: Span,
    /// Tracking of other protocols (AWS, same page: 600 s).
    pub tracking_other: Span,
    /// A flow that no device remembers: nothing of AWS's, only how long the emulator keeps what it
    /// worked out.
    pub forwarding: Span,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            nat_idle: Span::seconds(350),
            nat_port_rest: Span::seconds(60),
            tracking_tcp_established: Span::seconds(432_000),
            tracking_tcp_transitory: Span::seconds(120),
            tracking_udp: Span::seconds(30),
            tracking_udp_stream: Span::seconds(180),
            tracking_icmp: Span::seconds(30),
            tracking_other: Span::seconds(600),
            forwarding: Span::seconds(60),
        }
    }
}

impl Tables {
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

    /// The host.
    #[must_use]
    pub fn host(&self, id: HostId) -> &Host {
        self.hosts.at(id)
    }
}
