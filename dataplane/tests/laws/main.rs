//! Laws: what holds for every packet and every history.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

#[path = "../common/mod.rs"]
mod common;

mod both_families;
mod checksums;
mod histories;
mod random_packets;
mod super_packets;
mod translated_errors;
mod translation;
