//! What the tests of the packet path share: a small topology built by hand, packets made and read
//! by an independent library, and a driver without threads, devices or clocks.

#![allow(dead_code, reason = "each test uses its own part of this")]

pub mod datagram;
pub mod ipv6;
pub mod net;
pub mod raw;
pub mod shards;
pub mod topology;
pub mod wire_sums;
