//! Which addresses does a running topology have, and what has lost its own in a new one?

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::check::{Born, NatAddress, Topology};

/// What runs where a topology is to run.
#[derive(Clone, Copy, Debug)]
pub struct Running<'t> {
    /// The topology.
    pub topology: &'t Topology,
    /// Addresses that its NAT gateways have beside those that it says.
    pub draining: &'t [Draining],
    /// Network interfaces beside those that the file is to say.
    pub born: &'t [Born],
}

/// An address that a NAT gateway has for as long as connections are left at it, and no longer (AWS
/// "DisassociateNatGatewayAddress").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draining {
    /// The gateway's name.
    pub gateway: String,
    /// The address.
    pub address: NatAddress,
    /// Emulated time of the end.
    pub until: Duration,
}

/// Hyperplane ENIs that `apply` has added, and that are not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creating {
    /// Their name.
    pub hyperplane: String,
    /// Emulated time at which they are there.
    pub until: Duration,
}

/// What has an address in both topologies, by section and name, and not the same one.
#[must_use]
pub fn readdressed(old: &Topology, new: &Topology) -> Vec<String> {
    let moved = |before: &HeldBy<'_>, now: HeldBy<'_>, section: &str| -> Vec<String> {
        let moved = now
            .into_iter()
            .filter(|(name, now)| before.get(name).is_some_and(|before| before.differs(now)));
        moved.map(|(name, _)| format!("{section} {name}")).collect()
    };
    let mut things = moved(&nat_gateways(old), nat_gateways(new), "nat_gateways");
    things.extend(moved(&network_interfaces(old), network_interfaces(new), "network_interfaces"));
    things.sort_unstable();
    things
}

/// What something of a running topology has.
pub(super) struct Held<'t> {
    pub(super) subnet: &'t str,
    /// Private and public, the primary first.
    pub(super) addresses: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
    pub(super) ipv6: &'t [Ipv6Addr],
}

impl Held<'_> {
    fn differs(&self, other: &Self) -> bool {
        (&self.addresses, self.ipv6) != (&other.addresses, other.ipv6)
    }
}

/// By name.
pub(super) type HeldBy<'t> = HashMap<&'t str, Held<'t>>;

pub(super) fn nat_gateways(running: &Topology) -> HeldBy<'_> {
    let held = running.nat_gateways.iter().map(|it| {
        let addresses = it.addresses.iter().map(|it| (it.private_ip, it.public_ip)).collect();
        let subnet = &running[it.subnet].name;
        (it.name.as_str(), Held { subnet, addresses, ipv6: &[] })
    });
    held.collect()
}

pub(super) fn network_interfaces(running: &Topology) -> HeldBy<'_> {
    let held = running.network_interfaces.iter().map(|it| {
        let addresses = it.private_ip.map(|inside| (inside, it.public_ip)).into_iter().collect();
        let (subnet, ipv6) = (&running[it.subnet].name, it.ipv6_addresses.as_slice());
        (it.name.as_str(), Held { subnet, addresses, ipv6 })
    });
    held.collect()
}
