//! What does the other side see?
//!
//! Applies what was worked out once for the flow: addresses, ports, time to live, checksum deltas
//! (RFC 1624). In place, also on a super-packet, whose segments all take the same change. A packet
//! that cannot go on as it is (time to live, MTU) is refused before its bytes are touched, so that
//! the answer can quote it.

use crate::packet::{Addr, Answer, Batch, Component, Direction, Packet, Reason, Verdict};
use crate::path::quote;
use crate::state::{Device, Hot, MeterId, Shard};
use crate::tables::{Place, Tables};
use crate::wire::checksum::{Delta, Sum};
use crate::wire::icmpv4::{self, Icmpv4};
use crate::wire::ipv4::Ipv4;
use crate::wire::protocol;
use crate::wire::tcp::Tcp;
use crate::wire::udp::Udp;

/// Translates each packet that goes on.
pub fn rewrite(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    for (packet, bytes) in batch.each_mut() {
        if packet.verdict != Verdict::Forward {
            continue;
        }
        let Some(hot) = shard.flows.hot(packet.flow) else { continue };
        if let Some((reason, answer)) = refusal(packet, bytes, hot, shard, tables) {
            let ttl = Ipv4::of(bytes).map_or(0, |header| header.ttl);
            let component = place_of(packet, (reason, ttl), shard, tables);
            packet.meter = match reason {
                Reason::TtlExpired => shard.meters.first(packet, usize::from(ttl.max(1))),
                // What is too long for the internet, and comes from there, ends before a gateway.
                _ if !is_inside(packet, tables) => MeterId::NONE,
                _ => packet.meter,
            };
            packet.verdict = Verdict::Drop { reason, component, answer };
        } else if packet.quotes {
            quote::translate(packet, bytes, hot);
        } else {
            translate(packet, bytes, hot);
        }
    }
}

/// Why a packet cannot go on as it is, if so.
fn refusal(
    packet: &Packet,
    bytes: &[u8],
    hot: &Hot,
    shard: &Shard,
    tables: &Tables,
) -> Option<(Reason, Answer)> {
    let header = Ipv4::of(bytes)?;
    if header.ttl <= hot.ttl_hops && hot.ttl_hops > 0 {
        let answer = match translator(packet, header.ttl, shard, tables) {
            // No error is sent about an error (RFC 1122 s. 3.2.2), and none to the outside.
            Some((_, router)) if !packet.quotes && is_inside(packet, tables) => {
                Answer::TimeExceeded { router }
            }
            _ => Answer::Silence,
        };
        return Some((Reason::TtlExpired, answer));
    }
    if packet.wire_len() > usize::from(hot.mtu) && header.dont_fragment() {
        let answer = match tables.place(packet.key.link) {
            Some(Place::Eni(eni)) if !packet.quotes => {
                let router = tables.subnet(tables.eni(eni).subnet).router;
                Answer::FragmentationNeeded { router, mtu: hot.mtu }
            }
            _ => Answer::Silence,
        };
        return Some((Reason::MtuExceeded, answer));
    }
    None
}

fn place_of(
    packet: &Packet,
    (reason, ttl): (Reason, u8),
    shard: &Shard,
    tables: &Tables,
) -> Component {
    match (reason, translator(packet, ttl, shard, tables)) {
        (Reason::TtlExpired, Some((component, _))) => component,
        _ => tables.component_at(packet.key.link),
    }
}

fn is_inside(packet: &Packet, tables: &Tables) -> bool {
    matches!(tables.place(packet.key.link), Some(Place::Eni(_)))
}

/// The device of the packet's flow at which a time to live of `ttl` ends, and its address.
fn translator(
    packet: &Packet,
    ttl: u8,
    shard: &Shard,
    tables: &Tables,
) -> Option<(Component, Addr)> {
    let (_, cold) = shard.flows.parts(packet.flow)?;
    let mut translators = cold.facets.iter().filter_map(|facet| match facet.device {
        Device::NatGateway(id) => Some(id),
        Device::Eni(_) => None,
    });
    let hop = usize::from(ttl.saturating_sub(1));
    let id = match packet.direction {
        Direction::Original => translators.nth(hop),
        Direction::Reply => translators.nth_back(hop),
    }?;
    Some((Component::NatGateway(id), tables.nat_gateways.get(id)?.address))
}

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
