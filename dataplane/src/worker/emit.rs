//! How do packets of a batch leave by a link: each by itself, or, where there are more than that can be done with,
//! several as one?

use std::io;

use crate::io::Link;
use crate::io::coalesce::coalesce;
use crate::io::transmit::transmit;
use crate::packet::{Batch, Packet, Reason, Slots};

/// Whether so much came at once that datagrams leave as one: a batch is full, and not of super-packets. Below that
/// whoever looks at packets where they arrive sees each as it was sent.
pub(super) fn is_crowded(batch: &Batch) -> bool {
    const MANY: usize = 32;
    batch.is_full() && batch.len() >= MANY
}

/// Sends a packet that is to be cut to `fragment` bytes, if to any; where it `is_crowded`, those of the packets
/// `behind` it with it that can leave as one with it. How many these are, and why they were lost, if they were.
pub(super) fn emit(
    link: &mut dyn Link,
    (packet, behind): (&Packet, &[Packet]),
    slots: &mut Slots,
    fragment: Option<u16>,
    is_crowded: bool,
) -> (usize, Option<Reason>) {
    let (mut frame, mut joined) = (packet.frame(), 0);
    if is_crowded && fragment.is_none() && link.takes().udp {
        let alike = behind.iter().take_while(|next| next.verdict == packet.verdict);
        (frame, joined) = coalesce(slots, frame, alike.map(Packet::frame));
    }
    let error = transmit(link, slots, frame, fragment.map(usize::from)).err();
    let lost = error.map(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Reason::LinkFull,
        io::ErrorKind::InvalidInput => Reason::Malformed,
        _ => Reason::LinkDown,
    });
    (joined, lost)
}

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;

    use etherparse::PacketBuilder;

    use super::*;
    use crate::io::{Frame, Offloads};
    use crate::packet::{LinkId, Verdict};
    use crate::wire::virtio::{NEEDS_CSUM, VirtioNetHdr};

    /// Takes everything, or no super-packets of UDP.
    struct Taker {
        udp: bool,
        /// Lengths of what was sent.
        sent: Vec<usize>,
    }

    impl Link for Taker {
        fn descriptor(&self) -> BorrowedFd<'_> {
            unimplemented!("not polled")
        }

        fn receive(&mut self, _: &mut [u8]) -> io::Result<Option<Frame>> {
            Ok(None)
        }

        fn send(&mut self, _: &mut [u8], frame: Frame) -> io::Result<()> {
            self.sent.push(frame.len);
            Ok(())
        }

        fn takes(&self) -> Offloads {
            Offloads { checksum: true, tcp: true, udp: self.udp }
        }
    }

    /// Datagrams of a hundred bytes that differ in nothing but what becomes of them.
    fn batch(verdicts: &[Verdict]) -> Batch {
        let mut batch = Batch::new();
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(4000, 53);
        builder.write(&mut packet, &[7; 100]).unwrap();
        let offload = VirtioNetHdr {
            flags: NEEDS_CSUM,
            csum_start: 40,
            csum_offset: 6,
            ..VirtioNetHdr::PLAIN
        };
        let pseudo = crate::wire::checksum::Sum::of(&packet[8..40]).word(17).word(108);
        packet[46..48].copy_from_slice(&pseudo.fold().to_be_bytes());
        for _ in verdicts {
            batch.push_bytes(LinkId(0), &packet, offload);
        }
        for (packet, &verdict) in batch.packets_mut().iter_mut().zip(verdicts) {
            packet.verdict = verdict;
        }
        batch
    }

    const fn by(link: u16, fragment: Option<u16>) -> Verdict {
        Verdict::Emit { link: LinkId(link), fragment }
    }

    /// How many leave with the first of them.
    #[track_caller]
    fn joined(verdicts: &[Verdict], fragment: Option<u16>, udp: bool, is_crowded: bool) -> usize {
        let mut batch = batch(verdicts);
        let mut link = Taker { udp, sent: Vec::new() };
        let (packets, slots) = batch.parts_mut();
        let (first, behind) = packets.split_first().unwrap();
        let (joined, lost) = emit(&mut link, (first, behind), slots, fragment, is_crowded);
        assert_eq!((lost, link.sent), (None, vec![148 + joined * 100]));
        joined
    }

    #[test]
    fn those_leave_together_that_leave_alike() {
        let (own, other) = (by(1, None), by(2, None));
        assert_eq!(joined(&[own; 4], None, true, true), 3);
        for apart in [other, by(1, Some(1280)), Verdict::Held, Verdict::Ignored] {
            assert_eq!(joined(&[own, apart, own], None, true, true), 0, "{apart:?}");
            assert_eq!(joined(&[own, own, apart, own], None, true, true), 1, "{apart:?}");
        }
    }

    #[test]
    fn each_leaves_by_itself_where_that_serves_better() {
        let own = by(1, None);
        assert_eq!(joined(&[own; 4], None, true, false), 0, "few");
        assert_eq!(joined(&[own; 4], None, false, true), 0, "the link takes none");
        let cut = Some(1280);
        assert_eq!(joined(&[by(1, cut); 4], cut, true, true), 0, "they would be cut again");
    }

    #[test]
    fn a_crowd_is_a_full_batch_of_many() {
        let fill = |len| {
            let mut batch = Batch::new();
            while !batch.is_full() {
                batch.push_bytes(LinkId(0), &vec![0; len], VirtioNetHdr::PLAIN);
            }
            batch
        };
        assert!(is_crowded(&fill(64)) && is_crowded(&fill(1500)));
        assert!(!is_crowded(&fill(9000)), "of super-packets");
        let few = batch(&[by(1, None); Batch::PACKETS - 1]);
        assert!(!is_crowded(&few));
    }
}
