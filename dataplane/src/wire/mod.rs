//! Headers as views: one file a protocol, cited by RFC and section.
//!
//! Each header is a `#[repr(C)]` structure of byte-order-aware fields that is laid over bytes in
//! place. A view exists only over enough bytes, so no accessor can panic; what the fields *say*
//! (lengths, offsets) is checked by whoever believes them.

#![warn(clippy::indexing_slicing)]

/// Makes a structure a view over bytes, and checks its length.
macro_rules! view {
    ($header:ident, $length:expr) => {
        const _: () = assert!(size_of::<$header>() == $length);

        impl $header {
            /// The header at the start of `bytes`, where there are enough of them.
            #[must_use]
            pub fn of(bytes: &[u8]) -> Option<&Self> {
                Self::ref_from_prefix(bytes).ok().map(|(header, _)| header)
            }

            /// The same, to be changed in place.
            #[must_use]
            pub fn of_mut(bytes: &mut [u8]) -> Option<&mut Self> {
                Self::mut_from_prefix(bytes).ok().map(|(header, _)| header)
            }
        }
    };
}

pub mod checksum;
pub mod icmpv4;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod tcp;
pub mod udp;
pub mod virtio;

/// Protocol numbers of the IP headers (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// RFC 9293.
    pub const TCP: u8 = 6;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// RFC 4443.
    pub const ICMPV6: u8 = 58;
}
