//! What is a translator between IPv6 and IPv4 as the RFCs have it, in the place of NAT gateways?
//!
//! RFC 6052 (prefixes), RFC 6146 (a pool and bindings), RFC 7757 (explicit address mappings), RFC 6791 (sources of
//! ICMP errors). Nothing of AWS's: it is for test vectors that others have written (`profile.nat64`).

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::packet::{Addr, NatGatewayId};
use crate::shared::PortRange;
use crate::tables::routes::ByPrefix;
use crate::wire::rfc6052::Prefix;

/// A translator in the place of every NAT gateway.
#[derive(Debug)]
pub struct Translator {
    /// Under which each IPv4 address has one of IPv6.
    pub prefix: Prefix,
    /// What IPv6 hosts without a mapping share outside; none if it keeps no state.
    pub pool: Option<Pool>,
    /// Bindings that are always there.
    pub bindings: StaticBindings,
    /// Addresses that are others outside, without state.
    pub mappings: Mappings,
    /// Where errors come from whose own source is nobody outside (RFC 6791).
    pub icmp_source: Option<Ipv4Addr>,
    /// Whether it goes by the RFCs where AWS does otherwise: fragments, protocols, filtering, and errors of its own.
    pub strict: bool,
    /// The gateway whose its ports count as.
    pub gateway: NatGatewayId,
}

/// Ports of an address that are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The address.
    pub address: Addr,
    /// Its ports.
    pub ports: PortRange,
}

impl Translator {
    /// The most bytes of the fragments that it makes: the "lowest-ipv6-mtu" of RFC 7915 s. 4.1, where nothing else
    /// is known.
    pub const LOWEST_MTU6: u16 = crate::wire::ipv6::MINIMUM_MTU;

    /// What `address` is outside, if it needs no state for that: by a mapping, or under the prefix (RFC 7757 s. 3.3.2).
    #[must_use]
    pub fn to_v4(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        self.mappings.to_v4(address).or_else(|| self.prefix.extract(address))
    }

    /// What `address` is inside: by a mapping, or under the prefix (RFC 7757 s. 3.3.1).
    #[must_use]
    pub fn to_v6(&self, address: Ipv4Addr) -> Ipv6Addr {
        self.mappings.to_v6(address).unwrap_or_else(|| self.prefix.embed(address))
    }

    /// Whether packets to `address` come to it from outside.
    #[must_use]
    pub fn answers_to(&self, address: Ipv4Addr) -> bool {
        let owns = |pool: Pool| pool.address == Addr::v4(address);
        self.pool.is_none_or(owns) || self.mappings.to_v6(address).is_some()
    }

    /// Whether some of what it translates needs no state.
    #[must_use]
    pub fn is_stateless(&self) -> bool {
        self.pool.is_none() || !self.mappings.is_empty()
    }

    /// Its own address among IPv4 hosts, if it has one.
    #[must_use]
    pub fn own(&self) -> Option<Addr> {
        let pool = self.pool.map(|pool| pool.address);
        self.icmp_source.map(Addr::v4).or(pool)
    }
}

/// An address, and a port or an identifier.
pub type End = (Addr, u16);

/// Bindings that are always there (RFC 6146 s. 3.1), by protocol number as IPv4 has it.
#[derive(Debug, Default)]
pub struct StaticBindings {
    outside: HashMap<(u8, End), u16, FixedState>,
    inside: HashMap<(u8, u16), End, FixedState>,
}

impl StaticBindings {
    /// Bindings of protocols, ends inside and ports of the pool.
    #[must_use]
    pub fn new(bindings: impl IntoIterator<Item = (u8, End, u16)> + Clone) -> Self {
        let outside = bindings.clone().into_iter().map(|(number, end, port)| ((number, end), port));
        let inside = bindings.into_iter().map(|(number, end, port)| ((number, port), end));
        Self { outside: outside.collect(), inside: inside.collect() }
    }

    /// The port of the pool that `end` has.
    #[must_use]
    pub fn outside(&self, protocol: u8, end: End) -> Option<u16> {
        self.outside.get(&(protocol, end)).copied()
    }

    /// Whose a port of the pool is.
    #[must_use]
    pub fn inside(&self, protocol: u8, port: u16) -> Option<End> {
        self.inside.get(&(protocol, port)).copied()
    }
}

/// Explicit address mappings (RFC 7757 s. 3.2): of several that cover an address the longest prefix holds.
#[derive(Debug)]
pub struct Mappings {
    by_v6: ByPrefix<(Ipv6Net, Ipv4Net)>,
    by_v4: ByPrefix<(Ipv6Net, Ipv4Net)>,
    is_empty: bool,
}

impl Mappings {
    /// Mappings of blocks, of which the first has at least as many addresses.
    #[must_use]
    pub fn new(mappings: &[(Ipv6Net, Ipv4Net)]) -> Self {
        let by_v6 = mappings.iter().map(|&it| (IpNet::V6(it.0), it));
        let by_v4 = mappings.iter().map(|&it| (IpNet::V4(it.1), it));
        Self {
            by_v6: ByPrefix::new(by_v6),
            by_v4: ByPrefix::new(by_v4),
            is_empty: mappings.is_empty(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// What `address` is outside (RFC 7757 s. 3.3.2): the suffix that the IPv4 block has room for goes along.
    #[must_use]
    pub fn to_v4(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let (_, (inside, outside)) = self.by_v6.longest(address.octets().into())?;
        let suffix = address.to_bits().checked_shl(inside.prefix_len().into()).unwrap_or(0);
        let suffix = u32::try_from(suffix >> 96).unwrap_or(0);
        let suffix = suffix.checked_shr(outside.prefix_len().into()).unwrap_or(0);
        Some(Ipv4Addr::from_bits(outside.network().to_bits() | suffix))
    }

    /// What `address` is inside (RFC 7757 s. 3.3.1): its suffix goes along, with zeros behind.
    #[must_use]
    pub fn to_v6(&self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        let (_, (inside, outside)) = self.by_v4.longest(Addr::v4(address))?;
        let suffix = address.to_bits().checked_shl(outside.prefix_len().into()).unwrap_or(0);
        let suffix = (u128::from(suffix) << 96).checked_shr(inside.prefix_len().into());
        Some(Ipv6Addr::from_bits(inside.network().to_bits() | suffix.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(list: &[(&str, &str)]) -> Mappings {
        let parsed = list.iter().map(|(v6, v4)| (v6.parse().unwrap(), v4.parse().unwrap()));
        Mappings::new(&parsed.collect::<Vec<_>>())
    }

    /// RFC 7757 s. 3.1, table 1, and what its s. 3.3 makes of it.
    #[test]
    fn rfc_7757_s_3_the_table_of_examples() {
        let table = mappings(&[
            ("2001:db8:aaaa::/128", "192.0.2.1/32"),
            ("2001:db8:bbbb::b/128", "192.0.2.2/32"),
            ("2001:db8:cccc::/124", "192.0.2.16/28"),
            ("2001:db8:dddd::/64", "192.0.2.128/26"),
            ("2001:db8:eeee:8::/62", "192.0.2.192/29"),
            ("64:ff9b::/96", "198.51.100.224/31"),
        ]);
        for (v4, v6) in [
            ("192.0.2.1", "2001:db8:aaaa::"),
            ("192.0.2.2", "2001:db8:bbbb::b"),
            ("192.0.2.16", "2001:db8:cccc::"),
            ("192.0.2.24", "2001:db8:cccc::8"),
            ("192.0.2.31", "2001:db8:cccc::f"),
            ("192.0.2.128", "2001:db8:dddd::"),
            ("192.0.2.152", "2001:db8:dddd:0:6000::"),
            ("192.0.2.183", "2001:db8:dddd:0:dc00::"),
            ("192.0.2.192", "2001:db8:eeee:8::"),
            ("192.0.2.195", "2001:db8:eeee:9:8000::"),
            ("192.0.2.199", "2001:db8:eeee:b:8000::"),
            ("198.51.100.224", "64:ff9b::"),
            ("198.51.100.225", "64:ff9b::8000:0"),
        ] {
            let (v4, v6) = (v4.parse().unwrap(), v6.parse().unwrap());
            assert_eq!(table.to_v6(v4), Some(v6), "{v4}");
            assert_eq!(table.to_v4(v6), Some(v4), "{v6}");
        }
        assert_eq!(table.to_v4("2001:db8:dddd::ffff".parse().unwrap()), "192.0.2.128".parse().ok());
        assert_eq!(table.to_v6("192.0.2.3".parse().unwrap()), None);
        assert_eq!(table.to_v4("2001:db8:ffff::".parse().unwrap()), None);
    }

    #[test]
    fn rfc_7757_s_3_2_the_longest_prefix_holds() {
        let table =
            mappings(&[("2001:db8::/64", "198.51.100.0/24"), ("2001:db8::7/128", "192.0.2.7/32")]);
        assert_eq!(table.to_v4("2001:db8::7".parse().unwrap()), "192.0.2.7".parse().ok());
        assert_eq!(table.to_v4("2001:db8::8".parse().unwrap()), "198.51.100.0".parse().ok());
    }

    #[test]
    fn all_of_either_family_is_a_block() {
        let table = mappings(&[("::/0", "0.0.0.0/0")]);
        assert_eq!(table.to_v6("192.0.2.7".parse().unwrap()), "c000:207::".parse().ok());
        assert_eq!(table.to_v4("c000:207::".parse().unwrap()), "192.0.2.7".parse().ok());
    }
}
