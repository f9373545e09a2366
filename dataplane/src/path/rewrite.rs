//! What does the other side see?
//!
//! Applies what was worked out once for the flow: addresses, ports, time to live, checksum deltas
//! (RFC 1624). In place, also on a super-packet, whose segments all take the same change. A packet
//! that cannot go on as it is (time to live, MTU) is refused before its bytes are touched, so that
//! the answer can quote it.

use crate::packet::{
    Addr, Answer, Batch, Component, Direction, Key, Kind, NatGatewayId, Packet, Reason, Slots,
    Teller, Verdict, Wire,
};
use crate::path::{emit, nat64, nat66, quote};
use crate::state::{
    Counters, Device, Flows, Hot, Line, MeterId, Meters, Phase, Shard, Translation,
};
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
    let (packets, slots) = batch.parts_mut();
    for packet in packets {
        if packet.is_forwarded() {
            // ICMP errors were judged by themselves, and are on their way.
            forward(packet, slots, Outer::default(), shard, tables);
        }
    }
}

/// Source and destination of an ICMP error as it leaves; of nothing else does anybody ask.
pub(super) type Outer = (Addr, Addr);

/// Translates a packet that goes on, and sends it on its way.
pub(super) fn forward(
    packet: &mut Packet,
    slots: &mut Slots,
    outer: Outer,
    shard: &mut Shard,
    tables: &Tables,
) {
    let (flows, mut exit) = Exit::of(shard);
    // Read where it lies: it was written a moment ago, piece by piece, and as a whole it could not be had at once.
    if let Some(hot) = flows.hot(packet.flow()) {
        change(packet, slots, outer, (hot, None), (flows, &mut exit), tables);
    }
}

/// Translates an ICMP error about a conversation that is no flow's, and sends it on its way.
pub(super) fn forward_alone(
    packet: &mut Packet,
    slots: &mut Slots,
    outer: Outer,
    translation: &Translation,
    shard: &mut Shard,
    tables: &Tables,
) {
    let hot = Hot::new(translation, Phase::Other);
    let (flows, mut exit) = Exit::of(shard);
    let alone = (&hot, Some(translation.reply));
    change(packet, slots, outer, alone, (flows, &mut exit), tables);
}

/// What of a shard changes when a packet leaves: no flow does.
struct Exit<'a> {
    counters: &'a mut Counters,
    meters: &'a mut Meters,
    identification: &'a mut u16,
}

impl<'a> Exit<'a> {
    fn of(shard: &'a mut Shard) -> (&'a Flows, Self) {
        let Shard { flows, counters, meters, identification, .. } = shard;
        (flows, Self { counters, meters, identification })
    }
}

/// Whether a packet tells how long segments may be.
#[inline(always)]
const fn announces(packet: &Packet) -> bool {
    packet.tcp_flags & tcp::flags::SYN != 0
}

/// The next identification for a packet of IPv4 that comes from one of IPv6; as many as there will be
/// packets (RFC 7915 s. 5.1).
pub(super) fn identify(next: &mut u16, wire: &Wire) -> u16 {
    let packets = u16::try_from(wire.packets).unwrap_or(1);
    std::mem::replace(next, next.wrapping_add(packets))
}

/// Translates a packet as `hot` says, if it can go on. How it is answered is `alone`, where no flow says it.
fn change(
    packet: &mut Packet,
    slots: &mut Slots,
    outer: Outer,
    (hot, alone): (&Hot, Option<Key>),
    (flows, exit): (&Flows, &mut Exit<'_>),
    tables: &Tables,
) {
    let hops = hot.ttl_hops();
    let Some(bytes) = packet.bytes_mut(slots) else { return };
    let (is_v6, wire) = (packet.key.is_v6(), packet.wire());
    // IPv6 is fragmented by who sends it, and by nobody else (RFC 8200 s. 5).
    let limits = match is_v6 {
        true => Ipv6::of(bytes).map(|header| (header.hop_limit, true)),
        false => Ipv4::of(bytes).map(|header| (header.ttl, header.dont_fragment())),
    };
    let Some((ttl, stays_whole)) = limits else { return };
    let mtu = hot.mtu_of(is_v6);
    if ttl <= hops && hops > 0 {
        let verdict = too_far(packet, ttl, flows, tables);
        return stop(packet, (ttl, mtu), verdict, exit.meters);
    }
    if wire.longest > usize::from(mtu) {
        let refused = match (interface_endpoint(packet, flows), stays_whole) {
            // It cuts nothing and tells nobody (AWS "AWS PrivateLink quotas": path MTU discovery is not supported).
            (Some(endpoint), _) => Some(Verdict::Drop {
                reason: Reason::MtuExceeded,
                component: Component::VpcEndpoint(endpoint),
                answer: Answer::Silence,
            }),
            (None, true) => Some(too_large(packet, mtu, flows, tables)),
            (None, false) => cut_too_early(packet, mtu, flows, tables),
        };
        if let Some(verdict) = refused {
            return stop(packet, (ttl, mtu), verdict, exit.meters);
        }
    }
    if announces(packet) && (hops > 0 || interface_endpoint(packet, flows).is_some()) {
        // What it announces is good for either family.
        let shorter = if hot.crosses() { 20 } else { 0 };
        clamp(packet, bytes, tables.choices.nat_mss_clamp.saturating_sub(shorter));
    }
    if hot.crosses() {
        let (flow, opposite) = (packet.flow(), packet.direction().opposite());
        let Some(opposite) = alone.or_else(|| flows.key(flow, opposite)) else { return };
        let (identification, before) = (identify(exit.identification, &wire), packet.len);
        match nat64::change(packet, slots, outer, (hot, &opposite), identification, tables) {
            Ok(fragment) => {
                emit::leave(packet, hot, fragment, &wire, (exit.counters, exit.meters));
                exit.meters.change(packet, before);
            }
            Err(refusal) => {
                let verdict = untranslatable(packet, refusal, flows, tables);
                stop(packet, (ttl, mtu), verdict, exit.meters);
            }
        }
        return;
    }
    let line = hot.line(packet.direction());
    match (is_v6, packet.kind) {
        (false, Kind::Error) => quote::translate(packet, bytes, outer, hot),
        (false, _) => translate(packet, bytes, line),
        (true, _) if !line.goes_by_keys() => {}
        (true, kind) => {
            let opposite = flows.key(packet.flow(), packet.direction().opposite());
            let Some(opposite) = opposite else { return };
            match kind {
                Kind::Error => nat66::translate_error(packet, bytes, outer, line, &opposite),
                _ => nat66::translate(packet, bytes, line, &opposite),
            }
        }
    }
    let fragment = (wire.longest > usize::from(mtu)).then_some(mtu);
    emit::leave(packet, hot, fragment, &wire, (exit.counters, exit.meters));
}

/// Ends a packet on its way.
fn stop(packet: &mut Packet, limits: (u8, u16), verdict: Verdict, meters: &mut Meters) {
    packet.meter = meter_of(packet, limits, verdict, meters);
    packet.verdict = verdict;
}

/// A packet that the NAT gateway cannot translate.
fn untranslatable(packet: &Packet, refusal: Refusal, flows: &Flows, tables: &Tables) -> Verdict {
    let translator = translator(packet, 0, flows, tables);
    let component =
        translator.map_or_else(|| tables.component_at(packet.key.link), Component::NatGateway);
    let answer = match translator {
        Some(id) if is_told(packet, tables) => {
            nat64::owed(refusal, packet.key.is_v6(), Teller::NatGateway(id), tables)
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
    meters: &mut Meters,
) -> MeterId {
    let Verdict::Drop { reason, component, .. } = verdict else { return packet.meter };
    match (reason, component) {
        (Reason::TtlExpired, _) => meters.first(packet, ttl.max(1).into()),
        (_, Component::NatGateway(_)) => meters.first(packet, 1),
        _ if internet_comes_first(packet, mtu) => MeterId::NONE,
        _ => packet.meter,
    }
}

fn too_far(packet: &Packet, ttl: u8, flows: &Flows, tables: &Tables) -> Verdict {
    let hop = usize::from(ttl.saturating_sub(1));
    let translator = translator(packet, hop, flows, tables);
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
fn too_large(packet: &Packet, mtu: u16, flows: &Flows, tables: &Tables) -> Verdict {
    let mut component = tables.component_at(packet.key.link);
    let told = |by| Answer::FragmentationNeeded { by, mtu };
    let nat = match internet_comes_first(packet, mtu) {
        true => None,
        false => translator(packet, 0, flows, tables),
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

/// The interface endpoint on a packet's way.
fn interface_endpoint(packet: &Packet, flows: &Flows) -> Option<NatGatewayId> {
    let (_, cold) = flows.parts(packet.flow())?;
    cold.facets.iter().find_map(|facet| match facet.device {
        Device::InterfaceEndpoint(id) => Some(id),
        _ => None,
    })
}

/// Whether an internet gateway stands before the NAT gateways on a packet's way, if it has both: inwards, where one
/// has made the way as narrow as it is.
const fn internet_comes_first(packet: &Packet, mtu: u16) -> bool {
    matches!(packet.direction(), Direction::Reply) && mtu <= INTERNET_MTU
}

/// What an internet gateway cuts comes to a NAT gateway behind it in fragments, of which that one carries those of
/// UDP alone (AWS "Compare NAT gateways and NAT instances").
fn cut_too_early(packet: &Packet, mtu: u16, flows: &Flows, tables: &Tables) -> Option<Verdict> {
    let is_udp = packet.kind != Kind::Error && packet.key.protocol == protocol::UDP;
    if is_udp || !internet_comes_first(packet, mtu) {
        return None;
    }
    let id = translator(packet, 0, flows, tables)?;
    let component = Component::NatGateway(id);
    Some(Verdict::Drop { reason: Reason::NatFragment, component, answer: Answer::Silence })
}

/// Whether the sender of a packet is told by an ICMP error: it is in a VPC, or anywhere by the rules of the RFCs,
/// and this is no error itself (RFC 1122 s. 3.2.2).
fn is_told(packet: &Packet, tables: &Tables) -> bool {
    let is_inside = || matches!(tables.place(packet.key.link), Some(Place::Eni(_)));
    packet.kind != Kind::Error && (is_inside() || tables.strict().is_some())
}

/// The NAT gateway that a packet comes to after `hop` others.
fn translator(packet: &Packet, hop: usize, flows: &Flows, tables: &Tables) -> Option<NatGatewayId> {
    let (_, cold) = flows.parts(packet.flow())?;
    let mut translators = cold.facets.iter().filter_map(|facet| match facet.device {
        Device::NatGateway(id) => Some(id),
        Device::Eni(_)
        | Device::Hyperplane(_)
        | Device::EgressOnlyInternetGateway(_)
        | Device::GatewayEndpoint(_)
        | Device::InterfaceEndpoint(_) => None,
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
fn translate(packet: &Packet, bytes: &mut [u8], line: &Line) {
    let Some(header) = Ipv4::of_mut(bytes) else { return };
    network(header, line);
    transport(packet, bytes, line);
}

/// Translates what follows the headers of IP, if it is not in an earlier fragment.
pub(super) fn transport(packet: &Packet, bytes: &mut [u8], line: &Line) {
    if packet.kind == Kind::LaterFragment {
        return;
    }
    let Some(segment) = bytes.get_mut(usize::from(packet.transport)..) else { return };
    let is_partial = packet.offload.needs_csum();
    match packet.key.protocol {
        protocol::TCP => _ = Tcp::of_mut(segment).map(|it| tcp_header(it, line, is_partial)),
        protocol::UDP => _ = Udp::of_mut(segment).map(|it| udp_header(it, line, is_partial)),
        protocol::ICMP => {
            let Some(header) = Icmpv4::of_mut(segment) else { return };
            let (_, ports) = line.leaving();
            // An echo's identifier of zero is the same port on either side, so that a reply may go the
            // way of requests: the message says which of the two it bears.
            match Role::of(header.kind) {
                Role::Query => header.identify(ports.src()),
                Role::Reply(_) => header.identify(ports.dst()),
                Role::Error | Role::Other => {}
            }
        }
        protocol::ICMPV6 => nat66::echo(segment, line.address_delta(), line.leaving().1),
        _ => {}
    }
}

#[inline(always)]
fn network(header: &mut Ipv4, line: &Line) {
    let (pair, _) = line.leaving();
    header.set_pair(pair);
    header.ttl -= line.ttl_hops();
    header.checksum = line.header_delta().apply(header.checksum);
}

#[inline(always)]
fn tcp_header(header: &mut Tcp, line: &Line, is_partial: bool) {
    let (_, ports) = line.leaving();
    header.set_ports(ports);
    header.checksum = match is_partial {
        true => line.address_delta().apply_partial(header.checksum),
        false => line.transport_delta().apply(header.checksum),
    };
}

#[inline(always)]
fn udp_header(header: &mut Udp, line: &Line, is_partial: bool) {
    let (_, ports) = line.leaving();
    header.set_ports(ports);
    header.checksum = match is_partial {
        true => line.address_delta().apply_partial(header.checksum),
        false => udp::apply(line.transport_delta(), header.checksum),
    };
}

/// Translates a plain packet whose flow knows all about it, and of which may be known that it is a
/// [segment](crate::packet::Shape::Segment).
#[inline(always)]
pub(super) fn carry(
    packet: &Packet,
    header: &mut Ipv4,
    transport: &mut [u8; tcp::HEADER],
    line: &Line,
    is_segment: bool,
) {
    network(header, line);
    let is_partial = !is_segment && packet.offload.needs_csum();
    if is_segment || header.protocol == protocol::TCP {
        tcp_header(zerocopy::transmute_mut!(transport), line, is_partial);
    } else if let Some(header) = Udp::of_mut(transport) {
        udp_header(header, line, is_partial);
    }
}
