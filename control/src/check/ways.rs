//! Where does a workload outside the VPCs of the file send into one: by which subnets and groups, and in which families?
//!
//! Rules: AWS App Runner Developer Guide, "Enabling VPC access for outgoing traffic"; API "NetworkConfiguration"; AWS Lambda
//! Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC".

use crate::check::{Check, SubnetIndex};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, EgressWord, IpAddressWord, shortened};

/// Where a workload sends into a VPC.
pub(super) struct Way<'m> {
    pub(super) place: Place,
    pub(super) subnets: Vec<&'m At<String>>,
    pub(super) groups: Option<&'m At<Vec<At<String>>>>,
    /// Whether it sends IPv6 too; then each subnet has it.
    pub(super) is_dual: bool,
}

impl<'m> Check<'m, '_> {
    pub(super) fn way_of_function(&mut self, config: &'m At<model::VpcConfig>) -> Option<Way<'m>> {
        let groups = config.security_groups.as_ref();
        if let Some(none) = groups.filter(|it| it.is_empty()) {
            let fault = Fault::error(none.place, "no security groups");
            self.faults.push(fault.help("name at least one: a function has no default"));
        }
        let mut way = self.way(config.place, config.subnets.as_ref()?, groups)?;
        let asked = config.ipv6_allowed_for_dual_stack.filter(|it| it.value);
        way.is_dual = asked.is_some();
        if let Some(asked) = asked {
            self.needs_ipv6(asked.place, &way, "`ipv6_allowed_for_dual_stack`");
        }
        Some(way)
    }

    pub(super) fn way_of_service(
        &mut self,
        name: &str,
        service: &'m At<model::AppRunnerService>,
    ) -> Option<Way<'m>> {
        let by_vpc = service.egress_type.is_some_and(|it| it.value == EgressWord::Vpc);
        let place = service.egress_type.map_or(service.place, |it| it.place);
        match &service.vpc_connector {
            None if by_vpc => {
                let message =
                    format!("App Runner service `{name}` sends into a VPC without connector");
                let help = "name one of `app_runner_vpc_connectors` as its `vpc_connector`";
                self.faults.push(Fault::error(place, message).help(help));
                None
            }
            Some(connector) if !by_vpc => {
                let message =
                    format!("App Runner service `{name}` has a connector that it does not use");
                let fault = Fault::error(connector.place, message);
                self.faults
                    .push(fault.help("write `egress_type: VPC`, or leave the connector out"));
                None
            }
            None => None,
            Some(connector) => {
                let connectors = &self.model.app_runner_vpc_connectors;
                let at = self.find("VPC connector", connectors, connector)?;
                let (_, connector) = connectors.get_index(at)?;
                let mut way = self.way(
                    connector.place,
                    connector.subnets.as_ref()?,
                    connector.security_groups.as_ref(),
                )?;
                let asked =
                    service.ip_address_type.filter(|it| it.value == IpAddressWord::DualStack);
                way.is_dual = asked.is_some();
                if let Some(asked) = asked {
                    self.needs_ipv6(asked.place, &way, "`DUAL_STACK`");
                }
                Some(way)
            }
        }
    }

    /// Each connector's own subnets, whether a service uses it or not.
    pub(super) fn connectors(&mut self) {
        let profile = self.model.profile.as_ref();
        let refuses =
            profile.and_then(|it| it.apprunner_refuses_public_subnets).is_some_and(|it| it.value);
        let unsupported: Vec<&str> = profile
            .and_then(|it| it.apprunner_unsupported_zones.as_ref())
            .map_or_else(Vec::new, |zones| zones.iter().map(|it| it.value.as_str()).collect());
        for (name, connector) in self.model.app_runner_vpc_connectors.iter() {
            let Some(subnets) = &connector.subnets else { continue };
            let way = self.way(connector.place, subnets, connector.security_groups.as_ref());
            let Some(way) = way else { continue };
            let mut without = Vec::new();
            for subnet in &way.subnets {
                let Some(declared) = self.model.subnets.get(&subnet.value) else { continue };
                let first = format!("{}a", self.region());
                let zone = declared.availability_zone.as_ref().map_or(first, |it| it.value.clone());
                if unsupported.contains(&zone.as_str()) {
                    without.push(format!("{} ({zone})", subnet.value));
                }
                if refuses && self.is_public(declared) {
                    let message = format!(
                        "subnet `{}` of VPC connector `{name}` leads to an internet gateway",
                        subnet.value
                    );
                    let help = "a Hyperplane ENI has no public address: use subnets that lead to a NAT gateway";
                    self.faults.push(Fault::error(subnet.place, message).help(help));
                }
            }
            self.is_of_one_kind(name, &way);
            if !without.is_empty() {
                let message = format!(
                    "App Runner has no VPC connectors in the zones of subnets {}",
                    without.join(", ")
                );
                let fault = Fault::error(subnets.place, message);
                self.faults.push(fault.help("leave these subnets out"));
            }
        }
    }

    /// Whether the routes of a subnet lead to an internet gateway.
    fn is_public(&self, subnet: &model::Subnet) -> bool {
        let table = subnet.route_table.as_ref();
        let table = table.and_then(|it| self.model.route_tables.get(&it.value));
        let routes = table.and_then(|it| it.routes.as_ref());
        routes.is_some_and(|routes| {
            let targets = routes.iter().filter_map(|route| route.target.as_ref());
            targets
                .map(|it| it.trim_start_matches("internet_gateway/"))
                .any(|target| self.model.internet_gateways.contains_key(target))
        })
    }

    /// A workload's subnets: there are some, none twice, all of one VPC, each with IPv4.
    fn way(
        &mut self,
        place: Place,
        subnets: &'m At<Vec<At<String>>>,
        groups: Option<&'m At<Vec<At<String>>>>,
    ) -> Option<Way<'m>> {
        if subnets.is_empty() {
            let fault = Fault::error(subnets.place, "no subnets");
            self.faults.push(fault.help("name one for each availability zone"));
            return None;
        }
        let mut known: Vec<&'m At<String>> = Vec::new();
        let mut home = None;
        for subnet in &subnets.value {
            let Some(at) = self.find("subnet", &self.model.subnets, subnet) else { continue };
            if let Some(first) = known.iter().find(|it| it.value == subnet.value) {
                let message = format!("subnet `{}` is named twice", shortened(subnet));
                let fault = Fault::error(subnet.place, message).label(first.place, "first here");
                self.faults.push(fault.help("remove one"));
                continue;
            }
            if self.is_native(Some(SubnetIndex(at))) {
                let message = format!("subnet `{}` is of IPv6 alone", shortened(subnet));
                let fault = Fault::error(subnet.place, message);
                self.faults.push(fault.help("Hyperplane ENIs need a subnet with a `cidr_block`"));
                continue;
            }
            let Some(vpc) = self.homes.subnets[at] else { continue };
            match home {
                None => home = Some((vpc, subnet.place)),
                Some((first, _)) if first == vpc => {}
                Some((first, at)) => {
                    let (other, first) = (self.vpc_name(vpc), self.vpc_name(first));
                    let message = format!(
                        "subnet `{}` is of VPC `{other}`, others are of `{first}`",
                        shortened(subnet)
                    );
                    let fault = Fault::error(subnet.place, message).label(at, "the first");
                    self.faults.push(fault.help("all subnets are of one VPC"));
                    continue;
                }
            }
            known.push(subnet);
        }
        if let Some((home, _)) = home {
            for group in groups.iter().flat_map(|it| &it.value) {
                let _ = self.group(group, Some(home));
            }
        }
        (!known.is_empty()).then_some(Way { place, subnets: known, groups, is_dual: false })
    }

    /// What sends IPv6 does so from subnets that have it.
    fn needs_ipv6(&mut self, place: Place, way: &Way<'_>, asked: &str) {
        let [_, without] = self.by_ipv6(way);
        if !without.is_empty() {
            let message = format!("{asked} by {} without IPv6", listed(&without));
            let help = "give each of its subnets an `ipv6_cidr_block`, or leave this out";
            self.faults.push(Fault::error(place, message).help(help));
        }
    }

    /// The subnets of a connector are all of IPv4 alone, or all of both families.
    fn is_of_one_kind(&mut self, name: &str, way: &Way<'_>) {
        let [with, without] = self.by_ipv6(way);
        if !with.is_empty() && !without.is_empty() {
            let message = format!(
                "VPC connector `{name}` has {} with IPv6 and {} without",
                listed(&with),
                listed(&without)
            );
            let help =
                "App Runner takes subnets of IPv4 alone, or of both families: leave some out";
            self.faults.push(Fault::error(way.place, message).help(help));
        }
    }

    /// The subnets with a block of IPv6, and those without.
    fn by_ipv6(&self, way: &Way<'m>) -> [Vec<&'m str>; 2] {
        let names = way.subnets.iter().map(|it| it.value.as_str());
        let has = |name: &&str| {
            self.model.subnets.get(*name).is_some_and(|it| it.ipv6_cidr_block.is_some())
        };
        let (with, without) = names.partition(has);
        [with, without]
    }
}

fn listed(subnets: &[&str]) -> String {
    let plural = if subnets.len() == 1 { "" } else { "s" };
    format!("subnet{plural} {}", subnets.join(", "))
}
