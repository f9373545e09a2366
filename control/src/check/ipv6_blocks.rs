//! Do the IPv6 blocks of VPCs and subnets fit, and is what a subnet of IPv6 alone says possible?
//!
//! Rules: Amazon VPC User Guide, "VPC CIDR blocks", "Subnet CIDR blocks" and "IPv6-only subnets".

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use dataplane::tables::LINK_SERVICES;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::check::ids::id;
use crate::check::{Check, EgressOnlyInternetGateway, VpcIndex};
use crate::diagnostic::Fault;
use crate::model::{self, At};

/// The sizes that VPCs and subnets may have, as prefix lengths.
const VPC_SIZES: RangeInclusive<u8> = 44..=60;
const SUBNET_SIZES: RangeInclusive<u8> = 44..=64;

/// Prefix lengths come in steps of so many bits.
const STEP: u8 = 4;

/// Global unicast addresses, those of the internet (IANA "IPv6 Address Space").
pub(super) const GLOBAL: Ipv6Net = net([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Unique local addresses (RFC 4193), which the internet does not know.
const UNIQUE_LOCAL: Ipv6Net = net([0xfd00, 0, 0, 0, 0, 0, 0, 0], 8);

pub(super) const fn net(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

impl Check<'_, '_> {
    /// A VPC's block of IPv6, as far as it can be told without those of others.
    pub(super) fn ipv6_of_vpc(&mut self, vpc: &model::Vpc) -> Option<Ipv6Net> {
        let block = given(vpc.ipv6_cidr_block)?;
        let range = [GLOBAL, UNIQUE_LOCAL].into_iter().find(|range| range.contains(&block.value));
        let [_, services] = LINK_SERVICES;
        if range.is_none() || services.contains(&IpNet::V6(block.value)) {
            let message = format!("a VPC cannot be in {}", block.value);
            let help = format!("use a block of {GLOBAL}, or of {UNIQUE_LOCAL} without {services}");
            self.faults.push(Fault::error(block.place, message).help(help));
        }
        let help = "a VPC is a /44, /48, /52, /56 or /60; what Amazon gives is a /56";
        self.steps(block, VPC_SIZES, help);
        Some(block.value)
    }

    /// IPv6 addresses are unique in the whole file, so no two VPCs overlap.
    pub(super) fn ipv6_vpcs_apart(&mut self) {
        let vpcs = self.model.vpcs.iter();
        let blocks = vpcs.filter_map(|(name, vpc)| {
            let block = given(vpc.ipv6_cidr_block)?;
            Some((IpNet::V6(block.value), block.place, name.as_str()))
        });
        self.apart(blocks.collect());
    }

    /// The blocks of a subnet of both families, after what it says of IPv6 was looked at.
    pub(super) fn blocks_of_subnet(
        &mut self,
        name: &str,
        subnet: &At<model::Subnet>,
        home: Option<VpcIndex>,
    ) -> (Option<At<Ipv4Net>>, Option<At<Ipv6Net>>) {
        let is_native = subnet.ipv6_native.is_some_and(|it| it.value);
        match &subnet.cidr_block {
            None if !is_native => {
                let fault = Fault::error(subnet.place, "a subnet lacks `cidr_block`");
                self.faults.push(fault.help("add it: only with `ipv6_native: true` is there none"));
            }
            Some(block) if is_native => {
                let message = format!("subnet `{name}` is of IPv6 alone and has a block of IPv4");
                let fault = Fault::error(block.place, message);
                self.faults.push(fault.help("leave out `cidr_block` or `ipv6_native`"));
            }
            _ => {}
        }
        let without =
            |key: &str| Fault::error(subnet.place, format!("subnet `{name}` lacks {key}"));
        if is_native && subnet.ipv6_cidr_block.is_none() {
            let fault = without("`ipv6_cidr_block`");
            self.faults.push(fault.help("add it: a subnet of IPv6 alone is nothing without"));
        } else if let Some(assigns) = subnet.assign_ipv6_address_on_creation
            && assigns.value
            && subnet.ipv6_cidr_block.is_none()
        {
            let message = format!("subnet `{name}` has no IPv6 addresses to assign");
            self.faults.push(Fault::error(assigns.place, message).help("add `ipv6_cidr_block`"));
        }
        if let Some(maps) = subnet.map_public_ip_on_launch
            && maps.value
            && is_native
        {
            let message =
                format!("subnet `{name}` is of IPv6 alone and gives public IPv4 addresses");
            let help = "leave it out: an address of IPv6 is its own on the internet";
            self.faults.push(Fault::error(maps.place, message).help(help));
        }
        let (ipv4, ipv6) = (given(subnet.cidr_block), given(subnet.ipv6_cidr_block));
        if let Some(block) = ipv4 {
            self.size(block);
        }
        if let Some(block) = ipv6 {
            self.steps(block, SUBNET_SIZES, "a subnet is a /44, /48, /52, /56, /60 or /64");
        }
        let both = [ipv4.map(wide), ipv6.map(wide)].into_iter().flatten();
        both.for_each(|block| self.inside(block, home));
        (ipv4, ipv6)
    }

    fn steps(&mut self, block: At<Ipv6Net>, sizes: RangeInclusive<u8>, help: &str) {
        let length = block.prefix_len();
        if !sizes.contains(&length) || !(length - sizes.start()).is_multiple_of(STEP) {
            let (first, last) = sizes.into_inner();
            let message =
                format!("{} is not between /{first} and /{last} in steps of {STEP}", block.value);
            self.faults.push(Fault::error(block.place, message).help(help));
        }
    }

    pub(super) fn egress_only_internet_gateways(&mut self) -> Vec<EgressOnlyInternetGateway> {
        let mut gateways = Vec::new();
        let mut attached = vec![None; self.model.vpcs.len()];
        for (index, (name, gateway)) in self.model.egress_only_internet_gateways.iter().enumerate()
        {
            let Some(vpc) = self.homes.egress_only_internet_gateways[index] else { continue };
            if let Some(first) = attached[vpc.0].replace(gateway.place) {
                let vpc = self.vpc_name(vpc);
                let message = format!("VPC `{vpc}` has a second egress-only internet gateway");
                let fault = Fault::error(gateway.place, message).label(first, "the first");
                self.faults.push(fault.help("a VPC has one at most: remove one of them"));
            }
            let id = id("eigw", name, gateway.id.as_ref());
            gateways.push(EgressOnlyInternetGateway { name: name.clone(), id, vpc });
        }
        gateways
    }
}

/// Whether the internet knows an address.
#[must_use]
pub fn is_global(address: Ipv6Addr) -> bool {
    GLOBAL.contains(&address)
}

/// A value that is given and can be read.
pub(super) fn given<T: Copy>(written: Option<At<Option<T>>>) -> Option<At<T>> {
    let At { place, value } = written?;
    Some(At { place, value: value? })
}

fn wide<N: Into<IpNet>>(block: At<N>) -> At<IpNet> {
    At { place: block.place, value: block.value.into() }
}
