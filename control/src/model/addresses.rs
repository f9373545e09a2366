//! Which addresses and blocks may stand in a topology file: of IPv4, of IPv6, or of either?
//!
//! EC2 corrects a block with host bits without a word; here it is corrected with one. IPv4-mapped addresses (RFC 4291
//! s. 2.5.5.2) are refused: no packet on a wire bears one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::Value;

use super::read::{Read, mismatch, shortened, text};
use super::schema::{self, Definitions};
use super::tree::Node;
use crate::diagnostic::{Fault, Faults};

/// The other side of a rule as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerText {
    /// An address block.
    Cidr(IpNet),
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

macro_rules! byte {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}

macro_rules! v4 {
    () => {
        concat!(byte!(), "(\\.", byte!(), "){3}")
    };
}

macro_rules! v6 {
    () => {
        concat!("[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){1,8}(:", v4!(), ")?")
    };
}

/// An IPv4 address, as a regular expression.
pub(super) const ADDRESS: &str = v4!();

/// An IPv4 block, as a regular expression.
const BLOCK: &str = concat!(v4!(), "/(0?[0-9]|[12][0-9]|3[0-2])");

/// An IPv4 address and a port, as a regular expression.
const SOCKET: &str = concat!(v4!(), ":[0-9]{1,5}");

/// Whatever an IPv6 address looks like, as a regular expression; the same of a block, and of an address and a port.
const IPV6_ADDRESS: &str = v6!();
const IPV6_BLOCK: &str = concat!(v6!(), "/(0{0,2}[0-9]|0?[1-9][0-9]|1[01][0-9]|12[0-8])");
const IPV6_SOCKET: &str = concat!("\\[", v6!(), "\\]:[0-9]{1,5}");

/// An address of either family, as regular expressions.
pub(super) const ADDRESSES: [&str; 2] = [ADDRESS, IPV6_ADDRESS];

impl Read for IpNet {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        block(text(node, WHAT, faults)?, node, &[V4_EXAMPLE, V6_EXAMPLE], faults)
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[BLOCK, IPV6_BLOCK])
    }
}

impl Read for Ipv4Net {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        match block(text(node, WHAT, faults)?, node, &[V4_EXAMPLE], faults)? {
            IpNet::V4(block) => return Some(block),
            IpNet::V6(block) => {
                let fault =
                    Fault::error(node.place, format!("expected an IPv4 block, found {block}"));
                faults.push(fault.help("blocks of IPv6 stand under `ipv6_cidr_block`"));
            }
        }
        None
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[BLOCK])
    }
}

impl Read for Ipv6Net {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        match block(text(node, WHAT, faults)?, node, &[V6_EXAMPLE], faults)? {
            IpNet::V6(block) => return Some(block),
            IpNet::V4(block) => {
                let fault =
                    Fault::error(node.place, format!("expected an IPv6 block, found {block}"));
                faults.push(fault.help(format!("such as {V6_EXAMPLE}")));
            }
        }
        None
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[IPV6_BLOCK])
    }
}

impl Read for IpAddr {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        address(node, "an IP address", faults)
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&ADDRESSES)
    }
}

impl Read for Ipv4Addr {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        const WHAT: &str = "an IPv4 address";
        match address(node, WHAT, faults)? {
            IpAddr::V4(address) => return Some(address),
            IpAddr::V6(_) => faults.push(mismatch(node, WHAT, None)),
        }
        None
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[ADDRESS])
    }
}

impl Read for Ipv6Addr {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        const WHAT: &str = "an IPv6 address";
        match address(node, WHAT, faults)? {
            IpAddr::V6(address) => return Some(address),
            IpAddr::V4(_) => faults.push(mismatch(node, WHAT, None)),
        }
        None
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[IPV6_ADDRESS])
    }
}

impl Read for SocketAddrV4 {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        parsed(node, "an IPv4 address and a port, 192.0.2.2:2000", faults)
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[SOCKET])
    }
}

impl Read for SocketAddrV6 {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        parsed(node, "an IPv6 address and a port, [2001:db8::5]:2000", faults)
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::matching(&[IPV6_SOCKET])
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
            block(text, node, &[V4_EXAMPLE, V6_EXAMPLE], faults).map(Self::Cidr)
        } else {
            Some(Self::Name(text.to_owned()))
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::text()
    }
}

/// Parses an address of either family; `what` is expected.
fn address(node: &Node<'_>, what: &str, faults: &mut Faults) -> Option<IpAddr> {
    let address = parsed(node, what, faults)?;
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let fault = Fault::error(node.place, format!("{v6} is an IPv4-mapped address"));
        faults.push(fault.help(format!("write {v4}")));
        return None;
    }
    Some(address)
}

fn parsed<T: FromStr>(node: &Node<'_>, what: &str, faults: &mut Faults) -> Option<T> {
    let value = text(node, what, faults)?.parse().ok();
    if value.is_none() {
        faults.push(mismatch(node, what, None));
    }
    value
}

/// What a block is, for messages, and what one looks like.
const WHAT: &str = "a CIDR block";
const V4_EXAMPLE: &str = "10.0.0.0/16";
const V6_EXAMPLE: &str = "2600:1f18:1234:5600::/56";

/// Parses a block and clears its host bits, with a warning.
fn block(text: &str, node: &Node<'_>, examples: &[&str], faults: &mut Faults) -> Option<IpNet> {
    let place = node.place;
    let Ok(block) = text.parse::<IpNet>() else {
        let fault =
            Fault::error(place, format!("expected a CIDR block, found `{}`", shortened(text)));
        faults.push(match text.parse::<IpAddr>() {
            Ok(address) => {
                let block = IpNet::from(address);
                fault.help(format!("write {block} for one address"))
            }
            Err(_) if names_prefix_list(text) => fault.help(
                "a prefix list may be named in rules of security groups alone: write its blocks",
            ),
            Err(_) => fault.help(format!("such as {}", examples.join(" or "))),
        });
        return None;
    };
    if let IpNet::V6(v6) = block
        && v6.prefix_len() >= V4_MAPPED
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        let fault = Fault::error(place, format!("{v6} is a block of IPv4-mapped addresses"));
        faults.push(fault.help(format!("write {v4}/{}", v6.prefix_len() - V4_MAPPED)));
        return None;
    }
    if block.trunc() != block {
        let message = format!("{block} has host bits: {} is meant", block.trunc());
        let help = format!("write {}; EC2 corrects it without a word", block.trunc());
        faults.push(Fault::warning(place, message).help(help));
    }
    Some(block.trunc())
}

/// Whether `text` looks like the name of a prefix list that AWS manages, or like the id of any.
pub(crate) fn names_prefix_list(text: &str) -> bool {
    text.starts_with("com.amazonaws.") || text.starts_with("pl-")
}

/// Bits before the IPv4 address in an IPv4-mapped one.
const V4_MAPPED: u8 = 96;
