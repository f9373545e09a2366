//! An IPv6 header for one of IPv4, and back (RFC 7915 s. 4.1, 5.1): the least of it. One client, headers
//! without options or extensions, packets and super-packets whole; pings, but no errors.

use std::net::{Ipv4Addr, Ipv6Addr};

use dataplane::io::Frame;
use dataplane::wire::checksum::{Delta, Sum};
use dataplane::wire::icmpv4::{self, Icmpv4};
use dataplane::wire::icmpv6::{self, Icmpv6};
use dataplane::wire::ipv4::{self, DONT_FRAGMENT, Ipv4};
use dataplane::wire::ipv6::{self, Ipv6};
use dataplane::wire::protocol::{ICMP, ICMPV6, TCP, UDP};
use dataplane::wire::virtio::gso;

use crate::nat44::adjust;

/// The well-known prefix (RFC 6052 s. 2.1), of 96 bits.
const PREFIX: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/// Bytes by which the header of IPv6 is longer.
const GROWTH: usize = ipv6::HEADER - ipv4::HEADER;

/// A client, inside and outside.
#[derive(Clone, Copy)]
pub(crate) struct Translation {
    inside: [u8; 16],
    outside: [u8; 4],
    /// What a sum over the addresses changes by: on the way out, and back. The server's own is in both.
    deltas: [Delta; 2],
}

impl Translation {
    pub(crate) fn new(inside: Ipv6Addr, outside: Ipv4Addr) -> Self {
        let (inside, outside) = (inside.octets(), outside.octets());
        let old = Sum::of(&inside).plus(Sum::of(&PREFIX));
        let delta = Delta::between(old, Sum::of(&outside));
        Self { inside, outside, deltas: [delta, delta.inverse()] }
    }

    /// Makes a packet of the client one of IPv4; `None` where it is not one to forward.
    pub(crate) fn outward(&self, slot: &mut [u8], frame: Frame) -> Option<Frame> {
        let (header, payload) = frame.packet(slot)?.split_at_mut_checked(ipv6::HEADER)?;
        let old = *Ipv6::of(header)?;
        let [prefix @ .., a, b, c, d] = old.destination;
        if old.source != self.inside || prefix != PREFIX {
            return None;
        }
        let protocol = match old.next_header {
            ICMPV6 => {
                let message = Icmpv6::of_mut(payload)?;
                let (was, kind) = (message.kind, echo_to_v4(message.kind)?);
                let pseudo = old.pseudo_header(old.payload_length.get(), ICMPV6);
                let delta = Delta::between(pseudo.plus(of_kind(was)), of_kind(kind));
                (message.kind, message.checksum) = (kind, delta.apply(message.checksum));
                ICMP
            }
            protocol @ (TCP | UDP) => {
                adjust(payload, protocol, frame.offload, self.deltas[0]);
                protocol
            }
            _ => return None,
        };
        let len = frame.len - GROWTH;
        let header = &mut header[GROWTH..];
        *Ipv4::of_mut(header)? = Ipv4 {
            version_ihl: ipv4::PLAIN,
            tos: old.traffic_class(),
            total_length: u16::try_from(len).ok()?.into(),
            identification: 0.into(),
            flags_offset: DONT_FRAGMENT.into(),
            ttl: old.hop_limit,
            protocol,
            checksum: 0.into(),
            source: self.outside,
            destination: [a, b, c, d],
        };
        let sum = Sum::of(header);
        Ipv4::of_mut(header)?.checksum = sum.checksum().into();
        let offload = frame.offload.translated(gso::TCPV4, -20);
        Some(Frame { start: frame.start + GROWTH, len, offload })
    }

    /// Makes a packet to the client one of IPv6; `None` where it is not one to forward.
    pub(crate) fn inward(&self, slot: &mut [u8], frame: Frame) -> Option<Frame> {
        let start = frame.start.checked_sub(GROWTH)?;
        let packet = slot.get_mut(start..frame.start + frame.len)?;
        let (header, payload) = packet.split_at_mut_checked(ipv6::HEADER)?;
        let old = *Ipv4::of(&header[GROWTH..])?;
        if old.version_ihl != ipv4::PLAIN
            || old.destination != self.outside
            || old.flags_offset.get() & !DONT_FRAGMENT != 0
        {
            return None;
        }
        let mut source = [0; 16];
        source[..PREFIX.len()].copy_from_slice(&PREFIX);
        source[PREFIX.len()..].copy_from_slice(&old.source);
        let new = Ipv6::of_mut(header)?;
        *new = Ipv6 {
            version_class_label: Ipv6::first_word(old.tos),
            payload_length: u16::try_from(payload.len()).ok()?.into(),
            next_header: old.protocol,
            hop_limit: old.ttl,
            source,
            destination: self.inside,
        };
        match old.protocol {
            ICMP => {
                new.next_header = ICMPV6;
                let message = Icmpv4::of_mut(payload)?;
                let (was, kind) = (message.kind, echo_to_v6(message.kind)?);
                let pseudo = new.pseudo_header(new.payload_length.get(), ICMPV6);
                let delta = Delta::between(of_kind(was), pseudo.plus(of_kind(kind)));
                (message.kind, message.checksum) = (kind, delta.apply(message.checksum));
            }
            protocol @ (TCP | UDP) => adjust(payload, protocol, frame.offload, self.deltas[1]),
            _ => return None,
        }
        let offload = frame.offload.translated(gso::TCPV6, 20);
        Some(Frame { start, len: frame.len + GROWTH, offload })
    }
}

/// The sum over a message of this type and of code 0.
fn of_kind(kind: u8) -> Sum {
    Sum::ZERO.word(u16::from_be_bytes([kind, 0]))
}

const fn echo_to_v4(kind: u8) -> Option<u8> {
    match kind {
        icmpv6::kind::ECHO_REQUEST => Some(icmpv4::kind::ECHO_REQUEST),
        icmpv6::kind::ECHO_REPLY => Some(icmpv4::kind::ECHO_REPLY),
        _ => None,
    }
}

const fn echo_to_v6(kind: u8) -> Option<u8> {
    match kind {
        icmpv4::kind::ECHO_REQUEST => Some(icmpv6::kind::ECHO_REQUEST),
        icmpv4::kind::ECHO_REPLY => Some(icmpv6::kind::ECHO_REPLY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use dataplane::io::HEADROOM;
    use dataplane::wire::tcp::Tcp;
    use dataplane::wire::virtio::{NEEDS_CSUM, VirtioNetHdr};
    use etherparse::{Ipv4Header, PacketBuilder, TcpHeader};

    use super::*;

    const SERVER: [u8; 4] = [203, 0, 113, 90];

    fn translation() -> Translation {
        Translation::new("2001:db8:1::10".parse().unwrap(), Ipv4Addr::new(198, 51, 100, 10))
    }

    /// A segment of the client's, in its slot.
    fn segment() -> (Vec<u8>, Frame) {
        let mut server = [0; 16];
        server[..12].copy_from_slice(&PREFIX);
        server[12..].copy_from_slice(&SERVER);
        let builder = PacketBuilder::ipv6(translation().inside, server, 61).tcp(5000, 80, 1, 9);
        let mut slot = vec![0; HEADROOM];
        builder.write(&mut slot, b"some bytes, and an odd one").unwrap();
        let frame =
            Frame { start: HEADROOM, len: slot.len() - HEADROOM, offload: VirtioNetHdr::PLAIN };
        (slot, frame)
    }

    #[test]
    fn checksums_are_right_outside_and_all_is_as_it_was_back_inside() {
        let (mut slot, frame) = segment();
        let sent = slot.clone();
        let outside = translation().outward(&mut slot, frame).unwrap();
        let packet = outside.packet(&mut slot).unwrap();
        assert!(Ipv4::of(packet).unwrap().is_summed());
        let (header, payload) = Ipv4Header::from_slice(packet).unwrap();
        let (tcp, data) = TcpHeader::from_slice(payload).unwrap();
        assert_eq!(tcp.calc_checksum_ipv4(&header, data).unwrap(), tcp.checksum);
        assert_eq!((header.source, header.destination), ([198, 51, 100, 10], SERVER));
        assert_eq!((header.time_to_live, header.dont_fragment), (61, true));

        // As a packet that comes in: its ends change places, which no sum sees.
        let header = Ipv4::of_mut(packet).unwrap();
        (header.source, header.destination) = (header.destination, header.source);
        let inside = translation().inward(&mut slot, outside).unwrap();
        assert_eq!(inside, frame);
        let header = Ipv6::of_mut(inside.packet(&mut slot).unwrap()).unwrap();
        (header.source, header.destination) = (header.destination, header.source);
        assert_eq!(slot, sent);
    }

    #[test]
    fn a_partial_checksum_stays_the_sum_of_the_pseudo_header() {
        let (mut slot, frame) = segment();
        let (header, payload) = frame.packet(&mut slot).unwrap().split_at_mut(ipv6::HEADER);
        let sum = Ipv6::of(header).unwrap().pseudo_header(46, TCP);
        assert_eq!(payload.len(), 46);
        Tcp::of_mut(payload).unwrap().checksum = sum.fold().into();
        let offload = VirtioNetHdr {
            flags: NEEDS_CSUM,
            gso_type: gso::TCPV6,
            hdr_len: 60,
            gso_size: 10,
            csum_start: 40,
            csum_offset: 16,
        };
        let outside = translation().outward(&mut slot, Frame { offload, ..frame }).unwrap();
        let packet = outside.packet(&mut slot).unwrap();
        let addresses = Sum::of(&[198, 51, 100, 10]).plus(Sum::of(&SERVER));
        let sum = addresses.word(46).word(TCP.into());
        assert_eq!(Tcp::of(&packet[ipv4::HEADER..]).unwrap().checksum.get(), sum.fold());
        let offload = outside.offload;
        assert_eq!((offload.gso_type, offload.gso_size), (gso::TCPV4, 10));
        assert_eq!((offload.hdr_len, offload.csum_start), (40, 20));
    }
}
