//! An IPv6 header and what is behind it as a header of IPv4 (RFC 7915 s. 5.1).

use crate::wire::chain::{Chain, Fragment};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{DONT_FRAGMENT, HEADER, MORE_FRAGMENTS, OFFSET};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::wire::rfc7915::Refusal;
use crate::wire::rfc7915::transport::Part;

/// A packet without its extension headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Old {
    pub(super) header: Ipv6,
    /// Number of what it carries, as IPv6 has it.
    pub(super) protocol: u8,
    /// Offset of that from the start of the packet.
    pub(super) at: usize,
    /// Length of that, in bytes, whether or not it is all there.
    pub(super) length: usize,
    pub(super) fragment: Option<Fragment>,
    /// See [`Chain::segments_left`].
    segments_left: Option<usize>,
}

impl Old {
    /// Reads `packet`, or the beginning of one. Extension headers are skipped, but for an
    /// authentication header, which IPv4 has too (s. 5.1, "Protocol").
    pub(super) fn of(packet: &[u8]) -> Result<Self, Refusal> {
        let header = *Ipv6::of(packet).ok_or(Refusal::Malformed)?;
        if header.version() != 6 {
            return Err(Refusal::Malformed);
        }
        let total = ipv6::HEADER + usize::from(header.payload_length.get());
        let chain = Chain::of(packet.get(..total).unwrap_or(packet)).map_err(Refusal::Chain)?;
        if chain.fragment.is_some_and(|it| protocol::is_extension(it.next_header)) {
            return Err(Refusal::FragmentedExtension);
        }
        let (protocol, at, fragment) = match chain.authentication {
            Some(at) => (protocol::AUTHENTICATION, at, None),
            None => (chain.protocol, chain.transport, chain.fragment),
        };
        let length = total.checked_sub(at).ok_or(Refusal::Malformed)?;
        let segments_left = chain.segments_left;
        Ok(Self { header, protocol, at, length, fragment, segments_left })
    }

    /// Which part of its datagram it carries.
    pub(super) fn part(&self) -> Part {
        let whole = |fragment: Fragment| Part::new(fragment.offset.into(), fragment.more);
        self.fragment.map_or(Part::Whole, whole)
    }

    /// Sum of the pseudo-header of what it carries.
    pub(super) fn pseudo_header(&self) -> Sum {
        self.header.pseudo_header(u16::try_from(self.length).unwrap_or(u16::MAX), self.protocol)
    }

    /// Whether no packet comes from there: nobody, oneself, everybody, and an address that is good on
    /// one link only (RFC 4291 s. 2.5.2, 2.5.3, 2.5.6, 2.7).
    pub(super) fn is_illegal_source(&self) -> bool {
        let source = self.header.src();
        source.is_unspecified()
            || source.is_loopback()
            || source.is_multicast()
            || source.is_unicast_link_local()
    }

    /// Refuses a packet with a routing header that is not used up (s. 5.1).
    pub(super) fn check_route(&self) -> Result<(), Refusal> {
        self.segments_left.map_or(Ok(()), |at| {
            Err(Refusal::RoutingHeader { pointer: u32::try_from(at).unwrap_or(u32::MAX) })
        })
    }

    /// Flags and offset, and identification, of a packet that is at most `longest` bytes long in
    /// IPv4 (s. 5.1, 5.1.1). `identification` is for one that brings none.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what IPv4 has (s. 5.1.1)")]
    pub(super) fn fragmentation(&self, longest: usize, identification: u16) -> (u16, u16) {
        match self.fragment {
            Some(fragment) => {
                let more = if fragment.more { MORE_FRAGMENTS } else { 0 };
                (more | fragment.offset & OFFSET, fragment.identification as u16)
            }
            None => (flags(longest), identification),
        }
    }
}

/// The flags of a packet that is no fragment: as in IPv6, where it is so long that a router there
/// would not have to carry it (s. 5).
pub(super) const fn flags(longest: usize) -> u16 {
    if longest > MAY_FRAGMENT { DONT_FRAGMENT } else { 0 }
}

/// What the smallest IPv6 MTU is in IPv4, in bytes: routers may fragment packets up to it (s. 5).
pub(super) const MAY_FRAGMENT: usize = ipv6::MINIMUM_MTU as usize - (ipv6::HEADER - HEADER);

/// An IPv4 header to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) tos: u8,
    /// Length of header and payload, in bytes.
    pub(super) total: u16,
    pub(super) identification: u16,
    pub(super) flags_offset: u16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    pub(super) source: [u8; 4],
    pub(super) destination: [u8; 4],
}

impl Header {
    /// Writes it over the start of `place`.
    #[inline(always)]
    pub(super) fn write(&self, place: &mut [u8]) {
        let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        let words = [
            pair(0x4500 | u16::from(self.tos), self.total),
            pair(self.identification, self.flags_offset),
            pair(u16::from_be_bytes([self.ttl, self.protocol]), 0),
            u32::from_be_bytes(self.source),
            u32::from_be_bytes(self.destination),
        ];
        let [first, second, third, source, destination] = words;
        let checksum = Sum::ZERO.words(words).checksum();
        let header = [first, second, third | u32::from(checksum), source, destination];
        if let Some(place) = place.first_chunk_mut::<HEADER>() {
            *place = zerocopy::transmute!(header.map(u32::to_be_bytes));
        }
    }
}

/// The number of what follows. What IPv4 gives another meaning to is not translated.
pub(super) const fn number(next_header: u8) -> Result<u8, Refusal> {
    match next_header {
        protocol::ICMPV6 => Ok(protocol::ICMP),
        protocol::ICMP | protocol::IGMP => Err(Refusal::Untranslatable),
        number => Ok(number),
    }
}

/// The length of an IPv4 packet with this payload.
pub(super) fn total(payload: usize) -> Result<u16, Refusal> {
    u16::try_from(HEADER + payload).map_err(|_| Refusal::Malformed)
}
