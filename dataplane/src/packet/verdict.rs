//! What becomes of a packet, and what its sender is told.

use crate::packet::{Component, LinkId, NatGatewayId, Reason, SubnetId};
use crate::shared::WorkerId;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not judged yet.
    Pending,
    /// Goes on, rewritten as its flow says.
    Forward,
    /// Belongs to a flow of another worker, untouched.
    HandOver(WorkerId),
    /// Leaves by a link; `fragment` is the MTU that it has to be cut to, if any.
    Emit {
        /// The exit link.
        link: LinkId,
        /// Cut to this many bytes a fragment; `None` where it fits.
        fragment: Option<u16>,
    },
    /// A fragment that waits for the first of its datagram; it comes again by itself.
    Held,
    /// Never was to leave its link, as what neighbours of IPv6 tell each other.
    Ignored,
    /// Ends here.
    Drop {
        /// Why.
        reason: Reason,
        /// Where.
        component: Component,
        /// What the sender is told.
        answer: Answer,
    },
}

/// What the sender of a dropped packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Silence,
    /// A TCP reset, as if by the destination (RFC 9293 s. 3.10.7.1).
    Reset {
        /// Where the device stands that sends it.
        from: SubnetId,
    },
    /// ICMP "fragmentation needed" (RFC 1191 s. 4).
    FragmentationNeeded {
        /// Who tells.
        by: Teller,
        /// Next-hop MTU, in bytes.
        mtu: u16,
    },
    /// ICMPv6 "parameter problem": an erroneous header field (RFC 4443 s. 3.4).
    ParameterProblem {
        /// Who tells.
        by: Teller,
        /// Where the field stands in the packet, in bytes.
        pointer: u16,
    },
    /// ICMP "destination unreachable" (RFC 792, RFC 4443 s. 3.1).
    Unreachable {
        /// Who tells.
        by: Teller,
        /// Its code, of the sender's family.
        code: u8,
    },
    /// ICMP "time exceeded in transit" (RFC 792).
    TimeExceeded {
        /// Who tells.
        by: Teller,
    },
}

/// Who tells a sender, under an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The implicit router of a subnet.
    Router(SubnetId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
    /// The implicit router of a NAT gateway's subnet, which sees what the gateway has translated.
    RouterBehind(NatGatewayId),
}
