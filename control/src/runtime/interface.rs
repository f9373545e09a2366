//! What does a namespace look like inside? `lo`, one `eth0` with its addresses and a default
//! route, and no IPv6, so that no router solicitation (RFC 4861 s. 4.1) and no multicast report
//! ever leaves it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::Ipv4Net;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::namespace::{self, Namespace};
use super::netlink::Netlink;

/// The name of the one interface in a namespace.
pub const NAME: &str = "eth0";

/// Packets that may wait on the link for a worker. The kernel drops what is beyond, counted nowhere
/// but in the link's own statistics; its default of 500 loses SYNs of a few hundred clients that
/// begin at once.
const QUEUE: u32 = 4096;

/// Why a link or a namespace could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
    /// There is no such link in the namespace.
    #[error("there is no link {0}")]
    NoLink(String),
    /// The process lacks CAP_NET_ADMIN over the namespace.
    #[error("cannot {0}: CAP_NET_ADMIN is missing; run as root")]
    NotPermitted(String),
    /// Anything else that the kernel refused.
    #[error("cannot {action}: {source}")]
    System {
        /// What was asked for.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    fn new(action: impl Into<String>, source: io::Error) -> Self {
        let action = action.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted(action),
            _ => Self::System { action, source },
        }
    }
}

/// The link of a namespace as its processes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Addresses, each with its prefix length: an ENI's with its subnet's, an internet host's with
    /// /32. The first is the source of what names none.
    pub addresses: Vec<Ipv4Net>,
    /// The next hop of the default route, on the link by one of `addresses`; `None` for a default
    /// route to the link itself.
    pub gateway: Option<Ipv4Addr>,
    /// Bytes, 68 to 65,535: 9001 for an ENI, 1500 on the internet.
    pub mtu: u32,
}

/// Makes a new namespace what hypertun's are: `lo` up, IPv6 off for every link that comes, and nothing
/// forwarded, whatever the host does (a new namespace may begin with its settings). To be
/// called before a link comes.
///
/// # Errors
///
/// [`Error::NotPermitted`], or [`Error::System`] where `/proc/sys` is read-only.
pub fn prepare(namespace: &Namespace) -> Result<(), Error> {
    namespace.enter(|| {
        write("/proc/sys/net/ipv4/ip_forward", "0")?;
        disable_ipv6("all")?;
        disable_ipv6("default")?;
        let failed = |e| Error::new("bring lo up", e);
        let mut netlink = Netlink::open().map_err(failed)?;
        let lo = netlink.index("lo").map_err(failed)?;
        netlink.change(set(lo, Vec::new(), LinkFlags::Up)).map_err(failed)
    })?
}

/// Moves the link `link` of `source` to `target`, where it is [`NAME`], down and without address.
/// Descriptors of its device stay good.
///
/// # Errors
///
/// [`Error::NoLink`] when `source` has none of that name; [`Error::System`] with `AlreadyExists`
/// when `target` has an `eth0`.
pub fn adopt(source: &Namespace, link: &str, target: &Namespace) -> Result<(), Error> {
    source.enter(|| {
        let failed = |e| Error::new(format!("move {link} to its namespace"), e);
        let mut netlink = Netlink::open().map_err(failed)?;
        let index = index(&mut netlink, link)?;
        let attributes = vec![
            LinkAttribute::NetNsFd(target.as_fd().as_raw_fd()),
            LinkAttribute::IfName(NAME.to_owned()),
        ];
        netlink.change(set(index, attributes, LinkFlags::empty())).map_err(failed)
    })?
}

/// Gives [`NAME`] in `target` its MTU, addresses and default route, and brings it up.
///
/// # Errors
///
/// [`Error::NoLink`] when `target` has none; [`Error::System`] when the kernel refuses an address,
/// the gateway (not on the link) or the MTU.
pub fn configure(target: &Namespace, interface: &Interface) -> Result<(), Error> {
    target.enter(|| {
        let failed = |e| Error::new("configure eth0", e);
        let mut netlink = Netlink::open().map_err(failed)?;
        let index = index(&mut netlink, NAME)?;
        disable_ipv6(NAME)?;
        for address in &interface.addresses {
            netlink
                .add(new_address(index, *address))
                .map_err(|e| Error::new(format!("give eth0 the address {address}"), e))?;
        }
        let attributes = vec![LinkAttribute::Mtu(interface.mtu), LinkAttribute::TxQueueLen(QUEUE)];
        netlink.change(set(index, attributes, LinkFlags::Up)).map_err(failed)?;
        netlink
            .add(default_route(index, interface.gateway))
            .map_err(|e| Error::new("give eth0 a default route", e))
    })?
}

/// Gives [`NAME`] in `target` what `new` says in the place of what `old` said. Its device, and with it
/// every descriptor of it, stays.
///
/// # Errors
///
/// As [`configure`].
pub fn reconfigure(target: &Namespace, old: &Interface, new: &Interface) -> Result<(), Error> {
    target.enter(|| {
        let mut netlink = Netlink::open().map_err(|e| Error::new("change eth0", e))?;
        let index = index(&mut netlink, NAME)?;
        // With its last address a link loses its routes. A change that failed before may have taken
        // some already, and given some of the new.
        for address in old.addresses.iter().chain(&new.addresses) {
            let RouteNetlinkMessage::NewAddress(message) = new_address(index, *address) else {
                continue;
            };
            match netlink.change(RouteNetlinkMessage::DelAddress(message)) {
                Err(error) if error.kind() != io::ErrorKind::AddrNotAvailable => {
                    let action = format!("take the address {address} from eth0");
                    return Err(Error::new(action, error));
                }
                _ => {}
            }
        }
        Ok::<(), Error>(())
    })??;
    configure(target, new)
}

/// Packets that [`NAME`] in `target` had to drop because nobody read them in time.
///
/// # Errors
///
/// [`Error::NoLink`] when `target` has none.
pub fn overrun(target: &Namespace) -> Result<u64, Error> {
    target.enter(|| {
        let failed = |e| Error::new("read the counts of eth0", e);
        let link = Netlink::open().and_then(|mut it| it.link(NAME)).map_err(failed)?;
        let dropped = link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(stats.tx_dropped),
            _ => None,
        });
        Ok(dropped.unwrap_or(0))
    })?
}

fn index(netlink: &mut Netlink, link: &str) -> Result<u32, Error> {
    netlink.index(link).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::NoLink(link.to_owned()),
        _ => Error::new(format!("find {link}"), e),
    })
}

fn set(index: u32, attributes: Vec<LinkAttribute>, flags: LinkFlags) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = flags;
    link.header.change_mask = flags;
    link.attributes = attributes;
    RouteNetlinkMessage::SetLink(link)
}

fn new_address(index: u32, address: Ipv4Net) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = address.prefix_len();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address.addr().into()));
    message.attributes.push(AddressAttribute::Address(address.addr().into()));
    RouteNetlinkMessage::NewAddress(message)
}

fn default_route(index: u32, gateway: Option<Ipv4Addr>) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.header.scope = RouteScope::Link;
    message.attributes.push(RouteAttribute::Oif(index));
    if let Some(gateway) = gateway {
        message.header.scope = RouteScope::Universe;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    }
    RouteNetlinkMessage::NewRoute(message)
}

/// Acts on the namespace of the calling thread: `/proc/sys/net` is that of whoever opens it. A
/// kernel without IPv6 has nothing to switch off.
fn disable_ipv6(link: &str) -> Result<(), Error> {
    write(&format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1")
}

/// Writes a setting that the kernel may be built without.
fn write(path: &str, value: &str) -> Result<(), Error> {
    match fs::write(path, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::System { action: format!("write {path}"), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "interface_tests.rs"]
mod tests;
