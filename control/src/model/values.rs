//! What values may stand in a topology file: addresses, blocks, ports, words.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use super::declare::words;
use super::read::{Read, mismatch, shortened, text};
use super::schema::{self, Definitions};
use super::tree::Node;
use crate::diagnostic::{Fault, Faults, Place};

/// A range of ports as written, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest, included.
    pub last: u16,
}

/// The other side of a rule as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerText {
    /// An address block.
    Cidr(Ipv4Net),
    /// What reads as a name.
    Name(String),
}

/// A network interface's public address as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicIp {
    /// This one.
    Address(Ipv4Addr),
    /// The next free one.
    Auto,
    /// None, whatever the subnet does.
    None,
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

macro_rules! byte {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}

/// An IPv4 address, as a regular expression.
const ADDRESS: &str = concat!(byte!(), "(\\.", byte!(), "){3}");

/// An IPv4 block, as a regular expression.
const BLOCK: &str = concat!(byte!(), "(\\.", byte!(), "){3}/(0?[0-9]|[12][0-9]|3[0-2])");

impl Read for Ipv4Net {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        block(text(node, "a CIDR block", faults)?, node.place, faults)
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[BLOCK])
    }
}

impl Read for Ipv4Addr {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        match text(node, "an IPv4 address", faults)?.parse() {
            Ok(IpAddr::V4(address)) => return Some(address),
            Ok(IpAddr::V6(address)) => {
                faults.push(ipv6(node.place, "address", &address));
            }
            Err(_) => faults.push(mismatch(node, "an IPv4 address", None)),
        }
        None
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[ADDRESS])
    }
}

impl Read for PublicIp {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        match text(node, "an IPv4 address, `auto` or `none`", faults)? {
            "auto" => Some(Self::Auto),
            "none" => Some(Self::None),
            _ => Ipv4Addr::read(node, faults).map(Self::Address),
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&["auto", "none", ADDRESS])
    }
}

impl Read for PeerText {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        let text = text(node, "a CIDR block, a security group or a prefix list", faults)?;
        if text.contains(['/', ':']) || text.parse::<IpAddr>().is_ok() {
            block(text, node.place, faults).map(Self::Cidr)
        } else {
            Some(Self::Name(text.to_owned()))
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::text()
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
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Parses an IPv4 block and clears its host bits, as EC2 does, with a warning.
fn block(text: &str, place: Place, faults: &mut Faults) -> Option<Ipv4Net> {
    match text.parse::<IpNet>() {
        Ok(IpNet::V4(net)) => {
            if net.trunc() != net {
                let message = format!("{net} has host bits: {} is meant", net.trunc());
                let help = format!("write {}; EC2 corrects it without a word", net.trunc());
                faults.push(Fault::warning(place, message).help(help));
            }
            return Some(net.trunc());
        }
        Ok(IpNet::V6(net)) => {
            faults.push(Fault::unsupported(place, format!("the IPv6 block {net}")))
        }
        Err(_) => {
            let fault =
                Fault::error(place, format!("expected a CIDR block, found `{}`", shortened(text)));
            faults.push(match text.parse() {
                Ok(IpAddr::V4(address)) => {
                    fault.help(format!("write {address}/32 for one address"))
                }
                Ok(IpAddr::V6(address)) => ipv6(place, "address", &address),
                Err(_) => fault.help("such as 10.0.0.0/16"),
            });
        }
    }
    None
}

fn ipv6(place: Place, what: &str, value: &dyn std::fmt::Display) -> Fault {
    Fault::unsupported(place, format!("the IPv6 {what} {value}")).help("leave IPv6 out for now")
}
