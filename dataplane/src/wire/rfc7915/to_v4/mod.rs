//! From IPv6 to IPv4 (RFC 7915 s. 5).

mod error;
mod header;
#[cfg(test)]
mod tests;

pub use error::translate_error;

use crate::io::Frame;
use crate::wire::ipv4;
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::wire::rfc7915::transport::{self, Change, Transport};
use crate::wire::rfc7915::{
    Deltas, Ends, Hop, Refusal, Translated, growth, header_before, icmp, mtu,
};
use crate::wire::tcp;
use crate::wire::udp::Udp;
use crate::wire::virtio::gso;
use header::{Header, MAY_FRAGMENT, Old};

/// Translates the packet that `frame` describes: whole, a fragment, or a super-packet, and any but
/// an ICMP error.
///
/// # Errors
///
/// Why it is not translated; what its sender is owed says [`Refusal::icmpv6`].
pub fn translate(
    slot: &mut [u8],
    frame: Frame,
    ends: &Ends<[u8; 4]>,
    hop: &Hop,
) -> Result<Translated, Refusal> {
    let packet = frame.packet(slot).ok_or(Refusal::Malformed)?;
    let old = Old::of(packet)?;
    // Padding behind the packet is not its own.
    let payload = packet.get(old.at..old.at + old.length).ok_or(Refusal::Malformed)?;
    if old.is_illegal_source() {
        return Err(Refusal::IllegalSource);
    }
    old.check_route()?;
    let ttl = hop.limit(old.header.hop_limit)?;
    let protocol = header::number(old.protocol)?;
    let (part, partial) = (old.part(), frame.offload.needs_csum());
    let transport = match old.protocol {
        protocol::ICMPV6 => Transport::of_icmp(payload, payload.len(), part, icmp::query_to_v4)?,
        number => Transport::of(number, payload, part, partial)?,
    };
    // All UDP over IPv6 has a checksum (RFC 8200 s. 8.1).
    if transport == Transport::Unsummed {
        return Err(Refusal::ZeroChecksum);
    }
    let longest = ipv4::HEADER + transport.longest(payload, frame.offload);
    let fragment = cut_at(longest, hop)?;

    let was = Ends {
        source: old.header.source,
        destination: old.header.destination,
        ports: transport::ports(payload),
    };
    let (total, payload) = (header::total(payload.len())?, payload.len());
    let (start, place, rest) =
        header_before(slot, frame.start + old.at, ipv4::HEADER).ok_or(Refusal::NoRoom)?;
    let change = Change {
        ports: ends.ports,
        deltas: Deltas::between(&was, ends),
        partial,
        addresses6: was.addresses(),
        to_v6: false,
    };
    transport.translate(rest.get_mut(..payload).unwrap_or_default(), &change);
    let (flags_offset, identification) = old.fragmentation(longest, hop.identification);
    Header {
        tos: old.header.traffic_class(),
        total,
        identification,
        flags_offset,
        ttl,
        protocol,
        source: ends.source,
        destination: ends.destination,
    }
    .write(place);
    let offload = frame.offload.translated(gso::TCPV4, growth(old.at, ipv4::HEADER));
    Ok(Translated { frame: Frame { start, len: total.into(), offload }, fragment })
}

/// The most bytes of the fragments that an IPv4 packet of `longest` bytes leaves in (s. 5); `None`
/// where it leaves as it is.
fn cut_at(longest: usize, hop: &Hop) -> Result<Option<u16>, Refusal> {
    if longest <= hop.mtu4.into() {
        Ok(None)
    } else if longest <= MAY_FRAGMENT {
        Ok(Some(hop.mtu4))
    } else {
        Err(Refusal::TooBig { mtu: mtu::for_v6_sender(hop) })
    }
}

/// Translates a packet of a known flow: a whole TCP or UDP packet without extension headers, that
/// has hops left and fits the way. `None`: it is not of that shape, is untouched, and is for
/// [`translate`].
///
/// All that does not depend on the packet is given: `deltas` must be those of its addresses and
/// ports. See [`Hop`] for `identification`.
#[must_use]
pub fn replay(
    slot: &mut [u8],
    frame: Frame,
    ends: &Ends<[u8; 4]>,
    deltas: Deltas,
    hops: u8,
    identification: u16,
) -> Option<Frame> {
    const GROWTH: usize = mtu::GROWTH as usize;
    let bytes = slot.get_mut(frame.start..frame.start + frame.len)?;
    let (network, segment) = bytes.split_first_chunk_mut::<{ ipv6::HEADER }>()?;
    let old = Ipv6::of(network)?;
    let (tos, number, hop_limit) = (old.traffic_class(), old.next_header, old.hop_limit);
    let partial = frame.offload.needs_csum();
    let transport = match number {
        protocol::TCP if segment.len() >= tcp::HEADER => Transport::Tcp,
        protocol::UDP if Udp::of(segment)?.checksum.get() != 0 || partial => Transport::Udp,
        _ => return None,
    };
    let total = header::total(segment.len()).ok()?;
    let longest = ipv4::HEADER + transport.longest(segment, frame.offload);
    if transport == Transport::Tcp {
        transport::tcp(segment, ends.ports, deltas, partial);
    } else {
        transport::udp(segment, ends.ports, deltas, partial);
    }
    Header {
        tos,
        total,
        identification,
        flags_offset: header::flags(longest),
        ttl: hop_limit.wrapping_sub(hops),
        protocol: number,
        source: ends.source,
        destination: ends.destination,
    }
    .write(network.get_mut(GROWTH..)?);
    let (start, len) = (frame.start + GROWTH, frame.len - GROWTH);
    let offload = frame.offload.translated(gso::TCPV4, -mtu::GROWTH.cast_signed());
    Some(Frame { start, len, offload })
}
