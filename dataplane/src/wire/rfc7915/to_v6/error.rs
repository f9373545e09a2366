//! An ICMPv4 error and the packet that it quotes (RFC 7915 s. 4.2, 4.3).

use crate::io::Frame;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6;
use crate::wire::protocol;
use crate::wire::rfc7915::message::{self, Message, V4, V6};
use crate::wire::rfc7915::to_v6::header::{self, Header};
use crate::wire::rfc7915::to_v6::options;
use crate::wire::rfc7915::transport::{self, Change, Part, Transport};
use crate::wire::rfc7915::{Deltas, Ends, Hop, Quoting, Refusal, Translated, header_before, icmp};
use crate::wire::virtio::VirtioNetHdr;

/// Translates the ICMPv4 error that `frame` describes, from wherever it comes: of errors an illegal
/// source is translated too, for the purpose of trouble shooting (s. 4.1).
///
/// # Errors
///
/// Why it is not translated; nobody is owed an error for that (s. 4.4).
pub fn translate_error(
    slot: &mut [u8],
    frame: Frame,
    ends: &Quoting<[u8; 16]>,
    hop: &Hop,
) -> Result<Translated, Refusal> {
    const HEADERS: usize = ipv6::HEADER + message::HEADER;
    let packet = frame.packet(slot).ok_or(Refusal::Malformed)?;
    let old = header::of(packet)?;
    let at = old.header_length();
    options::check_route(packet.get(ipv4::HEADER..at).unwrap_or_default())?;
    let hop_limit = hop.limit(old.ttl)?;
    if old.protocol != protocol::ICMP {
        return Err(Refusal::Untranslatable);
    }
    if header::part_of(&old) != Part::Whole {
        return Err(Refusal::FragmentedIcmp);
    }
    let bytes = packet.get(at..old.total_length.get().into()).ok_or(Refusal::Malformed)?;
    let message = Message::of(bytes, Sum::ZERO, V4)?;
    let quoted = bytes.get(message::HEADER..).and_then(|it| it.get(..message.parts.quote));
    let inner = Quoted::of(quoted.unwrap_or_default())?;
    let error = icmp::error_to_v6(message.error, inner.old.total_length.get(), hop)
        .ok_or(Refusal::Untranslatable)?;

    // What the quoted packet has behind its own header stays in place.
    let behind = message.parts.quote - inner.at;
    let (length, end) = (inner.length(), frame.start + at + message::HEADER + inner.at);
    let fit = message.fit(length + behind, &error, V6);
    let (start, place, rest) = header_before(slot, end, HEADERS + length).ok_or(Refusal::NoRoom)?;
    if fit.len() > length + rest.len() {
        return Err(Refusal::NoRoom);
    }
    inner.write(place.get_mut(HEADERS..).unwrap_or_default(), rest, behind, &ends.quoted);
    let payload = message::HEADER + fit.len();
    let header = Header {
        traffic_class: old.tos,
        payload,
        next_header: protocol::ICMPV6,
        hop_limit,
        source: ends.source,
        destination: ends.destination,
        fragment: None,
    };
    header.write(place.get_mut(..ipv6::HEADER).unwrap_or_default());
    let pseudo = header.pseudo_header();
    let translated = slot.get_mut(start + ipv6::HEADER..).unwrap_or_default();
    message.finish(translated, error, (length + behind, fit), pseudo, V6);
    let frame = Frame { start, len: ipv6::HEADER + payload, offload: VirtioNetHdr::PLAIN };
    Ok(Translated { frame, fragment: None })
}

/// The header of a quoted packet, and what is behind it.
struct Quoted {
    old: Ipv4,
    /// Its length, in bytes.
    at: usize,
    next_header: u8,
    transport: Transport,
    part: Part,
}

impl Quoted {
    /// Reads the beginning of a packet. One that is an error itself is none (s. 4.3).
    fn of(packet: &[u8]) -> Result<Self, Refusal> {
        let old = header::of(packet)?;
        let (at, part) = (old.header_length(), header::part_of(&old));
        let next_header = header::next_header(old.protocol)?;
        let payload = packet.get(at..).ok_or(Refusal::Malformed)?;
        let transport = match old.protocol {
            protocol::ICMP => {
                let whole = usize::from(old.total_length.get()) - at;
                Transport::of_icmp(payload, whole, part, icmp::query_to_v6)?
            }
            number => Transport::of_quoted(number, payload, part)?,
        };
        Ok(Self { old, at, next_header, transport, part })
    }

    /// Length of its headers in IPv6, in bytes.
    fn length(&self) -> usize {
        Header::length(self.part != Part::Whole)
    }

    /// Writes the header that it had over `place`, and changes as much of its payload as is there:
    /// the first `present` bytes of `rest`.
    fn write(&self, place: &mut [u8], rest: &mut [u8], present: usize, ends: &Ends<[u8; 16]>) {
        let payload = rest.get_mut(..present).unwrap_or_default();
        let was = Ends {
            source: self.old.source,
            destination: self.old.destination,
            ports: transport::ports(payload),
        };
        let change = Change {
            ports: ends.ports,
            deltas: Deltas::between(&was, ends),
            partial: false,
            addresses6: ends.addresses(),
            to_v6: true,
        };
        self.transport.translate(payload, &change);
        let fragmented = self.part != Part::Whole;
        Header {
            traffic_class: self.old.tos,
            payload: usize::from(self.old.total_length.get()) - self.at,
            next_header: self.next_header,
            hop_limit: self.old.ttl,
            source: ends.source,
            destination: ends.destination,
            fragment: fragmented.then(|| header::fragment_of(&self.old, self.next_header)),
        }
        .write(place);
    }
}
