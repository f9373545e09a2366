//! Where do route tables lead, and could EC2 hold such routes?

use std::collections::HashMap;

use dataplane::tables::LINK_SERVICES;
use ipnet::{IpNet, Ipv6Net};

use crate::check::blocks::locals;
use crate::check::ids::id;
use crate::check::ipv6_blocks;
use crate::check::names::offer;
use crate::check::{
    Check, EgressOnlyInternetGatewayIndex, InternetGatewayIndex, NatGatewayIndex, Route,
    RouteTable, RouteTarget, VpcIndex,
};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, shortened};

/// The one destination in IPv6 that a NAT gateway takes (VPC User Guide, "DNS64 and NAT64"): the well-known prefix
/// (RFC 6052 s. 2.1).
pub const NAT64: Ipv6Net = ipv6_blocks::net([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// Kinds of route targets that there are.
const KINDS: [&str; 3] = ["internet_gateway", "egress_only_internet_gateway", "nat_gateway"];

/// Kinds of route targets that AWS has and hypertun not yet.
const LATER_KINDS: [&str; 5] = [
    "network_interface",
    "vpc_endpoint",
    "vpc_peering_connection",
    "transit_gateway",
    "prefix_list",
];

/// A thing that a route's target may mean.
struct Candidate {
    /// None for what cannot be a target yet.
    target: Option<RouteTarget>,
    kind: &'static str,
    words: &'static str,
    declared: Place,
    vpc: Option<VpcIndex>,
}

impl Check<'_, '_> {
    pub(super) fn route_tables(&mut self) -> Vec<RouteTable> {
        let mut tables = Vec::new();
        for (index, (name, table)) in self.model.route_tables.iter().enumerate() {
            let home = self.homes.route_tables[index];
            let mut seen = HashMap::new();
            let mut routes = Vec::new();
            for route in table.routes.iter().flat_map(|routes| &routes.value) {
                let target = route.target.as_ref().and_then(|target| self.target(target, home));
                let Some(destination) = route.destination else { continue };
                self.destination(destination, target, home);
                if let (Some(found), Some(target)) = (target, &route.target) {
                    self.carries(destination, At { place: target.place, value: found });
                }
                if let Some(first) = seen.insert(destination.value, destination.place) {
                    let message = format!("a second route to {}", destination.value);
                    let fault = Fault::error(destination.place, message).label(first, "the first");
                    self.faults
                        .push(fault.help("a table has one route to a destination: remove one"));
                }
                routes
                    .extend(target.map(|target| Route { destination: destination.value, target }));
            }
            let Some(vpc) = home else { continue };
            let id = id("rtb", name, table.id.as_ref());
            tables.push(RouteTable { name: name.clone(), id, vpc, routes, implicit: false });
        }
        tables.extend(self.words.implicit_tables.iter().map(|&vpc| RouteTable {
            name: "main".to_owned(),
            id: id("rtb", &format!("{}/main", self.vpc_name(vpc)), None),
            vpc,
            routes: Vec::new(),
            implicit: true,
        }));
        tables
    }

    fn destination(
        &mut self,
        destination: At<IpNet>,
        target: Option<RouteTarget>,
        home: Option<VpcIndex>,
    ) {
        let block = destination.value;
        if let Some(range) = LINK_SERVICES.iter().find(|range| range.contains(&block)) {
            let message = format!("no route may lead into {range}");
            let help = "AWS keeps these addresses for services at the link: remove the route";
            self.faults.push(Fault::error(destination.place, message).help(help));
        }
        let Some((_, vpc)) = home.and_then(|home| self.model.vpcs.get_index(home.0)) else {
            return;
        };
        let Some(local) = locals(vpc).find(|local| local.contains(&block)) else { return };
        // Within a VPC a route leads to a middlebox, and to a whole subnet (AWS "Route table concepts").
        let subnets = self.model.subnets.values().zip(&self.homes.subnets);
        let mut subnets = subnets.filter(|(_, vpc)| **vpc == home);
        if matches!(target, Some(RouteTarget::NatGateway(_)))
            && subnets.any(|(subnet, _)| {
                subnet.cidr_block.and_then(|it| it.value).map(IpNet::V4) == Some(block)
            })
        {
            return;
        }
        let message = if local.value == block {
            format!("{block} has its `local` route already; another target in its place")
        } else {
            format!("a route to {block}, more specific than the `local` route to {}", local.value)
        };
        let fault =
            Fault::unsupported(destination.place, message).label(local.place, "the VPC's block");
        self.faults
            .push(fault.help("remove the route: the VPC delivers to its own addresses by itself"));
    }

    /// Whether a gateway takes a destination of its family (AWS "CreateRoute", "DNS64 and NAT64").
    fn carries(&mut self, destination: At<IpNet>, target: At<RouteTarget>) {
        let (message, help) = match (target.value, destination.value) {
            (RouteTarget::EgressOnlyInternetGateway(_), IpNet::V4(block)) => (
                format!(
                    "a route to {block} by an egress-only internet gateway, which carries IPv6 alone"
                ),
                "route IPv4 by an internet gateway or a NAT gateway",
            ),
            (RouteTarget::NatGateway(_), IpNet::V6(block)) if !self.is_nat64(block) => (
                format!(
                    "a route to {block} by a NAT gateway, which of IPv6 takes {NAT64} and nothing else"
                ),
                "EC2 answers InvalidParameterValue: a NAT gateway cannot be the next hop of another IPv6 destination; \
                route ::/0 by an egress-only internet gateway, or by an internet gateway",
            ),
            _ => return,
        };
        let fault = Fault::error(destination.place, message);
        self.faults.push(fault.label(target.place, "the gateway").help(help));
    }

    /// Whether NAT gateways translate what lies in `block`: of the RFCs' translators a profile may name others.
    fn is_nat64(&self, block: Ipv6Net) -> bool {
        let Some(nat64) = self.model.profile.as_ref().and_then(|it| it.nat64.as_ref()) else {
            return block == NAT64;
        };
        let mut mappings = nat64.mappings.iter().flat_map(|it| &it.value);
        block == nat64.prefix.map_or(NAT64, |it| it.value)
            || mappings.any(|it| it.ipv6.is_some_and(|ipv6| ipv6.value == block))
    }

    /// What `target` means: `blackhole`, a name, or `kind/name`.
    fn target(&mut self, target: &At<String>, home: Option<VpcIndex>) -> Option<RouteTarget> {
        match target.as_str() {
            "blackhole" => return Some(RouteTarget::Blackhole),
            "local" => {
                let fault = Fault::unsupported(target.place, "the target `local`");
                self.faults.push(fault.help("remove the route: every table has its local routes"));
                return None;
            }
            _ => {}
        }
        let (kind, name) = match target.split_once('/') {
            Some((kind, name)) => (Some(kind), name),
            None => (None, target.as_str()),
        };
        if kind.is_none_or(|kind| kind == "vpc_endpoint") && self.is_endpoint(target, kind, name) {
            return None;
        }
        if let Some(kind) = kind.filter(|kind| !KINDS.contains(kind)) {
            self.faults.push(if LATER_KINDS.contains(&kind) {
                Fault::unsupported(target.place, format!("a route to a `{kind}`"))
            } else {
                Fault::error(
                    target.place,
                    format!("`{}` is no kind of route target", shortened(kind)),
                )
                .help(format!("write {}/NAME", KINDS.join("/NAME, ")))
            });
            return None;
        }
        let mut candidates = self.candidates(name);
        candidates.retain(|candidate| kind.is_none_or(|kind| kind == candidate.kind));
        let Some(found) = candidates.pop() else {
            self.no_target(target, kind, name);
            return None;
        };
        if let Some(other) = candidates.pop() {
            let message =
                format!("`{}` is two things: {} and {}", shortened(name), other.words, found.words);
            let fault = Fault::error(target.place, message)
                .label(other.declared, format!("the {}", other.words))
                .label(found.declared, format!("the {}", found.words));
            let help = format!("write {}/{name} or {}/{name}", other.kind, found.kind);
            self.faults.push(fault.help(help));
            return None;
        }
        if found.target.is_none() {
            self.faults
                .push(Fault::unsupported(target.place, format!("a route to a `{}`", found.kind)));
        }
        let named = At { place: target.place, value: name.to_owned() };
        self.same_vpc(found.words, &named, home?, found.vpc?, found.declared)
            .then_some(found.target?)
    }

    /// All that a route could mean by `name`.
    fn candidates(&self, name: &str) -> Vec<Candidate> {
        let model::Topology {
            internet_gateways,
            egress_only_internet_gateways,
            nat_gateways,
            network_interfaces,
            ..
        } = self.model;
        let internet = internet_gateways.get_full(name).map(|(index, _, declared)| Candidate {
            target: Some(RouteTarget::InternetGateway(InternetGatewayIndex(index))),
            kind: "internet_gateway",
            words: "internet gateway",
            declared: declared.place,
            vpc: self.homes.internet_gateways[index],
        });
        let egress_only = egress_only_internet_gateways.get_full(name);
        let egress_only = egress_only.map(|(index, _, declared)| Candidate {
            target: Some(RouteTarget::EgressOnlyInternetGateway(EgressOnlyInternetGatewayIndex(
                index,
            ))),
            kind: "egress_only_internet_gateway",
            words: "egress-only internet gateway",
            declared: declared.place,
            vpc: self.homes.egress_only_internet_gateways[index],
        });
        let nat = nat_gateways.get_full(name).map(|(index, _, declared)| Candidate {
            target: Some(RouteTarget::NatGateway(NatGatewayIndex(index))),
            kind: "nat_gateway",
            words: "NAT gateway",
            declared: declared.place,
            vpc: self.homes.vpc(self.homes.nat_gateways[index]),
        });
        let interface = network_interfaces.get_full(name).map(|(index, _, declared)| Candidate {
            target: None,
            kind: "network_interface",
            words: "network interface",
            declared: declared.place,
            vpc: self.homes.vpc(self.homes.network_interfaces[index]),
        });
        internet.into_iter().chain(egress_only).chain(nat).chain(interface).collect()
    }

    /// Whether `name` means a VPC endpoint and nothing that a route may lead to, which is a fault: only endpoints of Gateway
    /// Load Balancers, which are not there yet, are targets (AWS "CreateRoute").
    fn is_endpoint(&mut self, target: &At<String>, kind: Option<&str>, name: &str) -> bool {
        let Some(endpoint) = self.model.vpc_endpoints.get(name) else { return false };
        if kind.is_none() && !self.candidates(name).is_empty() {
            return false;
        }
        let name = shortened(name);
        let (what, help) = match endpoint.is_interface() {
            true => (
                "an interface endpoint",
                "it is reached by its addresses, to which the local route leads: remove the route"
                    .to_owned(),
            ),
            false => (
                "a gateway endpoint",
                format!(
                    "AWS makes these routes by itself: name the table in `route_tables` of `{name}`, and remove this one"
                ),
            ),
        };
        let message = format!("a route to `{name}`, which is {what}");
        let fault = Fault::error(target.place, message).label(endpoint.place, "the endpoint");
        self.faults.push(fault.help(help));
        true
    }

    fn no_target(&mut self, target: &At<String>, kind: Option<&str>, name: &str) {
        let [internet, egress_only, nat] = KINDS.map(|it| kind.is_none_or(|kind| kind == it));
        let internet = self.model.internet_gateways.keys().filter(|_| internet);
        let others = self.model.egress_only_internet_gateways.keys().filter(|_| egress_only);
        let nat = self.model.nat_gateways.keys().filter(|_| nat);
        let help = offer(name, "gateway", internet.chain(others).chain(nat));
        let message = format!("there is no gateway `{}`", shortened(name));
        let fault = Fault::error(target.place, message);
        self.faults.push(fault.help(format!("{help}; `blackhole` drops")));
    }
}
