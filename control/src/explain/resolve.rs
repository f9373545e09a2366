//! Which address does a domain name give whoever sends? That of the resolver of his VPC, as his subnet hears it.
//!
//! Of several addresses the first one is taken that a client would try first: IPv6 where the sender has it, made
//! addresses of DNS64 included (RFC 6724 s. 2.1: `::/0` comes before `::ffff:0:0/96`), else IPv4.

use std::net::IpAddr;

use dataplane::packet::LinkService;
use hickory_proto::rr::{Name, RData, RecordType};

use crate::check::{NetworkInterface, Topology};
use crate::compile::services;
use crate::endpoints::resolver::{View, lookup};
use crate::explain::{Error, HopWords};

/// What a name was resolved to.
pub(super) struct Resolved {
    pub(super) to: IpAddr,
    pub(super) hop: HopWords,
}

/// Asks the resolver of the sender's VPC; none where there is none, or where it knows no such name.
pub(super) fn resolve(
    topology: &Topology,
    sender: &NetworkInterface,
    text: &str,
) -> Result<Option<Resolved>, Error> {
    let at = topology[sender.subnet].vpc;
    let vpc = &topology[at];
    let Some(name) = domain(text).filter(|_| vpc.dns_support) else { return Ok(None) };
    let view = View::of(topology, at);
    let families = sender.addresses().map(|own| match own {
        IpAddr::V4(_) => RecordType::A,
        IpAddr::V6(_) => RecordType::AAAA,
    });
    let mut kinds: Vec<RecordType> = families.collect();
    // The names of the types are in the order in which they are preferred.
    kinds.sort_unstable_by_key(|kind| *kind != RecordType::AAAA);
    kinds.dedup();
    let client = sender.addresses().next();
    let mut knows = false;
    for kind in &kinds {
        let Some(client) = client else { break };
        let found = lookup(&view, client, &name, *kind);
        knows |= !found.is_unknown();
        let address = found.answers.iter().find_map(|record| match record.data {
            RData::A(address) => Some(IpAddr::from(address.0)),
            RData::AAAA(address) => Some(IpAddr::from(address.0)),
            _ => None,
        });
        if let Some(to) = address {
            let hop = HopWords {
                component: services::member(vpc, LinkService::Resolver),
                stage: "resolve",
                rule: Some(format!("{kind} {to}")),
                verdict: "forward",
            };
            return Ok(Some(Resolved { to, hop }));
        }
    }
    if knows {
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
