//! What may `profile.nat64` say: a translator between IPv6 and IPv4 as the RFCs have it?

use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};

use ipnet::{Ipv4Net, Ipv6Net};
use serde_json::Value;

use super::addresses::ADDRESS;
use super::declare::{record, words};
use super::read::{Read, text};
use super::schema::{self, Definitions};
use super::tree::Node;
use super::values::PortRange;
use crate::diagnostic::Faults;

record! {
    /// A plain translator (RFC 6146, RFC 7915) in the place of every NAT gateway.
    Nat64 = "`profile.nat64`" {
        /// The prefix of RFC 6052 that stands for IPv4; `64:ff9b::/96` by default.
        optional prefix: Ipv6Net,
        /// The address that IPv4 hosts see, or `none` for a translator without state.
        required pool: Nat64Pool,
        /// The ports of it that are given out; 1024-65535 by default.
        optional ports: PortRange,
        /// Bindings that are always there: reachable from outside.
        optional r#static: Vec<Nat64Static>,
        /// Explicit address mappings (RFC 7757).
        optional mappings: Vec<Nat64Mapping>,
        /// The source of ICMP errors whose own cannot be translated (RFC 6791); `pool` by default.
        optional icmp_source: Ipv4Addr,
        /// Whose fragments, timers and refusals hold; `aws` by default.
        optional rules: Nat64Rules,
    }
}

record! {
    /// A binding that is always there.
    Nat64Static = "a static binding" {
        /// `tcp`, `udp` or `icmp`.
        required protocol: Nat64Protocol,
        /// An IPv6 address and a port, or an identifier of ICMP.
        required inside: SocketAddrV6,
        /// The address of the pool and a port, or an identifier.
        required outside: SocketAddrV4,
    }
}

record! {
    /// An explicit address mapping (RFC 7757).
    Nat64Mapping = "an address mapping" {
        /// Addresses on the inside.
        required ipv6: Ipv6Net,
        /// What they are outside; no more of them than of `ipv6`.
        required ipv4: Ipv4Net,
    }
}

words! {
    /// A protocol of a static binding.
    Nat64Protocol {
        /// By port.
        "tcp" => Tcp,
        /// By port.
        "udp" => Udp,
        /// Echoes, by identifier.
        "icmp" => Icmp,
    }
}

words! {
    /// Whose rules a translator goes by.
    Nat64Rules {
        /// Those of NAT gateways.
        "aws" => Aws,
        /// Those of RFC 6146 and RFC 7915.
        "rfc" => Rfc,
    }
}

/// What a translator with state shows outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat64Pool {
    /// This address.
    Address(Ipv4Addr),
    /// Nothing: it keeps no state.
    None,
}

impl Read for Nat64Pool {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        match text(node, "an IPv4 address or `none`", faults)? {
            "none" => Some(Self::None),
            _ => Ipv4Addr::read(node, faults).map(Self::Address),
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&["none", ADDRESS])
    }
}
