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

view!(Udp, HEADER);

/// Where the checksum stands in the header, in bytes.
pub const CHECKSUM_OFFSET: u16 = 6;
