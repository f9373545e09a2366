//! Which workloads live outside the VPCs of the file, and by what do they send into them?
//!
//! App Runner services and Lambda functions run in a VPC of Amazon's, which no file shows. What they need there, and the
//! Hyperplane ENIs that they share in the VPCs of the file, is added to the model as if it had been declared last: so
//! addresses, groups and routes are checked and compiled as everything's.
//!
//! Rules: AWS App Runner Developer Guide, "Enabling VPC access for outgoing traffic"; AWS Lambda Developer Guide,
//! "Giving Lambda functions access to resources in an Amazon VPC".

use dataplane::shared::Reclaim;
use indexmap::IndexMap;

use crate::check::provider::{instance_interface, provider};
use crate::check::{
    Check, HyperplaneIndex, NetworkInterfaceIndex, Profile, SubnetIndex, Topology, VpcEndpointIndex,
};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, EgressWord, shortened};

/// How many Hyperplane ENIs there may be beside the first. Each has an address of its subnet ready, which nobody else
/// gets.
const FURTHER: usize = 3;

/// A subnet smaller than this has no addresses to spare for further ENIs.
const SPACIOUS: u8 = 26;

/// So many seconds without a connection, and Lambda's ENIs are gone: 14 days.
const IDLE: u32 = 14 * 24 * 60 * 60;

/// The most instances of a workload.
const MOST_INSTANCES: u32 = 1000;

/// What an interface is to those who send by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// An interface of a VPC, as the file declares it.
    #[default]
    Interface,
    /// That of a workload's instance, outside the VPCs of the file; by which Hyperplane ENIs it sends into one, if it does.
    Instance(Option<HyperplaneIndex>),
    /// One of these Hyperplane ENIs.
    Hyperplane(HyperplaneIndex),
    /// That of an interface endpoint.
    VpcEndpoint(VpcEndpointIndex),
}

/// Hyperplane ENIs of one subnet and one set of groups, which workloads of one kind share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hyperplane {
    /// `app-runner/SUBNET/GROUP,…`, or `lambda/…`.
    pub name: String,
    /// Whose.
    pub kind: WorkloadKind,
    /// The subnet.
    pub subnet: SubnetIndex,
    /// The ENIs: the first, and those that are taken when those before them are full.
    pub enis: Vec<NetworkInterfaceIndex>,
}

/// A workload outside the VPCs of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its key in the file.
    pub name: String,
    /// Of which kind.
    pub kind: WorkloadKind,
    /// Its instances, in order.
    pub instances: Vec<NetworkInterfaceIndex>,
    /// By what they send into a VPC, without repetition; none if they do not.
    pub hyperplanes: Vec<HyperplaneIndex>,
}

/// A kind of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// An App Runner service.
    AppRunner,
    /// A Lambda function.
    Lambda,
}

impl WorkloadKind {
    /// What names of its Hyperplane ENIs begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::AppRunner => "app-runner",
            Self::Lambda => "lambda",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::AppRunner => "App Runner service",
            Self::Lambda => "Lambda function",
        }
    }
}

impl Hyperplane {
    /// When its ENIs are taken away, if ever (AWS "Giving Lambda functions access to resources in an Amazon VPC").
    #[must_use]
    pub fn reclaim(&self, profile: &Profile) -> Option<Reclaim> {
        let goes = self.kind == WorkloadKind::Lambda || profile.app_runner_reclaims;
        let creation = profile.hyperplane_creation.millis() / 1000;
        goes.then_some(Reclaim { after: IDLE, creation })
    }
}

impl Workload {
    /// What it is, for the summary of a topology.
    pub(super) fn line(&self) -> String {
        let count = self.instances.len();
        let plural = if count == 1 { "" } else { "s" };
        format!("{} {}: {count} instance{plural}", self.kind.what(), self.name)
    }
}

/// Workloads by names, until these have places.
#[derive(Default)]
pub(super) struct Planned {
    /// The names of ENIs.
    hyperplanes: IndexMap<String, (WorkloadKind, Vec<String>)>,
    /// Those that are not there until those before them are full: they come last, also to their addresses.
    further: Vec<(String, model::NetworkInterface)>,
    workloads: Vec<(String, WorkloadKind, Vec<Instance>)>,
    /// Interface endpoints, each with the names of its network interfaces.
    vpc_endpoints: Vec<(String, Vec<String>)>,
}

/// An instance: its name, and that of the Hyperplane ENIs by which it sends.
type Instance = (String, Option<String>);

/// Where a workload sends into a VPC.
struct Way<'m> {
    place: Place,
    subnets: Vec<&'m At<String>>,
    groups: Option<&'m At<Vec<At<String>>>>,
}

impl<'m> Check<'m, '_> {
    /// The model with what workloads imply, if there are any.
    pub(super) fn workloads(&mut self) -> (Option<model::Topology>, Planned) {
        let model = self.model;
        let mut planned = Planned::default();
        self.connectors();
        let mut all = Vec::new();
        for (name, service) in model.app_runner_services.iter() {
            let way = self.way_of_service(name, service);
            all.push((name, service.place, WorkloadKind::AppRunner, service.instances, way));
        }
        for (name, function) in model.lambda_functions.iter() {
            let way = function.vpc_config.as_ref().and_then(|it| {
                let groups = it.security_groups.as_ref();
                if let Some(none) = groups.filter(|it| it.is_empty()) {
                    let fault = Fault::error(none.place, "no security groups");
                    self.faults.push(fault.help("name at least one: a function has no default"));
                }
                self.way(it.place, it.subnets.as_ref()?, groups)
            });
            all.push((name, function.place, WorkloadKind::Lambda, function.instances, way));
        }
        let endpoint_interfaces = self.endpoint_interfaces();
        if all.is_empty() && endpoint_interfaces.is_empty() {
            return (None, planned);
        }
        let mut implied = model.clone();
        if let Some((_, place, ..)) = all.first() {
            provider(&mut implied, *place);
        }
        for (name, place, kind, count, way) in all {
            self.free_name(name, place, kind);
            let count = count.filter(|it| {
                let count = At { place: it.place, value: u32::from(it.value) };
                self.is_within("instances", &count, 1..=MOST_INSTANCES)
            });
            let mut instances = Vec::new();
            for number in 0..count.map_or(1, |it| usize::from(it.value)) {
                let hyperplane = way.as_ref().and_then(|way| {
                    let subnet = way.subnets.get(number % way.subnets.len().max(1))?;
                    Some(self.hyperplane(kind, way, subnet, &mut planned, &mut implied))
                });
                let instance = format!("{name}/{number}");
                implied.network_interfaces.add(instance.clone(), place, instance_interface(place));
                instances.push((instance, hyperplane));
            }
            planned.workloads.push((name.clone(), kind, instances));
        }
        for (endpoint, interfaces) in endpoint_interfaces {
            let names = interfaces.iter().map(|(eni, _)| eni.clone()).collect();
            planned.vpc_endpoints.push((endpoint, names));
            for (eni, interface) in interfaces {
                implied.network_interfaces.add(eni, interface.place, interface);
            }
        }
        for (eni, interface) in std::mem::take(&mut planned.further) {
            let place = interface.place;
            implied.network_interfaces.add(eni, place, interface);
        }
        (Some(implied), planned)
    }

    /// The Hyperplane ENIs of a subnet and the groups of `way`, made if there are none yet.
    fn hyperplane(
        &self,
        kind: WorkloadKind,
        way: &Way<'_>,
        subnet: &At<String>,
        planned: &mut Planned,
        implied: &mut model::Topology,
    ) -> String {
        let groups = way.groups.map_or_else(Vec::new, |it| it.value.clone());
        let mut names: Vec<&str> = groups.iter().map(|it| it.value.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            names.push("default");
        }
        let name = format!("{}/{}/{}", kind.prefix(), subnet.value, names.join(","));
        planned.hyperplanes.entry(name.clone()).or_insert_with(|| {
            let block = self.model.subnets.get(&subnet.value).and_then(|it| it.cidr_block);
            let block = block.and_then(|it| it.value);
            let is_spacious = block.is_some_and(|it| it.prefix_len() <= SPACIOUS);
            let further = if is_spacious { FURTHER } else { 0 };
            let first = std::iter::once(name.clone());
            let enis = first.chain((2..).map(|number| format!("{name}#{number}")));
            let enis: Vec<String> = enis.take(1 + further).collect();
            let interface = model::NetworkInterface {
                security_groups: way.groups.cloned(),
                subnet: Some(subnet.clone()),
                ..interface(&subnet.value, way.place)
            };
            let behind = enis.iter().skip(1).map(|eni| (eni.clone(), interface.clone()));
            planned.further.extend(behind);
            implied.network_interfaces.add(name.clone(), way.place, interface);
            (kind, enis)
        });
        name
    }

    fn way_of_service(
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
                self.way(
                    connector.place,
                    connector.subnets.as_ref()?,
                    connector.security_groups.as_ref(),
                )
            }
        }
    }

    /// Each connector's own subnets, whether a service uses it or not.
    fn connectors(&mut self) {
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
        (!known.is_empty()).then_some(Way { place, subnets: known, groups })
    }

    /// Workloads share a name space with interfaces and internet hosts.
    fn free_name(&mut self, name: &str, place: Place, kind: WorkloadKind) {
        let model = self.model;
        let interface =
            model.network_interfaces.get(name).map(|it| ("a network interface", it.place));
        let host = model.internet.as_ref().and_then(|it| it.hosts.get(name));
        let host = host.map(|it| ("an internet host", it.place));
        let function = model.lambda_functions.get(name).filter(|_| kind == WorkloadKind::AppRunner);
        let function = function.map(|it| ("a Lambda function", it.place));
        for (what, other) in [interface, host, function].into_iter().flatten() {
            let message = format!("`{name}` is both {} {} and {what}", article(kind), kind.what());
            let fault = Fault::error(place, message).label(other, what);
            let help = "commands name either by name alone: call one of them something else";
            self.faults.push(fault.help(help));
        }
    }
}

const fn article(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::AppRunner => "an",
        WorkloadKind::Lambda => "a",
    }
}

pub(super) fn interface(subnet: &str, place: Place) -> model::NetworkInterface {
    let subnet = Some(At { place, value: subnet.to_owned() });
    model::NetworkInterface { place, subnet, ..Default::default() }
}

impl Planned {
    /// Says in a topology what its interfaces are to workloads.
    pub(super) fn settle(self, topology: &mut Topology) {
        let place = |topology: &Topology, name: &str| {
            let at = topology.network_interfaces.iter().position(|it| it.name == name);
            at.map(NetworkInterfaceIndex)
        };
        let mut places = IndexMap::new();
        for (name, (kind, enis)) in self.hyperplanes {
            let found: Option<Vec<_>> = enis.iter().map(|it| place(topology, it)).collect();
            // What is not there was told.
            let Some(enis) = found else { continue };
            let Some(first) = enis.first() else { continue };
            let index = HyperplaneIndex(topology.hyperplanes.len());
            let subnet = topology[*first].subnet;
            for eni in &enis {
                topology.network_interfaces[eni.0].role = Role::Hyperplane(index);
            }
            places.insert(name.clone(), index);
            topology.hyperplanes.push(Hyperplane { name, kind, subnet, enis });
        }
        for (name, kind, instances) in self.workloads {
            let mut workload =
                Workload { name, kind, instances: Vec::new(), hyperplanes: Vec::new() };
            for (instance, hyperplane) in instances {
                let Some(at) = place(topology, &instance) else { continue };
                let hyperplane = hyperplane.and_then(|it| places.get(&it).copied());
                topology.network_interfaces[at.0].role = Role::Instance(hyperplane);
                workload.instances.push(at);
                if let Some(index) = hyperplane
                    && !workload.hyperplanes.contains(&index)
                {
                    workload.hyperplanes.push(index);
                }
            }
            topology.workloads.push(workload);
        }
        for (name, enis) in self.vpc_endpoints {
            let at = topology.vpc_endpoints.iter().position(|it| it.name == name);
            let found: Option<Vec<_>> = enis.iter().map(|it| place(topology, it)).collect();
            let (Some(at), Some(enis)) = (at, found) else { continue };
            for eni in &enis {
                topology.network_interfaces[eni.0].role = Role::VpcEndpoint(VpcEndpointIndex(at));
            }
            topology.vpc_endpoints[at].interfaces = enis;
        }
    }
}
