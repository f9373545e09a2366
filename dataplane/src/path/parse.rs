//! Can this packet be trusted, and whose is it?
//!
//! Bytes become offsets and a flow key. What contradicts itself is refused here (RFC 1812
//! s. 5.2.2), so that later stages believe lengths and offsets. The device header is checked too:
//! a partial checksum and a super-packet must be of the packet that they come with.

use crate::packet::{
    Addr, Answer, Batch, Key, Kind, Packet, PortPair, Reason, Shape, Slots, Tail, Verdict,
};
use crate::path::headers::{
    Head, Message, Network, Start, Transport, ends, head, of_v4, of_v6, quoted, short, tcp, udp,
};
use crate::path::{fragment, nat64};
use crate::state::{Flows, MeterId, Shard};
use crate::tables::Tables;
use crate::wire::ipv4;
use crate::wire::ipv6;
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};
use crate::wire::virtio::gso;
use crate::wire::{icmpv4, protocol};

/// Finds headers and key of each packet, or drops it; what the key is looked up in is on its way into
/// cache meanwhile.
pub fn parse(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    // What was handed over was counted where it came in.
    shard.counters.received += batch.received() as u64;
    let (packets, slots) = batch.parts_mut();
    for packet in packets {
        let is_common = match packet.offload.is_finished() {
            true => common(packet, slots, true, &shard.flows),
            false => unfinished(packet, slots, &shard.flows),
        };
        if is_common.is_none() {
            uncommon(packet, slots, shard, tables);
        }
        packet.found = shard.flows.approach(packet.hash);
    }
}

/// Lengths of headers without options or extensions, in bytes; see [`Packet::transport`].
const IPV4: u8 = short(ipv4::HEADER);
const IPV6: u8 = short(ipv6::HEADER);

/// What most packets are: TCP or UDP over IPv4 without options, or IPv6 without extension headers,
/// whole and sound. `None` for any other, and for those that are none of anything. That nothing is left to
/// be done about it is known where it is asked.
#[inline(always)]
fn common(packet: &mut Packet, slots: &mut Slots, is_finished: bool, flows: &Flows) -> Option<()> {
    let head = head(packet.start, slots)?;
    let (header, transport) = of_v4(head);
    if !header.is_plain() {
        return common_v6(packet, head, is_finished, flows);
    }
    if !header.is_summed() {
        return None;
    }
    let total = header.total_length.get().into();
    let tail = plain(packet, (IPV4, total), (header.protocol, transport), is_finished)?;
    packet.hash = flows.hash_v4(header.pair(), tail);
    Some(())
}

/// The same of IPv6.
#[inline(always)]
fn common_v6(packet: &mut Packet, head: &mut Head, is_finished: bool, flows: &Flows) -> Option<()> {
    let (header, transport) = of_v6(head);
    if header.version() != 6 {
        return None;
    }
    let total = u32::from(header.payload_length.get()) + u32::from(IPV6);
    let tail = plain(packet, (IPV6, total), (header.next_header, transport), is_finished)?;
    packet.hash = flows.hash_v6(header.ends(), tail);
    Some(())
}

/// A packet about which something is left to be done; apart, so that others do not pay for it.
#[inline(never)]
fn unfinished(packet: &mut Packet, slots: &mut Slots, flows: &Flows) -> Option<()> {
    common(packet, slots, false, flows)
}

/// Says what a packet of TCP or UDP is known by, but for its addresses, and no more than that of a finished
/// segment: the rest is [complemented](complement) if need be. The network header is of `offset` bytes, the
/// packet of `total`.
#[inline(always)]
fn plain(
    packet: &mut Packet,
    (offset, total): (u8, u32),
    (protocol, transport): (u8, &Start),
    is_finished: bool,
) -> Option<Tail> {
    if !is_finished {
        let tcp = if offset == IPV6 { gso::TCPV6 } else { gso::TCPV4 };
        check_offload(packet, (tcp, protocol), offset.into(), total).ok()?;
    }
    // Seldom does anything follow it.
    if total != packet.len {
        packet.len = Some(total).filter(|&total| total < packet.len)?;
    }
    if protocol != protocol::TCP {
        return datagram(packet, offset, (protocol, transport));
    }
    let found = tcp(zerocopy::transmute_ref!(transport), offset.into(), total as usize)?;
    if is_finished {
        packet.shape = if offset == IPV6 { Shape::SegmentV6 } else { Shape::Segment };
        packet.tcp_flags = found.tcp_flags;
    } else {
        headed(packet, offset, &found);
    }
    Some(tail(packet, offset, (protocol::TCP, found.ports)))
}

/// The same of UDP; apart, so that segments of TCP do not pay for it.
#[inline(never)]
fn datagram(packet: &mut Packet, offset: u8, (protocol, transport): (u8, &Start)) -> Option<Tail> {
    if protocol != protocol::UDP {
        return None;
    }
    let found = udp(Udp::of(transport)?, offset.into(), packet.len as usize)?;
    headed(packet, offset, &found);
    Some(tail(packet, offset, (protocol::UDP, found.ports)))
}

/// Says where the headers of a plain packet lie.
#[inline(always)]
fn headed(packet: &mut Packet, offset: u8, found: &Transport) {
    packet.shape = if offset == IPV6 { Shape::PlainV6 } else { Shape::Plain };
    (packet.transport, packet.header) = (offset, found.header);
    packet.tcp_flags = found.tcp_flags;
}

#[inline(always)]
fn tail(packet: &mut Packet, offset: u8, (protocol, ports): (u8, PortPair)) -> Tail {
    // Used before it is stored: reading back at once what was stored in narrower pieces stalls.
    let tail = Tail::new(ports, packet.key.link, protocol, offset == IPV6);
    packet.key.set_tail(tail);
    tail
}

/// Says of a plain packet what one that is carried to its end at once is not asked for: addresses, and where
/// the headers of a segment lie.
pub(super) fn complement(packet: &mut Packet, slots: &mut Slots) {
    if packet.shape == Shape::Any {
        return;
    }
    locate(packet);
    let Some(bytes) = packet.bytes_mut(slots) else { return };
    if let Some(ends) = ends(bytes) {
        (packet.key.src, packet.key.dst) = ends;
    }
    if let Shape::Segment | Shape::SegmentV6 = packet.shape
        && let Some(header) = bytes.get(packet.transport.into()..).and_then(Tcp::of)
    {
        packet.header = header.header_length();
    }
}

/// Says where the transport header of a segment lies.
#[inline(always)]
pub(super) const fn locate(packet: &mut Packet) {
    match packet.shape {
        Shape::Segment => packet.transport = IPV4,
        Shape::SegmentV6 => packet.transport = IPV6,
        Shape::Any | Shape::Plain | Shape::PlainV6 => {}
    }
}

/// Any packet, or what is none.
#[cold]
#[inline(never)]
fn uncommon(packet: &mut Packet, slots: &mut Slots, shard: &mut Shard, tables: &Tables) {
    let bytes = packet.bytes_mut(slots).unwrap_or_default();
    let placed = Network::of(bytes).and_then(|network| match network.part {
        Some(part) => fragment::place(packet, bytes, (&network, part), shard, tables),
        None => dissect(packet, bytes, &network, &shard.flows, tables),
    });
    if let Err(reason) = placed {
        let component = tables.component_at(packet.key.link);
        packet.meter = MeterId::NONE;
        let answer = match reason {
            Reason::ExtensionHeaders => nat64::owed_for_chain(packet, bytes, tables),
            _ => Answer::Silence,
        };
        packet.verdict = Verdict::Drop { reason, component, answer };
    }
}

fn dissect(
    packet: &mut Packet,
    bytes: &[u8],
    network: &Network,
    flows: &Flows,
    tables: &Tables,
) -> Result<(), Reason> {
    let &Network { ends, protocol, transport, total, .. } = network;
    let segment = network.payload(bytes)?;
    let header = Transport::of(protocol, segment, segment.len())?;
    let tcp = if ends.0.is_v4() { gso::TCPV4 } else { gso::TCPV6 };
    check_offload(packet, (tcp, protocol), transport.into(), total)?;
    (packet.len, packet.transport) = (total, transport);
    belongs(packet, ends, protocol, header, flows);
    if let Some(message) = Message::of(protocol, segment) {
        packet.icmp = message.type_and_code();
        if message.is_link_local() {
            packet.verdict = Verdict::Ignored;
        } else if message.is_error() {
            packet.kind = Kind::Error;
            let quote = segment.get(icmpv4::HEADER..).unwrap_or_default();
            let without_ports = tables.translates_without_state();
            packet.key = quoted(message, quote, packet.key.link, without_ports)?;
            packet.hash = flows.hash(&packet.key);
        }
    }
    Ok(())
}

/// Says whose a packet is.
fn belongs(
    packet: &mut Packet,
    ends: (Addr, Addr),
    protocol: u8,
    transport: Transport,
    flows: &Flows,
) {
    let Transport { header, ports, tcp_flags } = transport;
    packet.header = header;
    packet.tcp_flags = tcp_flags;
    packet.key = Key::with_ports(packet.key.link, protocol, ends, ports);
    packet.hash = flows.hash(&packet.key);
}

/// Whether what is left to be done can be done; `tcp` is the kind of super-packets of TCP over this
/// family.
#[inline(never)]
fn check_offload(
    packet: &Packet,
    (tcp, protocol): (u8, u8),
    transport: usize,
    total: u32,
) -> Result<(), Reason> {
    let offload = &packet.offload;
    let checksum = match protocol {
        protocol::TCP => Some(tcp::CHECKSUM_OFFSET),
        protocol::UDP => Some(udp::CHECKSUM_OFFSET),
        _ => None,
    };
    let partial_is_sound = !offload.needs_csum()
        || (usize::from(offload.csum_start) == transport && checksum == Some(offload.csum_offset));
    // Each segment's checksum is made of the whole's partial one.
    let can_be_cut = offload.needs_csum() && offload.gso_size > 0 && total == packet.len;
    let super_packet_is_sound = match offload.segmented() {
        None => true,
        Some(gso::UDP_L4) => protocol == protocol::UDP && can_be_cut,
        Some(kind) => kind == tcp && protocol == protocol::TCP && can_be_cut,
    };
    if partial_is_sound && super_packet_is_sound { Ok(()) } else { Err(Reason::Malformed) }
}
