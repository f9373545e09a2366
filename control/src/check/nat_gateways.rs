//! Is each NAT gateway one that AWS would make, and which addresses does it want?
//!
//! AWS "NAT gateway basics", "CreateNatGateway": a public one has an Elastic IP address for each of its private
//! ones, and needs an internet gateway; a private one has none.

use std::net::Ipv4Addr;

use crate::check::addresses::Addresses;
use crate::check::ids::id;
use crate::check::{Check, NatAddress, NatGateway, SubnetIndex, VpcIndex};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, Connectivity, NatGatewayState};

/// How long connections go on at an address that is taken away, in seconds, unless the file says otherwise (AWS
/// "DisassociateNatGatewayAddress").
const DRAIN: u32 = 350;

impl Check<'_, '_> {
    pub(super) fn nat_gateways(&mut self, addresses: &Addresses) -> Vec<NatGateway> {
        let mut gateways = Vec::new();
        for (index, (name, gateway)) in self.model.nat_gateways.iter().enumerate() {
            self.nat_shape(name, gateway);
            let Some(subnet) = self.homes.nat_gateways[index] else { continue };
            let is_public = NatPairs::of(gateway).is_public();
            self.nat_without_ipv4(name, gateway, subnet);
            if let Some(vpc) = self.homes.subnets[subnet.0]
                && is_public
                && self.homes.gateways[vpc.0].is_none()
            {
                self.nat_without_internet(name, gateway.place, vpc);
            }
            let pairs = addresses.nat_gateways[index].iter().map(|&(private_ip, public_ip)| {
                let is_complete = public_ip.is_some() == is_public;
                private_ip
                    .filter(|_| is_complete)
                    .map(|private_ip| NatAddress { private_ip, public_ip })
            });
            let Some(addresses) = pairs.collect::<Option<Vec<_>>>().filter(|it| !it.is_empty())
            else {
                continue;
            };
            let drain = gateway.max_drain_duration_seconds.map_or(DRAIN, |it| it.value);
            let deleted = gateway.state.is_some_and(|it| it.value == NatGatewayState::Deleted);
            let id = id("nat", name, gateway.id.as_ref());
            gateways.push(NatGateway { name: name.clone(), id, subnet, addresses, drain, deleted });
        }
        gateways
    }

    fn nat_without_internet(&mut self, name: &str, place: Place, vpc: VpcIndex) {
        let vpc_name = self.vpc_name(vpc);
        let message =
            format!("NAT gateway `{name}` is public, but VPC `{vpc_name}` has no internet gateway");
        let help = format!("declare one: internet_gateways: {{igw: {{vpc: {vpc_name}}}}}");
        self.faults.push(Fault::error(place, message).help(help));
    }

    /// It translates to an address of IPv4 of its own.
    fn nat_without_ipv4(&mut self, name: &str, gateway: &model::NatGateway, subnet: SubnetIndex) {
        if self.is_native(Some(subnet))
            && let Some(written) = &gateway.subnet
        {
            let message = format!("NAT gateway `{name}` in a subnet of IPv6 alone");
            let fault = Fault::error(written.place, message);
            self.faults.push(fault.help("it needs an address of IPv4: choose another subnet"));
        }
    }

    /// What its keys say of each other.
    fn nat_shape(&mut self, name: &str, gateway: &model::NatGateway) {
        let further = &gateway.secondary_private_ip_addresses;
        let count = &gateway.secondary_private_ip_address_count;
        if let (Some(list), Some(count)) = (further, count) {
            let message = "the further addresses are given, and how many there are to be";
            let fault = Fault::error(count.place, message).label(list.place, "given here");
            self.faults.push(fault.help("leave one of the two out"));
        }
        let is_public = NatPairs::of(gateway).is_public();
        match &gateway.public_ips {
            Some(public) if !is_public => {
                let message = format!("NAT gateway `{name}` is private and has public addresses");
                let help = "leave `public_ips` out, or `connectivity_type: private`";
                self.faults.push(Fault::error(public.place, message).help(help));
            }
            Some(public) if public.is_empty() => {
                let message = "a public NAT gateway without a public address";
                let help = "name one, or leave `public_ips` out for the next free one";
                self.faults.push(Fault::error(public.place, message).help(help));
            }
            Some(public) => {
                let private = 1 + further.as_ref().map_or(0, |it| it.len());
                if let Some(further) = further.as_ref().filter(|_| private > public.len()) {
                    let message =
                        format!("{private} private addresses for {} public ones", public.len());
                    let fault = Fault::error(further.place, message);
                    let fault = fault.label(public.place, "the public ones");
                    self.faults.push(
                        fault.help("each further private address is that of a further public one"),
                    );
                }
            }
            None => {}
        }
        if let Some(drain) = gateway.max_drain_duration_seconds
            && !(1..=4000).contains(&drain.value)
        {
            let message = "`max_drain_duration_seconds` is from 1 to 4000";
            self.faults.push(Fault::error(drain.place, message));
        }
    }
}

/// The addresses that a NAT gateway is to have, as far as the file says.
pub(super) struct NatPairs<'m> {
    gateway: &'m model::NatGateway,
    count: usize,
}

impl<'m> NatPairs<'m> {
    pub(super) fn of(gateway: &'m model::NatGateway) -> Self {
        let list = |it: &Option<At<Vec<_>>>| it.as_ref().map_or(0, |it| it.len());
        let further = list(&gateway.secondary_private_ip_addresses)
            .max(gateway.secondary_private_ip_address_count.map_or(0, |it| it.value.into()));
        let count = match &gateway.public_ips {
            Some(public) => public.len(),
            None => 1 + further,
        };
        Self { gateway, count }
    }

    pub(super) fn is_public(&self) -> bool {
        self.gateway.connectivity_type.is_none_or(|it| it.value == Connectivity::Public)
    }

    pub(super) fn pairs(
        &self,
    ) -> impl Iterator<Item = (Option<At<Ipv4Addr>>, Option<At<Ipv4Addr>>)> + use<'m> {
        let gateway = self.gateway;
        let further = gateway.secondary_private_ip_addresses.iter().flat_map(|it| &it.value);
        let private = std::iter::once(gateway.private_ip).chain(further.copied().map(Some));
        let private = private.chain(std::iter::repeat(None));
        let public = gateway.public_ips.iter().flat_map(|it| &it.value).copied().map(Some);
        private.zip(public.chain(std::iter::repeat(None))).take(self.count)
    }
}
