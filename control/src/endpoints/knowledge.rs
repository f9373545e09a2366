//! What do the services of each VPC know of it?

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::metadata::Instance;
use super::resolver;
use crate::check::{NetworkInterfaceIndex, Topology, VpcIndex};

/// What the services of all VPCs tell, of one topology.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// By the VPC's name.
    realms: HashMap<String, Realm>,
}

/// What the services of one VPC tell.
#[derive(Debug)]
pub(super) struct Realm {
    pub(super) resolver: resolver::View,
    /// Who asks, by each private address and each of IPv6.
    pub(super) instances: HashMap<IpAddr, Arc<Instance>>,
}

impl Knowledge {
    /// What there is to know of `topology`.
    #[must_use]
    pub fn of(topology: &Topology) -> Self {
        let mut instances: Vec<HashMap<_, _>> = vec![HashMap::new(); topology.vpcs.len()];
        for (index, interface) in topology.network_interfaces.iter().enumerate() {
            let instance = Arc::new(Instance::of(topology, NetworkInterfaceIndex(index)));
            let VpcIndex(vpc) = topology[interface.subnet].vpc;
            instances[vpc].extend(interface.addresses().map(|it| (it, instance.clone())));
        }
        let realms = topology.vpcs.iter().zip(instances).enumerate();
        let realms = realms.map(|(index, (vpc, instances))| {
            let resolver = resolver::View::of(topology, VpcIndex(index));
            (vpc.name.clone(), Realm { resolver, instances })
        });
        Self { realms: realms.collect() }
    }

    /// What is known of the VPC of this name.
    pub(super) fn realm(&self, vpc: &str) -> Option<&Realm> {
        self.realms.get(vpc)
    }

    /// Gives every network interface these.
    #[cfg(test)]
    pub(super) fn set_metadata_options(&mut self, options: super::MetadataOptions) {
        for instance in self.realms.values_mut().flat_map(|realm| realm.instances.values_mut()) {
            Arc::make_mut(instance).set_options(options);
        }
    }
}
