//! What is the VPC like that workloads run in, outside those of the file? One of Amazon's, with a NAT gateway to the
//! internet.

use std::net::Ipv4Addr;

use crate::check::workloads::interface;
use crate::diagnostic::Place;
use crate::model::{self, At};

/// The VPC of workloads: no name of the file has a colon.
pub const PROVIDER: &str = "aws:provider";

/// Its blocks; interfaces of workloads have addresses of the second.
const PROVIDER_BLOCK: &str = "100.64.0.0/16";
const INSTANCES_BLOCK: &str = "100.64.0.0/17";
/// The same in IPv6 (RFC 4193), of which nothing leaves but by Hyperplane ENIs.
const PROVIDER_IPV6_BLOCK: &str = "fd64::/56";
const INSTANCES_IPV6_BLOCK: &str = "fd64::/64";
const PUBLIC_BLOCK: &str = "100.64.128.0/24";
/// The subnet, the route table and the group of workloads' instances.
pub const INSTANCES: &str = "aws:instances";
const PUBLIC: &str = "aws:public";

/// Under which address workloads come to the internet by themselves; no file gives it to anything else beside them.
pub(super) const PUBLIC_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

/// Adds the VPC of workloads: their interfaces reach the internet by a NAT gateway, and have IPv6 where some send that into
/// VPCs.
pub(super) fn provider(model: &mut model::Topology, place: Place, has_ipv6: bool) {
    fn at<T>(place: Place, value: T) -> Option<At<T>> {
        Some(At { place, value })
    }
    let name = |name: &str| at(place, name.to_owned());
    let block = |block: &str| block.parse().expect("a block of ours");
    let route = |target: &str| model::RouteTable {
        place,
        vpc: name(PROVIDER),
        routes: at(
            place,
            vec![model::Route {
                place,
                destination: at(place, crate::check::EVERYWHERE),
                target: name(target),
            }],
        ),
        ..Default::default()
    };
    let subnet = |cidr: &str, table: &str| model::Subnet {
        place,
        vpc: name(PROVIDER),
        cidr_block: at(place, Some(block(cidr))),
        route_table: name(table),
        ..Default::default()
    };
    let ipv6 = |block: &str| at(place, block.parse().ok()).filter(|_| has_ipv6);
    let vpc = model::Vpc {
        place,
        cidr_block: at(place, block(PROVIDER_BLOCK)),
        ipv6_cidr_block: ipv6(PROVIDER_IPV6_BLOCK),
        ..Default::default()
    };
    model.vpcs.add(PROVIDER.to_owned(), place, vpc);
    let gateway = model::InternetGateway { place, vpc: name(PROVIDER), ..Default::default() };
    model.internet_gateways.add(PROVIDER.to_owned(), place, gateway);
    let nat = format!("nat_gateway/{PROVIDER}");
    model.route_tables.add(INSTANCES.to_owned(), place, route(&nat));
    let internet = format!("internet_gateway/{PROVIDER}");
    model.route_tables.add(PUBLIC.to_owned(), place, route(&internet));
    let instances = model::Subnet {
        ipv6_cidr_block: ipv6(INSTANCES_IPV6_BLOCK),
        ..subnet(INSTANCES_BLOCK, INSTANCES)
    };
    model.subnets.add(INSTANCES.to_owned(), place, instances);
    model.subnets.add(PUBLIC.to_owned(), place, subnet(PUBLIC_BLOCK, PUBLIC));
    // Nobody gets in to an instance, from another one either: `default` would let its members.
    let group = model::SecurityGroup { place, vpc: name(PROVIDER), ..Default::default() };
    model.security_groups.add(INSTANCES.to_owned(), place, group);
    let gateway = model::NatGateway {
        place,
        subnet: name(PUBLIC),
        public_ips: at(place, vec![At { place, value: PUBLIC_ADDRESS }]),
        ..Default::default()
    };
    model.nat_gateways.add(PROVIDER.to_owned(), place, gateway);
}

/// That of an instance.
pub(super) fn instance_interface(place: Place) -> model::NetworkInterface {
    let groups = vec![At { place, value: INSTANCES.to_owned() }];
    let security_groups = Some(At { place, value: groups });
    model::NetworkInterface { security_groups, ..interface(INSTANCES, place) }
}
