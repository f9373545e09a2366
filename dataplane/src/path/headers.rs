//! What do a packet's headers say?
//!
//! Of IPv4 and of IPv6, for whoever must know more than that a packet is like most. Lengths are
//! believed nowhere before they have been checked here.

use zerocopy::{FromBytes, IntoBytes};

use crate::packet::{Addr, Key, LinkId, PortPair, Reason, Slots};
use crate::wire::chain::Chain;
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{self, Icmpv4, Role};
use crate::wire::icmpv6::{self, Icmpv6};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};

/// What the headers before the transport header say.
pub(super) struct Network {
    pub(super) ends: (Addr, Addr),
    /// Protocol number of the transport.
    pub(super) protocol: u8,
    /// Offset of the transport header, in bytes.
    pub(super) transport: u8,
    /// Length of the packet without padding behind it, in bytes.
    pub(super) total: u32,
    /// Which part of its datagram it is, if it is a fragment.
    pub(super) part: Option<Part>,
}

/// A part of a datagram.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// What its parts have in common.
    pub(super) identification: u32,
    /// Where it begins in the datagram, in bytes.
    pub(super) offset: usize,
}

impl Network {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Reason> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Self::v4(bytes).ok_or(Reason::Malformed),
            Some(6) => Self::v6(bytes),
            _ => Err(Reason::Malformed),
        }
    }

    fn v4(bytes: &[u8]) -> Option<Self> {
        let header = Ipv4::of(bytes)?;
        let length = header.header_length();
        let total = header.total_length.get();
        let whole = bytes.get(..length)?;
        // RFC 1812 s. 5.2.2 (2): what is not summed right is not looked at further.
        let is_summed = length >= ipv4::HEADER && Sum::of(whole).fold() == 0xffff;
        if !is_summed || usize::from(total) < length || usize::from(total) > bytes.len() {
            return None;
        }
        let part = Part {
            identification: header.identification.get().into(),
            offset: header.fragment_offset(),
        };
        Some(Self {
            ends: (Addr::from_v4(header.source), Addr::from_v4(header.destination)),
            protocol: header.protocol,
            transport: u8::try_from(length).ok()?,
            total: total.into(),
            part: header.is_fragment().then_some(part),
        })
    }

    fn v6(bytes: &[u8]) -> Result<Self, Reason> {
        let header = Ipv6::of(bytes).ok_or(Reason::Malformed)?;
        let total = ipv6::HEADER + usize::from(header.payload_length.get());
        let whole = bytes.get(..total).ok_or(Reason::Malformed)?;
        let chain = Chain::of(whole).map_err(|_| Reason::ExtensionHeaders)?;
        let part = chain.fragment.filter(|fragment| !fragment.is_atomic()).map(|fragment| Part {
            identification: fragment.identification,
            offset: usize::from(fragment.offset) * 8,
        });
        Ok(Self {
            ends: (header.source.into(), header.destination.into()),
            protocol: chain.protocol,
            transport: u8::try_from(chain.transport).map_err(|_| Reason::ExtensionHeaders)?,
            total: u32::from(header.payload_length.get()) + u32::from(short(ipv6::HEADER)),
            part,
        })
    }

    /// The payload of the packet whose bytes these are.
    pub(super) fn payload<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], Reason> {
        bytes.get(self.transport.into()..self.total as usize).ok_or(Reason::Malformed)
    }
}

/// Source and destination of a packet.
pub(super) fn ends(bytes: &[u8]) -> Option<(Addr, Addr)> {
    match bytes.first()? >> 4 {
        4 => Ipv4::of(bytes)
            .map(|header| (Addr::from_v4(header.source), Addr::from_v4(header.destination))),
        _ => Ipv6::of(bytes).map(|header| (header.source.into(), header.destination.into())),
    }
}

/// What a transport header says.
#[derive(Clone, Copy)]
pub(super) struct Transport {
    /// Its length, in bytes.
    pub(super) header: u8,
    /// See [`Key`].
    pub(super) ports: PortPair,
    pub(super) tcp_flags: u8,
}

impl Transport {
    /// The header at the start of `segment`, of whose datagram there are `present` bytes, here or in
    /// other fragments.
    pub(super) fn of(protocol: u8, segment: &[u8], present: usize) -> Result<Self, Reason> {
        let found = match protocol {
            protocol::TCP => Tcp::of(segment).and_then(|header| tcp(header, 0, segment.len())),
            protocol::UDP => Udp::of(segment).and_then(|header| udp(header, 0, present)),
            protocol::ICMP | protocol::ICMPV6 => Message::of(protocol, segment).map(|message| {
                Self { header: short(icmpv4::HEADER), ports: message.ports(), tcp_flags: 0 }
            }),
            _ => Some(Self { header: 0, ports: PortPair::NONE, tcp_flags: 0 }),
        };
        found.ok_or(Reason::Malformed)
    }
}

/// What a header says that stands `before` bytes behind the start of so many as there are in `total`.
#[inline(always)]
pub(super) fn tcp(header: &Tcp, before: usize, total: usize) -> Option<Transport> {
    let length = header.header_length();
    let fits = usize::from(length) >= tcp::HEADER && before + usize::from(length) <= total;
    fits.then(|| Transport { header: length, ports: header.ports(), tcp_flags: header.flags })
}

/// The same of UDP.
#[inline(always)]
pub(super) fn udp(header: &Udp, before: usize, total: usize) -> Option<Transport> {
    let length = usize::from(header.length.get());
    let fits = length >= udp::HEADER && before + length <= total;
    fits.then(|| Transport { header: short(udp::HEADER), ports: header.ports(), tcp_flags: 0 })
}

/// As much of a transport header as one of TCP has without options.
pub(super) type Start = [u8; tcp::HEADER];

/// As many bytes as the longest headers without options or extensions take.
pub(super) type Head = [u8; ipv6::HEADER + tcp::HEADER];

/// What a packet begins with whose first byte is at `start`; where it is shorter, what lies behind it in its slot.
#[inline(always)]
pub(super) fn head(start: u32, slots: &mut Slots) -> Option<&mut Head> {
    slots.get_mut(start as usize..)?.first_chunk_mut()
}

/// The same as the header of IPv4, and what follows it.
#[inline(always)]
pub(super) fn of_v4(head: &mut Head) -> (&mut Ipv4, &mut Start) {
    let HeadV4 { header, transport, .. } = zerocopy::transmute_mut!(head);
    (header, transport)
}

/// The same as that of IPv6.
#[inline(always)]
pub(super) fn of_v6(head: &mut Head) -> (&mut Ipv6, &mut Start) {
    let HeadV6 { header, transport } = zerocopy::transmute_mut!(head);
    (header, transport)
}

#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct HeadV4 {
    header: Ipv4,
    transport: Start,
    _behind: [u8; ipv6::HEADER - ipv4::HEADER],
}

#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct HeadV6 {
    header: Ipv6,
    transport: Start,
}

/// The length of a header, in bytes, as packets have it.
#[expect(clippy::cast_possible_truncation, reason = "only of headers without options")]
pub(super) const fn short(header: usize) -> u8 {
    header as u8
}

/// An ICMP message of either family, or the beginning of one.
#[derive(Clone, Copy)]
pub(super) enum Message<'b> {
    V4(&'b Icmpv4),
    V6(&'b Icmpv6),
}

impl<'b> Message<'b> {
    /// The message in `segment`, if that is of ICMP.
    pub(super) fn of(protocol: u8, segment: &'b [u8]) -> Option<Self> {
        match protocol {
            protocol::ICMP => Icmpv4::of(segment).map(Self::V4),
            protocol::ICMPV6 => Icmpv6::of(segment).map(Self::V6),
            _ => None,
        }
    }

    /// Type and code in one word.
    pub(super) const fn type_and_code(self) -> u16 {
        match self {
            Self::V4(header) => header.type_and_code(),
            Self::V6(header) => header.type_and_code(),
        }
    }

    /// Whether it is an error, which quotes the packet that caused it.
    pub(super) const fn is_error(self) -> bool {
        match self {
            Self::V4(header) => header.is_error(),
            Self::V6(header) => header.is_error(),
        }
    }

    /// Whether it never leaves its link: neighbour discovery, multicast listeners.
    pub(super) const fn is_link_local(self) -> bool {
        match self {
            Self::V4(_) => false,
            Self::V6(header) => header.is_link_local(),
        }
    }

    /// The identifier of a query stands for a port on the side that asks, and what it asks for on the
    /// other: an echo, which both families have, or what its type says.
    fn ports(self) -> PortPair {
        const ECHO: u16 = 0;
        let (asks, what, identifier) = match self {
            Self::V4(header) => {
                let (asks, query) = match Role::of(header.kind) {
                    Role::Query => (true, header.kind),
                    Role::Reply(query) => (false, query),
                    Role::Error | Role::Other => return PortPair::NONE,
                };
                let is_echo = query == icmpv4::kind::ECHO_REQUEST;
                (asks, if is_echo { ECHO } else { query.into() }, header.identifier)
            }
            Self::V6(header) => match header.kind {
                icmpv6::kind::ECHO_REQUEST => (true, ECHO, header.identifier),
                icmpv6::kind::ECHO_REPLY => (false, ECHO, header.identifier),
                _ => return PortPair::NONE,
            },
        };
        let asked = PortPair::new(identifier.get(), what);
        if asks { asked } else { asked.reversed() }
    }
}

/// The key of the packets that the one quoted in the ICMP error `message` answers: they come the way
/// that the error came, by `link`. Quoted are its headers and at least eight bytes of its payload (RFC
/// 792, RFC 4443 s. 2.4), and it is of the error's own family. A later fragment has no ports: it will do
/// `without` alone.
pub(super) fn quoted(
    message: Message<'_>,
    quote: &[u8],
    link: LinkId,
    without: bool,
) -> Result<Key, Reason> {
    let version = quote.first().map(|first| first >> 4);
    let (ends, protocol, transport, offset) = match (message, version) {
        (Message::V4(_), Some(4)) => {
            let header = Ipv4::of(quote).ok_or(Reason::Malformed)?;
            let length = header.header_length();
            if length < ipv4::HEADER {
                return Err(Reason::Malformed);
            }
            let ends = (Addr::from_v4(header.source), Addr::from_v4(header.destination));
            (ends, header.protocol, length, header.fragment_offset())
        }
        (Message::V6(_), Some(6)) => {
            let header = Ipv6::of(quote).ok_or(Reason::Malformed)?;
            let chain = Chain::of(quote).map_err(|_| Reason::ExtensionHeaders)?;
            let offset = chain.fragment.map_or(0, |fragment| usize::from(fragment.offset));
            let ends = (header.source.into(), header.destination.into());
            (ends, chain.protocol, chain.transport, offset)
        }
        _ => return Err(Reason::Malformed),
    };
    let segment = quote.get(transport..).ok_or(Reason::Malformed)?;
    let ports = match protocol {
        _ if offset != 0 && without => PortPair::NONE,
        _ if offset != 0 => return Err(Reason::IcmpUnmatched),
        // Both begin with the ports; a UDP header is all that must be quoted of either.
        protocol::TCP | protocol::UDP => Udp::of(segment).ok_or(Reason::Malformed)?.ports(),
        protocol::ICMP | protocol::ICMPV6 => {
            let message = Message::of(protocol, segment).ok_or(Reason::Malformed)?;
            // No error is sent about an error (RFC 1122 s. 3.2.2, RFC 4443 s. 2.4 (e)).
            if message.is_error() {
                return Err(Reason::IcmpUnmatched);
            }
            message.ports()
        }
        _ => PortPair::NONE,
    };
    Ok(Key::with_ports(link, protocol, ends, ports).reversed(link))
}
