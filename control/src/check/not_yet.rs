//! What is right, and checked, and has no packets yet?

use ipnet::IpNet;

use crate::check::Check;
use crate::check::routes::NAT64;
use crate::diagnostic::Fault;

impl Check<'_, '_> {
    /// Refuses it: a line each, to be removed with what it waits for.
    pub(super) fn not_yet(&mut self) {
        self.no_nat64();
        self.no_translator();
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
