//! VPC endpoints: what leads to them, and by what they are reached.

use dataplane::tables::{Column, Target, VpcEndpoint};
use ipnet::IpNet;

use crate::check::{self, EndpointKind, RouteTableIndex};
use crate::compile::Compiler;

impl Compiler<'_> {
    pub(super) fn vpc_endpoints(&self) -> Column<VpcEndpoint> {
        let ids = self.ids;
        let endpoints = self.topology.vpc_endpoints.iter().map(|endpoint| VpcEndpoint {
            vpc: ids.vpcs[endpoint.vpc.0],
            host: ids.internet_hosts[endpoint.host.0],
            enis: endpoint.interfaces.iter().map(|it| ids.enis[it.0]).collect(),
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
}
