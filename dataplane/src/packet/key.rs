//! What tells one conversation from another.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::packet::{Addr, LinkId};

/// The packets of one direction of one conversation: where they come in, and their 5-tuple.
///
/// The link stands in the key, so addresses may repeat between VPCs, and a packet that borrows
/// another interface's address never finds that interface's flow.
///
/// Ports by protocol: TCP and UDP their own; an ICMP echo request its identifier as source port and
/// zero as destination port, an echo reply the other way round; anything else zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Key {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// The link that the packets come in by.
    pub link: LinkId,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero, but for a key that no whole packet bears; see [`Key::parked`] and [`Key::datagram`].
    special: u8,
}

const _: () = assert!(size_of::<Key>() == 40);

const PARKED: u8 = 1;
const DATAGRAM: u8 = 2;

impl Key {
    /// A key of these parts.
    #[must_use]
    pub const fn new(
        link: LinkId,
        protocol: u8,
        (src, src_port): (Addr, u16),
        (dst, dst_port): (Addr, u16),
    ) -> Self {
        Self { src, dst, src_port, dst_port, link, protocol, special: 0 }
    }

    /// The same 5-tuple seen from the other end, coming in by `link`.
    #[must_use]
    pub const fn reversed(&self, link: LinkId) -> Self {
        let &Self { src, dst, src_port, dst_port, link: _, protocol, special } = self;
        Self { src: dst, dst: src, src_port: dst_port, dst_port: src_port, link, protocol, special }
    }

    /// The reply key of a flow that has lost its translation: unlike that of any packet, unique
    /// while `self` is.
    #[must_use]
    pub const fn parked(&self) -> Self {
        Self { special: PARKED, ..self.reversed(self.link) }
    }

    /// Whether this is the reply key of a flow that has lost its translation.
    #[must_use]
    pub const fn is_parked(&self) -> bool {
        self.special == PARKED
    }

    /// What the fragments of one datagram have in common (RFC 791 s. 3.2), in the place of ports.
    #[must_use]
    pub const fn datagram(link: LinkId, protocol: u8, src: Addr, dst: Addr, id: u16) -> Self {
        Self { special: DATAGRAM, ..Self::new(link, protocol, (src, id), (dst, 0)) }
    }

    /// A hash that differs from instance to instance.
    #[must_use]
    pub fn hash(&self, seed: &FixedState) -> u64 {
        let [a, b] = self.src.words();
        let [c, d] = self.dst.words();
        let mut hasher = seed.build_hasher();
        if a | c != 0 {
            hasher.write_u64(a);
            hasher.write_u64(c);
        }
        hasher.write_u64(b);
        hasher.write_u64(d);
        hasher.write_u64(
            u64::from(self.src_port) << 48
                | u64::from(self.dst_port) << 32
                | u64::from(self.link.0) << 16
                | u64::from(self.protocol) << 8
                | u64::from(self.special),
        );
        hasher.finish()
    }
}

/// Which way a packet of a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// As the first packet.
    Original,
    /// As the first answer.
    Reply,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn key() -> Key {
        let a = Addr::v4(Ipv4Addr::new(10, 0, 1, 10));
        let b = Addr::v4(Ipv4Addr::new(203, 0, 113, 80));
        Key::new(LinkId(3), 6, (a, 40000), (b, 80))
    }

    #[test]
    fn reversing_twice_is_the_identity() {
        assert_eq!(key().reversed(LinkId(9)).reversed(LinkId(3)), key());
        assert_ne!(key().reversed(LinkId(3)), key());
    }

    #[test]
    fn a_parked_key_is_no_packets_key() {
        assert!(key().parked().is_parked());
        assert_ne!(key().parked(), key().reversed(LinkId(3)));
    }

    #[test]
    fn hashes_depend_on_every_field_and_on_the_seed() {
        let seed = FixedState::with_seed(1);
        let hash = key().hash(&seed);
        let other = Addr::v4(Ipv4Addr::new(10, 0, 1, 11));
        for changed in [
            Key { src: other, ..key() },
            Key { dst: other, ..key() },
            Key { src_port: 1, ..key() },
            Key { dst_port: 1, ..key() },
            Key { link: LinkId(1), ..key() },
            Key { protocol: 17, ..key() },
            Key { special: 1, ..key() },
        ] {
            assert_ne!(changed.hash(&seed), hash, "{changed:?}");
        }
        assert_ne!(key().hash(&FixedState::with_seed(2)), hash);
    }
}
