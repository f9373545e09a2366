//! What does the other side see?
//!
//! Applies what was worked out once for the flow: addresses, ports, time to live, checksum deltas
//! (RFC 1624). In place, also on a super-packet, whose segments all take the same change. A packet
//! that cannot go on as it is (time to live, MTU) is refused before its bytes are touched, so that
//! the answer can quote it.

use crate::packet::{
    Answer, Batch, Component, Direction, Kind, NatGatewayId, Packet, Reason, Verdict,
};
use crate::path::quote;
use crate::state::{Device, Hot, MeterId, Shard};
use crate::tables::{NAT_GATEWAY_MTU, NatGateway, Place, Tables};
use crate::wire::checksum::{Delta, Sum};
use crate::wire::icmpv4::{self, Icmpv4};
use crate::wire::ipv4::Ipv4;
use crate::wire::protocol;
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::Udp;

/// Translates each packet that goes on.
pub fn rewrite(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    for (packet, bytes) in batch.each_mut() {
        if packet.verdict != Verdict::Forward {
            continue;
        }
        let Some(hot) = shard.flows.hot(packet.flow) else { continue };
        if let Some(verdict) = refusal(packet, bytes, hot, shard, tables) {
            packet.meter = meter_of(packet, bytes, verdict, shard, tables);
            packet.verdict = verdict;
            continue;
        }
        match packet.kind {
            Kind::Whole | Kind::FirstFragment | Kind::LaterFragment => {
                if packet.tcp_flags & tcp::flags::SYN != 0 && hot.ttl_hops > 0 {
                    clamp(packet, bytes, tables.choices.nat_mss_clamp);
                }
                translate(packet, bytes, hot);
            }
            Kind::Error => quote::translate(packet, bytes, hot),
        }
    }
}

/// Why and where a packet cannot go on as it is, if so.
fn refusal(
    packet: &Packet,
    bytes: &[u8],
    hot: &Hot,
    shard: &Shard,
    tables: &Tables,
) -> Option<Verdict> {
    let header = Ipv4::of(bytes)?;
    if header.ttl <= hot.ttl_hops && hot.ttl_hops > 0 {
        return Some(too_far(packet, header.ttl, shard, tables));
    }
    if packet.wire().longest > usize::from(hot.mtu) && header.dont_fragment() {
        return Some(too_large(packet, hot.mtu, shard, tables));
    }
    None
}

/// The gateways that count a refused packet as received.
#[cold]
fn meter_of(
    packet: &Packet,
    bytes: &[u8],
    verdict: Verdict,
    shard: &mut Shard,
    tables: &Tables,
) -> MeterId {
    let Verdict::Drop { reason, component, .. } = verdict else { return packet.meter };
    match (reason, component) {
        (Reason::TtlExpired, _) => {
            let ttl = Ipv4::of(bytes).map_or(1, |header| header.ttl.max(1));
            shard.meters.first(packet, ttl.into())
        }
        (_, Component::NatGateway(_)) => shard.meters.first(packet, 1),
        // What is too long for the internet, and comes from there, ends before a gateway.
        _ if !matches!(tables.place(packet.key.link), Some(Place::Eni(_))) => MeterId::NONE,
        _ => packet.meter,
    }
}

#[cold]
fn too_far(packet: &Packet, ttl: u8, shard: &Shard, tables: &Tables) -> Verdict {
    let hop = usize::from(ttl.saturating_sub(1));
    let translator = translator(packet, hop, shard, tables);
    let answer = match translator {
        Some((_, gateway)) if is_told(packet, tables) => {
            Answer::TimeExceeded { router: gateway.primary(), from: gateway.subnet }
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
#[cold]
fn too_large(packet: &Packet, mtu: u16, shard: &Shard, tables: &Tables) -> Verdict {
    let mut component = tables.component_at(packet.key.link);
    let by_router =
        |from| Answer::FragmentationNeeded { router: tables.subnet(from).router, mtu, from };
    let answer = match (tables.place(packet.key.link), translator(packet, 0, shard, tables)) {
        _ if !is_told(packet, tables) => Answer::Silence,
        (_, Some((id, gateway))) if packet.wire().longest > usize::from(NAT_GATEWAY_MTU) => {
            component = Component::NatGateway(id);
            let (router, from) = (gateway.primary(), gateway.subnet);
            match tables.choices.nat_tells_mtu {
                true => Answer::FragmentationNeeded { router, mtu: NAT_GATEWAY_MTU, from },
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
    let (_, cold) = shard.flows.parts(packet.flow)?;
    let mut translators = cold.facets.iter().filter_map(|facet| match facet.device {
        Device::NatGateway(id) => Some(id),
        Device::Eni(_) => None,
    });
    let id = match packet.direction {
        Direction::Original => translators.nth(hop),
        Direction::Reply => translators.nth_back(hop),
    }?;
    Some((id, tables.nat_gateways.get(id)?))
}

/// Holds what a SYN announces down to what passes the NAT gateway.
#[cold]
fn clamp(packet: &Packet, bytes: &mut [u8], most: u16) {
    if let Some(segment) = bytes.get_mut(usize::from(packet.transport)..) {
        tcp::clamp_mss(segment, most, packet.offload.needs_csum());
    }
}

/// Translates a packet, in all of its headers; of a later fragment in the only one that it has.
#[inline]
fn translate(packet: &Packet, bytes: &mut [u8], hot: &Hot) {
    let out = hot.key(packet.direction.opposite());
    let (addresses, transport) = hot.deltas(packet.direction);
    let Some(header) = Ipv4::of_mut(bytes) else { return };
    let (Some(src), Some(dst)) = (out.dst.to_v4(), out.src.to_v4()) else { return };
    header.source = src.octets();
    header.destination = dst.octets();
    header.ttl -= hot.ttl_hops;
    let change = addresses.and(ttl_delta(hot.ttl_hops));
    header.checksum.set(change.apply(header.checksum.get()));

    if packet.kind == Kind::LaterFragment {
        return;
    }
    let Some(segment) = bytes.get_mut(usize::from(packet.transport)..) else { return };
    let (src_port, dst_port) = (out.dst_port, out.src_port);
    match packet.key.protocol {
        protocol::TCP => {
            let Some(header) = Tcp::of_mut(segment) else { return };
            header.source_port.set(src_port);
            header.destination_port.set(dst_port);
            let checksum = header.checksum.get();
            header.checksum.set(if packet.offload.needs_csum() {
                addresses.apply_partial(checksum)
            } else {
                transport.apply(checksum)
            });
        }
        protocol::UDP => {
            let Some(header) = Udp::of_mut(segment) else { return };
            header.source_port.set(src_port);
            header.destination_port.set(dst_port);
            let checksum = header.checksum.get();
            if packet.offload.needs_csum() {
                header.checksum.set(addresses.apply_partial(checksum));
            } else if checksum != 0 {
                header.checksum.set(udp_checksum(transport.apply(checksum)));
            }
        }
        protocol::ICMP => {
            let Some(header) = Icmpv4::of_mut(segment) else { return };
            // An identifier of zero is the same port on either side, so that a reply may go the way
            // of requests: the message says which of the two it bears.
            match header.kind {
                icmpv4::kind::ECHO_REQUEST => header.identify(src_port),
                icmpv4::kind::ECHO_REPLY => header.identify(dst_port),
                _ => {}
            }
        }
        _ => {}
    }
}

/// A computed zero is sent as all ones: zero says that there is no checksum (RFC 768).
pub(super) const fn udp_checksum(computed: u16) -> u16 {
    if computed == 0 { 0xffff } else { computed }
}

/// What decrementing the time to live adds to the header's sum.
pub(super) const fn ttl_delta(hops: u8) -> Delta {
    Delta::between(Sum::ZERO.word((hops as u16) << 8), Sum::ZERO)
}
