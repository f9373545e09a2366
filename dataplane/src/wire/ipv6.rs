//! IPv6 header (RFC 8200 s. 3). What may stand between it and the transport header is walked by
//! [`chain`](crate::wire::chain).

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::packet::Addr;
use crate::wire::checksum::Sum;

/// Length of the header without extension headers, in bytes.
pub const HEADER: usize = 40;

/// Every link carries packets of so many bytes (RFC 8200 s. 5).
pub const MINIMUM_MTU: u16 = 1280;

/// The header without extension headers (RFC 8200 s. 3).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv6 {
    /// Version in the highest four bits, traffic class in the next eight, then the flow label.
    pub version_class_label: U32,
    /// Length of all that follows this header, extension headers included, in bytes.
    pub payload_length: U16,
    /// Protocol number of what follows this header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

view!(Ipv6, HEADER);

impl Ipv6 {
    /// Source and destination.
    #[inline(always)]
    pub(crate) fn ends(&self) -> [Addr; 2] {
        [self.source.into(), self.destination.into()]
    }

    /// Whether source and destination are these.
    #[inline(always)]
    pub(crate) fn is_between(&self, ends: &[Addr; 2]) -> bool {
        // As bytes: sixteen are compared by one instruction.
        self.as_bytes().ends_with(ends.as_bytes())
    }

    /// The first word of a header of this traffic class, without flow label.
    #[must_use]
    pub fn first_word(traffic_class: u8) -> U32 {
        U32::new(6 << 28 | u32::from(traffic_class) << 20)
    }

    /// IP version.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version_class_label.get().to_be_bytes()[0] >> 4
    }

    /// Differentiated services (RFC 2474) and ECN (RFC 3168).
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        let [first, second, ..] = self.version_class_label.get().to_be_bytes();
        first << 4 | second >> 4
    }

    /// Source address.
    #[must_use]
    pub const fn src(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(self.source)
    }

    /// Destination address.
    #[must_use]
    pub const fn dst(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(self.destination)
    }

    /// Sum of the pseudo-header of a transport packet of `length` bytes (RFC 8200 s. 8.1).
    #[must_use]
    pub fn pseudo_header(&self, length: u16, protocol: u8) -> Sum {
        pseudo_header(&self.source, &self.destination, length, protocol)
    }
}

/// Sum of the pseudo-header of a transport packet of `length` bytes (RFC 8200 s. 8.1).
#[must_use]
pub fn pseudo_header(source: &[u8; 16], destination: &[u8; 16], length: u16, protocol: u8) -> Sum {
    Sum::of(source).plus(Sum::of(destination)).word(length).word(protocol.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_rfc_8200_s_3_has_them() {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&[0x6a, 0xb1, 0x23, 0x45, 0x01, 0x02, 17, 63]);
        bytes[8..].iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
        let header = Ipv6::of(&bytes).unwrap();
        assert_eq!((header.version(), header.traffic_class()), (6, 0xab));
        assert_eq!(header.payload_length.get(), 0x0102);
        assert_eq!((header.next_header, header.hop_limit), (17, 63));
        assert_eq!((header.source[0], header.destination[0]), (1, 17));
        assert_eq!(header.src().octets()[15], 16);
        assert_eq!(header.dst().octets()[15], 32);
        assert!(Ipv6::of(&bytes[..39]).is_none());
        assert_eq!(Ipv6::first_word(0xab).get(), 0x6ab0_0000);

        let ends = header.ends();
        assert!(header.is_between(&ends));
        for at in 8..HEADER {
            let mut other = bytes;
            other[at] ^= 1;
            assert!(!Ipv6::of(&other).unwrap().is_between(&ends), "byte {at}");
        }
    }
}
