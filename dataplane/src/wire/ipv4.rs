//! IPv4 header (RFC 791 s. 3.1).

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::packet::Pair;

/// Length of a header without options, in bytes.
pub const HEADER: usize = 20;

/// The first byte of a header without options.
pub const PLAIN: u8 = 0x45;

/// The header without its options (RFC 791 s. 3.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    /// Version in the high nibble, header length in words of four bytes in the low one.
    pub version_ihl: u8,
    /// Differentiated services (RFC 2474) and ECN (RFC 3168).
    pub tos: u8,
    /// Length of header and payload, in bytes.
    pub total_length: U16,
    /// Identification of the datagram whose fragments belong together.
    pub identification: U16,
    /// DF, MF and the fragment offset in units of eight bytes.
    pub flags_offset: U16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Checksum over the header.
    pub checksum: U16,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

view!(Ipv4, HEADER);

/// The same bytes.
#[derive(FromBytes, Immutable)]
#[repr(C)]
struct Words {
    first: [[u8; 8]; 2],
    last: [u8; 4],
}

/// The DF bit of `flags_offset`.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// The MF bit of `flags_offset`.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset in `flags_offset`, in units of eight bytes.
pub const OFFSET: u16 = 0x1fff;

impl Ipv4 {
    /// IP version.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Header length with options, in bytes: 0 to 60, believed as it stands.
    #[must_use]
    pub const fn header_length(&self) -> usize {
        (self.version_ihl & 0x0f) as usize * 4
    }

    /// Whether the checksum of a header without options is right. Asked of one that says its version.
    #[must_use]
    #[inline]
    pub fn is_summed(&self) -> bool {
        // The ones' complement sum of all words is all ones: it is a multiple of 0xffff, and not zero,
        // as the version is not; in any byte order, or in none, and of words of any size (RFC 1071 s. 2 (B),
        // (C)).
        let ([first, second], last) = self.words();
        let (sum, carry) = first.overflowing_add(second);
        let (sum, carry) = sum.overflowing_add(u64::from(last) + u64::from(carry));
        (sum + u64::from(carry)).is_multiple_of(0xffff)
    }

    /// Whether it is the header of a whole packet of IPv4, without options: its first word says so.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        const PART: [u8; 2] = (MORE_FRAGMENTS | OFFSET).to_be_bytes();
        const SAID: u64 = u64::from_ne_bytes([0xff, 0, 0, 0, 0, 0, PART[0], PART[1]]);
        let ([first, _], _) = self.words();
        first & SAID == u64::from_ne_bytes([PLAIN, 0, 0, 0, 0, 0, 0, 0])
    }

    /// The header in words, in whatever order this machine reads them.
    #[inline(always)]
    fn words(&self) -> ([u64; 2], u32) {
        // Each loaded at once: put together from its bytes it would be loaded by them.
        let Words { first, last } = zerocopy::transmute_ref!(self);
        (first.map(u64::from_ne_bytes), u32::from_ne_bytes(*last))
    }

    /// Whether the sender forbids fragmentation.
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.flags_offset.get() & DONT_FRAGMENT != 0
    }

    /// Whether this is a fragment: more follow, or some came before.
    #[must_use]
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.flags_offset.get() & (MORE_FRAGMENTS | OFFSET) != 0
    }

    /// Offset of this fragment's payload in the datagram, in bytes.
    #[must_use]
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.flags_offset.get() & OFFSET) * 8
    }

    /// Source and destination.
    #[inline(always)]
    pub(crate) fn pair(&self) -> Pair {
        let &[.., a, b, c, d, e, f, g, h]: &[u8; HEADER] = zerocopy::transmute_ref!(self);
        Pair::new([a, b, c, d], [e, f, g, h])
    }

    /// Changes source and destination.
    #[inline(always)]
    pub(crate) const fn set_pair(&mut self, pair: Pair) {
        [self.source, self.destination] = pair.octets();
    }

    /// Source address.
    #[must_use]
    pub const fn src(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.source;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Destination address.
    #[must_use]
    pub const fn dst(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.destination;
        Ipv4Addr::new(a, b, c, d)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::checksum::Sum;

    proptest! {
        /// With carries from everywhere: of words of ones.
        #[test]
        fn is_summed_as_words_of_16_bits_are(
            mut bytes in any::<[u8; HEADER]>(),
            ones in 0..=HEADER,
            is_right in any::<bool>(),
        ) {
            bytes[ones..].fill(0xff);
            bytes[0] = PLAIN;
            if is_right {
                bytes[10..12].fill(0);
                let checksum = Sum::of(&bytes).checksum();
                bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            let header = Ipv4::of(&bytes).unwrap();
            prop_assert_eq!(header.is_summed(), Sum::of(&bytes).fold() == 0xffff);
            prop_assert!(header.is_summed() || !is_right);
        }

        #[test]
        fn is_plain_by_its_fields(mut bytes in any::<[u8; HEADER]>(), first in 0x44_u8..0x47, part: [u8; 2]) {
            bytes[0] = first;
            bytes[6..8].copy_from_slice(&part.map(|byte| byte & byte.rotate_left(3)));
            let header = Ipv4::of(&bytes).unwrap();
            prop_assert_eq!(header.is_plain(), first == PLAIN && !header.is_fragment());
        }
    }
}
