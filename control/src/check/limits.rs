//! Would an AWS account hold it?
//!
//! Numbers: Amazon VPC User Guide, "Amazon VPC quotas". What AWS never exceeds is an error, what it does on request a
//! warning.

use std::collections::HashMap;
use std::iter::Sum;

use ipnet::IpNet;

use crate::check::blocks::written;
use crate::check::nat_gateways::NatPairs;
use crate::check::{Check, VpcIndex};
use crate::diagnostic::{Fault, Place};
use crate::model::{At, PeerText, PublicIp};

/// A quota: what an account has at first, and what it can be raised to.
struct Limit {
    default: usize,
    hard: Option<usize>,
}

const VPCS: Limit = Limit { default: 5, hard: None };
const BLOCKS: Limit = Limit { default: 5, hard: Some(50) };
const SUBNETS: Limit = Limit { default: 200, hard: None };
const ROUTE_TABLES: Limit = Limit { default: 200, hard: None };
const ROUTES: Limit = Limit { default: 500, hard: Some(1000) };
const NETWORK_ACLS: Limit = Limit { default: 200, hard: None };
const ACL_RULES: Limit = Limit { default: 20, hard: Some(40) };
const NAT_GATEWAYS: Limit = Limit { default: 5, hard: None };
const NAT_PUBLIC_ADDRESSES: Limit = Limit { default: 2, hard: Some(8) };
const NAT_ADDRESSES: Limit = Limit { default: 8, hard: Some(8) };
const SECURITY_GROUPS: Limit = Limit { default: 2500, hard: None };
const GROUP_RULES: Limit = Limit { default: 60, hard: Some(RULES_BY_GROUPS) };
const GROUPS: Limit = Limit { default: 5, hard: Some(16) };
const NETWORK_INTERFACES: Limit = Limit { default: 5000, hard: None };
const ELASTIC_ADDRESSES: Limit = Limit { default: 5, hard: None };
/// AWS "AWS PrivateLink quotas", "Amazon VPC quotas".
const INTERFACE_ENDPOINTS: Limit = Limit { default: 50, hard: None };
const GATEWAY_ENDPOINTS: Limit = Limit { default: 20, hard: None };
/// AWS "App Runner endpoints and quotas".
const VPC_CONNECTORS: Limit = Limit { default: 10, hard: None };
const APP_RUNNER_SERVICES: Limit = Limit { default: 30, hard: None };

/// How many there are of each family.
#[derive(Clone, Copy, Default)]
struct Count {
    ipv4: usize,
    ipv6: usize,
}

impl Count {
    fn one(block: &IpNet) -> Self {
        let ipv6 = usize::from(matches!(block, IpNet::V6(_)));
        Self { ipv4: 1 - ipv6, ipv6 }
    }

    fn of(blocks: impl Iterator<Item = At<IpNet>>) -> Self {
        blocks.map(|block| Self::one(&block)).sum()
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, it| Self {
            ipv4: sum.ipv4 + it.ipv4,
            ipv6: sum.ipv6 + it.ipv6,
        })
    }
}

/// The most that rules a group times groups an interface can be.
const RULES_BY_GROUPS: usize = 1000;

impl Check<'_, '_> {
    pub(super) fn limits(&mut self) {
        let model = self.model;
        let last = |place: Option<Place>| place.unwrap_or_default();
        let vpcs = last(model.vpcs.values().last().map(|it| it.place));
        self.limit(&VPCS, model.vpcs.len(), vpcs, "VPCs in a region");
        let groups = last(model.security_groups.values().last().map(|it| it.place));
        self.limit(
            &SECURITY_GROUPS,
            model.security_groups.len(),
            groups,
            "security groups in a region",
        );
        let interfaces = last(model.network_interfaces.values().last().map(|it| it.place));
        let count = model.network_interfaces.len();
        self.limit(&NETWORK_INTERFACES, count, interfaces, "network interfaces in a region");
        self.elastic_addresses();
        let connectors = last(model.app_runner_vpc_connectors.values().last().map(|it| it.place));
        let count = model.app_runner_vpc_connectors.len();
        self.limit(&VPC_CONNECTORS, count, connectors, "VPC connectors in a region");
        let services = last(model.app_runner_services.values().last().map(|it| it.place));
        let count = model.app_runner_services.len();
        self.limit(&APP_RUNNER_SERVICES, count, services, "App Runner services in a region");
        self.limits_of_endpoints();
        for vpc in model.vpcs.values() {
            self.limit(&BLOCKS, written(vpc).count(), vpc.place, "blocks of a VPC");
        }
        for table in model.route_tables.values() {
            let routes = table.routes.iter().flat_map(|routes| &routes.value);
            let count = Count::of(routes.filter_map(|it| it.destination));
            self.limit_families(&ROUTES, count, table.place, "routes of a table");
        }
        for acl in model.network_acls.values() {
            let ingress = acl
                .ingress
                .as_ref()
                .map(|rules| (Count::of(rules.iter().filter_map(|rule| rule.source)), rules.place));
            let egress = acl.egress.as_ref().map(|rules| {
                (Count::of(rules.iter().filter_map(|rule| rule.destination)), rules.place)
            });
            for (count, place) in [ingress, egress].into_iter().flatten() {
                self.limit_families(&ACL_RULES, count, place, "rules of one side of a network ACL");
            }
        }
        self.limits_by_vpc();
        self.nat_gateways_by_zone();
        let rules = self.group_rules();
        self.groups_by_interface(&rules);
    }

    /// Public addresses that an account keeps: those of NAT gateways, and those that interfaces name. What is assigned
    /// to an interface by itself is not among them.
    fn elastic_addresses(&mut self) {
        let model = self.model;
        let gateways = model.nat_gateways.values().map(|it| (it.place, NatPairs::of(it)));
        let of_gateways = gateways
            .filter(|(_, it)| it.is_public())
            .map(|(place, it)| (place, it.pairs().count()));
        let named = model.network_interfaces.values().filter_map(|it| it.public_ip);
        let of_interfaces =
            named.filter(|it| matches!(it.value, PublicIp::Address(_))).map(|it| (it.place, 1));
        let all: Vec<(Place, usize)> = of_gateways.chain(of_interfaces).collect();
        let count = all.iter().map(|(_, count)| count).sum();
        let last = all.last().map(|(place, _)| *place).unwrap_or_default();
        self.limit(&ELASTIC_ADDRESSES, count, last, "Elastic IP addresses in a region");
    }

    /// Interface endpoints count by VPC, gateway endpoints by region.
    fn limits_of_endpoints(&mut self) {
        let model = self.model;
        let (mut gateways, mut last) = (0, Place::default());
        let mut interfaces: HashMap<VpcIndex, (usize, Place)> = HashMap::new();
        for (home, endpoint) in self.homes.vpc_endpoints.iter().zip(model.vpc_endpoints.values()) {
            if !endpoint.is_interface() {
                (gateways, last) = (gateways + 1, endpoint.place);
            } else if let Some(vpc) = home {
                let (count, place) = interfaces.entry(*vpc).or_default();
                (*count, *place) = (*count + 1, endpoint.place);
            }
        }
        self.limit(&GATEWAY_ENDPOINTS, gateways, last, "gateway endpoints in a region");
        for (count, place) in interfaces.into_values() {
            self.limit(&INTERFACE_ENDPOINTS, count, place, "interface endpoints in a VPC");
        }
    }

    fn limits_by_vpc(&mut self) {
        macro_rules! by_vpc {
            ($kind:ident, $limit:expr, $what:literal) => {
                let mut counts: HashMap<VpcIndex, (usize, Place)> = HashMap::new();
                for (home, entry) in self.homes.$kind.iter().zip(self.model.$kind.values()) {
                    let Some(vpc) = home else { continue };
                    let count = counts.get(vpc).map_or(0, |&(count, _)| count);
                    counts.insert(*vpc, (count + 1, entry.place));
                }
                for (count, place) in counts.into_values() {
                    self.limit(&$limit, count, place, $what);
                }
            };
        }
        by_vpc!(subnets, SUBNETS, "subnets in a VPC");
        by_vpc!(route_tables, ROUTE_TABLES, "route tables in a VPC");
        by_vpc!(network_acls, NETWORK_ACLS, "network ACLs in a VPC");
    }

    fn nat_gateways_by_zone(&mut self) {
        let mut counts: HashMap<Option<&str>, (usize, Place)> = HashMap::new();
        for (subnet, gateway) in
            self.homes.nat_gateways.iter().zip(self.model.nat_gateways.values())
        {
            let subnet = subnet.and_then(|subnet| self.model.subnets.get_index(subnet.0));
            let Some((_, subnet)) = subnet else { continue };
            let zone = subnet.availability_zone.as_ref().map(|zone| zone.as_str());
            let count = counts.get(&zone).map_or(0, |&(count, _)| count);
            counts.insert(zone, (count + 1, gateway.place));
        }
        for gateway in self.model.nat_gateways.values() {
            let public = gateway.public_ips.as_ref().map_or(0, |it| it.len());
            self.limit(
                &NAT_PUBLIC_ADDRESSES,
                public,
                gateway.place,
                "public addresses of a NAT gateway",
            );
            let further = gateway.secondary_private_ip_addresses.as_ref().map_or(0, |it| it.len());
            let count = gateway.secondary_private_ip_address_count.map_or(0, |it| it.value.into());
            let private = 1 + further.max(count);
            self.limit(&NAT_ADDRESSES, private, gateway.place, "addresses of a NAT gateway");
        }
        for (count, place) in counts.into_values() {
            self.limit(&NAT_GATEWAYS, count, place, "NAT gateways in an availability zone");
        }
    }

    /// The rules of the fuller side and family of each group. A rule with a prefix list counts as many as the list has
    /// entries, one with a group in both families.
    fn group_rules(&mut self) -> Vec<usize> {
        let model = self.model;
        let weigh = |peer: Option<&At<PeerText>>| match peer.map(|peer| &peer.value) {
            Some(PeerText::Cidr(block)) => Count::one(block),
            Some(PeerText::Name(name)) => match model.prefix_lists.get(name) {
                Some(list) => Count::of(list.iter().copied()),
                None => Count { ipv4: 1, ipv6: 1 },
            },
            None => Count::default(),
        };
        let mut fuller = Vec::new();
        for group in model.security_groups.values() {
            let ingress = group.ingress.as_ref().map(|rules| {
                (rules.iter().map(|rule| weigh(rule.source.as_ref())).sum::<Count>(), rules.place)
            });
            let egress = group.egress.as_ref().map(|rules| {
                let weights = rules.iter().map(|rule| weigh(rule.destination.as_ref()));
                (weights.sum::<Count>(), rules.place)
            });
            let sides = [ingress, egress].into_iter().flatten();
            for (count, place) in sides.clone() {
                let what = "rules of one side of a security group";
                self.limit_families(&GROUP_RULES, count, place, what);
            }
            let most = sides.map(|(count, _)| count.ipv4.max(count.ipv6)).max();
            fuller.push(most.unwrap_or(0));
        }
        fuller
    }

    /// `rules`: of the fuller side of each declared group.
    fn groups_by_interface(&mut self, rules: &[usize]) {
        for interface in self.model.network_interfaces.values() {
            let Some(names) = &interface.security_groups else { continue };
            self.limit(&GROUPS, names.len(), names.place, "security groups of a network interface");
            let of = |name: &At<String>| self.model.security_groups.get_index_of(name.as_str());
            let most = names.iter().filter_map(of).map(|group| rules[group]).max().unwrap_or(0);
            if names.len() > 1 && most <= RULES_BY_GROUPS && most * names.len() > RULES_BY_GROUPS {
                let message = format!(
                    "{} security groups of up to {most} rules make {}: AWS holds {RULES_BY_GROUPS} at most",
                    names.len(),
                    most * names.len(),
                );
                let fault = Fault::error(names.place, message);
                self.faults
                    .push(fault.help("name fewer groups, or split the rules over fewer per group"));
            }
        }
    }

    /// A quota that holds for each family by itself.
    fn limit_families(&mut self, limit: &Limit, count: Count, place: Place, what: &str) {
        self.limit(limit, count.ipv4, place, &format!("IPv4 {what}"));
        self.limit(limit, count.ipv6, place, &format!("IPv6 {what}"));
    }

    fn limit(&mut self, limit: &Limit, count: usize, place: Place, what: &str) {
        if let Some(hard) = limit.hard.filter(|&hard| count > hard) {
            let message = format!("{count} {what}: AWS holds {hard} at most");
            self.faults.push(Fault::error(place, message).help("spread them, or leave some out"));
        } else if count > limit.default {
            let message = format!("{count} {what}: the default quota is {}", limit.default);
            let help = "on AWS, ask for a higher quota first";
            self.faults.push(Fault::warning(place, message).help(help));
        }
    }
}
