//! What do workloads outside the VPCs do, and which Hyperplane ENIs have they made?

use std::collections::HashMap;

use dataplane::packet::Component;
use serde::{Deserialize, Serialize};

use crate::check::{Topology, WorkloadKind};
use crate::compile::Names;
use crate::runtime::emulator::Emulator;

/// A workload in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadStatus {
    /// Its name.
    pub name: String,
    /// `app-runner` or `lambda`.
    pub kind: String,
    /// `RUNNING`, or `OPERATION_IN_PROGRESS` while one of its Hyperplane ENIs is being made.
    pub state: String,
    /// How many instances it has.
    pub instances: usize,
    /// By which Hyperplane ENIs it sends into a VPC; none in public mode.
    pub hyperplane_enis: Vec<String>,
}

/// A Hyperplane ENI in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HyperplaneEniStatus {
    /// Its name.
    pub name: String,
    /// `eni-…`.
    pub id: String,
    /// Its subnet.
    pub subnet: String,
    /// Its private address, the only one that it has.
    pub private_ip: String,
    /// `in-use`, or `pending` while it is being made.
    pub state: String,
    /// Live connections of all workloads.
    pub connections: u32,
    /// Its tags: that of App Runner's is `AWSAppRunnerManaged`.
    pub tags: Vec<String>,
}

/// All workloads.
pub(super) fn workloads(emulator: &Emulator, topology: &Topology) -> Vec<WorkloadStatus> {
    let pending = emulator.creating();
    let each = topology.workloads.iter().map(|workload| {
        let names = workload.hyperplanes.iter().map(|&it| topology[it].name.clone());
        let hyperplane_enis: Vec<String> = names.collect();
        let waits = hyperplane_enis.iter().any(|it| pending.contains(it));
        WorkloadStatus {
            name: workload.name.clone(),
            kind: workload.kind.prefix().to_owned(),
            state: if waits { "OPERATION_IN_PROGRESS" } else { "RUNNING" }.to_owned(),
            instances: workload.instances.len(),
            hyperplane_enis,
        }
    });
    each.collect()
}

/// The Hyperplane ENIs that there are: further ones only while connections go by them.
pub(super) fn hyperplane_enis(
    emulator: &Emulator,
    topology: &Topology,
    names: &Names,
) -> Vec<HyperplaneEniStatus> {
    let pending = emulator.creating();
    let mut connections = HashMap::new();
    emulator.shared().tracked.for_each(|eni, tracked| {
        let (kind, name) = names.kind_and_name(Component::Eni(eni));
        if kind == "hyperplane-eni" {
            connections.insert(name.to_owned(), tracked);
        }
    });
    let each = topology.hyperplanes.iter().flat_map(|hyperplane| {
        let is_pending = pending.contains(&hyperplane.name);
        let enis = hyperplane.enis.iter().map(|&it| &topology[it]).enumerate();
        enis.map(move |(place, eni)| (hyperplane, is_pending, place, eni))
    });
    let each = each.filter_map(|(hyperplane, is_pending, place, eni)| {
        let connections = connections.get(&eni.name).copied().unwrap_or_default();
        let managed = hyperplane.kind == WorkloadKind::AppRunner;
        (place == 0 || connections > 0).then(|| HyperplaneEniStatus {
            name: eni.name.clone(),
            id: eni.id.clone(),
            subnet: topology[eni.subnet].name.clone(),
            private_ip: eni.private_ip.map_or_else(String::new, |it| it.to_string()),
            state: if is_pending { "pending" } else { "in-use" }.to_owned(),
            connections,
            tags: managed.then(|| "AWSAppRunnerManaged".to_owned()).into_iter().collect(),
        })
    });
    each.collect()
}
