//! Changes to the topology, by name.

use std::ops::RangeInclusive;

use dataplane::shared::PortRange;
use dataplane::tables::{AclRule, IcmpErrors, Peer, Selector, Target};
use dataplane::time::{Span, Tick};
use dataplane::wire::protocol;

use super::line;
use crate::common::topology::{EIGW, IGW, NAT_A, NAT_B, S3, Topology, net};

/// Changes `topology`, as it is from `now` on.
pub fn change(topology: &mut Topology, words: &[&str], now: Tick) {
    match words {
        ["drain", seconds] => {
            let drained = now.after(Span::seconds(seconds.parse().unwrap()));
            topology.draining = Some(drained);
        }
        ["allow", group, direction, protocol, ports, peer] => {
            let group = &mut topology.groups[line::group(group)];
            let rules = if *direction == "egress" { &mut group.egress } else { &mut group.ingress };
            let peer = match peer.parse() {
                Ok(net) => Peer::Net(net),
                Err(_) => {
                    let group = u16::try_from(line::group(peer)).unwrap();
                    Peer::Group(dataplane::packet::GroupId(group))
                }
            };
            rules.push((selector(protocol, ports), peer));
        }
        ["revoke", group, direction] => {
            let group = &mut topology.groups[line::group(group)];
            let rules = if *direction == "egress" { &mut group.egress } else { &mut group.ingress };
            rules.clear();
        }
        ["acl", subnet, direction, number, verdict, protocol, ports, peer] => {
            let acl = &mut topology.acls[line::subnet(subnet)];
            let rules = if *direction == "egress" { &mut acl.egress } else { &mut acl.ingress };
            let rule = AclRule { number: number.parse().unwrap(), allow: *verdict == "allow" };
            rules.push((rule, selector(protocol, ports), net(peer)));
        }
        ["route", subnet, destination, target] => {
            let routes = &mut topology.routes[line::subnet(subnet)];
            let destination = net(destination);
            routes.retain(|&(other, _)| other != destination);
            let target = match *target {
                "igw" => Target::InternetGateway(IGW),
                "eigw" => Target::EgressOnlyInternetGateway(EIGW),
                "nat-a" => Target::NatGateway(NAT_A),
                "nat-b" => Target::NatGateway(NAT_B),
                "s3" => Target::VpcEndpoint(S3),
                "blackhole" => Target::Blackhole,
                "none" => return,
                other => panic!("no target {other}"),
            };
            routes.push((destination, target));
        }
        ["hyperplane", connections, ports] => {
            let (first, last) = range(ports).into_inner();
            let limit = u32::from(last - first) + 1;
            topology.hyperplane.connections = connections.parse().unwrap();
            topology.hyperplane.ports = PortRange { first, last, limit };
        }
        ["pending", seconds] => {
            let ready = now.after(Span::seconds(seconds.parse().unwrap()));
            topology.hyperplane.ready = Some(ready);
        }
        ["nat-ports", ports] => {
            let (first, last) = range(ports).into_inner();
            topology.ports = PortRange { first, last, ..topology.ports };
        }
        ["profile", key, value] => {
            let choices = &mut topology.choices;
            match *key {
                "igw_hairpin" => choices.igw_hairpin = value.parse().unwrap(),
                "nat_resets_unmapped_tcp" => choices.nat_resets_unmapped = value.parse().unwrap(),
                "tracking_tcp_pickup" => choices.tracking_tcp_pickup = value.parse().unwrap(),
                "tracking_icmp_errors" => {
                    assert_eq!(*value, "documented");
                    choices.tracking_icmp_errors = IcmpErrors::Documented;
                }
                "tracking_connections" => {
                    choices.tracking_connections = Some(value.parse().unwrap());
                }
                "link_local_packets_per_second" => {
                    choices.link_local_packets = Some(value.parse().unwrap());
                }
                other => panic!("no key {other}"),
            }
        }
        ["timeout", eni, key, seconds] => {
            let tracking = &mut topology.tracking[line::group(eni)];
            let timeout = match *key {
                "tcp_established_timeout" => &mut tracking.tcp_established,
                "udp_timeout" => &mut tracking.udp,
                "udp_stream_timeout" => &mut tracking.udp_stream,
                other => panic!("no key {other}"),
            };
            *timeout = Some(Span::seconds(seconds.parse().unwrap()));
        }
        _ => panic!("what is `{}`?", words.join(" ")),
    }
}

/// `443`, `1024-65535` or `*`; for ICMP `TYPE/CODE` or `*`.
fn selector(protocol: &str, ports: &str) -> Selector {
    let protocol = match protocol {
        "all" => None,
        "tcp" => Some(protocol::TCP),
        "udp" => Some(protocol::UDP),
        "icmp" => Some(protocol::ICMP),
        "icmpv6" => Some(protocol::ICMPV6),
        other => Some(other.parse().unwrap()),
    };
    Selector { protocol, ports: range(ports) }
}

fn range(text: &str) -> RangeInclusive<u16> {
    if text == "*" {
        return 0..=u16::MAX;
    }
    if let Some((kind, code)) = text.split_once('/') {
        let word = u16::from_be_bytes([kind.parse().unwrap(), code.parse().unwrap()]);
        return word..=word;
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    first.parse().unwrap()..=last.parse().unwrap()
}
