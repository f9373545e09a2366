//! What does a packet become in the other family?
//!
//! At a NAT gateway IPv6 becomes IPv4 and back (RFC 6146), by the rules of RFC 7915. The network header
//! is another one afterwards, of another length, so the packet begins elsewhere in its slot; a
//! super-packet is translated whole.

use crate::io::{Frame, HEADROOM};
use crate::packet::{Addr, Answer, Key, Kind, Packet, PortPair, Reason, Slots, Teller};
use crate::path::rewrite::Outer;
use crate::state::{Hot, Line};
use crate::tables::{Place, Tables, Target, Translator};
use crate::wire::chain::Chain;
use crate::wire::ipv6::Ipv6;
use crate::wire::rfc7915::{Deltas, Ends, Hop, Quoting, Refusal, Translated, to_v4, to_v6};

/// Translates one more whole packet of a flow that is sure to go on, whose answers come as `opposite`;
/// whether it was one. Else it is untouched.
pub(super) fn carry(
    packet: &mut Packet,
    slots: &mut Slots,
    line: &Line,
    opposite: &Key,
    identification: u16,
) -> bool {
    let deltas = Deltas { addresses: line.address_delta(), transport: line.transport_delta() };
    // It grows by less than its headroom, and nothing is written behind it.
    let (frame, hops) = (packet.frame(), line.ttl_hops());
    let translated = if packet.key.is_v6() {
        to_v4::replay(slots, frame, &leaving(opposite, Addr::low), deltas, hops, identification)
    } else {
        to_v6::replay(slots, frame, &leaving(opposite, Addr::octets), deltas, hops)
    };
    translated.inspect(|&frame| packet.place(frame)).is_some()
}

/// Translates a packet of whatever kind, whose answers come as `opposite`; gives what it has to be cut
/// to, if anything.
///
/// # Errors
///
/// Why it is not translated. It is untouched then.
pub(super) fn change(
    packet: &mut Packet,
    slots: &mut Slots,
    outer: Outer,
    (hot, opposite): (&Hot, &Key),
    identification: u16,
    tables: &Tables,
) -> Result<Option<u16>, Refusal> {
    let hop = Hop {
        hops: hot.ttl_hops(),
        mtu4: hot.mtu_of(false),
        mtu6: hot.mtu_of(true),
        // The path is known, so nothing is cut to what every path carries, unless the RFC is to be kept to.
        lowest_mtu6: tables.strict().map_or(hot.mtu_of(true), |_| Translator::LOWEST_MTU6),
        identification,
    };
    // What an error quotes grows as well, and may be padded: no further than its room goes.
    let frame = Frame { start: HEADROOM, ..packet.frame() };
    let room = packet.room_mut(slots).ok_or(Refusal::NoRoom)?;
    let Translated { frame, fragment } = match (packet.kind, packet.key.is_v6()) {
        (Kind::Error, true) => {
            to_v4::translate_error(room, frame, &quoting(outer, opposite, Addr::low), &hop)
        }
        (Kind::Error, false) => {
            to_v6::translate_error(room, frame, &quoting(outer, opposite, Addr::octets), &hop)
        }
        (_, true) => to_v4::translate(room, frame, &leaving(opposite, Addr::low), &hop),
        (_, false) => to_v6::translate(room, frame, &leaving(opposite, Addr::octets), &hop),
    }?;
    let start = packet.range().start - HEADROOM + frame.start;
    packet.place(Frame { start, ..frame });
    Ok(fragment)
}

/// Why a packet that is not translated is dropped.
pub(super) const fn reason(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::Malformed => Reason::Malformed,
        Refusal::Chain(_) | Refusal::FragmentedExtension | Refusal::RoutingHeader { .. } => {
            Reason::ExtensionHeaders
        }
        Refusal::TimeExceeded => Reason::TtlExpired,
        Refusal::TooBig { .. } => Reason::MtuExceeded,
        Refusal::IllegalSource
        | Refusal::SourceRoute
        | Refusal::ZeroChecksum
        | Refusal::FragmentedIcmp
        | Refusal::Untranslatable
        | Refusal::NoRoom => Reason::Untranslatable,
    }
}

/// What the sender of a packet that is not translated is owed: all that RFC 7915 s. 4.1, 4.4, 5.1 and 5.4 have by its
/// own rules, and by AWS's only what is told of a routing header that is not used up.
pub(super) fn owed(refusal: Refusal, is_v6: bool, by: Teller, tables: &Tables) -> Answer {
    let owed = if is_v6 { refusal.icmpv6() } else { refusal.icmpv4() };
    match (refusal, owed) {
        (Refusal::RoutingHeader { pointer }, Some(_)) => {
            Answer::ParameterProblem { by, pointer: u16::try_from(pointer).unwrap_or(0) }
        }
        (_, None) => Answer::Silence,
        _ if tables.strict().is_none() => Answer::Silence,
        (Refusal::TimeExceeded, _) => Answer::TimeExceeded { by },
        (Refusal::TooBig { mtu }, _) => Answer::FragmentationNeeded { by, mtu },
        (_, Some(owed)) => Answer::Unreachable { by, code: owed.code },
    }
}

/// What the sender of a packet is owed whose chain of headers has no end, if a translator by the rules of the RFCs
/// is where it was sent to (RFC 7915 s. 5.4).
#[cold]
pub(super) fn owed_for_chain(packet: &Packet, bytes: &[u8], tables: &Tables) -> Answer {
    let gateway = || {
        let Some(Place::Eni(eni)) = tables.place(packet.key.link) else { return None };
        let subnet = tables.subnet(tables.eni(eni).subnet);
        let destination = Ipv6::of(bytes)?.destination.into();
        match tables.route_table(subnet.route_table).longest(destination)? {
            (_, Target::NatGateway(id)) => Some(Teller::NatGateway(id)),
            _ => None,
        }
    };
    match (tables.strict(), Chain::of(bytes)) {
        (Some(_), Err(broken)) => {
            gateway().map_or(Answer::Silence, |by| owed(Refusal::Chain(broken), true, by, tables))
        }
        _ => Answer::Silence,
    }
}

/// What a packet leaves with, whose answers come as `reply` says.
fn leaving<A>(reply: &Key, octets: fn(Addr) -> A) -> Ends<A> {
    ends((reply.dst, reply.src), reply.ports.reversed(), octets)
}

/// What an ICMP error leaves with, about a packet that had been sent as `sent` says.
fn quoting<A>((source, destination): Outer, sent: &Key, octets: fn(Addr) -> A) -> Quoting<A> {
    Quoting {
        source: octets(source),
        destination: octets(destination),
        quoted: ends((sent.src, sent.dst), sent.ports, octets),
    }
}

fn ends<A>((source, destination): (Addr, Addr), ports: PortPair, octets: fn(Addr) -> A) -> Ends<A> {
    Ends {
        source: octets(source),
        destination: octets(destination),
        ports: (ports.src(), ports.dst()),
    }
}
