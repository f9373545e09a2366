//! The hosts as their clients see them, across a memory link.

mod client;
mod framing;
mod hostile;
mod metadata;
mod packets;
mod realm;
mod resolver;
mod services;
mod threads;
mod time;
