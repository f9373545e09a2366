//! Can this packet be trusted, and whose is it?
//!
//! Bytes become offsets and a flow key. What contradicts itself is refused here (RFC 1812
//! s. 5.2.2), so that later stages believe lengths and offsets. The device header is checked too:
//! a partial checksum and a super-packet must be of the packet that they come with.

use crate::io::SLOT;
use crate::packet::{Addr, Answer, Batch, Key, Kind, Packet, Reason, Tail, Verdict};
use crate::path::headers::{Message, Network, Transport, quoted, short, tcp, udp};
use crate::path::{fragment, nat64};
use crate::state::{Flows, MeterId, Shard};
use crate::tables::Tables;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::virtio::gso;
use crate::wire::{icmpv4, protocol, tcp, udp};

/// Finds headers and key of each packet, or drops it; what the key is looked up in is on its way into
/// cache meanwhile.
pub fn parse(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    // What was handed over was counted where it came in.
    shard.counters.received += batch.received() as u64;
    for (packet, slot) in batch.slots_mut() {
        if common(packet, slot, &shard.flows).is_none() {
            uncommon(packet, slot, shard, tables);
        }
        shard.flows.prefetch_index(packet.hash);
    }
}

/// Lengths of headers without options or extensions, in bytes; see [`Packet::transport`].
const IPV4: u8 = short(ipv4::HEADER);
const IPV6: u8 = short(ipv6::HEADER);

/// What most packets are: TCP or UDP over IPv4 without options, or IPv6 without extension headers,
/// whole and sound. `None` for any other, and for those that are none of anything.
#[inline(always)]
fn common(packet: &mut Packet, slot: &mut [u8; SLOT], flows: &Flows) -> Option<()> {
    let bytes = packet.bytes_mut(slot)?;
    let header = Ipv4::of(bytes)?;
    if header.version_ihl != ipv4::PLAIN {
        return common_v6(packet, bytes, flows);
    }
    if !header.is_summed() || header.is_fragment() {
        return None;
    }
    let total = header.total_length.get();
    let segment = bytes.get(ipv4::HEADER..usize::from(total))?;
    if !packet.offload.is_finished() {
        check_offload(packet, (gso::TCPV4, header.protocol), ipv4::HEADER, total.into()).ok()?;
    }
    let (pair, protocol) = (header.pair(), header.protocol);
    let tail = plain(packet, (total.into(), IPV4), (protocol, segment), false)?;
    packet.hash = flows.hash_v4(pair, tail);
    Some(())
}

/// The same of IPv6.
#[inline(always)]
fn common_v6(packet: &mut Packet, bytes: &[u8], flows: &Flows) -> Option<()> {
    let header = Ipv6::of(bytes).filter(|header| header.version() == 6)?;
    let total = u32::from(header.payload_length.get()) + u32::from(IPV6);
    let segment = bytes.get(ipv6::HEADER..total as usize)?;
    if !packet.offload.is_finished() {
        check_offload(packet, (gso::TCPV6, header.next_header), ipv6::HEADER, total).ok()?;
    }
    let tail = plain(packet, (total, IPV6), (header.next_header, segment), true)?;
    packet.hash = flows.hash_v6(header.ends(), tail);
    Some(())
}

/// Says what a packet of TCP or UDP is known by, but for its addresses: those stay where they are.
#[inline(always)]
fn plain(
    packet: &mut Packet,
    (total, transport): (u32, u8),
    (protocol, segment): (u8, &[u8]),
    is_v6: bool,
) -> Option<Tail> {
    let Transport { header, ports, tcp_flags } = match protocol {
        protocol::TCP => tcp(segment)?.into(),
        protocol::UDP => udp(segment, segment.len())?.into(),
        _ => return None,
    };
    (packet.len, packet.transport) = (total, transport);
    (packet.header, packet.tcp_flags, packet.is_plain) = (header, tcp_flags, true);
    // Used before it is stored: reading back at once what was stored in narrower pieces stalls.
    let tail = Tail::new(ports, packet.key.link, protocol, is_v6);
    packet.key.set_tail(tail);
    Some(tail)
}

/// Any packet, or what is none.
#[cold]
#[inline(never)]
fn uncommon(packet: &mut Packet, slot: &mut [u8; SLOT], shard: &mut Shard, tables: &Tables) {
    let bytes = packet.bytes_mut(slot).unwrap_or_default();
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
