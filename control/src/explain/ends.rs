//! Who sends, whom to, and between which of their addresses?
//!
//! A network interface's name stands for its private address where both are in one VPC, else for the public one, else for
//! the private one; of the families that both have, IPv4 comes first. An address of IPv6 that the internet knows is public.
//! Any other name is asked of the resolver of the sender's VPC, where there is one.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::wire::rfc6052::Prefix;

use crate::check::{Endpoint, Topology, is_global};
use crate::explain::resolve::{Resolved, resolve};
use crate::explain::{Error, HopWords};

/// The ends of a packet.
pub(super) struct Ends {
    pub(super) from: Endpoint,
    pub(super) source: IpAddr,
    pub(super) to: IpAddr,
    /// Who is to have it; where the name of a member was given.
    pub(super) expected: Option<Endpoint>,
    /// How a domain name was resolved.
    pub(super) resolved: Option<HopWords>,
}

/// Finds them; `to` is an address or a name.
pub(super) fn find(topology: &Topology, from: &str, to: &str) -> Result<Ends, Error> {
    let sender = endpoint(topology, from)?;
    let own = own_addresses(topology, sender);
    let source = |to: IpAddr| own.iter().copied().find(|own| own.is_ipv4() == to.is_ipv4());
    if let Ok(address) = to.parse::<IpAddr>() {
        let no_source = || Error::NoSource { from: from.to_owned(), to: address };
        let source = source(address).ok_or_else(no_source)?;
        return Ok(Ends { from: sender, source, to: address, expected: None, resolved: None });
    }
    if let Endpoint::NetworkInterface(at) = sender
        && !matches!(topology.endpoint(to), Some(Endpoint::NetworkInterface(_)))
        && let Some(Resolved { to: address, hop }) = resolve(topology, &topology[at], to)?
    {
        let no_source = || Error::NoSource { from: from.to_owned(), to: address };
        let source = source(address).ok_or_else(no_source)?;
        // A member by that name is meant, where the address is one of his.
        let member = topology.endpoint(to);
        let expected = member.filter(|&it| own_addresses(topology, it).contains(&address));
        return Ok(Ends { from: sender, source, to: address, expected, resolved: Some(hop) });
    }
    let receiver = endpoint(topology, to)?;
    let theirs = addresses(topology, sender, receiver);
    let ends = theirs.iter().find_map(|&to| {
        let source = source(to)?;
        Some(Ends { from: sender, source, to, expected: Some(receiver), resolved: None })
    });
    ends.ok_or_else(|| {
        let mapped = theirs.iter().find_map(|it| match it {
            IpAddr::V4(v4) => Some(format!("; by NAT64, {to} is {}", mapped(topology, *v4))),
            IpAddr::V6(_) => None,
        });
        let advice = mapped.unwrap_or_default();
        Error::NoFamily { from: from.to_owned(), to: to.to_owned(), advice }
    })
}

/// An address of IPv4, as NAT gateways have it in IPv6.
fn mapped(topology: &Topology, address: Ipv4Addr) -> String {
    let prefix = topology.profile.nat64.as_ref().map(|nat64| nat64.prefix);
    match prefix.map(|it| Prefix::new(it.network(), it.prefix_len())) {
        Some(Ok(prefix)) if prefix != Prefix::WELL_KNOWN => prefix.embed(address).to_string(),
        _ => format!("64:ff9b::{address}"),
    }
}

/// The family of an address, in a word.
pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn endpoint(topology: &Topology, name: &str) -> Result<Endpoint, Error> {
    topology.endpoint(name).ok_or_else(|| {
        let interfaces = topology.network_interfaces.iter().filter(|it| it.is_seat());
        let interfaces = interfaces.map(|it| it.name.as_str());
        let hosts = topology.internet_hosts.iter().filter(|host| !host.implicit);
        let hosts = hosts.map(|host| host.name.as_str());
        let known: Vec<&str> = interfaces.chain(hosts).collect();
        Error::Unknown { name: name.to_owned(), known: known.join(", ") }
    })
}

/// The addresses that a sender sends from.
fn own_addresses(topology: &Topology, sender: Endpoint) -> Vec<IpAddr> {
    match sender {
        Endpoint::NetworkInterface(at) => topology[at].addresses().collect(),
        Endpoint::InternetHost(at) => topology[at].addresses.clone(),
    }
}

/// The addresses that a receiver has to a sender, the likeliest first.
fn addresses(topology: &Topology, sender: Endpoint, receiver: Endpoint) -> Vec<IpAddr> {
    let at = match receiver {
        Endpoint::InternetHost(at) => {
            let mut addresses = topology[at].addresses.clone();
            addresses.sort_by_key(IpAddr::is_ipv6);
            return addresses;
        }
        Endpoint::NetworkInterface(at) => at,
    };
    let interface = &topology[at];
    let near = matches!(sender, Endpoint::NetworkInterface(from)
        if topology[topology[from].subnet].vpc == topology[interface.subnet].vpc);
    let mut addresses: Vec<IpAddr> = interface.addresses().collect();
    if !near {
        let is_private = |address: &IpAddr| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => !is_global(*v6),
        };
        addresses.sort_by_key(is_private);
        addresses.splice(..0, interface.public_ip.map(IpAddr::V4));
    }
    addresses
}
