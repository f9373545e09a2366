//! VPC endpoints: what leads to them, and by what they are reached.

use std::sync::Arc;

use dataplane::packet::{EniId, LinkId};
use dataplane::tables::{AddrMap, Column, Eni, Target, VpcEndpoint};
use ipnet::IpNet;

use crate::check::{self, EndpointKind, RouteTableIndex};
use crate::compile::Compiler;
use crate::compile::rules::GroupCompiler;

/// The link of what has none; no such id is given out.
const NO_LINK: LinkId = LinkId(u16::MAX);

impl Compiler<'_> {
    pub(super) fn vpc_endpoints(&self) -> Column<VpcEndpoint> {
        let ids = self.ids;
        let endpoints = self.topology.vpc_endpoints.iter().zip(&ids.endpoint_enis);
        let endpoints = endpoints.map(|(endpoint, enis)| VpcEndpoint {
            vpc: ids.vpcs[endpoint.vpc.0],
            host: ids.internet_hosts[endpoint.host.0],
            enis: enis.clone(),
        });
        super::column(&ids.vpc_endpoints, endpoints)
    }

    /// The routes that gateway endpoints put into a table.
    pub(super) fn endpoint_routes(
        &self,
        table: &check::RouteTable,
    ) -> impl Iterator<Item = (IpNet, Target)> {
        let topology = self.topology;
        let own = topology.route_tables.iter().position(|it| it.id == table.id);
        let endpoints = topology.vpc_endpoints.iter().zip(&self.ids.vpc_endpoints);
        endpoints.flat_map(move |(endpoint, &id)| {
            let blocks = match &endpoint.kind {
                EndpointKind::Gateway { prefix_list, route_tables }
                    if own.is_some_and(|own| route_tables.contains(&RouteTableIndex(own))) =>
                {
                    topology[*prefix_list].entries.as_slice()
                }
                _ => &[],
            };
            blocks.iter().map(move |&block| (block, Target::VpcEndpoint(id)))
        })
    }

    /// The network interfaces of interface endpoints.
    pub(super) fn endpoint_enis(&self, rules: &mut GroupCompiler<'_>) -> Vec<(EniId, Eni)> {
        let ids = self.ids;
        let mut all = Vec::new();
        for (index, endpoint) in self.topology.vpc_endpoints.iter().enumerate() {
            let EndpointKind::Interface { interfaces, security_groups, .. } = &endpoint.kind else {
                continue;
            };
            let mut groups: Vec<_> =
                security_groups.iter().map(|it| ids.security_groups[it.0]).collect();
            groups.sort_unstable();
            let (ingress, egress) = rules.of(security_groups);
            for (interface, &id) in interfaces.iter().zip(&ids.endpoint_enis[index]) {
                let eni = Eni {
                    link: NO_LINK,
                    subnet: ids.subnets[interface.subnet.0],
                    addresses: vec![interface.private_ip.into()],
                    source_dest_check: false,
                    groups: groups.clone(),
                    egress: egress.clone(),
                    ingress: ingress.clone(),
                    services: Arc::new(AddrMap::default()),
                    endpoint: Some(ids.vpc_endpoints[index]),
                };
                all.push((id, eni));
            }
        }
        all
    }
}
