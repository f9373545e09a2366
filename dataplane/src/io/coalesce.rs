//! Datagrams that leave one behind the other, put together into one super-packet: one write instead of many, and
//! one way through the receiving kernel, which takes them apart again (as its own `udp_gro_receive_segment`
//! does with what it gets from a wire).
//!
//! Nothing waits for a datagram that may follow, and nobody can tell: a datagram is taken in only if [`cut`] would
//! make it of the whole again, byte for byte.
//!
//! [`cut`]: crate::io::segment::cut

use crate::io::segment::{HEADERS, Template};
use crate::io::{Frame, MAX_PACKET};
use crate::wire::ipv6;
use crate::wire::udp;
use crate::wire::virtio::{VirtioNetHdr, gso};

/// A packet that is about to leave, and the datagrams that it has taken in.
#[derive(Debug)]
pub struct Run {
    /// What leaves. Its headers are still those of the first datagram.
    frame: Frame,
    /// The first datagram, if others can follow it.
    first: Option<Template>,
    /// Datagrams in it.
    segments: usize,
    /// Bytes of payload of each but the last.
    size: u16,
    /// Whether the last one is shorter than the others, so that no more can follow.
    is_complete: bool,
}

impl Run {
    /// The most datagrams in one: as many as Linux puts together (`UDP_GRO_CNT_MAX`).
    pub const LONGEST: usize = 64;

    /// Begins with the packet that `frame` describes in `slots`.
    #[must_use]
    pub fn begin(slots: &[u8], frame: Frame) -> Self {
        let headers = usize::from(frame.offload.csum_start) + udp::HEADER;
        let payload =
            frame.len.checked_sub(headers).and_then(|payload| u16::try_from(payload).ok());
        let size = payload.unwrap_or_default();
        Self { frame, first: datagram(slots, frame, size), segments: 1, size, is_complete: false }
    }

    /// Takes in the datagram `next`, which lies further behind in `slots` and is destroyed thereby; `false`, and
    /// nothing is changed, where it is not one that can follow.
    #[must_use]
    pub fn take(&mut self, slots: &mut [u8], next: Frame) -> bool {
        let Some(first) = self.first.as_ref().filter(|_| !self.is_complete) else { return false };
        let end = self.frame.start + self.frame.len;
        let payload = next.start + first.headers().len()..next.start + next.len;
        let fits = (1..=usize::from(self.size)).contains(&payload.len())
            && self.segments < Self::LONGEST
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
        let Some(first) = &self.first else { return false };
        let is_segment = |headers: &[u8], len, index| {
            let mut written = [0; HEADERS];
            first.write(&mut written, (len, index, 0), false).is_some()
                && headers.starts_with(&written[..first.headers().len()])
        };
        let offload = VirtioNetHdr { hdr_len: 0, gso_size: 0, ..next.offload };
        offload == first.offload()
            && slots.get(next.start..).is_some_and(|at| is_segment(at, next.len, self.segments))
            && (self.segments > 1 || is_segment(first.headers(), self.frame.len, 0))
    }

    /// The packet as it leaves.
    #[must_use]
    pub fn end(self, slots: &mut [u8]) -> Frame {
        let Self { frame, first: Some(first), segments: 2.., size, .. } = self else {
            return self.frame;
        };
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

/// The headers of a datagram that others can follow, with `size` bytes of payload: its checksum is partial, so
/// that it needs not be looked at whether it is right, and it has no extension headers.
#[inline]
fn datagram(slots: &[u8], frame: Frame, size: u16) -> Option<Template> {
    let Frame { offload, .. } = frame;
    if offload.csum_offset != udp::CHECKSUM_OFFSET || offload.segmented().is_some() {
        return None;
    }
    let packet = slots.get(frame.start..frame.start + frame.len)?;
    if packet.first()? >> 4 == 6 && usize::from(offload.csum_start) != ipv6::HEADER {
        return None;
    }
    Template::of(packet, VirtioNetHdr { gso_type: gso::UDP_L4, gso_size: size, ..offload })
}
