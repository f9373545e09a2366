//! Packets in hand: the ones that a worker carries through the path together.
//!
//! Bytes lie in slots, one a packet, each behind the other and no longer than its packet needs;
//! descriptors lie beside each other. Slots are made from the same place on in every batch, so that
//! their cache lines and pages stay warm, and a batch ends at [`Batch::PACKETS`] packets or
//! [`Batch::BYTES`] bytes, whichever comes first, so that super-packets are rewritten while they are
//! in cache.

use crate::io::pages::{HUGE, Pages};
use crate::io::{Frame, HEADROOM, SLOT, TAILROOM};
use crate::packet::{LinkId, Packet};
use crate::wire::virtio::VirtioNetHdr;

/// All slots of a batch. A stage is given all, and a packet knows [where](Packet::range) it lies, and what
/// room it has there.
pub type Slots = [u8; Batch::BYTES + SLOT];

/// A batch of packets and their bytes.
#[derive(Debug)]
pub struct Batch {
    /// The first is the batch's. There are more that nobody uses, so that it lies in a huge page, which the kernel
    /// copies super-packets to and from in less time.
    slots: Pages<Slots>,
    packets: Box<[Packet; Self::PACKETS]>,
    len: usize,
    /// Where the next slot begins: the length of all together, in bytes.
    next: usize,
    /// Packets that another worker handed over.
    handed: usize,
    /// Packets that recall left to the stages behind it.
    pub(crate) left: usize,
}

impl Batch {
    /// The most packets in a batch.
    pub const PACKETS: usize = 128;
    /// A batch whose slots have more bytes than this takes no more packets.
    pub const BYTES: usize = 64 * 1024;

    /// An empty batch with its slots.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Pages::zeroed(HUGE.div_ceil(size_of::<Slots>())).taken(1),
            // Never on the stack, where unoptimized builds would make an array first.
            packets: vec![Packet::NONE; Self::PACKETS]
                .into_boxed_slice()
                .try_into()
                .expect("as many as there are places"),
            len: 0,
            next: 0,
            handed: 0,
            left: 0,
        }
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        (self.len, self.next, self.handed, self.left) = (0, 0, 0, 0);
    }

    /// Whether it takes no more packets.
    #[must_use]
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len >= Self::PACKETS || self.next > Self::BYTES
    }

    /// Whether it holds no packets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that their slots take.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        self.next
    }

    /// Adds packets until it is full or there are no more: `next` puts one in the slot that it is given, and
    /// says by which link it came in and where it lies there.
    #[inline(always)]
    pub fn receive(&mut self, mut next: impl FnMut(&mut [u8; SLOT]) -> Option<(LinkId, Frame)>) {
        let packets = self.packets.get_mut(self.len..).unwrap_or_default();
        let Some(slots) = self.slots.first_mut() else { return };
        let (mut len, mut at) = (self.len, self.next);
        for packet in packets {
            let slot = slots.get_mut(at..).and_then(|behind| behind.first_chunk_mut::<SLOT>());
            let Some((link, frame)) = slot.and_then(&mut next) else { break };
            let end = frame.start + frame.len;
            debug_assert!(frame.start >= HEADROOM && end <= SLOT, "a packet lies in its slot");
            packet.receive(link, Frame { start: at + frame.start, ..frame });
            len += 1;
            at += slot_of(end);
        }
        (self.len, self.next) = (len, at);
    }

    /// Copies `bytes` into the next slot as a whole packet that came in by `link`. Does nothing
    /// when the batch is full or the packet longer than a slot.
    pub fn push_bytes(&mut self, link: LinkId, bytes: &[u8], offload: VirtioNetHdr) {
        let frame = Frame { start: HEADROOM, len: bytes.len(), offload };
        let mut once = Some(link);
        self.receive(|slot| {
            let link = once.take()?;
            frame.packet(slot)?.copy_from_slice(bytes);
            Some((link, frame))
        });
    }

    /// Says that another worker handed the last packet over: it stays here, whoever owns its flow by
    /// now.
    pub fn mark_handed(&mut self) {
        if let Some(packet) = self.packets_mut().last_mut() {
            let is_new = !packet.handed;
            packet.handed = true;
            self.handed += usize::from(is_new);
        }
    }

    /// Packets that came in here.
    #[must_use]
    pub(crate) fn received(&self) -> usize {
        self.len - self.handed
    }

    /// The descriptors.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        self.packets.get(..self.len).unwrap_or_default()
    }

    /// The descriptors, to be stamped.
    #[inline]
    pub fn packets_mut(&mut self) -> &mut [Packet] {
        self.packets.get_mut(..self.len).unwrap_or_default()
    }

    /// The packets, and their slots.
    #[inline]
    pub fn parts_mut(&mut self) -> (&mut [Packet], &mut Slots) {
        (self.packets.get_mut(..self.len).unwrap_or_default(), &mut self.slots[0])
    }

    /// The bytes of packet `index`.
    #[must_use]
    pub fn bytes(&self, index: usize) -> &[u8] {
        let Some(packet) = self.packets().get(index) else { return &[] };
        let slots = self.slots.first();
        slots.and_then(|slots| slots.get(packet.range())).unwrap_or_default()
    }
}

/// The length of the slot of a packet that ends `end` bytes behind its start. An odd number of cache lines, so
/// that the headers of packets of one length fall into different cache sets.
#[inline(always)]
const fn slot_of(end: usize) -> usize {
    const LINE: usize = 64;
    ((end + TAILROOM + LINE - 1) | (2 * LINE - 1)) - (LINE - 1)
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MAX_PACKET;
    use proptest::prelude::*;

    proptest! {
        /// What one becomes, or what answers it, is never written over another.
        #[test]
        fn packets_lie_apart(
            lengths in prop_oneof![
                prop::collection::vec(1..300_usize, 1..150),
                prop::collection::vec(prop_oneof![4 => 1..1600_usize, 1 => 1..=MAX_PACKET], 1..150),
            ],
        ) {
            let mut batch = Batch::new();
            let bytes = |at: usize, len| vec![u8::try_from(at).unwrap(); len];
            for (at, &len) in lengths.iter().enumerate() {
                batch.push_bytes(LinkId(0), &bytes(at, len), VirtioNetHdr::PLAIN);
            }
            prop_assert!(batch.len() == lengths.len() || batch.is_full());
            let (mut free, mut before) = (0, 0);
            for (at, &len) in lengths.iter().enumerate().take(batch.len()) {
                prop_assert_eq!(batch.bytes(at), bytes(at, len));
                let packet = batch.packets()[at];
                let range = packet.range();
                prop_assert!(free + HEADROOM <= range.start && range.start.is_multiple_of(64));
                // For headers to fall into different cache sets.
                prop_assert!(at == 0 || ((range.start - before) / 64) % 2 == 1);
                before = range.start;
                free = range.end + TAILROOM;
                let room = packet.room_mut(&mut batch.slots[0]).map(|room| room.len());
                prop_assert_eq!(room, Some(HEADROOM + len + TAILROOM));
            }
            prop_assert!(free <= batch.slots[0].len());
        }
    }

    #[test]
    fn ends_at_its_bounds() {
        let mut batch = Batch::new();
        while !batch.is_full() {
            batch.push_bytes(LinkId(0), &[0x45; 64], VirtioNetHdr::PLAIN);
        }
        assert_eq!(batch.len(), Batch::PACKETS);
        batch.receive(|_| panic!("it has room for one more"));

        batch.clear();
        let longest = [0x45; MAX_PACKET];
        batch.push_bytes(LinkId(0), &longest[..60_000], VirtioNetHdr::PLAIN);
        assert!(!batch.is_full());
        batch.push_bytes(LinkId(0), &longest, VirtioNetHdr::PLAIN);
        assert!(batch.is_full());
        batch.push_bytes(LinkId(0), &longest, VirtioNetHdr::PLAIN);
        assert_eq!((batch.len(), batch.bytes(1)), (2, &longest[..]));
    }
}
