//! Do the address blocks of VPCs and subnets fit together?
//!
//! Rules: Amazon VPC User Guide, "VPC CIDR blocks", "IPv4 CIDR block association restrictions" and "Subnet CIDR blocks".

use ipnet::{IpNet, Ipv4Net};

use crate::check::ids::id;
use crate::check::ipv6_blocks::given;
use crate::check::{Check, InternetGateway, Subnet, Vpc, VpcIndex};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At};

/// The sizes that VPCs and subnets may have, as prefix lengths.
const SIZES: std::ops::RangeInclusive<u8> = 16..=28;

/// Blocks that a VPC cannot be in.
const FORBIDDEN: [Ipv4Net; 4] = [
    net([0, 0, 0, 0], 8),
    net([127, 0, 0, 0], 8),
    net([169, 254, 0, 0], 16),
    net([224, 0, 0, 0], 4),
];

/// Private ranges that cannot be mixed in one VPC.
const FAMILIES: [Ipv4Net; 4] = [
    net([10, 0, 0, 0], 8),
    net([172, 16, 0, 0], 12),
    net([192, 168, 0, 0], 16),
    net([198, 19, 0, 0], 16),
];

pub(super) const fn net(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, d), prefix)
}

/// A VPC's blocks of both families as written, the primary one first.
pub(super) fn locals(vpc: &model::Vpc) -> impl Iterator<Item = At<IpNet>> + '_ {
    let ipv4 = written(vpc).map(|it| At { place: it.place, value: IpNet::V4(it.value) });
    let ipv6 = given(vpc.ipv6_cidr_block);
    ipv4.chain(ipv6.map(|it| At { place: it.place, value: IpNet::V6(it.value) }))
}

/// A VPC's blocks of IPv4 as written, the primary one first.
pub(super) fn written(vpc: &model::Vpc) -> impl Iterator<Item = At<Ipv4Net>> + '_ {
    let secondary = vpc.secondary_cidr_blocks.iter().flat_map(|blocks| &blocks.value);
    vpc.cidr_block.iter().chain(secondary).copied()
}

impl Check<'_, '_> {
    pub(super) fn vpcs(&mut self) -> Vec<Vpc> {
        let mut vpcs = Vec::new();
        for (index, (name, vpc)) in self.model.vpcs.iter().enumerate() {
            let blocks: Vec<_> = written(vpc).collect();
            for block in &blocks {
                self.size(*block);
                if let Some(range) = FORBIDDEN.iter().find(|range| range.contains(&block.value)) {
                    let message = format!("a VPC cannot be in {range}");
                    let help = "use a private range: 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16";
                    self.faults.push(Fault::error(block.place, message).help(help));
                }
            }
            self.one_family(&blocks);
            self.apart(
                blocks.iter().map(|it| (IpNet::V4(it.value), it.place, name.as_str())).collect(),
            );
            let ipv6_cidr = self.ipv6_of_vpc(vpc);
            let internet_gateway = self.homes.gateways[index];
            let words =
                (self.words.groups[index], self.words.acls[index], self.words.tables[index]);
            let (Some(default_group), Some(default_acl), Some(main_table)) = words else {
                continue;
            };
            vpcs.push(Vpc {
                name: name.clone(),
                id: id("vpc", name, vpc.id.as_ref()),
                cidrs: blocks.iter().map(|block| block.value).collect(),
                ipv6_cidr,
                dns_support: vpc.enable_dns_support.is_none_or(|it| it.value),
                dns_hostnames: vpc.enable_dns_hostnames.is_some_and(|it| it.value),
                dhcp: self.dhcp(vpc.dhcp_options.as_ref()),
                default_group,
                default_acl,
                main_table,
                internet_gateway,
                egress_only: self.homes.egress_only[index],
            });
        }
        self.ipv6_vpcs_apart();
        vpcs
    }

    pub(super) fn internet_gateways(&mut self) -> Vec<InternetGateway> {
        let mut gateways = Vec::new();
        let mut attached = vec![None; self.model.vpcs.len()];
        for (index, (name, gateway)) in self.model.internet_gateways.iter().enumerate() {
            let Some(vpc) = self.homes.internet_gateways[index] else { continue };
            if let Some(first) = attached[vpc.0].replace(gateway.place) {
                let message = format!("VPC `{}` has a second internet gateway", self.vpc_name(vpc));
                let fault = Fault::error(gateway.place, message).label(first, "the first");
                self.faults.push(fault.help("a VPC has one at most: remove one of them"));
            }
            gateways.push(InternetGateway {
                name: name.clone(),
                id: id("igw", name, gateway.id.as_ref()),
                vpc,
            });
        }
        gateways
    }

    pub(super) fn subnets(&mut self) -> Vec<Subnet> {
        let mut subnets = Vec::new();
        let mut blocks = vec![Vec::new(); self.model.vpcs.len()];
        for (index, (name, subnet)) in self.model.subnets.iter().enumerate() {
            let home = self.homes.subnets[index];
            let route_table = self.table(subnet.route_table.as_ref(), home);
            let network_acl = self.acl(subnet.network_acl.as_ref(), home);
            let availability_zone = self.zone(subnet);
            let (cidr, ipv6_cidr) = self.blocks_of_subnet(name, subnet, home);
            let Some(vpc) = home else { continue };
            let place = |block: IpNet, place| (block, place, name.as_str());
            blocks[vpc.0].extend(cidr.map(|it| place(it.value.into(), it.place)));
            blocks[vpc.0].extend(ipv6_cidr.map(|it| place(it.value.into(), it.place)));
            let (Some(route_table), Some(network_acl)) = (route_table, network_acl) else {
                continue;
            };
            subnets.push(Subnet {
                name: name.clone(),
                id: id("subnet", name, subnet.id.as_ref()),
                vpc,
                availability_zone,
                cidr: cidr.map(|it| it.value),
                ipv6_cidr: ipv6_cidr.map(|it| it.value),
                route_table,
                network_acl,
                dns64: subnet.enable_dns64.is_some_and(|it| it.value),
            });
        }
        for blocks in blocks {
            self.apart(blocks);
        }
        subnets
    }

    /// As declared, else the region's first.
    fn zone(&mut self, subnet: &model::Subnet) -> String {
        let region = self.region().to_owned();
        let Some(zone) = &subnet.availability_zone else { return format!("{region}a") };
        if !zone.starts_with(&region) {
            let zone_name = model::shortened(zone);
            let message = format!("availability zone `{zone_name}` is not of region {region}");
            let help = format!("write {region}a, or set `region`");
            self.faults.push(Fault::warning(zone.place, message).help(help));
        }
        zone.value.clone()
    }

    pub(super) fn size(&mut self, block: At<Ipv4Net>) {
        if !SIZES.contains(&block.prefix_len()) {
            let message =
                format!("{} is not between /{} and /{}", block.value, SIZES.start(), SIZES.end());
            let help = "VPC blocks and subnets have 65,536 addresses at most and 16 at least";
            self.faults.push(Fault::error(block.place, message).help(help));
        }
    }

    /// A subnet's block is inside one of its VPC's.
    pub(super) fn inside(&mut self, block: At<IpNet>, home: Option<VpcIndex>) {
        let Some((name, declared)) = home.and_then(|vpc| self.model.vpcs.get_index(vpc.0)) else {
            return;
        };
        let is_ipv6 = matches!(block.value, IpNet::V6(_));
        let alike = |it: &At<IpNet>| matches!(it.value, IpNet::V6(_)) == is_ipv6;
        let blocks: Vec<_> = locals(declared).filter(alike).collect();
        if blocks.iter().any(|outer| outer.contains(&block.value)) {
            return;
        }
        let fault =
            Fault::error(block.place, format!("{} is not inside VPC `{name}`", block.value));
        let list: Vec<_> = blocks.iter().map(|block| block.to_string()).collect();
        let inside = format!("choose a block inside {}", list.join(", "));
        let (fault, help) = match blocks.first() {
            Some(first) => {
                let more = ", or add one to the VPC's `secondary_cidr_blocks`";
                let help = format!("{inside}{}", if is_ipv6 { "" } else { more });
                (fault.label(first.place, "the VPC's block"), help)
            }
            None if is_ipv6 && declared.ipv6_cidr_block.is_none() => {
                let help = "give the VPC an `ipv6_cidr_block`".to_owned();
                (fault.label(declared.place, "the VPC, which has no IPv6"), help)
            }
            // The VPC's own was told already.
            None => return,
        };
        self.faults.push(fault.help(help));
    }

    /// Secondary blocks are of the primary one's private range, of 100.64.0.0/10, or public.
    fn one_family(&mut self, blocks: &[At<Ipv4Net>]) {
        let family =
            |block: &At<Ipv4Net>| FAMILIES.iter().find(|family| family.contains(&block.value));
        let Some((primary, others)) = blocks.split_first() else { return };
        for other in others {
            if let Some(range) = family(other).filter(|range| family(primary) != Some(range)) {
                let message =
                    format!("{} cannot be added to a VPC of {}", other.value, primary.value);
                let help = format!(
                    "EC2 does not mix {range} with other ranges: use a block of the primary one's range \
                     or of 100.64.0.0/10"
                );
                let fault =
                    Fault::error(other.place, message).label(primary.place, "the primary block");
                self.faults.push(fault.help(help));
            }
        }
    }

    /// No two of `blocks` overlap. Blocks either nest or are apart, so neighbours in order tell.
    pub(super) fn apart(&mut self, mut blocks: Vec<(IpNet, Place, &str)>) {
        blocks.sort_by_key(|&(block, place, _)| (block.network(), block.prefix_len(), place));
        let mut widest: Option<(IpNet, Place, &str)> = None;
        for (block, place, name) in blocks {
            match widest {
                Some((outer, first, other)) if outer.contains(&block) => {
                    let (later, earlier) =
                        if place > first { (place, first) } else { (first, place) };
                    let message = if name == other {
                        format!("{block} overlaps {outer}")
                    } else {
                        format!("{block} of `{name}` overlaps {outer} of `{other}`")
                    };
                    let fault = Fault::error(later, message).label(earlier, "the other");
                    self.faults.push(fault.help("move one of them to addresses of its own"));
                }
                _ => widest = Some((block, place, name)),
            }
        }
    }
}
