//! Is this conversation known?
//!
//! The hit path: flows are brought into cache some packets ahead, so that cache misses overlap (the
//! first of them began in `parse`). A packet passes on what is known if its flow was judged under
//! these tables and nothing about it has expired or changes. Such a packet is at once carried to its
//! end, by the functions of the stages that lead there: handed from stage to stage it would take a
//! quarter more instructions. Any other is looked at more closely, and perhaps waits for `admit`. A
//! hit tests expiry itself, so a moved clock acts at once. A packet whose flow another worker owns is
//! handed over to it.

use crate::io::SLOT;
use crate::packet::{Batch, Direction, Kind, Packet, Verdict, Wire};
use crate::path::{emit, rewrite};
use crate::state::{FlowRef, Phase, Shard};
use crate::tables::Tables;
use crate::wire::tcp::flags;

/// So many packets are carried while the flows of as many are brought into cache: about what the
/// processor fetches at once.
const STRIDE: usize = 16;

/// Finds the flow of each packet, restarts its clocks and counts.
pub fn recall(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    let fetch = |packets: Option<&mut [Packet]>, shard: &Shard| {
        for packet in packets.into_iter().flatten() {
            packet.found = shard.flows.candidate(packet.hash);
        }
    };
    let (packets, slots) = batch.parts_mut();
    let (mut left, mut bytes) = (0, 0);
    let mut next = packets.chunks_mut(STRIDE);
    let mut ahead = next.next();
    fetch(ahead.as_deref_mut(), shard);
    for slots in slots.chunks_mut(STRIDE) {
        let Some(packets) = std::mem::replace(&mut ahead, next.next()) else { break };
        fetch(ahead.as_deref_mut(), shard);
        for (packet, slot) in packets.iter_mut().zip(slots) {
            let carried = match packet.offload.segmented() {
                None => carry(packet, slot, shard, tables, Wire::one(packet.len)),
                Some(_) => carry_segments(packet, slot, shard, tables),
            };
            if carried {
                bytes += u64::from(packet.len);
            } else {
                consider(packet, shard, tables);
                left += 1;
            }
        }
    }
    shard.counters.forwarded += (batch.len() - left) as u64;
    shard.counters.forwarded_bytes += bytes;
    batch.left = left;
}

/// A super-packet; apart, so that packets that come one by one do not pay for it.
#[inline(never)]
fn carry_segments(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    shard: &mut Shard,
    tables: &Tables,
) -> bool {
    let wire = packet.wire();
    carry(packet, slot, shard, tables, wire)
}

/// Takes a packet to its end that is one more of its flow, and changes nothing about it; whether it was.
#[inline(always)]
fn carry(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    shard: &mut Shard,
    tables: &Tables,
    wire: Wire,
) -> bool {
    let (now, direction) = (shard.now, packet.direction());
    let Some(hot) = shard.flows.hot_mut(packet.flow()) else { return false };
    if !packet.is_pending()
        || packet.kind != Kind::Whole
        || *hot.key(direction) != packet.key
        || !hot.is_fresh(direction, tables.epoch, now)
        || !hot.phase().stays(direction, packet.tcp_flags)
    {
        return false;
    }
    let len = packet.len;
    if !rewrite::carry(packet, slot, (hot, direction), &wire, &mut shard.identification) {
        return false;
    }
    packet.meter = hot.meter;
    packet.verdict = emit::exit((hot, direction), None);
    shard.meters.pass((hot.meter, direction), &wire);
    hot.renew(now);
    if hot.count(direction, len, &wire) {
        shard.wrap(packet.flow(), direction);
    }
    true
}

/// A packet that is not one more of a flow about which nothing changes.
#[inline(never)]
fn consider(packet: &mut Packet, shard: &mut Shard, tables: &Tables) {
    if !packet.is_pending() {
        return;
    }
    match find(packet, shard) {
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

fn find(packet: &Packet, shard: &Shard) -> Option<FlowRef> {
    if shard.flows.bears(packet.found, &packet.key) {
        Some(packet.found)
    } else {
        // Another key of the same hash came first.
        shard.flows.find_ref(packet.hash, &packet.key)
    }
}

fn hit(packet: &mut Packet, found: FlowRef, shard: &mut Shard, tables: &Tables) {
    let now = shard.now;
    let (flow, direction) = (found.flow(), found.direction());
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
    packet.found = found;
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
