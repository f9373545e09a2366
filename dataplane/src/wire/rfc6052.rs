//! IPv4 addresses inside IPv6 addresses (RFC 6052 s. 2).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A prefix under which each IPv4 address has an IPv6 address (RFC 6052 s. 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// With zeros behind the prefix.
    bits: u128,
    /// One of [`Prefix::LENGTHS`].
    length: u8,
}

/// Why a prefix can hold no IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// RFC 6052 s. 2.2.
    #[error("its length is none of 32, 40, 48, 56, 64 and 96")]
    Length,
    /// The address has bits behind the prefix.
    #[error("there are bits behind its length")]
    Host,
    /// Bits 64 to 71 of a prefix of 96 bits are not zero (RFC 6052 s. 2.2).
    #[error("bits 64 to 71 are not zero")]
    Reserved,
}

/// Bits 64 to 71, which no IPv4 address goes through (RFC 6052 s. 2.2, the "u" octet).
const RESERVED: u128 = 0xff << 56;

/// The lower half of an address.
const LOW: u128 = u64::MAX as u128;

impl Prefix {
    /// The lengths that there are, in bits.
    pub const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

    /// `64:ff9b::/96` (RFC 6052 s. 2.1).
    pub const WELL_KNOWN: Self = Self { bits: 0x0064_ff9b << 96, length: 96 };

    /// The prefix of `length` bits at `address`.
    ///
    /// # Errors
    ///
    /// Where RFC 6052 s. 2.2 has no such prefix.
    pub const fn new(address: Ipv6Addr, length: u8) -> Result<Self, PrefixError> {
        let bits = address.to_bits();
        if !matches!(length, 32 | 40 | 48 | 56 | 64 | 96) {
            Err(PrefixError::Length)
        } else if bits & (u128::MAX >> length) != 0 {
            Err(PrefixError::Host)
        } else if bits & RESERVED != 0 {
            Err(PrefixError::Reserved)
        } else {
            Ok(Self { bits, length })
        }
    }

    /// The IPv6 address of `address`.
    #[must_use]
    pub const fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let embedded = (address.to_bits() as u128) << 96 >> self.length;
        let (high, low) = (embedded & !LOW, embedded & LOW);
        Ipv6Addr::from_bits(self.bits | high | if self.skips() { low >> 8 } else { low })
    }

    /// The IPv4 address of `address`; `None` where it is not under this prefix. What stands behind
    /// the IPv4 address, or in bits 64 to 71, is ignored (RFC 6052 s. 2.2).
    #[must_use]
    pub const fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let bits = address.to_bits();
        if (bits ^ self.bits) & !(u128::MAX >> self.length) != 0 {
            return None;
        }
        let (high, low) = (bits & !LOW, bits & LOW);
        let joined = high | if self.skips() { low << 8 & LOW } else { low };
        Some(Ipv4Addr::from_bits((joined << self.length >> 96) as u32))
    }

    /// The address without the IPv4 address in it.
    #[must_use]
    pub const fn address(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.bits)
    }

    /// In bits.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether the IPv4 address goes round bits 64 to 71, and not behind them.
    const fn skips(self) -> bool {
        self.length < 96
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    /// RFC 6052 s. 2.4, tables 1 and 2.
    #[test]
    fn s_2_4_text_representation() {
        for (under, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let (v4, v6) = (Ipv4Addr::new(192, 0, 2, 33), address.parse().unwrap());
            assert_eq!(prefix(under).embed(v4), v6, "{under}");
            assert_eq!(prefix(under).extract(v6), Some(v4), "{under}");
        }
        assert_eq!(prefix("64:ff9b::/96"), Prefix::WELL_KNOWN);
        assert_eq!(Prefix::WELL_KNOWN.to_string(), "64:ff9b::/96");
    }

    #[test]
    fn s_2_2_what_is_no_prefix() {
        let refused = |address: &str, length| Prefix::new(address.parse().unwrap(), length);
        assert_eq!(refused("2001:db8::", 33), Err(PrefixError::Length));
        assert_eq!(refused("2001:db8::", 128), Err(PrefixError::Length));
        assert_eq!(refused("2001:db8::1", 96), Err(PrefixError::Host));
        assert_eq!(refused("2001:db8:1::", 32), Err(PrefixError::Host));
        assert_eq!(refused("2001:db8:0:0:100::", 96), Err(PrefixError::Reserved));
    }

    #[test]
    fn s_2_2_suffix_and_reserved_octet_are_ignored() {
        let dirty = "2001:db8:122:3c0:ff00:221:ffff:ffff".parse().unwrap();
        let extracted = prefix("2001:db8:122:300::/56").extract(dirty);
        assert_eq!(extracted, Some(Ipv4Addr::new(192, 0, 2, 33)));
    }

    proptest! {
        #[test]
        fn there_and_back(bits in any::<u128>(), which in 0..6_usize, v4 in any::<u32>()) {
            let length = Prefix::LENGTHS[which];
            let address = Ipv6Addr::from_bits(bits & !(u128::MAX >> length) & !RESERVED);
            let prefix = Prefix::new(address, length).unwrap();
            let v4 = Ipv4Addr::from_bits(v4);
            let v6 = prefix.embed(v4);
            prop_assert_eq!(prefix.extract(v6), Some(v4));
            prop_assert_eq!(v6.octets()[8], 0);
            prop_assert_eq!(prefix.extract(Ipv6Addr::from_bits(v6.to_bits() ^ (1 << 127))), None);
        }
    }
}
