//! Datagrams that leave one behind the other, put together into one super-packet: one write instead of many, and one
//! way through the receiving kernel, which takes them apart again.
//!
//! A datagram is taken in only if [`cut`] would make it of the whole again, byte for byte; so sockets of UDP cannot
//! tell. What looks at packets before they are taken apart can: captures, raw sockets, filters, counters of devices,
//! ICMP errors.
//!
//! [`cut`]: crate::io::segment::cut

use crate::io::segment::{HEADERS, Template};
use crate::io::{Frame, MAX_PACKET};
use crate::wire::ipv6;
use crate::wire::udp;
use crate::wire::virtio::{VirtioNetHdr, gso};

/// The most datagrams in one: as many as Linux puts together of what comes from a wire (`UDP_GRO_CNT_MAX`).
pub const LONGEST: usize = 64;

/// Puts `first` together with as many of the packets `behind` it as can follow it; the whole, and how many these are.
///
/// All lie in `slots`, each further behind than the one before it, and nothing else that is needed lies between
/// them. Those that were taken in are destroyed.
pub fn coalesce(
    slots: &mut [u8],
    first: Frame,
    behind: impl IntoIterator<Item = Frame>,
) -> (Frame, usize) {
    let Some(mut run) = Run::begin(slots, first) else { return (first, 0) };
    let joined = behind.into_iter().take_while(|&next| run.take(slots, next)).count();
    if joined == 0 {
        return (first, 0);
    }
    (run.end(slots), joined)
}

/// A datagram, and those that it has taken in.
struct Run {
    /// What leaves. Its headers are still those of the first datagram.
    frame: Frame,
    first: Template,
    /// Datagrams in it.
    segments: usize,
    /// Bytes of payload of each but the last.
    size: u16,
    /// Whether the last one is shorter than the others, so that no more can follow.
    is_complete: bool,
}

impl Run {
    /// `None` where nothing can follow: it is no datagram, is more than one, has extension headers, or its checksum is
    /// not left to be finished, so that it may be wrong.
    fn begin(slots: &[u8], frame: Frame) -> Option<Self> {
        let Frame { start, len, offload } = frame;
        if offload.csum_offset != udp::CHECKSUM_OFFSET || offload.segmented().is_some() {
            return None;
        }
        let packet = slots.get(start..start + len)?;
        let transport = usize::from(offload.csum_start);
        if packet.first()? >> 4 == 6 && transport != ipv6::HEADER {
            return None;
        }
        let size = u16::try_from(len.checked_sub(transport + udp::HEADER)?).ok()?;
        let offload = VirtioNetHdr { gso_type: gso::UDP_L4, gso_size: size, ..offload };
        let first = Template::of(packet, offload)?;
        Some(Self { frame, first, segments: 1, size, is_complete: false })
    }

    /// Takes in `next`; `false`, and nothing is changed, where it cannot follow.
    fn take(&mut self, slots: &mut [u8], next: Frame) -> bool {
        let end = self.frame.start + self.frame.len;
        let payload = next.start + self.first.headers().len()..next.start + next.len;
        let fits = !self.is_complete
            && self.segments < LONGEST
            && (1..=usize::from(self.size)).contains(&payload.len())
            && self.frame.len + payload.len() <= MAX_PACKET
            && end <= next.start;
        if !(fits && self.is_followed_by(slots, next)) {
            return false;
        }
        self.is_complete = payload.len() < usize::from(self.size);
        self.frame.len += payload.len();
        self.segments += 1;
        slots.copy_within(payload, end);
        true
    }

    /// Whether `next` has the headers that it would have as the next segment, and the first its own as the first.
    fn is_followed_by(&self, slots: &[u8], next: Frame) -> bool {
        let is_segment = |headers: &[u8], len, index| {
            let mut written = [0; HEADERS];
            self.first.write(&mut written, (len, index, 0), false).is_some()
                && headers.starts_with(&written[..self.first.headers().len()])
        };
        let offload = VirtioNetHdr { hdr_len: 0, gso_size: 0, ..next.offload };
        offload == self.first.offload()
            && slots.get(next.start..).is_some_and(|at| is_segment(at, next.len, self.segments))
            && (self.segments > 1 || is_segment(self.first.headers(), self.frame.len, 0))
    }

    /// The packet as it leaves.
    fn end(self, slots: &mut [u8]) -> Frame {
        let Self { frame, first, size, .. } = self;
        // The headers of a whole are those of its only segment.
        let is_written = slots
            .get_mut(frame.start..)
            .and_then(|whole| first.write(whole, (frame.len, 0, 0), true));
        debug_assert!(is_written.is_some(), "a whole is no longer than a packet can be");
        let hdr_len = u16::try_from(first.headers().len()).unwrap_or_default();
        let offload =
            VirtioNetHdr { gso_type: gso::UDP_L4, gso_size: size, hdr_len, ..first.offload() };
        Frame { offload, ..frame }
    }
}
