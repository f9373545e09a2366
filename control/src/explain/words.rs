//! Hops, packets and reasons in the words of the contract.

use dataplane::packet::{Addr, Key, Reason};
use dataplane::path::admit::{Headers, Hop, HopStage, Rule};
use dataplane::wire::protocol;

use crate::compile::{ComponentKind as Kind, Names};
use crate::explain::{HopWords, PacketWords};

pub(super) fn hop(hop: &Hop, names: &Names) -> HopWords {
    HopWords {
        component: names.component(hop.component),
        stage: hop.stage.label(),
        rule: hop.rule.and_then(|rule| self::rule(rule, hop.stage)),
        verdict: hop.verdict.label(),
    }
}

/// A rule as it stands in the file; none where no rule was asked.
fn rule(rule: Rule, stage: HopStage) -> Option<String> {
    let side = if stage == HopStage::SecurityGroupEgress { "egress" } else { "ingress" };
    match rule {
        Rule::Group(place) => Some(format!("{side}[{place}]")),
        Rule::Acl(number) => Some(number.to_string()),
        Rule::AclDefault => Some("*".to_owned()),
        Rule::Route(net) => Some(net.to_string()),
        Rule::Tracked => None,
    }
}

pub(crate) fn packet(key: &Key) -> PacketWords {
    let with_port = |addr: Addr, port: u16| match key.protocol {
        protocol::TCP | protocol::UDP if addr.is_v4() => format!("{addr}:{port}"),
        protocol::TCP | protocol::UDP => format!("[{addr}]:{port}"),
        _ => addr.to_string(),
    };
    PacketWords {
        src: with_port(key.src, key.src_port()),
        dst: with_port(key.dst, key.dst_port()),
        protocol: protocol_name(key.protocol),
    }
}

/// A protocol by its name, or by its number where it has none here.
#[must_use]
pub(crate) fn protocol_name(number: u8) -> String {
    match number {
        protocol::ICMP => "icmp".to_owned(),
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}

/// Why a packet was dropped, in a sentence that names what to look at.
pub(super) fn detail(
    reason: Reason,
    last: Option<&Hop>,
    headers: &Headers,
    names: &Names,
) -> String {
    let key = &headers.key;
    let Some(last) = last else { return reason.text().to_owned() };
    let (kind, name) = names.kind_and_name(last.component);
    let device = match kind {
        Kind::NatGateway => format!("NAT gateway {name}"),
        Kind::NetworkAcl => format!("network ACL {name}"),
        Kind::HyperplaneEni => format!("Hyperplane ENI {name}"),
        Kind::VpcEndpoint => format!("VPC endpoint {name}"),
        // Of several, which allow together.
        Kind::Eni if reason == Reason::GroupMismatch => format!("the security groups of {name}"),
        _ => {
            let words = kind.label().replace('-', " ").replace("egress only", "egress-only");
            format!("{words} {name}")
        }
    };
    // As it is where it was dropped: gateways on the way have translated it.
    let ((src, _), (dst, port)) = (last.src, last.dst);
    let what = match key.protocol {
        protocol::TCP | protocol::UDP => {
            format!("{}/{port}", protocol_name(key.protocol))
        }
        other => format!("protocol {}", protocol_name(other)),
    };
    match (reason, last.stage) {
        (Reason::GroupMismatch, HopStage::SecurityGroupEgress) => {
            format!("no egress rule of {device} allows {what} to {dst}")
        }
        (Reason::GroupMismatch, _) => {
            format!("no ingress rule of {device} allows {what} from {src}")
        }
        (Reason::AclDenied, stage) => {
            let side = if stage == HopStage::NetworkAclEgress { "egress" } else { "ingress" };
            let rule = last.rule.and_then(|rule| self::rule(rule, stage)).unwrap_or_default();
            format!("{side} rule {rule} of {device} denies {what} from {src} to {dst}")
        }
        (Reason::NoRoute, _) => format!("{device} has no route to {dst}"),
        (Reason::Blackhole, _) => format!("the route of {device} to {dst} is a blackhole"),
        (Reason::NoPath, _) => {
            format!("{device} leads to {dst}, but nothing there has that address")
        }
        (Reason::NoPublicAddress, _) if !src.is_v4() => {
            format!(
                "{src} is no address of this VPC on the internet, so {device} does not let it out"
            )
        }
        (Reason::NoPublicAddress, _) => {
            format!("the source has no public address, so {device} does not let it out")
        }
        (Reason::NotPublic, _) if kind == Kind::VpcEndpoint => {
            format!("{device} does not lead from {src} to {dst}, or not any more")
        }
        (Reason::NotPublic, _) => format!("{dst} is no public address of any VPC or internet host"),
        (Reason::NatUnsolicited, _) => format!("{device} has no mapping for a packet from {src}"),
        (Reason::EgressOnly, _) => {
            format!("{device} lets in answers alone, and {dst} has not asked {src}")
        }
        (Reason::ProtocolRestricted, _) if kind.is_link_service() => {
            format!("{device} answers to TCP and UDP, not to {what}")
        }
        (Reason::ProtocolRestricted, _) if kind == Kind::VpcEndpoint => {
            format!("{device} does not carry {what}")
        }
        (Reason::ProtocolRestricted, _) => {
            format!("{device} carries TCP, UDP and ICMP, not {what}")
        }
        _ => format!("at {device}: {}", reason.text()),
    }
}
