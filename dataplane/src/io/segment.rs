//! What a device would have finished, done in software: partial checksums and super-packets.
//!
//! A super-packet is cut where it lies: each segment's headers are written over payload that has
//! already been sent, so nothing is copied but headers and nothing is allocated. The rules are
//! those of the kernel's `skb_checksum_help`, `tcp_gso_segment` and `__udp_gso_segment`.

use std::io;

use crate::io::Frame;
use crate::wire::chain::FragmentHeader;
use crate::wire::checksum::{Delta, Sum};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};
use crate::wire::virtio::{NEEDS_CSUM, VirtioNetHdr, gso};

/// Takes one finished piece of a packet: where it lies in the slot is in the frame. As many bytes before
/// it as a device header has are free to use.
pub type Each<'a> = dyn FnMut(&mut [u8], Frame) -> io::Result<()> + 'a;

/// Finishes the checksum of `packet` where `offload` says that it is partial.
///
/// Of UDP a sum of zero is stored as `0xffff`, which means the same and keeps "no checksum" apart (RFC 768).
///
/// # Errors
///
/// `InvalidInput` when the checksum would lie outside the packet.
pub fn complete_checksum(packet: &mut [u8], offload: VirtioNetHdr) -> io::Result<()> {
    if !offload.needs_csum() {
        return Ok(());
    }
    let start = usize::from(offload.csum_start);
    let place = start + usize::from(offload.csum_offset);
    let checksum = match Sum::of(packet.get(start..).ok_or_else(malformed)?).checksum() {
        0 if offload.csum_offset == udp::CHECKSUM_OFFSET => 0xffff,
        checksum => checksum,
    };
    let field = packet.get_mut(place..place + 2).ok_or_else(malformed)?;
    field.copy_from_slice(&checksum.to_be_bytes());
    Ok(())
}

/// Cuts the super-packet that `frame` describes into segments of `gso_size` bytes of payload, in
/// order, and destroys it thereby.
///
/// Each segment has lengths, identification, IPv4 checksum, and TCP sequence number and control
/// bits of its own; its transport checksum is still partial, for [`complete_checksum`] or a device
/// to finish.
///
/// # Errors
///
/// `InvalidInput` when the packet's headers are not those that its offload names; what `each`
/// returns, and then the rest is not cut.
pub fn cut(slot: &mut [u8], frame: Frame, each: &mut Each<'_>) -> io::Result<()> {
    let packet = frame.packet(slot).ok_or_else(malformed)?;
    let template = Template::of(packet, frame.offload).ok_or_else(malformed)?;
    let headers = template.headers().len();
    let payload = frame.len - headers;
    let size = usize::from(frame.offload.gso_size);
    let last = payload.div_ceil(size).max(1) - 1;
    for index in 0..=last {
        let sent = index * size;
        let len = headers + size.min(payload - sent);
        let segment = Frame { start: frame.start + sent, len, offload: template.offload() };
        let bytes = segment.packet(slot).ok_or_else(malformed)?;
        template.write(bytes, (len, index, sent), index == last).ok_or_else(malformed)?;
        each(slot, segment)?;
    }
    Ok(())
}

/// Length of the longest packet that `frame` stands for, in bytes, IP header included: its own, or
/// that of a segment. `None` where its headers are not those that its offload names.
#[must_use]
pub fn longest(packet: &[u8], offload: VirtioNetHdr) -> Option<usize> {
    if offload.segmented().is_none() {
        return Some(packet.len());
    }
    let (_, headers) = layout(packet, offload)?;
    Some(packet.len().min(headers + usize::from(offload.gso_size)))
}

/// Room for the headers of a segment: IPv4 and TCP with all options, or IPv6 with some extensions.
pub(super) const HEADERS: usize = 160;

/// The headers of a super-packet, and what each segment changes in them.
#[derive(Debug)]
pub(super) struct Template {
    bytes: [u8; HEADERS],
    len: usize,
    kind: Kind,
    /// Where the transport header starts.
    transport: u16,
    /// Length of transport header and payload of the whole, as its partial checksum counts it.
    transport_length: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
}

impl Template {
    pub(super) fn of(packet: &[u8], offload: VirtioNetHdr) -> Option<Self> {
        let (kind, len) = layout(packet, offload)?;
        let mut bytes = [0; HEADERS];
        bytes.get_mut(..len)?.copy_from_slice(packet.get(..len)?);
        let transport = offload.csum_start;
        let transport_length = u16::try_from(packet.len()).ok()?.checked_sub(transport)?;
        Some(Self { bytes, len, kind, transport, transport_length })
    }

    pub(super) fn headers(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What is left to be done about each segment.
    pub(super) fn offload(&self) -> VirtioNetHdr {
        let csum_offset = match self.kind {
            Kind::Tcp => tcp::CHECKSUM_OFFSET,
            Kind::Udp => udp::CHECKSUM_OFFSET,
        };
        let csum_start = self.transport;
        VirtioNetHdr { flags: NEEDS_CSUM, csum_start, csum_offset, ..VirtioNetHdr::PLAIN }
    }

    /// Writes the headers of segment number `index` to the start of `segment`. It has `len` bytes, and its payload
    /// starts `sent` bytes into the whole's.
    pub(super) fn write(
        &self,
        segment: &mut [u8],
        (len, index, sent): (usize, usize, usize),
        last: bool,
    ) -> Option<()> {
        let length = u16::try_from(len).ok()?;
        segment.get_mut(..self.len)?.copy_from_slice(self.headers());
        let (network, transport) = segment.split_at_mut_checked(self.transport.into())?;
        if network.first()? >> 4 == 4 {
            let header = Ipv4::of_mut(network)?;
            let identification = header.identification.get();
            header.identification.set(identification.wrapping_add(u16::try_from(index).ok()?));
            header.total_length.set(length);
            header.checksum.set(0);
            let checksum = Sum::of(network).checksum();
            Ipv4::of_mut(network)?.checksum.set(checksum);
        } else {
            let header = Ipv6::of_mut(network)?;
            header.payload_length.set(length - u16::try_from(ipv6::HEADER).ok()?);
            let is_fragmented = header.next_header == protocol::FRAGMENT;
            if is_fragmented
                && let Some(header) = FragmentHeader::of_mut(network.get_mut(ipv6::HEADER..)?)
            {
                // Each segment is a datagram; the low half is what it had in IPv4 (RFC 7915 s. 4.1).
                let [high, low] =
                    [header.identification.get() >> 16 << 16, header.identification.get() & 0xffff];
                let low = (low + u32::try_from(index).ok()?) & 0xffff;
                header.identification.set(high | low);
            }
        }
        let length = length - self.transport;
        let shorter = Delta::between(Sum::ZERO.word(self.transport_length), Sum::ZERO.word(length));
        match self.kind {
            Kind::Tcp => {
                let header = Tcp::of_mut(transport)?;
                let sequence = header.sequence.get();
                header.sequence.set(sequence.wrapping_add(u32::try_from(sent).ok()?));
                if !last {
                    header.flags &= !(tcp::flags::FIN | tcp::flags::PSH);
                }
                if index > 0 {
                    header.flags &= !tcp::flags::CWR;
                }
                header.checksum = shorter.apply_partial(header.checksum);
            }
            Kind::Udp => {
                let header = Udp::of_mut(transport)?;
                header.length.set(length);
                header.checksum = shorter.apply_partial(header.checksum);
            }
        }
        Some(())
    }
}

/// The kind of super-packet and the length of its headers, where they are what `offload` says.
fn layout(packet: &[u8], offload: VirtioNetHdr) -> Option<(Kind, usize)> {
    let (kind, protocol, csum_offset) = match offload.segmented()? {
        gso::TCPV4 | gso::TCPV6 => (Kind::Tcp, protocol::TCP, tcp::CHECKSUM_OFFSET),
        gso::UDP_L4 => (Kind::Udp, protocol::UDP, udp::CHECKSUM_OFFSET),
        _ => return None,
    };
    let start = usize::from(offload.csum_start);
    let (family, network) = match packet.first()? >> 4 {
        4 => {
            let header = Ipv4::of(packet)?;
            let agrees = usize::from(header.total_length.get()) == packet.len()
                && header.header_length() == start
                && start >= ipv4::HEADER
                && header.protocol == protocol
                && !header.is_fragment();
            (gso::TCPV4, agrees)
        }
        6 => {
            let header = Ipv6::of(packet)?;
            let agrees = usize::from(header.payload_length.get()) + ipv6::HEADER == packet.len()
                && (start > ipv6::HEADER
                    || start == ipv6::HEADER && header.next_header == protocol);
            (gso::TCPV6, agrees)
        }
        _ => return None,
    };
    let transport = packet.get(start..)?;
    let length = match kind {
        Kind::Tcp => usize::from(Tcp::of(transport)?.header_length()).max(tcp::HEADER),
        Kind::Udp => udp::HEADER,
    };
    let agrees = network
        && (kind == Kind::Udp || offload.segmented() == Some(family))
        && offload.needs_csum()
        && offload.csum_offset == csum_offset
        && offload.gso_size > 0
        && length <= transport.len()
        && start + length <= HEADERS;
    agrees.then_some((kind, start + length))
}

/// A packet that is not what it was said to be.
pub(super) fn malformed() -> io::Error {
    io::ErrorKind::InvalidInput.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_of_zero_is_stored_as_its_other_zero_of_udp_alone() {
        for (csum_offset, stored) in [(udp::CHECKSUM_OFFSET, 0xff), (4, 0)] {
            let offload = VirtioNetHdr { flags: NEEDS_CSUM, csum_offset, ..VirtioNetHdr::PLAIN };
            let mut packet = [0, 0, 0x12, 0x34, 0xed, 0xcb, 0, 0];
            complete_checksum(&mut packet, offload).unwrap();
            let place = usize::from(csum_offset);
            assert_eq!(packet[place..place + 2], [stored; 2]);
        }
    }

    #[test]
    fn a_checksum_beyond_the_end_is_refused() {
        let offload = VirtioNetHdr { flags: NEEDS_CSUM, csum_offset: 3, ..VirtioNetHdr::PLAIN };
        let error = complete_checksum(&mut [0; 4], offload).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
