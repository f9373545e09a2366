//! Which address does everything have, and has nothing else the same?
//!
//! Of IPv4; those of IPv6 are in `ipv6_addresses`. Declared addresses are claimed first. Then NAT gateways and network interfaces without one keep what they
//! have where a topology runs already; the others get theirs in file order: the lowest free one of their
//! subnet, the next free one of 198.51.100.0/24 (RFC 5737) in public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use crate::check::blocks::net;
use crate::check::claims::{Address, Claims, Cursor};
use crate::check::held::{nat_gateways, network_interfaces};
use crate::check::nat_gateways::NatPairs;
use crate::check::provider::PUBLIC_ADDRESS;
use crate::check::{Check, PROVIDER, Running, SubnetIndex, VpcIndex};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, PublicIp};

/// Where public addresses come from that the file does not give.
const PUBLIC_POOL: Ipv4Net = net([198, 51, 100, 0], 24);

/// Ranges that no host of the internet has an address of: RFC 6890 and the VPC's own.
const NOT_PUBLIC: [Ipv4Net; 9] = [
    net([0, 0, 0, 0], 8),
    net([10, 0, 0, 0], 8),
    net([100, 64, 0, 0], 10),
    net([127, 0, 0, 0], 8),
    net([169, 254, 0, 0], 16),
    net([172, 16, 0, 0], 12),
    net([192, 168, 0, 0], 16),
    net([224, 0, 0, 0], 4),
    net([240, 0, 0, 0], 4),
];

/// A private address, and the public one that stands for it if there is one.
pub(super) type Pair = (Option<Ipv4Addr>, Option<Ipv4Addr>);

/// The addresses of what stands in subnets, by its place in the file's order; none after a fault.
#[derive(Default)]
pub(super) struct Addresses {
    /// Each with all its addresses, the primary first.
    pub(super) nat_gateways: Vec<Vec<Pair>>,
    pub(super) network_interfaces: Vec<Pair>,
    /// Those of network interfaces.
    pub(super) ipv6: Vec<Vec<Ipv6Addr>>,
    /// Those of AWS's services.
    pub(super) services: Vec<Option<Ipv4Addr>>,
}

type Private = Claims<Ipv4Addr>;
/// Who has which public address.
pub(super) type PublicClaims = Claims<Ipv4Addr>;
type Public = PublicClaims;

impl Check<'_, '_> {
    pub(super) fn addresses(&mut self) -> Addresses {
        let mut private = vec![Claims::default(); self.model.vpcs.len()];
        let mut public = Claims::default();
        let mut addresses = Addresses { ipv6: self.ipv6_addresses(), ..Addresses::default() };
        self.hosts(&mut public);
        for (index, gateway) in self.model.nat_gateways.values().enumerate() {
            let subnet = self.homes.nat_gateways[index];
            let declared = NatPairs::of(gateway);
            let pairs = declared.pairs().map(|(inside, outside)| {
                let inside = self.declared_private(inside, subnet, &mut private);
                (inside, outside.and_then(|outside| self.public(outside, &mut public)))
            });
            addresses.nat_gateways.push(pairs.collect());
        }
        for (index, interface) in self.model.network_interfaces.values().enumerate() {
            let subnet = self.homes.network_interfaces[index];
            self.no_ipv4(interface, subnet);
            let inside = self.declared_private(interface.private_ip, subnet, &mut private);
            let outside = match interface.public_ip.map(|it| (it.value, it.place)) {
                Some((PublicIp::Address(value), place)) => {
                    self.public(At { place, value }, &mut public)
                }
                _ => None,
            };
            addresses.network_interfaces.push((inside, outside));
        }
        addresses.services = self.services(&mut public);
        if let Some(running) = self.running {
            self.keep(running, &mut addresses, &mut private, &mut public);
        }
        self.assign(&mut addresses, &mut private, &mut public);
        addresses
    }

    /// Leaves what runs with the addresses that it has, where the file gives none and nobody else
    /// claims them.
    fn keep(
        &self,
        running: Running<'_>,
        addresses: &mut Addresses,
        private: &mut [Private],
        public: &mut Public,
    ) {
        let held = nat_gateways(running.topology);
        for (index, (name, gateway)) in self.model.nat_gateways.iter().enumerate() {
            let Some(held) = held.get(name.as_str()) else { continue };
            let subnet = self.homes.nat_gateways[index];
            let declared = NatPairs::of(gateway);
            let drains = running.draining.iter().filter(|it| it.gateway == *name);
            let drains = drains.map(|it| (it.address.private_ip, it.address.public_ip));
            let further: Vec<_> = held.addresses.iter().skip(1).copied().chain(drains).collect();
            let pairs = declared.pairs().zip(&mut addresses.nat_gateways[index]);
            for (place, ((inside, outside), pair)) in pairs.enumerate() {
                // A further private address goes with its public one, where that is given.
                let kept = match outside {
                    Some(outside) if place > 0 => {
                        further.iter().find(|(_, public)| *public == Some(outside.value))
                    }
                    _ => held.addresses.get(place),
                };
                let Some(&(private_ip, public_ip)) = kept else { continue };
                if inside.is_none() {
                    let held = (held.subnet, private_ip);
                    pair.0 = self.keep_private(held, gateway.place, subnet, private);
                }
                if outside.is_none() && declared.is_public() {
                    pair.1 = public_ip.filter(|it| public.take(*it, gateway.place));
                }
            }
            // What is taken away drains, and is nobody else's until then.
            for (private_ip, public_ip) in further {
                let held = (held.subnet, private_ip);
                let _ = self.keep_private(held, gateway.place, subnet, private);
                let _ = public_ip.is_some_and(|it| public.take(it, gateway.place));
            }
        }
        let held = network_interfaces(running.topology);
        for (index, (name, interface)) in self.model.network_interfaces.iter().enumerate() {
            let Some(held) = held.get(name.as_str()) else { continue };
            let Some(&(private_ip, public_ip)) = held.addresses.first() else { continue };
            let (inside, outside) = &mut addresses.network_interfaces[index];
            let subnet = self.homes.network_interfaces[index];
            if interface.private_ip.is_none() {
                let held = (held.subnet, private_ip);
                *inside = self.keep_private(held, interface.place, subnet, private);
            }
            if self.wants_public(interface, subnet) {
                *outside = public_ip.filter(|it| public.take(*it, interface.place));
            }
        }
    }

    fn keep_private(
        &self,
        (held_in, held): (&str, Ipv4Addr),
        place: Place,
        subnet: Option<SubnetIndex>,
        private: &mut [Private],
    ) -> Option<Ipv4Addr> {
        let VpcIndex(vpc) = self.homes.vpc(subnet)?;
        let (name, subnet) = self.model.subnets.get_index(subnet?.0)?;
        let usable = Ipv4Addr::usable(subnet.cidr_block?.value?).contains(held);
        (name == held_in && usable && private[vpc].take(held, place)).then_some(held)
    }

    /// Whether an interface is to get a public address that the file does not name.
    fn wants_public(
        &self,
        interface: &model::NetworkInterface,
        subnet: Option<SubnetIndex>,
    ) -> bool {
        match interface.public_ip {
            Some(choice) => choice.value == PublicIp::Auto && !self.is_native(subnet),
            None => self
                .subnet_of(subnet)
                .and_then(|(_, it)| it.map_public_ip_on_launch)
                .is_some_and(|it| it.value),
        }
    }

    /// Gives addresses to what has none.
    fn assign(&mut self, addresses: &mut Addresses, private: &mut [Private], public: &mut Public) {
        let mut subnets: Vec<_> = self
            .model
            .subnets
            .values()
            .map(|subnet| Some(Ipv4Addr::usable(subnet.cidr_block?.value?)))
            .collect();
        let mut pool = Ipv4Addr::usable(PUBLIC_POOL);
        pool.next = PUBLIC_POOL.network().successor();
        for (index, (name, gateway)) in self.model.nat_gateways.iter().enumerate() {
            let subnet = self.homes.nat_gateways[index];
            let declared = NatPairs::of(gateway);
            let pairs = declared.pairs().zip(&mut addresses.nat_gateways[index]);
            for ((inside, outside), pair) in pairs {
                if pair.0.is_none() && inside.is_none() {
                    pair.0 = self.free_private(name, gateway.place, subnet, &mut subnets, private);
                }
                if pair.1.is_none() && outside.is_none() && declared.is_public() {
                    pair.1 = self.free_public(name, gateway.place, &mut pool, public);
                }
            }
        }
        for (index, (name, interface)) in self.model.network_interfaces.iter().enumerate() {
            let (inside, outside) = &mut addresses.network_interfaces[index];
            let subnet = self.homes.network_interfaces[index];
            if inside.is_none() && interface.private_ip.is_none() {
                *inside = self.free_private(name, interface.place, subnet, &mut subnets, private);
            }
            if outside.is_none() && self.wants_public(interface, subnet) {
                *outside = self.free_public(name, interface.place, &mut pool, public);
            }
        }
    }

    fn hosts(&mut self, public: &mut Public) {
        let Some(internet) = &self.model.internet else { return };
        for host in internet.hosts.values() {
            for address in host.addresses.iter().flat_map(|addresses| &addresses.value) {
                if let At { place, value: IpAddr::V4(value) } = *address {
                    self.public(At { place, value }, public);
                }
            }
        }
    }

    /// A declared public address, claimed; it is one that the internet can have.
    pub(super) fn public(
        &mut self,
        address: At<Ipv4Addr>,
        claims: &mut Public,
    ) -> Option<Ipv4Addr> {
        if let Some(range) = NOT_PUBLIC.iter().find(|range| range.contains(&address.value)) {
            let message = format!("{} is no public address: it is of {range}", address.value);
            let help = "choose one of 198.51.100.0/24 or 203.0.113.0/24, say";
            self.faults.push(Fault::error(address.place, message).help(help));
            return None;
        }
        let rule = "public addresses are unique in the whole file";
        if let Some(workload) = self.workload_at(address) {
            let message = format!("{} is taken", address.value);
            let fault = Fault::error(address.place, message);
            let fault = fault.label(workload, "workloads come to the internet under it");
            self.faults.push(fault.help(format!("choose another: {rule}")));
            return None;
        }
        self.claim(address, claims, rule)
    }

    /// The first workload, where `address` is that of workloads and somebody else is to have it: what the file says is at
    /// fault, not what nobody wrote.
    fn workload_at(&self, address: At<Ipv4Addr>) -> Option<Place> {
        let provider = self.model.nat_gateways.get(PROVIDER)?.place;
        (address.value == PUBLIC_ADDRESS && address.place != provider).then_some(provider)
    }

    /// A declared private address, claimed; it is one that AWS would give in its subnet.
    fn declared_private(
        &mut self,
        address: Option<At<Ipv4Addr>>,
        subnet: Option<SubnetIndex>,
        private: &mut [Private],
    ) -> Option<Ipv4Addr> {
        let address = address?;
        let (name, declared) = self.subnet_of(subnet)?;
        let At { place, value } = declared.cidr_block?;
        let block = At { place, value: value? };
        let VpcIndex(vpc) = self.homes.vpc(subnet)?;
        let rule = "private addresses are unique in a VPC";
        self.declared(address, (name, block), &mut private[vpc], rule)
    }

    fn free_private(
        &mut self,
        name: &str,
        place: Place,
        subnet: Option<SubnetIndex>,
        cursors: &mut [Option<Cursor<Ipv4Addr>>],
        private: &mut [Private],
    ) -> Option<Ipv4Addr> {
        let claims = &mut private[self.homes.vpc(subnet)?.0];
        let cursor = cursors[subnet?.0].as_mut()?;
        let (subnet, _) = self.subnet_of(subnet)?;
        self.lowest((name, place), subnet, cursor, claims)
    }

    fn free_public(
        &mut self,
        name: &str,
        place: Place,
        pool: &mut Cursor<Ipv4Addr>,
        claims: &mut Public,
    ) -> Option<Ipv4Addr> {
        let address = pool.free(claims, place);
        if address.is_none() {
            let message = format!("{PUBLIC_POOL} has no address left for `{name}`");
            let help = "give public addresses of other ranges by hand";
            self.faults.push(Fault::error(place, message).help(help));
        }
        address
    }

    /// In a subnet of IPv6 alone nothing has an address of IPv4.
    fn no_ipv4(&mut self, interface: &model::NetworkInterface, subnet: Option<SubnetIndex>) {
        let Some((name, declared)) = self.subnet_of(subnet).filter(|_| self.is_native(subnet))
        else {
            return;
        };
        let private = interface.private_ip.map(|it| it.place);
        let public = interface.public_ip.filter(|it| it.value != PublicIp::None);
        for place in private.into_iter().chain(public.map(|it| it.place)) {
            let message = format!("subnet `{name}` is of IPv6 alone");
            let fault = Fault::error(place, message).label(declared.place, "the subnet");
            self.faults.push(fault.help("leave it out, or use a subnet that has a `cidr_block`"));
        }
    }

    /// Whether a subnet is of IPv6 alone.
    pub(super) fn is_native(&self, subnet: Option<SubnetIndex>) -> bool {
        self.subnet_of(subnet).and_then(|(_, it)| it.ipv6_native).is_some_and(|it| it.value)
    }
}
