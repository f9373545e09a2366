//! Why a packet was dropped: one list makes reason, label and description.
//!
//! Labels are AWS's own words where they exist (Reachability Analyzer explanation codes, AWS page
//! "Explanation codes"). The order is that of the path.

use crate::labelled;

labelled! {
    /// Why a packet was dropped. The word is in upper case.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum Reason {
        WorkerOverrun = "WORKER_OVERRUN": "the emulator did not read the sender's device in time, and the kernel dropped what did not fit",
        Malformed = "MALFORMED_PACKET": "lengths or offsets in the packet contradict each other, or the IP header's checksum is wrong",
        ExtensionHeaders = "EXTENSION_HEADERS": "IPv6 extension headers that are cut off or out of place, or too many to be walked",
        FragmentIncomplete = "FRAGMENT_INCOMPLETE": "an IP fragment whose datagram's first fragment, which names the ports, did not come in time",
        IcmpUnmatched = "ICMP_ERROR_UNMATCHED": "an ICMP error that quotes a packet of no live flow, or of one that is no longer tracked and that no rule lets pass",
        SourceDestCheck = "ENI_SOURCE_DEST_CHECK_RESTRICTION": "neither address is the ENI's",
        Spoofed = "GATEWAY_REJECTS_SPOOFED_TRAFFIC": "the source is not an address of the internet host that sent it",
        GroupMismatch = "ENI_SG_RULES_MISMATCH": "no rule of the ENI's security groups matches, groups without rules included",
        NotPickedUp = "ENI_SG_TRACKING_RESTRICTION": "a TCP segment other than SYN of a connection that the ENI does not track; the profile has no such picked up",
        AllowanceExceeded = "CONNTRACK_ALLOWANCE_EXCEEDED": "the ENI tracks as many connections as the profile lets it, and this would be one more",
        LinkLocalAllowanceExceeded = "LINKLOCAL_ALLOWANCE_EXCEEDED": "the ENI has sent as many packets to the resolver, the metadata service and Time Sync within this second as the profile lets it",
        AclDenied = "SUBNET_ACL_RESTRICTION": "a network ACL denies",
        Multicast = "MULTICAST_UNSUPPORTED": "a VPC does not deliver multicast or broadcast",
        NoRoute = "NO_ROUTE_TO_DESTINATION": "no route matches",
        Blackhole = "BAD_STATE_ROUTE": "the longest match is a blackhole",
        NoPath = "NO_PATH": "a route matched, but nothing in that VPC or on the internet has the address",
        ForwardingLoop = "FORWARDING_LOOP": "the routes lead back to a gateway that was passed already",
        NoPublicAddress = "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS": "a private source without public address at an internet gateway",
        NotPublic = "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS": "from the internet to a public address that belongs to nothing, or to a private one",
        EgressOnly = "EIGW_UNSOLICITED": "from the internet to an address behind an egress-only internet gateway, which did not ask",
        ProtocolRestricted = "PROTOCOL_RESTRICTION": "a gateway that does not carry the protocol",
        Nat64Destination = "NAT64_DESTINATION_RESTRICTION": "under 64:ff9b::/96, but with an IPv4 address that is nobody's: of 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 or from 224.0.0.0 on",
        Untranslatable = "NAT64_UNTRANSLATABLE": "what the other family has no counterpart for: an ICMP type, a fragment of ICMP, a source route, a UDP datagram without checksum that is not whole",
        NatUnsolicited = "NAT_UNSOLICITED": "an outside packet at a NAT address without a live mapping",
        NatFragment = "NAT_FRAGMENT": "an IP fragment of TCP or ICMP at a NAT gateway, which carries those of UDP alone",
        NatIdleTimeout = "NAT_IDLE_TIMEOUT": "an inside TCP segment other than SYN without a mapping; answered by RST",
        NatPortAllocation = "NAT_PORT_ALLOCATION": "no port left towards that destination",
        HyperplanePending = "HYPERPLANE_ENI_PENDING": "the workload's Hyperplane ENI is still being made, or made again",
        HyperplaneIdle = "HYPERPLANE_IDLE_TIMEOUT": "a workload's TCP segment other than SYN of a connection that its Hyperplane ENI has forgotten; nobody is told",
        EndpointIdleTimeout = "VPCE_IDLE_TIMEOUT": "a client's TCP segment other than SYN of a connection that the interface endpoint does not know; answered by RST",
        FlowTableFull = "FLOW_TABLE_FULL": "the emulator's own flow table is full",
        HandOverFull = "HAND_OVER_FULL": "the worker that owns the flow cannot keep up with what others hand over to it",
        TtlExpired = "TTL_EXPIRED": "the time to live ends at a hop that decrements it",
        MtuExceeded = "MTU_EXCEEDED": "larger than the path's MTU with DF set; answered by ICMP fragmentation needed. Or larger than an interface endpoint carries, which tells nobody",
        LinkFull = "LINK_FULL": "the receiving device's queue is full",
        LinkDown = "LINK_DOWN": "the receiving device is gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_and_in_upper_case() {
        let labels: HashSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
        for label in labels {
            assert!(
                label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            );
        }
    }
}
