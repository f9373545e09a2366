//! What the tests of the whole product stand on: a host of their own, running instances on it, and
//! the programs that they drive.
//!
//! Nothing here reads hypertun's code: tests see what a user sees.
#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a test says by a panic that its promise is broken, or what it lacks"
)]

pub mod agent;
mod conversation;
pub mod docker;
mod file;
mod forward;
mod host;
mod programs;
mod prometheus;
mod snapshot;
mod sniffer;
mod up;

pub use agent::Agent;
pub use conversation::Conversation;
pub use docker::Docker;
pub use file::File;
pub use forward::Forward;
pub use host::{Host, Output, STATE, only_child, output, signal, status, wait_until};
pub use programs::{copy_floor, example, hypertun, peer, topologies, topology};
pub use prometheus::Prometheus;
pub use snapshot::Snapshot;
pub use sniffer::Sniffer;
pub use up::{Talker, Up};
