//! A VPC with two network interfaces, and a host of one of its services.

use std::net::IpAddr;

use dataplane::io::memory::pair;
use dataplane::tables::VPC_MTU;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

use super::client::{Net, surroundings};
use crate::check;
use crate::endpoints::{HostSpec, Knowledge, Service, Surroundings};

pub(super) const TOPOLOGY: &str = r#"
region: eu-west-1
vpcs:
  main: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: 2600:1f18:1234:5600::/56, enable_dns_hostnames: true}
  other: {cidr_block: 10.0.0.0/16}
internet_gateways:
  igw: {vpc: main}
subnets:
  public:
    {vpc: main, availability_zone: eu-west-1b, cidr_block: 10.0.0.0/24, ipv6_cidr_block: "2600:1f18:1234:5601::/64"}
  private: {vpc: main, availability_zone: eu-west-1a, cidr_block: 10.0.1.0/24}
  six: {vpc: main, availability_zone: eu-west-1a, ipv6_native: true, ipv6_cidr_block: "2600:1f18:1234:5602::/64"}
  others: {vpc: other, cidr_block: 10.0.0.0/24}
security_groups:
  web: {vpc: main}
network_interfaces:
  web:
    subnet: public
    private_ip: 10.0.0.5
    ipv6_addresses: ["2600:1f18:1234:5601::5", "2600:1f18:1234:5601::6"]
    security_groups: [web, default]
    public_ip: 198.51.100.20
  db: {subnet: private, private_ip: 10.0.1.20}
  six: {subnet: six, ipv6_addresses: ["2600:1f18:1234:5602::5"]}
  other: {subnet: others, private_ip: 10.0.0.99}
"#;

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn knowledge() -> Knowledge {
    let sound = check::read(TOPOLOGY, "topology.yaml").map_err(|report| report.to_string());
    Knowledge::of(&sound.unwrap().topology)
}

/// A host that serves `main` and whose client has all addresses, and the host's surroundings, whose clock stands.
pub(super) fn serving(service: Service, addresses: &[&str]) -> (Net, Surroundings) {
    let (link, peer) = pair(4096).unwrap();
    let host = HostSpec {
        name: service.to_string(),
        vpc: Some("main".to_owned()),
        addresses: addresses.iter().map(|it| address(it)).collect(),
        serves: vec![service],
        mtu: VPC_MTU,
        peer,
    };
    let surroundings = surroundings(knowledge());
    let mut net = Net::with((host, link), address("10.0.0.5"), surroundings.clone());
    net.client.take_any_address();
    (net, surroundings)
}

/// What the host answers at once to a datagram: from where, and the payload.
pub(super) fn asked_by_datagram(
    net: &mut Net,
    (from, to, port): (&str, &str, u16),
    payload: &[u8],
) -> Vec<(IpAddr, Vec<u8>)> {
    let ip = match (address(from), address(to)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        _ => panic!("{from} and {to} are not of one family"),
    };
    let mut packet = Vec::new();
    ip.udp(4000, port).write(&mut packet, payload).unwrap();
    net.client.link.put(&packet);
    net.host.turn(net.now);
    let answers = std::iter::from_fn(|| net.client.link.take());
    let answers = answers.map(|answer| {
        let packet = SlicedPacket::from_ip(&answer).unwrap();
        let source = match packet.net.unwrap() {
            NetSlice::Ipv4(ip) => IpAddr::V4(ip.header().source_addr()),
            NetSlice::Ipv6(ip) => IpAddr::V6(ip.header().source_addr()),
            other => panic!("not IP: {other:?}"),
        };
        let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("not UDP") };
        assert_eq!((udp.source_port(), udp.destination_port()), (port, 4000));
        (source, udp.payload().to_vec())
    });
    answers.collect()
}
