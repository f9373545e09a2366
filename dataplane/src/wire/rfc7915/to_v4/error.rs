//! An ICMPv6 error and the packet that it quotes (RFC 7915 s. 5.2, 5.3).

use crate::io::Frame;
use crate::wire::checksum::Sum;
use crate::wire::ipv4;
use crate::wire::protocol;
use crate::wire::rfc7915::message::{self, Message, V4, V6};
use crate::wire::rfc7915::to_v4::header::{self, Header, Old};
use crate::wire::rfc7915::transport::{self, Change, Part, Transport};
use crate::wire::rfc7915::{Deltas, Ends, Hop, Quoting, Refusal, Translated, header_before, icmp};
use crate::wire::virtio::VirtioNetHdr;

/// Translates the ICMPv6 error that `frame` describes.
///
/// # Errors
///
/// Why it is not translated; nobody is owed an error for that (s. 5.4).
pub fn translate_error(
    slot: &mut [u8],
    frame: Frame,
    ends: &Quoting<[u8; 4]>,
    hop: &Hop,
) -> Result<Translated, Refusal> {
    const HEADERS: usize = ipv4::HEADER + message::HEADER;
    let packet = frame.packet(slot).ok_or(Refusal::Malformed)?;
    let old = Old::of(packet)?;
    if old.is_illegal_source() {
        return Err(Refusal::IllegalSource);
    }
    old.check_route()?;
    let ttl = hop.limit(old.header.hop_limit)?;
    if old.protocol != protocol::ICMPV6 {
        return Err(Refusal::Untranslatable);
    }
    if old.part() != Part::Whole {
        return Err(Refusal::FragmentedIcmp);
    }
    let bytes = packet.get(old.at..old.at + old.length).ok_or(Refusal::Malformed)?;
    let message = Message::of(bytes, old.pseudo_header(), V6)?;
    let quoted = bytes.get(message::HEADER..).and_then(|it| it.get(..message.parts.quote));
    let inner = Quoted::of(quoted.unwrap_or_default())?;
    let error = icmp::error_to_v4(message.error, inner.old.fragment.is_some(), hop)
        .ok_or(Refusal::Untranslatable)?;

    // What the quoted packet has behind its own headers stays in place.
    let behind = message.parts.quote - inner.old.at;
    let end = frame.start + old.at + message::HEADER + inner.old.at;
    let fit = message.fit(ipv4::HEADER + behind, &error, V4);
    let total = header::total(message::HEADER + fit.len())?;
    let (start, place, rest) =
        header_before(slot, end, HEADERS + ipv4::HEADER).ok_or(Refusal::NoRoom)?;
    if fit.len() > ipv4::HEADER + rest.len() {
        return Err(Refusal::NoRoom);
    }
    let (outside, inside) = place.split_at_mut(HEADERS);
    inner.write(inside, rest, behind, &ends.quoted, hop);
    Header {
        tos: old.header.traffic_class(),
        total,
        identification: hop.identification,
        flags_offset: header::flags(total.into()),
        ttl,
        protocol: protocol::ICMP,
        source: ends.source,
        destination: ends.destination,
    }
    .write(outside);
    let translated = slot.get_mut(start + ipv4::HEADER..).unwrap_or_default();
    message.finish(translated, error, (ipv4::HEADER + behind, fit), Sum::ZERO, V4);
    let frame = Frame { start, len: total.into(), offload: VirtioNetHdr::PLAIN };
    let fragment = (total > hop.mtu4).then_some(hop.mtu4);
    Ok(Translated { frame, fragment })
}

/// The headers of a quoted packet, and what is behind them.
struct Quoted {
    old: Old,
    protocol: u8,
    /// Its length in IPv4, in bytes.
    total: u16,
    transport: Transport,
}

impl Quoted {
    /// Reads the beginning of a packet. One that is an error itself is none (s. 5.3).
    fn of(packet: &[u8]) -> Result<Self, Refusal> {
        let old = Old::of(packet)?;
        let part = old.part();
        let protocol = header::number(old.protocol)?;
        let payload = packet.get(old.at..).ok_or(Refusal::Malformed)?;
        let transport = match old.protocol {
            protocol::ICMPV6 => Transport::of_icmp(payload, old.length, part, icmp::query_to_v4)?,
            number => Transport::of_quoted(number, payload, part)?,
        };
        let total = header::total(old.length)?;
        Ok(Self { old, protocol, total, transport })
    }

    /// Writes the header that it had over `place`, and changes as much of its payload as is there:
    /// the first `present` bytes of `rest`.
    fn write(
        &self,
        place: &mut [u8],
        rest: &mut [u8],
        present: usize,
        ends: &Ends<[u8; 4]>,
        hop: &Hop,
    ) {
        let payload = rest.get_mut(..present).unwrap_or_default();
        let was = Ends {
            source: self.old.header.source,
            destination: self.old.header.destination,
            ports: transport::ports(payload),
        };
        let change = Change {
            ports: ends.ports,
            deltas: Deltas::between(&was, ends),
            partial: false,
            addresses6: was.addresses(),
            to_v6: false,
        };
        self.transport.translate(payload, &change);
        let (flags_offset, identification) =
            self.old.fragmentation(self.total.into(), hop.identification);
        Header {
            tos: self.old.header.traffic_class(),
            total: self.total,
            identification,
            flags_offset,
            ttl: self.old.header.hop_limit,
            protocol: self.protocol,
            source: ends.source,
            destination: ends.destination,
        }
        .write(place);
    }
}
