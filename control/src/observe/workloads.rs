//! What do workloads outside the VPCs do, and which Hyperplane ENIs have they made?

use dataplane::shared::Presence;
use serde::{Deserialize, Serialize};

use crate::check::{Hyperplane, Topology, WorkloadKind};
use crate::compile::Names;
use crate::runtime::emulator::Emulator;

/// A workload in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadStatus {
    /// Its name.
    pub name: String,
    /// `app-runner` or `lambda`.
    pub kind: String,
    /// Of App Runner `RUNNING`, or `OPERATION_IN_PROGRESS` while one of its Hyperplane ENIs is being made; of Lambda `Active`,
    /// `Pending`, or `Inactive` once its ENIs were taken away.
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
    /// Its private address, under which it sends IPv4.
    pub private_ip: String,
    /// Under which it sends IPv6; none unless a workload does that.
    pub ipv6_addresses: Vec<String>,
    /// `in-use`, or `pending` while it is being made.
    pub state: String,
    /// Live connections of all workloads.
    pub connections: u32,
    /// Its tags: that of App Runner's is `AWSAppRunnerManaged`.
    pub tags: Vec<String>,
}

/// All workloads.
pub(super) fn workloads(
    emulator: &Emulator,
    topology: &Topology,
    names: &Names,
) -> Vec<WorkloadStatus> {
    let each = topology.workloads.iter().map(|workload| {
        let hyperplanes = workload.hyperplanes.iter().map(|&it| &topology[it]);
        let states = hyperplanes.clone().map(|it| presence(emulator, topology, names, it));
        let states: Vec<Presence> = states.collect();
        let has = |presence| states.contains(&presence);
        let state = match workload.kind {
            WorkloadKind::AppRunner if has(Presence::Pending) => "OPERATION_IN_PROGRESS",
            WorkloadKind::AppRunner => "RUNNING",
            WorkloadKind::Lambda if has(Presence::Pending) => "Pending",
            WorkloadKind::Lambda if has(Presence::Gone) => "Inactive",
            WorkloadKind::Lambda => "Active",
        };
        WorkloadStatus {
            name: workload.name.clone(),
            kind: workload.kind.prefix().to_owned(),
            state: state.to_owned(),
            instances: workload.instances.len(),
            hyperplane_enis: hyperplanes.map(|it| it.name.clone()).collect(),
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
    let mut statuses = Vec::new();
    for hyperplane in &topology.hyperplanes {
        let state = match presence(emulator, topology, names, hyperplane) {
            Presence::There => "in-use",
            Presence::Pending => "pending",
            Presence::Gone => continue,
        };
        for (place, &index) in hyperplane.enis.iter().enumerate() {
            let eni = &topology[index];
            let connections = connections(emulator, names, &eni.name);
            if place > 0 && connections == 0 {
                continue;
            }
            let managed = hyperplane.kind == WorkloadKind::AppRunner;
            statuses.push(HyperplaneEniStatus {
                name: eni.name.clone(),
                id: eni.id.clone(),
                subnet: topology[eni.subnet].name.clone(),
                private_ip: eni.private_ip.map_or_else(String::new, |it| it.to_string()),
                ipv6_addresses: eni.ipv6_addresses.iter().map(ToString::to_string).collect(),
                state: state.to_owned(),
                connections,
                tags: managed.then(|| "AWSAppRunnerManaged".to_owned()).into_iter().collect(),
            });
        }
    }
    statuses
}

fn connections(emulator: &Emulator, names: &Names, eni: &str) -> u32 {
    names.hyperplane_eni(eni).map_or(0, |eni| emulator.shared().tracked.count(eni))
}

/// Whether the first of some Hyperplane ENIs is there.
fn presence(
    emulator: &Emulator,
    topology: &Topology,
    names: &Names,
    hyperplane: &Hyperplane,
) -> Presence {
    if emulator.creating().contains(&hyperplane.name) {
        return Presence::Pending;
    }
    let used = hyperplane.enis.iter().map(|&it| connections(emulator, names, &topology[it].name));
    let is_used = used.sum::<u32>() > 0;
    let first = hyperplane.enis.first().and_then(|&it| names.hyperplane_eni(&topology[it].name));
    match (hyperplane.reclaim(&topology.profile), first) {
        (Some(reclaim), Some(first)) => emulator.shared().uses.presence(first, is_used, reclaim),
        _ => Presence::There,
    }
}
