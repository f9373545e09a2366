//! What happens to a packet, in order.
//!
//! ```text
//! link -> parse -> recall -> admit -> rewrite -> emit -> link
//!                    |hit ------------^
//! ```
//!
//! A stage is a file with one public function that begins with the question it answers. It stamps
//! the packet's verdict, the shard, or bytes, and nothing else.

#![warn(clippy::indexing_slicing)]

pub mod admit;
pub mod emit;
pub mod fragment;
pub mod parse;
pub mod recall;
pub mod rewrite;

mod answer;
mod headers;
mod nat64;
mod nat66;
mod quote;

use crate::packet::Batch;
use crate::state::Shard;
use crate::tables::Tables;
use crate::wire::virtio::VirtioNetHdr;

/// One step of the path.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Its name, a verb.
    pub name: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// What it does to a batch.
    pub run: fn(&mut Batch, &mut Shard, &Tables),
}

/// The path.
pub const PATH: [Stage; 5] = [
    Stage {
        name: "parse",
        question: "Can this packet be trusted, and whose is it?",
        run: parse::parse,
    },
    Stage { name: "recall", question: "Is this conversation known?", run: recall::recall },
    Stage { name: "admit", question: "May this conversation begin?", run: admit::stage },
    Stage { name: "rewrite", question: "What does the other side see?", run: rewrite::rewrite },
    Stage { name: "emit", question: "Where does it leave, and who must be told?", run: emit::emit },
];

/// Takes a batch down the path. Afterwards each packet is to be emitted or handed over, was dropped,
/// or is held.
pub fn run(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    for stage in &PATH {
        (stage.run)(batch, shard, tables);
    }
}

/// Fills an emptied batch with what was held and waits no longer; whether there was any.
pub fn resume(batch: &mut Batch, shard: &mut Shard) -> bool {
    batch.clear();
    while !batch.is_full()
        && let Some(held) = shard.fragments.next_ready()
    {
        batch.push_bytes(held.link, &held.bytes, VirtioNetHdr::PLAIN);
        // It was counted when it came.
        batch.mark_handed();
    }
    !batch.is_empty()
}
