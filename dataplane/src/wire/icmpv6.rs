//! ICMP for IPv6 (RFC 4443).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::wire::checksum::{Delta, Sum};

/// Length of the header, in bytes.
pub const HEADER: usize = 8;

/// The header, with the second word as echo messages use it (RFC 4443 s. 2.1, 4.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmpv6 {
    /// Message type.
    pub kind: u8,
    /// Code within the type.
    pub code: u8,
    /// Checksum over pseudo-header and message (RFC 4443 s. 2.3).
    pub checksum: U16,
    /// Identifier of an echo.
    pub identifier: U16,
    /// Sequence number of an echo.
    pub sequence: U16,
}

view!(Icmpv6, HEADER);

/// Message types (RFC 4443; RFC 2710, RFC 3810: multicast listeners; RFC 4861: neighbours).
pub mod kind {
    /// Destination unreachable; an error.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big; an error.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded; an error.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem; an error.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// The first of the messages about multicast listeners, three in a row.
    pub const LISTENER_QUERY: u8 = 130;
    /// The first of the messages about neighbours, five in a row.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// The last of the messages about neighbours.
    pub const REDIRECT: u8 = 137;
    /// Version 2 of what a multicast listener reports.
    pub const LISTENER_REPORT_V2: u8 = 143;
}

impl Icmpv6 {
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

    /// Whether the message is an error, known or not, which quotes the packet that caused it
    /// (RFC 4443 s. 2.1).
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.kind < 128
    }

    /// Whether the message is between neighbours on a link and never goes further: neighbour
    /// discovery (RFC 4861) and multicast listeners (RFC 2710, RFC 3810).
    #[must_use]
    pub const fn is_link_local(&self) -> bool {
        matches!(self.kind, kind::LISTENER_QUERY..=kind::REDIRECT | kind::LISTENER_REPORT_V2)
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{IcmpEchoHeader, Icmpv6Type, PacketBuilder};

    use super::*;
    use crate::wire::ipv6::{self, Ipv6};
    use crate::wire::protocol;

    fn echo(id: u16) -> Vec<u8> {
        let mut packet = Vec::new();
        let kind = Icmpv6Type::EchoRequest(IcmpEchoHeader { id, seq: 7 });
        let builder = PacketBuilder::ipv6([0x20; 16], [0x30; 16], 64).icmpv6(kind);
        builder.write(&mut packet, b"odd").unwrap();
        packet
    }

    #[test]
    fn rfc_4443_s_2_3_the_checksum_covers_the_pseudo_header() {
        let packet = echo(0x1234);
        let (header, message) = packet.split_at(ipv6::HEADER);
        let header = Ipv6::of(header).unwrap();
        let sum = Sum::of(message).plus(header.pseudo_header(11, protocol::ICMPV6));
        assert_eq!(sum.fold(), 0xffff);
    }

    #[test]
    fn another_identifier_has_its_checksum() {
        let mut packet = echo(0x1234);
        Icmpv6::of_mut(&mut packet[ipv6::HEADER..]).unwrap().identify(0xfedc);
        assert_eq!(packet, echo(0xfedc));
    }

    #[test]
    fn rfc_4443_s_2_1_errors_have_the_high_bit_clear() {
        let of = |kind| *Icmpv6::of(&[kind, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert!([1, 2, 3, 4, 100, 127].map(of).iter().all(Icmpv6::is_error));
        assert!(![128, 129, 135, 143, 255].map(of).iter().any(Icmpv6::is_error));
    }

    #[test]
    fn what_stays_on_the_link() {
        let of = |kind| *Icmpv6::of(&[kind, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        for kind in 0..=255 {
            let stays = (130..=137).contains(&kind) || kind == 143;
            assert_eq!(of(kind).is_link_local(), stays, "{kind}");
        }
    }
}
