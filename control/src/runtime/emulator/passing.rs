//! What does a change of topology leave for a time, bring only after one, or go on to charge for?

use std::collections::HashSet;
use std::time::Duration;

use crate::check::{Creating, Draining, SubnetIndex, Topology};
use crate::runtime::emulator::State;

/// The addresses that drain under `new`: those that did and have time left, and those that `new` takes
/// away from gateways which stay (AWS "DisassociateNatGatewayAddress").
pub(super) fn drain(state: &State, new: &Topology, now: Duration) -> Vec<Draining> {
    let vpc =
        |topology: &Topology, subnet: SubnetIndex| topology[topology[subnet].vpc].name.clone();
    let mut private = HashSet::new();
    let mut public = HashSet::new();
    for gateway in &new.nat_gateways {
        for address in &gateway.addresses {
            private.insert((vpc(new, gateway.subnet), address.private_ip));
            public.extend(address.public_ip);
        }
    }
    for interface in &new.network_interfaces {
        private.extend(interface.private_ip.map(|address| (vpc(new, interface.subnet), address)));
        public.extend(interface.public_ip);
    }
    let goes = state.topology.nat_gateways.iter().flat_map(|old| {
        let until = now + Duration::from_secs(old.drain.into());
        old.addresses.iter().skip(1).map(move |&address| Draining {
            gateway: old.name.clone(),
            address,
            until,
        })
    });
    let stays = |it: &Draining| {
        let gateway = new.nat_gateways.iter().find(|gateway| gateway.name == it.gateway);
        let free = |subnet| !private.contains(&(vpc(new, subnet), it.address.private_ip));
        it.until > now
            && gateway.is_some_and(|gateway| !gateway.deleted && free(gateway.subnet))
            && it.address.public_ip.is_none_or(|address| !public.contains(&address))
    };
    state.draining.iter().cloned().chain(goes).filter(stays).collect()
}

/// The Hyperplane ENIs that are being made under `new`: those that were and still have to, and those that the running
/// topology has not.
pub(super) fn create(state: &State, new: &Topology, now: Duration) -> Vec<Creating> {
    let is_new = |name: &str| !state.topology.hyperplanes.iter().any(|it| it.name == name);
    let span = Duration::from_millis(new.profile.hyperplane_creation.millis().into());
    let created = new.hyperplanes.iter().filter(|it| is_new(&it.name));
    let created = created.map(|it| Creating { hyperplane: it.name.clone(), until: now + span });
    let is_there = |it: &Creating| new.hyperplanes.iter().any(|new| new.name == it.hyperplane);
    let left = state.creating.iter().filter(|it| it.until > now && is_there(it)).cloned();
    left.chain(created).collect()
}
