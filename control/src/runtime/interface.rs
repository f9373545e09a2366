//! What does a namespace look like inside? `lo`, and one `eth0` with its addresses and default routes.
//!
//! IPv6 is off where no address is of it. Elsewhere it has nothing but the addresses that it was given,
//! usable at once: no link-local one, no router advertisements, no detection of duplicates. So no
//! router solicitation (RFC 4861 s. 4.1) and no multicast report (RFC 3810) ever leaves.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::{Deserialize, Serialize};

use super::namespace::{self, Namespace};
use super::netlink::Netlink;

/// The name of the one interface in a namespace.
pub const NAME: &str = "eth0";

/// Packets that may wait on the link for a worker. The kernel drops what is beyond, counted nowhere
/// but in the link's own statistics; its default of 500 loses SYNs of a few hundred clients that
/// begin at once.
const QUEUE: u32 = 4096;

/// How long the kernel may take until an address of IPv6 is in use.
const SETTLES: Duration = Duration::from_secs(10);

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
    pub(crate) fn new(action: impl Into<String>, source: io::Error) -> Self {
        let action = action.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted(action),
            _ => Self::System { action, source },
        }
    }
}

/// The link of a namespace as its processes see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Addresses, each with its prefix length: an ENI's with its subnet's, an internet host's with
    /// /32 or /128. The first of a family is the source of what names none.
    pub addresses: Vec<IpNet>,
    /// The next hops of default routes, one of a family at most, each on the link by one of
    /// `addresses`. A family of `addresses` without one has a default route to the link itself.
    pub gateways: Vec<IpAddr>,
    /// Bytes, 68 to 65,535: 9001 for an ENI, 1500 on the internet.
    pub mtu: u32,
}

impl Interface {
    fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|it| matches!(it, IpNet::V6(_)))
    }

    /// The next hop, if there is one, of each family's default route.
    fn default_routes(&self) -> impl Iterator<Item = (AddressFamily, Option<IpAddr>)> {
        let families = [(AddressFamily::Inet, true), (AddressFamily::Inet6, false)];
        let of = |is_v4: bool| self.addresses.iter().any(|it| it.addr().is_ipv4() == is_v4);
        families.into_iter().filter(move |&(_, is_v4)| of(is_v4)).map(|(family, is_v4)| {
            (family, self.gateways.iter().copied().find(|it| it.is_ipv4() == is_v4))
        })
    }
}

/// A link of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    namespace: &'a Namespace,
    link: &'a str,
    is_ours: bool,
    /// Whether it is to have the default routes.
    leads: bool,
}

impl<'a> Place<'a> {
    /// A link in a namespace that is another's: what else there is in it stays as it is.
    #[must_use]
    pub const fn guest(namespace: &'a Namespace, link: &'a str) -> Self {
        Self { namespace, link, is_ours: false, leads: true }
    }

    /// The same where another link has the default routes.
    #[must_use]
    pub const fn without_default_route(self) -> Self {
        Self { leads: false, ..self }
    }
}

impl<'a> From<&'a Namespace> for Place<'a> {
    /// [`NAME`] in a namespace that is hypertun's.
    fn from(namespace: &'a Namespace) -> Self {
        Self { namespace, link: NAME, is_ours: true, leads: true }
    }
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
        set_ipv6("all", "forwarding", 0)?;
        set_ipv6("all", DISABLED, 1)?;
        set_ipv6("default", DISABLED, 1)?;
        let brought = Netlink::open().and_then(|mut netlink| netlink.bring_up("lo"));
        brought.map_err(|e| Error::new("bring lo up", e))
    })?
}

/// Moves the link `link` of `source` to `target`, where it is called `name`, down and without address.
/// Descriptors of its device stay good.
///
/// # Errors
///
/// [`Error::NoLink`] when `source` has none of that name; [`Error::System`] with `AlreadyExists`
/// when `target` has a link called `name`.
pub fn adopt(source: &Namespace, link: &str, target: &Namespace, name: &str) -> Result<(), Error> {
    source.enter(|| {
        let failed = |e| Error::new(format!("move {link} to another namespace"), e);
        let mut netlink = Netlink::open().map_err(failed)?;
        let index = index(&mut netlink, link)?;
        let attributes = vec![
            LinkAttribute::NetNsFd(target.as_fd().as_raw_fd()),
            LinkAttribute::IfName(name.to_owned()),
        ];
        netlink.change(set(index, attributes, LinkFlags::empty())).map_err(failed)
    })?
}

/// Gives a link its MTU, addresses and default routes, and brings it up without queues before the device's own.
///
/// # Errors
///
/// [`Error::NoLink`] when there is none; [`Error::System`] when the kernel refuses an address,
/// the gateway (not on the link) or the MTU.
pub fn configure<'a>(place: impl Into<Place<'a>>, interface: &Interface) -> Result<(), Error> {
    let Place { namespace, link, is_ours, leads } = place.into();
    namespace.enter(|| {
        let failed = |e| Error::new(format!("configure {link}"), e);
        let mut netlink = Netlink::open().map_err(failed)?;
        let index = index(&mut netlink, link)?;
        let disabled = u8::from(!interface.has_ipv6());
        // Packets to the link's own addresses go by `lo`; those of others may too.
        if is_ours || interface.has_ipv6() {
            set_ipv6("lo", DISABLED, disabled)?;
        }
        for (setting, value) in QUIET {
            set_ipv6(link, setting, value)?;
        }
        set_ipv6(link, DISABLED, disabled)?;
        for address in &interface.addresses {
            netlink
                .add(new_address(index, *address))
                .map_err(|e| Error::new(format!("give {link} the address {address}"), e))?;
        }
        take_default_queues(&mut netlink, index, link);
        let attributes = vec![LinkAttribute::Mtu(interface.mtu), LinkAttribute::TxQueueLen(QUEUE)];
        netlink.change(set(index, attributes, LinkFlags::Up)).map_err(failed)?;
        for (family, gateway) in interface.default_routes().filter(|_| leads) {
            netlink
                .add(default_route(index, family, gateway))
                .map_err(|e| Error::new(format!("give {link} a default route"), e))?;
        }
        settle(&mut netlink, interface).map_err(failed)
    })?
}

/// Waits until what is sent to the link's own addresses of IPv6 goes by `lo`: the kernel adds those routes
/// after its answer, when its workers come to it (Linux `addrconf_dad_work`).
fn settle(netlink: &mut Netlink, interface: &Interface) -> io::Result<()> {
    let until = Instant::now() + SETTLES;
    for address in &interface.addresses {
        let IpNet::V6(address) = address else { continue };
        while netlink.route(address.addr())? != Some(RouteType::Local) {
            if Instant::now() > until {
                let message = format!("the kernel has no route to {address} yet");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// Gives a link what `new` says in the place of what `old` said. Its device, and with it every descriptor
/// of it, stays.
///
/// # Errors
///
/// As [`configure`].
pub fn reconfigure<'a>(
    place: impl Into<Place<'a>>,
    old: &Interface,
    new: &Interface,
) -> Result<(), Error> {
    let place = place.into();
    let link = place.link;
    place.namespace.enter(|| {
        let mut netlink = Netlink::open().map_err(|e| Error::new(format!("change {link}"), e))?;
        let index = index(&mut netlink, link)?;
        // Without IPv6 a link loses its addresses and routes of IPv6, and with its last address those of
        // IPv4. A change that failed before may have taken some already, and given some of the new.
        set_ipv6(link, DISABLED, 1)?;
        let both = old.addresses.iter().chain(&new.addresses);
        for address in both.filter(|it| it.addr().is_ipv4()) {
            let RouteNetlinkMessage::NewAddress(message) = new_address(index, *address) else {
                continue;
            };
            match netlink.change(RouteNetlinkMessage::DelAddress(message)) {
                Err(error) if error.kind() != io::ErrorKind::AddrNotAvailable => {
                    let action = format!("take the address {address} from {link}");
                    return Err(Error::new(action, error));
                }
                _ => {}
            }
        }
        Ok::<(), Error>(())
    })??;
    configure(place, new)
}

/// All addresses of the namespace that the calling thread is in, those of `lo` too.
///
/// # Errors
///
/// [`Error::System`].
pub(super) fn addresses() -> Result<Vec<IpAddr>, Error> {
    let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let found = Netlink::open().and_then(|mut netlink| netlink.dump(question));
    let found = found.map_err(|e| Error::new("list addresses", e))?.into_iter();
    Ok(found.filter_map(own_address).collect())
}

/// The addresses of the link with an index, each with the length of its prefix, link-local ones of IPv6 left out.
pub(crate) fn addresses_of(netlink: &mut Netlink, index: u32) -> io::Result<Vec<IpNet>> {
    let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let found = netlink.dump(question)?.into_iter().filter_map(|message| {
        let RouteNetlinkMessage::NewAddress(AddressMessage { header, .. }) = &message else {
            return None;
        };
        let (of, length) = (header.index, header.prefix_len);
        let address = own_address(message).filter(|_| of == index)?;
        IpNet::new(address, length).ok()
    });
    let is_own = |it: &IpNet| !matches!(it, IpNet::V6(it) if it.addr().is_unicast_link_local());
    Ok(found.filter(is_own).collect())
}

/// Of two ends of a link the own one is local; where there is one only, it may stand alone.
fn own_address(message: RouteNetlinkMessage) -> Option<IpAddr> {
    let RouteNetlinkMessage::NewAddress(AddressMessage { attributes, .. }) = message else {
        return None;
    };
    let local = attributes.iter().find_map(|it| match it {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        attributes.iter().find_map(|it| match it {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// Packets that a link had to drop because nobody read them in time.
///
/// # Errors
///
/// When there is no such link.
pub fn overrun<'a>(place: impl Into<Place<'a>>) -> Result<u64, Error> {
    let Place { namespace, link, .. } = place.into();
    namespace.enter(|| {
        let failed = |e| Error::new(format!("read the counts of {link}"), e);
        let link = Netlink::open().and_then(|mut it| it.link(link)).map_err(failed)?;
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

/// Takes away the queues that the kernel puts before a device's own, unless somebody has put others there. It makes one
/// for each worker that a TUN device may ever have, 256, and each with room for three times [`QUEUE`] packets (Linux
/// `pfifo_fast_init`): 24 MiB a link, and ten milliseconds if it was not up yet. A TUN device takes or drops all that it
/// is given, so nothing ever waits there.
fn take_default_queues(netlink: &mut Netlink, index: u32, link: &str) {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.parent = TcHandle::ROOT;
    // With a number of its own it takes the place of the kernel's, which have none, and of nobody else's.
    message.header.handle = TcHandle { major: NO_QUEUE, minor: 0 };
    message.attributes.push(TcAttribute::Kind("noqueue".to_owned()));
    match netlink.add(RouteNetlinkMessage::NewQueueDiscipline(message)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            tracing::warn!("{link} keeps queues that take some 24 MiB: {error}");
        }
        _ => {}
    }
}

/// The same of a link that somebody else has brought up.
///
/// # Errors
///
/// [`Error::NoLink`] when there is none.
pub(crate) fn spare_queues(namespace: &Namespace, link: &str) -> Result<(), Error> {
    namespace.enter(|| {
        let failed = |e| Error::new(format!("configure {link}"), e);
        let mut netlink = Netlink::open().map_err(failed)?;
        let index = index(&mut netlink, link)?;
        take_default_queues(&mut netlink, index, link);
        Ok(())
    })?
}

/// What the absence of queues is numbered: 16 bits, any that nobody else is likely to take.
const NO_QUEUE: u16 = 0xff00;

fn new_address(index: u32, address: IpNet) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = address.prefix_len();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address.addr()));
    message.attributes.push(AddressAttribute::Address(address.addr()));
    if matches!(address, IpNet::V6(_)) {
        // Nobody else is on the link: the address is good at once (RFC 4862 s. 5.4).
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    RouteNetlinkMessage::NewAddress(message)
}

fn default_route(
    index: u32,
    family: AddressFamily,
    gateway: Option<IpAddr>,
) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.header.scope = RouteScope::Link;
    message.attributes.push(RouteAttribute::Oif(index));
    if let Some(gateway) = gateway {
        message.header.scope = RouteScope::Universe;
        message.attributes.push(RouteAttribute::Gateway(match gateway {
            IpAddr::V4(v4) => RouteAddress::Inet(v4),
            IpAddr::V6(v6) => RouteAddress::Inet6(v6),
        }));
    }
    RouteNetlinkMessage::NewRoute(message)
}

const DISABLED: &str = "disable_ipv6";

/// What keeps IPv6 from speaking by itself: no link-local address (`addr_gen_mode` 1, none), nothing
/// learnt from routers or asked of them, no detection of duplicates (`ip-sysctl`).
const QUIET: [(&str, u8); 5] = [
    ("addr_gen_mode", 1),
    ("accept_ra", 0),
    ("autoconf", 0),
    ("router_solicitations", 0),
    ("accept_dad", 0),
];

/// Sets what IPv6 does on a link. Acts on the namespace of the calling thread: `/proc/sys/net` is that
/// of whoever opens it. A kernel without IPv6 has nothing to set.
fn set_ipv6(link: &str, setting: &str, value: u8) -> Result<(), Error> {
    write(&format!("/proc/sys/net/ipv6/conf/{link}/{setting}"), &value.to_string())
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
