//! IPv6 header (RFC 8200 s. 3).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the header without extension headers, in bytes.
pub const HEADER: usize = 40;

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
    /// IP version.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version_class_label.get().to_be_bytes()[0] >> 4
    }
}
