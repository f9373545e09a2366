//! Where does the chain of headers of an IPv6 packet end, and what does it say on the way
//! (RFC 8200 s. 4)?
//!
//! The walk is bounded in headers and bytes, whatever a packet claims, and looks into no option: a
//! node that only forwards may pass hop-by-hop options by (RFC 8200 s. 4.3).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;

/// The most extension headers that are walked; RFC 8883 lets a node have such a limit.
pub const MOST_HEADERS: usize = 8;

/// A transport header further from the start of its packet is not looked for: its offset fits a
/// byte, and this is about what routers in the field see of a packet (RFC 9098).
pub const FURTHEST: usize = 255;

/// Length of a fragment header, in bytes.
pub const FRAGMENT: usize = 8;

/// The fragment header (RFC 8200 s. 4.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    /// Protocol number of what is fragmented.
    pub next_header: u8,
    /// Zero.
    pub reserved: u8,
    /// Offset in units of eight bytes in the upper thirteen bits, two that are reserved, and
    /// [`MORE_FRAGMENTS`].
    pub offset_more: U16,
    /// Identification of the datagram whose fragments belong together.
    pub identification: U32,
}

view!(FragmentHeader, FRAGMENT);

/// The M flag of `offset_more`.
pub const MORE_FRAGMENTS: u16 = 1;

/// A walked chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Protocol number of the header where the walk ended: a transport's, ESP, "no next header", or
    /// what nobody knows.
    pub protocol: u8,
    /// Its offset from the start of the packet; of a later fragment that of the fragmented bytes.
    pub transport: usize,
    /// What the fragment header says, if there is one.
    pub fragment: Option<Fragment>,
    /// Offset of the Segments Left field of the first routing header where it is not zero.
    pub segments_left: Option<usize>,
    /// Offset of the first authentication header (RFC 4302), if there is one.
    pub authentication: Option<usize>,
}

/// What a fragment header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Offset of the fragment header from the start of the packet.
    pub at: usize,
    /// Protocol number of the header behind it in the first fragment.
    pub next_header: u8,
    /// Offset of this fragment in the datagram, in units of eight bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// Identification of the datagram.
    pub identification: u32,
}

impl Fragment {
    /// Whether it is a fragment in form only (RFC 6946): the datagram is whole.
    #[must_use]
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// Why a chain was not walked to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Broken {
    /// It ends before its transport header, which a first fragment must hold (RFC 7112 s. 3).
    Incomplete,
    /// A hop-by-hop header stands elsewhere than behind the IPv6 header (RFC 8200 s. 4.1).
    HopByHopInside,
    /// A fragment is fragmented once more.
    FragmentedTwice,
    /// More than [`MOST_HEADERS`], or beyond [`FURTHEST`].
    TooLong,
}

impl Chain {
    /// Walks the headers of `packet`, which may be only the beginning of one.
    ///
    /// # Errors
    ///
    /// Where there is no transport header within the bounds and bytes.
    pub fn of(packet: &[u8]) -> Result<Self, Broken> {
        let first = Ipv6::of(packet).ok_or(Broken::Incomplete)?.next_header;
        let mut chain = Self {
            protocol: first,
            transport: ipv6::HEADER,
            fragment: None,
            segments_left: None,
            authentication: None,
        };
        for _ in 0..=MOST_HEADERS {
            if !chain.step(packet)? {
                return Ok(chain);
            }
        }
        Err(Broken::TooLong)
    }

    /// Steps over one extension header, if there is one.
    fn step(&mut self, packet: &[u8]) -> Result<bool, Broken> {
        let header = packet.get(self.transport..).unwrap_or_default();
        let length = match self.protocol {
            protocol::HOP_BY_HOP if self.transport > ipv6::HEADER => {
                return Err(Broken::HopByHopInside);
            }
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS => options(header)?,
            protocol::ROUTING => {
                let left = *header.get(3).ok_or(Broken::Incomplete)?;
                if left > 0 && self.segments_left.is_none() {
                    self.segments_left = Some(self.transport + 3);
                }
                options(header)?
            }
            protocol::FRAGMENT => {
                let header = FragmentHeader::of(header).ok_or(Broken::Incomplete)?;
                if self.fragment.is_some() {
                    return Err(Broken::FragmentedTwice);
                }
                let offset = header.offset_more.get() >> 3;
                self.fragment = Some(Fragment {
                    at: self.transport,
                    next_header: header.next_header,
                    offset,
                    more: header.offset_more.get() & MORE_FRAGMENTS != 0,
                    identification: header.identification.get(),
                });
                if offset > 0 {
                    // What follows are bytes of the datagram, and no header.
                    self.protocol = header.next_header;
                    self.transport += FRAGMENT;
                    return Ok(false);
                }
                FRAGMENT
            }
            protocol::AUTHENTICATION => {
                self.authentication.get_or_insert(self.transport);
                // In words of four bytes, less two (RFC 4302 s. 2.2).
                (usize::from(*header.get(1).ok_or(Broken::Incomplete)?) + 2) * 4
            }
            _ => return Ok(false),
        };
        self.protocol = *header.first().ok_or(Broken::Incomplete)?;
        self.transport += length;
        if self.transport > FURTHEST {
            return Err(Broken::TooLong);
        }
        // What is behind a header that is cut off is not known.
        if length > header.len() { Err(Broken::Incomplete) } else { Ok(true) }
    }
}

/// Length of a header that tells it in units of eight bytes, less the first (RFC 8200 s. 4.3, 4.4,
/// 4.6).
fn options(header: &[u8]) -> Result<usize, Broken> {
    Ok((usize::from(*header.get(1).ok_or(Broken::Incomplete)?) + 1) * 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An IPv6 packet of these headers and eight bytes of UDP.
    fn packet(first: u8, headers: &[&[u8]]) -> Vec<u8> {
        let mut packet = vec![0; ipv6::HEADER];
        packet[0] = 0x60;
        packet[6] = first;
        packet.extend(headers.concat());
        packet.extend([0; 8]);
        packet
    }

    const HOP: [u8; 8] = [protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0];
    const OPTIONS: [u8; 8] = [protocol::UDP, 0, 1, 4, 0, 0, 0, 0];

    #[test]
    fn s_4_a_packet_without_extension_headers() {
        let chain = Chain::of(&packet(protocol::UDP, &[])).unwrap();
        assert_eq!((chain.protocol, chain.transport), (protocol::UDP, 40));
        assert_eq!((chain.fragment, chain.segments_left, chain.authentication), (None, None, None));
        assert_eq!(Chain::of(&packet(protocol::NO_NEXT, &[])).unwrap().protocol, 59);
        assert_eq!(Chain::of(&packet(protocol::ESP, &[])).unwrap().protocol, 50);
    }

    #[test]
    fn s_4_3_and_4_6_options_are_stepped_over() {
        let chain = Chain::of(&packet(protocol::HOP_BY_HOP, &[&HOP, &OPTIONS])).unwrap();
        assert_eq!((chain.protocol, chain.transport), (protocol::UDP, 56));
        let long = [&[protocol::UDP, 2][..], &[0; 22]].concat();
        let chain = Chain::of(&packet(protocol::DESTINATION_OPTIONS, &[&long])).unwrap();
        assert_eq!((chain.protocol, chain.transport), (protocol::UDP, 64));
    }

    #[test]
    fn s_4_4_a_routing_header_with_segments_left_is_pointed_to() {
        let routing = |left| [protocol::UDP, 0, 4, left, 0, 0, 0, 0];
        let of = |left| Chain::of(&packet(protocol::ROUTING, &[&routing(left)])).unwrap();
        assert_eq!(of(0).segments_left, None);
        assert_eq!(of(1).segments_left, Some(43));
        assert_eq!(of(1).transport, 48);
    }

    #[test]
    fn s_4_5_fragments_say_which_part_they_are() {
        let fragment = |offset_more: u16| {
            let [high, low] = offset_more.to_be_bytes();
            [protocol::UDP, 0, high, low, 0x12, 0x34, 0x56, 0x78]
        };
        let of = |it| Chain::of(&packet(protocol::FRAGMENT, &[&fragment(it)])).unwrap();
        let first = of(1).fragment.unwrap();
        assert_eq!((first.at, first.offset, first.more), (40, 0, true));
        assert_eq!((first.next_header, first.identification), (protocol::UDP, 0x1234_5678));
        assert!(!first.is_atomic() && of(0).fragment.unwrap().is_atomic());
        let last = of(185 << 3).fragment.unwrap();
        assert_eq!((last.offset, last.more, last.is_atomic()), (185, false, false));
        assert_eq!((of(185 << 3).protocol, of(185 << 3).transport), (protocol::UDP, 48));
        // Whatever the bytes of a later fragment look like, they are no header.
        let later = [protocol::ROUTING, 0, 0, 9, 0, 0, 0, 0];
        let chain = Chain::of(&packet(protocol::FRAGMENT, &[&later])).unwrap();
        assert_eq!((chain.protocol, chain.transport), (protocol::ROUTING, 48));
    }

    #[test]
    fn rfc_4302_s_2_2_an_authentication_header_counts_words_of_four() {
        let header = [&[protocol::UDP, 4][..], &[0; 22]].concat();
        let chain = Chain::of(&packet(protocol::AUTHENTICATION, &[&header])).unwrap();
        assert_eq!((chain.protocol, chain.transport), (protocol::UDP, 64));
        assert_eq!(chain.authentication, Some(40));
    }

    #[test]
    fn what_is_no_chain_says_why() {
        let broken = |first, headers: &[&[u8]]| Chain::of(&packet(first, headers)).unwrap_err();
        let again = [protocol::HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(broken(protocol::HOP_BY_HOP, &[&again, &OPTIONS]), Broken::HopByHopInside);
        let whole = [protocol::FRAGMENT, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(broken(protocol::FRAGMENT, &[&whole, &whole]), Broken::FragmentedTwice);
        let more = [protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0];
        let bomb = [&more[..]; MOST_HEADERS];
        assert_eq!(broken(protocol::DESTINATION_OPTIONS, &bomb), Broken::TooLong);
        let huge = [protocol::UDP, 255, 1, 4, 0, 0, 0, 0];
        assert_eq!(broken(protocol::DESTINATION_OPTIONS, &[&huge]), Broken::TooLong);
        let cut = [protocol::UDP, 3, 1, 4, 0, 0, 0, 0];
        assert_eq!(broken(protocol::DESTINATION_OPTIONS, &[&cut]), Broken::Incomplete);
        assert_eq!(Chain::of(&[0x60; 39]).unwrap_err(), Broken::Incomplete);
    }

    #[test]
    fn the_most_headers_are_walked_and_no_more() {
        let more = [protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0];
        let mut headers = vec![&more[..]; MOST_HEADERS - 1];
        headers.push(&OPTIONS);
        let chain = Chain::of(&packet(protocol::DESTINATION_OPTIONS, &headers)).unwrap();
        assert_eq!((chain.protocol, chain.transport), (protocol::UDP, 40 + 8 * MOST_HEADERS));
    }

    proptest! {
        /// etherparse walks the same chains: it knows nothing of this module.
        #[test]
        fn walks_as_another_does(
            first in known(),
            words in prop::collection::vec((known(), 0..3_u8, any::<[u8; 6]>()), 0..6),
        ) {
            let mut bytes = packet(first, &[]);
            bytes.truncate(ipv6::HEADER);
            for (next, length, rest) in words {
                bytes.extend([next, length]);
                bytes.extend(rest);
            }
            let length = u16::try_from(bytes.len() - ipv6::HEADER).unwrap();
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            if let Ok(chain) = Chain::of(&bytes)
                && let Ok(other) = etherparse::SlicedPacket::from_ip(&bytes)
                && let Some(etherparse::NetSlice::Ipv6(other)) = &other.net
            {
                let fragmented = chain.fragment.is_some_and(|fragment| !fragment.is_atomic());
                prop_assert_eq!(fragmented, other.is_payload_fragmented());
                // It does not look behind the header of a first fragment.
                if !fragmented {
                    prop_assert_eq!(chain.protocol, other.payload().ip_number.0);
                    let behind = &bytes[chain.transport.min(bytes.len())..];
                    prop_assert_eq!(behind, other.payload().payload);
                }
            }
        }

        #[test]
        fn no_bytes_panic_and_every_offset_lies_inside(bytes in prop::collection::vec(any::<u8>(), 0..400), first in known()) {
            let mut bytes = bytes;
            if let Some(next) = bytes.get_mut(6) {
                *next = first;
            }
            if let Ok(chain) = Chain::of(&bytes) {
                prop_assert!(chain.transport <= bytes.len().min(FURTHEST + FRAGMENT));
                let at = chain.fragment.map(|it| it.at).into_iter();
                for at in at.chain(chain.segments_left).chain(chain.authentication) {
                    prop_assert!(at < chain.transport);
                }
            }
        }
    }

    fn known() -> impl Strategy<Value = u8> {
        prop::sample::select(vec![0, 43, 44, 50, 51, 58, 59, 60, 6, 17])
    }
}
