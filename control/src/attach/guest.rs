//! What changes in a namespace that is another's while it has an interface of ours? One link, `lo`,
//! and its default routes if that was asked for.

use std::io;

use netlink_packet_route::route::RouteMessage;

use crate::attach::{Error, routes};
use crate::runtime::interface::{self, Interface, Place};
use crate::runtime::namespace::Namespace;
use crate::runtime::netlink::Netlink;

/// What is found in a namespace.
pub(super) struct Room {
    /// The first name of `eth0`, `eth1` and so on that no link has.
    pub(super) link: String,
    /// Its default routes.
    pub(super) defaults: Vec<RouteMessage>,
    /// A link that has one.
    pub(super) holder: Option<String>,
}

/// Looks, and changes nothing.
pub(super) fn look(namespace: &Namespace) -> Result<Room, Error> {
    let look = || {
        let mut netlink = Netlink::open()?;
        let defaults = routes::defaults(&mut netlink)?;
        let holder = match defaults.first() {
            Some(route) => Some(routes::holder(&mut netlink, route)?),
            None => None,
        };
        let mut names = (0..).map(|number| format!("eth{number}"));
        let link = loop {
            let name = names.next().expect("there is no last number");
            match netlink.index(&name) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break name,
                Err(error) => return Err(error),
            }
        };
        Ok(Room { link, defaults, holder })
    };
    Ok(namespace.enter(look)?.map_err(|e| interface::Error::new("look for room", e))?)
}

/// Makes `link`, which has come there, what `interface` says, in the place of `defaults`.
pub(super) fn settle(
    namespace: &Namespace,
    link: &str,
    interface: &Interface,
    defaults: &[RouteMessage],
) -> Result<(), Error> {
    let replace = || {
        let mut netlink = Netlink::open()?;
        netlink.bring_up("lo")?;
        routes::take(&mut netlink, defaults)
    };
    namespace.enter(replace)?.map_err(|e| interface::Error::new("replace a default route", e))?;
    Ok(interface::configure(Place::guest(namespace, link), interface)?)
}

/// Deletes `link`, and gives `replaced` back.
pub(super) fn evict(
    namespace: &Namespace,
    link: &str,
    replaced: &[RouteMessage],
) -> Result<(), Error> {
    let evict = || Netlink::open()?.remove(link);
    namespace.enter(evict)?.map_err(|e| interface::Error::new(format!("remove {link}"), e))?;
    restore(namespace, replaced);
    Ok(())
}

/// Gives default routes back, as far as their links are there still.
pub(super) fn restore(namespace: &Namespace, replaced: &[RouteMessage]) {
    if replaced.is_empty() {
        return;
    }
    let restore = || routes::give_back(&mut Netlink::open()?, replaced);
    match namespace.enter(restore) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("a default route cannot be given back: {error}"),
        Err(error) => tracing::warn!("{error}"),
    }
}
