//! The hosts as their clients see them, across a memory link.

mod client;
mod hostile;
mod packets;
mod services;
mod threads;
