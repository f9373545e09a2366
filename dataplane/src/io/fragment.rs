//! Fragmentation of a whole packet: of IPv4 (RFC 791 s. 3.2, "An Example Fragmentation Procedure"),
//! and of IPv6 where it bears a fragment header for that already, as a translator gives it (RFC 7915
//! s. 4.1, RFC 8200 s. 4.5).
//!
//! As with [`segment`](crate::io::segment), each fragment is made where its payload lies.

use std::io;

use crate::io::Frame;
use crate::io::segment::{Each, malformed};
use crate::wire::chain::{self, FRAGMENT, FragmentHeader};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{DONT_FRAGMENT, HEADER, Ipv4, MORE_FRAGMENTS, OFFSET};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::wire::virtio::VirtioNetHdr;

/// Cuts the packet that `frame` describes into fragments of at most `mtu` bytes each, in
/// order, and destroys it thereby. A packet that fits is handed on as it is, but for a fragment header that it
/// does not need.
///
/// Its checksums must be finished. It may itself be a fragment. Options without the copy flag are
/// in the first fragment only.
///
/// # Errors
///
/// `InvalidInput` when the packet is of neither kind, must not be fragmented, has work left in its
/// offload, or `mtu` has no room for eight bytes of payload; what `each` returns, and then the rest
/// is not cut.
pub fn fragment(slot: &mut [u8], frame: Frame, mtu: usize, each: &mut Each<'_>) -> io::Result<()> {
    let packet = frame.packet(slot).ok_or_else(malformed)?;
    if let Some(frame) = unfragmented(packet, frame, mtu) {
        return each(slot, frame);
    }
    if packet.len() <= mtu {
        return each(slot, frame);
    }
    if frame.offload.needs_csum() || frame.offload.segmented().is_some() {
        return Err(malformed());
    }
    let mut header = Header::of(packet).ok_or_else(malformed)?;
    let mut at = frame.start + header.len;
    let end = frame.start + frame.len;
    while at < end {
        let room = mtu.saturating_sub(header.len);
        let more = end - at > room;
        // All but the last are a multiple of eight bytes (RFC 791 s. 2.3).
        let payload = if more { room & !7 } else { end - at };
        if payload == 0 {
            return Err(malformed());
        }
        let len = header.len + payload;
        let piece = Frame { start: at - header.len, len, offload: VirtioNetHdr::PLAIN };
        let bytes = piece.packet(slot).ok_or_else(malformed)?;
        header.write(bytes, more).ok_or_else(malformed)?;
        each(slot, piece)?;
        header.advance(payload);
        at += payload;
    }
    Ok(())
}

/// Takes the fragment header of IPv6 away from a packet that is whole, and fits without it: the last segment of a
/// super-packet whose others are cut. Such a header says nothing (RFC 6946, RFC 8021).
fn unfragmented(packet: &mut [u8], frame: Frame, mtu: usize) -> Option<Frame> {
    let is_v6 = packet.first()? >> 4 == 6;
    if !is_v6 || packet.len() > mtu.saturating_add(FRAGMENT) || frame.offload != VirtioNetHdr::PLAIN
    {
        return None;
    }
    let header = Header::of_v6(packet).filter(|header| header.offset == 0 && !header.more)?;
    let (network, rest) = header.bytes.split_at(ipv6::HEADER);
    let mut network = *Ipv6::of(network)?;
    network.next_header = FragmentHeader::of(rest)?.next_header;
    network.payload_length -= u16::try_from(FRAGMENT).ok()?;
    *Ipv6::of_mut(packet.get_mut(FRAGMENT..)?)? = network;
    Some(Frame { start: frame.start + FRAGMENT, len: frame.len - FRAGMENT, ..frame })
}

/// The longest header: fifteen words.
const LONGEST: usize = 60;

/// The headers of the next fragment.
struct Header {
    bytes: [u8; LONGEST],
    len: usize,
    family: Family,
    /// Of the next fragment's payload in the datagram, in units of eight bytes.
    offset: usize,
    /// Whether fragments of the datagram follow the packet that is cut.
    more: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Header {
    fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::of_v4(packet),
            6 => Self::of_v6(packet),
            _ => None,
        }
    }

    fn of_v4(packet: &[u8]) -> Option<Self> {
        let header = Ipv4::of(packet)?;
        let len = header.header_length();
        let agrees = len >= HEADER
            && usize::from(header.total_length.get()) == packet.len()
            && !header.dont_fragment();
        let offset = header.fragment_offset() / 8;
        let more = header.flags_offset.get() & MORE_FRAGMENTS != 0;
        Self { bytes: [0; LONGEST], len, family: Family::V4, offset, more }.copied(packet, agrees)
    }

    fn of_v6(packet: &[u8]) -> Option<Self> {
        let header = Ipv6::of(packet)?;
        let fragment = FragmentHeader::of(packet.get(ipv6::HEADER..)?)?;
        let agrees = header.next_header == protocol::FRAGMENT
            && usize::from(header.payload_length.get()) + ipv6::HEADER == packet.len();
        let offset = usize::from(fragment.offset_more.get() >> 3);
        let more = fragment.offset_more.get() & chain::MORE_FRAGMENTS != 0;
        let len = ipv6::HEADER + FRAGMENT;
        Self { bytes: [0; LONGEST], len, family: Family::V6, offset, more }.copied(packet, agrees)
    }

    /// With the bytes of `packet`, if it `agrees` with itself.
    fn copied(mut self, packet: &[u8], agrees: bool) -> Option<Self> {
        self.bytes.get_mut(..self.len)?.copy_from_slice(packet.get(..self.len)?);
        agrees.then_some(self)
    }

    /// Writes the headers over the start of `fragment`.
    fn write(&self, fragment: &mut [u8], more: bool) -> Option<()> {
        let length = u16::try_from(fragment.len()).ok()?;
        let place = fragment.get_mut(..self.len)?;
        place.copy_from_slice(self.bytes.get(..self.len)?);
        // An offset beyond the field is that of a datagram longer than any can be.
        let offset = u16::try_from(self.offset).ok().filter(|offset| *offset <= OFFSET)?;
        let more = more || self.more;
        match self.family {
            Family::V4 => {
                let header = Ipv4::of_mut(place)?;
                let reserved =
                    header.flags_offset.get() & !(DONT_FRAGMENT | MORE_FRAGMENTS | OFFSET);
                let flag = if more { MORE_FRAGMENTS } else { 0 };
                header.flags_offset.set(reserved | flag | offset);
                header.version_ihl = 0x40 | u8::try_from(self.len / 4).ok()?;
                header.total_length.set(length);
                header.checksum.set(0);
                let checksum = Sum::of(place).checksum();
                Ipv4::of_mut(place)?.checksum.set(checksum);
            }
            Family::V6 => {
                let (network, rest) = place.split_at_mut_checked(ipv6::HEADER)?;
                let header = Ipv6::of_mut(network)?;
                header.payload_length.set(length - u16::try_from(ipv6::HEADER).ok()?);
                let flag = if more { chain::MORE_FRAGMENTS } else { 0 };
                FragmentHeader::of_mut(rest)?.offset_more.set(offset << 3 | flag);
            }
        }
        Some(())
    }

    /// Turns to the fragment after one of `payload` bytes.
    fn advance(&mut self, payload: usize) {
        self.offset += payload / 8;
        if self.family == Family::V4 {
            self.len = keep_copied(&mut self.bytes, self.len);
        }
    }
}

/// Keeps the options that go into every fragment, pads them with "end of list", and returns the
/// header's new length (RFC 791 s. 3.1, "Options": the copied flag).
fn keep_copied(header: &mut [u8; LONGEST], len: usize) -> usize {
    const COPIED: u8 = 0x80;
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    let (mut from, mut to) = (HEADER, HEADER);
    while from < len {
        let length = match header[from] {
            END => break,
            NO_OPERATION => 1,
            _ => header.get(from + 1).map_or(0, |length| usize::from(*length)),
        };
        let malformed = length == 0 || from + length > len;
        if malformed {
            break;
        }
        if header[from] & COPIED != 0 {
            header.copy_within(from..from + length, to);
            to += length;
        }
        from += length;
    }
    let padded = to.next_multiple_of(4);
    header[to..padded].fill(END);
    padded
}
