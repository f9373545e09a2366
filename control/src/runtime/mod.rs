//! What a running instance holds of the host: network namespaces, links in them, its lock and
//! socket, the processes that run inside.
//!
//! Everything here is made without outside programs, and taken away by a sweep even after a
//! crash.

#![deny(unsafe_code)]

pub mod device;
pub mod emulator;
pub mod forward;
pub mod instance;
pub mod interface;
pub(crate) mod kept;
mod ledger;
mod mounts;
pub mod namespace;
pub(crate) mod netlink;
pub mod process;
pub mod rootless;
mod seats;
pub mod service;
pub mod signals;
mod site;
mod sweep;
#[cfg(test)]
mod test_host;
