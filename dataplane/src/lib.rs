//! The packet path of hypertun: packets, tables and time, and nothing else.
//!
//! Read [`packet`] for what a packet is, [`tables`] for what every worker reads, and the
//! modules in between for what happens to a packet. Nothing here knows YAML, names of VPCs,
//! or an async runtime.

#![deny(unsafe_code)]

pub mod io;
mod labelled;
pub mod packet;
pub mod path;
pub mod shared;
pub mod state;
pub mod tables;
pub mod time;
pub mod wire;
pub mod worker;
