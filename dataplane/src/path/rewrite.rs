//! What does the other side see?
//!
//! Applies what was worked out once for the flow: addresses, ports, time to live, checksum deltas
//! (RFC 1624). In place, also on a super-packet, whose segments all take the same change. A packet
//! that cannot go on as it is (time to live, MTU) is refused before its bytes are touched, so that
//! the answer can quote it.

use crate::packet::batch::Outer;
use crate::packet::{
    Answer, Batch, Component, Direction, Kind, NatGatewayId, Packet, Reason, Teller, Verdict, Wire,
};
use crate::path::quote;
use crate::state::{Device, Hot, MeterId, Shard};
use crate::tables::{NAT_GATEWAY_MTU, NatGateway, Place, Tables};
use crate::wire::icmpv4::{self, Icmpv4};
use crate::wire::ipv4::Ipv4;
use crate::wire::protocol;
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};

/// Translates each packet that goes on.
pub fn rewrite(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    if batch.left == 0 {
        return;
    }
    for (packet, slot, outer) in batch.lanes_mut() {
        if packet.is_forwarded()
            && let Some(bytes) = packet.bytes_mut(slot)
        {
            change(packet, bytes, *outer, shard, tables);
        }
    }
}

/// Whether a packet is sure to go on, and no more than translated.
#[inline(always)]
pub(super) fn is_common(packet: &Packet, bytes: &[u8], hot: &Hot, wire: &Wire) -> bool {
    Ipv4::of(bytes).is_some_and(|header| header.ttl > hot.ttl_hops)
        && wire.longest <= usize::from(hot.mtu)
        && packet.tcp_flags & tcp::flags::SYN == 0
}

fn change(packet: &mut Packet, bytes: &mut [u8], outer: Outer, shard: &mut Shard, tables: &Tables) {
    let Some(hot) = shard.flows.hot(packet.flow()) else { return };
    let Some(header) = Ipv4::of(bytes) else { return };
    let ttl = header.ttl;
    let is_too_far = ttl <= hot.ttl_hops && hot.ttl_hops > 0;
    let is_too_large = packet.wire().longest > usize::from(hot.mtu) && header.dont_fragment();
    if is_too_far || is_too_large {
        let verdict = match is_too_far {
            true => too_far(packet, ttl, shard, tables),
            false => too_large(packet, hot.mtu, shard, tables),
        };
        packet.meter = meter_of(packet, ttl, verdict, shard, tables);
        packet.verdict = verdict;
    } else if packet.kind == Kind::Error {
        quote::translate(packet, bytes, outer, hot);
    } else {
        if packet.tcp_flags & tcp::flags::SYN != 0 && hot.ttl_hops > 0 {
            clamp(packet, bytes, tables.choices.nat_mss_clamp);
        }
        translate(packet, bytes, (hot, packet.direction()));
    }
}

/// The gateways that count a refused packet as received.
fn meter_of(
    packet: &Packet,
    ttl: u8,
    verdict: Verdict,
    shard: &mut Shard,
    tables: &Tables,
) -> MeterId {
    let Verdict::Drop { reason, component, .. } = verdict else { return packet.meter };
    match (reason, component) {
        (Reason::TtlExpired, _) => shard.meters.first(packet, ttl.max(1).into()),
        (_, Component::NatGateway(_)) => shard.meters.first(packet, 1),
        // What is too long for the internet, and comes from there, ends before a gateway.
        _ if !matches!(tables.place(packet.key.link), Some(Place::Eni(_))) => MeterId::NONE,
        _ => packet.meter,
    }
}

fn too_far(packet: &Packet, ttl: u8, shard: &Shard, tables: &Tables) -> Verdict {
    let hop = usize::from(ttl.saturating_sub(1));
    let translator = translator(packet, hop, shard, tables);
    let answer = match translator {
        Some((id, _)) if is_told(packet, tables) => {
            Answer::TimeExceeded { by: Teller::NatGateway(id) }
        }
        _ => Answer::Silence,
    };
    let component = translator
        .map_or_else(|| tables.component_at(packet.key.link), |(id, _)| Component::NatGateway(id));
    Verdict::Drop { reason: Reason::TtlExpired, component, answer }
}

/// The first hop that the packet is too large for tells its sender: a NAT gateway by itself, an
/// internet gateway by the router of the subnet that the packet comes from (AWS "Network MTU for your
/// EC2 instance", "NAT gateway basics").
fn too_large(packet: &Packet, mtu: u16, shard: &Shard, tables: &Tables) -> Verdict {
    let mut component = tables.component_at(packet.key.link);
    let by_router = |subnet| Answer::FragmentationNeeded { by: Teller::Router(subnet), mtu };
    let answer = match (tables.place(packet.key.link), translator(packet, 0, shard, tables)) {
        _ if !is_told(packet, tables) => Answer::Silence,
        (_, Some((id, _))) if packet.wire().longest > usize::from(NAT_GATEWAY_MTU) => {
            component = Component::NatGateway(id);
            match tables.choices.nat_tells_mtu {
                true => {
                    Answer::FragmentationNeeded { by: Teller::NatGateway(id), mtu: NAT_GATEWAY_MTU }
                }
                false => Answer::Silence,
            }
        }
        (_, Some((_, gateway))) => by_router(gateway.subnet),
        (Some(Place::Eni(eni)), None) => by_router(tables.eni(eni).subnet),
        _ => Answer::Silence,
    };
    Verdict::Drop { reason: Reason::MtuExceeded, component, answer }
}

/// Whether the sender of a packet is told by an ICMP error: it is in a VPC, and this is no error
/// itself (RFC 1122 s. 3.2.2).
fn is_told(packet: &Packet, tables: &Tables) -> bool {
    packet.kind != Kind::Error && matches!(tables.place(packet.key.link), Some(Place::Eni(_)))
}

/// The NAT gateway that a packet comes to after `hop` others.
fn translator<'t>(
    packet: &Packet,
    hop: usize,
    shard: &Shard,
    tables: &'t Tables,
) -> Option<(NatGatewayId, &'t NatGateway)> {
    let (_, cold) = shard.flows.parts(packet.flow())?;
    let mut translators = cold.facets.iter().filter_map(|facet| match facet.device {
        Device::NatGateway(id) => Some(id),
        Device::Eni(_) | Device::EgressOnlyInternetGateway(_) => None,
    });
    let id = match packet.direction() {
        Direction::Original => translators.nth(hop),
        Direction::Reply => translators.nth_back(hop),
    }?;
    Some((id, tables.nat_gateways.get(id)?))
}

/// Holds what a SYN announces down to what passes the NAT gateway.
fn clamp(packet: &Packet, bytes: &mut [u8], most: u16) {
    if let Some(segment) = bytes.get_mut(usize::from(packet.transport)..) {
        tcp::clamp_mss(segment, most, packet.offload.needs_csum());
    }
}

/// Translates a packet, in all of its headers; of a later fragment in the only one that it has.
#[inline(always)]
pub(super) fn translate(packet: &Packet, bytes: &mut [u8], (hot, direction): (&Hot, Direction)) {
    let out = hot.key(direction.opposite());
    let transport = hot.transport_delta(direction);
    let is_partial = packet.offload.needs_csum();
    let ports = out.ports.reversed();
    let (kind, protocol, transport_at) =
        (packet.kind, packet.key.protocol, usize::from(packet.transport));
    let Some(header) = Ipv4::of_mut(bytes) else { return };
    header.source = out.dst.low();
    header.destination = out.src.low();
    header.ttl -= hot.ttl_hops;
    header.checksum = hot.header_delta(direction).apply(header.checksum);

    if kind == Kind::LaterFragment {
        return;
    }
    let Some(segment) = bytes.get_mut(transport_at..) else { return };
    match protocol {
        protocol::TCP => {
            let Some(header) = Tcp::of_mut(segment) else { return };
            header.set_ports(ports);
            header.checksum = match is_partial {
                true => hot.address_delta(direction).apply_partial(header.checksum),
                false => transport.apply(header.checksum),
            };
        }
        protocol::UDP => {
            let Some(header) = Udp::of_mut(segment) else { return };
            header.set_ports(ports);
            header.checksum = match is_partial {
                true => hot.address_delta(direction).apply_partial(header.checksum),
                false => udp::apply(transport, header.checksum),
            };
        }
        protocol::ICMP => {
            let Some(header) = Icmpv4::of_mut(segment) else { return };
            // An identifier of zero is the same port on either side, so that a reply may go the way
            // of requests: the message says which of the two it bears.
            match header.kind {
                icmpv4::kind::ECHO_REQUEST => header.identify(out.dst_port()),
                icmpv4::kind::ECHO_REPLY => header.identify(out.src_port()),
                _ => {}
            }
        }
        _ => {}
    }
}
