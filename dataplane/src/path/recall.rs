//! Is this conversation known?
//!
//! The hit path: flows are brought into cache some packets ahead, so that cache misses overlap (the
//! first of them began in `parse`). A packet passes on what is known if its flow was judged under
//! these tables and nothing about it has expired or changes. Such a packet is at once carried to its
//! end, by the functions of the stages that lead there: handed from stage to stage it would take a
//! quarter more instructions. Any other is looked at more closely, and perhaps waits for `admit`. A
//! hit tests expiry itself, so a moved clock acts at once.

use crate::io::SLOT;
use crate::packet::{Batch, Direction, Kind, Packet, Verdict, Wire};
use crate::path::headers::ends;
use crate::path::{nat64, nat66, rewrite};
use crate::state::{FlowRef, Line, Meters, Phase, Shard, Wrapped};
use crate::tables::Tables;
use crate::time::Tick;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::Ipv6;
use crate::wire::tcp::{self, flags};

/// So many packets are carried while the flows of as many are brought into cache: about what the
/// processor fetches at once.
const STRIDE: usize = 16;

/// Finds the flow of each packet, restarts its clocks and counts.
pub fn recall(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    let fetch = |packets: &mut [Packet], shard: &Shard| {
        for packet in packets {
            packet.found = shard.flows.candidate(packet.hash);
        }
    };
    let (packets, slots) = batch.parts_mut();
    let (mut left, mut bytes) = (0, 0);
    let mut next = packets.chunks_mut(STRIDE);
    let mut ahead = next.next().unwrap_or_default();
    fetch(ahead, shard);
    for slots in slots.chunks_mut(STRIDE) {
        let packets = std::mem::replace(&mut ahead, next.next().unwrap_or_default());
        fetch(ahead, shard);
        for (packet, slot) in packets.iter_mut().zip(slots) {
            let carried = packet.is_plain
                && match packet.offload.segmented() {
                    None => carry(packet, slot, shard, tables, Wire::one(packet.len)),
                    Some(_) => carry_segments(packet, slot, shard, tables),
                };
            if carried || consider(packet, slot, shard, tables) {
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

/// Any packet, as a super-packet; apart, so that packets that come one by one do not pay for it.
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

/// Takes a plain packet to its end if it is one more of its flow, and changes nothing about it; whether
/// it was.
#[inline(always)]
fn carry(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    shard: &mut Shard,
    tables: &Tables,
    wire: Wire,
) -> bool {
    if packet.key.is_v6() {
        return carry_v6(packet, slot, shard, tables);
    }
    let now = shard.now;
    let Some(line) = shard.flows.line_mut(packet.found) else { return false };
    let Some((header, transport)) = plain_headers(packet, slot) else { return false };
    if !line.bears(header.pair(), packet.key.tail())
        || !line.passes(packet.tcp_flags, tables.epoch, now)
        || !line.reaches(header.ttl, wire.longest)
    {
        return false;
    }
    if line.goes_by_keys() {
        return carry_by_keys(packet, slot, shard);
    }
    rewrite::carry(packet, header, transport, line);
    let wrapped = pass(packet, line, &mut shard.meters, (now, packet.len), &wire);
    shard.wrap(packet.found, wrapped);
    true
}

/// The header of a plain packet of IPv4, and as much of what follows as a header of TCP is long.
#[inline(always)]
fn plain_headers<'s>(
    packet: &Packet,
    slot: &'s mut [u8; SLOT],
) -> Option<(&'s mut Ipv4, &'s mut [u8; tcp::HEADER])> {
    let bytes = slot.get_mut(packet.start as usize..)?;
    // A slot goes on for longer than the shortest packet.
    let bytes = bytes.first_chunk_mut::<{ ipv4::HEADER + tcp::HEADER }>()?;
    let (header, transport) = bytes.split_first_chunk_mut::<{ ipv4::HEADER }>()?;
    Some((zerocopy::transmute_mut!(header), transport.first_chunk_mut()?))
}

/// The same of IPv6; out of line, so that each family costs the other a comparison and no more. Without a
/// change of family it is not translated.
#[inline(never)]
fn carry_v6(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    shard: &mut Shard,
    tables: &Tables,
) -> bool {
    let (now, wire) = (shard.now, packet.wire());
    let Some((line, ends)) = shard.flows.line_v6_mut(packet.found) else { return false };
    let Some(header) = slot.get(packet.start as usize..).and_then(Ipv6::of) else { return false };
    if !line.bears_tail(packet.key.tail())
        || header.ends() != *ends
        || !line.passes(packet.tcp_flags, tables.epoch, now)
        || !line.reaches(header.hop_limit, wire.longest)
    {
        return false;
    }
    if line.goes_by_keys() {
        return carry_by_keys(packet, slot, shard);
    }
    let wrapped = pass(packet, line, &mut shard.meters, (now, packet.len), &wire);
    shard.wrap(packet.found, wrapped);
    true
}

/// The same where the family changes, or addresses of IPv6.
#[inline(never)]
fn carry_by_keys(packet: &mut Packet, slot: &mut [u8; SLOT], shard: &mut Shard) -> bool {
    let wire = packet.wire();
    let opposite = shard.flows.key(packet.flow(), packet.direction().opposite());
    let Some(line) = shard.flows.line_mut(packet.found) else { return false };
    let Some(opposite) = opposite else { return false };
    // As it came.
    let arrived = (shard.now, packet.len);
    if packet.key.is_v6() && opposite.is_v6() {
        let Some(bytes) = packet.bytes_mut(slot) else { return false };
        nat66::translate(packet, bytes, line, &opposite);
    } else {
        let identification = rewrite::identify(&mut shard.identification, &wire);
        if !nat64::carry(packet, slot, line, &opposite, identification) {
            return false;
        }
    }
    let wrapped = pass(packet, line, &mut shard.meters, arrived, &wire);
    shard.wrap(packet.found, wrapped);
    true
}

/// Sends a packet on its way, which came at `now` with so many bytes, and counts it.
#[inline(always)]
fn pass(
    packet: &mut Packet,
    line: &mut Line,
    meters: &mut Meters,
    (now, len): (Tick, u32),
    wire: &Wire,
) -> Wrapped {
    packet.meter = line.meter();
    packet.verdict = Verdict::Emit { link: line.exit(), fragment: None };
    meters.pass((line.meter(), packet.direction()), wire);
    line.renew(now, len, wire)
}

/// A packet that is not one more of the first flow that its hash led to, or about which something
/// changes; whether it was carried to its end after all.
#[inline(never)]
fn consider(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    shard: &mut Shard,
    tables: &Tables,
) -> bool {
    if !packet.is_pending() {
        return false;
    }
    if packet.is_plain
        && let Some(ends) = slot.get(packet.range()).and_then(ends)
    {
        (packet.key.src, packet.key.dst) = ends;
    }
    match find(packet, shard) {
        // An ICMP error or a fragment belongs to its flow, but is judged by itself.
        Some(_) if packet.kind != Kind::Whole => {}
        Some(found) => {
            // Another key of the same hash came first.
            let is_other = std::mem::replace(&mut packet.found, found) != found;
            if is_other && packet.is_plain && carry_segments(packet, slot, shard, tables) {
                return true;
            }
            hit(packet, shard, tables);
        }
        None => {
            packet.found = FlowRef::NONE;
            shard.prefetch_owner(packet.hash);
        }
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
