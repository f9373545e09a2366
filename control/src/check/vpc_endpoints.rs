//! Is each VPC endpoint one that AWS would make?
//!
//! AWS "Access an AWS service using an interface VPC endpoint", "Gateway endpoints", "CreateVpcEndpoint".

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::check::addresses::Addresses;
use crate::check::ids::id;
use crate::check::names::offer;
use crate::check::workloads::interface;
use crate::check::{
    AwsService, Check, InternetHostIndex, NetworkInterfaceIndex, PrefixListIndex, RouteTableIndex,
    SERVICES, SubnetIndex, Topology, VpcIndex,
};
use crate::diagnostic::{Fault, Place};
use crate::endpoints::resolver::names::endpoint_name;
use crate::model::{self, At, EndpointKindWord, shortened};

/// A VPC endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcEndpoint {
    /// Its key in the file.
    pub name: String,
    /// `vpce-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// Its VPC.
    pub vpc: VpcIndex,
    /// To what it leads.
    pub service: &'static AwsService,
    /// That service's public side.
    pub host: InternetHostIndex,
    /// How it leads there.
    pub kind: EndpointKind,
    /// Its network interfaces: of an interface endpoint at least one, each in another zone and with an address of IPv4;
    /// none of a gateway endpoint.
    pub interfaces: Vec<NetworkInterfaceIndex>,
}

/// How a VPC endpoint leads to its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// By routes.
    Gateway {
        /// The service's prefix list.
        prefix_list: PrefixListIndex,
        /// The tables that route it to the endpoint; of the same VPC, none twice, none with another endpoint's route to
        /// the list.
        route_tables: Vec<RouteTableIndex>,
    },
    /// By network interfaces.
    Interface {
        /// Whether the service's public names lead there in its VPC, which then has both DNS attributes.
        private_dns: bool,
    },
}

impl VpcEndpoint {
    /// The name that leads to its network interfaces, or to that in one zone.
    #[must_use]
    pub fn dns_name(&self, region: &str, zone: Option<&str>) -> String {
        endpoint_name(region, self, zone)
    }

    /// Where its network interfaces lie, and their addresses.
    pub fn places<'t>(
        &self,
        topology: &'t Topology,
    ) -> impl Iterator<Item = (SubnetIndex, Ipv4Addr)> + use<'t, '_> {
        let interfaces = self.interfaces.iter().map(|&it| &topology[it]);
        interfaces.filter_map(|it| Some((it.subnet, it.private_ip?)))
    }
}

impl model::VpcEndpoint {
    /// Whether it is reached by network interfaces; else by routes (AWS "CreateVpcEndpoint": by default).
    pub(super) fn is_interface(&self) -> bool {
        self.vpc_endpoint_type.is_some_and(|it| it.value == EndpointKindWord::Interface)
    }
}

/// Who leads where already: places of endpoints by what only one of them may have.
#[derive(Default)]
struct Taken {
    /// The routes of a table to a service.
    routes: HashMap<(RouteTableIndex, &'static str), Place>,
    /// The public names of a service in a VPC.
    names: HashMap<(VpcIndex, &'static str), Place>,
}

impl Check<'_, '_> {
    pub(super) fn vpc_endpoints(&mut self, addresses: &Addresses) -> Vec<VpcEndpoint> {
        let (mut endpoints, mut taken) = (Vec::new(), Taken::default());
        for (index, (name, endpoint)) in self.model.vpc_endpoints.iter().enumerate() {
            let home = self.homes.vpc_endpoints[index];
            let service = endpoint.service.as_ref().and_then(|it| self.service(it));
            let host = service.and_then(|it| self.service_host(it, name, endpoint, addresses));
            let kind = if endpoint.is_interface() {
                Some(self.interface_endpoint(index, endpoint, service, &mut taken))
            } else {
                self.gateway_endpoint(name, endpoint, (home, service), &mut taken)
            };
            let (Some(vpc), Some(service), Some(host), Some(kind)) = (home, service, host, kind)
            else {
                continue;
            };
            let id = id("vpce", name, endpoint.id.as_ref());
            let interfaces = Vec::new();
            let name = name.clone();
            endpoints.push(VpcEndpoint { name, id, vpc, service, host, kind, interfaces });
        }
        endpoints
    }

    /// The subnets of an endpoint, as far as they exist and are of its VPC.
    pub(super) fn endpoint_subnets(&mut self, index: usize) -> Vec<Option<SubnetIndex>> {
        let home = self.homes.vpc_endpoints[index];
        let subnets = self.model.vpc_endpoints[index].subnets.iter().flat_map(|it| &it.value);
        let found = subnets.map(|name| {
            let subnets = &self.model.subnets;
            self.find_in("subnet", subnets, name, home, |homes| &homes.subnets).map(SubnetIndex)
        });
        found.collect()
    }

    /// The service that `word` means.
    fn service(&mut self, word: &At<String>) -> Option<&'static AwsService> {
        let service = AwsService::named(word, self.region());
        if service.is_none() {
            let names: Vec<String> = SERVICES.iter().map(|it| it.name.to_owned()).collect();
            let message = format!("there is no service `{}` here", shortened(word));
            let fault = Fault::error(word.place, message);
            self.faults.push(fault.help(offer(word, "service", names.iter())));
        }
        service
    }

    /// The host that an endpoint leads to; it has an address of IPv4.
    fn service_host(
        &mut self,
        service: &'static AwsService,
        name: &str,
        endpoint: &At<model::VpcEndpoint>,
        addresses: &Addresses,
    ) -> Option<InternetHostIndex> {
        let declared = self.stands_for(service);
        if let Some(index) = declared {
            let (_, host) = self.model.internet.as_ref()?.hosts.get_index(index)?;
            let mut own = host.addresses.iter().flat_map(|it| &it.value);
            if own.any(|it| it.value.is_ipv4()) {
                return Some(InternetHostIndex(index));
            }
        } else {
            let place = SERVICES.iter().position(|it| it == service)?;
            if addresses.services[place].is_some() {
                let before = addresses.services[..place].iter().flatten().count();
                let hosts = self.model.internet.as_ref().map_or(0, |it| it.hosts.len());
                return Some(InternetHostIndex(hosts + before));
            }
        }
        let public = service.public_name(self.region());
        let message = format!("VPC endpoint `{name}` leads to {public}, which has no IPv4 address");
        let place = endpoint.service.as_ref().map_or(endpoint.place, |it| it.place);
        let help = "declare it as a host of the internet with one";
        self.faults.push(Fault::error(place, message).help(help));
        None
    }

    fn gateway_endpoint(
        &mut self,
        name: &str,
        endpoint: &At<model::VpcEndpoint>,
        (home, service): (Option<VpcIndex>, Option<&'static AwsService>),
        taken: &mut Taken,
    ) -> Option<EndpointKind> {
        let of_interfaces = [
            ("subnets", endpoint.subnets.as_ref().map(|it| it.place)),
            ("security_groups", endpoint.security_groups.as_ref().map(|it| it.place)),
            (
                "private_dns_enabled",
                endpoint.private_dns_enabled.filter(|it| it.value).map(|it| it.place),
            ),
        ];
        for (key, place) in of_interfaces {
            let Some(place) = place else { continue };
            let message = format!("`{key}` of a gateway endpoint");
            let help = "a gateway endpoint has `route_tables` alone: leave it out, or write \
                        `vpc_endpoint_type: Interface`";
            self.faults.push(Fault::error(place, message).help(help));
        }
        let service = service?;
        let managed = SERVICES.iter().filter(|it| it.prefix_list.is_some());
        let Some(list) = managed.clone().position(|it| it == service) else {
            let place = endpoint.service.as_ref().map_or(endpoint.place, |it| it.place);
            let names: Vec<_> = managed.map(|it| it.name).collect();
            let message = format!("{} has no gateway endpoints", service.name);
            let help = format!(
                "AWS has them for {}: write `vpc_endpoint_type: Interface`",
                names.join(" and ")
            );
            self.faults.push(Fault::error(place, message).help(help));
            return None;
        };
        let mut route_tables = Vec::new();
        for written in endpoint.route_tables.iter().flat_map(|it| &it.value) {
            let Some(table) = self.table(Some(written), home) else { continue };
            if let Some(first) = taken.routes.insert((table, service.name), written.place) {
                let message = format!(
                    "route table `{}` has a route to the prefix list of {} already",
                    shortened(written),
                    service.name
                );
                let fault = Fault::error(written.place, message).label(first, "by this");
                self.faults.push(fault.help("EC2 answers RouteAlreadyExists: remove one"));
            }
            route_tables.push(table);
        }
        if route_tables.is_empty() && endpoint.route_tables.as_ref().is_none_or(|it| it.is_empty())
        {
            let message = format!("no route leads to gateway endpoint `{name}`");
            let help = "name the route tables of the subnets that are to use it in `route_tables`";
            self.faults.push(Fault::warning(endpoint.place, message).help(help));
        }
        let prefix_list = PrefixListIndex(self.model.prefix_lists.len() + list);
        Some(EndpointKind::Gateway { prefix_list, route_tables })
    }

    fn interface_endpoint(
        &mut self,
        index: usize,
        endpoint: &At<model::VpcEndpoint>,
        service: Option<&'static AwsService>,
        taken: &mut Taken,
    ) -> EndpointKind {
        let home = self.homes.vpc_endpoints[index];
        if let Some(tables) = &endpoint.route_tables {
            let fault = Fault::error(tables.place, "`route_tables` of an interface endpoint");
            let help = "it is reached by its addresses: leave it out, or write \
                        `vpc_endpoint_type: Gateway`";
            self.faults.push(fault.help(help));
        }
        if endpoint.subnets.as_ref().is_none_or(|it| it.is_empty()) {
            let place = endpoint.subnets.as_ref().map_or(endpoint.place, |it| it.place);
            let fault = Fault::error(place, "an interface endpoint without subnets");
            self.faults.push(fault.help("name one in each zone that is to have it, in `subnets`"));
        }
        self.one_subnet_a_zone(index, endpoint);
        let private_dns = endpoint.private_dns_enabled.filter(|it| it.value);
        if let (Some(asked), Some(vpc), Some(service)) = (private_dns, home, service) {
            self.private_dns(asked.place, vpc, service, taken);
        }
        EndpointKind::Interface { private_dns: private_dns.is_some() }
    }

    /// The network interfaces of each interface endpoint, which are declared by its being there: one a subnet, of IPv4.
    pub(super) fn endpoint_interfaces(
        &self,
    ) -> Vec<(String, Vec<(String, model::NetworkInterface)>)> {
        let endpoints = self.model.vpc_endpoints.iter().enumerate();
        let endpoints = endpoints.filter(|(_, (_, endpoint))| endpoint.is_interface());
        let endpoints = endpoints.map(|(index, (name, endpoint))| {
            let written = endpoint.subnets.iter().flat_map(|it| &it.value);
            let subnets = written.zip(&self.homes.endpoint_subnets[index]);
            let interfaces = subnets.filter_map(|(written, &subnet)| {
                let subnet = subnet.filter(|&it| !self.is_native(Some(it)))?;
                let (subnet, _) = self.subnet_of(Some(subnet))?;
                let interface = model::NetworkInterface {
                    security_groups: endpoint.security_groups.clone(),
                    ipv6_addresses: Some(At { place: written.place, value: Vec::new() }),
                    ..interface(subnet, written.place)
                };
                Some((format!("vpce/{name}/{subnet}"), interface))
            });
            (name.clone(), interfaces.collect())
        });
        endpoints.collect()
    }

    /// AWS takes one subnet of a zone (`DuplicateSubnetsInSameZone`), and IPv4 where the endpoint has that.
    fn one_subnet_a_zone(&mut self, index: usize, endpoint: &At<model::VpcEndpoint>) {
        let mut zones: HashMap<String, Place> = HashMap::new();
        let subnets = self.homes.endpoint_subnets[index].clone();
        for (written, subnet) in endpoint.subnets.iter().flat_map(|it| &it.value).zip(subnets) {
            let Some((name, declared)) = self.subnet_of(subnet) else { continue };
            if self.is_native(subnet) {
                let message = format!("subnet `{name}` is of IPv6 alone");
                let fault = Fault::error(written.place, message);
                self.faults.push(
                    fault.label(declared.place, "the subnet").help("use one with a `cidr_block`"),
                );
            }
            let zone = match &declared.availability_zone {
                Some(zone) => zone.value.clone(),
                None => format!("{}a", self.region()),
            };
            let message = format!("a second subnet in {zone}");
            if let Some(first) = zones.insert(zone, written.place) {
                let fault = Fault::error(written.place, message).label(first, "the first");
                let help = "an interface endpoint has one network interface a zone: remove one";
                self.faults.push(fault.help(help));
            }
        }
    }

    /// The public names of a service lead to one endpoint of a VPC, which needs both DNS attributes.
    fn private_dns(
        &mut self,
        place: Place,
        vpc: VpcIndex,
        service: &'static AwsService,
        taken: &mut Taken,
    ) {
        let Some((name, declared)) = self.model.vpcs.get_index(vpc.0) else { return };
        let has_support = declared.enable_dns_support.is_none_or(|it| it.value);
        let has_names = declared.enable_dns_hostnames.is_some_and(|it| it.value);
        if !has_support || !has_names {
            let message = format!("private DNS in VPC `{name}`, which lacks a DNS attribute");
            let fault = Fault::error(place, message).label(declared.place, "the VPC");
            let help = "set `enable_dns_support: true` and `enable_dns_hostnames: true` on the VPC";
            self.faults.push(fault.help(help));
        }
        let public = service.public_name(self.region());
        let mut zones = self.model.private_hosted_zones.iter();
        let same = zones.find(|(key, zone)| {
            let domain = zone.name.as_ref().map_or(key.as_str(), |it| it.as_str());
            let mut vpcs = zone.vpcs.iter().flat_map(|it| &it.value);
            domain.trim_end_matches('.').eq_ignore_ascii_case(&public)
                && vpcs.any(|it| it.value == *name)
        });
        if let Some((_, zone)) = same {
            let message = format!("VPC `{name}` has a private hosted zone of {public} already");
            let fault = Fault::error(place, message).label(zone.place, "the zone");
            self.faults.push(fault.help("EC2 refuses a conflicting DNS domain: leave out either"));
        }
        if let Some(first) = taken.names.insert((vpc, service.name), place) {
            let message = format!("{public} leads to another endpoint of VPC `{name}` already");
            let fault = Fault::error(place, message).label(first, "by this");
            self.faults.push(fault.help("leave `private_dns_enabled` to one of them"));
        }
    }
}
