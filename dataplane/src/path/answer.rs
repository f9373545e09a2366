//! What the sender of a rejected packet is told: a reset, or an ICMP error.

use std::borrow::Cow;
use std::net::IpAddr;

use etherparse::err::packet::BuildWriteError;
use etherparse::icmpv4::{self, DestUnreachableHeader};
use etherparse::{Icmpv4Type, Icmpv6Type, IpHeaders, PacketBuilder, PacketBuilderStep, icmpv6};

use crate::io::segment::complete_checksum;
use crate::packet::{Addr, Answer, Packet, Slots, SubnetId, Teller};
use crate::path::headers::{self, Message, Network};
use crate::tables::{AclRule, Classifier, PeerOf, Place, Tables, Translator};
use crate::wire::ipv6::MINIMUM_MTU;
use crate::wire::tcp::{Tcp, flags};

/// Time to live of what the emulator itself sends (RFC 1700).
const TTL: u8 = 64;

/// An ICMP error of IPv4 is at most so long, in bytes (RFC 1812 s. 4.3.2.3); one of IPv6 as long as what
/// every link carries (RFC 4443 s. 2.4 (c)).
const LONGEST_ERROR: usize = 576;

/// The answer to a packet that is untranslated, as it came.
pub(super) fn compose(
    packet: &Packet,
    slots: &Slots,
    answer: Answer,
    tables: &Tables,
) -> Option<Vec<u8>> {
    let mut bytes = Cow::Borrowed(slots.get(packet.range())?);
    if packet.offload.needs_csum() {
        // On a wire the packet would have had its checksum.
        complete_checksum(bytes.to_mut(), packet.offload).ok()?;
    }
    let bytes = bytes.as_ref();
    let (src, dst) = headers::ends(bytes)?;
    let (src, dst) = (src.into(), dst.into());
    let error = |by, kind| error(bytes, (address(by, src, tables)?, src), kind).ok();
    match answer {
        Answer::Silence => None,
        Answer::Reset { .. } => reset(packet, bytes, (src, dst)).ok(),
        Answer::FragmentationNeeded { by, mtu } => error(by, Told::TooLarge(mtu)),
        Answer::ParameterProblem { by, pointer } => error(by, Told::Erroneous(pointer)),
        Answer::Unreachable { by, code } => error(by, Told::Unreachable(code)),
        Answer::TimeExceeded { by } => error(by, Told::TooFar),
    }
}

/// The address that tells `to`.
fn address(by: Teller, to: IpAddr, tables: &Tables) -> Option<IpAddr> {
    let address = match (by, to) {
        (Teller::Router(subnet), IpAddr::V4(_)) => {
            return Some(tables.subnet(subnet).router.into());
        }
        (Teller::Router(subnet), IpAddr::V6(_)) => {
            return tables.subnet(subnet).ipv6_router.map(Into::into);
        }
        (Teller::NatGateway(id), _) => {
            let is_private = to.is_ipv4() && !tables.internet.contains_key(&to.into());
            let translator = tables.translator.as_ref().filter(|_| !is_private);
            let own = translator.and_then(Translator::own);
            own.unwrap_or_else(|| tables.nat_gateway(id).primary())
        }
        (Teller::RouterBehind(id), _) => tables.subnet(tables.nat_gateway(id).subnet).router,
    };
    // A NAT gateway, and all that is behind one, is of IPv4: to a sender of IPv6 it comes as what is
    // translated there.
    Some(match to {
        IpAddr::V4(_) => address.into(),
        IpAddr::V6(_) => tables.prefix().embed(address.to_v4()?).into(),
    })
}

/// The subnet that an answer comes from.
fn origin(answer: Answer, tables: &Tables) -> Option<SubnetId> {
    match answer {
        Answer::Silence => None,
        Answer::Reset { from } => Some(from),
        Answer::FragmentationNeeded { by, .. }
        | Answer::ParameterProblem { by, .. }
        | Answer::Unreachable { by, .. }
        | Answer::TimeExceeded { by } => Some(match by {
            Teller::Router(subnet) => subnet,
            Teller::NatGateway(id) | Teller::RouterBehind(id) => tables.nat_gateway(id).subnet,
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
    let Ok(network) = Network::of(told) else { return true };
    if from == to {
        return true;
    }
    let segment = network.payload(told).unwrap_or_default();
    let selector = match Message::of(network.protocol, segment) {
        Some(message) => message.type_and_code(),
        None => Tcp::of(segment).map_or(0, |header| header.destination_port.get()),
    };
    let passes = |rules: &Classifier<AclRule>, peer: Addr| {
        let rule = rules.first(network.protocol, selector, PeerOf { addr: peer, groups: &[] });
        rule.is_some_and(|rule| rule.allow)
    };
    let acl = |subnet| tables.network_acl(tables.subnet(subnet).network_acl);
    let (src, dst) = network.ends;
    passes(&acl(from).egress, dst) && passes(&acl(to).ingress, src)
}

/// A packet from one address to another, without transport header.
fn packet_between(src: IpAddr, dst: IpAddr) -> Option<PacketBuilderStep<IpHeaders>> {
    Some(match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), TTL),
        (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), TTL),
        _ => return None,
    })
}

/// As the destination would reset a connection that does not exist (RFC 9293 s. 3.10.7.1).
fn reset(
    packet: &Packet,
    bytes: &[u8],
    (src, dst): (IpAddr, IpAddr),
) -> Result<Vec<u8>, BuildWriteError> {
    let empty = [0_u8; crate::wire::tcp::HEADER];
    let segment = bytes.get(usize::from(packet.transport)..).unwrap_or(&empty);
    let Some(tcp) = Tcp::of(segment).or_else(|| Tcp::of(&empty)) else { return Ok(Vec::new()) };
    let (from, to) = (tcp.destination_port.get(), tcp.source_port.get());
    let Some(ip) = packet_between(dst, src) else { return Ok(Vec::new()) };
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

/// What an ICMP error tells.
enum Told {
    /// More bytes than this do not go on.
    TooLarge(u16),
    /// A header field is wrong that stands there.
    Erroneous(u16),
    /// It does not get there, for the reason of this code.
    Unreachable(u8),
    /// The time to live has ended.
    TooFar,
}

fn error(
    bytes: &[u8],
    (from, to): (IpAddr, IpAddr),
    told: Told,
) -> Result<Vec<u8>, BuildWriteError> {
    let Some(ip) = packet_between(from, to) else { return Ok(Vec::new()) };
    // A builder of either kind, which no type is for.
    macro_rules! written {
        ($builder:expr, $longest:expr) => {{
            let builder = $builder;
            let quoted = bytes.get(..$longest - builder.size(0)).unwrap_or(bytes);
            let mut told = Vec::with_capacity(builder.size(quoted.len()));
            builder.write(&mut told, quoted)?;
            Ok(told)
        }};
    }
    match from {
        IpAddr::V4(_) => written!(ip.icmpv4(told.v4()), LONGEST_ERROR),
        IpAddr::V6(_) => written!(ip.icmpv6(told.v6()), usize::from(MINIMUM_MTU)),
    }
}

impl Told {
    fn v4(&self) -> Icmpv4Type {
        use icmpv4::{ParameterProblemHeader, TimeExceededCode};
        match *self {
            Self::TooLarge(next_hop_mtu) => {
                Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
                    next_hop_mtu,
                })
            }
            Self::Erroneous(pointer) => {
                let [_, pointer] = pointer.to_be_bytes();
                let problem = ParameterProblemHeader::PointerIndicatesError(pointer);
                Icmpv4Type::ParameterProblem(problem)
            }
            Self::Unreachable(code_u8) => {
                let type_u8 = crate::wire::icmpv4::kind::UNREACHABLE;
                Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8: [0; 4] }
            }
            Self::TooFar => Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit),
        }
    }

    fn v6(&self) -> Icmpv6Type {
        use icmpv6::{ParameterProblemCode, ParameterProblemHeader, TimeExceededCode};
        match *self {
            Self::TooLarge(mtu) => Icmpv6Type::PacketTooBig { mtu: mtu.into() },
            Self::Erroneous(pointer) => Icmpv6Type::ParameterProblem(ParameterProblemHeader {
                code: ParameterProblemCode::ErroneousHeaderField,
                pointer: pointer.into(),
            }),
            Self::Unreachable(code_u8) => {
                let type_u8 = crate::wire::icmpv6::kind::UNREACHABLE;
                Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8: [0; 4] }
            }
            Self::TooFar => Icmpv6Type::TimeExceeded(TimeExceededCode::HopLimitExceeded),
        }
    }
}
