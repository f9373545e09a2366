//! Can this packet be trusted, and whose is it?
//!
//! Bytes become offsets and a flow key. What contradicts itself is refused here (RFC 1812
//! s. 5.2.2), so that later stages believe lengths and offsets. The device header is checked too:
//! a partial checksum and a super-packet must be of the packet that they come with.

use crate::packet::{Addr, Answer, Batch, Key, Kind, Packet, Reason, Verdict};
use crate::path::fragment;
use crate::state::{Flows, Shard};
use crate::tables::Tables;
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{self, Icmpv4};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};
use crate::wire::virtio::gso;
use crate::wire::{protocol, virtio::VirtioNetHdr};

/// Finds headers and key of each packet, or drops it.
pub fn parse(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    for (packet, bytes) in batch.each_mut() {
        // What was handed over was counted where it came in.
        shard.counters.received += u64::from(!packet.handed);
        let drop = |reason, packet: &mut Packet| {
            let component = tables.component_at(packet.key.link);
            packet.verdict = Verdict::Drop { reason, component, answer: Answer::Silence };
        };
        match dissect(packet, bytes, &shard.flows) {
            Ok(()) => {}
            Err(Undone::Refused(reason)) => drop(reason, packet),
            Err(Undone::Fragment) => {
                if let Err(reason) = fragment::place(packet, bytes, shard, tables) {
                    drop(reason, packet);
                }
            }
        }
    }
}

/// Why a packet is not yet what later stages believe.
enum Undone {
    /// It cannot be trusted.
    Refused(Reason),
    /// It may be a part of what can.
    Fragment,
}

impl From<Reason> for Undone {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

#[inline]
fn dissect(packet: &mut Packet, bytes: &[u8], flows: &Flows) -> Result<(), Undone> {
    let header = Ipv4::of(bytes).ok_or(Reason::Malformed)?;
    match header.version() {
        4 => {}
        6 => return Err(Reason::IpVersion.into()),
        _ => return Err(Reason::Malformed.into()),
    }
    let transport = header.header_length();
    let total = usize::from(header.total_length.get());
    if transport < ipv4::HEADER || total < transport || total > bytes.len() {
        return Err(Reason::Malformed.into());
    }
    // RFC 1812 s. 5.2.2 (2): what is not summed right is not looked at further.
    let is_summed = match transport {
        ipv4::HEADER => header.is_summed(),
        _ => bytes.get(..transport).is_some_and(|header| Sum::of(header).fold() == 0xffff),
    };
    if !is_summed {
        return Err(Reason::Malformed.into());
    }
    if header.is_fragment() {
        return Err(Undone::Fragment);
    }
    let segment = bytes.get(transport..total).ok_or(Reason::Malformed)?;
    let found = transport_of(header.protocol, segment, segment.len())?;
    check_offload(&packet.offload, header.protocol, transport)?;
    if packet.offload.segmented().is_some() && total != packet.len {
        return Err(Reason::Malformed.into());
    }

    // Padding behind the packet is not its own.
    packet.len = total;
    packet.transport = u8::try_from(transport).map_err(|_| Reason::Malformed)?;
    packet.payload = u16::try_from(transport + found.header).map_err(|_| Reason::Malformed)?;
    packet.tcp_flags = found.tcp_flags;
    packet.selector = found.selector;
    let link = packet.key.link;
    let (src, dst) = (Addr::v4(header.src()), Addr::v4(header.dst()));
    let (src_port, dst_port) = found.ports;
    let mut key = Key::new(link, header.protocol, (src, src_port), (dst, dst_port));
    if let Some(quoted) = found.quoted {
        // The answer to what is quoted comes the way that this error came.
        key = quoted.reversed(link);
        packet.kind = Kind::Error;
        packet.outer = (src, dst);
    }
    // Hashed before it is stored: reading back at once what was stored in narrower pieces stalls.
    packet.hash = flows.hash(&key);
    packet.key = key;
    Ok(())
}

/// What a transport header says.
#[derive(Default)]
pub(super) struct Transport {
    /// Its length, in bytes.
    pub(super) header: usize,
    /// Source and destination port; see [`Key`].
    pub(super) ports: (u16, u16),
    pub(super) tcp_flags: u8,
    /// See [`Packet::selector`].
    pub(super) selector: u16,
    /// The packet that an ICMP error quotes, as it was sent.
    pub(super) quoted: Option<Key>,
}

/// The transport header at the start of `segment`, of whose datagram there are `present` bytes, here
/// or in other fragments. Inlined for whole packets: left out, it costs each some 30 instructions.
#[inline(always)]
pub(super) fn transport_of(
    protocol: u8,
    segment: &[u8],
    present: usize,
) -> Result<Transport, Reason> {
    match protocol {
        protocol::TCP => {
            let header = Tcp::of(segment).ok_or(Reason::Malformed)?;
            let length = header.header_length();
            if length < tcp::HEADER || length > segment.len() {
                return Err(Reason::Malformed);
            }
            let ports = (header.source_port.get(), header.destination_port.get());
            Ok(Transport {
                header: length,
                ports,
                tcp_flags: header.flags,
                selector: ports.1,
                quoted: None,
            })
        }
        protocol::UDP => {
            let header = Udp::of(segment).ok_or(Reason::Malformed)?;
            let length = usize::from(header.length.get());
            if length < udp::HEADER || length > present {
                return Err(Reason::Malformed);
            }
            let ports = (header.source_port.get(), header.destination_port.get());
            Ok(Transport { header: udp::HEADER, ports, selector: ports.1, ..Transport::default() })
        }
        protocol::ICMP => {
            let header = Icmpv4::of(segment).ok_or(Reason::Malformed)?;
            let message = segment.get(icmpv4::HEADER..).unwrap_or_default();
            Ok(Transport {
                header: icmpv4::HEADER,
                ports: icmp_ports(header),
                tcp_flags: 0,
                selector: u16::from_be_bytes([header.kind, header.code]),
                quoted: if header.is_error() { Some(quoted(message)?) } else { None },
            })
        }
        _ => Ok(Transport::default()),
    }
}

/// The identifier of an echo stands for a port on the side that asked.
fn icmp_ports(header: &Icmpv4) -> (u16, u16) {
    match header.kind {
        icmpv4::kind::ECHO_REQUEST => (header.identifier.get(), 0),
        icmpv4::kind::ECHO_REPLY => (0, header.identifier.get()),
        _ => (0, 0),
    }
}

/// The key of a quoted packet: its header and at least eight bytes of its payload (RFC 792).
fn quoted(message: &[u8]) -> Result<Key, Reason> {
    let header = Ipv4::of(message).ok_or(Reason::Malformed)?;
    if header.version() != 4 || header.header_length() < ipv4::HEADER {
        return Err(Reason::Malformed);
    }
    // A later fragment quotes no ports.
    if header.fragment_offset() != 0 {
        return Err(Reason::IcmpUnmatched);
    }
    let segment = message.get(header.header_length()..).ok_or(Reason::Malformed)?;
    let ports = match header.protocol {
        // Both begin with the ports; a UDP header is all that must be quoted of either.
        protocol::TCP | protocol::UDP => {
            let header = Udp::of(segment).ok_or(Reason::Malformed)?;
            (header.source_port.get(), header.destination_port.get())
        }
        protocol::ICMP => {
            let header = Icmpv4::of(segment).ok_or(Reason::Malformed)?;
            // No error is sent about an error (RFC 1122 s. 3.2.2).
            if header.is_error() {
                return Err(Reason::IcmpUnmatched);
            }
            icmp_ports(header)
        }
        _ => (0, 0),
    };
    let (src, dst) = (Addr::v4(header.src()), Addr::v4(header.dst()));
    let link = crate::packet::LinkId::default();
    Ok(Key::new(link, header.protocol, (src, ports.0), (dst, ports.1)))
}

fn check_offload(offload: &VirtioNetHdr, protocol: u8, transport: usize) -> Result<(), Reason> {
    let checksum = match protocol {
        protocol::TCP => Some(tcp::CHECKSUM_OFFSET),
        protocol::UDP => Some(udp::CHECKSUM_OFFSET),
        _ => None,
    };
    let partial_is_sound = !offload.needs_csum()
        || (usize::from(offload.csum_start) == transport && checksum == Some(offload.csum_offset));
    // Each segment's checksum is made of the whole's partial one.
    let can_be_cut = offload.needs_csum() && offload.gso_size > 0;
    let super_packet_is_sound = match offload.segmented() {
        None => true,
        Some(gso::TCPV4) => protocol == protocol::TCP && can_be_cut,
        Some(gso::UDP_L4) => protocol == protocol::UDP && can_be_cut,
        Some(_) => false,
    };
    if partial_is_sound && super_packet_is_sound { Ok(()) } else { Err(Reason::Malformed) }
}
