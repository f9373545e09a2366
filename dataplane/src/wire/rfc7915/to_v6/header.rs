//! An IPv4 header as one of IPv6 (RFC 7915 s. 4.1).

use zerocopy::network_endian::{U16, U32};

use crate::wire::chain::{self, FragmentHeader};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{self, Ipv4, MORE_FRAGMENTS};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::wire::rfc7915::Refusal;
use crate::wire::rfc7915::transport::Part;

/// An IPv6 header, with or without fragment header, to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) traffic_class: u8,
    /// Length of all behind both headers, in bytes.
    pub(super) payload: usize,
    pub(super) next_header: u8,
    pub(super) hop_limit: u8,
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) fragment: Option<FragmentHeader>,
}

impl Header {
    /// Length of both headers, in bytes.
    pub(super) const fn length(fragment: bool) -> usize {
        if fragment { ipv6::HEADER + chain::FRAGMENT } else { ipv6::HEADER }
    }

    /// Sum of the pseudo-header of what is behind it (RFC 8200 s. 8.1).
    pub(super) fn pseudo_header(&self) -> Sum {
        let length = u16::try_from(self.payload).unwrap_or(u16::MAX);
        ipv6::pseudo_header(&self.source, &self.destination, length, self.next_header)
    }

    /// Writes them over `place`, which is as long as they are.
    pub(super) fn write(&self, place: &mut [u8]) {
        let Some((network, rest)) = place.split_first_chunk_mut::<{ ipv6::HEADER }>() else {
            return;
        };
        let mut next_header = self.next_header;
        if let Some(fragment) = self.fragment
            && let Some(place) = FragmentHeader::of_mut(rest)
        {
            *place = fragment;
            next_header = protocol::FRAGMENT;
        }
        *network = zerocopy::transmute!(Ipv6 {
            version_class_label: Ipv6::first_word(self.traffic_class),
            payload_length: U16::new(u16::try_from(self.payload + rest.len()).unwrap_or(u16::MAX)),
            next_header,
            hop_limit: self.hop_limit,
            source: self.source,
            destination: self.destination,
        });
    }
}

/// The header that `packet` begins with, where it can be one.
pub(super) fn of(packet: &[u8]) -> Result<Ipv4, Refusal> {
    let header = Ipv4::of(packet).ok_or(Refusal::Malformed)?;
    let length = header.header_length();
    let agrees = header.version() == 4
        && (ipv4::HEADER..=packet.len()).contains(&length)
        && usize::from(header.total_length.get()) >= length;
    if agrees { Ok(*header) } else { Err(Refusal::Malformed) }
}

/// Which part of its datagram a packet with this header carries.
pub(super) fn part_of(header: &Ipv4) -> Part {
    Part::new(header.fragment_offset(), header.flags_offset.get() & MORE_FRAGMENTS != 0)
}

/// The fragment header of a packet that had this header, as a whole one's that is to be cut, too.
pub(super) fn fragment_of(header: &Ipv4, next_header: u8) -> FragmentHeader {
    let flags_offset = header.flags_offset.get();
    let more = if flags_offset & MORE_FRAGMENTS != 0 { chain::MORE_FRAGMENTS } else { 0 };
    FragmentHeader {
        next_header,
        reserved: 0,
        offset_more: U16::new((flags_offset & ipv4::OFFSET) << 3 | more),
        identification: U32::new(header.identification.get().into()),
    }
}

/// The number of what follows. Of what IPv6 gives another meaning to, nothing is made: it would be
/// an extension header, or a message between neighbours.
pub(super) const fn next_header(number: u8) -> Result<u8, Refusal> {
    match number {
        protocol::ICMP => Ok(protocol::ICMPV6),
        protocol::IGMP
        | protocol::ICMPV6
        | protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::FRAGMENT
        | protocol::DESTINATION_OPTIONS => Err(Refusal::Untranslatable),
        number => Ok(number),
    }
}

/// Whether no packet comes from `source`: this network, loopback, multicast, and what is reserved
/// (RFC 1812 s. 5.3.7).
pub(super) const fn is_illegal_source([first, ..]: [u8; 4]) -> bool {
    matches!(first, 0 | 127 | 224..)
}
