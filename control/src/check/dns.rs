//! What does the file say about names, and can it be so?
//!
//! Rules: Amazon VPC User Guide, "DHCP option sets in Amazon VPC" and "DNS attributes for your VPC"; Amazon Route 53
//! Developer Guide, "Working with private hosted zones" and "Supported DNS record types".

use std::collections::HashMap;

use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use ipnet::IpNet;

use crate::check::ids::id;
use crate::check::records::absolute;
use crate::check::{Check, DhcpOptionsIndex, NAT64, RouteTarget, Topology, VpcIndex};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, NameServer, RecordWord, shortened};

/// What those who start in a VPC are told by DHCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// Amazon's own set: its resolver, and the region's domain.
    Default,
    /// Nothing.
    None,
    /// What a declared set says.
    Set(DhcpOptionsIndex),
}

/// A DHCP option set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpOptions {
    /// Its key in the file.
    pub name: String,
    /// `dopt-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The domain that short names are looked for in.
    pub domain_name: Option<String>,
    /// The resolvers, up to four.
    pub domain_name_servers: Vec<NameServer>,
}

/// A private hosted zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateHostedZone {
    /// Its key in the file.
    pub name: String,
    /// Its domain, whole.
    pub domain: Name,
    /// The VPCs that know it, none twice; no other zone of theirs has the domain.
    pub vpcs: Vec<VpcIndex>,
    /// What it holds beside its own SOA and NS: no name and type twice, and nothing beside a CNAME.
    pub records: Vec<ZoneRecords>,
}

/// All records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRecords {
    /// The name, whole; it may begin with `*`.
    pub name: Name,
    /// Seconds that an answer may be kept.
    pub ttl: u32,
    /// What they say; at least one, all of one type.
    pub data: Vec<RData>,
}

/// What Route 53 takes where the file says nothing, in seconds.
const TTL: u32 = 300;

/// The most that a time to live can be, in seconds (RFC 2181 s. 8).
const LONGEST_TTL: u32 = i32::MAX.unsigned_abs();

/// The most bytes that all records of a name and type may have: they are to fit a message of 65,535 with what comes with
/// them.
const LONGEST_SET: usize = 60_000;

/// What a record has beside what it says, in bytes, where its name is that of the question (RFC 1035 s. 4.1.3, 4.1.4).
const RECORD: usize = 12;

/// The most resolvers of an option set.
const MOST_NAME_SERVERS: usize = 4;

/// The word for no option set.
const NO_SET: &str = "none";

impl Check<'_, '_> {
    pub(super) fn dhcp_options(&mut self) -> Vec<DhcpOptions> {
        let mut sets = Vec::new();
        for (name, set) in self.model.dhcp_options.iter() {
            if name == NO_SET {
                let fault = Fault::error(set.place, "an option set cannot be declared as `none`");
                self.faults.push(fault.help("a VPC's `dhcp_options: none` means that it has none"));
            }
            if let Some(domain) = &set.domain_name {
                self.domain(domain);
            }
            let servers = set.domain_name_servers.iter().flat_map(|it| &it.value);
            let servers: Vec<NameServer> = servers.map(|it| it.value).collect();
            if let Some(written) = &set.domain_name_servers
                && written.len() > MOST_NAME_SERVERS
            {
                let message =
                    format!("{} resolvers: an option set has four at most", written.len());
                self.faults.push(Fault::error(written.place, message));
            }
            sets.push(DhcpOptions {
                name: name.clone(),
                id: id("dopt", name, set.id.as_ref()),
                domain_name: set.domain_name.as_ref().map(|it| it.value.clone()),
                domain_name_servers: servers,
            });
        }
        sets
    }

    /// The option set that a VPC names.
    pub(super) fn dhcp(&mut self, name: Option<&At<String>>) -> Dhcp {
        match name {
            None => Dhcp::Default,
            Some(name) if name.value == NO_SET => Dhcp::None,
            Some(name) if name.value == "default" => Dhcp::Default,
            Some(name) => self
                .find("DHCP option set", &self.model.dhcp_options, name)
                .map_or(Dhcp::Default, |at| Dhcp::Set(DhcpOptionsIndex(at))),
        }
    }

    pub(super) fn private_hosted_zones(&mut self) -> Vec<PrivateHostedZone> {
        let mut zones = Vec::new();
        let mut known: HashMap<(Name, VpcIndex), Place> = HashMap::new();
        for (name, zone) in self.model.private_hosted_zones.iter() {
            let key = At { place: zone.place, value: name.clone() };
            let domain = self.domain(zone.name.as_ref().unwrap_or(&key));
            let mut vpcs = Vec::new();
            if let Some(written) = zone.vpcs.as_ref().filter(|it| it.is_empty()) {
                let fault = Fault::error(written.place, "a private hosted zone of no VPC");
                self.faults.push(fault.help("name at least one: nobody else knows it"));
            }
            for vpc in zone.vpcs.iter().flat_map(|it| &it.value) {
                let Some(at) = self.find("VPC", &self.model.vpcs, vpc) else { continue };
                if let Some(domain) = &domain
                    && let Some(first) = known.insert((domain.clone(), VpcIndex(at)), vpc.place)
                {
                    let message = format!("VPC `{}` has two zones of {domain}", vpc.value);
                    let fault = Fault::error(vpc.place, message).label(first, "the other");
                    self.faults.push(fault.help("bring their records together in one zone"));
                }
                self.knows_zones(vpc, at);
                vpcs.push(VpcIndex(at));
            }
            let Some(domain) = domain else { continue };
            let written = zone.records.iter().flat_map(|it| &it.value);
            let records = self.zone_records(&domain, written);
            zones.push(PrivateHostedZone { name: name.clone(), domain, vpcs, records });
        }
        zones
    }

    /// A VPC asks private hosted zones only with both attributes.
    fn knows_zones(&mut self, vpc: &At<String>, at: usize) {
        let Some((name, declared)) = self.model.vpcs.get_index(at) else { return };
        let is_on = declared.enable_dns_support.is_none_or(|it| it.value)
            && declared.enable_dns_hostnames.is_some_and(|it| it.value);
        if !is_on {
            let message = format!("VPC `{name}` does not ask private hosted zones");
            let fault = Fault::warning(vpc.place, message).label(declared.place, "the VPC");
            let help = "it does with `enable_dns_support` and `enable_dns_hostnames`, both true";
            self.faults.push(fault.help(help));
        }
    }

    fn zone_records<'m>(
        &mut self,
        domain: &Name,
        written: impl Iterator<Item = &'m model::ZoneRecord>,
    ) -> Vec<ZoneRecords> {
        let mut records: Vec<ZoneRecords> = Vec::new();
        let mut seen: HashMap<(Name, RecordType), Place> = HashMap::new();
        let mut names: HashMap<Name, (Place, bool)> = HashMap::new();
        for set in written {
            let (Some(kind), Some(texts)) = (&set.r#type, &set.records) else { continue };
            let place = set.name.as_ref().map_or(set.place, |it| it.place);
            let name = match &set.name {
                Some(name) => self.name_in(domain, name),
                None => Some(domain.clone()),
            };
            let Some(name) = name else { continue };
            let record_type = kind.value.record_type();
            if let Some(first) = seen.insert((name.clone(), record_type), place) {
                let message = format!("{name} has {record_type} records twice");
                let fault = Fault::error(place, message).label(first, "first here");
                self.faults.push(fault.help("write them in one list"));
            }
            let is_alias = kind.value == RecordWord::Cname;
            let alone = names.insert(name.clone(), (place, is_alias));
            if let Some((first, was_alias)) = alone
                && is_alias != was_alias
            {
                let fault = Fault::error(place, format!("{name} has a CNAME and other records"));
                let fault = fault.label(first, "the other");
                self.faults
                    .push(fault.help("a name with a CNAME has nothing else (RFC 1034 s. 3.6.2)"));
            }
            if is_alias && name == *domain {
                let fault = Fault::error(place, format!("{domain} cannot have a CNAME"));
                self.faults.push(fault.help("a zone's own name has its SOA: use A or AAAA there"));
            }
            if texts.is_empty() || is_alias && texts.len() > 1 {
                let count = if is_alias { "one" } else { "at least one" };
                let message = format!("{record_type} records of {name}: {} of them", texts.len());
                self.faults.push(Fault::error(texts.place, message).help(format!("write {count}")));
            }
            let ttl = set.ttl.filter(|it| self.is_within("ttl", it, 0..=LONGEST_TTL));
            let data = self.all_data(kind.value, texts);
            records.push(ZoneRecords { name, ttl: ttl.map_or(TTL, |it| it.value), data });
        }
        records
    }

    /// A domain, whole.
    fn domain(&mut self, text: &At<String>) -> Option<Name> {
        let parsed = absolute(text).filter(|it| !it.is_root() && !it.is_wildcard());
        if parsed.is_none() {
            let message = format!("`{}` is no domain", shortened(text));
            let help = "such as corp.internal: labels of at most 63 letters, 253 in all";
            self.faults.push(Fault::error(text.place, message).help(help));
        }
        parsed
    }

    /// A name of a zone, whole: as written where that is of the zone, else with the zone's domain behind it.
    fn name_in(&mut self, domain: &Name, text: &At<String>) -> Option<Name> {
        let whole = absolute(text).filter(|it| domain.zone_of(it));
        let relative = || match text.value.as_str() {
            "" | "@" => Some(domain.clone()),
            dotted if dotted.ends_with('.') => None,
            _ => absolute(text)?.append_domain(domain).ok(),
        };
        let name = whole.or_else(relative);
        if name.is_none() {
            let message = format!("`{}` is no name of {domain}", shortened(text));
            self.faults.push(Fault::error(text.place, message));
        }
        name
    }

    /// What the records of a name and type say: nothing twice (RFC 2181 s. 5), and no more than an answer holds.
    fn all_data(&mut self, kind: RecordWord, texts: &At<Vec<At<String>>>) -> Vec<RData> {
        let mut all: Vec<RData> = Vec::new();
        for text in &texts.value {
            let Some(data) = self.data(kind, text) else { continue };
            if all.contains(&data) {
                let message = format!("`{}` stands here twice", shortened(text));
                self.faults.push(Fault::error(text.place, message).help("remove one"));
            }
            all.push(data);
        }
        let length: usize = all.iter().map(|data| data.to_bytes().map_or(0, |it| it.len())).sum();
        if length + all.len() * RECORD > LONGEST_SET {
            let message =
                format!("{} records of {length} bytes are more than an answer holds", all.len());
            self.faults
                .push(Fault::error(texts.place, message).help("give some of them another name"));
        }
        all
    }

    fn data(&mut self, kind: RecordWord, text: &At<String>) -> Option<RData> {
        let data = kind.data(text);
        if data.is_none() {
            let message = format!("`{}` is no {} record", shortened(text), kind.record_type());
            let help = format!("such as `{}`", kind.example());
            self.faults.push(Fault::error(text.place, message).help(help));
        }
        data
    }

    /// DNS64 is of use where there are IPv6, a resolver, and a route to a NAT gateway.
    pub(super) fn dns64(&mut self, topology: &Topology) {
        for subnet in topology.subnets.iter().filter(|it| it.dns64) {
            let Some(switch) = self.model.subnets.get(&subnet.name).and_then(|it| it.enable_dns64)
            else {
                continue;
            };
            let Some(vpc) = topology.vpcs.get(subnet.vpc.0) else { continue };
            let table = topology.route_tables.get(subnet.route_table.0);
            let leads = |table: &crate::check::RouteTable| {
                table.routes.iter().any(|route| {
                    route.destination == IpNet::V6(NAT64)
                        && matches!(route.target, RouteTarget::NatGateway(_))
                })
            };
            let (why, help) = if !vpc.dns_support {
                ("the VPC has no resolver", "set its `enable_dns_support`".to_owned())
            } else if subnet.ipv6_cidr.is_none() {
                ("the subnet has no IPv6", "give it an `ipv6_cidr_block`".to_owned())
            } else if let Some(table) = table.filter(|table| !leads(table)) {
                let route = format!("a route of {NAT64} to a NAT gateway");
                let help = match table.implicit {
                    true => {
                        format!("declare a route table with {route}, and name it as the subnet's")
                    }
                    false => format!("add {route} to `{}`", table.name),
                };
                ("what it answers leads nowhere", help)
            } else {
                continue;
            };
            let message = format!("DNS64 of subnet `{}` is of no use: {why}", subnet.name);
            self.faults.push(Fault::warning(switch.place, message).help(help));
        }
    }
}
