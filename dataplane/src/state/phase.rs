//! How far a conversation has come: what a device can tell from the packets that it sees.
//!
//! TCP follows RFC 9293 s. 3.3.2 as a middlebox sees it (RFC 5382 s. 5): flags alone, no sequence
//! numbers. UDP counts what AWS calls transactions (AWS "Security group connection tracking":
//! "UDP stream" is a flow of more than one request and response). Anything else has one phase.

use zerocopy::FromZeros;

use crate::packet::Direction;
use crate::wire::protocol;
use crate::wire::tcp::flags;

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromZeros)]
#[repr(u8)]
pub enum Phase {
    /// None of TCP, UDP and ICMP.
    Other,
    /// ICMP.
    Icmp,
    /// UDP: a request, no answer yet.
    Request,
    /// UDP: answered once.
    Response,
    /// UDP: asked again.
    SecondRequest,
    /// UDP: more than one transaction.
    Stream,
    /// TCP: a SYN, no answer yet.
    SynSent,
    /// TCP: a SYN and its answer.
    SynReceived,
    /// TCP: the handshake is done, or was not seen.
    Established,
    /// TCP: the original side has sent FIN.
    OriginalFin,
    /// TCP: the reply side has sent FIN.
    ReplyFin,
    /// TCP: both sides have sent FIN, or one RST.
    Closed,
}

impl Phase {
    const COUNT: usize = 12;

    /// The phase of a flow whose first packet this is.
    #[must_use]
    pub const fn first(protocol: u8, tcp_flags: u8) -> Self {
        match protocol {
            protocol::TCP if tcp_flags & flags::RST != 0 => Self::Closed,
            protocol::TCP if tcp_flags & flags::SYN != 0 => Self::SynSent,
            protocol::TCP if tcp_flags & flags::FIN != 0 => Self::OriginalFin,
            protocol::TCP => Self::Established,
            protocol::UDP => Self::Request,
            protocol::ICMP | protocol::ICMPV6 => Self::Icmp,
            _ => Self::Other,
        }
    }

    /// The phase after one more packet.
    #[must_use]
    #[inline]
    pub fn step(self, direction: Direction, tcp_flags: u8) -> Self {
        let class = usize::from(CLASS[usize::from(tcp_flags & Self::FLAGS)]);
        STEPS[self as usize][direction as usize][class]
    }

    /// The control bits that a step depends on.
    pub(crate) const FLAGS: u8 = flags::ACK | flags::RST | flags::SYN | flags::FIN;

    /// A bit for each combination of control bits with which one more packet restarts the clocks, and
    /// neither changes nor announces anything else.
    #[must_use]
    pub(crate) const fn plain(self, direction: Direction) -> u32 {
        PLAIN_BITS[self as usize][direction as usize]
    }

    /// The phase after a packet that tracking begins anew with: UDP counts its transactions from
    /// here on.
    #[must_use]
    pub fn renew(self, direction: Direction, tcp_flags: u8) -> Self {
        match (self, direction) {
            (
                Self::Request | Self::Response | Self::SecondRequest | Self::Stream,
                Direction::Original,
            ) => Self::Request,
            (
                Self::Request | Self::Response | Self::SecondRequest | Self::Stream,
                Direction::Reply,
            ) => Self::Response,
            _ => self.step(direction, tcp_flags),
        }
    }

    /// Whether a TCP conversation is over: its packets restart no clock.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed)
    }

    /// The word that users see.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Other | Self::Icmp => "-",
            Self::Request => "request",
            Self::Response => "response",
            Self::SecondRequest => "second-request",
            Self::Stream => "stream",
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::OriginalFin | Self::ReplyFin => "half-closed",
            Self::Closed => "closed",
        }
    }

    const fn next(self, direction: Direction, class: u8) -> Self {
        let original = matches!(direction, Direction::Original);
        match (self, class) {
            (Self::Other | Self::Icmp, _) => self,
            (Self::Request, _) => {
                if original {
                    Self::Request
                } else {
                    Self::Response
                }
            }
            (Self::Response, _) => {
                if original {
                    Self::SecondRequest
                } else {
                    Self::Response
                }
            }
            (Self::SecondRequest, _) => {
                if original {
                    Self::SecondRequest
                } else {
                    Self::Stream
                }
            }
            (Self::Stream, _) => Self::Stream,
            (Self::Closed, _) | (_, RST) => Self::Closed,
            (Self::OriginalFin, FIN) if !original => Self::Closed,
            (Self::ReplyFin, FIN) if original => Self::Closed,
            (Self::OriginalFin | Self::ReplyFin, _) => self,
            (_, FIN) => {
                if original {
                    Self::OriginalFin
                } else {
                    Self::ReplyFin
                }
            }
            (Self::SynSent, SYN) if !original => Self::SynReceived,
            (Self::SynReceived, PLAIN) if original => Self::Established,
            _ => self,
        }
    }
}

/// Segments by what they change: the highest of these that applies.
const PLAIN: u8 = 0;
const SYN: u8 = 1;
const FIN: u8 = 2;
const RST: u8 = 3;

static CLASS: [u8; 24] = {
    let mut classes = [PLAIN; 24];
    let mut tcp_flags = 0_u8;
    while tcp_flags < 24 {
        classes[tcp_flags as usize] = if tcp_flags & flags::RST != 0 {
            RST
        } else if tcp_flags & flags::FIN != 0 {
            FIN
        } else if tcp_flags & flags::SYN != 0 {
            SYN
        } else {
            PLAIN
        };
        tcp_flags += 1;
    }
    classes
};

static STEPS: [[[Phase; 4]; 2]; Phase::COUNT] = {
    use Phase::{
        Closed, Established, Icmp, OriginalFin, Other, ReplyFin, Request, Response, SecondRequest,
        Stream, SynReceived, SynSent,
    };
    let phases = [
        Other,
        Icmp,
        Request,
        Response,
        SecondRequest,
        Stream,
        SynSent,
        SynReceived,
        Established,
        OriginalFin,
        ReplyFin,
        Closed,
    ];
    let mut steps = [[[Other; 4]; 2]; Phase::COUNT];
    let mut at = 0;
    while at < Phase::COUNT {
        let mut class = 0_u8;
        while class < 4 {
            steps[phases[at] as usize][0][class as usize] =
                phases[at].next(Direction::Original, class);
            steps[phases[at] as usize][1][class as usize] =
                phases[at].next(Direction::Reply, class);
            class += 1;
        }
        at += 1;
    }
    steps
};

/// See [`Phase::plain`].
static PLAIN_BITS: [[u32; 2]; Phase::COUNT] = {
    let mut plain = [[0; 2]; Phase::COUNT];
    let mut at = 0;
    while at < 2 * Phase::COUNT {
        let mut bits = 0;
        while bits < CLASS.len() {
            let next = STEPS[at / 2][at % 2][CLASS[bits] as usize];
            // A SYN announces how long segments may be.
            let announces = bits & flags::SYN as usize != 0;
            if next as usize == at / 2 && !next.is_closed() && !announces {
                plain[at / 2][at % 2] |= 1 << bits;
            }
            bits += 1;
        }
        at += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Original, Reply};

    fn walk(first: Phase, packets: &[(Direction, u8)]) -> Phase {
        packets
            .iter()
            .fold(first, |phase, &(direction, tcp_flags)| phase.step(direction, tcp_flags))
    }

    #[test]
    fn a_tcp_conversation_from_syn_to_both_fins() {
        let syn = Phase::first(protocol::TCP, flags::SYN);
        assert_eq!(syn, Phase::SynSent);
        let handshake = [(Reply, flags::SYN | flags::ACK), (Original, flags::ACK)];
        let established = walk(syn, &handshake);
        assert_eq!(established, Phase::Established);
        let half = established.step(Reply, flags::FIN | flags::ACK);
        assert_eq!(half, Phase::ReplyFin);
        assert_eq!(half.step(Original, flags::ACK), Phase::ReplyFin);
        assert_eq!(half.step(Reply, flags::FIN | flags::ACK), Phase::ReplyFin, "sent again");
        let closed = half.step(Original, flags::FIN | flags::ACK);
        assert_eq!(closed, Phase::Closed);
        assert_eq!(closed.step(Reply, flags::ACK), Phase::Closed);
    }

    #[test]
    fn a_reset_closes_at_once_from_anywhere() {
        for phase in [Phase::SynSent, Phase::SynReceived, Phase::Established, Phase::OriginalFin] {
            assert_eq!(phase.step(Original, flags::RST), Phase::Closed);
            assert_eq!(phase.step(Reply, flags::RST | flags::ACK), Phase::Closed);
        }
    }

    #[test]
    fn plain_is_what_leads_nowhere_and_announces_nothing() {
        for first in [0, flags::SYN, flags::FIN, flags::RST] {
            for protocol in [protocol::TCP, protocol::UDP, protocol::ICMP, 47] {
                let phase = Phase::first(protocol, first);
                for direction in [Original, Reply] {
                    for tcp_flags in 0..=u8::MAX {
                        let same = phase.step(direction, tcp_flags) == phase;
                        let expected = same && !phase.is_closed() && tcp_flags & flags::SYN == 0;
                        let plain = phase.plain(direction) >> (tcp_flags & Phase::FLAGS) & 1;
                        assert_eq!(plain != 0, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn udp_becomes_a_stream_with_the_second_response() {
        let request = Phase::first(protocol::UDP, 0);
        assert_eq!(walk(request, &[(Original, 0), (Original, 0)]), Phase::Request);
        assert_eq!(walk(request, &[(Reply, 0), (Reply, 0)]), Phase::Response);
        assert_eq!(walk(request, &[(Reply, 0), (Original, 0)]), Phase::SecondRequest);
        assert_eq!(walk(request, &[(Reply, 0), (Original, 0), (Reply, 0)]), Phase::Stream);
    }
}
