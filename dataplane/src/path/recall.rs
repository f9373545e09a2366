//! Is this conversation known?
//!
//! The hit path: three passes over the batch, so that the cache misses of all packets overlap. A
//! packet passes on what is known if its flow was judged under these tables and nothing about it
//! has expired; else it waits for `admit`. A hit tests expiry itself, so a moved clock acts at once.
//! A packet whose flow another worker owns is handed over to it.

use crate::packet::{Batch, Direction, Kind, Packet, Verdict};
use crate::state::{FlowId, FlowRef, Phase, Shard};
use crate::tables::Tables;
use crate::wire::tcp::flags;

/// Finds the flow of each packet, restarts its clocks and counts.
pub fn recall(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    for packet in batch.packets_mut() {
        shard.flows.prefetch_index(packet.hash);
    }
    let mut candidates = [None; Batch::PACKETS];
    for (packet, candidate) in batch.packets_mut().iter().zip(&mut candidates) {
        *candidate = shard.flows.candidate(packet.hash);
    }
    for (packet, candidate) in batch.packets_mut().iter_mut().zip(candidates) {
        if !packet.is_pending() {
            continue;
        }
        match find(packet, candidate, shard) {
            // An ICMP error or a fragment belongs to its flow, but is judged by itself.
            Some(_) if packet.kind != Kind::Whole => {}
            Some(found) => hit(packet, found, shard, tables),
            None if packet.handed => {}
            None => {
                if let Some(owner) = shard.owner_elsewhere(packet.hash) {
                    packet.verdict = Verdict::HandOver(owner);
                }
            }
        }
    }
}

#[inline]
fn find(packet: &Packet, candidate: Option<FlowRef>, shard: &Shard) -> Option<(FlowId, Direction)> {
    let candidate = candidate?;
    if shard.flows.bears(candidate, &packet.key) {
        Some((candidate.flow(), candidate.direction()))
    } else {
        // Another key of the same hash came first.
        shard.flows.find(packet.hash, &packet.key)
    }
}

#[inline]
fn hit(
    packet: &mut Packet,
    (flow, direction): (FlowId, Direction),
    shard: &mut Shard,
    tables: &Tables,
) {
    let now = shard.now;
    let Some(hot) = shard.flows.hot_mut(flow) else { return };
    let phase = hot.phase();
    if !hot.is_fresh(direction, tables.epoch, now) || reopens(phase, direction, packet.tcp_flags) {
        return;
    }
    packet.meter = hot.meter;
    let next = phase.step(direction, packet.tcp_flags);
    if next == phase {
        hot.restart(now);
    } else {
        shard.enter(flow, next, &tables.timers);
    }
    shard.count(flow, direction, packet);
    packet.flow = flow;
    packet.direction = direction;
    packet.verdict = Verdict::Forward;
}

/// Whether a packet begins a new conversation under the key of one that is over (RFC 9293
/// s. 3.6.1).
pub(super) fn reopens(phase: Phase, direction: Direction, tcp_flags: u8) -> bool {
    phase.is_closed() && direction == Direction::Original && begins(tcp_flags)
}

/// Whether these are the control bits of a segment that begins a connection.
pub(super) const fn begins(tcp_flags: u8) -> bool {
    tcp_flags & (flags::SYN | flags::ACK | flags::RST) == flags::SYN
}
