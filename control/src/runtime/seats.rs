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
