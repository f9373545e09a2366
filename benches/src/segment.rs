//! TCP segments as bytes, without a library, so that none comes with the binary. The tests let
//! `etherparse` judge what is written here.

use std::net::Ipv4Addr;

use dataplane::wire::checksum::Sum;
use dataplane::wire::protocol;
use dataplane::wire::tcp::flags::SYN;

/// An address and a port.
pub type End = (Ipv4Addr, u16);

/// What of a segment matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// From whom.
    pub src: End,
    /// To whom.
    pub dst: End,
    /// TCP's control bits.
    pub flags: u8,
}

/// The options of a SYN as Linux sends them: MSS 1460, SACK, timestamps, window scale 7.
const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

/// Length of a SYN.
pub const SYN_LENGTH: u16 = 60;

/// Length of a segment without data.
pub const BARE_LENGTH: u16 = 40;

impl Segment {
    /// Writes it as a packet that fills `bytes`, checksums included.
    ///
    /// # Panics
    ///
    /// When its headers do not fit, or the packet would be too long for IPv4.
    pub fn write(&self, bytes: &mut [u8]) {
        let length = u16::try_from(bytes.len()).expect("packets are no longer than an MTU");
        bytes.fill(7);
        let (ip, tcp) = bytes.split_at_mut(20);
        // Version and header length; 64 hops; DF.
        ip.copy_from_slice(&[
            0x45,
            0,
            0,
            0,
            0,
            0,
            0x40,
            0,
            64,
            protocol::TCP,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[12..16].copy_from_slice(&self.src.0.octets());
        ip[16..20].copy_from_slice(&self.dst.0.octets());
        let sum = Sum::of(ip).checksum();
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        tcp[..20].fill(0);
        tcp[..2].copy_from_slice(&self.src.1.to_be_bytes());
        tcp[2..4].copy_from_slice(&self.dst.1.to_be_bytes());
        (tcp[4], tcp[8], tcp[14]) = (1, 2, 0xff);
        (tcp[12], tcp[13]) = (0x50, self.flags);
        if self.flags & SYN != 0 {
            tcp[12] = 0xa0;
            tcp[20..40].copy_from_slice(&SYN_OPTIONS);
        }
        let sum = pseudo_header(ip).plus(Sum::of(tcp)).checksum();
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    }

    /// Reads a packet of this kind; `None` where a checksum does not verify.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let length = usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?));
        let (ip, tcp) = bytes.get(..length)?.split_at_checked(20)?;
        if Sum::of(ip).fold() != 0xffff || pseudo_header(ip).plus(Sum::of(tcp)).fold() != 0xffff {
            return None;
        }
        let address = |at: usize| ip.get(at..)?.first_chunk().copied().map(Ipv4Addr::from);
        let port = |at: usize| tcp.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
        let (src, dst) = ((address(12)?, port(0)?), (address(16)?, port(2)?));
        Some(Self { src, dst, flags: *tcp.get(13)? })
    }

    /// What goes the other way.
    #[must_use]
    pub const fn answered(&self, flags: u8) -> Self {
        Self { src: self.dst, dst: self.src, flags }
    }
}

/// What the checksum of a segment covers beside it (RFC 9293 s. 3.1).
fn pseudo_header(ip: &[u8]) -> Sum {
    let length = u16::from_be_bytes([ip[2], ip[3]]) - 20;
    Sum::of(&ip[12..20]).word(u16::from(protocol::TCP)).word(length)
}

#[cfg(test)]
mod tests {
    use dataplane::wire::tcp::flags::ACK;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn what_is_written_is_a_packet() {
        let (src, dst) = (([10, 1, 0, 0].into(), 20_000), ([203, 0, 113, 80].into(), 1000));
        for (flags, length) in [(SYN, 60), (ACK, 64), (SYN | ACK, 60), (ACK, 40), (ACK, 1500)] {
            let segment = Segment { src, dst, flags };
            let mut bytes = vec![0; length];
            segment.write(&mut bytes);
            assert_eq!(Segment::read(&bytes), Some(segment));

            let packet = SlicedPacket::from_ip(&bytes).unwrap();
            let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("IPv4") };
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(usize::from(header.total_len), length);
            let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("TCP") };
            let sum = tcp.calc_checksum_ipv4(header.source, header.destination).unwrap();
            assert_eq!(tcp.checksum(), sum);
            assert_eq!((tcp.source_port(), tcp.destination_port()), (src.1, dst.1));
            assert_eq!((tcp.syn(), tcp.ack()), (flags & SYN != 0, flags & ACK != 0));

            let mut broken = bytes.clone();
            broken[length - 1] ^= 1;
            assert_eq!(Segment::read(&broken), None, "what is broken is not read");
        }
    }
}
