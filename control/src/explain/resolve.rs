//! Which address does a domain name give whoever sends? That of the resolver of his VPC, as his subnet hears it.
//!
//! Of several addresses the first one of IPv4 is taken, as of those of a network interface. Programs may begin with those
//! of IPv6 (RFC 6724 s. 2.1), so the hop tells all.

use std::net::IpAddr;

use dataplane::packet::LinkService;
use dataplane::path::admit::HopStage;
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

/// Asks the resolver of the sender's VPC; none where there is none, where `text` is no domain, or where it means a member
/// that has no address of a family of the sender's.
///
/// # Errors
///
/// When there is no such name, or none but of other families.
pub(super) fn resolve(
    topology: &Topology,
    sender: &NetworkInterface,
    text: &str,
) -> Result<Option<Resolved>, Error> {
    let at = topology.resolving_vpc(sender);
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
            stage: HopStage::Gateway.label(),
            rule: Some(told.join(", ")),
            verdict: "forward",
        };
        return Ok(Some(Resolved { to, hop }));
    }
    if found.iter().all(Resolution::is_unknown) {
        return Err(Error::NoSuchName { name: text.to_owned(), vpc: vpc.name.clone() });
    }
    if topology.endpoint(text).is_none() {
        let asked: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        let (from, to, kinds) = (sender.name.clone(), text.to_owned(), asked.join(" or "));
        return Err(Error::NoAddress { from, to, kinds, vpc: vpc.name.clone() });
    }
    Ok(None)
}

/// A whole name of more than one label.
fn domain(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok().filter(|name| name.num_labels() > 1)?;
    name.set_fqdn(true);
    Some(name)
}
