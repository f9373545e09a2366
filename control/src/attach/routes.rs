//! Which default routes does a namespace have, and how do they come back? rtnetlink(7).
//!
//! Those of the main table that lead to a link: other tables are for whoever asks for them.

use std::io;

use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::runtime::netlink::Netlink;

/// The default routes of both families, in the namespace of `netlink`.
pub(super) fn defaults(netlink: &mut Netlink) -> io::Result<Vec<RouteMessage>> {
    let mut defaults = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        let found = netlink.dump(RouteNetlinkMessage::GetRoute(question))?;
        defaults.extend(found.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) if is_default(&route) => Some(lasting(route)),
            _ => None,
        }));
    }
    Ok(defaults)
}

fn is_default(route: &RouteMessage) -> bool {
    let RouteHeader { destination_prefix_length, table, kind, .. } = route.header;
    destination_prefix_length == 0
        && table == RouteHeader::RT_TABLE_MAIN
        && kind == RouteType::Unicast
}

/// What of a route can be said again: not what the kernel has counted.
fn lasting(mut route: RouteMessage) -> RouteMessage {
    route.attributes.retain(|attribute| {
        !matches!(
            attribute,
            RouteAttribute::CacheInfo(_)
                | RouteAttribute::Expires(_)
                | RouteAttribute::MulticastExpires(_)
                | RouteAttribute::MfcStats(_)
        )
    });
    // Its state, such as a link that is down now.
    route.header.flags &= RouteFlags::Onlink;
    route
}

/// The name of a link that has `route`.
pub(super) fn holder(netlink: &mut Netlink, route: &RouteMessage) -> io::Result<String> {
    let index = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        RouteAttribute::MultiPath(hops) => hops.first().map(|hop| hop.interface_index),
        _ => None,
    });
    match index {
        Some(index) => netlink.name(index),
        None => Ok("another link".to_owned()),
    }
}

/// Takes routes away.
pub(super) fn take(netlink: &mut Netlink, routes: &[RouteMessage]) -> io::Result<()> {
    routes.iter().try_for_each(|route| {
        match netlink.change(RouteNetlinkMessage::DelRoute(route.clone())) {
            // Somebody else was quicker.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            taken => taken,
        }
    })
}

/// Gives them back: all that can be, and the first failure.
pub(super) fn give_back(netlink: &mut Netlink, routes: &[RouteMessage]) -> io::Result<()> {
    let mut first = Ok(());
    for route in routes {
        let given = match netlink.add(RouteNetlinkMessage::NewRoute(route.clone())) {
            // It was never taken, or somebody else gave it back.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            given => given,
        };
        first = first.and(given);
    }
    first
}
