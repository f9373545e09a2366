//! What a topology needs of the host: a seat for each network interface and internet host.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use dataplane::packet::LinkId;
use dataplane::tables::{INTERNET_MTU, VPC_MTU};
use ipnet::Ipv4Net;

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
    let base = |cidr: Ipv4Net, offset| Ipv4Addr::from_bits(cidr.network().to_bits() + offset);
    let address = Ipv4Net::new(interface.private_ip, subnet.cidr.prefix_len())
        .expect("the length is one of a checked block");
    let mut resolv_conf = String::new();
    if vpc.dns_support {
        // The resolver is at the VPC's primary block plus two (AWS "DHCP option sets").
        let resolver = base(vpc.cidrs[0], 2);
        let _ = writeln!(resolv_conf, "nameserver {resolver}");
    }
    SeatKind::Namespace {
        interface: Interface {
            addresses: vec![address.into()],
            gateways: vec![base(subnet.cidr, 1).into()],
            mtu: VPC_MTU.into(),
        },
        resolv_conf,
    }
}

fn of_host(host: &InternetHost) -> SeatKind {
    if host.namespace {
        SeatKind::Namespace {
            interface: Interface {
                addresses: host.addresses.iter().map(|&it| Ipv4Net::from(it).into()).collect(),
                gateways: Vec::new(),
                mtu: INTERNET_MTU.into(),
            },
            resolv_conf: String::new(),
        }
    } else {
        SeatKind::BuiltIn {
            addresses: host.addresses.iter().copied().map(Into::into).collect(),
            serves: host.serves.clone(),
        }
    }
}
