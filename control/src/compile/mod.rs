//! From a checked topology to the tables that the data plane reads.
//!
//! Names become indices here and nowhere else; [`Names`] leads back. What could be wrong was refused
//! by `check`.

mod endpoints;
mod kinds;
mod names;
mod rules;
pub(crate) mod services;
mod translator;

use std::net::{IpAddr, Ipv4Addr};

use dataplane::packet::{Addr, GroupId, LinkService};
use dataplane::shared::PortRange;
use dataplane::tables::{
    AddrMap, Column, Eni, Gateway, Holder, Host, Hyperplane, InternetGateway, NatAddress,
    NatGateway, NetworkAcl, Place, Public, Role, RouteTable, Subnet, Tables, Target, Timers, Vpc,
};
use dataplane::time::Tick;

use crate::check::{
    self, Checked, Creating, Draining, RouteTarget, SubnetIndex, Topology, VpcIndex,
};

pub use kinds::ComponentKind;
pub(crate) use names::endpoint_key;
pub use names::{Ids, Names, TooMany};
use rules::{GroupCompiler, acl};
use services::Reach;

/// The tables of a topology, and the ids of what is in it.
#[derive(Debug)]
pub struct Compiled {
    /// What the data plane reads.
    pub tables: Tables,
    /// What it calls the things of the topology.
    pub ids: Ids,
}

/// The most connections of a Hyperplane ENI (AWS "Giving Lambda functions access to resources in an Amazon VPC").
const HYPERPLANE_CONNECTIONS: u32 = 65_000;

/// What a running instance has beside its topology.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passing<'a> {
    /// Addresses of NAT gateways that were taken away.
    pub draining: &'a [Draining],
    /// Hyperplane ENIs that are being made.
    pub creating: &'a [Creating],
    /// The tables in force. Rules that are the same there are taken from them.
    pub tables: Option<&'a Tables>,
}

/// The epoch of an instance's first tables.
pub const FIRST_EPOCH: u32 = 1;

/// Compiles a topology into the tables of `epoch`, by the names given before and new ones.
///
/// # Errors
///
/// When ids have run out.
pub fn compile(
    topology: &Checked,
    passing: Passing<'_>,
    names: &mut Names,
    epoch: u32,
) -> Result<Compiled, TooMany> {
    let ids = names.assign(topology)?;
    let tables = Compiler { topology, passing, ids: &ids }.tables(epoch);
    Ok(Compiled { tables, ids })
}

struct Compiler<'a> {
    topology: &'a Topology,
    passing: Passing<'a>,
    ids: &'a Ids,
}

impl Compiler<'_> {
    fn tables(&self, epoch: u32) -> Tables {
        let &Self { topology, ids, .. } = self;
        Tables {
            epoch,
            links: self.places(),
            enis: self.enis(),
            subnets: column(&ids.subnets, topology.subnets.iter().map(|it| self.subnet(it))),
            route_tables: column(
                &ids.route_tables,
                topology.route_tables.iter().map(|table| self.routes(table)),
            ),
            network_acls: column(
                &ids.network_acls,
                topology.network_acls.iter().map(|list| NetworkAcl {
                    ingress: acl(&list.ingress),
                    egress: acl(&list.egress),
                }),
            ),
            vpcs: column(&ids.vpcs, self.vpcs().into_iter()),
            internet_gateways: column(&ids.internet_gateways, self.internet_gateways()),
            nat_gateways: column(
                &ids.nat_gateways,
                topology.nat_gateways.iter().map(|gateway| self.nat_gateway(gateway)),
            ),
            hosts: column(
                &ids.internet_hosts,
                topology.internet_hosts.iter().zip(&ids.host_links).map(|(host, &link)| Host {
                    link,
                    addresses: host.addresses.iter().copied().map(Addr::from).collect(),
                }),
            ),
            vpc_endpoints: self.vpc_endpoints(),
            hyperplanes: column(
                &ids.hyperplanes,
                topology.hyperplanes.iter().map(|it| self.hyperplane(it)),
            ),
            provider: topology
                .vpcs
                .iter()
                .position(|it| it.name == check::PROVIDER)
                .map(|at| ids.vpcs[at]),
            internet: self.internet(),
            timers: self.timers(),
            choices: topology.profile.choices,
            translator: translator::translator(&topology.profile, &ids.nat_gateways),
        }
    }

    fn places(&self) -> Column<Place> {
        let ids = self.ids;
        let enis = ids.eni_links.iter().zip(&ids.enis).map(|(&link, &eni)| (link, Place::Eni(eni)));
        let hosts = ids.host_links.iter().zip(&ids.internet_hosts);
        let hosts = hosts.map(|(&link, &host)| (link, Place::Host(host)));
        let services = ids.service_links.iter().zip(&ids.vpcs).flat_map(|(links, &vpc)| {
            let services = LinkService::ALL.into_iter().zip(links);
            services.filter_map(move |(it, link)| Some(((*link)?, Place::Service(it, vpc))))
        });
        let places = enis.chain(hosts).chain(services);
        Column::by_id(places.map(|(link, place)| (link.index(), place)))
    }

    fn enis(&self) -> Column<Eni> {
        let &Self { topology, ids, .. } = self;
        let before = self.passing.tables;
        let (mut rules, mut reach) = (GroupCompiler::new(topology, ids, before), Reach::default());
        let interfaces = topology.network_interfaces.iter().zip(&ids.eni_links);
        let enis = interfaces.map(|(interface, &link)| {
            let groups = interface.security_groups.iter();
            let mut groups: Vec<GroupId> = groups.map(|it| ids.security_groups[it.0]).collect();
            groups.sort_unstable();
            let (ingress, egress) = rules.of(&interface.security_groups, &groups);
            Eni {
                link,
                subnet: ids.subnets[interface.subnet.0],
                addresses: interface.addresses().map(Addr::from).collect(),
                source_dest_check: interface.source_dest_check,
                groups,
                egress,
                ingress,
                services: reach.of(topology, &ids.vpcs, interface),
                role: match interface.role {
                    check::Role::Interface | check::Role::Instance(None) => Role::Interface,
                    check::Role::Instance(Some(it)) => Role::Instance(ids.hyperplanes[it.0]),
                    check::Role::Hyperplane(it) => Role::Hyperplane(ids.hyperplanes[it.0]),
                    check::Role::VpcEndpoint(it) => Role::VpcEndpoint(ids.vpc_endpoints[it.0]),
                },
            }
        });
        column(&ids.enis, enis)
    }

    fn hyperplane(&self, hyperplane: &check::Hyperplane) -> Hyperplane {
        let ready = self.passing.creating.iter().find(|it| it.hyperplane == hyperplane.name);
        Hyperplane {
            enis: hyperplane.enis.iter().map(|it| self.ids.enis[it.0]).collect(),
            ports: PortRange::HYPERPLANE,
            connections: HYPERPLANE_CONNECTIONS,
            ready: ready.map(|it| Tick::at(it.until)),
            reclaim: hyperplane.reclaim(&self.topology.profile),
        }
    }

    fn timers(&self) -> Timers {
        let &Self { topology, ids, .. } = self;
        let enis = ids.enis.iter().zip(&topology.network_interfaces);
        let enis = enis.map(|(&eni, interface)| (eni.into(), interface.connection_tracking));
        Timers { enis: Column::by_id(enis), ..topology.profile.timers.clone() }
    }

    fn subnet(&self, subnet: &crate::check::Subnet) -> Subnet {
        let ipv6_router = subnet.ipv6_router().map(Addr::from);
        // A subnet has one of the two.
        let router = subnet.router().map(Addr::from).or(ipv6_router).unwrap_or_default();
        Subnet {
            vpc: self.ids.vpcs[subnet.vpc.0],
            router,
            ipv6_router,
            route_table: self.ids.route_tables[subnet.route_table.0],
            network_acl: self.ids.network_acls[subnet.network_acl.0],
        }
    }

    fn nat_gateway(&self, gateway: &crate::check::NatGateway) -> NatGateway {
        let profile = &self.topology.profile;
        let stays = gateway
            .addresses
            .iter()
            .map(|it| NatAddress { address: Addr::v4(it.private_ip), draining: None });
        let leaves = self.draining_of(gateway).map(|it| NatAddress {
            address: Addr::v4(it.address.private_ip),
            draining: Some(Tick::at(it.until)),
        });
        NatGateway {
            subnet: self.ids.subnets[gateway.subnet.0],
            addresses: stays.chain(leaves).collect(),
            ports: PortRange {
                first: profile.nat_ports.first,
                last: profile.nat_ports.last,
                limit: profile.nat_connections,
            },
        }
    }

    fn draining_of(&self, gateway: &crate::check::NatGateway) -> impl Iterator<Item = &Draining> {
        let name = gateway.name.as_str();
        self.passing.draining.iter().filter(move |it| it.gateway == name)
    }

    /// Each gateway that is there, and each of its addresses, those that drain included.
    fn nat_addresses(&self) -> impl Iterator<Item = (usize, SubnetIndex, check::NatAddress)> {
        let there = self.topology.nat_gateways.iter().enumerate().filter(|(_, it)| !it.deleted);
        there.flat_map(|(index, gateway)| {
            let stays = gateway.addresses.iter().copied();
            let all = stays.chain(self.draining_of(gateway).map(|it| it.address));
            all.map(move |address| (index, gateway.subnet, address))
        })
    }

    fn routes(&self, table: &crate::check::RouteTable) -> RouteTable {
        let ids = self.ids;
        let local = self.topology[table.vpc].blocks().map(|block| (block, Target::Local));
        let declared = table.routes.iter().map(|route| {
            let target = match route.target {
                RouteTarget::InternetGateway(it) => {
                    Target::InternetGateway(ids.internet_gateways[it.0])
                }
                RouteTarget::EgressOnlyInternetGateway(it) => {
                    Target::EgressOnlyInternetGateway(ids.egress_only_internet_gateways[it.0])
                }
                RouteTarget::NatGateway(it) if self.topology[it].deleted => Target::Blackhole,
                RouteTarget::NatGateway(it) => Target::NatGateway(ids.nat_gateways[it.0]),
                RouteTarget::Blackhole => Target::Blackhole,
            };
            (route.destination, target)
        });
        // A route to the same block that the file gives is preferred to a prefix list's (AWS "Route priority and prefix
        // lists").
        RouteTable::new(local.chain(self.endpoint_routes(table)).chain(declared))
    }

    fn vpcs(&self) -> Vec<Vpc> {
        let &Self { topology, ids, .. } = self;
        let links = ids.service_links.iter();
        let mut vpcs: Vec<Vpc> =
            links.map(|&services| Vpc { services, ..Vpc::default() }).collect();
        let mut hold = |subnet: SubnetIndex, address: IpAddr, holder| {
            vpcs[topology[subnet].vpc.0].holders.insert(address.into(), holder);
        };
        for (interface, &eni) in topology.network_interfaces.iter().zip(&ids.enis) {
            for address in interface.addresses() {
                hold(interface.subnet, address, Holder::Eni(eni));
            }
        }
        for (index, subnet, address) in self.nat_addresses() {
            hold(subnet, address.private_ip.into(), Holder::NatGateway(ids.nat_gateways[index]));
        }
        vpcs
    }

    /// Public addresses, private ones, and the VPC that both are of.
    fn associations(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr, VpcIndex)> {
        let topology = self.topology;
        let interfaces = topology.network_interfaces.iter().filter_map(|interface| {
            Some((interface.public_ip?, interface.private_ip?, topology[interface.subnet].vpc))
        });
        let gateways = self.nat_addresses().filter_map(|(_, subnet, address)| {
            Some((address.public_ip?, address.private_ip, topology[subnet].vpc))
        });
        interfaces.chain(gateways)
    }

    fn internet_gateways(&self) -> impl Iterator<Item = InternetGateway> {
        self.topology.internet_gateways.iter().map(|gateway| InternetGateway {
            vpc: self.ids.vpcs[gateway.vpc.0],
            public: self
                .associations()
                .filter(|&(_, _, vpc)| vpc == gateway.vpc)
                .map(|(public, private, _)| (Addr::v4(private), Addr::v4(public)))
                .collect(),
        })
    }

    fn internet(&self) -> AddrMap<Public> {
        let &Self { topology, ids, .. } = self;
        let hosts = topology.internet_hosts.iter().zip(&ids.internet_hosts);
        let hosts = hosts.flat_map(|(host, &id)| {
            host.addresses.iter().map(move |&address| (Addr::from(address), Public::Host(id)))
        });
        // A public address of a VPC without internet gateway cannot be reached.
        let associated = self.associations().filter_map(|(public, private, vpc)| {
            let gateway = ids.internet_gateways[topology[vpc].internet_gateway?.0];
            Some((Addr::v4(public), Public::Vpc { gateway, private: Addr::v4(private) }))
        });
        hosts.chain(associated).chain(self.ipv6_of_vpcs()).collect()
    }

    /// The addresses of IPv6 that a VPC has on the internet: global ones, where a gateway leads there.
    fn ipv6_of_vpcs(&self) -> impl Iterator<Item = (Addr, Public)> {
        let &Self { topology, ids, .. } = self;
        topology.network_interfaces.iter().flat_map(move |interface| {
            let vpc = topology[interface.subnet].vpc;
            let internet = topology[vpc].internet_gateway.map(|it| ids.internet_gateways[it.0]);
            let egress_only = topology[vpc].egress_only;
            let egress_only = egress_only.map(|it| ids.egress_only_internet_gateways[it.0]);
            let gateway = internet.map(Gateway::Internet).or(egress_only.map(Gateway::EgressOnly));
            let global = interface.ipv6_addresses.iter().filter(|it| check::is_global(**it));
            let addresses = global.filter_map(move |&address| Some((address, gateway?)));
            addresses.map(move |(address, gateway)| {
                (address.into(), Public::Ipv6 { vpc: ids.vpcs[vpc.0], gateway })
            })
        })
    }
}

/// Things by their ids.
fn column<I: Copy + Into<usize>, T>(ids: &[I], things: impl Iterator<Item = T>) -> Column<T> {
    Column::by_id(ids.iter().map(|&id| id.into()).zip(things))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const TEXT: &str = "
vpcs: {main: {cidr_block: 10.0.0.0/16}}
subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24}}
security_groups:
  one: {vpc: main, ingress: [{protocol: tcp, ports: 80, source: 10.0.0.0/8}]}
  two: {vpc: main, ingress: [{protocol: tcp, ports: 443, source: one}]}
network_interfaces:
  first: {subnet: a, security_groups: [one]}
  second: {subnet: a, security_groups: [two]}
  both: {subnet: a, security_groups: [one, two]}
";

    /// What an interface has of its rules, towards it and from it, is the very same in both tables.
    fn kept(text: &str) -> Vec<(bool, bool)> {
        let mut names = Names::default();
        let mut compile = |text: &str, tables: Option<&Tables>| {
            let topology = check::read(text, "test.yaml").unwrap().topology;
            let passing = Passing { tables, ..Passing::default() };
            super::compile(&topology, passing, &mut names, FIRST_EPOCH).unwrap().tables
        };
        let old = compile(TEXT, None);
        let new = compile(text, Some(&old));
        let pairs = old.enis.iter().zip(new.enis.iter());
        let kept = pairs.map(|((_, old), (_, new))| {
            let same = |of: fn(&Eni) -> &Arc<_>| Arc::ptr_eq(of(old), of(new));
            (same(|eni| &eni.ingress), same(|eni| &eni.egress))
        });
        kept.collect()
    }

    #[test]
    fn only_rules_that_differ_are_compiled_anew() {
        assert_eq!(kept(TEXT), [(true, true); 3]);
        let changed = TEXT.replace("ports: 443", "ports: 444");
        assert_eq!(kept(&changed), [(true, true), (false, true), (false, true)]);
        let swapped = TEXT.replace("security_groups: [one]}", "security_groups: [two]}");
        // A rule says whose it is.
        assert_eq!(kept(&swapped), [(false, false), (true, true), (true, true)]);
    }

    #[test]
    fn rules_that_name_another_group_are_others() {
        let named = TEXT.replace("source: one", "source: two");
        assert_eq!(kept(&named), [(true, true), (false, true), (false, true)]);
    }
}
