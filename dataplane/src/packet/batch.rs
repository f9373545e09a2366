//! Packets in hand: the ones that a worker carries through the path together.
//!
//! Bytes lie in slots, one a packet; descriptors lie beside each other. Slots are used from the
//! first on in every batch, so that their cache lines stay warm, and a batch ends at
//! [`Batch::PACKETS`] packets or [`Batch::BYTES`] bytes, whichever comes first, so that
//! super-packets are rewritten while they are in cache.

use crate::io::{Frame, HEADROOM, SLOT};
use crate::packet::{Addr, Component, Direction, Key, LinkId, Reason, SubnetId};
use crate::shared::WorkerId;
use crate::state::{FlowId, MeterId};
use crate::wire::virtio::VirtioNetHdr;

/// One packet of a batch: where its bytes lie and what the stages found.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// First byte of the IP header in the slot.
    pub start: usize,
    /// Bytes of the packet.
    pub len: usize,
    /// What the sender left to be done.
    pub offload: VirtioNetHdr,
    /// The key of the flow that it belongs to; that of the flow it quotes, if
    /// [`Kind::Error`]. Valid iff parsed: the verdict is not a drop by parse.
    pub key: Key,
    /// The key's hash; valid iff parsed.
    pub hash: u64,
    /// Offset of the transport header from `start`; valid iff parsed.
    pub transport: u8,
    /// Offset of the payload behind the transport header from `start`; valid iff parsed.
    pub payload: u16,
    /// TCP control bits, zero for other protocols; valid iff parsed.
    pub tcp_flags: u8,
    /// What rules select by: TCP and UDP the destination port, ICMP type and code in one word.
    pub selector: u16,
    /// How it belongs to its flow.
    pub kind: Kind,
    /// The packet's own addresses, where they are not the key's; valid iff [`Kind::Error`].
    pub outer: (Addr, Addr),
    /// Its flow and the direction it goes in; valid iff the verdict is `Forward`.
    pub flow: FlowId,
    /// See `flow`.
    pub direction: Direction,
    /// The NAT gateways that it has come to, in the order of packets of the original direction.
    pub meter: MeterId,
    /// Whether another worker handed it over: it stays here, whoever owns its flow by now.
    pub handed: bool,
    /// Whether it is the answer to a packet that was dropped, in that packet's slot.
    pub answers: bool,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not judged yet.
    Pending,
    /// Goes on, rewritten as its flow says.
    Forward,
    /// Belongs to a flow of another worker, untouched.
    HandOver(WorkerId),
    /// Leaves by a link; `fragment` is the MTU that it has to be cut to, if any.
    Emit {
        /// The exit link.
        link: LinkId,
        /// Cut to this many bytes a fragment; `None` where it fits.
        fragment: Option<u16>,
    },
    /// A fragment that waits for the first of its datagram; it comes again by itself.
    Held,
    /// Ends here.
    Drop {
        /// Why.
        reason: Reason,
        /// Where.
        component: Component,
        /// What the sender is told.
        answer: Answer,
    },
}

/// What the sender of a dropped packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Silence,
    /// A TCP reset, as if by the destination (RFC 9293 s. 3.10.7.1).
    Reset {
        /// Where the device stands that sends it.
        from: SubnetId,
    },
    /// ICMP "fragmentation needed" from `router` (RFC 1191 s. 4).
    FragmentationNeeded {
        /// The address that tells.
        router: Addr,
        /// Next-hop MTU, in bytes.
        mtu: u16,
        /// Where the device stands that tells.
        from: SubnetId,
    },
    /// ICMP "time exceeded in transit" from `router` (RFC 792).
    TimeExceeded {
        /// The address that tells.
        router: Addr,
        /// Where the device stands that tells.
        from: SubnetId,
    },
}

impl Answer {
    /// The subnet that it comes from.
    #[must_use]
    pub const fn from(self) -> Option<SubnetId> {
        match self {
            Self::Silence => None,
            Self::Reset { from }
            | Self::FragmentationNeeded { from, .. }
            | Self::TimeExceeded { from, .. } => Some(from),
        }
    }
}

/// How a packet belongs to its flow. All but whole ones are judged one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is one of the conversation.
    Whole,
    /// An ICMP error: it quotes one of the conversation.
    Error,
    /// The first fragment of one, with the transport header.
    FirstFragment,
    /// A further fragment of one, without any header but IP's.
    LaterFragment,
}

impl Kind {
    /// Whether it is a fragment.
    #[must_use]
    pub const fn is_fragment(self) -> bool {
        matches!(self, Self::FirstFragment | Self::LaterFragment)
    }
}

impl Packet {
    /// A packet as it came.
    #[must_use]
    #[inline]
    pub fn received(link: LinkId, frame: Frame) -> Self {
        Self {
            start: frame.start,
            len: frame.len,
            offload: frame.offload,
            key: Key::new(link, 0, Default::default(), Default::default()),
            hash: 0,
            transport: 0,
            payload: 0,
            tcp_flags: 0,
            selector: 0,
            kind: Kind::Whole,
            outer: (Addr::default(), Addr::default()),
            flow: FlowId::default(),
            direction: Direction::Original,
            meter: MeterId::NONE,
            handed: false,
            answers: false,
            verdict: Verdict::Pending,
        }
    }

    /// Whether no stage has judged it yet.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self.verdict, Verdict::Pending)
    }

    /// The frame that a link sends.
    #[must_use]
    pub const fn frame(&self) -> Frame {
        Frame { start: self.start, len: self.len, offload: self.offload }
    }

    /// What it is on the wire: itself, or the segments of a super-packet.
    #[must_use]
    #[inline]
    pub fn wire(&self) -> Wire {
        match self.offload.segmented() {
            None => Wire { packets: 1, bytes: self.len, longest: self.len },
            Some(_) => self.segments(),
        }
    }

    /// Out of line, so that packets that come one by one do not pay for it.
    #[cold]
    fn segments(&self) -> Wire {
        let (headers, size) = (usize::from(self.payload), usize::from(self.offload.gso_size));
        let payload = self.len.saturating_sub(headers);
        let packets = payload.div_ceil(size.max(1)).max(1);
        Wire { packets, bytes: self.len + (packets - 1) * headers, longest: headers + size }
    }
}

/// What a packet is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// How many packets.
    pub packets: usize,
    /// Their bytes in all, each with its headers.
    pub bytes: usize,
    /// Bytes of the longest, or what that may have.
    pub longest: usize,
}

/// A batch of packets and their bytes.
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    packets: Vec<Packet>,
    total: usize,
}

impl Batch {
    /// The most packets in a batch.
    pub const PACKETS: usize = 128;
    /// A batch that holds this many bytes takes no more packets.
    pub const BYTES: usize = 256 * 1024;

    /// An empty batch with its slots.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: vec![0; Self::PACKETS * SLOT].into_boxed_slice(),
            packets: Vec::with_capacity(Self::PACKETS),
            total: 0,
        }
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.total = 0;
    }

    /// Whether it takes no more packets.
    #[must_use]
    #[inline]
    pub fn is_full(&self) -> bool {
        self.packets.len() >= Self::PACKETS || self.total >= Self::BYTES
    }

    /// Whether it holds no packets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// The slot that the next packet goes to; `None` when the batch is full.
    #[inline]
    pub fn next_slot(&mut self) -> Option<&mut [u8]> {
        if self.is_full() {
            return None;
        }
        let from = self.packets.len() * SLOT;
        self.bytes.get_mut(from..from + SLOT)
    }

    /// Adds the packet that was put in [`next_slot`](Self::next_slot).
    #[inline]
    pub fn push(&mut self, packet: Packet) {
        debug_assert!(!self.is_full(), "a packet needs a slot");
        self.total += packet.len;
        self.packets.push(packet);
    }

    /// Copies `bytes` into the next slot as a whole packet that came in by `link`. Does nothing
    /// when the batch is full or the packet longer than a slot.
    #[inline]
    pub fn push_bytes(&mut self, link: LinkId, bytes: &[u8], offload: VirtioNetHdr) {
        let Some(slot) = self.next_slot() else { return };
        let Some(place) = slot.get_mut(HEADROOM..HEADROOM + bytes.len()) else { return };
        place.copy_from_slice(bytes);
        let frame = Frame { start: HEADROOM, len: bytes.len(), offload };
        self.push(Packet::received(link, frame));
    }

    /// The descriptors.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The descriptors, to be stamped.
    pub fn packets_mut(&mut self) -> &mut [Packet] {
        &mut self.packets
    }

    /// Each packet with its whole slot.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = (&mut Packet, &mut [u8])> {
        self.packets.iter_mut().zip(self.bytes.chunks_exact_mut(SLOT))
    }

    /// Each packet with its own bytes.
    pub fn each_mut(&mut self) -> impl Iterator<Item = (&mut Packet, &mut [u8])> {
        self.slots_mut().map(|(packet, slot)| {
            let end = packet.start + packet.len;
            let bytes = slot.get_mut(packet.start..end).unwrap_or_default();
            (packet, bytes)
        })
    }

    /// The bytes of packet `index`.
    #[must_use]
    pub fn bytes(&self, index: usize) -> &[u8] {
        let Some(packet) = self.packets.get(index) else { return &[] };
        let from = index * SLOT + packet.start;
        self.bytes.get(from..from + packet.len).unwrap_or_default()
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
        assert!(batch.next_slot().is_none());

        batch.clear();
        while !batch.is_full() {
            batch.push_bytes(LinkId(0), &[0x45; 60_000], VirtioNetHdr::PLAIN);
        }
        assert_eq!(batch.len(), 5);
        assert_eq!(batch.bytes(4), [0x45; 60_000]);
    }
}
