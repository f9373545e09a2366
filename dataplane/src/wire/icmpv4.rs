//! ICMP for IPv4 (RFC 792; address masks: RFC 950 App. I; next-hop MTU: RFC 1191 s. 4).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::wire::checksum::{Delta, Sum};

/// Length of the header, in bytes.
pub const HEADER: usize = 8;

/// The header, with the second word as queries use it (RFC 792, pp. 14, 17, 19).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmpv4 {
    /// Message type.
    pub kind: u8,
    /// Code within the type.
    pub code: u8,
    /// Checksum over the whole message, without pseudo-header.
    pub checksum: U16,
    /// Identifier of a query; zero or unused in errors.
    pub identifier: U16,
    /// Sequence number of a query; next-hop MTU of a "fragmentation needed".
    pub sequence: U16,
}

view!(Icmpv4, HEADER);

/// Message types.
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
    /// Timestamp.
    pub const TIMESTAMP: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
    /// Information request, deprecated by RFC 6918.
    pub const INFORMATION: u8 = 15;
    /// Information reply.
    pub const INFORMATION_REPLY: u8 = 16;
    /// Address mask request, deprecated by RFC 6918.
    pub const ADDRESS_MASK: u8 = 17;
    /// Address mask reply.
    pub const ADDRESS_MASK_REPLY: u8 = 18;
}

/// Code of [`kind::UNREACHABLE`]: fragmentation needed and DF set.
pub const FRAGMENTATION_NEEDED: u8 = 4;

/// What a message is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A query; its answer bears the same identifier.
    Query,
    /// The answer to a query of this type.
    Reply(u8),
    /// An error, which quotes the packet that caused it (RFC 1122 s. 3.2.2).
    Error,
    /// Alone.
    Other,
}

impl Role {
    /// Of messages of type `kind`.
    #[must_use]
    pub const fn of(kind: u8) -> Self {
        match kind {
            kind::ECHO_REQUEST | kind::TIMESTAMP | kind::INFORMATION | kind::ADDRESS_MASK => {
                Self::Query
            }
            kind::ECHO_REPLY => Self::Reply(kind::ECHO_REQUEST),
            kind::TIMESTAMP_REPLY => Self::Reply(kind::TIMESTAMP),
            kind::INFORMATION_REPLY => Self::Reply(kind::INFORMATION),
            kind::ADDRESS_MASK_REPLY => Self::Reply(kind::ADDRESS_MASK),
            kind::UNREACHABLE
            | kind::SOURCE_QUENCH
            | kind::REDIRECT
            | kind::TIME_EXCEEDED
            | kind::PARAMETER_PROBLEM => Self::Error,
            _ => Self::Other,
        }
    }
}

impl Icmpv4 {
    /// Type and code in one word.
    #[must_use]
    pub const fn type_and_code(&self) -> u16 {
        u16::from_be_bytes([self.kind, self.code])
    }

    /// Gives a query or its answer another identifier, and the checksum that goes with it (RFC
    /// 1624): one that came damaged stays damaged.
    pub fn identify(&mut self, identifier: u16) {
        let word = |value| Sum::ZERO.word(value);
        let change = Delta::between(word(self.identifier.get()), word(identifier));
        self.identifier.set(identifier);
        self.checksum = change.apply(self.checksum);
    }

    /// Whether the message is an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(Role::of(self.kind), Role::Error)
    }
}
