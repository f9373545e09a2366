//! TCP header (RFC 9293 s. 3.1).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::packet::PortPair;
use crate::wire::checksum::{Delta, Sum};

/// Length of a header without options, in bytes.
pub const HEADER: usize = 20;

/// The header without its options (RFC 9293 s. 3.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tcp {
    /// Source port.
    pub source_port: U16,
    /// Destination port.
    pub destination_port: U16,
    /// Sequence number.
    pub sequence: U32,
    /// Acknowledgment number, valid iff ACK is set.
    pub acknowledgment: U32,
    /// Header length in words of four bytes in the high nibble.
    pub data_offset: u8,
    /// Control bits.
    pub flags: u8,
    /// Receive window.
    pub window: U16,
    /// Checksum over pseudo-header, header and data.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

view!(Tcp, HEADER);

/// Where the checksum stands in the header, in bytes.
pub const CHECKSUM_OFFSET: u16 = 16;

/// Control bits (RFC 9293 s. 3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment field is significant.
    pub const ACK: u8 = 0x10;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

impl Tcp {
    /// Source and destination port.
    #[must_use]
    #[inline]
    pub fn ports(&self) -> PortPair {
        PortPair::from_bytes(zerocopy::transmute!([self.source_port, self.destination_port]))
    }

    /// Changes source and destination port.
    #[inline]
    pub fn set_ports(&mut self, ports: PortPair) {
        [self.source_port, self.destination_port] = zerocopy::transmute!(ports);
    }

    /// Header length with options, in bytes: 0 to 60, believed as it stands.
    #[must_use]
    #[inline]
    pub const fn header_length(&self) -> u8 {
        (self.data_offset >> 4) * 4
    }
}

/// Lowers the MSS that a SYN announces to `most`, with the checksum (RFC 9293 s. 3.7.1). A `partial`
/// checksum does not cover it.
pub fn clamp_mss(segment: &mut [u8], most: u16, partial: bool) {
    let Some(length) = Tcp::of(segment).map(Tcp::header_length) else { return };
    let Some(options) = segment.get_mut(HEADER..length.into()) else { return };
    if mss(options).is_none_or(|value| u16::from_be_bytes(*value) <= most) {
        return;
    }
    let before = Sum::of(options);
    let Some(value) = mss(options) else { return };
    *value = most.to_be_bytes();
    let change = Delta::between(before, Sum::of(options));
    if let Some(header) = Tcp::of_mut(segment)
        && !partial
    {
        header.checksum = change.apply(header.checksum);
    }
}

/// The value of the MSS option among a header's options (RFC 9293 s. 3.2).
fn mss(options: &mut [u8]) -> Option<&mut [u8; 2]> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const MSS: u8 = 2;
    let mut at = 0;
    loop {
        at += match *options.get(at)? {
            END => return None,
            NO_OPERATION => 1,
            kind => {
                let length = usize::from(*options.get(at + 1)?);
                if kind == MSS && length == 4 {
                    return options.get_mut(at + 2..)?.first_chunk_mut();
                }
                // A shorter one would not end.
                length.max(2)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN whose options are `options`, with a right checksum over no pseudo-header.
    fn syn(options: &[u8]) -> Vec<u8> {
        let mut segment = vec![0; HEADER];
        segment[12] = u8::try_from(((HEADER + options.len()) / 4) << 4).unwrap();
        segment[13] = flags::SYN;
        segment.extend_from_slice(options);
        let checksum = Sum::of(&segment).checksum();
        Tcp::of_mut(&mut segment).unwrap().checksum.set(checksum);
        segment
    }

    #[test]
    fn a_large_mss_is_lowered_wherever_it_stands_and_the_checksum_stays_right() {
        for options in [
            &[2, 4, 0x22, 0xff][..],
            &[1, 2, 4, 0x22, 0xff, 1, 1, 0],
            &[3, 3, 7, 2, 4, 0x22, 0xff, 0],
        ] {
            let mut segment = syn(options);
            clamp_mss(&mut segment, 8460, false);
            assert_ne!(segment, syn(options));
            assert_eq!(Sum::of(&segment).fold(), 0xffff, "{options:?}");
            assert!(segment.windows(4).any(|it| it == [2, 4, 0x21, 0x0c]), "{segment:?}");
        }
    }

    #[test]
    fn what_is_small_absent_or_malformed_stays() {
        for options in [
            &[2, 4, 5, 0xb4][..],
            &[1, 1, 1, 1],
            &[8, 0, 0, 0],
            &[1, 1, 2, 4],
            &[0, 2, 4, 0xff],
            &[],
        ] {
            let mut padded = options.to_vec();
            padded.resize(options.len().next_multiple_of(4), 0);
            let before = syn(&padded);
            let mut segment = before.clone();
            clamp_mss(&mut segment, 1460, false);
            assert_eq!(segment, before, "{options:?}");
        }
    }
}
