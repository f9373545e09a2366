//! Which workloads live outside the VPCs of the file, and by what do they send into them?
//!
//! App Runner services and Lambda functions run in a VPC of Amazon's, which no file shows. What they need there, and the
//! Hyperplane ENIs that they share in the VPCs of the file, is added to the model as if it had been declared last: so
//! addresses, groups and routes are checked and compiled as everything's. So are the network interfaces of interface
//! endpoints.
//!
//! Rules: AWS App Runner Developer Guide, "Enabling VPC access for outgoing traffic"; AWS Lambda Developer Guide,
//! "Giving Lambda functions access to resources in an Amazon VPC".

use std::collections::HashSet;

use dataplane::shared::Reclaim;
use indexmap::IndexMap;

use crate::check::provider::{instance_interface, provider};
use crate::check::ways::Way;
use crate::check::{
    Check, HyperplaneIndex, NetworkInterfaceIndex, Profile, SubnetIndex, Topology, VpcEndpointIndex,
};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At};

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
    /// Interfaces that have an address of IPv6, which no file names.
    pub(super) dual_stack: HashSet<String>,
}

/// An instance: its name, and that of the Hyperplane ENIs by which it sends.
type Instance = (String, Option<String>);

impl<'m> Check<'m, '_> {
    /// The model with what workloads and interface endpoints imply, if there are any.
    pub(super) fn implied(&mut self) -> (Option<model::Topology>, Planned) {
        let model = self.model;
        let mut planned = Planned::default();
        self.connectors();
        let mut all = Vec::new();
        for (name, service) in model.app_runner_services.iter() {
            let way = self.way_of_service(name, service);
            all.push((name, service.place, WorkloadKind::AppRunner, service.instances, way));
        }
        for (name, function) in model.lambda_functions.iter() {
            let way = function.vpc_config.as_ref().and_then(|it| self.way_of_function(it));
            all.push((name, function.place, WorkloadKind::Lambda, function.instances, way));
        }
        let endpoint_interfaces = self.endpoint_interfaces();
        if all.is_empty() && endpoint_interfaces.is_empty() {
            return (None, planned);
        }
        let mut implied = model.clone();
        if let Some((_, place, ..)) = all.first() {
            let is_dual = |way: &Option<Way<'_>>| way.as_ref().is_some_and(|it| it.is_dual);
            provider(&mut implied, *place, all.iter().any(|(.., way)| is_dual(way)));
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
                if way.as_ref().is_some_and(|it| it.is_dual) {
                    planned.dual_stack.insert(instance.clone());
                }
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
        let (_, enis) = planned.hyperplanes.entry(name.clone()).or_insert_with(|| {
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
                ipv6_addresses: Some(At { place: way.place, value: Vec::new() }),
                ..interface(&subnet.value, way.place)
            };
            let behind = enis.iter().skip(1).map(|eni| (eni.clone(), interface.clone()));
            planned.further.extend(behind);
            implied.network_interfaces.add(name.clone(), way.place, interface);
            (kind, enis)
        });
        if way.is_dual {
            planned.dual_stack.extend(enis.iter().cloned());
        }
        name
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
