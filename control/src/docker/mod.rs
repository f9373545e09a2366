//! How do containers of Docker come to sit on network interfaces of the VPC? hypertun is a network driver and an
//! address driver of the engine (libnetwork's remote drivers): a network is a subnet or a workload of the topology, a
//! container's endpoint a network interface of it.
//!
//! The engine calls, and is never called: a call that waits for the engine would wait for itself. What it says is kept,
//! so that a crash of hypertun is forgotten by the next start: the devices wait in their containers meanwhile.

mod driver;
mod home;
mod ipam;
mod messages;
mod network;
mod options;
mod refused;
mod serve;
mod state;

pub use driver::Driver;
pub use serve::{Error, Plugin};
pub use state::State;
