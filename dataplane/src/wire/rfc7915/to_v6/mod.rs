//! From IPv4 to IPv6 (RFC 7915 s. 4).

mod error;
mod header;
mod options;
#[cfg(test)]
mod tests;

pub use error::translate_error;

use crate::io::{Frame, HEADROOM};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::wire::rfc7915::transport::{self, Change, Part, Transport};
use crate::wire::rfc7915::{
    Deltas, Ends, Hop, Refusal, Translated, growth, header_before, icmp, mtu,
};
use crate::wire::tcp;
use crate::wire::udp::Udp;
use crate::wire::virtio::{self, gso};
use header::Header;

/// Translates the packet that `frame` describes: whole, a fragment, or a super-packet, and any but
/// an ICMP error.
///
/// # Errors
///
/// Why it is not translated; what its sender is owed says [`Refusal::icmpv4`].
pub fn translate(
    slot: &mut [u8],
    frame: Frame,
    ends: &Ends<[u8; 16]>,
    hop: &Hop,
) -> Result<Translated, Refusal> {
    let packet = frame.packet(slot).ok_or(Refusal::Malformed)?;
    let old = header::of(packet)?;
    let (at, total) = (old.header_length(), usize::from(old.total_length.get()));
    // Padding behind the packet is not its own.
    let payload = packet.get(at..total).ok_or(Refusal::Malformed)?;
    if header::is_illegal_source(old.source) {
        return Err(Refusal::IllegalSource);
    }
    options::check_route(packet.get(ipv4::HEADER..at).unwrap_or_default())?;
    let hop_limit = hop.limit(old.ttl)?;
    let next_header = header::next_header(old.protocol)?;
    let (part, partial) = (header::part_of(&old), frame.offload.needs_csum());
    let transport = match old.protocol {
        protocol::ICMP => Transport::of_icmp(payload, payload.len(), part, icmp::query_to_v6)?,
        number => Transport::of(number, payload, part, partial)?,
    };
    let longest = transport.longest(payload, frame.offload);
    let fragment = cut_at(&old, longest, hop)?;

    let was =
        Ends { source: old.source, destination: old.destination, ports: transport::ports(payload) };
    let fragmented = part != Part::Whole || fragment.is_some();
    let (length, payload) = (Header::length(fragmented), payload.len());
    let (start, place, rest) =
        header_before(slot, frame.start + at, length).ok_or(Refusal::NoRoom)?;
    let change = Change {
        ports: ends.ports,
        deltas: Deltas::between(&was, ends),
        partial,
        addresses6: ends.addresses(),
        to_v6: true,
    };
    transport.translate(rest.get_mut(..payload).unwrap_or_default(), &change);
    Header {
        traffic_class: old.tos,
        payload,
        next_header,
        hop_limit,
        source: ends.source,
        destination: ends.destination,
        fragment: fragmented.then(|| header::fragment_of(&old, next_header)),
    }
    .write(place);
    let offload = frame.offload.translated(gso::TCPV6, growth(at, length));
    Ok(Translated { frame: Frame { start, len: length + payload, offload }, fragment })
}

/// The most bytes of the IPv6 fragments that a packet of `longest` bytes of payload leaves in (s. 4,
/// 4.1); `None` where it leaves as it is.
fn cut_at(old: &Ipv4, longest: usize, hop: &Hop) -> Result<Option<u16>, Refusal> {
    let length = Header::length(old.is_fragment()) + longest;
    if !old.dont_fragment() {
        let most = hop.lowest_mtu6.min(hop.mtu6);
        return Ok((length > most.into()).then_some(most));
    }
    if length <= hop.mtu6.into() {
        return Ok(None);
    }
    // A fragment may be too long only for the header that it needs.
    let fits = ipv6::HEADER + longest <= hop.mtu6.into();
    let growth = if fits { mtu::GROWTH + mtu::FRAGMENT } else { mtu::GROWTH };
    Err(Refusal::TooBig { mtu: hop.mtu6.saturating_sub(growth) })
}

/// Translates a packet of a known flow: a whole TCP or UDP packet without IPv4 options, that has
/// hops left and fits the way. `None`: it is not of that shape, is untouched, and is for
/// [`translate`].
///
/// All that does not depend on the packet is given: `deltas` must be those of its addresses and
/// ports.
#[must_use]
pub fn replay(
    slot: &mut [u8],
    frame: Frame,
    ends: &Ends<[u8; 16]>,
    deltas: Deltas,
    hops: u8,
) -> Option<Frame> {
    const GROWTH: usize = mtu::GROWTH as usize;
    const { assert!(GROWTH + virtio::HEADER <= HEADROOM, "it grows into its own room") };
    let start = frame.start.checked_sub(GROWTH)?;
    let bytes = slot.get_mut(start..frame.start + frame.len)?;
    let (network, segment) = bytes.split_first_chunk_mut::<{ ipv6::HEADER }>()?;
    let old = Ipv4::of(network.get(GROWTH..)?)?;
    if old.version_ihl != ipv4::PLAIN || old.is_fragment() {
        return None;
    }
    let (tos, number, ttl) = (old.tos, old.protocol, old.ttl);
    let payload_length = u16::try_from(segment.len()).ok()?;
    let partial = frame.offload.needs_csum();
    match number {
        protocol::TCP if segment.len() >= tcp::HEADER => {
            transport::tcp(segment, ends.ports, deltas, partial);
        }
        protocol::UDP if Udp::of(segment)?.checksum.get() != 0 || partial => {
            transport::udp(segment, ends.ports, deltas, partial);
        }
        _ => return None,
    }
    *network = zerocopy::transmute!(Ipv6 {
        version_class_label: Ipv6::first_word(tos),
        payload_length: payload_length.into(),
        next_header: number,
        hop_limit: ttl.wrapping_sub(hops),
        source: ends.source,
        destination: ends.destination,
    });
    let offload = frame.offload.translated(gso::TCPV6, mtu::GROWTH.cast_signed());
    Some(Frame { start, len: frame.len + GROWTH, offload })
}
