//! What the data plane calls things, and what users call them.
//!
//! A name keeps its index for the instance's life, whatever `apply` does in between, and no other
//! name ever gets it: what is remembered of a flow stays true.

use dataplane::packet::{
    AclId, Component, EgressOnlyInternetGatewayId, EniId, GroupId, HostId, HyperplaneId,
    InternetGatewayId, LinkId, LinkService, NatGatewayId, RouteTableId, SubnetId, VpcId,
};
use indexmap::IndexMap;

use super::{ComponentKind, services};
use crate::check::{EndpointKind, InternetHost, Role, Topology, VpcEndpoint, VpcIndex};

/// What the keys of Hyperplane ENIs begin with among those of interfaces.
const SHARED: &str = "hyperplane\n";

/// More things of one kind than the data plane can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than 65,535 {0} have been named since the instance began; start it anew")]
pub struct TooMany(&'static str);

/// Every name that was ever given an index, and its index.
#[derive(Clone, Debug, Default)]
pub struct Names {
    links: Kind,
    enis: Kind,
    subnets: Kind,
    route_tables: Kind,
    security_groups: Kind,
    network_acls: Kind,
    vpcs: Kind,
    nat_gateways: Kind,
    /// As AWS would call them, by index; empty where the index is a VPC endpoint's.
    nat_gateway_ids: Vec<String>,
    internet_gateways: Kind,
    egress_only_internet_gateways: Kind,
    internet_hosts: Kind,
    hyperplanes: Kind,
}

/// The ids of one topology's things, by their places in it.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    /// Of network interfaces.
    pub eni_links: Vec<LinkId>,
    /// Of internet hosts.
    pub host_links: Vec<LinkId>,
    /// Of the services of each VPC, by [`LinkService`]; none where the VPC is without it.
    pub service_links: Vec<[Option<LinkId>; LinkService::ALL.len()]>,
    pub(super) enis: Vec<EniId>,
    pub(super) subnets: Vec<SubnetId>,
    pub(super) route_tables: Vec<RouteTableId>,
    pub(super) security_groups: Vec<GroupId>,
    pub(super) network_acls: Vec<AclId>,
    pub(super) vpcs: Vec<VpcId>,
    pub(super) nat_gateways: Vec<NatGatewayId>,
    pub(super) internet_gateways: Vec<InternetGatewayId>,
    pub(super) egress_only_internet_gateways: Vec<EgressOnlyInternetGatewayId>,
    pub(super) internet_hosts: Vec<HostId>,
    pub(super) vpc_endpoints: Vec<NatGatewayId>,
    pub(super) hyperplanes: Vec<HyperplaneId>,
}

impl Names {
    /// Gives everything in `topology` its id: the one that its name has, or a new one.
    ///
    /// # Errors
    ///
    /// When ids have run out.
    pub fn assign(&mut self, topology: &Topology) -> Result<Ids, TooMany> {
        // Each VPC has its own undeclared `default` and `main`.
        let within = |name: &str, vpc: VpcIndex, implicit: bool| {
            if implicit { format!("{name}\n{}", topology[vpc].name) } else { name.to_owned() }
        };
        macro_rules! assign {
            ($field:ident, $id:path) => {
                topology
                    .$field
                    .iter()
                    .map(|thing| self.$field.index(&thing.name, thing.name.clone()).map($id))
                    .collect::<Option<Vec<_>>>()
                    .ok_or(TooMany(stringify!($field)))?
            };
            ($field:ident, $id:path, implicit) => {
                topology
                    .$field
                    .iter()
                    .map(|thing| {
                        let key = within(&thing.name, thing.vpc, thing.implicit);
                        self.$field.index(&thing.name, key).map($id)
                    })
                    .collect::<Option<Vec<_>>>()
                    .ok_or(TooMany(stringify!($field)))?
            };
        }
        let mut link = |name: &String| {
            let link = self.links.index(name, name.clone()).map(LinkId);
            link.ok_or(TooMany("links"))
        };
        let interfaces = topology.network_interfaces.iter();
        let eni_links = interfaces.map(|it| link(&it.name)).collect::<Result<_, _>>()?;
        let hosts = topology.internet_hosts.iter();
        let host_link = |host: &InternetHost| match host.implicit {
            true => link(&services::AWS.to_owned()),
            false => link(&host.name),
        };
        let host_links = hosts.map(host_link).collect::<Result<_, _>>()?;
        let mut service_links = Vec::new();
        for vpc in &topology.vpcs {
            let offered = LinkService::ALL.map(|service| {
                let is_offered = !services::addresses(vpc, service).is_empty();
                is_offered.then(|| link(&services::member(vpc, service))).transpose()
            });
            let [resolver, metadata, time_sync] = offered;
            service_links.push([resolver?, metadata?, time_sync?]);
        }
        let interfaces = topology.network_interfaces.iter();
        let enis = interfaces.map(|it| {
            let key = match it.role {
                Role::Hyperplane(_) => format!("{SHARED}{}", it.name),
                _ => it.name.clone(),
            };
            self.enis.index(&it.name, key).map(EniId)
        });
        let enis = enis.collect::<Option<_>>().ok_or(TooMany("network_interfaces"))?;
        let nat_gateways: Vec<NatGatewayId> = assign!(nat_gateways, NatGatewayId);
        for (gateway, id) in topology.nat_gateways.iter().zip(&nat_gateways) {
            self.nat_gateway_ids.resize(self.nat_gateways.0.len(), String::new());
            self.nat_gateway_ids[id.index()].clone_from(&gateway.id);
        }
        // Numbered among NAT gateways, and no name has a colon.
        let vpc_endpoints = topology.vpc_endpoints.iter().map(|endpoint| {
            self.nat_gateways
                .index(&endpoint.name, endpoint_key(endpoint, topology))
                .map(NatGatewayId)
        });
        let vpc_endpoints = vpc_endpoints.collect::<Option<_>>().ok_or(TooMany("vpc_endpoints"))?;
        Ok(Ids {
            vpc_endpoints,
            eni_links,
            host_links,
            service_links,
            enis,
            subnets: assign!(subnets, SubnetId),
            route_tables: assign!(route_tables, RouteTableId, implicit),
            security_groups: assign!(security_groups, GroupId, implicit),
            network_acls: assign!(network_acls, AclId, implicit),
            vpcs: assign!(vpcs, VpcId),
            nat_gateways,
            internet_gateways: assign!(internet_gateways, InternetGatewayId),
            egress_only_internet_gateways: assign!(
                egress_only_internet_gateways,
                EgressOnlyInternetGatewayId
            ),
            internet_hosts: assign!(internet_hosts, HostId),
            hyperplanes: assign!(hyperplanes, HyperplaneId),
        })
    }

    /// A component as `kind:name`.
    #[must_use]
    pub fn component(&self, component: Component) -> String {
        let (kind, name) = self.kind_and_name(component);
        format!("{}:{name}", kind.label())
    }

    /// A component's kind and its name.
    #[must_use]
    pub fn kind_and_name(&self, component: Component) -> (ComponentKind, &str) {
        use ComponentKind as Is;
        let (kind, names, at) = match component {
            Component::Eni(id) if self.enis.key(id.index()).starts_with(SHARED) => {
                (Is::HyperplaneEni, &self.enis, id.index())
            }
            Component::Eni(id) => (Is::Eni, &self.enis, id.index()),
            Component::Subnet(id) => (Is::Subnet, &self.subnets, id.index()),
            Component::RouteTable(id) => (Is::RouteTable, &self.route_tables, id.index()),
            Component::SecurityGroup(id) => (Is::SecurityGroup, &self.security_groups, id.index()),
            Component::NetworkAcl(id) => (Is::NetworkAcl, &self.network_acls, id.index()),
            Component::NatGateway(id) => (Is::NatGateway, &self.nat_gateways, id.index()),
            Component::InternetGateway(id) => {
                (Is::InternetGateway, &self.internet_gateways, id.index())
            }
            Component::EgressOnlyInternetGateway(id) => {
                let names = &self.egress_only_internet_gateways;
                (Is::EgressOnlyInternetGateway, names, id.index())
            }
            Component::InternetHost(id) => (Is::InternetHost, &self.internet_hosts, id.index()),
            Component::VpcEndpoint(id) => (Is::VpcEndpoint, &self.nat_gateways, id.index()),
            Component::Service(service, vpc) => (services::kind(service), &self.vpcs, vpc.index()),
        };
        (kind, names.name(at))
    }

    /// What a NAT gateway or a VPC endpoint is known by: the former by its name.
    #[must_use]
    pub fn meter_key(&self, id: NatGatewayId) -> &str {
        self.nat_gateways.key(id.index())
    }

    /// Every NAT gateway that there is or was: its name, and its id on AWS.
    pub fn nat_gateways(&self) -> impl Iterator<Item = (NatGatewayId, &str, &str)> {
        let gateways = self.nat_gateway_ids.iter().zip(0..).filter(|(id, _)| !id.is_empty());
        gateways.map(|(id, index)| {
            (NatGatewayId(index), self.nat_gateways.name(index.into()), id.as_str())
        })
    }

    /// What the data plane calls a Hyperplane ENI.
    #[must_use]
    pub fn hyperplane_eni(&self, name: &str) -> Option<EniId> {
        self.enis
            .0
            .get_index_of(&format!("{SHARED}{name}"))
            .and_then(|at| u16::try_from(at).ok())
            .map(EniId)
    }

    /// Who sits at a link.
    #[must_use]
    pub fn link(&self, link: LinkId) -> &str {
        self.links.name(link.index())
    }
}

/// What an endpoint is known by: in another VPC, or of another type, it is another one, whatever its name.
pub(crate) fn endpoint_key(endpoint: &VpcEndpoint, topology: &Topology) -> String {
    let kind = match endpoint.kind {
        EndpointKind::Gateway { .. } => "gateway",
        EndpointKind::Interface { .. } => "interface",
    };
    format!("vpc-endpoint:{kind}:{}:{}", topology[endpoint.vpc].name, endpoint.name)
}

/// The names of one kind, by index: what users say, under a key that is unique.
#[derive(Clone, Debug, Default)]
struct Kind(IndexMap<String, String>);

impl Kind {
    fn index(&mut self, name: &str, key: String) -> Option<u16> {
        let entry = self.0.entry(key);
        let index = entry.index();
        entry.or_insert_with(|| name.to_owned());
        // The last one stands for what has no name any more.
        u16::try_from(index).ok().filter(|&index| index < u16::MAX)
    }

    fn key(&self, index: usize) -> &str {
        self.0.get_index(index).map_or("", |(key, _)| key)
    }

    fn name(&self, index: usize) -> &str {
        // A packet of an interface that is gone may still be on its way.
        self.0.get_index(index).map_or("?", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn a_name_keeps_its_index_and_no_other_gets_it() {
        let read = |text: &str| check::read(text, "test").unwrap().topology;
        let first = read("vpcs: {a: {cidr_block: 10.0.0.0/16}, b: {cidr_block: 10.1.0.0/16}}");
        let second = read("vpcs: {c: {cidr_block: 10.2.0.0/16}, b: {cidr_block: 10.1.0.0/16}}");
        let mut names = Names::default();
        assert_eq!(names.assign(&first).unwrap().vpcs, [VpcId(0), VpcId(1)]);
        let ids = names.assign(&second).unwrap();
        assert_eq!(ids.vpcs, [VpcId(2), VpcId(1)]);
        // Each VPC's undeclared group is its own, under one name.
        assert_eq!(ids.security_groups, [GroupId(2), GroupId(1)]);
        let group = Component::SecurityGroup(GroupId(0));
        assert_eq!(names.component(group), "security-group:default");
        assert_eq!(names.assign(&first).unwrap().vpcs, [VpcId(0), VpcId(1)]);
    }

    #[test]
    fn every_kind_is_that_of_a_component_and_no_other_is_named() {
        let text = "vpcs: {main: {cidr_block: 10.0.0.0/16}}\n\
            subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24}}\n\
            security_groups: {g: {vpc: main}}\n\
            network_interfaces: {app: {subnet: a}}\n\
            lambda_functions: {f: {vpc_config: {subnets: [a], security_groups: [g]}}}";
        let topology = check::read(text, "test").unwrap_or_else(|it| panic!("{it}")).topology;
        let mut names = Names::default();
        names.assign(&topology).unwrap();
        let enis = (0..topology.network_interfaces.len()).filter_map(|at| u16::try_from(at).ok());
        let mut components: Vec<_> = enis.map(|at| Component::Eni(EniId(at))).collect();
        components.extend([
            Component::Subnet(SubnetId(0)),
            Component::RouteTable(RouteTableId(0)),
            Component::SecurityGroup(GroupId(0)),
            Component::NetworkAcl(AclId(0)),
            Component::NatGateway(NatGatewayId(0)),
            Component::VpcEndpoint(NatGatewayId(0)),
            Component::InternetGateway(InternetGatewayId(0)),
            Component::EgressOnlyInternetGateway(EgressOnlyInternetGatewayId(0)),
            Component::InternetHost(HostId(0)),
        ]);
        components.extend(LinkService::ALL.map(|it| Component::Service(it, VpcId(0))));
        let kinds = |component: &Component| names.kind_and_name(*component).0;
        let said: Vec<_> = components.iter().map(kinds).collect();
        for kind in ComponentKind::ALL {
            assert!(said.contains(kind), "{kind:?}");
            let services = LinkService::ALL.map(services::kind);
            assert_eq!(services.contains(kind), kind.is_link_service(), "{kind:?}");
        }
        let labels: std::collections::HashSet<_> =
            ComponentKind::ALL.iter().map(|it| it.label()).collect();
        assert_eq!(labels.len(), ComponentKind::ALL.len(), "a word is of one kind");
    }

    #[test]
    fn an_endpoint_of_another_vpc_or_type_is_another_one() {
        let read = |vpc: &str, rest: &str| {
            let text = format!(
                "vpcs: {{a: {{cidr_block: 10.0.0.0/16}}, b: {{cidr_block: 10.0.0.0/16}}}}\n\
                 subnets: {{a: {{vpc: a, cidr_block: 10.0.0.0/24}}, b: {{vpc: b, cidr_block: 10.0.0.0/24}}}}\n\
                 vpc_endpoints: {{e: {{vpc: {vpc}, service: s3, {rest}}}}}"
            );
            check::read(&text, "test").unwrap_or_else(|report| panic!("{report}")).topology
        };
        let mut names = Names::default();
        let mut id = |vpc: &str, rest: &str| names.assign(&read(vpc, rest)).unwrap().vpc_endpoints;
        let by_interface = |vpc: &str| format!("vpc_endpoint_type: Interface, subnets: [{vpc}]");
        let ids = [
            id("a", &by_interface("a")),
            id("b", &by_interface("b")),
            id("a", "route_tables: [main]"),
            id("a", &by_interface("a")),
        ];
        let [a, b, gateway, again] = &ids;
        assert_eq!(a, again);
        assert!(a != b && a != gateway && b != gateway, "{ids:?}");
    }
}
