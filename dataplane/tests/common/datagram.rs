//! Packets as values: made and read by `etherparse`, which knows nothing of the path's own views.
//!
//! [`Datagram::read`] is the judge of everything that the path emits: lengths must agree and every
//! checksum must verify, also those of a quoted packet.

use std::net::Ipv4Addr;

use etherparse::{
    IcmpEchoHeader, Icmpv4Type, IpNumber, Ipv4Header, LaxNetSlice, LaxSlicedPacket, NetSlice,
    SlicedPacket, TcpHeader, TransportSlice, UdpHeader,
};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// A packet's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub ttl: u8,
    pub df: bool,
    pub more_fragments: bool,
    pub payload: Payload,
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
    /// Another ICMP query, or the answer to one.
    Query {
        kind: u8,
        id: u16,
        data: Vec<u8>,
    },
    /// An ICMP error; `word` is the second word of the header.
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

impl Datagram {
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, payload: Payload) -> Self {
        Self { src, dst, ttl: 64, df: false, more_fragments: false, payload }
    }

    /// As bytes, with all checksums.
    pub fn bytes(&self) -> Vec<u8> {
        let (src, dst) = (self.src.octets(), self.dst.octets());
        let mut body = Vec::new();
        let protocol = match &self.payload {
            Payload::Tcp { ports, flags, sequence, acknowledgment, data } => {
                let mut header = TcpHeader::new(ports.0, ports.1, *sequence, 1000);
                header.acknowledgment_number = *acknowledgment;
                header.fin = flags & FIN != 0;
                header.syn = flags & SYN != 0;
                header.rst = flags & RST != 0;
                header.psh = flags & 0x08 != 0;
                header.ack = flags & ACK != 0;
                header.urg = flags & 0x20 != 0;
                header.ece = flags & 0x40 != 0;
                header.cwr = flags & 0x80 != 0;
                header.checksum = header.calc_checksum_ipv4_raw(src, dst, data).unwrap();
                header.write(&mut body).unwrap();
                body.extend(data);
                IpNumber::TCP
            }
            Payload::Udp { ports, data } => {
                let mut header =
                    UdpHeader::without_ipv4_checksum(ports.0, ports.1, data.len()).unwrap();
                header.checksum = header.calc_checksum_ipv4_raw(src, dst, data).unwrap();
                header.write(&mut body).unwrap();
                body.extend(data);
                IpNumber::UDP
            }
            Payload::Echo { request, id, sequence, data } => {
                let echo = IcmpEchoHeader { id: *id, seq: *sequence };
                let kind = if *request {
                    Icmpv4Type::EchoRequest(echo)
                } else {
                    Icmpv4Type::EchoReply(echo)
                };
                etherparse::Icmpv4Header::with_checksum(kind, data).write(&mut body).unwrap();
                body.extend(data);
                IpNumber::ICMP
            }
            Payload::Query { kind, id, data } => {
                let [high, low] = id.to_be_bytes();
                let bytes5to8 = [high, low, 0, 1];
                let kind = Icmpv4Type::Unknown { type_u8: *kind, code_u8: 0, bytes5to8 };
                etherparse::Icmpv4Header::with_checksum(kind, data).write(&mut body).unwrap();
                body.extend(data);
                IpNumber::ICMP
            }
            Payload::Error { kind, code, word, quoted } => {
                let kind = Icmpv4Type::Unknown { type_u8: *kind, code_u8: *code, bytes5to8: *word };
                etherparse::Icmpv4Header::with_checksum(kind, quoted).write(&mut body).unwrap();
                body.extend(quoted);
                IpNumber::ICMP
            }
            Payload::Other { protocol, data } => {
                body.extend(data);
                IpNumber(*protocol)
            }
        };
        let length = u16::try_from(body.len()).unwrap();
        let mut header = Ipv4Header::new(length, self.ttl, protocol, src, dst).unwrap();
        header.dont_fragment = self.df;
        header.more_fragments = self.more_fragments;
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = Vec::new();
        header.write(&mut bytes).unwrap();
        bytes.extend(body);
        bytes
    }

    /// Reads a whole packet.
    ///
    /// # Panics
    ///
    /// When it does not parse, or a checksum does not verify.
    pub fn read(bytes: &[u8]) -> Self {
        let sliced = SlicedPacket::from_ip(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("not IPv4: {bytes:x?}") };
        let header = ip.header().to_header();
        assert_eq!(usize::from(header.total_len), bytes.len(), "total length");
        verify("IPv4 header", header.header_checksum, header.calc_header_checksum());
        let (src, dst) = (header.source, header.destination);
        let payload = match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                let sum = tcp.calc_checksum_ipv4(src, dst).unwrap();
                verify("TCP", tcp.checksum(), sum);
                Payload::Tcp {
                    ports: (tcp.source_port(), tcp.destination_port()),
                    flags: tcp.slice()[13],
                    sequence: tcp.sequence_number(),
                    acknowledgment: tcp.acknowledgment_number(),
                    data: tcp.payload().to_vec(),
                }
            }
            Some(TransportSlice::Udp(udp)) => {
                if udp.checksum() != 0 {
                    let sum = udp.to_header().calc_checksum_ipv4_raw(src, dst, udp.payload());
                    verify("UDP", udp.checksum(), sum.unwrap());
                }
                let ports = (udp.source_port(), udp.destination_port());
                Payload::Udp { ports, data: udp.payload().to_vec() }
            }
            Some(TransportSlice::Icmpv4(icmp)) => {
                verify("ICMP", icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
                let word = icmp.bytes5to8();
                let data = icmp.payload().to_vec();
                match icmp.type_u8() {
                    kind @ (0 | 8) => Payload::Echo {
                        request: kind == 8,
                        id: u16::from_be_bytes([word[0], word[1]]),
                        sequence: u16::from_be_bytes([word[2], word[3]]),
                        data,
                    },
                    kind @ 13..=18 => Payload::Query {
                        kind,
                        id: u16::from_be_bytes([word[0], word[1]]),
                        data: icmp.slice()[8..].to_vec(),
                    },
                    kind => Payload::Error { kind, code: icmp.code_u8(), word, quoted: data },
                }
            }
            _ => {
                Payload::Other { protocol: header.protocol.0, data: ip.payload().payload.to_vec() }
            }
        };
        Self {
            src: src.into(),
            dst: dst.into(),
            ttl: header.time_to_live,
            df: header.dont_fragment,
            more_fragments: header.more_fragments,
            payload,
        }
    }

    /// Reads the beginning of a packet, as an ICMP error quotes it: addresses, ports (or echo
    /// identifier) and protocol. Verifies its header, and the rest where it is whole.
    pub fn read_quoted(bytes: &[u8]) -> Quoted {
        let lax = LaxSlicedPacket::from_ip(bytes).unwrap();
        let Some(LaxNetSlice::Ipv4(ip)) = &lax.net else { panic!("not IPv4: {bytes:x?}") };
        let header = ip.header().to_header();
        verify("quoted IPv4 header", header.header_checksum, header.calc_header_checksum());
        if usize::from(header.total_len) == bytes.len() {
            Self::read(bytes);
        }
        let start = ip.header().slice().len();
        let word = |at: usize| u16::from_be_bytes([bytes[start + at], bytes[start + at + 1]]);
        let ports = match header.protocol {
            IpNumber::ICMP if matches!(bytes[start], 8 | 13 | 15 | 17) => (word(4), 0),
            IpNumber::ICMP if matches!(bytes[start], 0 | 14 | 16 | 18) => (0, word(4)),
            IpNumber::TCP | IpNumber::UDP => (word(0), word(2)),
            _ => (0, 0),
        };
        let (src, dst) = (header.source.into(), header.destination.into());
        Quoted { src, dst, ports, protocol: header.protocol.0 }
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

/// What an ICMP error tells of the packet that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub ports: (u16, u16),
    pub protocol: u8,
}

/// In ones' complement both zeros are the same number.
fn verify(what: &str, stored: u16, computed: u16) {
    let zero = |sum: u16| if sum == 0xffff { 0 } else { sum };
    assert_eq!(zero(stored), zero(computed), "{what} checksum is {stored:#06x}");
}

pub fn tcp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), flags: u8, data: &[u8]) -> Datagram {
    let (sequence, acknowledgment) = (1_000_000, if flags & ACK != 0 { 2_000_000 } else { 0 });
    let ports = (src.1, dst.1);
    let data = data.to_vec();
    Datagram::new(src.0, dst.0, Payload::Tcp { ports, flags, sequence, acknowledgment, data })
}

pub fn udp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), data: &[u8]) -> Datagram {
    Datagram::new(src.0, dst.0, Payload::Udp { ports: (src.1, dst.1), data: data.to_vec() })
}

pub fn echo(src: Ipv4Addr, dst: Ipv4Addr, request: bool, id: u16, data: &[u8]) -> Datagram {
    Datagram::new(src, dst, Payload::Echo { request, id, sequence: 1, data: data.to_vec() })
}
