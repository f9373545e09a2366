//! What changes in a namespace that is another's while it has an interface of ours? One link, `lo`,
//! and its default routes if that was asked for.

use std::io;

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
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

/// Marks `link` by its alias, which stays when it is moved and renamed.
pub(super) fn mark(namespace: &Namespace, link: &str, mark: &str) -> Result<(), Error> {
    let set = || {
        let mut netlink = Netlink::open()?;
        let mut message = LinkMessage::default();
        message.header.index = netlink.index(link)?;
        message.attributes.push(LinkAttribute::IfAlias(mark.to_owned()));
        netlink.change(RouteNetlinkMessage::SetLink(message))
    };
    Ok(namespace.enter(set)?.map_err(|e| interface::Error::new(format!("mark {link}"), e))?)
}

/// What the link that bears `mark` is called, if there is one.
pub(super) fn find(namespace: &Namespace, mark: &str) -> Result<Option<String>, Error> {
    let look = || {
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let links = Netlink::open()?.dump(question)?.into_iter();
        Ok(links.filter_map(|message| name_if_marked(message, mark)).next())
    };
    Ok(namespace.enter(look)?.map_err(|e| interface::Error::new("look for an interface", e))?)
}

fn name_if_marked(message: RouteNetlinkMessage, mark: &str) -> Option<String> {
    let RouteNetlinkMessage::NewLink(LinkMessage { attributes, .. }) = message else { return None };
    let marked = |it: &LinkAttribute| matches!(it, LinkAttribute::IfAlias(alias) if alias == mark);
    attributes.iter().any(marked).then_some(())?;
    attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })
}

/// What somebody else has made of a link.
#[derive(Debug)]
pub(super) struct Placed {
    addresses: Vec<IpNet>,
    /// Whether it has the default route.
    leads: bool,
}

/// Looks at `link` once it is up and some link has the default route, which comes last.
pub(super) fn placed(namespace: &Namespace, link: &str) -> Result<Option<Placed>, Error> {
    let look = || {
        let mut netlink = Netlink::open()?;
        let found = match netlink.link(link) {
            // It is being renamed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?.header,
        };
        let Some(route) = routes::defaults(&mut netlink)?.pop() else { return Ok(None) };
        if !found.flags.contains(LinkFlags::Up) {
            return Ok(None);
        }
        let leads = routes::holder(&mut netlink, &route)? == link;
        let addresses = interface::addresses_of(&mut netlink, found.index)?;
        Ok(Some(Placed { addresses, leads }))
    };
    Ok(namespace.enter(look)?.map_err(|e| interface::Error::new(format!("look at {link}"), e))?)
}

/// Makes `link` what `interface` says, if it is something else.
pub(super) fn correct(
    namespace: &Namespace,
    link: &str,
    placed: Placed,
    interface: &Interface,
) -> Result<(), Error> {
    let Placed { addresses, leads } = placed;
    let is_right = addresses.len() == interface.addresses.len()
        && interface.addresses.iter().all(|it| addresses.contains(it));
    if is_right {
        return Ok(());
    }
    let place = Place::guest(namespace, link);
    let place = if leads { place } else { place.without_default_route() };
    let before = Interface { addresses, ..interface.clone() };
    Ok(interface::reconfigure(place, &before, interface)?)
}
