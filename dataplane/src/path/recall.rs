//! Is this conversation known?
//!
//! The hit path: flows are brought into cache some packets ahead, so that cache misses overlap (the
//! first of them began in `parse`). A packet passes on what is known if its flow was judged under
//! these tables and nothing about it has expired or changes. Such a packet is at once carried to its
//! end, by the functions of the stages that lead there: handed from stage to stage it would take a
//! quarter more instructions. Any other is looked at more closely, and perhaps waits for `admit`. A
//! hit tests expiry itself, so a moved clock acts at once.

use crate::packet::{Batch, Direction, Kind, Packet, Shape, Slots, Verdict, Wire};
use crate::path::headers::{head, of_v4, of_v6};
use crate::path::parse::{complement, locate};
use crate::path::{nat64, nat66, rewrite};
use crate::state::{FlowRef, Line, Meters, Phase, Shard};
use crate::tables::Tables;
use crate::time::Tick;
use crate::wire::tcp::flags;

/// So many packets are carried while the flows of as many are brought into cache: about what the
/// processor fetches at once.
const STRIDE: usize = 16;

/// Finds the flow of each packet, restarts its clocks and counts.
pub fn recall(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    let fetch = |packets: &mut [Packet], shard: &Shard| {
        for packet in packets {
            packet.found = shard.flows.candidate(packet.found, packet.hash);
        }
    };
    let (packets, slots) = batch.parts_mut();
    let (mut left, mut bytes) = (0, 0);
    let mut next = packets.chunks_mut(STRIDE);
    let mut ahead = next.next().unwrap_or_default();
    fetch(ahead, shard);
    while !ahead.is_empty() {
        let packets = std::mem::replace(&mut ahead, next.next().unwrap_or_default());
        fetch(ahead, shard);
        for packet in packets {
            let carried = if packet.shape == Shape::Segment {
                carry(packet, slots, shard, tables, (packet.len, Wire::one(packet.len)), true)
            } else {
                carry_other(packet, slots, shard, tables)
            };
            if carried || consider(packet, slots, shard, tables) {
                bytes += u64::from(packet.len);
            } else {
                left += 1;
            }
        }
    }
    shard.counters.forwarded += (batch.len() - left) as u64;
    shard.counters.forwarded_bytes += bytes;
    batch.left = left;
}

/// A packet that is no segment of TCP over IPv4; apart, so that those do not pay for it.
#[inline(never)]
fn carry_other(packet: &mut Packet, slots: &mut Slots, shard: &mut Shard, tables: &Tables) -> bool {
    match packet.shape {
        Shape::SegmentV6 => carry_segment_v6(packet, slots, shard, tables),
        _ => carry_plain(packet, slots, shard, tables),
    }
}

/// Any packet, super-packets too, if it is plain.
#[inline(never)]
fn carry_plain(packet: &mut Packet, slots: &mut Slots, shard: &mut Shard, tables: &Tables) -> bool {
    match packet.shape {
        Shape::Any => false,
        Shape::PlainV6 | Shape::SegmentV6 => {
            let wire = packet.wire();
            carry_v6(packet, slots, shard, tables, (packet.len, wire))
        }
        Shape::Plain | Shape::Segment => {
            let wire = packet.wire();
            carry(packet, slots, shard, tables, (packet.len, wire), false)
        }
    }
}

/// Takes a plain packet to its end if it is one more of its flow, and changes nothing about it; whether
/// it was. That it is a [segment](Shape::Segment) is known where it is asked.
#[inline(always)]
fn carry(
    packet: &mut Packet,
    slots: &mut Slots,
    shard: &mut Shard,
    tables: &Tables,
    (len, wire): (u32, Wire),
    is_segment: bool,
) -> bool {
    let (now, found) = (shard.now, packet.found);
    let Some(line) = shard.flows.line_mut(found) else { return false };
    let Some(head) = head(packet.start, slots) else { return false };
    let (header, transport) = of_v4(head);
    if !line.bears(header.pair(), packet.key.tail())
        || !line.passes(packet.tcp_flags, tables.epoch, now)
        || !line.reaches(header.ttl, wire.longest)
    {
        return false;
    }
    if line.goes_by_keys() {
        return carry_by_keys(packet, slots, shard);
    }
    rewrite::carry(packet, header, transport, line, is_segment);
    let is_full = pass(packet, line, &mut shard.meters, (now, found, len), &wire);
    shard.relieve(found, is_full);
    true
}

/// A segment of TCP over IPv6.
#[inline(never)]
fn carry_segment_v6(
    packet: &mut Packet,
    slots: &mut Slots,
    shard: &mut Shard,
    tables: &Tables,
) -> bool {
    carry_v6(packet, slots, shard, tables, (packet.len, Wire::one(packet.len)))
}

/// As [`carry`], of IPv6. Without a change of family it is not translated.
#[inline(always)]
fn carry_v6(
    packet: &mut Packet,
    slots: &mut Slots,
    shard: &mut Shard,
    tables: &Tables,
    (len, wire): (u32, Wire),
) -> bool {
    let (now, found) = (shard.now, packet.found);
    let Some((line, ends)) = shard.flows.line_v6_mut(found) else { return false };
    let Some(head) = head(packet.start, slots) else { return false };
    let (header, _) = of_v6(head);
    if !line.bears_tail(packet.key.tail())
        || !header.is_between(ends)
        || !line.passes(packet.tcp_flags, tables.epoch, now)
        || !line.reaches(header.hop_limit, wire.longest)
    {
        return false;
    }
    if line.goes_by_keys() {
        return carry_by_keys(packet, slots, shard);
    }
    let is_full = pass(packet, line, &mut shard.meters, (now, found, len), &wire);
    shard.relieve(found, is_full);
    true
}

/// The same where the family changes, or addresses of IPv6.
#[inline(never)]
fn carry_by_keys(packet: &mut Packet, slots: &mut Slots, shard: &mut Shard) -> bool {
    locate(packet);
    let wire = packet.wire();
    let opposite = shard.flows.key(packet.flow(), packet.direction().opposite());
    let Some(line) = shard.flows.line_mut(packet.found) else { return false };
    let Some(opposite) = opposite else { return false };
    // As it came.
    let arrived = (shard.now, packet.found, packet.len);
    if packet.key.is_v6() && opposite.is_v6() {
        let Some(bytes) = packet.bytes_mut(slots) else { return false };
        nat66::translate(packet, bytes, line, &opposite);
    } else {
        let identification = rewrite::identify(&mut shard.identification, &wire);
        if !nat64::carry(packet, slots, line, &opposite, identification) {
            return false;
        }
    }
    let is_full = pass(packet, line, &mut shard.meters, arrived, &wire);
    shard.relieve(packet.found, is_full);
    true
}

/// Sends a packet on its way that was found at `now` and came with so many bytes, and counts it; see
/// [`Line::count`].
#[inline(always)]
fn pass(
    packet: &mut Packet,
    line: &mut Line,
    meters: &mut Meters,
    (now, found, len): (Tick, FlowRef, u32),
    wire: &Wire,
) -> bool {
    packet.meter = line.meter();
    packet.verdict = Verdict::Emit { link: line.exit(), fragment: None };
    meters.pass((line.meter(), found.direction()), wire);
    line.renew(now, len, wire)
}

/// A packet that is not one more of the first flow that its hash led to, or about which something
/// changes; whether it was carried to its end after all.
#[inline(never)]
fn consider(packet: &mut Packet, slots: &mut Slots, shard: &mut Shard, tables: &Tables) -> bool {
    if !packet.is_pending() {
        return false;
    }
    complement(packet, slots);
    match find(packet, shard) {
        // An ICMP error or a fragment belongs to its flow, but is judged by itself.
        Some(_) if packet.kind != Kind::Whole => {}
        Some(found) => {
            // Another key of the same hash came first.
            let is_other = std::mem::replace(&mut packet.found, found) != found;
            if is_other && carry_plain(packet, slots, shard, tables) {
                return true;
            }
            hit(packet, shard, tables);
        }
        None => packet.found = FlowRef::NONE,
    }
    false
}

fn find(packet: &Packet, shard: &Shard) -> Option<FlowRef> {
    match shard.flows.bears(packet.found, &packet.key) {
        true => Some(packet.found),
        false => shard.flows.find_ref(packet.hash, &packet.key),
    }
}

fn hit(packet: &mut Packet, shard: &mut Shard, tables: &Tables) {
    let (now, flow, direction) = (shard.now, packet.flow(), packet.direction());
    let Some(hot) = shard.flows.hot_mut(flow) else { return };
    let phase = hot.phase();
    if !hot.is_fresh(direction, tables.epoch, now) || reopens(phase, direction, packet.tcp_flags) {
        return;
    }
    packet.meter = hot.meter();
    let next = phase.step(direction, packet.tcp_flags);
    if next == phase {
        hot.restart(now);
    } else {
        shard.enter(flow, next, &tables.timers);
    }
    shard.count(flow, direction, packet);
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
