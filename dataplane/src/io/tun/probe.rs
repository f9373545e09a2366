//! Does this kernel take what it says it takes? A real super-packet is written, and what it refuses
//! is not offered again.
//!
//! Some kernels answer EINVAL to super-packets that they have negotiated (tailscale issue 13041).
//! The packets go to an address that is nobody's, so the kernel takes them and then drops them.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

use crate::io::{Frame, HEADROOM, Link};
use crate::wire::ipv4;
use crate::wire::virtio::{NEEDS_CSUM, VirtioNetHdr, gso};
use crate::wire::{tcp, udp};

use super::Tun;

/// Benchmarking (RFC 2544): no topology has it, and nothing answers for it.
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SOMEBODY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

const SEGMENT: u16 = 512;

impl Tun {
    /// Writes a super-packet of each kind that the device takes, and gives up the kinds that the
    /// kernel refuses. The device must be up.
    pub fn probe(&mut self) {
        let ip = || PacketBuilder::ipv4(SOMEBODY.octets(), NOBODY.octets(), 64);
        let data = [0; 2 * SEGMENT as usize];
        let (mut stream, mut datagrams) = (Vec::new(), Vec::new());
        // Writing to memory does not fail, and the packets are far below the longest.
        let _ = ip().tcp(9, 9, 0, 0).write(&mut stream, &data);
        let _ = ip().udp(9, 9).write(&mut datagrams, &data);
        if self.takes.tcp {
            self.takes.tcp = self.accepts(&stream, gso::TCPV4, tcp::CHECKSUM_OFFSET);
        }
        if self.takes.udp {
            self.takes.udp = self.accepts(&datagrams, gso::UDP_L4, udp::CHECKSUM_OFFSET);
        }
    }

    fn accepts(&mut self, packet: &[u8], kind: u8, csum_offset: u16) -> bool {
        let transport = u16::try_from(ipv4::HEADER).expect("a constant of 20");
        let offload = VirtioNetHdr {
            flags: NEEDS_CSUM,
            gso_type: kind,
            hdr_len: transport,
            gso_size: SEGMENT,
            csum_start: transport,
            csum_offset,
        };
        let mut slot = vec![0; HEADROOM];
        slot.extend_from_slice(packet);
        let frame = Frame { start: HEADROOM, len: packet.len(), offload };
        let refused = self.send(&mut slot, frame).err();
        refused.is_none_or(|error| error.kind() != std::io::ErrorKind::InvalidInput)
    }
}
