//! What the tables call things: an index a kind, so that one cannot be taken for another.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            FromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name(pub u16);

        impl $name {
            /// The place in its table.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl From<$name> for usize {
            fn from(id: $name) -> Self {
                id.index()
            }
        }
    )+};
}

ids! {
    /// A link: a device, or an in-emulator host's ring.
    LinkId,
    /// An elastic network interface.
    EniId,
    /// A subnet.
    SubnetId,
    /// A route table.
    RouteTableId,
    /// A security group.
    GroupId,
    /// A network ACL.
    AclId,
    /// A VPC.
    VpcId,
    /// An internet gateway.
    InternetGatewayId,
    /// An egress-only internet gateway.
    EgressOnlyInternetGatewayId,
    /// A NAT gateway, or a VPC endpoint, which is numbered among them: either counts what passes it, and may lease
    /// ports of its own.
    NatGatewayId,
    /// A host on the simulated internet.
    HostId,
    /// Hyperplane ENIs of one subnet and one set of groups.
    HyperplaneId,
}

/// What AWS offers at an ENI's link itself, past groups, ACLs and routes (AWS "Security groups", "Network ACL
/// basics": neither filters what goes there and comes back).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkService {
    /// The VPC's resolver of names (AWS "Understanding Amazon DNS").
    Resolver,
    /// The instance metadata service.
    Metadata,
    /// Amazon Time Sync.
    TimeSync,
}

impl LinkService {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Resolver, Self::Metadata, Self::TimeSync];
}

/// The device at which something happened; what a verdict names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// A network interface.
    Eni(EniId),
    /// A subnet.
    Subnet(SubnetId),
    /// A route table.
    RouteTable(RouteTableId),
    /// A security group.
    SecurityGroup(GroupId),
    /// A network ACL.
    NetworkAcl(AclId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
    /// A VPC endpoint.
    VpcEndpoint(NatGatewayId),
    /// An internet gateway.
    InternetGateway(InternetGatewayId),
    /// An egress-only internet gateway.
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    /// A host on the simulated internet.
    InternetHost(HostId),
    /// A service at the links of a VPC.
    Service(LinkService, VpcId),
}
