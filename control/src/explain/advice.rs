//! What would let the packet through? A line for each reason, in the keys of the topology file.

use std::net::IpAddr;

use dataplane::packet::{Addr, Reason};
use dataplane::path::admit::{Headers, Hop, HopStage};
use dataplane::wire::protocol;
use ipnet::IpNet;

use crate::check::{EVERYWHERE, EVERYWHERE_IPV6, NAT64};
use crate::compile::Names;
use crate::explain::words::protocol_name;

/// What to change in the topology, or what to look at where nothing in it is wrong.
pub(super) fn advice(
    reason: Reason,
    last: Option<&Hop>,
    headers: &Headers,
    names: &Names,
) -> String {
    let key = &headers.key;
    let name = last.map_or("", |hop| names.kind_and_name(hop.component).1);
    let stage = last.map(|hop| hop.stage);
    let ends = || ((key.src, key.src_port()), (key.dst, key.dst_port()));
    // As it is where it was dropped: gateways on the way have translated it.
    let ((src, _), (dst, port)) = last.map_or_else(ends, |hop| (hop.src, hop.dst));
    let traffic = match key.protocol {
        protocol::TCP => format!("protocol: tcp, ports: {port}"),
        protocol::UDP => format!("protocol: udp, ports: {port}"),
        protocol::ICMP | protocol::ICMPV6 => {
            let [kind, code] = headers.selector.to_be_bytes();
            let name = protocol_name(key.protocol);
            format!("protocol: {name}, type: {kind}, code: {code}")
        }
        other => format!("protocol: {other}"),
    };
    let block = |addr: Addr| IpNet::from(IpAddr::from(addr));
    match reason {
        Reason::GroupMismatch if stage == Some(HopStage::SecurityGroupEgress) => format!(
            "add {{{traffic}, destination: {}}} to the `egress` of a security group of the sender",
            block(dst)
        ),
        Reason::GroupMismatch => format!(
            "add {{{traffic}, source: {}}} to the `ingress` of a security group of the receiver; \
            behind a gateway that translates, the source is its address",
            block(src)
        ),
        Reason::AclDenied => {
            let (side, peer) = match stage {
                Some(HopStage::NetworkAclEgress) => {
                    ("egress", format!("destination: {}", block(dst)))
                }
                _ => ("ingress", format!("source: {}", block(src))),
            };
            format!(
                "add {{rule: 1, action: allow, {traffic}, {peer}}} to the `{side}` of network ACL {name}, \
                with a number below the rule that denies; answers need rules of their own"
            )
        }
        Reason::NoRoute => format!(
            "add a route to {dst} to route table {name}, such as {{destination: {}, target: GATEWAY}}",
            everywhere(dst)
        ),
        Reason::Blackhole => {
            format!("give the route in route table {name} a target that is there, or remove it")
        }
        Reason::NoPath if is_nat64(dst) => format!(
            "route {NAT64} by a NAT gateway in the sender's route table: {name} does not translate it"
        ),
        Reason::NoPath => {
            format!("declare who has {dst}: a network interface in the VPC, or an internet host")
        }
        Reason::ForwardingLoop => format!(
            "give the subnet of the gateway another route table than {name}: one that leads to an internet gateway"
        ),
        Reason::NoPublicAddress if !src.is_v4() => {
            "send from an address of the VPC's `ipv6_cidr_block`, which is to be of 2000::/3: \
            the internet knows no other"
                .to_owned()
        }
        Reason::NoPublicAddress => {
            "give the sender a `public_ip`, or route its subnet by a public NAT gateway \
            (a private one has no public address)"
                .to_owned()
        }
        Reason::NotPublic => {
            format!("send to a public address: {dst} is none that somebody in the topology has")
        }
        Reason::SourceDestCheck => {
            format!("set `source_dest_check: false` on {name}, if it is to forward for others")
        }
        Reason::Spoofed => format!("add {src} to the `addresses` of {name}"),
        Reason::EgressOnly => format!(
            "let the inside begin, or route ::/0 of the receiver's subnet by an internet gateway \
            instead of {name}"
        ),
        Reason::ProtocolRestricted => {
            "carry it in TCP or UDP (IPsec: NAT traversal, UDP 4500), or give the \
            sender a `public_ip` and a route to the internet gateway"
                .to_owned()
        }
        Reason::Multicast => "send to a unicast address: a VPC delivers no other".to_owned(),
        Reason::NatUnsolicited => {
            "nothing reaches what is behind a NAT gateway unasked: let the inside \
            begin, or give the receiver a `public_ip`"
                .to_owned()
        }
        Reason::NatIdleTimeout => {
            "send keepalives more often than every 350 s, or connect anew".to_owned()
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
        Reason::IpVersion => "use IPv4: IPv6 is not supported yet".to_owned(),
        Reason::Malformed => "look at the sender: its packet contradicts itself".to_owned(),
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
