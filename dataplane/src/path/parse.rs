//! Can this packet be trusted, and whose is it?
//!
//! Bytes become offsets and a flow key. What contradicts itself is refused here (RFC 1812
//! s. 5.2.2), so that later stages believe lengths and offsets. The device header is checked too:
//! a partial checksum and a super-packet must be of the packet that they come with.

use crate::io::SLOT;
use crate::packet::{Addr, Answer, Batch, Key, Kind, LinkId, Packet, PortPair, Reason, Verdict};
use crate::path::fragment;
use crate::state::{Flows, MeterId, Shard};
use crate::tables::Tables;
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{self, Icmpv4};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::protocol;
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};
use crate::wire::virtio::gso;

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

/// Length of an IPv4 header without options, in bytes; see [`Packet::transport`].
const IPV4: u8 = short(ipv4::HEADER);

/// What most packets are: TCP or UDP over IPv4 without options, whole and sound. `None` for any other,
/// and for those that are none of anything.
#[inline(always)]
fn common(packet: &mut Packet, slot: &mut [u8; SLOT], flows: &Flows) -> Option<()> {
    let bytes = packet.bytes_mut(slot)?;
    let header = Ipv4::of(bytes).filter(|header| header.version_ihl == ipv4::PLAIN)?;
    if !header.is_summed() || header.is_fragment() {
        return None;
    }
    let total = header.total_length.get();
    let segment = bytes.get(ipv4::HEADER..usize::from(total))?;
    if !packet.offload.is_finished() {
        check_offload(packet, header.protocol, ipv4::HEADER, total).ok()?;
    }
    match header.protocol {
        protocol::TCP => belongs(packet, header, IPV4, tcp(segment)?.into(), flows),
        protocol::UDP => belongs(packet, header, IPV4, udp(segment, segment.len())?.into(), flows),
        _ => return None,
    }
    Some(())
}

/// Any packet, or what is none.
#[cold]
#[inline(never)]
fn uncommon(packet: &mut Packet, slot: &mut [u8; SLOT], shard: &mut Shard, tables: &Tables) {
    let bytes = packet.bytes_mut(slot).unwrap_or_default();
    let placed = match dissect(packet, bytes, &shard.flows) {
        Ok(()) => return,
        Err(Undone::Refused(reason)) => Err(reason),
        Err(Undone::Fragment) => fragment::place(packet, bytes, shard, tables),
    };
    if let Err(reason) = placed {
        let component = tables.component_at(packet.key.link);
        packet.meter = MeterId::NONE;
        packet.verdict = Verdict::Drop { reason, component, answer: Answer::Silence };
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

fn dissect(packet: &mut Packet, bytes: &[u8], flows: &Flows) -> Result<(), Undone> {
    let header = Ipv4::of(bytes).ok_or(Reason::Malformed)?;
    let length = check_header(header, bytes)?;
    if header.is_fragment() {
        return Err(Undone::Fragment);
    }
    // Padding behind the packet is not its own.
    let total = header.total_length.get();
    let segment = bytes.get(length.into()..total.into()).ok_or(Reason::Malformed)?;
    let transport = transport_of(header.protocol, segment, segment.len())?;
    check_offload(packet, header.protocol, length.into(), total)?;
    belongs(packet, header, length, transport, flows);
    if header.protocol == protocol::ICMP {
        let message = Icmpv4::of(segment).ok_or(Reason::Malformed)?;
        packet.icmp = message.type_and_code();
        if message.is_error() {
            packet.kind = Kind::Error;
            let quote = segment.get(icmpv4::HEADER..).unwrap_or_default();
            packet.key = quoted(quote, packet.key.link)?;
            packet.hash = flows.hash(&packet.key);
        }
    }
    Ok(())
}

/// The length of a header of IPv4, in bytes.
fn check_header(header: &Ipv4, bytes: &[u8]) -> Result<u8, Reason> {
    match header.version() {
        4 => {}
        6 => return Err(Reason::IpVersion),
        _ => return Err(Reason::Malformed),
    }
    let length = header.header_length();
    let whole = bytes.get(..length).filter(|_| length >= ipv4::HEADER).ok_or(Reason::Malformed)?;
    // RFC 1812 s. 5.2.2 (2): what is not summed right is not looked at further.
    let is_summed = Sum::of(whole).fold() == 0xffff;
    u8::try_from(length).ok().filter(|_| is_summed).ok_or(Reason::Malformed)
}

/// Says whose a packet is, `length` bytes of which are its header.
#[inline(always)]
fn belongs(packet: &mut Packet, ip: &Ipv4, length: u8, transport: Transport, flows: &Flows) {
    let Transport { header, ports, tcp_flags } = transport;
    packet.len = ip.total_length.get().into();
    packet.transport = length;
    packet.header = header;
    packet.tcp_flags = tcp_flags;
    let ends = (Addr::from_v4(ip.source), Addr::from_v4(ip.destination));
    let key = Key::with_ports(packet.key.link, ip.protocol, ends, ports);
    // Hashed before it is stored: reading back at once what was stored in narrower pieces stalls.
    packet.hash = flows.hash(&key);
    packet.key = key;
}

/// What a transport header says.
#[derive(Clone, Copy)]
pub(super) struct Transport {
    /// Its length, in bytes.
    pub(super) header: u8,
    /// See [`Key`].
    pub(super) ports: PortPair,
    pub(super) tcp_flags: u8,
}

/// The transport header at the start of `segment`, of whose datagram there are `present` bytes, here
/// or in other fragments.
pub(super) fn transport_of(
    protocol: u8,
    segment: &[u8],
    present: usize,
) -> Result<Transport, Reason> {
    let found = match protocol {
        protocol::TCP => tcp(segment).map(Transport::from),
        protocol::UDP => udp(segment, present).map(Transport::from),
        protocol::ICMP => Icmpv4::of(segment).map(Transport::from),
        _ => Some(Transport { header: 0, ports: PortPair::NONE, tcp_flags: 0 }),
    };
    found.ok_or(Reason::Malformed)
}

#[inline(always)]
fn tcp(segment: &[u8]) -> Option<&Tcp> {
    let header = Tcp::of(segment)?;
    let length = usize::from(header.header_length());
    (length >= tcp::HEADER && length <= segment.len()).then_some(header)
}

#[inline(always)]
fn udp(segment: &[u8], present: usize) -> Option<&Udp> {
    let header = Udp::of(segment)?;
    let length = usize::from(header.length.get());
    (length >= udp::HEADER && length <= present).then_some(header)
}

/// The length of a header, in bytes, as packets have it.
#[expect(clippy::cast_possible_truncation, reason = "only of headers without options")]
const fn short(header: usize) -> u8 {
    header as u8
}

impl From<&Tcp> for Transport {
    #[inline(always)]
    fn from(tcp: &Tcp) -> Self {
        Self { header: tcp.header_length(), ports: tcp.ports(), tcp_flags: tcp.flags }
    }
}

impl From<&Udp> for Transport {
    #[inline(always)]
    fn from(udp: &Udp) -> Self {
        Self { header: short(udp::HEADER), ports: udp.ports(), tcp_flags: 0 }
    }
}

impl From<&Icmpv4> for Transport {
    fn from(icmp: &Icmpv4) -> Self {
        Self { header: short(icmpv4::HEADER), ports: icmp_ports(icmp), tcp_flags: 0 }
    }
}

/// The identifier of an echo stands for a port on the side that asked.
fn icmp_ports(header: &Icmpv4) -> PortPair {
    match header.kind {
        icmpv4::kind::ECHO_REQUEST => PortPair::new(header.identifier.get(), 0),
        icmpv4::kind::ECHO_REPLY => PortPair::new(0, header.identifier.get()),
        _ => PortPair::NONE,
    }
}

/// The key of the packets that the one quoted in `message` answers: they come the way that the error
/// came, by `link`. Its header is quoted, and at least eight bytes of its payload (RFC 792).
#[cold]
fn quoted(message: &[u8], link: LinkId) -> Result<Key, Reason> {
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
        protocol::TCP | protocol::UDP => Udp::of(segment).ok_or(Reason::Malformed)?.ports(),
        protocol::ICMP => {
            let header = Icmpv4::of(segment).ok_or(Reason::Malformed)?;
            // No error is sent about an error (RFC 1122 s. 3.2.2).
            if header.is_error() {
                return Err(Reason::IcmpUnmatched);
            }
            icmp_ports(header)
        }
        _ => PortPair::NONE,
    };
    let ends = (Addr::from_v4(header.source), Addr::from_v4(header.destination));
    Ok(Key::with_ports(link, header.protocol, ends, ports).reversed(link))
}

/// Whether what is left to be done can be done.
#[inline(never)]
fn check_offload(
    packet: &Packet,
    protocol: u8,
    transport: usize,
    total: u16,
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
    let can_be_cut = offload.needs_csum() && offload.gso_size > 0 && u32::from(total) == packet.len;
    let super_packet_is_sound = match offload.segmented() {
        None => true,
        Some(gso::TCPV4) => protocol == protocol::TCP && can_be_cut,
        Some(gso::UDP_L4) => protocol == protocol::UDP && can_be_cut,
        Some(_) => false,
    };
    if partial_is_sound && super_packet_is_sound { Ok(()) } else { Err(Reason::Malformed) }
}
