//! Which IPv6 addresses does everything have?
//!
//! An address of IPv6 is its own on the internet too, so it is unique in the whole file. Declared ones are claimed first;
//! then network interfaces in subnets that assign one keep what they have where a topology runs already, and the others
//! get the lowest free one of their subnet, in file order.

use std::net::{IpAddr, Ipv6Addr};

use crate::check::Check;
use crate::check::claims::{Address, Claims, Cursor};
use crate::check::held::{HeldBy, network_interfaces};
use crate::check::ipv6_blocks::{GLOBAL, given};
use crate::diagnostic::Fault;
use crate::model::{self, At};

const RULE: &str = "IPv6 addresses are unique in the whole file";

impl Check<'_, '_> {
    /// Those of network interfaces, in the order of the file.
    pub(super) fn ipv6_addresses(&mut self) -> Vec<Vec<Ipv6Addr>> {
        let mut claims = Claims::default();
        self.ipv6_hosts(&mut claims);
        let interfaces = self.model.network_interfaces.values().enumerate();
        let mut addresses: Vec<Vec<Ipv6Addr>> =
            interfaces.map(|(index, it)| self.declared_ipv6(index, it, &mut claims)).collect();
        if let Some(running) = self.running {
            self.keep_ipv6(&network_interfaces(running.topology), &mut addresses, &mut claims);
        }
        self.assign_ipv6(&mut addresses, &mut claims);
        addresses
    }

    /// Addresses of internet hosts: of the internet, and of no VPC.
    fn ipv6_hosts(&mut self, claims: &mut Claims<Ipv6Addr>) {
        let hosts = self.model.internet.iter().flat_map(|internet| internet.hosts.values());
        for address in hosts.flat_map(|it| it.addresses.iter().flat_map(|it| &it.value)) {
            let At { place, value: IpAddr::V6(value) } = *address else { continue };
            let vpcs = self.model.vpcs.iter();
            let mut blocks =
                vpcs.filter_map(|(name, vpc)| Some((name, given(vpc.ipv6_cidr_block)?)));
            if !GLOBAL.contains(&value) {
                let message =
                    format!("{value} is no address of the internet: it is not of {GLOBAL}");
                let fault = Fault::error(place, message);
                self.faults.push(fault.help("choose one of 2001:db8::/32, say"));
            } else if let Some((name, block)) = blocks.find(|(_, block)| block.contains(&value)) {
                let message = format!("{value} is of VPC `{name}` ({})", block.value);
                let fault = Fault::error(place, message).label(block.place, "the VPC's block");
                self.faults.push(fault.help("choose one of 2001:db8::/32, say"));
            }
            self.claim(At { place, value }, claims, RULE);
        }
    }

    fn declared_ipv6(
        &mut self,
        index: usize,
        interface: &model::NetworkInterface,
        claims: &mut Claims<Ipv6Addr>,
    ) -> Vec<Ipv6Addr> {
        let declared = interface.ipv6_addresses.iter().flat_map(|it| &it.value);
        let Some((name, subnet)) = self.subnet_of(self.homes.network_interfaces[index]) else {
            return Vec::new();
        };
        let mut addresses = Vec::new();
        for &address in declared {
            if let Some(block) = given(subnet.ipv6_cidr_block) {
                addresses.extend(self.declared(address, (name, block), claims, RULE));
            } else if subnet.ipv6_cidr_block.is_none() {
                let message = format!("subnet `{name}` has no IPv6");
                let fault = Fault::error(address.place, message).label(subnet.place, "the subnet");
                self.faults.push(fault.help("give the subnet an `ipv6_cidr_block`"));
            }
        }
        addresses
    }

    /// Leaves what runs with the address that it was given, where nobody else claims that.
    fn keep_ipv6(
        &self,
        held: &HeldBy<'_>,
        addresses: &mut [Vec<Ipv6Addr>],
        claims: &mut Claims<Ipv6Addr>,
    ) {
        for (index, (name, interface)) in self.model.network_interfaces.iter().enumerate() {
            let Some(held) = held.get(name.as_str()).filter(|_| self.is_assigned(index)) else {
                continue;
            };
            let Some((subnet, declared)) = self.subnet_of(self.homes.network_interfaces[index])
            else {
                continue;
            };
            let Some(block) = given(declared.ipv6_cidr_block) else { continue };
            let usable = Ipv6Addr::usable(block.value);
            let kept =
                held.ipv6.first().filter(|&&it| subnet == held.subnet && usable.contains(it));
            addresses[index].extend(kept.filter(|&&it| claims.take(it, interface.place)));
        }
    }

    /// Gives an address to what is to have one and has none.
    fn assign_ipv6(&mut self, addresses: &mut [Vec<Ipv6Addr>], claims: &mut Claims<Ipv6Addr>) {
        let subnets = self.model.subnets.values();
        let cursor =
            |it: &At<model::Subnet>| Some(Ipv6Addr::usable(given(it.ipv6_cidr_block)?.value));
        let mut cursors: Vec<Option<Cursor<Ipv6Addr>>> = subnets.map(cursor).collect();
        for (index, (name, interface)) in self.model.network_interfaces.iter().enumerate() {
            if !self.is_assigned(index) || !addresses[index].is_empty() {
                continue;
            }
            let home = self.homes.network_interfaces[index];
            let Some((subnet, _)) = self.subnet_of(home) else { continue };
            if let Some(cursor) = home.and_then(|home| cursors[home.0].as_mut()) {
                let who = (name.as_str(), interface.place);
                addresses[index].extend(self.lowest(who, subnet, cursor, claims));
            }
        }
    }

    /// Whether an interface is to have an address of IPv6 that the file does not name.
    fn is_assigned(&self, index: usize) -> bool {
        let (Some((name, interface)), home) =
            (self.model.network_interfaces.get_index(index), self.homes.network_interfaces[index])
        else {
            return false;
        };
        let assigns = self.subnet_of(home).and_then(|(_, it)| it.assign_ipv6_address_on_creation);
        let assigns = assigns.map_or(self.is_native(home), |it| it.value);
        assigns && interface.ipv6_addresses.is_none() || self.dual_stack.contains(name)
    }
}
