//! Addresses of both families in one shape.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 or IPv6 address in sixteen bytes; IPv4 as an IPv4-mapped address (RFC 4291 s. 2.5.5.2).
///
/// Two words in host order, so that comparing and hashing cost two loads.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    high: u64,
    low: u64,
}

const V4_MAPPED: u64 = 0xffff_0000_0000;

impl Addr {
    /// From an IPv4 address.
    #[must_use]
    pub const fn v4(address: Ipv4Addr) -> Self {
        Self { high: 0, low: V4_MAPPED | address.to_bits() as u64 }
    }

    /// The IPv4 address, if it is one.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low word's low half is the address")]
    pub const fn to_v4(self) -> Option<Ipv4Addr> {
        if self.is_v4() { Some(Ipv4Addr::from_bits(self.low as u32)) } else { None }
    }

    /// Whether this is an IPv4 address.
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == V4_MAPPED >> 32
    }

    /// The next address; `None` after the last of all.
    #[must_use]
    pub fn successor(self) -> Option<Self> {
        let (low, carry) = self.low.overflowing_add(1);
        Some(Self { high: self.high.checked_add(u64::from(carry))?, low })
    }

    /// Whether packets to it are for many (RFC 5771, RFC 4291 s. 2.7), or for all (RFC 919).
    #[must_use]
    pub fn is_multicast(self) -> bool {
        match IpAddr::from(self) {
            IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_multicast(),
        }
    }

    /// The two words, high first.
    #[must_use]
    pub const fn words(self) -> [u64; 2] {
        [self.high, self.low]
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(address)
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(address: Ipv6Addr) -> Self {
        let bits = address.to_bits();
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
        Self { high: (bits >> 64) as u64, low: bits as u64 }
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

impl From<Addr> for IpAddr {
    fn from(addr: Addr) -> Self {
        match addr.to_v4() {
            Some(v4) => Self::V4(v4),
            None => {
                Self::V6(Ipv6Addr::from_bits(u128::from(addr.high) << 64 | u128::from(addr.low)))
            }
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
}
