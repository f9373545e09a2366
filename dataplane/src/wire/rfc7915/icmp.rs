//! Types, codes and pointers of ICMP in the other family (RFC 7915 s. 4.2, 5.2).
//!
//! What is not in these tables has no counterpart, and is dropped in silence.

use crate::wire::rfc7915::{Hop, mtu};
use crate::wire::{icmpv4, icmpv6};

/// An error message's header without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// Type.
    pub(super) kind: u8,
    /// Code.
    pub(super) code: u8,
    /// The second word.
    pub(super) word: [u8; 4],
}

impl Error {
    /// Both in one word.
    pub(super) const fn type_and_code(self) -> u16 {
        u16::from_be_bytes([self.kind, self.code])
    }

    const fn new(kind: u8, code: u8, word: u32) -> Self {
        Self { kind, code, word: word.to_be_bytes() }
    }
}

/// The ICMPv6 type of an ICMPv4 query (s. 4.2).
pub(super) const fn query_to_v6(kind: u8) -> Option<u8> {
    match kind {
        icmpv4::kind::ECHO_REQUEST => Some(icmpv6::kind::ECHO_REQUEST),
        icmpv4::kind::ECHO_REPLY => Some(icmpv6::kind::ECHO_REPLY),
        _ => None,
    }
}

/// The ICMPv4 type of an ICMPv6 query (s. 5.2).
pub(super) const fn query_to_v4(kind: u8) -> Option<u8> {
    match kind {
        icmpv6::kind::ECHO_REQUEST => Some(icmpv4::kind::ECHO_REQUEST),
        icmpv6::kind::ECHO_REPLY => Some(icmpv4::kind::ECHO_REPLY),
        _ => None,
    }
}

/// The ICMPv6 error for an ICMPv4 one that quotes a packet of `total` bytes (s. 4.2).
pub(super) fn error_to_v6(error: Error, total: u16, hop: &Hop) -> Option<Error> {
    use icmpv4::kind::{PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE};
    use icmpv6::kind;
    let Error { kind, code, word } = error;
    let [pointer, _, high, low] = word;
    Some(match (kind, code) {
        // No route to destination.
        (UNREACHABLE, 0 | 1 | 5..=8 | 11 | 12) => Error::new(kind::UNREACHABLE, 0, 0),
        // Unrecognized next header; it points to that field.
        (UNREACHABLE, 2) => Error::new(kind::PARAMETER_PROBLEM, 1, 6),
        // Port unreachable.
        (UNREACHABLE, 3) => Error::new(kind::UNREACHABLE, 4, 0),
        (UNREACHABLE, icmpv4::FRAGMENTATION_NEEDED) => {
            let mtu = mtu::to_v6(u16::from_be_bytes([high, low]), total, hop);
            Error::new(kind::PACKET_TOO_BIG, 0, mtu.into())
        }
        // Administratively prohibited.
        (UNREACHABLE, 9 | 10 | 13 | 15) => Error::new(kind::UNREACHABLE, 1, 0),
        (TIME_EXCEEDED, code) => Error::new(kind::TIME_EXCEEDED, code, 0),
        // Pointer indicates the error; bad length.
        (PARAMETER_PROBLEM, 0 | 2) => {
            Error::new(kind::PARAMETER_PROBLEM, 0, pointer_to_v6(pointer)?.into())
        }
        _ => return None,
    })
}

/// The ICMPv4 error for an ICMPv6 one that quotes a packet, with a fragment header if `fragment`
/// (s. 5.2).
pub(super) fn error_to_v4(error: Error, fragment: bool, hop: &Hop) -> Option<Error> {
    use icmpv4::kind;
    use icmpv6::kind::{PACKET_TOO_BIG, PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE};
    let Error { kind, code, word } = error;
    let word = u32::from_be_bytes(word);
    Some(match (kind, code) {
        // Host unreachable.
        (UNREACHABLE, 0 | 2 | 3) => Error::new(kind::UNREACHABLE, 1, 0),
        // Communication with host administratively prohibited.
        (UNREACHABLE, 1) => Error::new(kind::UNREACHABLE, 10, 0),
        // Port unreachable.
        (UNREACHABLE, 4) => Error::new(kind::UNREACHABLE, 3, 0),
        (PACKET_TOO_BIG, _) => {
            let mtu = mtu::to_v4(word, fragment, hop);
            Error::new(kind::UNREACHABLE, icmpv4::FRAGMENTATION_NEEDED, mtu.into())
        }
        (TIME_EXCEEDED, code) => Error::new(kind::TIME_EXCEEDED, code, 0),
        (PARAMETER_PROBLEM, 0) => {
            Error::new(kind::PARAMETER_PROBLEM, 0, u32::from(pointer_to_v4(word)?) << 24)
        }
        // Protocol unreachable.
        (PARAMETER_PROBLEM, 1) => Error::new(kind::UNREACHABLE, 2, 0),
        _ => return None,
    })
}

/// Where in an IPv6 header is what stands at `pointer` in one of IPv4 (s. 4.2, figure 3)?
const fn pointer_to_v6(pointer: u8) -> Option<u8> {
    match pointer {
        // Version, traffic class.
        0 | 1 => Some(pointer),
        // Payload length.
        2 | 3 => Some(4),
        // Hop limit.
        8 => Some(7),
        // Next header.
        9 => Some(6),
        // Addresses.
        12..=15 => Some(8),
        16..=19 => Some(24),
        _ => None,
    }
}

/// Where in an IPv4 header is what stands at `pointer` in one of IPv6 (s. 5.2, figure 6)?
const fn pointer_to_v4(pointer: u32) -> Option<u8> {
    match pointer {
        0 => Some(0),
        // Type of service.
        1 => Some(1),
        // Total length.
        4 | 5 => Some(2),
        // Protocol.
        6 => Some(9),
        // Time to live.
        7 => Some(8),
        // Addresses.
        8..=23 => Some(12),
        24..=39 => Some(16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: Hop = Hop { hops: 1, mtu4: 1500, mtu6: 1500, lowest_mtu6: 1280, identification: 0 };

    fn to_v6(kind: u8, code: u8, word: u32) -> Option<Error> {
        error_to_v6(Error::new(kind, code, word), 1500, &HOP)
    }

    fn to_v4(kind: u8, code: u8, word: u32) -> Option<Error> {
        error_to_v4(Error::new(kind, code, word), false, &HOP)
    }

    #[test]
    fn s_4_2_queries() {
        let known: Vec<_> = (0..=255).filter_map(|it| Some((it, query_to_v6(it)?))).collect();
        assert_eq!(known, [(0, 129), (8, 128)]);
    }

    #[test]
    fn s_5_2_queries() {
        let known: Vec<_> = (0..=255).filter_map(|it| Some((it, query_to_v4(it)?))).collect();
        assert_eq!(known, [(128, 8), (129, 0)]);
    }

    #[test]
    fn s_4_2_destination_unreachable() {
        let expected = |code| match code {
            0 | 1 | 5 | 6 | 7 | 8 | 11 | 12 => Some(Error::new(1, 0, 0)),
            2 => Some(Error::new(4, 1, 6)),
            3 => Some(Error::new(1, 4, 0)),
            4 => Some(Error::new(2, 0, 1420)),
            9 | 10 | 13 | 15 => Some(Error::new(1, 1, 0)),
            _ => None,
        };
        for code in 0..=255 {
            assert_eq!(to_v6(3, code, 1400), expected(code), "code {code}");
        }
    }

    #[test]
    fn s_4_2_time_exceeded_keeps_its_code() {
        assert_eq!(to_v6(11, 0, 7), Some(Error::new(3, 0, 0)));
        assert_eq!(to_v6(11, 1, 7), Some(Error::new(3, 1, 0)));
    }

    #[test]
    fn s_4_2_parameter_problem() {
        let pointers: Vec<_> =
            (0..=255_u8).map(|at| (at, to_v6(12, 0, u32::from(at) << 24))).collect();
        let known = [
            (0, 0),
            (1, 1),
            (2, 4),
            (3, 4),
            (8, 7),
            (9, 6),
            (12, 8),
            (13, 8),
            (14, 8),
            (15, 8),
            (16, 24),
            (17, 24),
            (18, 24),
            (19, 24),
        ];
        for (at, translated) in pointers {
            let expected = known.iter().find(|(from, _)| *from == at);
            assert_eq!(translated, expected.map(|(_, to)| Error::new(4, 0, *to)), "pointer {at}");
            assert_eq!(to_v6(12, 2, u32::from(at) << 24), translated, "bad length");
        }
        assert_eq!(to_v6(12, 1, 0), None, "a missing option");
        assert_eq!(to_v6(12, 3, 0), None);
    }

    #[test]
    fn s_4_2_what_has_no_counterpart() {
        for kind in (0..=255).filter(|kind| ![3, 11, 12].contains(kind)) {
            assert_eq!(to_v6(kind, 0, 0), None, "type {kind}");
        }
    }

    #[test]
    fn s_5_2_destination_unreachable() {
        let expected = [(0, 1), (1, 10), (2, 1), (3, 1), (4, 3)];
        for code in 0..=255 {
            let translated = expected.iter().find(|(from, _)| *from == code);
            assert_eq!(
                to_v4(1, code, 7),
                translated.map(|(_, to)| Error::new(3, *to, 0)),
                "{code}"
            );
        }
    }

    #[test]
    fn s_5_2_packet_too_big() {
        assert_eq!(to_v4(2, 0, 1400), Some(Error::new(3, 4, 1380)));
        let of_a_fragment = error_to_v4(Error::new(2, 0, 1400), true, &HOP);
        assert_eq!(of_a_fragment, Some(Error::new(3, 4, 1372)));
    }

    #[test]
    fn s_5_2_time_exceeded_keeps_its_code() {
        assert_eq!(to_v4(3, 0, 7), Some(Error::new(11, 0, 0)));
        assert_eq!(to_v4(3, 1, 7), Some(Error::new(11, 1, 0)));
    }

    #[test]
    fn s_5_2_parameter_problem() {
        for at in 0..300_u32 {
            let expected = match at {
                0 | 1 => Some(at),
                4 | 5 => Some(2),
                6 => Some(9),
                7 => Some(8),
                8..24 => Some(12),
                24..40 => Some(16),
                _ => None,
            };
            assert_eq!(to_v4(4, 0, at), expected.map(|to| Error::new(12, 0, to << 24)), "{at}");
        }
        assert_eq!(to_v4(4, 1, 6), Some(Error::new(3, 2, 0)));
        assert_eq!(to_v4(4, 2, 0), None, "an unrecognized option");
        assert_eq!(to_v4(4, 0, u32::MAX), None);
    }

    #[test]
    fn s_5_2_what_has_no_counterpart() {
        for kind in (0..=255).filter(|kind| ![1, 2, 3, 4].contains(kind)) {
            assert_eq!(to_v4(kind, 0, 0), None, "type {kind}");
        }
    }
}
