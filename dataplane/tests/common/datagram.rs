//! Packets of both families as values: made and read by `etherparse`, which knows nothing of the path's
//! own views.
//!
//! [`Datagram::read`] is the judge of everything that the path emits: lengths must agree and every
//! checksum must verify, also those of a quoted packet.

use std::net::IpAddr;

use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpFragOffset, IpNumber, Ipv4Header, Ipv6ExtensionSlice,
    Ipv6FragmentHeader, Ipv6Header, Ipv6Slice, LaxNetSlice, LaxSlicedPacket, NetSlice,
    SlicedPacket, TcpHeader, TransportSlice, UdpHeader,
};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// A packet's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub ttl: u8,
    /// Of IPv4 alone.
    pub df: bool,
    /// Which part of a datagram it is, if it is a fragment; of IPv6 also one in form only.
    pub part: Option<Part>,
    /// Of IPv6 alone: numbers of extension headers before the fragment header, and their bytes behind
    /// the one that tells what follows.
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub payload: Payload,
}

/// A part of a datagram, from byte `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub id: u32,
    pub offset: usize,
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Tcp {
        ports: (u16, u16),
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
        data: Vec<u8>,
    },
    Udp {
        ports: (u16, u16),
        data: Vec<u8>,
    },
    Echo {
        request: bool,
        id: u16,
        sequence: u16,
        data: Vec<u8>,
    },
    /// Another ICMP query of IPv4, or the answer to one.
    Query {
        kind: u8,
        id: u16,
        data: Vec<u8>,
    },
    /// An ICMP error, or any other message; `word` is the second word of the header.
    Error {
        kind: u8,
        code: u8,
        word: [u8; 4],
        quoted: Vec<u8>,
    },
    Other {
        protocol: u8,
        data: Vec<u8>,
    },
}

/// Addresses as a pseudo-header has them.
#[derive(Clone, Copy)]
enum Ends {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Ends {
    fn of(src: IpAddr, dst: IpAddr) -> Self {
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Self::V4(src.octets(), dst.octets()),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Self::V6(src.octets(), dst.octets()),
            _ => panic!("{src} and {dst} are of two families"),
        }
    }
}

impl Datagram {
    pub fn new(src: impl Into<IpAddr>, dst: impl Into<IpAddr>, payload: Payload) -> Self {
        let (src, dst) = (src.into(), dst.into());
        Self { src, dst, ttl: 64, df: false, part: None, extensions: Vec::new(), payload }
    }

    /// As bytes, with all checksums.
    pub fn bytes(&self) -> Vec<u8> {
        let ends = Ends::of(self.src, self.dst);
        let (protocol, body) = self.payload.bytes(ends);
        let mut bytes = Vec::new();
        match ends {
            Ends::V4(src, dst) => {
                let length = u16::try_from(body.len()).unwrap();
                let mut header = Ipv4Header::new(length, self.ttl, protocol, src, dst).unwrap();
                header.dont_fragment = self.df;
                if let Some(part) = self.part {
                    header.identification = u16::try_from(part.id).unwrap();
                    header.fragment_offset = part.units();
                    header.more_fragments = part.more;
                }
                header.header_checksum = header.calc_header_checksum();
                header.write(&mut bytes).unwrap();
            }
            Ends::V6(source, destination) => {
                let (next_header, chain) = self.chain(protocol);
                let header = Ipv6Header {
                    payload_length: u16::try_from(chain.len() + body.len()).unwrap(),
                    next_header,
                    hop_limit: self.ttl,
                    source,
                    destination,
                    ..Default::default()
                };
                header.write(&mut bytes).unwrap();
                bytes.extend(chain);
            }
        }
        bytes.extend(body);
        bytes
    }

    /// The extension headers before what is of `protocol`, and the number of the first header.
    fn chain(&self, protocol: IpNumber) -> (IpNumber, Vec<u8>) {
        let (mut next, mut chain) = (protocol, Vec::new());
        if let Some(part) = self.part {
            let header = Ipv6FragmentHeader::new(next, part.units(), part.more, part.id);
            chain.extend(header.to_bytes());
            next = IpNumber::IPV6_FRAGMENTATION_HEADER;
        }
        for (number, rest) in self.extensions.iter().rev() {
            chain.splice(..0, [&[next.0][..], rest].concat());
            next = IpNumber(*number);
        }
        (next, chain)
    }

    /// Reads a whole packet.
    ///
    /// # Panics
    ///
    /// When it does not parse, or a checksum does not verify.
    pub fn read(bytes: &[u8]) -> Self {
        let sliced = SlicedPacket::from_ip(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
        let payload = |src, dst| Payload::of(sliced.transport.as_ref()?, Ends::of(src, dst));
        match sliced.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(usize::from(header.total_len), bytes.len(), "total length");
                verify("IPv4 header", header.header_checksum, header.calc_header_checksum());
                let (src, dst) = (header.source.into(), header.destination.into());
                let part = header.is_fragmenting_payload().then(|| Part {
                    id: header.identification.into(),
                    offset: usize::from(header.fragment_offset.byte_offset()),
                    more: header.more_fragments,
                });
                let other = || other(header.protocol, ip.payload().payload);
                Self {
                    ttl: header.time_to_live,
                    df: header.dont_fragment,
                    part,
                    ..Self::new(src, dst, payload(src, dst).unwrap_or_else(other))
                }
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header().to_header();
                let length = usize::from(header.payload_length) + Ipv6Header::LEN;
                assert_eq!(length, bytes.len(), "payload length");
                let (src, dst) = (header.source.into(), header.destination.into());
                let (part, extensions) = read_chain(ip);
                let other = || other(ip.payload().ip_number, ip.payload().payload);
                Self {
                    ttl: header.hop_limit,
                    part,
                    extensions,
                    ..Self::new(src, dst, payload(src, dst).unwrap_or_else(other))
                }
            }
            NetSlice::Arp(_) => panic!("not IP: {bytes:x?}"),
        }
    }

    /// Reads the beginning of a packet, as an ICMP error quotes it: addresses, ports (or echo
    /// identifier) and protocol. Verifies its header, and the rest where it is whole.
    pub fn read_quoted(bytes: &[u8]) -> Quoted {
        let lax = LaxSlicedPacket::from_ip(bytes).unwrap();
        let (src, dst, protocol, start, whole) = match lax.net.as_ref().unwrap() {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                let sum = header.calc_header_checksum();
                verify("quoted IPv4 header", header.header_checksum, sum);
                let (src, dst) = (header.source.into(), header.destination.into());
                (src, dst, header.protocol, header.header_len(), header.total_len.into())
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header().to_header();
                let (src, dst) = (header.source.into(), header.destination.into());
                let start = Ipv6Header::LEN + ip.extensions().slice().len();
                let whole = Ipv6Header::LEN + usize::from(header.payload_length);
                (src, dst, ip.payload().ip_number, start, whole)
            }
            LaxNetSlice::Arp(_) => panic!("not IP: {bytes:x?}"),
        };
        if whole == bytes.len() {
            Self::read(bytes);
        }
        let word = |at: usize| u16::from_be_bytes([bytes[start + at], bytes[start + at + 1]]);
        let ports = match (protocol, bytes[start]) {
            (IpNumber::ICMP, 8 | 13 | 15 | 17) | (IpNumber::IPV6_ICMP, 128) => (word(4), 0),
            (IpNumber::ICMP, 0 | 14 | 16 | 18) | (IpNumber::IPV6_ICMP, 129) => (0, word(4)),
            (IpNumber::TCP | IpNumber::UDP, _) => (word(0), word(2)),
            _ => (0, 0),
        };
        Quoted { src, dst, ports, protocol: protocol.0 }
    }

    /// Source and destination port; an echo's identifier on the side that asked.
    pub fn ports(&self) -> (u16, u16) {
        match self.payload {
            Payload::Tcp { ports, .. } | Payload::Udp { ports, .. } => ports,
            Payload::Echo { request: true, id, .. } => (id, 0),
            Payload::Echo { request: false, id, .. } => (0, id),
            _ => (0, 0),
        }
    }
}

impl Part {
    fn units(self) -> IpFragOffset {
        u16::try_from(self.offset / 8).unwrap().try_into().unwrap()
    }
}

/// The fragment header, and those before it.
fn read_chain(ip: &Ipv6Slice<'_>) -> (Option<Part>, Vec<(u8, Vec<u8>)>) {
    let (mut part, mut extensions) = (None, Vec::new());
    let mut number = ip.header().next_header();
    for extension in ip.extensions().clone() {
        let bytes = match &extension {
            Ipv6ExtensionSlice::Fragment(header) => {
                let header = header.to_header();
                let offset = usize::from(header.fragment_offset.byte_offset());
                let (id, more) = (header.identification, header.more_fragments);
                part = Some(Part { id, offset, more });
                number = header.next_header;
                continue;
            }
            Ipv6ExtensionSlice::HopByHop(it)
            | Ipv6ExtensionSlice::Routing(it)
            | Ipv6ExtensionSlice::DestinationOptions(it) => it.slice(),
            Ipv6ExtensionSlice::Authentication(it) => it.slice(),
        };
        extensions.push((number.0, bytes[1..].to_vec()));
        number = IpNumber(bytes[0]);
    }
    (part, extensions)
}

fn other(protocol: IpNumber, data: &[u8]) -> Payload {
    Payload::Other { protocol: protocol.0, data: data.to_vec() }
}

impl Payload {
    /// As bytes, with its checksum, and its protocol.
    fn bytes(&self, ends: Ends) -> (IpNumber, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut icmp = |v4, v6, data: &[u8]| {
            let protocol = match ends {
                Ends::V4(..) => {
                    etherparse::Icmpv4Header::with_checksum(v4, data).write(&mut bytes).unwrap();
                    IpNumber::ICMP
                }
                Ends::V6(src, dst) => {
                    let header = etherparse::Icmpv6Header::with_checksum(v6, src, dst, data);
                    header.unwrap().write(&mut bytes).unwrap();
                    IpNumber::IPV6_ICMP
                }
            };
            bytes.extend(data);
            protocol
        };
        let protocol = match self {
            Self::Tcp { ports, flags, sequence, acknowledgment, data } => {
                let mut header = TcpHeader::new(ports.0, ports.1, *sequence, 1000);
                header.acknowledgment_number = *acknowledgment;
                let bits: [bool; 8] = std::array::from_fn(|bit| flags >> bit & 1 != 0);
                [header.fin, header.syn, header.rst, header.psh, ..] = bits;
                [.., header.ack, header.urg, header.ece, header.cwr] = bits;
                let sum = match ends {
                    Ends::V4(src, dst) => header.calc_checksum_ipv4_raw(src, dst, data),
                    Ends::V6(src, dst) => header.calc_checksum_ipv6_raw(src, dst, data),
                };
                header.checksum = sum.unwrap();
                header.write(&mut bytes).unwrap();
                bytes.extend(data);
                IpNumber::TCP
            }
            Self::Udp { ports, data } => {
                let mut header =
                    UdpHeader::without_ipv4_checksum(ports.0, ports.1, data.len()).unwrap();
                header.checksum = sum_udp(&header, ends, data);
                header.write(&mut bytes).unwrap();
                bytes.extend(data);
                IpNumber::UDP
            }
            Self::Echo { request, id, sequence, data } => {
                let echo = IcmpEchoHeader { id: *id, seq: *sequence };
                match request {
                    true => {
                        icmp(Icmpv4Type::EchoRequest(echo), Icmpv6Type::EchoRequest(echo), data)
                    }
                    false => icmp(Icmpv4Type::EchoReply(echo), Icmpv6Type::EchoReply(echo), data),
                }
            }
            Self::Query { kind, id, data } => {
                let [high, low] = id.to_be_bytes();
                let (type_u8, bytes5to8) = (*kind, [high, low, 0, 1]);
                icmp(
                    Icmpv4Type::Unknown { type_u8, code_u8: 0, bytes5to8 },
                    Icmpv6Type::Unknown { type_u8, code_u8: 0, bytes5to8 },
                    data,
                )
            }
            &Self::Error { kind: type_u8, code: code_u8, word: bytes5to8, ref quoted } => icmp(
                Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8 },
                Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8 },
                quoted,
            ),
            Self::Other { protocol, data } => {
                bytes.extend(data);
                IpNumber(*protocol)
            }
        };
        (protocol, bytes)
    }

    /// Reads and verifies one of those that have a checksum.
    fn of(transport: &TransportSlice<'_>, ends: Ends) -> Option<Self> {
        Some(match transport {
            TransportSlice::Tcp(tcp) => {
                let sum = match ends {
                    Ends::V4(src, dst) => tcp.calc_checksum_ipv4(src, dst),
                    Ends::V6(src, dst) => tcp.calc_checksum_ipv6(src, dst),
                };
                verify("TCP", tcp.checksum(), sum.unwrap());
                Self::Tcp {
                    ports: (tcp.source_port(), tcp.destination_port()),
                    flags: tcp.slice()[13],
                    sequence: tcp.sequence_number(),
                    acknowledgment: tcp.acknowledgment_number(),
                    data: tcp.payload().to_vec(),
                }
            }
            TransportSlice::Udp(udp) => {
                // None is a checksum in IPv4 alone (RFC 8200 s. 8.1).
                if udp.checksum() != 0 || matches!(ends, Ends::V6(..)) {
                    assert_ne!(udp.checksum(), 0, "UDP over IPv6 has a checksum");
                    let sum = sum_udp(&udp.to_header(), ends, udp.payload());
                    verify("UDP", udp.checksum(), sum);
                }
                let ports = (udp.source_port(), udp.destination_port());
                Self::Udp { ports, data: udp.payload().to_vec() }
            }
            TransportSlice::Icmpv4(icmp) => {
                verify("ICMP", icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
                let (kind, code, word) = (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8());
                if let 13..=18 = kind {
                    let id = u16::from_be_bytes([word[0], word[1]]);
                    return Some(Self::Query { kind, id, data: icmp.slice()[8..].to_vec() });
                }
                Self::message(kind, code, word, icmp.payload(), [8, 0])
            }
            TransportSlice::Icmpv6(icmp) => {
                let Ends::V6(src, dst) = ends else { panic!("ICMPv6 over IPv4") };
                assert!(icmp.is_checksum_valid(src, dst), "ICMPv6 checksum");
                let (kind, code, word) = (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8());
                Self::message(kind, code, word, icmp.payload(), [128, 129])
            }
            TransportSlice::Igmp(_) => return None,
        })
    }

    fn message(kind: u8, code: u8, word: [u8; 4], data: &[u8], [asks, answers]: [u8; 2]) -> Self {
        let [a, b, c, d] = word;
        let data = data.to_vec();
        if kind == asks || kind == answers {
            let (id, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            Self::Echo { request: kind == asks, id, sequence, data }
        } else {
            Self::Error { kind, code, word, quoted: data }
        }
    }
}

fn sum_udp(header: &UdpHeader, ends: Ends, data: &[u8]) -> u16 {
    match ends {
        Ends::V4(src, dst) => header.calc_checksum_ipv4_raw(src, dst, data).unwrap(),
        Ends::V6(src, dst) => header.calc_checksum_ipv6_raw(src, dst, data).unwrap(),
    }
}

/// What an ICMP error tells of the packet that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub ports: (u16, u16),
    pub protocol: u8,
}

/// In ones' complement both zeros are the same number.
fn verify(what: &str, stored: u16, computed: u16) {
    let zero = |sum: u16| if sum == 0xffff { 0 } else { sum };
    assert_eq!(zero(stored), zero(computed), "{what} checksum is {stored:#06x}");
}

type Port<A> = (A, u16);

pub fn tcp(
    src: Port<impl Into<IpAddr>>,
    dst: Port<impl Into<IpAddr>>,
    flags: u8,
    data: &[u8],
) -> Datagram {
    let (sequence, acknowledgment) = (1_000_000, if flags & ACK != 0 { 2_000_000 } else { 0 });
    let ports = (src.1, dst.1);
    let data = data.to_vec();
    Datagram::new(src.0, dst.0, Payload::Tcp { ports, flags, sequence, acknowledgment, data })
}

pub fn udp(src: Port<impl Into<IpAddr>>, dst: Port<impl Into<IpAddr>>, data: &[u8]) -> Datagram {
    Datagram::new(src.0, dst.0, Payload::Udp { ports: (src.1, dst.1), data: data.to_vec() })
}

pub fn echo(
    src: impl Into<IpAddr>,
    dst: impl Into<IpAddr>,
    request: bool,
    id: u16,
    data: &[u8],
) -> Datagram {
    Datagram::new(src, dst, Payload::Echo { request, id, sequence: 1, data: data.to_vec() })
}
