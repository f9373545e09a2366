//! What the sender of a rejected packet is told: a reset, or an ICMP error.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;
use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
use etherparse::{Icmpv4Type, err::packet::BuildWriteError};

use crate::packet::{Addr, Answer, Packet, SubnetId, Teller};
use crate::tables::{AclRule, Classifier, PeerOf, Place, Tables};
use crate::wire::icmpv4::Icmpv4;
use crate::wire::ipv4::Ipv4;
use crate::wire::protocol;
use crate::wire::tcp::{Tcp, flags};

/// Time to live of what the emulator itself sends (RFC 1700).
const TTL: u8 = 64;

/// An ICMP error is at most so long, in bytes (RFC 1812 s. 4.3.2.3).
const LONGEST_ERROR: usize = 576;

/// The answer to the packet in `slot`, untranslated as it came.
pub(super) fn compose(
    packet: &Packet,
    slot: &[u8],
    answer: Answer,
    tables: &Tables,
) -> Option<Vec<u8>> {
    let bytes = slot.get(packet.range())?;
    let header = Ipv4::of(bytes)?;
    let (src, dst) = (header.src(), header.dst());
    let error = |by, kind| error(bytes, address(by, tables).to_v4()?, src, kind).ok();
    match answer {
        Answer::Silence => None,
        Answer::Reset { .. } => reset(packet, bytes, src, dst).ok(),
        Answer::FragmentationNeeded { by, mtu } => {
            let kind = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
            error(by, Icmpv4Type::DestinationUnreachable(kind))
        }
        Answer::TimeExceeded { by } => {
            error(by, Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit))
        }
    }
}

/// The address that tells.
fn address(by: Teller, tables: &Tables) -> Addr {
    match by {
        Teller::Router(subnet) => tables.subnet(subnet).router,
        Teller::NatGateway(id) => tables.nat_gateway(id).primary(),
    }
}

/// The subnet that an answer comes from.
fn origin(answer: Answer, tables: &Tables) -> Option<SubnetId> {
    match answer {
        Answer::Silence => None,
        Answer::Reset { from } => Some(from),
        Answer::FragmentationNeeded { by, .. } | Answer::TimeExceeded { by } => Some(match by {
            Teller::Router(subnet) => subnet,
            Teller::NatGateway(id) => tables.nat_gateway(id).subnet,
        }),
    }
}

/// Whether the network ACLs between the device that answers and the sender let the answer pass (AWS
/// "Network MTU for your EC2 instance": such messages are subject to them).
pub(super) fn arrives(packet: &Packet, told: &[u8], answer: Answer, tables: &Tables) -> bool {
    let (Some(from), Some(Place::Eni(eni))) =
        (origin(answer, tables), tables.place(packet.key.link))
    else {
        return true;
    };
    let to = tables.eni(eni).subnet;
    let Some(header) = Ipv4::of(told).filter(|_| from != to) else { return true };
    let segment = told.get(header.header_length()..).unwrap_or_default();
    let selector = match header.protocol {
        protocol::TCP => Tcp::of(segment).map(|it| it.destination_port.get()),
        _ => Icmpv4::of(segment).map(|it| u16::from_be_bytes([it.kind, it.code])),
    };
    let passes = |rules: &Classifier<AclRule>, peer: Ipv4Addr| {
        let peer = PeerOf { addr: Addr::v4(peer), groups: &[] };
        let rule = rules.first(header.protocol, selector.unwrap_or(0), peer);
        rule.is_some_and(|rule| rule.allow)
    };
    let acl = |subnet| tables.network_acl(tables.subnet(subnet).network_acl);
    passes(&acl(from).egress, header.dst()) && passes(&acl(to).ingress, header.src())
}

/// As the destination would reset a connection that does not exist (RFC 9293 s. 3.10.7.1).
fn reset(
    packet: &Packet,
    bytes: &[u8],
    src: Ipv4Addr,
    dst: Ipv4Addr,
) -> Result<Vec<u8>, BuildWriteError> {
    let empty = [0_u8; crate::wire::tcp::HEADER];
    let segment = bytes.get(usize::from(packet.transport)..).unwrap_or(&empty);
    let Some(tcp) = Tcp::of(segment).or_else(|| Tcp::of(&empty)) else { return Ok(Vec::new()) };
    let (from, to) = (tcp.destination_port.get(), tcp.source_port.get());
    let ip = PacketBuilder::ipv4(dst.octets(), src.octets(), TTL);
    let builder = if tcp.flags & flags::ACK != 0 {
        ip.tcp(from, to, tcp.acknowledgment.get(), 0).rst()
    } else {
        let data = bytes.len().saturating_sub(packet.payload());
        let phantom =
            (tcp.flags & flags::SYN != 0) as usize + (tcp.flags & flags::FIN != 0) as usize;
        let length = u32::try_from(data + phantom).unwrap_or(0);
        ip.tcp(from, to, 0, 0).rst().ack(tcp.sequence.get().wrapping_add(length))
    };
    let mut told = Vec::with_capacity(builder.size(0));
    builder.write(&mut told, &[])?;
    Ok(told)
}

fn error(
    bytes: &[u8],
    router: Ipv4Addr,
    to: Ipv4Addr,
    kind: Icmpv4Type,
) -> Result<Vec<u8>, BuildWriteError> {
    let builder = PacketBuilder::ipv4(router.octets(), to.octets(), TTL).icmpv4(kind);
    let quoted = bytes.get(..LONGEST_ERROR - builder.size(0)).unwrap_or(bytes);
    let mut told = Vec::with_capacity(builder.size(quoted.len()));
    builder.write(&mut told, quoted)?;
    Ok(told)
}
