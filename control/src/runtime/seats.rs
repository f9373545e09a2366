//! What a topology needs of the host: a seat for each network interface and internet host.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::packet::LinkId;
use dataplane::tables::{INTERNET_MTU, VPC_MTU};
use ipnet::IpNet;

use crate::check::{Checked, InternetHost, NetworkInterface};
use crate::compile::Ids;
use crate::endpoints::Service;
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
    /// A host inside the emulator.
    BuiltIn { addresses: Vec<IpAddr>, serves: Vec<Service> },
}

/// All seats of a topology.
pub(super) fn seats(topology: &Checked, ids: &Ids) -> Vec<Seat> {
    let interfaces = topology.network_interfaces.iter().zip(&ids.eni_links);
    let interfaces = interfaces.map(|(interface, &link)| Seat {
        name: interface.name.clone(),
        link,
        kind: of_interface(topology, interface),
    });
    let hosts = topology.internet_hosts.iter().zip(&ids.host_links);
    let hosts =
        hosts.map(|(host, &link)| Seat { name: host.name.clone(), link, kind: of_host(host) });
    interfaces.chain(hosts).collect()
}

fn of_interface(topology: &Checked, interface: &NetworkInterface) -> SeatKind {
    let subnet = &topology[interface.subnet];
    let vpc = &topology[subnet.vpc];
    let length = |address: &IpAddr| match address {
        IpAddr::V4(_) => subnet.cidr.map(|block| block.prefix_len()),
        IpAddr::V6(_) => subnet.ipv6_cidr.map(|block| block.prefix_len()),
    };
    let addresses = interface.addresses().map(|address| {
        let length = length(&address).expect("an address is of one of the subnet's blocks");
        IpNet::new(address, length).expect("the length is one of a checked block")
    });
    let mut resolv_conf = String::new();
    if vpc.dns_support {
        let resolver = match interface.private_ip {
            // At the VPC's primary block plus two (AWS "DHCP option sets").
            Some(_) => Ipv4Addr::from_bits(vpc.cidrs[0].network().to_bits() + 2).into(),
            None => IpAddr::V6(IPV6_RESOLVER),
        };
        let _ = writeln!(resolv_conf, "nameserver {resolver}");
    }
    let routers = [subnet.router().map(IpAddr::V4), subnet.ipv6_router().map(IpAddr::V6)];
    SeatKind::Namespace {
        interface: Interface {
            addresses: addresses.collect(),
            gateways: routers.into_iter().flatten().collect(),
            mtu: VPC_MTU.into(),
        },
        resolv_conf,
    }
}

/// Where the VPC's resolver answers in IPv6 (AWS "Amazon DNS server").
const IPV6_RESOLVER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);

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
        SeatKind::BuiltIn { addresses: host.addresses.clone(), serves: host.serves.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use crate::compile::Names;

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
                SeatKind::BuiltIn { addresses, .. } => format!("{addresses:?}"),
            })
            .collect();
        let both = "10.0.1.1 2600:1f18:1234:5601::1|nameserver 10.0.0.2";
        assert_eq!(
            told,
            [
                format!("10.0.1.4/24 2600:1f18:1234:5601::10/64 2600:1f18:1234:5601::11/64|{both}"),
                format!("10.0.1.5/24|{both}"),
                "2600:1f18:1234:5610::4/60|2600:1f18:1234:5610::1|nameserver fd00:ec2::253"
                    .to_owned(),
                "203.0.113.90/32 2001:db8:90::90/128||".to_owned(),
                "[2001:db8:7::7]".to_owned(),
            ]
        );
    }
}
