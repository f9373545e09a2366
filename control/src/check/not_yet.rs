//! What is right, and checked, and has no packets yet?

use std::net::IpAddr;

use ipnet::IpNet;

use crate::check::Check;
use crate::check::routes::NAT64;
use crate::diagnostic::Fault;

impl Check<'_, '_> {
    /// Refuses it: a line each, to be removed with what it waits for.
    pub(super) fn not_yet(&mut self) {
        self.no_ipv6();
        self.no_nat64();
        self.no_translator();
    }

    /// Packets of IPv6 come from where there are addresses of it: from VPCs, and from internet hosts.
    fn no_ipv6(&mut self) {
        let vpcs = self.model.vpcs.values().filter_map(|vpc| vpc.ipv6_cidr_block);
        for block in vpcs {
            let fault = Fault::unsupported(block.place, "IPv6 in a VPC");
            self.faults.push(fault.help("leave `ipv6_cidr_block` out for now"));
        }
        let hosts = self.model.internet.iter().flat_map(|internet| internet.hosts.values());
        for address in hosts.flat_map(|host| host.addresses.iter().flat_map(|it| &it.value)) {
            if let IpAddr::V6(v6) = address.value {
                let what = format!("the IPv6 address {v6}");
                let fault = Fault::unsupported(address.place, what);
                self.faults.push(fault.help("leave IPv6 out for now"));
            }
        }
    }

    /// NAT gateways translate between addresses of one family.
    fn no_nat64(&mut self) {
        let is_nat = |target: &str| {
            let name = target.trim_start_matches("nat_gateway/");
            self.model.nat_gateways.contains_key(name)
        };
        let tables = self.model.route_tables.values();
        for route in tables.flat_map(|it| it.routes.iter().flat_map(|it| &it.value)) {
            let (Some(destination), Some(target)) = (route.destination, &route.target) else {
                continue;
            };
            if destination.value == IpNet::V6(NAT64) && is_nat(target) {
                let fault = Fault::unsupported(destination.place, "NAT64");
                self.faults.push(fault.help("leave the route out for now"));
            }
        }
    }

    /// NAT gateways do as AWS's.
    fn no_translator(&mut self) {
        if let Some(nat64) = self.model.profile.as_ref().and_then(|it| it.nat64.as_ref()) {
            let fault = Fault::unsupported(nat64.place, "`nat64`");
            self.faults.push(fault.help("leave it out for now"));
        }
    }
}
