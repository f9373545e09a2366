//! ICMP for IPv4 (RFC 792; next-hop MTU: RFC 1191 s. 4).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::wire::checksum::{Delta, Sum};

/// Length of the header, in bytes.
pub const HEADER: usize = 8;

/// The header, with the second word as echo messages use it (RFC 792, pp. 14, 17).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmpv4 {
    /// Message type.
    pub kind: u8,
    /// Code within the type.
    pub code: u8,
    /// Checksum over the whole message, without pseudo-header.
    pub checksum: U16,
    /// Identifier of an echo; zero or unused in errors.
    pub identifier: U16,
    /// Sequence number of an echo; next-hop MTU of a "fragmentation needed".
    pub sequence: U16,
}

view!(Icmpv4, HEADER);

/// Message types (RFC 792).
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable; an error.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench; an error, deprecated by RFC 6633.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect; an error.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded; an error.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem; an error.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Code of [`kind::UNREACHABLE`]: fragmentation needed and DF set.
pub const FRAGMENTATION_NEEDED: u8 = 4;

impl Icmpv4 {
    /// Type and code in one word.
    #[must_use]
    pub const fn type_and_code(&self) -> u16 {
        u16::from_be_bytes([self.kind, self.code])
    }

    /// Gives an echo another identifier, and the checksum that goes with it (RFC 1624): one that
    /// came damaged stays damaged.
    pub fn identify(&mut self, identifier: u16) {
        let word = |value| Sum::ZERO.word(value);
        let change = Delta::between(word(self.identifier.get()), word(identifier));
        self.identifier.set(identifier);
        self.checksum = change.apply(self.checksum);
    }

    /// Whether the message is an error, which quotes the packet that caused it (RFC 1122 s. 3.2.2).
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(
            self.kind,
            kind::UNREACHABLE
                | kind::SOURCE_QUENCH
                | kind::REDIRECT
                | kind::TIME_EXCEEDED
                | kind::PARAMETER_PROBLEM
        )
    }
}
