//! One packet of a batch: where its bytes lie, and what the stages found.

use std::mem::offset_of;
use std::ops::Range;

use crate::io::{Frame, HEADROOM, TAILROOM};
use crate::packet::{Addr, Direction, Key, LinkId, PortPair, Slots, Verdict};
use crate::state::{FlowId, FlowRef, MeterId};
use crate::wire::protocol;
use crate::wire::virtio::VirtioNetHdr;

/// One packet of a batch. As small as it can be: all of a batch stay in the first-level cache beside
/// headers and flows. Descriptors are used again, so what is valid only from some stage on holds
/// anything before.
///
/// In this order, and so aligned, because a processor stores less in a cycle than it calculates: from `offload` to
/// `header` are 16 bytes of one cache line, all zero of most packets that come in.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub struct Packet {
    /// The key of the flow that it belongs to; that of the flow it quotes, if
    /// [`Kind::Error`]. Valid iff parsed, but for the link: the verdict is not a drop by parse. The
    /// addresses of a plain packet lie in its header alone, until recall leaves it to the stages behind.
    pub key: Key,
    /// The key's hash; valid iff parsed.
    pub hash: u64,
    /// What the sender left to be done.
    pub offload: VirtioNetHdr,
    /// How it belongs to its flow.
    pub kind: Kind,
    /// What parse has found out that spares recall questions.
    pub(crate) shape: Shape,
    /// Whether another worker handed it over: it stays here, whoever owns its flow by now.
    pub(crate) handed: bool,
    /// Whether it is the answer to a packet that was dropped, in that packet's slot.
    pub answers: bool,
    /// Offset of the transport header from `start`; valid iff parsed, of a segment of TCP only where recall did
    /// not carry it by its line alone.
    pub transport: u8,
    /// Length of the transport header, in bytes; zero where there is none. Valid as the offset.
    pub header: u8,
    /// First byte of the IP header in the [slots](Slots).
    pub start: u32,
    /// Bytes of the packet.
    pub len: u32,
    /// Its flow and the direction it goes in; valid iff the verdict is `Forward`. Between parse and recall
    /// where the index is to be asked.
    pub(crate) found: FlowRef,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The NAT gateways that it has come to, in the order of packets of the original direction. Valid
    /// iff it is judged.
    pub meter: MeterId,
    /// ICMP type and code in one word; valid iff it is ICMP.
    pub icmp: u16,
    /// TCP control bits, zero for other protocols; valid iff parsed.
    pub tcp_flags: u8,
}

/// What the headers of a packet are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Any.
    Any,
    /// It is whole, of TCP or UDP, with no more headers than it needs, over IPv4.
    Plain,
    /// The same over IPv6.
    PlainV6,
    /// It is plain, a segment of TCP over IPv4, and nothing is left to be done about it: as most are.
    Segment,
    /// The same over IPv6.
    SegmentV6,
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

const _: () = assert!(size_of::<Packet>() <= 96);
const _: () = assert!(offset_of!(Packet, offload) == 48 && offset_of!(Packet, start) == 64);
const _: () = assert!(Kind::Whole as u8 == 0 && Shape::Any as u8 == 0);

impl Packet {
    /// What stands in the place of a packet before there is one.
    pub(super) const NONE: Self = Self {
        key: Key::with_ports(LinkId(0), 0, (Addr::UNSPECIFIED, Addr::UNSPECIFIED), PortPair::NONE),
        hash: 0,
        start: 0,
        len: 0,
        offload: VirtioNetHdr::PLAIN,
        meter: MeterId::NONE,
        found: FlowRef::NONE,
        verdict: Verdict::Pending,
        kind: Kind::Whole,
        shape: Shape::Any,
        handed: false,
        answers: false,
        transport: 0,
        header: 0,
        tcp_flags: 0,
        icmp: 0,
    };

    /// Makes this a packet as it comes in.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "slots are far shorter than 4 GiB")]
    pub(super) fn receive(&mut self, link: LinkId, frame: Frame) {
        self.key.link = link;
        self.start = frame.start as u32;
        self.len = frame.len as u32;
        self.offload = frame.offload;
        self.kind = Kind::Whole;
        self.shape = Shape::Any;
        self.handed = false;
        self.answers = false;
        // For the whole to be one store.
        (self.transport, self.header) = (0, 0);
        self.verdict = Verdict::Pending;
    }

    /// Whether no stage has judged it yet.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self.verdict, Verdict::Pending)
    }

    /// Its flow; valid iff the verdict is `Forward`.
    #[must_use]
    #[inline]
    pub const fn flow(&self) -> FlowId {
        self.found.flow()
    }

    /// The direction that it goes in; valid iff the verdict is `Forward`.
    #[must_use]
    #[inline]
    pub const fn direction(&self) -> Direction {
        self.found.direction()
    }

    /// Whether it goes on, rewritten as its flow says.
    #[must_use]
    #[inline]
    pub const fn is_forwarded(&self) -> bool {
        matches!(self.verdict, Verdict::Forward)
    }

    /// Offset of the payload behind the transport header from `start`; valid iff parsed.
    #[must_use]
    pub const fn payload(&self) -> usize {
        self.transport as usize + self.header as usize
    }

    /// What rules select by: of TCP and UDP the destination port, of ICMP type and code.
    #[must_use]
    pub fn selector(&self) -> u16 {
        match self.key.protocol {
            protocol::TCP | protocol::UDP if self.kind != Kind::Error => self.key.dst_port(),
            _ => self.icmp,
        }
    }

    /// Its bytes in its batch's slots.
    #[must_use]
    #[inline(always)]
    pub fn bytes_mut<'s>(&self, slots: &'s mut Slots) -> Option<&'s mut [u8]> {
        slots.get_mut(self.range())
    }

    /// The room that it has before it is sent, if nothing has moved it yet: [`HEADROOM`] bytes, the packet, and
    /// [`TAILROOM`] bytes. What lies beyond is other packets'.
    #[inline]
    pub(crate) fn room_mut<'s>(&self, slots: &'s mut Slots) -> Option<&'s mut [u8]> {
        let Range { start, end } = self.range();
        let end = (end + TAILROOM).min(slots.len());
        slots.get_mut(start.checked_sub(HEADROOM)?..end)
    }

    /// The frame that a link sends.
    #[must_use]
    pub const fn frame(&self) -> Frame {
        let Range { start, end } = self.range();
        Frame { start, len: end - start, offload: self.offload }
    }

    /// Begins elsewhere in its slot from now on, behind another network header.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "slots are far shorter than 4 GiB, headers than 256"
    )]
    pub(crate) fn place(&mut self, frame: Frame) {
        // Where the transport header stands, it stays.
        let transport = self.start + u32::from(self.transport);
        (self.start, self.len) = (frame.start as u32, frame.len as u32);
        self.transport = transport.wrapping_sub(self.start) as u8;
        self.offload = frame.offload;
    }

    /// Where it lies in its batch's slots.
    #[must_use]
    #[inline]
    pub const fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }

    /// What it is on the wire: itself, or the segments of a super-packet.
    #[must_use]
    #[inline]
    pub fn wire(&self) -> Wire {
        match self.offload.segmented() {
            None => Wire::one(self.len),
            Some(_) => self.segments(),
        }
    }

    /// Out of line, so that packets that come one by one do not pay for it.
    #[cold]
    #[inline(never)]
    fn segments(&self) -> Wire {
        let (headers, size) = (self.payload(), usize::from(self.offload.gso_size));
        let payload = (self.len as usize).saturating_sub(headers);
        let packets = payload.div_ceil(size.max(1)).max(1);
        let bytes = self.len as usize + (packets - 1) * headers;
        Wire { packets, bytes, longest: headers + size }
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

impl Wire {
    /// One packet of so many bytes.
    #[inline(always)]
    pub(crate) const fn one(len: u32) -> Self {
        Self { packets: 1, bytes: len as usize, longest: len as usize }
    }
}
