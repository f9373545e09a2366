//! How does a packet leave by a link? Whole where the link takes it, finished in software where
//! not, in fragments where it must not be longer.

use std::io;

use crate::io::segment::{complete_checksum, cut, longest};
use crate::io::{Frame, Link, Offloads, fragment};
use crate::wire::virtio::{VirtioNetHdr, gso};

/// What became of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets handed to the link: one, or as many as it was cut into.
    pub packets: usize,
}

/// Sends the packet that `frame` describes in `slot`, and may destroy it thereby.
///
/// `mtu` is the longest packet to leave, in bytes, for one that may be fragmented (IPv4 with DF=0, IPv6
/// with a fragment header); it is compared with the segments of a super-packet. `None` does not look
/// at lengths.
///
/// A super-packet that the link refuses although it said to take it is sent again in segments
/// (kernels between e269d79c7d35 and 89add40066f9 do so).
///
/// # Errors
///
/// As [`Link::send`]; also `InvalidInput` where headers and offload contradict each other, or the
/// packet is longer than `mtu` and cannot be fragmented. What was sent before stays sent.
pub fn transmit(
    link: &mut dyn Link,
    slot: &mut [u8],
    frame: Frame,
    mtu: Option<usize>,
) -> io::Result<Sent> {
    let mtu = match mtu {
        Some(mtu) if length(slot, frame)? > mtu => Some(mtu),
        _ => None,
    };
    let mut sent = Sent::default();
    if mtu.is_none() && takes(link.takes(), frame.offload) {
        match link.send(slot, frame) {
            Err(error) if refused(&error) && frame.offload.segmented().is_some() => (),
            done => return done.map(|()| Sent { packets: 1 }),
        }
    }
    if frame.offload.segmented().is_some() {
        cut(slot, frame, &mut |slot, segment| finish(link, slot, segment, mtu, &mut sent))?;
    } else {
        finish(link, slot, frame, mtu, &mut sent)?;
    }
    Ok(sent)
}

/// Sends one packet that is no super-packet.
fn finish(
    link: &mut dyn Link,
    slot: &mut [u8],
    frame: Frame,
    mtu: Option<usize>,
    sent: &mut Sent,
) -> io::Result<()> {
    let mut whole = frame;
    if mtu.is_some() || !takes(link.takes(), frame.offload) {
        let packet = frame.packet(slot).ok_or(io::ErrorKind::InvalidInput)?;
        complete_checksum(packet, frame.offload)?;
        whole.offload = VirtioNetHdr::PLAIN;
    }
    let mut send = |slot: &mut [u8], piece| {
        link.send(slot, piece)?;
        sent.packets += 1;
        Ok(())
    };
    match mtu {
        Some(mtu) => fragment::fragment(slot, whole, mtu, &mut send),
        None => send(slot, whole),
    }
}

fn length(slot: &mut [u8], frame: Frame) -> io::Result<usize> {
    let packet = frame.packet(slot).ok_or(io::ErrorKind::InvalidInput)?;
    longest(packet, frame.offload).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Whether a link that takes `offloads` takes a packet with `offload` as it is.
const fn takes(offloads: Offloads, offload: VirtioNetHdr) -> bool {
    match offload.segmented() {
        None => offloads.checksum || !offload.needs_csum(),
        Some(gso::TCPV4 | gso::TCPV6) => offloads.tcp,
        Some(gso::UDP_L4) => offloads.udp,
        Some(_) => false,
    }
}

fn refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;

    use etherparse::PacketBuilder;

    use super::*;
    use crate::io::{HEADROOM, SLOT};
    use crate::wire::ipv4::{self, Ipv4};
    use crate::wire::virtio::NEEDS_CSUM;

    /// Writes down what it is given; refuses super-packets if it `lies` about taking them.
    struct Probe {
        takes: Offloads,
        lies: bool,
        sent: Vec<(Vec<u8>, VirtioNetHdr)>,
    }

    impl Link for Probe {
        fn descriptor(&self) -> BorrowedFd<'_> {
            unimplemented!("not polled")
        }

        fn receive(&mut self, _: &mut [u8]) -> io::Result<Option<Frame>> {
            Ok(None)
        }

        fn send(&mut self, slot: &mut [u8], frame: Frame) -> io::Result<()> {
            if self.lies && frame.offload.segmented().is_some() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.sent.push((frame.packet(slot).unwrap().to_vec(), frame.offload));
            Ok(())
        }

        fn takes(&self) -> Offloads {
            self.takes
        }
    }

    const ALL: Offloads = Offloads { checksum: true, tcp: true, udp: true };
    const NONE: Offloads = Offloads { checksum: false, tcp: false, udp: false };

    /// Three datagrams of 1000 bytes as one super-packet, and its bytes with a finished checksum.
    fn datagrams() -> (Vec<u8>, Frame) {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(4000, 53);
        builder.write(&mut packet, &[7; 3000]).unwrap();
        // DF=0, which fragmentation wants.
        let header = Ipv4::of_mut(&mut packet).unwrap();
        header.flags_offset.set(0);
        let pseudo = crate::wire::checksum::Sum::of(&packet[12..20]).word(17).word(3008);
        packet[26..28].copy_from_slice(&pseudo.fold().to_be_bytes());
        let offload = VirtioNetHdr {
            flags: NEEDS_CSUM,
            gso_type: gso::UDP_L4,
            hdr_len: 28,
            gso_size: 1000,
            csum_start: 20,
            csum_offset: 6,
        };
        let mut slot = vec![0; SLOT];
        slot[HEADROOM..HEADROOM + packet.len()].copy_from_slice(&packet);
        (slot, Frame { start: HEADROOM, len: packet.len(), offload })
    }

    fn sent(takes: Offloads, lies: bool, mtu: Option<usize>) -> Vec<(Vec<u8>, VirtioNetHdr)> {
        let mut probe = Probe { takes, lies, sent: Vec::new() };
        let (mut slot, frame) = datagrams();
        let count = transmit(&mut probe, &mut slot, frame, mtu).unwrap();
        assert_eq!(count.packets, probe.sent.len());
        probe.sent
    }

    #[test]
    fn goes_whole_where_the_link_takes_it() {
        let (mut slot, frame) = datagrams();
        let whole = frame.packet(&mut slot).unwrap().to_vec();
        assert_eq!(sent(ALL, false, None), [(whole.clone(), frame.offload)]);
        // The MTU is that of a segment, not of the whole.
        assert_eq!(sent(ALL, false, Some(1028)), [(whole, frame.offload)]);
    }

    #[test]
    fn is_cut_where_the_link_takes_none_and_where_it_lied() {
        let finished = sent(NONE, false, None);
        assert_eq!(finished.iter().map(|(packet, _)| packet.len()).collect::<Vec<_>>(), [1028; 3]);
        assert!(finished.iter().all(|(_, offload)| *offload == VirtioNetHdr::PLAIN));

        // The checksums are left to a link that finishes them.
        let partial = sent(ALL, true, None);
        assert!(partial.iter().all(|(_, offload)| offload.needs_csum()));
        assert_eq!(partial, sent(Offloads { udp: false, ..ALL }, false, None));
        for ((mut packet, offload), (finished, _)) in partial.into_iter().zip(finished) {
            complete_checksum(&mut packet, offload).unwrap();
            assert_eq!(packet, finished);
        }
    }

    #[test]
    fn segments_beyond_the_mtu_leave_in_fragments() {
        let pieces = sent(ALL, false, Some(572));
        let datagrams = sent(NONE, false, None);
        assert_eq!(pieces.len(), 6);
        for (fragments, (datagram, _)) in pieces.chunks(2).zip(datagrams) {
            let payloads = fragments.iter().flat_map(|(piece, _)| &piece[ipv4::HEADER..]);
            assert!(payloads.eq(&datagram[ipv4::HEADER..]));
            assert!(fragments.iter().all(|(piece, _)| piece.len() <= 572));
            assert!(fragments.iter().all(|(_, offload)| *offload == VirtioNetHdr::PLAIN));
        }
    }

    #[test]
    fn refuses_headers_that_contradict_the_offload() {
        let (mut slot, mut frame) = datagrams();
        frame.offload.gso_type = gso::TCPV4;
        let mut probe = Probe { takes: NONE, lies: false, sent: Vec::new() };
        let error = transmit(&mut probe, &mut slot, frame, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(probe.sent.is_empty());
    }
}
