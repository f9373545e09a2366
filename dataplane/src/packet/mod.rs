//! What a packet is: bytes with headroom, where its headers lie, its key, its verdict.

pub mod addr;
pub mod batch;
pub mod id;
pub mod key;
pub mod reason;

pub use addr::Addr;
pub use batch::{Answer, Batch, Kind, Packet, Verdict, Wire};
pub use id::{
    AclId, Component, EniId, GroupId, HostId, InternetGatewayId, LinkId, NatGatewayId,
    RouteTableId, SubnetId, VpcId,
};
pub use key::{Direction, Key};
pub use reason::Reason;
