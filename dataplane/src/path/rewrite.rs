//! What does the other side see?
//!
//! Applies what was worked out once for the flow: addresses, ports, time to live, checksum deltas
//! (RFC 1624). In place, also on a super-packet, whose segments all take the same change. A packet
//! that cannot go on as it is (time to live, MTU) is refused before its bytes are touched, so that
//! the answer can quote it.

use crate::io::SLOT;
use crate::packet::batch::Outer;
use crate::packet::{
    Answer, Batch, Component, Direction, Kind, NatGatewayId, Packet, Reason, Teller, Verdict, Wire,
};
use crate::path::{emit, nat64, quote};
use crate::state::{Device, Hot, MeterId, Shard};
use crate::tables::{INTERNET_MTU, NAT_GATEWAY_MTU, Place, Tables};
use crate::wire::icmpv4::{Icmpv4, Role};
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use crate::wire::protocol;
use crate::wire::rfc7915::Refusal;
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};

/// Translates each packet that goes on.
pub fn rewrite(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    if batch.left == 0 {
        return;
    }
    for (packet, slot, outer) in batch.lanes_mut() {
        if packet.is_forwarded() {
            change(packet, slot, *outer, shard, tables);
        }
    }
}

/// Translates a packet that is sure to go on, and needs nothing more; whether it was one.
#[inline(always)]
pub(super) fn carry(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    (hot, direction): (&Hot, Direction),
    wire: &Wire,
    identification: &mut u16,
) -> bool {
    if packet.key.is_v6() || hot.key(direction.opposite()).is_v6() {
        return carry_v6(packet, slot, (hot, direction), wire, identification);
    }
    let Some(bytes) = packet.bytes_mut(slot) else { return false };
    let goes_on = Ipv4::of(bytes).is_some_and(|header| header.ttl > hot.ttl_hops)
        && wire.longest <= usize::from(hot.mtu_of(false))
        && !announces(packet);
    if goes_on {
        translate(packet, bytes, (hot, direction));
    }
    goes_on
}

/// The same of a packet that is of IPv6, or becomes one.
#[inline(never)]
fn carry_v6(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    (hot, direction): (&Hot, Direction),
    wire: &Wire,
    identification: &mut u16,
) -> bool {
    let Some(bytes) = packet.bytes_mut(slot) else { return false };
    let is_v6 = packet.key.is_v6();
    let hops = match is_v6 {
        true => Ipv6::of(bytes).map(|header| header.hop_limit),
        false => Ipv4::of(bytes).map(|header| header.ttl),
    };
    if hops.is_none_or(|hops| hops <= hot.ttl_hops)
        || wire.longest > usize::from(hot.mtu_of(is_v6))
        || announces(packet)
    {
        return false;
    }
    // Without a change of family, IPv6 is not translated.
    !hot.crosses() || nat64::carry(packet, slot, (hot, direction), identify(identification, wire))
}

/// Whether a packet tells how long segments may be.
#[inline(always)]
const fn announces(packet: &Packet) -> bool {
    packet.tcp_flags & tcp::flags::SYN != 0
}

/// The next identification for a packet of IPv4 that comes from one of IPv6; as many as there will be
/// packets (RFC 7915 s. 5.1).
fn identify(next: &mut u16, wire: &Wire) -> u16 {
    let packets = u16::try_from(wire.packets).unwrap_or(1);
    std::mem::replace(next, next.wrapping_add(packets))
}

fn change(
    packet: &mut Packet,
    slot: &mut [u8; SLOT],
    outer: Outer,
    shard: &mut Shard,
    tables: &Tables,
) {
    let Some(&hot) = shard.flows.hot(packet.flow()) else { return };
    let Some(bytes) = packet.bytes_mut(slot) else { return };
    let (is_v6, wire) = (packet.key.is_v6(), packet.wire());
    // IPv6 is fragmented by who sends it, and by nobody else (RFC 8200 s. 5).
    let limits = match is_v6 {
        true => Ipv6::of(bytes).map(|header| (header.hop_limit, true)),
        false => Ipv4::of(bytes).map(|header| (header.ttl, header.dont_fragment())),
    };
    let Some((ttl, stays_whole)) = limits else { return };
    let mtu = hot.mtu_of(is_v6);
    if ttl <= hot.ttl_hops && hot.ttl_hops > 0 {
        let verdict = too_far(packet, ttl, shard, tables);
        return stop(packet, (ttl, mtu), verdict, shard);
    }
    if wire.longest > usize::from(mtu) {
        let refused = match stays_whole {
            true => Some(too_large(packet, mtu, shard, tables)),
            false => cut_too_early(packet, mtu, shard, tables),
        };
        if let Some(verdict) = refused {
            return stop(packet, (ttl, mtu), verdict, shard);
        }
    }
    if announces(packet) && hot.ttl_hops > 0 {
        // What it announces is good for either family.
        let shorter = if hot.crosses() { 20 } else { 0 };
        clamp(packet, bytes, tables.choices.nat_mss_clamp.saturating_sub(shorter));
    }
    if hot.crosses() {
        let identification = identify(&mut shard.identification, &wire);
        match nat64::change(packet, slot, outer, &hot, identification) {
            Ok(fragment) => emit::leave(packet, &hot, fragment, &wire, shard),
            Err(refusal) => {
                let verdict = untranslatable(packet, refusal, shard, tables);
                stop(packet, (ttl, mtu), verdict, shard);
            }
        }
    } else if !is_v6 {
        match packet.kind {
            Kind::Error => quote::translate(packet, bytes, outer, &hot),
            _ => translate(packet, bytes, (&hot, packet.direction())),
        }
    }
}

/// Ends a packet on its way.
fn stop(packet: &mut Packet, limits: (u8, u16), verdict: Verdict, shard: &mut Shard) {
    packet.meter = meter_of(packet, limits, verdict, shard);
    packet.verdict = verdict;
}

/// A packet that the NAT gateway cannot translate (RFC 7915 s. 5.1: only a routing header that is not
/// used up is told).
fn untranslatable(packet: &Packet, refusal: Refusal, shard: &Shard, tables: &Tables) -> Verdict {
    let translator = translator(packet, 0, shard, tables);
    let component =
        translator.map_or_else(|| tables.component_at(packet.key.link), Component::NatGateway);
    let answer = match (refusal, translator) {
        (Refusal::RoutingHeader { pointer }, Some(id)) if is_told(packet, tables) => {
            let pointer = u16::try_from(pointer).unwrap_or(0);
            Answer::ParameterProblem { by: Teller::NatGateway(id), pointer }
        }
        _ => Answer::Silence,
    };
    Verdict::Drop { reason: nat64::reason(refusal), component, answer }
}

/// The gateways that count a refused packet as received.
fn meter_of(
    packet: &Packet,
    (ttl, mtu): (u8, u16),
    verdict: Verdict,
    shard: &mut Shard,
) -> MeterId {
    let Verdict::Drop { reason, component, .. } = verdict else { return packet.meter };
    match (reason, component) {
        (Reason::TtlExpired, _) => shard.meters.first(packet, ttl.max(1).into()),
        (_, Component::NatGateway(_)) => shard.meters.first(packet, 1),
        _ if internet_comes_first(packet, mtu) => MeterId::NONE,
        _ => packet.meter,
    }
}

fn too_far(packet: &Packet, ttl: u8, shard: &Shard, tables: &Tables) -> Verdict {
    let hop = usize::from(ttl.saturating_sub(1));
    let translator = translator(packet, hop, shard, tables);
    let answer = match translator {
        Some(id) if is_told(packet, tables) => Answer::TimeExceeded { by: Teller::NatGateway(id) },
        _ => Answer::Silence,
    };
    let component =
        translator.map_or_else(|| tables.component_at(packet.key.link), Component::NatGateway);
    Verdict::Drop { reason: Reason::TtlExpired, component, answer }
}

/// The first hop that the packet is too large for tells its sender: a NAT gateway by itself, an
/// internet gateway by the router of the subnet that the packet comes from (AWS "Network MTU for your
/// EC2 instance", "NAT gateway basics").
fn too_large(packet: &Packet, mtu: u16, shard: &Shard, tables: &Tables) -> Verdict {
    let mut component = tables.component_at(packet.key.link);
    let told = |by| Answer::FragmentationNeeded { by, mtu };
    let nat = match internet_comes_first(packet, mtu) {
        true => None,
        false => translator(packet, 0, shard, tables),
    };
    let answer = match (tables.place(packet.key.link), nat) {
        _ if !is_told(packet, tables) => Answer::Silence,
        (_, Some(id)) if packet.wire().longest > usize::from(NAT_GATEWAY_MTU) => {
            component = Component::NatGateway(id);
            match tables.choices.nat_tells_mtu {
                true => {
                    Answer::FragmentationNeeded { by: Teller::NatGateway(id), mtu: NAT_GATEWAY_MTU }
                }
                false => Answer::Silence,
            }
        }
        (_, Some(id)) => told(Teller::RouterBehind(id)),
        (Some(Place::Eni(eni)), None) => told(Teller::Router(tables.eni(eni).subnet)),
        _ => Answer::Silence,
    };
    Verdict::Drop { reason: Reason::MtuExceeded, component, answer }
}

/// Whether an internet gateway stands before the NAT gateways on a packet's way, if it has both: inwards, where one
/// has made the way as narrow as it is.
const fn internet_comes_first(packet: &Packet, mtu: u16) -> bool {
    matches!(packet.direction(), Direction::Reply) && mtu <= INTERNET_MTU
}

/// What an internet gateway cuts comes to a NAT gateway behind it in fragments, of which that one carries those of
/// UDP alone (AWS "Compare NAT gateways and NAT instances").
fn cut_too_early(packet: &Packet, mtu: u16, shard: &Shard, tables: &Tables) -> Option<Verdict> {
    let is_udp = packet.kind != Kind::Error && packet.key.protocol == protocol::UDP;
    if is_udp || !internet_comes_first(packet, mtu) {
        return None;
    }
    let id = translator(packet, 0, shard, tables)?;
    let component = Component::NatGateway(id);
    Some(Verdict::Drop { reason: Reason::NatFragment, component, answer: Answer::Silence })
}

/// Whether the sender of a packet is told by an ICMP error: it is in a VPC, and this is no error
/// itself (RFC 1122 s. 3.2.2).
fn is_told(packet: &Packet, tables: &Tables) -> bool {
    packet.kind != Kind::Error && matches!(tables.place(packet.key.link), Some(Place::Eni(_)))
}

/// The NAT gateway that a packet comes to after `hop` others.
fn translator(packet: &Packet, hop: usize, shard: &Shard, tables: &Tables) -> Option<NatGatewayId> {
    let (_, cold) = shard.flows.parts(packet.flow())?;
    let mut translators = cold.facets.iter().filter_map(|facet| match facet.device {
        Device::NatGateway(id) => Some(id),
        Device::Eni(_) | Device::EgressOnlyInternetGateway(_) => None,
    });
    let id = match packet.direction() {
        Direction::Original => translators.nth(hop),
        Direction::Reply => translators.nth_back(hop),
    }?;
    tables.nat_gateways.get(id).map(|_| id)
}

/// Holds what a SYN announces down to what passes the NAT gateway.
fn clamp(packet: &Packet, bytes: &mut [u8], most: u16) {
    if let Some(segment) = bytes.get_mut(usize::from(packet.transport)..) {
        tcp::clamp_mss(segment, most, packet.offload.needs_csum());
    }
}

/// Translates a packet, in all of its headers; of a later fragment in the only one that it has.
#[inline(always)]
fn translate(packet: &Packet, bytes: &mut [u8], (hot, direction): (&Hot, Direction)) {
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
            // An echo's identifier of zero is the same port on either side, so that a reply may go the
            // way of requests: the message says which of the two it bears.
            match Role::of(header.kind) {
                Role::Query => header.identify(out.dst_port()),
                Role::Reply(_) => header.identify(out.src_port()),
                Role::Error | Role::Other => {}
            }
        }
        _ => {}
    }
}
