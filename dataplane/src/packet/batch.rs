//! Packets in hand: the ones that a worker carries through the path together.
//!
//! Bytes lie in slots, one a packet; descriptors lie beside each other. Slots are used from the
//! first on in every batch, so that their cache lines stay warm, and a batch ends at
//! [`Batch::PACKETS`] packets or [`Batch::BYTES`] bytes, whichever comes first, so that
//! super-packets are rewritten while they are in cache.

use crate::io::pages::Pages;
use crate::io::{Frame, HEADROOM, SLOT};
use crate::packet::{LinkId, Packet};
use crate::wire::virtio::VirtioNetHdr;

/// A batch of packets and their bytes.
#[derive(Debug)]
pub struct Batch {
    slots: Pages<[u8; SLOT]>,
    packets: Box<[Packet; Self::PACKETS]>,
    len: usize,
    /// Bytes in all.
    total: usize,
    /// Packets that another worker handed over.
    handed: usize,
    /// Packets that recall left to the stages behind it.
    pub(crate) left: usize,
}

impl Batch {
    /// The most packets in a batch.
    pub const PACKETS: usize = 128;
    /// A batch that holds this many bytes takes no more packets.
    pub const BYTES: usize = 64 * 1024;

    /// An empty batch with its slots.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Pages::zeroed(Self::PACKETS).taken(Self::PACKETS),
            // Never on the stack, where unoptimized builds would make an array first.
            packets: vec![Packet::NONE; Self::PACKETS]
                .into_boxed_slice()
                .try_into()
                .expect("as many as there are places"),
            len: 0,
            total: 0,
            handed: 0,
            left: 0,
        }
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        (self.len, self.total, self.handed, self.left) = (0, 0, 0, 0);
    }

    /// Whether it takes no more packets.
    #[must_use]
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len >= Self::PACKETS || self.total >= Self::BYTES
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

    /// Their bytes in all, as they came.
    #[must_use]
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Adds packets until it is full or there are no more: `next` puts one in the slot that it is given, and
    /// says by which link it came in and where it lies.
    #[inline(always)]
    pub fn receive(&mut self, mut next: impl FnMut(&mut [u8; SLOT]) -> Option<(LinkId, Frame)>) {
        let packets = self.packets.get_mut(self.len..).unwrap_or_default();
        let slots = self.slots.get_mut(self.len..).unwrap_or_default();
        let (mut len, mut total) = (self.len, self.total);
        for (packet, slot) in packets.iter_mut().zip(slots) {
            if total >= Self::BYTES {
                break;
            }
            let Some((link, frame)) = next(slot) else { break };
            debug_assert!(frame.start + frame.len <= SLOT, "a packet lies in its slot");
            packet.receive(link, frame);
            (len, total) = (len + 1, total + frame.len);
        }
        (self.len, self.total) = (len, total);
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

    /// Each packet with its whole slot.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = (&mut Packet, &mut [u8; SLOT])> {
        let packets = self.packets.get_mut(..self.len).unwrap_or_default();
        packets.iter_mut().zip(self.slots.iter_mut())
    }

    /// The packets, and their slots.
    #[inline]
    pub fn parts_mut(&mut self) -> (&mut [Packet], &mut [[u8; SLOT]]) {
        let len = self.len.min(self.packets.len()).min(self.slots.len());
        (&mut self.packets[..len], &mut self.slots[..len])
    }

    /// The bytes of packet `index`.
    #[must_use]
    pub fn bytes(&self, index: usize) -> &[u8] {
        let Some(packet) = self.packets().get(index) else { return &[] };
        let slot = self.slots.get(index);
        slot.and_then(|slot| slot.get(packet.range())).unwrap_or_default()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_its_bounds() {
        let mut batch = Batch::new();
        while !batch.is_full() {
            batch.push_bytes(LinkId(0), &[0x45; 64], VirtioNetHdr::PLAIN);
        }
        assert_eq!(batch.len(), Batch::PACKETS);
        batch.receive(|_| panic!("it has room for one more"));

        batch.clear();
        while !batch.is_full() {
            batch.push_bytes(LinkId(0), &[0x45; 60_000], VirtioNetHdr::PLAIN);
        }
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.bytes(1), [0x45; 60_000]);
    }
}
