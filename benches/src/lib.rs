//! What does a packet cost in memory, beside the least that it can cost?
//!
//! A [`Profile`] says which conversations there are and what their packets look like. A
//! [`Ring`] holds those packets. [`Ours`] takes them down the path as a worker does, [`Floor`]
//! does the unavoidable work alone; both take them from the same ring, in the same way.
//! [`contest`] lets them take turns, and [`trials`] are what is measured. The criterion
//! benches, the instruction counts and `hypertun bench` are made of these.

#![deny(unsafe_code)]

pub mod contest;
pub mod decisions;
pub mod expiry;
pub mod floor;
pub mod machine;
pub mod ours;
pub mod outcome;
pub mod pages;
pub mod profile;
pub mod ring;
pub mod segment;
pub mod topology;
pub mod trials;

pub use floor::Floor;
pub use machine::Machine;
pub use ours::Ours;
pub use pages::Pages;
pub use profile::{Order, Path, Profile, Size};
pub use ring::Ring;

/// Packets that are read together, as a worker reads them.
pub const BATCH: usize = ours::BATCH;

/// Somebody did not do the work that was timed: its time says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cheated(pub String);
