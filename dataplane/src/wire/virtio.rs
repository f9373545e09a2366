//! The header that a TUN device with `IFF_VNET_HDR` puts before each packet
//! (Virtual I/O Device 1.2, s. 5.1.6; Linux `struct virtio_net_hdr`).
//!
//! The fields are in host order: TUN's default unless `TUNSETVNETLE` or `TUNSETVNETBE` is called.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of the header, in bytes: the one without `num_buffers`, which TUN uses unless told
/// otherwise.
pub const HEADER: usize = 10;

/// What the sender left for others to do: finish a checksum, cut a super-packet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VirtioNetHdr {
    /// [`NEEDS_CSUM`] or [`DATA_VALID`].
    pub flags: u8,
    /// One of [`gso`], perhaps with [`gso::ECN`].
    pub gso_type: u8,
    /// Length of all headers of a super-packet, in bytes; a hint that must not be believed.
    pub hdr_len: u16,
    /// Payload of each segment, in bytes; valid iff `gso_type` is not [`gso::NONE`].
    pub gso_size: u16,
    /// Where the checksum starts to be summed, from the start of the packet; valid iff
    /// [`NEEDS_CSUM`].
    pub csum_start: u16,
    /// Where the checksum is stored, from `csum_start`; valid iff [`NEEDS_CSUM`].
    pub csum_offset: u16,
}

const _: () = assert!(size_of::<VirtioNetHdr>() == HEADER);

/// The transport checksum holds the sum of the pseudo-header and is to be finished.
pub const NEEDS_CSUM: u8 = 1;
/// The transport checksum was verified.
pub const DATA_VALID: u8 = 2;

/// Kinds of super-packet.
pub mod gso {
    /// Not a super-packet.
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u8 = 1;
    /// UDP fragmentation offload, a kind that we never accept.
    pub const UDP: u8 = 3;
    /// TCP over IPv6.
    pub const TCPV6: u8 = 4;
    /// UDP segmentation: datagrams of `gso_size` with a header of their own.
    pub const UDP_L4: u8 = 5;
    /// A flag: only the first segment may carry CWR (RFC 3168).
    pub const ECN: u8 = 0x80;
}

impl VirtioNetHdr {
    /// A whole packet with a finished checksum.
    pub const PLAIN: Self = Self {
        flags: 0,
        gso_type: gso::NONE,
        hdr_len: 0,
        gso_size: 0,
        csum_start: 0,
        csum_offset: 0,
    };

    /// Whether the transport checksum is partial.
    #[must_use]
    pub const fn needs_csum(&self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }

    /// Whether nothing is left to be done: the packet is as it goes over a wire.
    #[must_use]
    #[inline]
    pub const fn is_finished(&self) -> bool {
        // As one word: every packet is asked.
        let [flags_and_type, ..]: [u16; HEADER / 2] = zerocopy::transmute!(*self);
        flags_and_type & u16::from_ne_bytes([NEEDS_CSUM, 0xff]) == 0
    }

    /// Whether the fields fit a packet of `len` bytes: a partial checksum lies inside it, and a
    /// super-packet is of a kind we know, has segments of some size and a partial checksum, as
    /// s. 5.1.6.2 demands of who sends it.
    ///
    /// Whether they agree with the packet's headers is for the reader of those to say.
    #[must_use]
    pub const fn fits(&self, len: usize) -> bool {
        if self.needs_csum() && self.csum_start as usize + self.csum_offset as usize + 2 > len {
            return false;
        }
        match self.segmented() {
            None => true,
            Some(gso::TCPV4 | gso::TCPV6 | gso::UDP_L4) => self.needs_csum() && self.gso_size > 0,
            Some(_) => false,
        }
    }

    /// The same for a packet whose network header has become `growth` bytes longer and is now of the
    /// family in which TCP super-packets are of kind `tcp`: what is counted from the start of the
    /// packet moves along, and segments stay as long as they were.
    #[must_use]
    #[inline(always)]
    pub const fn translated(self, tcp: u8, growth: i16) -> Self {
        // A super-packet's is partial, too.
        if self.needs_csum() { self.moved(tcp, growth) } else { self }
    }

    /// The same of one with work left; apart, so that finished packets do not pay for it.
    #[inline(never)]
    const fn moved(self, tcp: u8, growth: i16) -> Self {
        let gso_type = match self.gso_type & !gso::ECN {
            gso::TCPV4 | gso::TCPV6 => tcp | self.gso_type & gso::ECN,
            _ => self.gso_type,
        };
        let hdr_len = match self.hdr_len {
            0 => 0,
            length => length.wrapping_add_signed(growth),
        };
        let csum_start = self.csum_start.wrapping_add_signed(growth);
        Self { gso_type, hdr_len, csum_start, ..self }
    }

    /// Whether this is a super-packet, and of what kind (without [`gso::ECN`]).
    #[must_use]
    pub const fn segmented(&self) -> Option<u8> {
        match self.gso_type & !gso::ECN {
            gso::NONE => None,
            kind => Some(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TSO: VirtioNetHdr = VirtioNetHdr {
        flags: NEEDS_CSUM,
        gso_type: gso::TCPV4,
        hdr_len: 40,
        gso_size: 1448,
        csum_start: 20,
        csum_offset: 16,
    };

    #[test]
    fn fits_where_checksum_and_segments_can_be() {
        assert!(VirtioNetHdr::PLAIN.fits(0));
        assert!(TSO.fits(38));
        assert!(!TSO.fits(37), "checksum beyond the end");
        assert!(VirtioNetHdr { gso_type: gso::TCPV6 | gso::ECN, ..TSO }.fits(38));
        assert!(VirtioNetHdr { gso_type: gso::UDP_L4, ..TSO }.fits(38));
    }

    #[test]
    fn is_finished_where_nothing_is_left_to_be_done() {
        let is_finished = |flags, gso_type| VirtioNetHdr { flags, gso_type, ..TSO }.is_finished();
        assert!(is_finished(0, gso::NONE) && is_finished(DATA_VALID, gso::NONE));
        assert!(
            !is_finished(NEEDS_CSUM, gso::NONE) && !is_finished(NEEDS_CSUM | DATA_VALID, gso::NONE)
        );
        assert!(!is_finished(0, gso::TCPV4) && !is_finished(0, gso::ECN));
    }

    #[test]
    fn moves_with_the_network_header() {
        let v6 = VirtioNetHdr { gso_type: gso::TCPV6, hdr_len: 60, csum_start: 40, ..TSO };
        assert_eq!((TSO.translated(gso::TCPV6, 20), v6.translated(gso::TCPV4, -20)), (v6, TSO));
        let ecn = VirtioNetHdr { gso_type: gso::TCPV4 | gso::ECN, ..TSO };
        assert_eq!(ecn.translated(gso::TCPV6, 20).gso_type, gso::TCPV6 | gso::ECN);
        let udp = VirtioNetHdr { gso_type: gso::UDP_L4, ..TSO };
        assert_eq!(udp.translated(gso::TCPV6, 20).gso_type, gso::UDP_L4);
        assert_eq!(VirtioNetHdr::PLAIN.translated(gso::TCPV6, 20), VirtioNetHdr::PLAIN);
    }

    #[test]
    fn does_not_fit_what_cannot_be_cut() {
        assert!(!VirtioNetHdr { gso_size: 0, ..TSO }.fits(9000), "segments of no bytes");
        assert!(!VirtioNetHdr { flags: 0, ..TSO }.fits(9000), "no partial checksum");
        assert!(!VirtioNetHdr { gso_type: gso::UDP, ..TSO }.fits(9000), "UFO");
        assert!(!VirtioNetHdr { gso_type: 0x21, ..TSO }.fits(9000), "a tunnel");
        assert!(!VirtioNetHdr { csum_start: u16::MAX, csum_offset: u16::MAX, ..TSO }.fits(9000));
    }
}
