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

pub mod chain;
pub mod checksum;
pub mod icmpv4;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod rfc6052;
pub mod rfc7915;
pub mod tcp;
pub mod udp;
pub mod virtio;

/// Protocol numbers of IPv4 and IPv6 headers (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    /// Hop-by-hop options (RFC 8200 s. 4.3); IPv6 only.
    pub const HOP_BY_HOP: u8 = 0;
    /// RFC 792; IPv4 only.
    pub const ICMP: u8 = 1;
    /// RFC 9776; IPv4 only.
    pub const IGMP: u8 = 2;
    /// RFC 9293.
    pub const TCP: u8 = 6;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// Routing header (RFC 8200 s. 4.4); IPv6 only.
    pub const ROUTING: u8 = 43;
    /// Fragment header (RFC 8200 s. 4.5); IPv6 only.
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating security payload (RFC 4303).
    pub const ESP: u8 = 50;
    /// Authentication header (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// RFC 4443; IPv6 only.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows (RFC 8200 s. 4.7).
    pub const NO_NEXT: u8 = 59;
    /// Destination options (RFC 8200 s. 4.6); IPv6 only.
    pub const DESTINATION_OPTIONS: u8 = 60;

    /// Whether IPv6 has an extension header of this number (IANA "IPv6 Extension Header Types"). Not
    /// counted is ESP, behind which nothing can be read.
    #[must_use]
    pub const fn is_extension(number: u8) -> bool {
        matches!(
            number,
            HOP_BY_HOP
                | ROUTING
                | FRAGMENT
                | AUTHENTICATION
                | DESTINATION_OPTIONS
                // Mobility (RFC 6275), host identity (RFC 7401), Shim6 (RFC 5533).
                | 135
                | 139
                | 140
        )
    }
}
