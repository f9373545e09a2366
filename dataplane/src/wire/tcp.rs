//! TCP header (RFC 9293 s. 3.1).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a header without options, in bytes.
pub const HEADER: usize = 20;

/// The header without its options (RFC 9293 s. 3.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tcp {
    /// Source port.
    pub source_port: U16,
    /// Destination port.
    pub destination_port: U16,
    /// Sequence number.
    pub sequence: U32,
    /// Acknowledgment number, valid iff ACK is set.
    pub acknowledgment: U32,
    /// Header length in words of four bytes in the high nibble.
    pub data_offset: u8,
    /// Control bits.
    pub flags: u8,
    /// Receive window.
    pub window: U16,
    /// Checksum over pseudo-header, header and data.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

view!(Tcp, HEADER);

/// Where the checksum stands in the header, in bytes.
pub const CHECKSUM_OFFSET: u16 = 16;

/// Control bits (RFC 9293 s. 3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment field is significant.
    pub const ACK: u8 = 0x10;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

impl Tcp {
    /// Header length with options, in bytes: 0 to 60, believed as it stands.
    #[must_use]
    pub const fn header_length(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }
}
