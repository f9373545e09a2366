//! Which address does a domain name give whoever sends? That of the resolver of his VPC, as his subnet hears it.
//!
//! Of several addresses the first one of IPv4 is taken, as of those of a network interface. Programs may begin with those
//! of IPv6 (RFC 6724 s. 2.1), so the hop tells all.

use std::net::IpAddr;

use dataplane::packet::LinkService;
use hickory_proto::rr::{Name, RData, RecordType};

use crate::check::{NetworkInterface, Topology};
use crate::compile::services;
use crate::endpoints::resolver::{Resolution, View, lookup};
use crate::explain::{Error, HopWords};

/// What a name was resolved to.
pub(super) struct Resolved {
    pub(super) to: IpAddr,
    pub(super) hop: HopWords,
}

/// Asks the resolver of the sender's VPC; none where there is none, or where it knows no such name, or no address that a
/// member of that name is of use by.
pub(super) fn resolve(
    topology: &Topology,
    sender: &NetworkInterface,
    text: &str,
) -> Result<Option<Resolved>, Error> {
    let at = topology[sender.subnet].vpc;
    let vpc = &topology[at];
    let Some(name) = domain(text).filter(|_| vpc.dns_support) else { return Ok(None) };
    let view = View::of(topology, at);
    let Some(client) = sender.addresses().next() else { return Ok(None) };
    let mut kinds = Vec::new();
    kinds.extend(sender.private_ip.map(|_| RecordType::A));
    kinds.extend((!sender.ipv6_addresses.is_empty()).then_some(RecordType::AAAA));
    let found: Vec<_> = kinds.iter().map(|&kind| lookup(&view, client, &name, kind)).collect();
    let addresses =
        found.iter().flat_map(|it| &it.answers).filter_map(|record| match record.data {
            RData::A(address) => Some((RecordType::A, IpAddr::from(address.0))),
            RData::AAAA(address) => Some((RecordType::AAAA, IpAddr::from(address.0))),
            _ => None,
        });
    let addresses: Vec<_> = addresses.collect();
    if let Some(&(_, to)) = addresses.first() {
        let told: Vec<_> = addresses.iter().map(|(kind, it)| format!("{kind} {it}")).collect();
        let hop = HopWords {
            component: services::member(vpc, LinkService::Resolver),
            stage: "resolve",
            rule: Some(told.join(", ")),
            verdict: "forward",
        };
        return Ok(Some(Resolved { to, hop }));
    }
    if topology.endpoint(text).is_none() && !found.iter().all(Resolution::is_unknown) {
        let asked: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        let (from, to, kinds) = (sender.name.clone(), text.to_owned(), asked.join(" or "));
        return Err(Error::NoAddress { from, to, kinds, vpc: vpc.name.clone() });
    }
    Ok(None)
}

/// Whether the resolver of the sender's VPC would be asked for `text`.
pub(super) fn resolves(topology: &Topology, sender: &NetworkInterface, text: &str) -> bool {
    topology[topology[sender.subnet].vpc].dns_support && domain(text).is_some()
}

/// A whole name of more than one label.
fn domain(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok().filter(|name| name.num_labels() > 1)?;
    name.set_fqdn(true);
    Some(name)
}
