//! Who is on the internet, and by which ways does a VPC lead there?

use crate::packet::{
    Addr, EgressOnlyInternetGatewayId, EniId, HostId, InternetGatewayId, LinkId, VpcId,
};

/// A VPC endpoint: a way from a VPC to a host on the internet that no internet gateway is on (AWS "Access AWS services
/// through AWS PrivateLink", "Gateway endpoints").
#[derive(Debug)]
pub struct VpcEndpoint {
    /// Its VPC.
    pub vpc: VpcId,
    /// Who serves.
    pub host: HostId,
    /// The network interfaces by which it is reached; none of a gateway endpoint.
    pub enis: Vec<EniId>,
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
    /// An address of IPv6 of a VPC, which is its own on the internet too.
    Ipv6 {
        /// The VPC.
        vpc: VpcId,
        /// Whence packets from the internet come in, where the routes of the subnet do not say so.
        gateway: Gateway,
    },
}

/// By what a VPC is connected to the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// An internet gateway.
    Internet(InternetGatewayId),
    /// An egress-only internet gateway, and none that lets anybody in.
    EgressOnly(EgressOnlyInternetGatewayId),
}
