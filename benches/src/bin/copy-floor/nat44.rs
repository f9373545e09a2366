//! One IPv4 address for another, on one side of the packet.

use std::net::Ipv4Addr;

use dataplane::io::Frame;
use dataplane::wire::checksum::{Delta, Sum};
use dataplane::wire::ipv4::Ipv4;
use dataplane::wire::{protocol, udp, virtio::VirtioNetHdr};
use dataplane::wire::{tcp::Tcp, udp::Udp};

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// What to rewrite.
#[derive(Clone, Copy)]
pub(crate) struct Rewrite {
    side: Side,
    old: [u8; 4],
    new: [u8; 4],
    delta: Delta,
}

impl Rewrite {
    /// For packets that leave, and for those that come back.
    pub(crate) fn both_ways(inside: Ipv4Addr, outside: Ipv4Addr) -> [Self; 2] {
        [Self::new(Side::Source, inside, outside), Self::new(Side::Destination, outside, inside)]
    }

    fn new(side: Side, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        let (old, new) = (old.octets(), new.octets());
        Self { side, old, new, delta: Delta::between(Sum::of(&old), Sum::of(&new)) }
    }

    /// Rewrites the packet; `None` where it is not one to forward.
    pub(crate) fn apply(self, slot: &mut [u8], frame: Frame) -> Option<Frame> {
        let packet = frame.packet(slot)?;
        let header = Ipv4::of_mut(packet)?;
        let address = match self.side {
            Side::Source => &mut header.source,
            Side::Destination => &mut header.destination,
        };
        if *address != self.old {
            return None;
        }
        *address = self.new;
        header.checksum = self.delta.apply(header.checksum);
        if header.fragment_offset() == 0 {
            let (protocol, length) = (header.protocol, header.header_length());
            adjust(packet.get_mut(length..)?, protocol, frame.offload, self.delta);
        }
        Some(frame)
    }
}

/// Adds `delta` to the checksum of what has one over its addresses.
pub(crate) fn adjust(bytes: &mut [u8], protocol: u8, offload: VirtioNetHdr, delta: Delta) {
    let field = match protocol {
        protocol::TCP => Tcp::of_mut(bytes).map(|header| &mut header.checksum),
        protocol::UDP => Udp::of_mut(bytes).map(|header| &mut header.checksum),
        _ => None,
    };
    let Some(field) = field else { return };
    *field = if offload.needs_csum() {
        delta.apply_partial(*field)
    } else if protocol == protocol::TCP {
        delta.apply(*field)
    } else {
        udp::apply(delta, *field)
    };
}
