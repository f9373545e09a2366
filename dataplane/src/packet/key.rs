//! What tells one conversation from another.

use std::fmt;
use std::hash::{self, BuildHasher, Hasher};

use foldhash::fast::FixedState;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::packet::{Addr, LinkId};

/// Source and destination port, as they stand in a packet: one word that is compared, reversed and
/// written as a whole.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct PortPair(u32);

impl PortPair {
    /// Neither.
    pub const NONE: Self = Self(0);

    /// These two.
    #[must_use]
    pub const fn new(src: u16, dst: u16) -> Self {
        let ([a, b], [c, d]) = (src.to_be_bytes(), dst.to_be_bytes());
        Self::from_bytes([a, b, c, d])
    }

    /// As they stand in a packet.
    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(bytes))
    }

    /// As they stand in a packet.
    #[must_use]
    #[inline]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }

    /// Source port.
    #[must_use]
    pub const fn src(self) -> u16 {
        let [a, b, ..] = self.to_bytes();
        u16::from_be_bytes([a, b])
    }

    /// Destination port.
    #[must_use]
    pub const fn dst(self) -> u16 {
        let [.., a, b] = self.to_bytes();
        u16::from_be_bytes([a, b])
    }

    /// Each in the place of the other.
    #[must_use]
    #[inline]
    pub const fn reversed(self) -> Self {
        Self(self.0.rotate_left(16))
    }
}

/// Source and destination of IPv4, as they stand in a packet: one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromZeros)]
#[repr(transparent)]
pub(crate) struct Pair(u64);

impl Pair {
    /// As they stand in a packet.
    #[inline(always)]
    pub(crate) const fn new([a, b, c, d]: [u8; 4], [e, f, g, h]: [u8; 4]) -> Self {
        Self(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Source and destination.
    #[inline(always)]
    pub(crate) const fn octets(self) -> [[u8; 4]; 2] {
        let [a, b, c, d, e, f, g, h] = self.0.to_ne_bytes();
        [[a, b, c, d], [e, f, g, h]]
    }

    /// Each in the place of the other.
    pub(crate) const fn reversed(self) -> Self {
        Self(self.0.rotate_left(32))
    }

    /// Source and destination.
    pub(crate) fn addresses(self) -> [Addr; 2] {
        self.octets().map(Addr::from_v4)
    }
}

/// All of a [`Key`] but its addresses, as it lies in memory: one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct Tail(u64);

impl Tail {
    /// Of packets of IPv6, or of IPv4.
    #[inline(always)]
    pub(crate) const fn new(ports: PortPair, link: LinkId, protocol: u8, is_v6: bool) -> Self {
        let special = if is_v6 { SIX } else { 0 };
        // In the order of the lowest byte first, so that nothing has to be taken apart.
        let rest = link.0.to_le() as u32 | (protocol as u32) << 16 | (special as u32) << 24;
        let word = u32::from_le_bytes(ports.to_bytes()) as u64 | (rest as u64) << 32;
        Self(word.to_le())
    }

    /// Whether the addresses are of IPv6.
    #[inline(always)]
    pub(crate) const fn is_v6(self) -> bool {
        let [.., special] = self.0.to_ne_bytes();
        special & SIX != 0
    }

    /// Source and destination port.
    pub(crate) const fn ports(self) -> PortPair {
        let [a, b, c, d, ..] = self.0.to_ne_bytes();
        PortPair::from_bytes([a, b, c, d])
    }

    /// IP protocol number.
    pub(crate) const fn protocol(self) -> u8 {
        let [.., protocol, _] = self.0.to_ne_bytes();
        protocol
    }

    /// The key of these addresses.
    pub(crate) const fn behind(self, src: Addr, dst: Addr) -> Key {
        let [.., e, f, protocol, special] = self.0.to_ne_bytes();
        let link = LinkId(u16::from_ne_bytes([e, f]));
        Key { src, dst, ports: self.ports(), link, protocol, special }
    }

    /// The hash of the key of these addresses; see [`Key::hash`].
    #[inline(always)]
    pub(crate) fn hash_v4(self, pair: Pair, seed: &FixedState) -> u64 {
        let mut hasher = seed.build_hasher();
        hasher.write_u64(pair.0);
        hasher.write_u64(self.0);
        hasher.finish()
    }

    /// The same of IPv6.
    #[inline(always)]
    pub(crate) fn hash_v6(self, ends: [Addr; 2], seed: &FixedState) -> u64 {
        let mut hasher = seed.build_hasher();
        for word in ends.map(Addr::words).as_flattened() {
            hasher.write_u64(*word);
        }
        hasher.write_u64(self.0);
        hasher.finish()
    }
}

/// The packets of one direction of one conversation: where they come in, and their 5-tuple.
///
/// The link stands in the key, so addresses may repeat between VPCs, and a packet that borrows
/// another interface's address never finds that interface's flow.
///
/// Ports by protocol: TCP and UDP their own; an ICMP query its identifier as source port, and as
/// destination port zero if it is an echo, else its type; the answer to it the other way round;
/// anything else zero.
#[derive(Clone, Copy, Default, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Key {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source and destination port.
    pub ports: PortPair,
    /// The link that the packets come in by.
    pub link: LinkId,
    /// IP protocol number.
    pub protocol: u8,
    /// Bits: [`SIX`], and those of keys that no whole packet bears; see [`Key::parked`] and
    /// [`Key::datagram`].
    special: u8,
}

const _: () = assert!(size_of::<Key>() == 40);

const PARKED: u8 = 1;
const DATAGRAM: u8 = 2;
/// Its addresses are of IPv6.
const SIX: u8 = 4;

impl Key {
    /// A key of these parts.
    #[must_use]
    pub const fn new(
        link: LinkId,
        protocol: u8,
        (src, src_port): (Addr, u16),
        (dst, dst_port): (Addr, u16),
    ) -> Self {
        Self::with_ports(link, protocol, (src, dst), PortPair::new(src_port, dst_port))
    }

    /// The same, with both ports at once.
    #[must_use]
    #[inline]
    pub const fn with_ports(
        link: LinkId,
        protocol: u8,
        (src, dst): (Addr, Addr),
        ports: PortPair,
    ) -> Self {
        let ([a, b], [c, d]) = (src.words(), dst.words());
        let Tail(tail) = Tail::new(ports, link, protocol, !src.is_v4());
        // By whole words, as it is read: words that are written piece by piece cannot be read before all of that has
        // left the processor.
        zerocopy::transmute!([a, b, c, d, tail])
    }

    /// Source port.
    #[must_use]
    pub const fn src_port(&self) -> u16 {
        self.ports.src()
    }

    /// Destination port.
    #[must_use]
    pub const fn dst_port(&self) -> u16 {
        self.ports.dst()
    }

    /// The same 5-tuple seen from the other end, coming in by `link`.
    #[must_use]
    pub const fn reversed(&self, link: LinkId) -> Self {
        let &Self { src, dst, link: _, protocol, special, .. } = self;
        Self { src: dst, dst: src, ports: self.ports.reversed(), link, protocol, special }
    }

    /// The reply key of a flow that has lost its translation: unlike that of any packet, unique
    /// while `self` is.
    #[must_use]
    pub const fn parked(&self) -> Self {
        let reversed = self.reversed(self.link);
        Self { special: reversed.special | PARKED, ..reversed }
    }

    /// Whether this is the reply key of a flow that has lost its translation.
    #[must_use]
    pub const fn is_parked(&self) -> bool {
        self.special & PARKED != 0
    }

    /// What the fragments of one datagram have in common (RFC 791 s. 3.2, RFC 8200 s. 4.5), in the
    /// place of ports.
    #[must_use]
    pub const fn datagram(link: LinkId, protocol: u8, ends: (Addr, Addr), id: u32) -> Self {
        let ports = PortPair::from_bytes(id.to_be_bytes());
        let key = Self::with_ports(link, protocol, ends, ports);
        Self { special: key.special | DATAGRAM, ..key }
    }

    /// Whether its addresses are of IPv6.
    #[must_use]
    #[inline(always)]
    pub const fn is_v6(&self) -> bool {
        self.special & SIX != 0
    }

    /// A hash that differs from instance to instance.
    #[must_use]
    pub fn hash(&self, seed: &FixedState) -> u64 {
        match self.is_v6() {
            true => self.tail().hash_v6([self.src, self.dst], seed),
            false => self.tail().hash_v4(self.pair(), seed),
        }
    }

    /// Its addresses, where they are of IPv4.
    pub(crate) const fn pair(&self) -> Pair {
        Pair::new(self.src.low(), self.dst.low())
    }

    /// All but its addresses.
    #[inline(always)]
    pub(crate) fn tail(&self) -> Tail {
        let [.., tail]: [u64; 5] = zerocopy::transmute!(*self);
        Tail(tail)
    }

    /// Changes all but its addresses.
    #[inline(always)]
    pub(crate) fn set_tail(&mut self, tail: Tail) {
        let words: &mut [u64; 5] = zerocopy::transmute_mut!(self);
        words[4] = tail.0;
    }
}

/// All of it at once, rather than field by field.
impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let (own, others): ([u64; 5], [u64; 5]) =
            (zerocopy::transmute!(*self), zerocopy::transmute!(*other));
        own.iter().zip(&others).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

impl hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { src, dst, link, protocol, special, .. } = self;
        let (src_port, dst_port) = (self.src_port(), self.dst_port());
        write!(f, "{protocol} [{src}]:{src_port} > [{dst}]:{dst_port} by {}", link.0)?;
        if special == 0 { Ok(()) } else { write!(f, ", special {special}") }
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
    fn ports_are_read_as_they_were_given() {
        assert_eq!((key().src_port(), key().dst_port()), (40000, 80));
        let reversed = key().reversed(LinkId(9));
        assert_eq!((reversed.src_port(), reversed.dst_port()), (80, 40000));
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
            Key { ports: PortPair::new(1, 80), ..key() },
            Key { ports: PortPair::new(40000, 1), ..key() },
            Key { link: LinkId(1), ..key() },
            Key { protocol: 17, ..key() },
            Key { special: 1, ..key() },
        ] {
            assert_ne!(changed.hash(&seed), hash, "{changed:?}");
        }
        assert_ne!(key().hash(&FixedState::with_seed(2)), hash);
    }
}
