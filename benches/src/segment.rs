//! TCP segments as bytes, without a library, so that none comes with the binary. The tests let
//! `etherparse` judge what is written here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::wire::checksum::Sum;
use dataplane::wire::protocol;
use dataplane::wire::tcp::flags::SYN;

/// An address and a port.
pub type End = (IpAddr, u16);

/// What of a segment matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// From whom.
    pub src: End,
    /// To whom; of the same family.
    pub dst: End,
    /// TCP's control bits.
    pub flags: u8,
}

/// The options of a SYN as Linux sends them: MSS 1460, SACK, timestamps, window scale 7.
const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

impl Segment {
    /// Length of the packet if it has no data, in bytes.
    #[must_use]
    pub const fn bare_length(&self) -> u16 {
        let network = if self.src.0.is_ipv4() { 20 } else { 40 };
        network + if self.flags & SYN != 0 { 40 } else { 20 }
    }

    /// Writes it as a packet that fills `bytes`, checksums included.
    ///
    /// # Panics
    ///
    /// When its headers do not fit, or the packet would be too long, or its addresses are of two families.
    pub fn write(&self, bytes: &mut [u8]) {
        let length = u16::try_from(bytes.len()).expect("packets are no longer than an MTU");
        bytes.fill(7);
        let tcp = match (self.src.0, self.dst.0) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let (ip, tcp) = bytes.split_first_chunk_mut().expect("its header fits");
                *ip = ipv4(src, dst, length);
                tcp
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let (ip, tcp) = bytes.split_first_chunk_mut().expect("its header fits");
                *ip = ipv6(src, dst, length - 40);
                tcp
            }
            (src, dst) => panic!("{src} and {dst} are of two families"),
        };
        tcp[..20].fill(0);
        tcp[..2].copy_from_slice(&self.src.1.to_be_bytes());
        tcp[2..4].copy_from_slice(&self.dst.1.to_be_bytes());
        (tcp[4], tcp[8], tcp[14]) = (1, 2, 0xff);
        (tcp[12], tcp[13]) = (0x50, self.flags);
        if self.flags & SYN != 0 {
            tcp[12] = 0xa0;
            tcp[20..40].copy_from_slice(&SYN_OPTIONS);
        }
        let sum = self.pseudo_header(tcp).plus(Sum::of(tcp)).checksum();
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    }

    /// Reads a packet of this kind; `None` where a checksum does not verify.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
        let (src, dst, tcp): (IpAddr, IpAddr, _) = if bytes.first()? >> 4 == 4 {
            let (ip, tcp) = bytes.get(..usize::from(word(2)?))?.split_at_checked(20)?;
            if Sum::of(ip).fold() != 0xffff {
                return None;
            }
            let address = |at: usize| ip[at..].first_chunk().copied().map(Ipv4Addr::from);
            (address(12)?.into(), address(16)?.into(), tcp)
        } else {
            let (ip, tcp) = bytes.get(..40 + usize::from(word(4)?))?.split_at_checked(40)?;
            let address = |at: usize| ip[at..].first_chunk().copied().map(Ipv6Addr::from_octets);
            (address(8)?.into(), address(24)?.into(), tcp)
        };
        let port = |at: usize| tcp.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
        let segment = Self { src: (src, port(0)?), dst: (dst, port(2)?), flags: *tcp.get(13)? };
        let sum = segment.pseudo_header(tcp).plus(Sum::of(tcp)).fold();
        (sum == 0xffff).then_some(segment)
    }

    /// What goes the other way.
    #[must_use]
    pub const fn answered(&self, flags: u8) -> Self {
        Self { src: self.dst, dst: self.src, flags }
    }

    /// What the checksum covers beside the segment itself (RFC 9293 s. 3.1, RFC 8200 s. 8.1).
    fn pseudo_header(&self, segment: &[u8]) -> Sum {
        let address = |address: IpAddr| match address {
            IpAddr::V4(address) => Sum::of(&address.octets()),
            IpAddr::V6(address) => Sum::of(&address.octets()),
        };
        let length = u16::try_from(segment.len()).expect("packets are no longer than an MTU");
        let ends = address(self.src.0).plus(address(self.dst.0));
        ends.word(u16::from(protocol::TCP)).word(length)
    }
}

/// 64 hops; DF.
fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, length: u16) -> [u8; 20] {
    let mut header = [0; 20];
    (header[0], header[6], header[8], header[9]) = (0x45, 0x40, 64, protocol::TCP);
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[12..16].copy_from_slice(&src.octets());
    header[16..20].copy_from_slice(&dst.octets());
    let sum = Sum::of(&header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// 64 hops.
fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, payload: u16) -> [u8; 40] {
    let mut header = [0; 40];
    (header[0], header[6], header[7]) = (0x60, protocol::TCP, 64);
    header[4..6].copy_from_slice(&payload.to_be_bytes());
    header[8..24].copy_from_slice(&src.octets());
    header[24..40].copy_from_slice(&dst.octets());
    header
}

#[cfg(test)]
mod tests {
    use dataplane::wire::tcp::flags::ACK;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn what_is_written_is_a_packet() {
        let v4: [IpAddr; 2] = [[10, 1, 0, 0].into(), [203, 0, 113, 80].into()];
        let v6: [IpAddr; 2] =
            [[0x2001, 0xdb8, 1, 0, 0, 0, 0, 7].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 9].into()];
        for (flags, length) in [(SYN, 80), (ACK, 64), (SYN | ACK, 80), (ACK, 60), (ACK, 1500)] {
            for [src, dst] in [v4, v6] {
                let segment = Segment { src: (src, 20_000), dst: (dst, 1000), flags };
                assert!(segment.bare_length() <= length);
                let mut bytes = vec![0; usize::from(length)];
                segment.write(&mut bytes);
                assert_eq!(Segment::read(&bytes), Some(segment));

                let packet = SlicedPacket::from_ip(&bytes).unwrap();
                let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("TCP") };
                let sum = match packet.net {
                    Some(NetSlice::Ipv4(ip)) => {
                        let header = ip.header().to_header();
                        assert_eq!(header.header_checksum, header.calc_header_checksum());
                        assert_eq!(header.total_len, length);
                        tcp.calc_checksum_ipv4(header.source, header.destination)
                    }
                    Some(NetSlice::Ipv6(ip)) => {
                        let header = ip.header().to_header();
                        assert_eq!(header.payload_length, length - 40);
                        tcp.to_header().calc_checksum_ipv6(&header, tcp.payload())
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(tcp.checksum(), sum.unwrap());
                assert_eq!((tcp.source_port(), tcp.destination_port()), (20_000, 1000));
                assert_eq!((tcp.syn(), tcp.ack()), (flags & SYN != 0, flags & ACK != 0));

                let mut broken = bytes.clone();
                broken[usize::from(length) - 1] ^= 1;
                assert_eq!(Segment::read(&broken), None, "what is broken is not read");
            }
        }
    }
}
