//! What would let the packet through? A line for each reason, in the keys of the topology file.

use std::net::IpAddr;

use dataplane::packet::{Addr, Component, Direction, Reason};
use dataplane::path::admit::{Headers, Hop, HopStage, Rule};
use dataplane::tables::{Eni, INTERFACE_ENDPOINT_SERVES, Role, Tables, is_service};
use dataplane::wire::protocol;
use ipnet::IpNet;

use crate::check::{EVERYWHERE, EVERYWHERE_IPV6, INSTANCES, NAT64, PROVIDER};
use crate::compile::services::{IPV6_METADATA, IPV6_RESOLVER, RESOLVER};
use crate::compile::{ComponentKind as Kind, Names};
use crate::explain::words::protocol_name;

/// What advice goes by beside the packet and the check that it did not pass.
pub(super) struct Around<'a> {
    pub(super) tables: &'a Tables,
    pub(super) names: &'a Names,
    /// Where resolvers of VPCs would answer that have none.
    pub(super) silent: Vec<IpAddr>,
    /// Whether a workload outside the VPCs sends, which cannot have a public address.
    pub(super) is_from_workload: bool,
}

/// What to change in the topology, or what to look at where nothing in it is wrong.
pub(super) fn advice(
    reason: Reason,
    last: Option<&Hop>,
    headers: &Headers,
    direction: Direction,
    around: &Around<'_>,
) -> String {
    let Around { tables, names, silent, .. } = around;
    let is_from_workload = around.is_from_workload && direction == Direction::Original;
    let key = &headers.key;
    let (kind, name) = last.map(|hop| names.kind_and_name(hop.component)).unzip();
    let name = name.unwrap_or_default();
    let stage = last.map(|hop| hop.stage);
    let rule = last.and_then(|hop| hop.rule);
    let ends = || ((key.src, key.src_port()), (key.dst, key.dst_port()));
    // As it is where it was dropped: gateways on the way have translated it.
    let ((src, _), (dst, port)) = last.map_or_else(ends, |hop| (hop.src, hop.dst));
    let traffic = match (key.protocol, direction) {
        // Who asks has another port each time (AWS "Custom network ACLs": ephemeral ports).
        (protocol::TCP, Direction::Reply) if port >= 1024 => {
            "protocol: tcp, ports: 1024-65535".to_owned()
        }
        (protocol::UDP, Direction::Reply) if port >= 1024 => {
            "protocol: udp, ports: 1024-65535".to_owned()
        }
        (protocol::TCP, _) => format!("protocol: tcp, ports: {port}"),
        (protocol::UDP, _) => format!("protocol: udp, ports: {port}"),
        (protocol::ICMP | protocol::ICMPV6, _) => {
            let [kind, code] = headers.selector.to_be_bytes();
            let family = if src.is_v4() { protocol::ICMP } else { protocol::ICMPV6 };
            let family = protocol_name(family);
            format!("protocol: {family}, type: {kind}, code: {code}")
        }
        (other, _) => format!("protocol: {other}"),
    };
    let (side, peer) = match stage {
        Some(HopStage::SecurityGroupEgress | HopStage::NetworkAclEgress) => {
            ("egress", format!("destination: {}", only(dst)))
        }
        _ => ("ingress", format!("source: {}", only(src))),
    };
    match reason {
        Reason::GroupMismatch
            if last.is_some_and(|hop| is_of_endpoint(hop, tables))
                && (key.protocol, port) != INTERFACE_ENDPOINT_SERVES =>
        {
            "use TCP port 443: an interface endpoint carries nothing else, whatever its security groups allow"
                .to_owned()
        }
        Reason::GroupMismatch => {
            let rule = format!("{{{traffic}, {peer}}}");
            let change = match (kind, name) {
                (Some(Kind::SecurityGroup), "default") => format!(
                    "declare a security group with {rule} in its `{side}`, and name it in the `security_groups` of \
                    the interface: nothing can be added to the VPC's own"
                ),
                (Some(Kind::SecurityGroup), INSTANCES) => {
                    return "send to something else: nobody gets in to an instance of a workload, not even another"
                        .to_owned();
                }
                (Some(Kind::SecurityGroup), _) => {
                    format!("add {rule} to the `{side}` of security group {name}")
                }
                _ => format!("add {rule} to the `{side}` of one of the security groups of {name}"),
            };
            let is_translated = side == "ingress" && src != key.src;
            let why = "; a gateway has translated the source, which no reference to a group matches any more";
            change + if is_translated { why } else { "" }
        }
        Reason::AclDenied => {
            let answers = match direction {
                Direction::Original => "; answers need rules of their own",
                Direction::Reply => "",
            };
            let below = match rule {
                Some(Rule::Acl(1)) => {
                    return format!(
                        "remove rule 1 from the `{side}` of network ACL {name}{answers}"
                    );
                }
                Some(Rule::Acl(number)) => format!(" below {number}"),
                _ => String::new(),
            };
            format!(
                "add {{rule: 1, action: allow, {traffic}, {peer}}} to the `{side}` of network ACL {name}, under 1 or any \
                number{below} that is free{answers}"
            )
        }
        Reason::NoRoute => {
            let route = format!(
                "a route to {dst}, such as {{destination: {}, target: GATEWAY}}",
                everywhere(dst)
            );
            match name {
                "main" => format!(
                    "declare a route table with {route}, and name it as the `route_table` of the subnet: nothing can \
                    be added to the VPC's own"
                ),
                _ => format!("add {route}, to route table {name}"),
            }
        }
        Reason::Blackhole => {
            let route = match rule {
                Some(Rule::Route(net)) => format!("the route to {net}"),
                _ => "the route".to_owned(),
            };
            format!("give {route} in route table {name} a target that is there, or remove it")
        }
        Reason::NoPath if is_nat64(dst) => format!(
            "route {NAT64} by a NAT gateway in the sender's route table: {name} does not translate it"
        ),
        Reason::NoPath if silent.contains(&IpAddr::from(dst)) => {
            "set the VPC's `enable_dns_support: true`: then its resolver answers".to_owned()
        }
        Reason::NoPath => no_path(dst, stage, src == dst),
        Reason::ForwardingLoop => format!(
            "give the subnet of the gateway another route table than {name}: one that leads to an internet gateway"
        ),
        Reason::NoPublicAddress if !src.is_v4() => {
            "send from an address of the VPC's `ipv6_cidr_block`, which is to be of 2000::/3: \
            the internet knows no other"
                .to_owned()
        }
        Reason::NoPublicAddress if is_from_workload => {
            "route the subnet of its Hyperplane ENI by a public NAT gateway: a workload sends by the private address of \
            that ENI alone"
                .to_owned()
        }
        Reason::NoPublicAddress => {
            "give the sender a `public_ip`, or route its subnet by a public NAT gateway \
            (a private one has no public address)"
                .to_owned()
        }
        Reason::NotPublic if dst.to_v4().is_some_and(|it| it.is_private()) => {
            "give the receiver a `public_ip`, and send to that".to_owned()
        }
        Reason::NotPublic => {
            format!("send to a public address that somebody has: {dst} is nobody's")
        }
        Reason::SourceDestCheck => {
            format!("set `source_dest_check: false` on {name}, if it is to forward for others")
        }
        Reason::Spoofed => format!("add {src} to the `addresses` of {name}"),
        Reason::EgressOnly => format!(
            "let the inside begin, or route ::/0 of the receiver's subnet by an internet gateway \
            instead of {name}"
        ),
        Reason::ProtocolRestricted if kind.is_some_and(Kind::is_link_service) => {
            "ask it by UDP or TCP: services at the link answer to nothing else".to_owned()
        }
        Reason::ProtocolRestricted if kind == Some(Kind::VpcEndpoint) => {
            "use TCP port 443: an interface endpoint carries nothing else, a gateway endpoint TCP and ICMP echoes"
                .to_owned()
        }
        Reason::ProtocolRestricted if is_from_workload => {
            "carry it in TCP or UDP (IPsec: NAT traversal, UDP 4500): whatever a workload sends is translated"
                .to_owned()
        }
        Reason::ProtocolRestricted => {
            "carry it in TCP or UDP (IPsec: NAT traversal, UDP 4500), or give the \
            sender a `public_ip` and a route to the internet gateway"
                .to_owned()
        }
        Reason::Multicast => "send to a unicast address: a VPC delivers no other".to_owned(),
        Reason::NatUnsolicited if kind == Some(Kind::HyperplaneEni) => {
            "let the workload begin: nobody gets in by a Hyperplane ENI, whatever its groups say"
                .to_owned()
        }
        Reason::NatUnsolicited if (kind, name) == (Some(Kind::NatGateway), PROVIDER) => {
            "let the workload begin: nobody gets in to one from the internet".to_owned()
        }
        Reason::NatUnsolicited => {
            "a NAT gateway answers nobody, and lets nothing in but answers: let the inside \
            begin, or give the receiver a `public_ip` and send to that"
                .to_owned()
        }
        Reason::NatIdleTimeout | Reason::EndpointIdleTimeout => {
            "send keepalives more often than every 350 s, or connect anew".to_owned()
        }
        Reason::NatPortAllocation if kind == Some(Kind::VpcEndpoint) => {
            "name more `subnets`, or keep connections open instead of opening new ones".to_owned()
        }
        Reason::NatPortAllocation => format!(
            "give NAT gateway {name} more `public_ips`, spread connections over more destinations, or \
            keep them open instead of opening new ones"
        ),
        Reason::NotPickedUp => {
            "connect anew: the connection is no longer tracked, and `profile` says that \
            what is not tracked begins with a SYN"
                .to_owned()
        }
        Reason::AllowanceExceeded => {
            "close connections, raise `profile.tracking_connections`, or let the groups \
            allow everything both ways, which is not tracked"
                .to_owned()
        }
        Reason::LinkLocalAllowanceExceeded => {
            "ask less often, or keep answers for as long as they say; AWS does not raise its limit of \
            1024 packets a second, here it is `profile.link_local_packets_per_second`"
                .to_owned()
        }
        Reason::NatFragment => {
            "send smaller packets: lower the MTU, or let path MTU discovery work".to_owned()
        }
        Reason::FragmentIncomplete => {
            "let the first fragment pass, or send datagrams that fit the MTU".to_owned()
        }
        Reason::IcmpUnmatched => {
            "an error counts only while the flow that it quotes lives".to_owned()
        }
        Reason::TtlExpired => {
            "send with a larger time to live; a routing loop would use up any".to_owned()
        }
        Reason::MtuExceeded => {
            "let ICMP type 3 code 4 reach the sender (security groups, network ACLs), \
            or lower its MTU"
                .to_owned()
        }
        Reason::ExtensionHeaders => "send it with at most eight extension headers, whole and in the order of RFC 8200 s. 4.1".to_owned(),
        Reason::Nat64Destination => "ask for the IPv4 address of a host: what stands in the last 32 bits is nobody's".to_owned(),
        Reason::Untranslatable => "use TCP, UDP with a checksum, or echoes: nothing else changes its family".to_owned(),
        Reason::Malformed => "look at the sender: its packet contradicts itself".to_owned(),
        Reason::HyperplanePending => {
            "wait: a Hyperplane ENI takes 2 to 5 minutes of emulated time (`hypertun clock advance 5m`)".to_owned()
        }
        Reason::HyperplaneIdle => {
            "send keepalives more often than every 350 s, or connect anew: nobody is told that a connection was forgotten"
                .to_owned()
        }
        Reason::FlowTableFull
        | Reason::WorkerOverrun
        | Reason::HandOverFull
        | Reason::LinkFull
        | Reason::LinkDown => {
            "nothing in the topology: the emulator was overloaded or the receiver is gone"
                .to_owned()
        }
    }
}

/// Whether what was asked are the security groups of an interface endpoint, for what comes in.
fn is_of_endpoint(hop: &Hop, tables: &Tables) -> bool {
    let is_asked = |at: usize, eni: &Eni| match hop.component {
        Component::Eni(id) => id.index() == at,
        Component::SecurityGroup(group) => eni.groups == [group],
        _ => false,
    };
    let mut receivers = tables.enis.iter().filter(|(_, eni)| eni.addresses.contains(&hop.dst.0));
    hop.stage == HopStage::SecurityGroupIngress
        && receivers.any(|(at, eni)| matches!(eni.role, Role::VpcEndpoint(_)) && is_asked(at, eni))
}

/// The block of one address.
fn only(address: Addr) -> String {
    format!("{address}/{}", if address.is_v4() { 32 } else { 128 })
}

/// What leads nowhere: from a route table, or from an internet gateway, back to the sender or on.
fn no_path(dst: Addr, stage: Option<HopStage>, turns_back: bool) -> String {
    if is_service(dst) {
        return match IpAddr::from(dst) {
            IPV6_METADATA => {
                "enable it: the metadata service answers by IPv6 with `metadata_options: {http_protocol_ipv6: enabled}`"
            }
            RESOLVER | IPV6_RESOLVER => "set the VPC's `enable_dns_support: true`: then its resolver answers",
            _ => "do without it: this interface has no such service at its link",
        }
        .to_owned();
    }
    let Some(dst) = dst.to_v4() else { return "send to an address that somebody has".to_owned() };
    match stage {
        Some(HopStage::Gateway) if turns_back => {
            "let `profile.igw_hairpin` be true, or send to the private address".to_owned()
        }
        Some(HopStage::Gateway) if dst.is_private() => format!(
            "send to a public address: the internet has no {dst}, and VPCs reach each other by public addresses alone"
        ),
        Some(HopStage::Gateway) => {
            format!("declare an internet host with {dst} in its `addresses`")
        }
        _ => format!(
            "declare a network interface with `private_ip: {dst}`, or send to one that is there"
        ),
    }
}

/// The destination of a route that leads to `addr`, as most tables have it.
fn everywhere(addr: Addr) -> IpNet {
    match IpAddr::from(addr) {
        _ if is_nat64(addr) => IpNet::V6(NAT64),
        IpAddr::V4(_) => EVERYWHERE,
        IpAddr::V6(_) => EVERYWHERE_IPV6,
    }
}

/// Whether `addr` stands for one of IPv4.
fn is_nat64(addr: Addr) -> bool {
    IpNet::V6(NAT64).contains(&IpAddr::from(addr))
}
