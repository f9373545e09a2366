//! What a packet is: bytes with headroom, where its headers lie, its key, its verdict.

pub mod addr;

pub use addr::Addr;
