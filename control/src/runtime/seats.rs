//! What a topology needs of the host: a seat for each network interface and internet host.

use std::fmt::Write as _;
use std::net::IpAddr;

use dataplane::packet::{LinkId, LinkService};
use dataplane::tables::{INTERNET_MTU, VPC_MTU};
use ipnet::IpNet;

use crate::check::{Checked, Dhcp, InternetHost, NetworkInterface, Role, Topology, Vpc};
use crate::compile::Ids;
use crate::compile::services::{self, IPV6_RESOLVER};
use crate::endpoints::Service;
use crate::endpoints::resolver::names::private_domain;
use crate::model::NameServer;
use crate::runtime::interface::Interface;

/// One who sends and receives packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) link: LinkId,
    pub(super) kind: SeatKind,
}

/// What is at the other end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SeatKind {
    /// A network namespace with one interface.
    Namespace {
        interface: Interface,
        /// What its processes see as `/etc/resolv.conf`.
        resolv_conf: String,
    },
    /// A host inside the emulator: of the internet, or with services of a VPC for its interfaces.
    BuiltIn { addresses: Vec<IpAddr>, serves: Vec<Service>, vpc: Option<String> },
}

/// All seats of a topology.
pub(super) fn seats(topology: &Checked, ids: &Ids) -> Vec<Seat> {
    let interfaces = topology.network_interfaces.iter().zip(&ids.eni_links);
    let interfaces = interfaces.filter(|(interface, _)| interface.is_seat());
    let interfaces = interfaces.map(|(interface, &link)| Seat {
        name: interface.name.clone(),
        link,
        kind: of_interface(topology, interface),
    });
    let all = topology.internet_hosts.iter().zip(&ids.host_links);
    let (aws, hosts): (Vec<_>, Vec<_>) = all.partition(|(host, _)| host.implicit);
    let hosts = hosts.into_iter().map(|(host, &link)| Seat {
        name: host.name.clone(),
        link,
        kind: of_host(host),
    });
    let aws = aws.first().map(|&(_, &link)| of_aws(aws.iter().map(|(host, _)| *host), link));
    let services = topology.vpcs.iter().zip(&ids.service_links).flat_map(|(vpc, links)| {
        let services = LinkService::ALL.into_iter().zip(links);
        services.filter_map(move |(service, link)| Some(of_service(vpc, service, (*link)?)))
    });
    interfaces.chain(hosts).chain(aws).chain(services).collect()
}

/// The public sides of AWS's services: one host with the addresses of all.
fn of_aws<'t>(hosts: impl Iterator<Item = &'t InternetHost>, link: LinkId) -> Seat {
    let addresses = hosts.flat_map(|host| host.addresses.iter().copied()).collect();
    let kind = SeatKind::BuiltIn { addresses, serves: vec![Service::Aws], vpc: None };
    Seat { name: services::AWS.to_owned(), link, kind }
}

fn of_service(vpc: &Vpc, service: LinkService, link: LinkId) -> Seat {
    let serves = match service {
        LinkService::Resolver => Service::Resolver,
        LinkService::Metadata => Service::Metadata,
        LinkService::TimeSync => Service::TimeSync,
    };
    let kind = SeatKind::BuiltIn {
        addresses: services::addresses(vpc, service),
        serves: vec![serves],
        vpc: Some(vpc.name.clone()),
    };
    Seat { name: services::member(vpc, service), link, kind }
}

fn of_interface(topology: &Checked, interface: &NetworkInterface) -> SeatKind {
    let subnet = &topology[interface.subnet];
    let vpc = &topology[topology.resolving_vpc(interface)];
    let is_workload = matches!(interface.role, Role::Instance(_));
    let length = |address: &IpAddr| match address {
        // A workload outside the VPCs is alone at its link.
        IpAddr::V4(_) if is_workload => Some(32),
        IpAddr::V4(_) => subnet.cidr.map(|block| block.prefix_len()),
        IpAddr::V6(_) => subnet.ipv6_cidr.map(|block| block.prefix_len()),
    };
    let addresses = interface.addresses().map(|address| {
        let length = length(&address).expect("an address is of one of the subnet's blocks");
        IpNet::new(address, length).expect("the length is one of a checked block")
    });
    let routers = [subnet.router().map(IpAddr::V4), subnet.ipv6_router().map(IpAddr::V6)];
    let routers = routers.into_iter().flatten().filter(|_| !is_workload);
    SeatKind::Namespace {
        interface: Interface {
            addresses: addresses.collect(),
            gateways: routers.collect(),
            mtu: VPC_MTU.into(),
        },
        resolv_conf: resolv_conf(topology, vpc, interface),
    }
}

/// Whether an interface has an address of the family of `address`.
fn reaches(interface: &NetworkInterface, address: IpAddr) -> bool {
    interface.addresses().any(|own| own.is_ipv4() == address.is_ipv4())
}

/// What DHCP tells of names (AWS "DHCP option sets in Amazon VPC"), as resolv.conf(5) has it: the resolvers that the
/// interface can reach, and the domain.
fn resolv_conf(topology: &Topology, vpc: &Vpc, interface: &NetworkInterface) -> String {
    let (servers, domain) = match vpc.dhcp {
        Dhcp::None => return String::new(),
        Dhcp::Default => {
            let domain = vpc.dns_support.then(|| private_domain(&topology.region));
            (vec![NameServer::AmazonProvided], domain)
        }
        Dhcp::Set(set) => {
            let set = &topology[set];
            (set.domain_name_servers.clone(), set.domain_name.clone())
        }
    };
    let mut told = String::new();
    for server in servers {
        let address = match server {
            NameServer::AmazonProvided if !vpc.dns_support => continue,
            NameServer::AmazonProvided if interface.private_ip.is_none() => IPV6_RESOLVER,
            NameServer::AmazonProvided => vpc.resolver().into(),
            NameServer::Address(address) if !reaches(interface, address) => continue,
            NameServer::Address(address) => address,
        };
        let _ = writeln!(told, "nameserver {address}");
    }
    if let Some(domain) = domain {
        let _ = writeln!(told, "search {domain}");
    }
    told
}

fn of_host(host: &InternetHost) -> SeatKind {
    if host.namespace {
        SeatKind::Namespace {
            interface: Interface {
                addresses: host.addresses.iter().copied().map(IpNet::from).collect(),
                gateways: Vec::new(),
                mtu: INTERNET_MTU.into(),
            },
            resolv_conf: String::new(),
        }
    } else {
        let (addresses, serves) = (host.addresses.clone(), host.serves.clone());
        SeatKind::BuiltIn { addresses, serves, vpc: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use crate::compile::Names;

    #[test]
    fn an_option_set_says_which_resolvers_and_which_domain() {
        let told = |set: &str, support: bool| {
            let text = format!(
                "vpcs: {{main: {{cidr_block: 10.0.0.0/16, enable_dns_support: {support}, dhcp_options: {set}}}}}\n\
                 subnets: {{one: {{vpc: main, cidr_block: 10.0.1.0/24}}}}\n\
                 network_interfaces: {{app: {{subnet: one}}}}\n\
                 dhcp_options:\n  \
                   both: {{domain_name: corp.internal, domain_name_servers: [10.0.1.53, '2001:db8::53', AmazonProvidedDNS]}}\n  \
                   bare: {{}}\n"
            );
            let topology = check::read(&text, "test").unwrap_or_else(|report| panic!("{report}"));
            let topology = topology.topology;
            resolv_conf(&topology, &topology.vpcs[0], &topology.network_interfaces[0])
        };
        let default = "nameserver 10.0.0.2\nsearch ec2.internal\n";
        assert_eq!([told("default", true), told("default", false)], [default, ""]);
        let (own, amazon) = ("nameserver 10.0.1.53\n", "nameserver 10.0.0.2\n");
        assert_eq!(told("both", true), format!("{own}{amazon}search corp.internal\n"));
        assert_eq!(told("both", false), format!("{own}search corp.internal\n"));
        assert_eq!([told("bare", true), told("none", true)], ["", ""]);
    }

    #[test]
    fn each_family_has_its_addresses_and_its_router_and_ipv6_alone_its_own_resolver() {
        let topology = check::read(
            "
vpcs: {main: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: '2600:1f18:1234:5600::/56'}}
subnets:
  both: {vpc: main, cidr_block: 10.0.1.0/24, ipv6_cidr_block: '2600:1f18:1234:5601::/64'}
  alone: {vpc: main, ipv6_native: true, ipv6_cidr_block: '2600:1f18:1234:5610::/60'}
network_interfaces:
  both: {subnet: both, ipv6_addresses: ['2600:1f18:1234:5601::10', '2600:1f18:1234:5601::11']}
  plain: {subnet: both}
  alone: {subnet: alone}
internet:
  hosts:
    partner.example: {addresses: [203.0.113.90, '2001:db8:90::90']}
    echo.example: {addresses: ['2001:db8:7::7'], serves: [echo]}
",
            "test.yaml",
        );
        let topology = topology.unwrap_or_else(|report| panic!("{report}")).topology;
        let ids = Names::default().assign(&topology).unwrap();
        let told: Vec<_> = seats(&topology, &ids)
            .into_iter()
            .map(|seat| match seat.kind {
                SeatKind::Namespace { interface, resolv_conf } => {
                    let addresses = interface.addresses.iter().map(ToString::to_string);
                    let gateways = interface.gateways.iter().map(ToString::to_string);
                    let parts = [addresses.collect::<Vec<_>>(), gateways.collect()];
                    format!("{}|{}", parts.map(|it| it.join(" ")).join("|"), resolv_conf.trim())
                }
                SeatKind::BuiltIn { serves, .. } if serves == [Service::Aws] => "AWS".to_owned(),
                SeatKind::BuiltIn { addresses, .. } => format!("{addresses:?}"),
            })
            .collect();
        let both = "10.0.1.1 2600:1f18:1234:5601::1|nameserver 10.0.0.2\nsearch ec2.internal";
        assert_eq!(
            told,
            [
                format!("10.0.1.4/24 2600:1f18:1234:5601::10/64 2600:1f18:1234:5601::11/64|{both}"),
                format!("10.0.1.5/24|{both}"),
                "2600:1f18:1234:5610::4/60|2600:1f18:1234:5610::1|nameserver fd00:ec2::253\nsearch ec2.internal"
                    .to_owned(),
                "203.0.113.90/32 2001:db8:90::90/128||".to_owned(),
                "[2001:db8:7::7]".to_owned(),
                "AWS".to_owned(),
                "[10.0.0.2, 169.254.169.253, fd00:ec2::253]".to_owned(),
                "[169.254.169.254, fd00:ec2::254]".to_owned(),
                "[169.254.169.123, fd00:ec2::123]".to_owned(),
            ]
        );
    }
}
