//! Which services does AWS have, what are they called, and where is their public side?
//!
//! AWS "AWS services that integrate with AWS PrivateLink", "Gateway endpoints", "Service endpoints and quotas". Each is a
//! host of the simulated internet that exists undeclared, at an address of 192.0.2.128/26 which never changes.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use crate::check::addresses::PublicClaims;
use crate::check::blocks::net;
use crate::check::claims::Cursor;
use crate::check::ids::id;
use crate::check::{Check, InternetHost, PrefixList, Service};
use crate::diagnostic::Place;
use crate::endpoints::resolver::names::services_domain;

/// A service of AWS.
#[derive(Debug, PartialEq, Eq)]
pub struct AwsService {
    /// As `com.amazonaws.REGION.NAME` has it.
    pub name: &'static str,
    /// Its public name is this, the region and AWS's domain.
    pub host: &'static str,
    /// What else leads there, likewise.
    pub also: &'static [&'static str],
    /// The blocks of its prefix list, and the list's id in the first region; of a service that has gateway endpoints.
    pub prefix_list: Option<(Ipv4Net, &'static str)>,
}

/// The blocks of which other services have an address each, in the order of the table.
const OTHERS: Ipv4Net = net([192, 0, 2, 160], 27);

/// A service without gateway endpoints.
const fn service(
    name: &'static str,
    host: &'static str,
    also: &'static [&'static str],
) -> AwsService {
    AwsService { name, host, also, prefix_list: None }
}

/// The services that there are. An address follows from the place: new ones go to the end.
pub static SERVICES: [AwsService; 22] = [
    AwsService {
        name: "s3",
        host: "s3",
        also: &["*.s3"],
        prefix_list: Some((net([192, 0, 2, 128], 28), "pl-63a5400a")),
    },
    AwsService {
        name: "dynamodb",
        host: "dynamodb",
        also: &[],
        prefix_list: Some((net([192, 0, 2, 144], 28), "pl-02cd2c6b")),
    },
    service("secretsmanager", "secretsmanager", &[]),
    service("ecr.api", "api.ecr", &[]),
    service("ecr.dkr", "dkr.ecr", &["*.dkr.ecr"]),
    service("logs", "logs", &[]),
    service("sts", "sts", &[]),
    service("ssm", "ssm", &[]),
    service("ssmmessages", "ssmmessages", &[]),
    service("ec2messages", "ec2messages", &[]),
    service("kms", "kms", &[]),
    service("sqs", "sqs", &[]),
    service("sns", "sns", &[]),
    service("lambda", "lambda", &[]),
    service("ecs", "ecs", &[]),
    service("ecs-agent", "ecs-a", &["*.ecs-a"]),
    service("ecs-telemetry", "ecs-t", &["*.ecs-t"]),
    service("ec2", "ec2", &[]),
    service("monitoring", "monitoring", &[]),
    service("events", "events", &[]),
    service("kinesis-streams", "kinesis", &[]),
    service("execute-api", "execute-api", &["*.execute-api"]),
];

impl AwsService {
    /// The service that `word` means in `region`: its name alone, or `com.amazonaws.REGION.NAME`.
    #[must_use]
    pub fn named(word: &str, region: &str) -> Option<&'static Self> {
        let prefix = format!("com.amazonaws.{region}.");
        let name = word.strip_prefix(&prefix).unwrap_or(word);
        SERVICES.iter().find(|service| service.name == name)
    }

    /// The name of its public side in `region`.
    #[must_use]
    pub fn public_name(&self, region: &str) -> String {
        whole(self.host, region)
    }

    /// All names of its public side, that one first; some begin with `*`.
    pub fn public_names<'r>(&'r self, region: &'r str) -> impl Iterator<Item = String> + 'r {
        std::iter::once(self.host).chain(self.also.iter().copied()).map(|it| whole(it, region))
    }

    /// The name of its prefix list in `region`.
    #[must_use]
    pub fn prefix_list_name(&self, region: &str) -> String {
        format!("com.amazonaws.{region}.{}", self.name)
    }
}

fn whole(host: &str, region: &str) -> String {
    format!("{host}.{region}.{}", services_domain(region))
}

impl Check<'_, '_> {
    /// The addresses of services that the file does not declare as hosts, by their places; none where declared ones have
    /// taken all, and none of any service in conformance suites, which have the internet to themselves.
    pub(super) fn services(&self, public: &mut PublicClaims) -> Vec<Option<Ipv4Addr>> {
        let is_bare = self.model.profile.as_ref().is_some_and(|it| it.nat64.is_some());
        let mut place = 0;
        let addresses = SERVICES.iter().map(|service| {
            let block = service.prefix_list.map_or(OTHERS, |(block, _)| block);
            let (first, last) = (block.network().to_bits(), block.broadcast().to_bits());
            let own = first + u32::from(service.prefix_list.is_some()) + place;
            place += u32::from(service.prefix_list.is_none());
            if is_bare || self.stands_for(service).is_some() || self.is_taken(service) {
                return None;
            }
            let mut cursor = |from, to| {
                let (next, last) = (Ipv4Addr::from_bits(from), Ipv4Addr::from_bits(to));
                Cursor { next, last }.free(public, Place::default())
            };
            cursor(own, last).or_else(|| cursor(first, last))
        });
        addresses.collect()
    }

    /// The declared host that is the public side of a service.
    pub(super) fn stands_for(&self, service: &AwsService) -> Option<usize> {
        let hosts = &self.model.internet.as_ref()?.hosts;
        hosts.get_index_of(service.public_name(self.region()).as_str())
    }

    /// Whether something else has the name.
    fn is_taken(&self, service: &AwsService) -> bool {
        let name = service.public_name(self.region());
        self.model.network_interfaces.get(name.as_str()).is_some()
    }

    /// The public sides of services, behind the declared hosts.
    pub(super) fn service_hosts(&self, addresses: &[Option<Ipv4Addr>]) -> Vec<InternetHost> {
        let region = self.region();
        let hosts = SERVICES.iter().zip(addresses).filter_map(|(service, address)| {
            Some(InternetHost {
                name: service.public_name(region),
                addresses: vec![(*address)?.into()],
                serves: vec![Service::Aws],
                namespace: false,
                implicit: true,
            })
        });
        hosts.collect()
    }

    /// The prefix lists that AWS manages, behind the declared ones: a block of the service's own, or the addresses of the
    /// host that is declared in its place.
    pub(super) fn managed_prefix_lists(&self) -> Vec<PrefixList> {
        let region = self.region();
        let lists = gateway_services().map(|(service, block, known)| {
            let name = service.prefix_list_name(region);
            let declared = self.stands_for(service).and_then(|index| {
                let (_, host) = self.model.internet.as_ref()?.hosts.get_index(index)?;
                let addresses = host.addresses.iter().flat_map(|it| &it.value);
                Some(addresses.map(|it| it.value).filter(|it| it.is_ipv4()).map(IpNet::from))
            });
            let entries = declared.map_or_else(|| vec![IpNet::V4(block)], Iterator::collect);
            let id = if region == "us-east-1" { known.to_owned() } else { id("pl", &name, None) };
            PrefixList { name, id, entries }
        });
        lists.collect()
    }

    /// The place, among the prefix lists that AWS manages, of the one that `word` means: by its name, or by its id.
    pub(super) fn managed_prefix_list(&self, word: &str) -> Option<usize> {
        self.managed_prefix_lists().iter().position(|list| list.name == word || list.id == word)
    }
}

/// Services that have gateway endpoints, each with its block and the id of its list in the first region.
fn gateway_services() -> impl Iterator<Item = (&'static AwsService, Ipv4Net, &'static str)> {
    SERVICES.iter().filter_map(|service| {
        let (block, id) = service.prefix_list?;
        Some((service, block, id))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::check;

    #[test]
    fn every_service_is_a_host_at_an_address_of_its_own_block() {
        let topology = check::read("region: eu-west-1", "test").unwrap().topology;
        let hosts = &topology.internet_hosts;
        assert_eq!(hosts.len(), SERVICES.len());
        let addresses: HashSet<_> = hosts.iter().flat_map(|it| &it.addresses).collect();
        assert_eq!(addresses.len(), SERVICES.len());
        let all: IpNet = "192.0.2.128/26".parse().unwrap();
        assert!(addresses.iter().all(|it| all.contains(*it)), "{addresses:?}");
        assert_eq!(hosts[0].name, "s3.eu-west-1.amazonaws.com");
        assert_eq!(hosts[0].addresses, ["192.0.2.129".parse::<Ipv4Addr>().unwrap()]);
    }

    #[test]
    fn a_declared_host_stands_in_the_place_of_a_service_and_an_address_is_not_taken_from_it() {
        let text = "internet: {hosts: {s3.us-east-1.amazonaws.com: {addresses: [203.0.113.3]}, \
                    own.example: {addresses: [192.0.2.160]}}}";
        let topology = check::read(text, "test").unwrap().topology;
        let named = |name: &str| {
            let hosts = topology.internet_hosts.iter().filter(|it| it.name == name);
            hosts.map(|it| it.addresses[0].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(named("s3.us-east-1.amazonaws.com"), ["203.0.113.3"]);
        assert_eq!(named("secretsmanager.us-east-1.amazonaws.com"), ["192.0.2.161"]);
        assert_eq!(topology.prefix_lists[0].entries, ["203.0.113.3/32".parse::<IpNet>().unwrap()]);
    }
}
