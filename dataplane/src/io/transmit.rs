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
/// `mtu` is the longest IPv4 packet to leave, in bytes, for a packet that may be fragmented (DF=0);
/// it is compared with the segments of a super-packet. `None` does not look at lengths.
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
