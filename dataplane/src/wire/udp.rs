//! UDP header (RFC 768).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the header, in bytes.
pub const HEADER: usize = 8;

/// The header (RFC 768).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Udp {
    /// Source port.
    pub source_port: U16,
    /// Destination port.
    pub destination_port: U16,
    /// Length of header and data, in bytes.
    pub length: U16,
    /// Checksum over pseudo-header, header and data; zero where the sender computed none.
    pub checksum: U16,
}

const _: () = assert!(size_of::<Udp>() == HEADER);

/// Where the checksum stands in the header, in bytes.
pub const CHECKSUM_OFFSET: u16 = 6;

impl Udp {
    /// The header at the start of `bytes`, where there are enough of them.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// The same, to be changed in place.
    #[must_use]
    pub fn of_mut(bytes: &mut [u8]) -> Option<&mut Self> {
        Self::mut_from_prefix(bytes).ok().map(|(header, _)| header)
    }
}
