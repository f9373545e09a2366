//! What does a packet of IPv6 become under another address of IPv6?
//!
//! Hyperplane ENIs translate addresses and ports of either family (AWS "Giving Lambda functions access to resources in
//! an Amazon VPC", "Support for IPv6"). Of IPv4 [`rewrite`](super::rewrite) knows the outcome by the flow's own cache line;
//! addresses of IPv6 do not fit there, and are taken from the key of the answers. RFC 7915 has what of ICMPv6 holds here as
//! well: an error is translated together with what it quotes.

use crate::packet::{Key, Packet, PortPair};
use crate::path::quote;
use crate::path::rewrite::{Outer, transport};
use crate::state::Line;
use crate::wire::chain::Chain;
use crate::wire::checksum::{Delta, Sum};
use crate::wire::icmpv6::{self, Icmpv6, kind};
use crate::wire::ipv6::Ipv6;
use crate::wire::protocol;

/// Translates a packet that is no ICMP error, whose answers come as `opposite`: in all of its headers; of a later
/// fragment in the only one that it has.
pub(super) fn translate(packet: &Packet, bytes: &mut [u8], line: &Line, opposite: &Key) {
    let Some(header) = Ipv6::of_mut(bytes) else { return };
    (header.source, header.destination) = (opposite.dst.octets(), opposite.src.octets());
    header.hop_limit -= line.ttl_hops();
    transport(packet, bytes, line);
}

/// Translates an ICMPv6 error, which leaves with the addresses `outer`, about a packet that had been sent as `sent` says.
pub(super) fn translate_error(
    packet: &Packet,
    bytes: &mut [u8],
    (src, dst): Outer,
    line: &Line,
    sent: &Key,
) {
    let Some(header) = Ipv6::of_mut(bytes) else { return };
    let before = addresses(header);
    (header.source, header.destination) = (src.octets(), dst.octets());
    header.hop_limit -= line.ttl_hops();
    let outer = Delta::between(before, addresses(header));

    let Some(message) = bytes.get_mut(usize::from(packet.transport)..) else { return };
    let before = Sum::of(message);
    if let Some(quoted) = message.get_mut(icmpv6::HEADER..) {
        restore(quoted, line, sent);
    }
    // Incremental, so that a message that came damaged leaves damaged.
    let change = Delta::between(before, Sum::of(message)).and(outer);
    if let Some(header) = Icmpv6::of_mut(message) {
        header.checksum = change.apply(header.checksum);
    }
}

/// Gives a quoted packet back what it had when it was sent.
fn restore(quoted: &mut [u8], line: &Line, sent: &Key) {
    let chain = Chain::of(quoted);
    let Some(header) = Ipv6::of_mut(quoted) else { return };
    (header.source, header.destination) = (sent.src.octets(), sent.dst.octets());
    let Ok(chain) = chain else { return };
    if chain.fragment.is_some_and(|it| it.offset > 0) {
        return;
    }
    let Some(segment) = quoted.get_mut(chain.transport..) else { return };
    match chain.protocol {
        protocol::ICMPV6 => echo(segment, line.address_delta(), sent.ports),
        protocol => quote::restore_ports(segment, protocol, sent.ports, line.transport_delta()),
    }
}

/// Translates a message between these ports whose addresses have changed so. An echo's identifier is the port of whoever
/// asked: a request's sender, a reply's receiver.
pub(super) fn echo(message: &mut [u8], addresses: Delta, ports: PortPair) {
    let Some(header) = Icmpv6::of_mut(message) else { return };
    header.checksum = addresses.apply(header.checksum);
    match header.kind {
        kind::ECHO_REQUEST => header.identify(ports.src()),
        kind::ECHO_REPLY => header.identify(ports.dst()),
        _ => {}
    }
}

fn addresses(header: &Ipv6) -> Sum {
    Sum::of(&header.source).plus(Sum::of(&header.destination))
}
