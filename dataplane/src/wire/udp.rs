//! UDP header (RFC 768).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::packet::PortPair;
use crate::wire::checksum::Delta;

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

impl Udp {
    /// Source and destination port.
    #[must_use]
    #[inline]
    pub fn ports(&self) -> PortPair {
        PortPair::from_bytes(zerocopy::transmute!([self.source_port, self.destination_port]))
    }

    /// Changes source and destination port.
    #[inline]
    pub fn set_ports(&mut self, ports: PortPair) {
        [self.source_port, self.destination_port] = zerocopy::transmute!(ports);
    }
}

/// Where the checksum stands in the header, in bytes.
pub const CHECKSUM_OFFSET: u16 = 6;

/// A computed zero is sent as all ones: zero says that there is no checksum (RFC 768).
#[must_use]
#[inline]
pub fn transmitted(computed: U16) -> U16 {
    if computed == U16::ZERO { U16::MAX_VALUE } else { computed }
}

/// Updates a checksum: none stays none.
#[must_use]
#[inline]
pub fn apply(delta: Delta, checksum: U16) -> U16 {
    if checksum == U16::ZERO { checksum } else { transmitted(delta.apply(checksum)) }
}
