//! Which network interfaces stand beside those of the file? Those that are made while a topology runs, as AWS makes one
//! for whatever starts: they are checked as if the file declared them last, and stay when another file is applied.
//!
//! What they stand on cannot be taken away meanwhile: a file without their subnet or their groups is refused, as AWS
//! refuses to delete what is in use (`DependencyViolation`).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Fault, Faults, Place};
use crate::model::{self, At};

/// A network interface that no file declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Born {
    /// Its name, unlike any other.
    pub name: String,
    /// The subnet that it lies in.
    pub subnet: String,
    /// Its address; the lowest free one unless it is given.
    pub private_ip: Option<Ipv4Addr>,
    /// Its groups; the VPC's `default` unless they are given.
    pub security_groups: Option<Vec<String>>,
}

/// Adds `born` to what a file says.
pub(super) fn add(born: &[Born], model: &mut model::Topology, faults: &mut Faults) {
    for one in born {
        let Some(place) = one.place(model, faults) else { continue };
        let at = |value: &String| At { place, value: value.clone() };
        let groups = one.security_groups.as_ref();
        let interface = model::NetworkInterface {
            place,
            subnet: Some(at(&one.subnet)),
            private_ip: one.private_ip.map(|value| At { place, value }),
            security_groups: groups
                .map(|groups| At { place, value: groups.iter().map(at).collect() }),
            ..Default::default()
        };
        model.network_interfaces.add(one.name.clone(), place, interface);
    }
}

impl Born {
    /// The place that stands for it in the file: that of its subnet. None after a fault.
    fn place(&self, model: &model::Topology, faults: &mut Faults) -> Option<Place> {
        let Self { name, subnet, .. } = self;
        if let Some(declared) = model.network_interfaces.get(name) {
            let message = format!("network interface `{name}` was made while the topology runs");
            let help = "call the declared one something else, or end what has the other";
            faults.push(Fault::error(declared.place, message).help(help));
            return None;
        }
        let lacks = |kind: &str, what: &str| {
            let message =
                format!("network interface `{name}`, which is in use, needs {kind} `{what}`");
            let help = "keep it, or end what has the interface: `hypertun status` shows it";
            Fault::error(Place::default(), message).help(help)
        };
        let Some(declared) = model.subnets.get(subnet) else {
            faults.push(lacks("subnet", subnet));
            return None;
        };
        for group in self.security_groups.iter().flatten() {
            if group != "default" && !model.security_groups.contains_key(group) {
                faults.push(lacks("security group", group));
                return None;
            }
        }
        Some(declared.place)
    }
}
