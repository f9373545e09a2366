//! An ICMP error and the packet that it quotes, translated together (RFC 5508 s. 4.2).
//!
//! The quoted packet is one that left in the error's opposite direction, translated. Whoever gets
//! the error must find in it what it sent: the quoted packet is given back the addresses, ports and
//! checksums that it had.

use zerocopy::network_endian::U16;

use crate::packet::{Packet, PortPair};
use crate::path::rewrite::Outer;
use crate::state::{Hot, hops_delta};
use crate::wire::checksum::{Delta, Sum};
use crate::wire::icmpv4::{self, Icmpv4, Role};
use crate::wire::ipv4::Ipv4;
use crate::wire::protocol;
use crate::wire::tcp;
use crate::wire::udp::{self, Udp};

/// Translates an ICMP error that belongs to a flow.
pub(super) fn translate(packet: &Packet, bytes: &mut [u8], (src, dst): Outer, hot: &Hot) {
    let Some(header) = Ipv4::of_mut(bytes) else { return };
    let addresses = |header: &Ipv4| Sum::of(&header.source).plus(Sum::of(&header.destination));
    let before = addresses(header);
    header.source = src.low();
    header.destination = dst.low();
    header.ttl -= hot.ttl_hops();
    let change = Delta::between(before, addresses(header)).and(hops_delta(hot.ttl_hops()));
    header.checksum = change.apply(header.checksum);

    let Some(message) = bytes.get_mut(usize::from(packet.transport)..) else { return };
    let before = Sum::of(message);
    if let Some(quoted) = message.get_mut(icmpv4::HEADER..) {
        restore(quoted, packet, hot);
    }
    // Incremental, so that a message that came damaged leaves damaged.
    let change = Delta::between(before, Sum::of(message));
    if let Some(header) = Icmpv4::of_mut(message) {
        header.checksum = change.apply(header.checksum);
    }
}

fn restore(quoted: &mut [u8], packet: &Packet, hot: &Hot) {
    // What undoes one direction's translation is the other's.
    let (sent, ports) = hot.line(packet.direction().opposite()).arriving();
    let own = hot.line(packet.direction());
    let (addresses, transport) = (own.address_delta(), own.transport_delta());
    let Some(header) = Ipv4::of_mut(quoted) else { return };
    header.set_pair(sent);
    header.checksum = addresses.apply(header.checksum);
    let (protocol, length) = (header.protocol, header.header_length());
    let Some(segment) = quoted.get_mut(length..) else { return };
    match protocol {
        protocol::ICMP => {
            let Some(message) = Icmpv4::of_mut(segment) else { return };
            match Role::of(message.kind) {
                Role::Query => message.identify(ports.src()),
                Role::Reply(_) => message.identify(ports.dst()),
                Role::Error | Role::Other => {}
            }
        }
        protocol => restore_ports(segment, protocol, ports, transport),
    }
}

/// Gives a quoted segment of TCP or UDP back the ports that it had, and its checksum.
pub(super) fn restore_ports(segment: &mut [u8], protocol: u8, ports: PortPair, transport: Delta) {
    let at = match protocol {
        protocol::TCP => tcp::CHECKSUM_OFFSET,
        protocol::UDP => udp::CHECKSUM_OFFSET,
        _ => return,
    };
    // The ports stand at the same place in both.
    let Some(header) = Udp::of_mut(segment) else { return };
    header.set_ports(ports);
    update(segment, at, |checksum| match protocol {
        protocol::UDP => udp::apply(transport, checksum),
        _ => transport.apply(checksum),
    });
}

/// Changes the checksum at `offset`, where enough is quoted to hold one.
fn update(segment: &mut [u8], offset: u16, change: impl FnOnce(U16) -> U16) {
    let at = usize::from(offset);
    if let Some(field) = segment.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = change(U16::from_bytes(*field)).to_bytes();
    }
}
