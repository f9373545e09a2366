//! Packets of both families as values, made and read by `etherparse`.

use dataplane::io::{Frame, HEADROOM, SLOT};
use dataplane::wire::rfc7915::{Ends, Hop};
use dataplane::wire::virtio::VirtioNetHdr;
use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpHeaders, IpNumber, Ipv4Header, Ipv4Options,
    Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader, NetSlice, PacketBuilder, SlicedPacket, TcpHeader,
    TransportSlice,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// No packet is too long, and each hop counts.
pub const WIDE: Hop =
    Hop { hops: 1, mtu4: u16::MAX, mtu6: u16::MAX, lowest_mtu6: u16::MAX, identification: 7 };

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    Tcp { sequence: u32, flags: u8, options: usize, data: Vec<u8> },
    Udp { data: Vec<u8> },
    Echo { request: bool, sequence: u16, data: Vec<u8> },
}

/// What a network header says that both families have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    pub class: u8,
    pub limit: u8,
}

pub fn load(longest: usize) -> impl Strategy<Value = Load> {
    let data = || vec(any::<u8>(), 0..longest);
    prop_oneof![
        (any::<u32>(), any::<u8>(), 0..=10_usize, data()).prop_map(
            |(sequence, flags, options, data)| Load::Tcp { sequence, flags, options, data }
        ),
        data().prop_map(|data| Load::Udp { data }),
        (any::<bool>(), any::<u16>(), data()).prop_map(|(request, sequence, data)| Load::Echo {
            request,
            sequence,
            data
        }),
    ]
}

pub fn outside() -> impl Strategy<Value = Outside> {
    (any::<u8>(), 3..=u8::MAX).prop_map(|(class, limit)| Outside { class, limit })
}

/// An echo has one port, the identifier on the side that asks.
pub fn ends4(load: &Load) -> impl Strategy<Value = Ends<[u8; 4]>> + use<> {
    let echo = echo_of(load);
    let first = || (1..=223_u8).prop_filter("no source", |it| *it != 127);
    let address = move || (first(), any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| [a, b, c, d]);
    (address(), address(), any::<(u16, u16)>()).prop_map(move |(source, destination, ports)| Ends {
        source,
        destination,
        ports: one_port(echo, ports),
    })
}

/// See [`ends4`].
pub fn ends6(load: &Load) -> impl Strategy<Value = Ends<[u8; 16]>> + use<> {
    let echo = echo_of(load);
    let address = || {
        any::<[u8; 15]>().prop_map(|rest| {
            let mut address = [0x20; 16];
            address[1..].copy_from_slice(&rest);
            address
        })
    };
    (address(), address(), any::<(u16, u16)>()).prop_map(move |(source, destination, ports)| Ends {
        source,
        destination,
        ports: one_port(echo, ports),
    })
}

const fn echo_of(load: &Load) -> Option<bool> {
    match load {
        Load::Echo { request, .. } => Some(*request),
        _ => None,
    }
}

const fn one_port(echo: Option<bool>, (source, destination): (u16, u16)) -> (u16, u16) {
    match echo {
        Some(true) => (source, 0),
        Some(false) => (0, destination),
        None => (source, destination),
    }
}

/// As bytes over IPv4, with `options` words of options.
pub fn v4(ends: &Ends<[u8; 4]>, outside: Outside, options: usize, load: &Load) -> Vec<u8> {
    let number = IpNumber::UDP;
    let mut header =
        Ipv4Header::new(0, outside.limit, number, ends.source, ends.destination).unwrap();
    header.dscp = (outside.class >> 2).try_into().unwrap();
    header.ecn = (outside.class & 3).try_into().unwrap();
    header.options = Ipv4Options::try_from(&vec![1; options * 4][..]).unwrap();
    let ip = PacketBuilder::ip(IpHeaders::Ipv4(header, Default::default()));
    let mut bytes = Vec::new();
    match load {
        Load::Echo { request, sequence, data } => {
            let kind = match request {
                true => Icmpv4Type::EchoRequest,
                false => Icmpv4Type::EchoReply,
            };
            ip.icmpv4(kind(echo(ends.ports, *sequence))).write(&mut bytes, data).unwrap();
        }
        load => with_ports(ip, ends.ports, load, &mut bytes),
    }
    bytes
}

/// As bytes over IPv6, with `options` extension headers.
pub fn v6(ends: &Ends<[u8; 16]>, outside: Outside, options: usize, load: &Load) -> Vec<u8> {
    let mut header = Ipv6Header {
        hop_limit: outside.limit,
        source: ends.source,
        destination: ends.destination,
        ..Default::default()
    };
    header.traffic_class = outside.class;
    let padding = || Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[1, 4, 0, 0, 0, 0]).unwrap();
    let extensions = Ipv6Extensions {
        hop_by_hop_options: (options > 0).then(padding),
        destination_options: (options > 1).then(padding),
        ..Default::default()
    };
    let ip = PacketBuilder::ip(IpHeaders::Ipv6(header, extensions));
    let mut bytes = Vec::new();
    match load {
        Load::Echo { request, sequence, data } => {
            let kind = match request {
                true => Icmpv6Type::EchoRequest,
                false => Icmpv6Type::EchoReply,
            };
            ip.icmpv6(kind(echo(ends.ports, *sequence))).write(&mut bytes, data).unwrap();
        }
        load => with_ports(ip, ends.ports, load, &mut bytes),
    }
    bytes
}

const fn echo(ports: (u16, u16), seq: u16) -> IcmpEchoHeader {
    IcmpEchoHeader { id: ports.0 | ports.1, seq }
}

fn with_ports(
    ip: etherparse::PacketBuilderStep<IpHeaders>,
    (source, destination): (u16, u16),
    load: &Load,
    bytes: &mut Vec<u8>,
) {
    match load {
        Load::Tcp { sequence, flags, options, data } => {
            let mut header = TcpHeader::new(source, destination, *sequence, 1000);
            let bits: [bool; 8] = std::array::from_fn(|bit| flags >> bit & 1 != 0);
            [header.fin, header.syn, header.rst, header.psh, ..] = bits;
            [.., header.ack, header.urg, header.ece, header.cwr] = bits;
            header.set_options_raw(&vec![1; options * 4]).unwrap();
            ip.tcp_header(header).write(bytes, data).unwrap();
        }
        Load::Udp { data } => ip.udp(source, destination).write(bytes, data).unwrap(),
        Load::Echo { .. } => unreachable!("it has no ports"),
    }
}

/// What a packet of either family says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub ends: Ends<Vec<u8>>,
    pub outside: Outside,
    pub load: Load,
}

/// Reads a whole packet without IPv4 options and IPv6 extension headers, which a translator leaves
/// none of.
///
/// # Panics
///
/// When lengths contradict each other, or a checksum does not verify.
pub fn read(bytes: &[u8]) -> Read {
    let sliced = SlicedPacket::from_ip(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
    let transport = sliced.transport.as_ref().unwrap();
    match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!((usize::from(header.total_len), header.options.len()), (bytes.len(), 0));
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            let class = header.dscp.value() << 2 | header.ecn.value();
            let (source, destination) = (header.source, header.destination);
            let sums = match transport {
                TransportSlice::Tcp(it) => {
                    (it.checksum(), it.calc_checksum_ipv4(source, destination).unwrap())
                }
                TransportSlice::Udp(it) => {
                    let header = it.to_header();
                    let sum = header.calc_checksum_ipv4_raw(source, destination, it.payload());
                    (it.checksum(), sum.unwrap())
                }
                TransportSlice::Icmpv4(it) => {
                    (it.checksum(), it.icmp_type().calc_checksum(it.payload()))
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(sums.0, sums.1, "checksum of {bytes:x?}");
            let (ports, load) = loaded(transport);
            let ends = Ends { source: source.to_vec(), destination: destination.to_vec(), ports };
            Read { ends, outside: Outside { class, limit: header.time_to_live }, load }
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert_eq!(usize::from(header.payload_length) + 40, bytes.len());
            assert!(ip.extensions().first_header().is_none());
            let (source, destination) = (header.source, header.destination);
            let sums = match transport {
                TransportSlice::Tcp(it) => {
                    (it.checksum(), it.calc_checksum_ipv6(source, destination).unwrap())
                }
                TransportSlice::Udp(it) => {
                    let header = it.to_header();
                    let sum = header.calc_checksum_ipv6_raw(source, destination, it.payload());
                    (it.checksum(), sum.unwrap())
                }
                TransportSlice::Icmpv6(it) => {
                    let kind = it.icmp_type();
                    let sum = kind.calc_checksum(source, destination, it.payload());
                    (it.checksum(), sum.unwrap())
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(sums.0, sums.1, "checksum of {bytes:x?}");
            let (ports, load) = loaded(transport);
            let ends = Ends { source: source.to_vec(), destination: destination.to_vec(), ports };
            let outside = Outside { class: header.traffic_class, limit: header.hop_limit };
            Read { ends, outside, load }
        }
        other => panic!("{other:?}"),
    }
}

fn loaded(transport: &TransportSlice<'_>) -> ((u16, u16), Load) {
    let echo = |request, echo: IcmpEchoHeader, data: &[u8]| {
        let load = Load::Echo { request, sequence: echo.seq, data: data.to_vec() };
        (one_port(Some(request), (echo.id, echo.id)), load)
    };
    match transport {
        TransportSlice::Tcp(it) => {
            let load = Load::Tcp {
                sequence: it.sequence_number(),
                flags: it.slice()[13],
                options: it.options().len() / 4,
                data: it.payload().to_vec(),
            };
            ((it.source_port(), it.destination_port()), load)
        }
        TransportSlice::Udp(it) => {
            ((it.source_port(), it.destination_port()), Load::Udp { data: it.payload().to_vec() })
        }
        TransportSlice::Icmpv4(it) => match it.icmp_type() {
            Icmpv4Type::EchoRequest(header) => echo(true, header, it.payload()),
            Icmpv4Type::EchoReply(header) => echo(false, header, it.payload()),
            other => panic!("{other:?}"),
        },
        TransportSlice::Icmpv6(it) => match it.icmp_type() {
            Icmpv6Type::EchoRequest(header) => echo(true, header, it.payload()),
            Icmpv6Type::EchoReply(header) => echo(false, header, it.payload()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The packet in a slot of its own.
pub fn in_slot(packet: &[u8], offload: VirtioNetHdr) -> (Vec<u8>, Frame) {
    let mut slot = vec![0xa5; SLOT];
    slot[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    (slot, Frame { start: HEADROOM, len: packet.len(), offload })
}

/// An ICMP error of the family of what it quotes, with a right checksum, and an extension behind
/// `attribute` units of what it quotes, if any (RFC 4884).
#[derive(Clone, Debug)]
pub struct Error {
    pub source: Vec<u8>,
    pub destination: Vec<u8>,
    pub kind: u8,
    pub code: u8,
    pub word: [u8; 4],
    pub content: Vec<u8>,
}

impl Error {
    pub fn bytes(&self) -> Vec<u8> {
        let [a, b, c, d] = self.word;
        let mut message = vec![self.kind, self.code, 0, 0, a, b, c, d];
        message.extend(&self.content);
        let is_v4 = self.source.len() == 4;
        let length = u16::try_from(message.len()).unwrap();
        let mut summed = message.clone();
        if !is_v4 {
            summed.extend([0; 8].iter().take(message.len() % 2));
            summed.extend([&self.source[..], &self.destination].concat());
            summed.extend([0, 0, 0, 58]);
            summed.extend(length.to_be_bytes());
        }
        let checksum = !crate::common::wire_sums::sum(&summed);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        let mut bytes = Vec::new();
        if is_v4 {
            let source = self.source.clone().try_into().unwrap();
            let destination = self.destination.clone().try_into().unwrap();
            let header = Ipv4Header::new(length, 64, IpNumber::ICMP, source, destination).unwrap();
            header.write(&mut bytes).unwrap();
        } else {
            let header = Ipv6Header {
                payload_length: length,
                next_header: IpNumber::IPV6_ICMP,
                hop_limit: 64,
                source: self.source.clone().try_into().unwrap(),
                destination: self.destination.clone().try_into().unwrap(),
                ..Default::default()
            };
            header.write(&mut bytes).unwrap();
        }
        bytes.extend(message);
        bytes
    }

    /// Reads one.
    ///
    /// # Panics
    ///
    /// When lengths contradict each other, or the checksum does not verify.
    pub fn read(bytes: &[u8]) -> Self {
        let sliced = SlicedPacket::from_ip(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
        let (source, destination) = match sliced.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(usize::from(header.total_len), bytes.len());
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                (header.source.to_vec(), header.destination.to_vec())
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header().to_header();
                assert_eq!(usize::from(header.payload_length) + 40, bytes.len());
                (header.source.to_vec(), header.destination.to_vec())
            }
            other => panic!("{other:?}"),
        };
        let message = &bytes[if source.len() == 4 { 20 } else { 40 }..];
        let error = Self {
            source,
            destination,
            kind: message[0],
            code: message[1],
            word: message[4..8].try_into().unwrap(),
            content: message[8..].to_vec(),
        };
        let summed = error.bytes();
        let at = summed.len() - message.len() + 2;
        assert_eq!(message[2..4], summed[at..at + 2], "checksum of {bytes:x?}");
        error
    }
}
