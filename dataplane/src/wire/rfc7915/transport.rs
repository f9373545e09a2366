//! Ports and checksums of what a packet carries (RFC 7915 s. 4.5, 5.5).
//!
//! All changes are incremental (RFC 1624), so that what came damaged leaves damaged.

use zerocopy::network_endian::U16;

use crate::wire::checksum::{Delta, Sum};
use crate::wire::icmpv4::{self, Icmpv4};
use crate::wire::icmpv6;
use crate::wire::protocol;
use crate::wire::rfc7915::{Deltas, Refusal};
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};
use crate::wire::virtio::VirtioNetHdr;

/// Which part of its datagram a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// The first fragment, which has the transport header.
    First,
    Later,
}

impl Part {
    /// The part at an offset, with or without more behind it.
    pub(super) const fn new(offset: usize, more: bool) -> Self {
        match (offset, more) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

/// What there is to change behind a network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
    /// UDP without a checksum.
    Unsummed,
    /// An echo.
    Echo {
        /// Its type in the other family.
        kind: u8,
        /// Length of the whole message, in bytes.
        length: u16,
    },
    /// Nothing: another protocol, or the bytes of a later fragment (s. 4.5: all are forwarded).
    Opaque,
}

/// Bytes of a transport header that an error must quote (RFC 792).
const QUOTED: usize = 8;

impl Transport {
    /// What a payload begins with that is no ICMP message.
    pub(super) fn of(
        protocol: u8,
        payload: &[u8],
        part: Part,
        partial: bool,
    ) -> Result<Self, Refusal> {
        match protocol {
            _ if part == Part::Later => Ok(Self::Opaque),
            protocol::TCP if payload.len() >= tcp::HEADER => Ok(Self::Tcp),
            protocol::UDP => {
                let header = Udp::of(payload).ok_or(Refusal::Malformed)?;
                match header.checksum.get() {
                    0 if !partial && part == Part::First => Err(Refusal::ZeroChecksum),
                    0 if !partial => {
                        let length = usize::from(header.length.get());
                        let fits = (udp::HEADER..=payload.len()).contains(&length);
                        if fits { Ok(Self::Unsummed) } else { Err(Refusal::Malformed) }
                    }
                    _ => Ok(Self::Udp),
                }
            }
            protocol::TCP => Err(Refusal::Malformed),
            _ => Ok(Self::Opaque),
        }
    }

    /// What an ICMP message of `length` bytes is, if it is an echo; `query` gives its type in the
    /// other family. `payload` is at least its beginning.
    pub(super) fn of_icmp(
        payload: &[u8],
        length: usize,
        part: Part,
        query: fn(u8) -> Option<u8>,
    ) -> Result<Self, Refusal> {
        if part != Part::Whole {
            return Err(Refusal::FragmentedIcmp);
        }
        let kind = Icmpv4::of(payload).ok_or(Refusal::Malformed)?.kind;
        let kind = query(kind).ok_or(Refusal::Untranslatable)?;
        let length = u16::try_from(length).map_err(|_| Refusal::Malformed)?;
        Ok(Self::Echo { kind, length })
    }

    /// What the beginning of a payload is that an error quotes.
    pub(super) fn of_quoted(protocol: u8, payload: &[u8], part: Part) -> Result<Self, Refusal> {
        match protocol {
            _ if part == Part::Later => Ok(Self::Opaque),
            protocol::TCP | protocol::UDP if payload.len() < QUOTED => Err(Refusal::Malformed),
            protocol::TCP => Ok(Self::Tcp),
            protocol::UDP => Ok(Self::Udp),
            _ => Ok(Self::Opaque),
        }
    }

    /// The longest payload that `payload` stands for, in bytes: itself, or that of a segment.
    #[inline(always)]
    pub(super) fn longest(self, payload: &[u8], offload: VirtioNetHdr) -> usize {
        match offload.segmented() {
            None => payload.len(),
            Some(_) => self.longest_segment(payload, offload),
        }
    }

    /// The same of a super-packet; apart, so that packets that come one by one do not pay for it.
    #[inline(never)]
    fn longest_segment(self, payload: &[u8], offload: VirtioNetHdr) -> usize {
        let header = match self {
            Self::Tcp => {
                Tcp::of(payload).map_or(tcp::HEADER, |header| header.header_length().into())
            }
            _ => udp::HEADER,
        };
        payload.len().min(header + usize::from(offload.gso_size))
    }

    /// Changes `payload`.
    pub(super) fn translate(self, payload: &mut [u8], change: &Change) {
        let &Change { ports, deltas, partial, addresses6, to_v6 } = change;
        match self {
            Self::Tcp => tcp(payload, ports, deltas, partial),
            Self::Udp => udp(payload, ports, deltas, partial),
            Self::Unsummed => {
                set_ports(payload, ports);
                sum_udp(payload, addresses6.word(protocol::UDP.into()));
            }
            Self::Echo { kind, length } => {
                let pseudo = addresses6.word(length).word(protocol::ICMPV6.into());
                let sums = if to_v6 { (Sum::ZERO, pseudo) } else { (pseudo, Sum::ZERO) };
                echo(payload, kind, ports, sums);
            }
            Self::Opaque => {}
        }
    }
}

/// What a payload is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) ports: (u16, u16),
    pub(super) deltas: Deltas,
    /// Whether its checksum covers the pseudo-header alone.
    pub(super) partial: bool,
    /// Sum of the addresses on the IPv6 side: ICMP has a pseudo-header only there.
    pub(super) addresses6: Sum,
    /// Whether that side is the one it goes to.
    pub(super) to_v6: bool,
}

/// A TCP header, or as much of it as there is. A `partial` checksum covers the pseudo-header alone.
#[inline(always)]
pub(super) fn tcp(segment: &mut [u8], ports: (u16, u16), deltas: Deltas, partial: bool) {
    set_ports(segment, ports);
    update(segment, tcp::CHECKSUM_OFFSET, |sum| match partial {
        true => deltas.addresses.apply_partial(sum),
        false => deltas.transport.apply(sum),
    });
}

/// A UDP header. A checksum of zero stays.
#[inline(always)]
pub(super) fn udp(datagram: &mut [u8], ports: (u16, u16), deltas: Deltas, partial: bool) {
    set_ports(datagram, ports);
    update(datagram, udp::CHECKSUM_OFFSET, |sum| match partial {
        true => deltas.addresses.apply_partial(sum),
        false => udp::apply(deltas.transport, sum),
    });
}

/// An echo's type, identifier and checksum. Both families have the same header.
fn echo(message: &mut [u8], kind: u8, ports: (u16, u16), (before, after): (Sum, Sum)) {
    let Some(header) = Icmpv4::of_mut(message) else { return };
    let covered = |header: &Icmpv4| {
        let first = u16::from_be_bytes([header.kind, header.code]);
        Sum::ZERO.word(first).word(header.identifier.get())
    };
    let old = covered(header).plus(before);
    header.kind = kind;
    let asks = matches!(kind, icmpv4::kind::ECHO_REQUEST | icmpv6::kind::ECHO_REQUEST);
    header.identifier.set(if asks { ports.0 } else { ports.1 });
    let change = Delta::between(old, covered(header).plus(after));
    header.checksum = change.apply(header.checksum);
}

/// Computes the checksum that a datagram came without, under a pseudo-header without its length.
fn sum_udp(datagram: &mut [u8], pseudo: Sum) {
    let Some(header) = Udp::of_mut(datagram) else { return };
    let length = header.length.get();
    header.checksum.set(0);
    let Some(covered) = datagram.get(..usize::from(length)) else { return };
    let computed = Sum::of(covered).plus(pseudo).word(length).checksum();
    update(datagram, udp::CHECKSUM_OFFSET, |_| udp::transmitted(computed.into()));
}

/// The ports of TCP and UDP, which stand at the same place.
pub(super) fn ports(segment: &[u8]) -> (u16, u16) {
    let both = segment.first_chunk().map_or(0, |ports| u32::from_be_bytes(*ports));
    let [a, b, c, d] = both.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// See [`ports`].
#[inline(always)]
fn set_ports(segment: &mut [u8], (source, destination): (u16, u16)) {
    if let Some(ports) = segment.first_chunk_mut::<4>() {
        let both = u32::from(source) << 16 | u32::from(destination);
        *ports = both.to_be_bytes();
    }
}

/// Changes the checksum at `offset`, where there is one.
#[inline(always)]
fn update(segment: &mut [u8], offset: u16, change: impl FnOnce(U16) -> U16) {
    let at = usize::from(offset);
    if let Some(field) = segment.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = change(U16::from_bytes(*field)).to_bytes();
    }
}
