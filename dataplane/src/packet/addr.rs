//! Addresses of both families in one shape.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An IPv4 or IPv6 address in sixteen bytes; IPv4 as an IPv4-mapped address (RFC 4291 s. 2.5.5.2).
///
/// The bytes of the wire, read as two words: to take one from a packet, to put one there, to compare
/// and to hash cost two loads, and no byte is swapped.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Addr {
    first: u64,
    last: u64,
}

/// The last word of IPv4 addresses, but for the address.
const V4_MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
/// Where the address stands in it.
const V4_PLACE: u32 = if cfg!(target_endian = "little") { 32 } else { 0 };
const MAPPED: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

impl Addr {
    /// The unspecified address of IPv6 (RFC 4291 s. 2.5.2).
    pub const UNSPECIFIED: Self = Self { first: 0, last: 0 };

    /// From an IPv4 address.
    #[must_use]
    pub const fn v4(address: Ipv4Addr) -> Self {
        Self::from_v4(address.octets())
    }

    /// From an IPv4 address as it stands in a packet.
    #[must_use]
    #[inline]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        Self { first: 0, last: V4_MAPPED | (u32::from_ne_bytes(octets) as u64) << V4_PLACE }
    }

    /// The last four bytes: an IPv4 address as it stands in a packet, if this is one.
    #[must_use]
    #[inline]
    pub const fn low(self) -> [u8; 4] {
        ((self.last >> V4_PLACE) as u32).to_ne_bytes()
    }

    /// The IPv4 address, if it is one.
    #[must_use]
    pub const fn to_v4(self) -> Option<Ipv4Addr> {
        let [a, b, c, d] = self.low();
        if self.is_v4() { Some(Ipv4Addr::new(a, b, c, d)) } else { None }
    }

    /// Whether this is an IPv4 address.
    #[must_use]
    #[inline]
    pub const fn is_v4(self) -> bool {
        self.first == 0 && self.last & MAPPED == V4_MAPPED
    }

    /// The sixteen bytes, as they stand in an IPv6 header.
    #[must_use]
    #[inline]
    pub const fn octets(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.first.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.last.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// Whether packets to it are for many (RFC 5771, RFC 4291 s. 2.7), or for all (RFC 919).
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        match self.to_v4() {
            Some(v4) => v4.is_multicast() || v4.is_broadcast(),
            None => self.octets()[0] == 0xff,
        }
    }

    /// The two words, in whatever order this machine reads them.
    #[must_use]
    #[inline]
    pub(super) const fn words(self) -> [u64; 2] {
        [self.first, self.last]
    }

    const fn number(self) -> u128 {
        u128::from_be_bytes(self.octets())
    }
}

/// By number.
impl Ord for Addr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for Addr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(address)
    }
}

/// From an IPv6 address as it stands in a packet.
impl From<[u8; 16]> for Addr {
    #[inline]
    fn from(octets: [u8; 16]) -> Self {
        zerocopy::transmute!(octets)
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(address: Ipv6Addr) -> Self {
        address.octets().into()
    }
}

impl From<IpAddr> for Addr {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

/// The address, if it is none of IPv4, which is given back.
impl TryFrom<Addr> for Ipv6Addr {
    type Error = Ipv4Addr;

    fn try_from(addr: Addr) -> Result<Self, Ipv4Addr> {
        addr.to_v4().map_or_else(|| Ok(addr.octets().into()), Err)
    }
}

impl From<Addr> for IpAddr {
    fn from(addr: Addr) -> Self {
        match addr.to_v4() {
            Some(v4) => Self::V4(v4),
            None => Self::V6(addr.octets().into()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_families() {
        for text in ["10.0.1.10", "255.255.255.255", "0.0.0.0", "2001:db8::1", "::1"] {
            let address: IpAddr = text.parse().unwrap();
            let addr = Addr::from(address);
            assert_eq!(IpAddr::from(addr), address);
            assert_eq!(addr.is_v4(), address.is_ipv4());
            assert_eq!(addr.to_string(), text);
        }
    }

    #[test]
    fn is_ordered_by_number() {
        let addr = |text: &str| Addr::from(text.parse::<IpAddr>().unwrap());
        assert!(addr("9.255.255.255") < addr("10.0.0.0"));
        assert!(addr("2001:db8::ff") < addr("2001:db8::1:0"));
    }
}
