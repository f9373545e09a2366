//! What a packet is: bytes with headroom, where its headers lie, its key, its verdict.

pub mod addr;
pub mod batch;
pub mod descriptor;
pub mod id;
pub mod key;
pub mod reason;
pub mod verdict;

pub use addr::Addr;
pub use batch::{Batch, Slots};
pub(crate) use descriptor::Shape;
pub use descriptor::{Kind, Packet, Wire};
pub use id::{
    AclId, Component, EgressOnlyInternetGatewayId, EniId, GroupId, HostId, HyperplaneId,
    InternetGatewayId, LinkId, LinkService, NatGatewayId, RouteTableId, SubnetId, VpcId,
};
pub use key::{Direction, Key, PortPair};
pub(crate) use key::{Pair, Tail};
pub use reason::Reason;
pub use verdict::{Answer, Teller, Verdict};
