//! What a worker counts besides flows: its own, added up when somebody asks.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::packet::{Component, Packet, Reason};

/// The counts of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in, super-packets as one.
    pub received: u64,
    /// Packets that were never to leave their link, as IPv6's neighbour discovery.
    pub ignored: u64,
    /// Packets that went out, super-packets as one.
    pub forwarded: u64,
    /// Bytes that went out, from the IP header on.
    pub forwarded_bytes: u64,
    /// ICMP errors and resets sent in answer to a dropped packet.
    pub answers: u64,
    /// Flows that were opened.
    pub opened: u64,
    /// Packets that came to the wrong queue and went on to the worker that owns their flow.
    pub handed_over: u64,
    /// Dropped packets by reason and place; on no path that forwards.
    pub drops: HashMap<(Reason, Component), u64, FixedState>,
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: Reason, component: Component) {
        *self.drops.entry((reason, component)).or_default() += 1;
    }

    /// Counts a packet that was to be sent, and counted so, as dropped. A lost answer is none: the
    /// packet that it answers was dropped before.
    pub(crate) fn lose(&mut self, reason: Reason, component: Component, packet: &Packet) {
        if packet.answers {
            self.answers -= 1;
        } else {
            self.forwarded -= 1;
            self.forwarded_bytes -= u64::from(packet.len);
            self.drop(reason, component);
        }
    }

    /// Dropped packets in all.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.values().sum()
    }

    /// Adds another worker's counts.
    pub fn add(&mut self, other: &Self) {
        let Self {
            received,
            ignored,
            forwarded,
            forwarded_bytes,
            answers,
            opened,
            handed_over,
            drops,
        } = other;
        self.received += received;
        self.ignored += ignored;
        self.forwarded += forwarded;
        self.forwarded_bytes += forwarded_bytes;
        self.answers += answers;
        self.opened += opened;
        self.handed_over += handed_over;
        for (&at, count) in drops {
            *self.drops.entry(at).or_default() += count;
        }
    }
}
