//! From what the data plane calls things back to what users call them.

use dataplane::packet::{Component, LinkId};

use crate::check::Topology;

/// The names of a topology's things, by their indices in the tables.
#[derive(Clone, Debug)]
pub struct Names {
    enis: Vec<String>,
    subnets: Vec<String>,
    route_tables: Vec<String>,
    security_groups: Vec<String>,
    network_acls: Vec<String>,
    nat_gateways: Vec<String>,
    internet_gateways: Vec<String>,
    internet_hosts: Vec<String>,
}

impl Names {
    pub(super) fn of(topology: &Topology) -> Self {
        macro_rules! names {
            ($field:ident) => {
                topology.$field.iter().map(|thing| thing.name.clone()).collect()
            };
        }
        Self {
            enis: names!(network_interfaces),
            subnets: names!(subnets),
            route_tables: names!(route_tables),
            security_groups: names!(security_groups),
            network_acls: names!(network_acls),
            nat_gateways: names!(nat_gateways),
            internet_gateways: names!(internet_gateways),
            internet_hosts: names!(internet_hosts),
        }
    }

    /// A component as `kind:name`.
    #[must_use]
    pub fn component(&self, component: Component) -> String {
        let (kind, name) = self.kind_and_name(component);
        format!("{kind}:{name}")
    }

    /// A component's kind and its name.
    #[must_use]
    pub fn kind_and_name(&self, component: Component) -> (&'static str, &str) {
        let (kind, names, at) = match component {
            Component::Eni(id) => ("eni", &self.enis, id.index()),
            Component::Subnet(id) => ("subnet", &self.subnets, id.index()),
            Component::RouteTable(id) => ("route-table", &self.route_tables, id.index()),
            Component::SecurityGroup(id) => ("security-group", &self.security_groups, id.index()),
            Component::NetworkAcl(id) => ("network-acl", &self.network_acls, id.index()),
            Component::NatGateway(id) => ("nat-gateway", &self.nat_gateways, id.index()),
            Component::InternetGateway(id) => {
                ("internet-gateway", &self.internet_gateways, id.index())
            }
            Component::InternetHost(id) => ("internet-host", &self.internet_hosts, id.index()),
        };
        // A packet of an interface that is gone may still be on its way.
        (kind, names.get(at).map_or("?", String::as_str))
    }

    /// Who sits at a link: interfaces first, then internet hosts.
    #[must_use]
    pub fn link(&self, link: LinkId) -> &str {
        let mut at_links = self.enis.iter().chain(&self.internet_hosts);
        at_links.nth(link.index()).map_or("?", String::as_str)
    }
}
