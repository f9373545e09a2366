//! What values may stand in a topology file: ports, numbers, words.

use serde_json::Value;

use super::declare::words;
use super::read::{Read, mismatch, text};
use super::schema::{self, Definitions};
use super::tree::Node;
use crate::diagnostic::{Fault, Faults};

/// A range of ports as written, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest, included.
    pub last: u16,
}

words! {
    /// What a network ACL's rule does.
    Action {
        /// Lets pass.
        "allow" => Allow,
        /// Drops.
        "deny" => Deny,
    }
}

words! {
    /// A built-in service of an internet host.
    ServiceWord {
        /// HTTP, answers with the caller's address.
        "checkip" => Checkip,
        /// RFC 862.
        "echo" => Echo,
        /// RFC 863.
        "discard" => Discard,
    }
}

words! {
    /// How a NAT gateway reaches out.
    Connectivity {
        /// By a public address and the internet gateway.
        "public" => Public,
        /// Within the VPC and what is connected to it, by its private address.
        "private" => Private,
    }
}

words! {
    /// Whether a NAT gateway is there.
    NatGatewayState {
        /// It is.
        "available" => Available,
        /// It was deleted: routes to it are blackholes, and its public addresses are still allocated.
        "deleted" => Deleted,
    }
}

words! {
    /// How a VPC endpoint leads to its service.
    EndpointKindWord {
        /// By routes of its prefix list.
        "Gateway" => Gateway,
        /// By network interfaces of its own.
        "Interface" => Interface,
    }
    later "GatewayLoadBalancer" "Resource" "ServiceNetwork"
}

words! {
    /// What lies behind the simulated internet.
    Uplink {
        /// Nothing real.
        "none" => None,
    }
    later "host"
}

words! {
    /// A kind of instances.
    Platform {
        /// Nitro, up to version 5.
        "nitro" => Nitro,
        /// Nitro version 6.
        "nitro-v6" => NitroV6,
    }
}

words! {
    /// ICMP errors about live flows.
    IcmpErrorsWord {
        /// About any flow.
        "all" => All,
        /// About those that AWS names.
        "documented" => Documented,
    }
}

impl Read for PortRange {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        const WHAT: &str = "a port (443) or a range of ports (1024-65535)";
        let text = text(node, WHAT, faults)?;
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            faults.push(mismatch(node, WHAT, Some("ports go from 0 to 65535")));
            return None;
        };
        if first > last {
            let message = format!("the range of ports {text} ends before it begins");
            faults.push(Fault::error(node.place, message).help(format!("write {last}-{first}")));
            return None;
        }
        Some(Self { first, last })
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::number(u64::from(u16::MAX), "[0-9]+(-[0-9]+)?")
    }
}

macro_rules! read_number {
    ($($type:ty)*) => {$(
        impl Read for $type {
            fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
                let what = format!("a number from 0 to {}", Self::MAX);
                let value = number(text(node, &what, faults)?);
                if value.is_none() {
                    faults.push(mismatch(node, &what, None));
                }
                value
            }

            fn schema(_: &mut Definitions) -> Value {
                schema::number(u64::from(Self::MAX), "[0-9]+")
            }
        }
    )*};
}

read_number!(u8 u16 u32);

/// Digits and nothing else: no sign, no blank.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
