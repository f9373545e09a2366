//! What holds at a key: ranges of keys, looked up a byte of the key at a time.
//!
//! A step is one load, and there are no more of them than bytes that tell ranges apart: two for a
//! port, seldom more than three for an IPv4 address. How many ranges there are hardly shows. A
//! multibit trie with strides of eight (Srinivasan and Varghese, "Fast Address Lookups Using
//! Controlled Prefix Expansion", 1999).

use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::packet::Addr;

/// Values of ranges of keys of `N` bytes, most significant first.
#[derive(Clone, Debug)]
pub(crate) struct RangeMap<const N: usize> {
    root: Cell,
    nodes: Vec<[Cell; 256]>,
}

/// A value that holds for all keys below, or the number of the node that tells them apart by their
/// next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell(u32);

/// A range, and which one of all it is.
pub(crate) type Placed<K> = (usize, RangeInclusive<K>);

/// The key from which on a value holds.
type Start<const N: usize> = ([u8; N], u32);

impl<const N: usize> RangeMap<N> {
    /// Gives each key the `value`, below 2^31, of the set of `ranges` that contain it.
    pub(crate) fn build(
        ranges: impl IntoIterator<Item = Placed<[u8; N]>>,
        mut value: impl FnMut(&Places) -> u32,
    ) -> Self {
        let mut borders: Vec<([u8; N], usize)> = Vec::new();
        for (place, range) in ranges {
            let (first, last) = range.into_inner();
            borders.push((first, place));
            borders.extend(successor(last).map(|end| (end, place)));
        }
        borders.sort_unstable();
        let mut present = Places::default();
        let mut starts = vec![([0; N], value(&present))];
        for group in borders.chunk_by(|(a, _), (b, _)| a == b) {
            group.iter().for_each(|&(_, place)| present.toggle(place));
            let value = value(&present);
            match starts.last_mut() {
                Some(last) if last.0 == group[0].0 => last.1 = value,
                Some(last) if last.1 == value => {}
                _ => starts.push((group[0].0, value)),
            }
        }
        let mut map = Self { root: Cell::value(0), nodes: Vec::new() };
        map.root = map.grow(0, starts[0].1, &starts[1..]);
        map
    }

    /// The value that holds at `key`.
    #[inline]
    pub(crate) fn at(&self, key: [u8; N]) -> u32 {
        match self.root.node() {
            None => self.root.0 >> 1,
            Some(node) => self.descend(node, key),
        }
    }

    /// The same, from node to node.
    fn descend(&self, mut node: usize, key: [u8; N]) -> u32 {
        let mut cell = self.root;
        for byte in key {
            cell = self.nodes[node][usize::from(byte)];
            match cell.node() {
                Some(next) => node = next,
                None => break,
            }
        }
        cell.0 >> 1
    }

    /// Whether not all keys have one value.
    pub(crate) const fn is_divided(&self) -> bool {
        self.root.node().is_some()
    }

    /// The cell for keys that agree in their first `depth` bytes: `first` holds at the least of them,
    /// and what else begins among them is in `inner`.
    fn grow(&mut self, depth: usize, first: u32, inner: &[Start<N>]) -> Cell {
        match inner {
            [] => return Cell::value(first),
            &[(start, value)] if start[depth..].iter().all(|&byte| byte == 0) => {
                return Cell::value(value);
            }
            _ => {}
        }
        let mut cells = [Cell::value(first); 256];
        let (mut rest, mut value) = (inner, first);
        for (byte, cell) in (0..=u8::MAX).zip(&mut cells) {
            let (here, later) = rest.split_at(rest.partition_point(|(key, _)| key[depth] <= byte));
            *cell = self.grow(depth + 1, value, here);
            value = here.last().map_or(value, |&(_, last)| last);
            rest = later;
        }
        let node = u32::try_from(self.nodes.len()).expect("fewer nodes than memory has room for");
        self.nodes.push(cells);
        Cell::to(node)
    }
}

impl Cell {
    const fn value(value: u32) -> Self {
        Self(value << 1)
    }

    const fn to(node: u32) -> Self {
        Self(node << 1 | 1)
    }

    #[inline]
    const fn node(self) -> Option<usize> {
        if self.0 & 1 == 1 { Some((self.0 >> 1) as usize) } else { None }
    }
}

/// The same for addresses: a block of one family says nothing of the other.
#[derive(Clone, Debug)]
pub(crate) struct AddrRanges {
    v4: RangeMap<4>,
    v6: RangeMap<16>,
}

impl AddrRanges {
    /// Gives each address the `value`, below 2^31, of the set of `blocks` that contain it.
    pub(crate) fn build(
        blocks: impl IntoIterator<Item = (usize, IpNet)>,
        mut value: impl FnMut(&Places) -> u32,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (place, block) in blocks {
            match block {
                IpNet::V4(net) => {
                    v4.push((place, net.network().octets()..=net.broadcast().octets()));
                }
                IpNet::V6(net) => {
                    v6.push((place, net.network().octets()..=net.broadcast().octets()));
                }
            }
        }
        Self { v4: RangeMap::build(v4, &mut value), v6: RangeMap::build(v6, &mut value) }
    }

    /// The value that holds at `addr`.
    #[inline]
    pub(crate) fn at(&self, addr: Addr) -> u32 {
        match addr.to_v4() {
            Some(v4) => self.v4.at(v4.octets()),
            None => self.v6.at(addr.octets()),
        }
    }
}

/// A set of places in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Places(Vec<u64>);

impl Places {
    fn toggle(&mut self, place: usize) {
        let word = place / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] ^= 1 << (place % 64);
    }

    /// The first place in it.
    pub(crate) fn first(&self) -> Option<usize> {
        let (at, word) = self.0.iter().enumerate().find(|&(_, &word)| word != 0)?;
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    /// A bit for each place, the first one lowest; what is behind is not in it.
    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }
}

impl FromIterator<usize> for Places {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        let mut set = Self::default();
        places.into_iter().for_each(|place| set.toggle(place));
        set
    }
}

/// The next key; `None` after the last.
fn successor<const N: usize>(mut key: [u8; N]) -> Option<[u8; N]> {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Near all borders of bytes.
    fn key() -> impl Strategy<Value = u32> {
        let byte = prop_oneof![Just(0_u8), Just(1), Just(254), Just(255)];
        prop::array::uniform4(byte).prop_map(u32::from_be_bytes)
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan_of_the_ranges(
            ends in prop::collection::vec((key(), key()), 0..80),
            keys in prop::collection::vec(key(), 1..40),
        ) {
            let ranges: Vec<_> = ends.iter().map(|&(a, b)| a.min(b)..=a.max(b)).collect();
            let mut sets = Vec::new();
            let placed = ranges.iter().map(|it| it.start().to_be_bytes()..=it.end().to_be_bytes());
            let map = RangeMap::build(placed.enumerate(), |set| {
                sets.push(set.clone());
                u32::try_from(sets.len() - 1).unwrap()
            });
            for key in keys.into_iter().chain([0, u32::MAX]) {
                let expected: Vec<_> =
                    (0..ranges.len()).filter(|&place| ranges[place].contains(&key)).collect();
                let found = &sets[map.at(key.to_be_bytes()) as usize];
                let places = |set: &Places| -> Vec<_> {
                    let words = set.words();
                    (0..64 * words.len()).filter(|at| words[at / 64] >> (at % 64) & 1 == 1).collect()
                };
                prop_assert_eq!(found.first(), expected.first().copied());
                prop_assert_eq!(places(found), expected);
            }
        }
    }

    #[test]
    fn is_no_deeper_than_it_must_be() {
        let of = |ranges: &[RangeInclusive<u16>]| {
            let bytes = ranges.iter().map(|it| it.start().to_be_bytes()..=it.end().to_be_bytes());
            RangeMap::build(bytes.enumerate(), |set| u32::from(set.first().is_some())).nodes.len()
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[0..=u16::MAX]), 0);
        assert_eq!(of(&[0..=99, 100..=u16::MAX]), 0, "equal neighbours are one");
        assert_eq!(of(&[0x0400..=0x7fff]), 1);
        assert_eq!(of(&[443..=443]), 2);
    }
}
