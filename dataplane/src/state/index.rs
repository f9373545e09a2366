//! From the hash of a key to the flows that may bear it.
//!
//! Open addressing over buckets of one cache line: eight tags, eight references. A tag is the high
//! half of the hash and also says which bucket is home, so the table doubles without looking at a
//! flow: bucket *i* splits into 2*i* and 2*i* + 1. An entry stands in the first bucket from its
//! home on that had room; a look-up ends at a bucket that is not full. Removal moves displaced
//! entries back, so there are no tombstones.

use crate::state::{FlowRef, prefetch};

const WAYS: usize = 8;

/// Tags and references, apart so that eight tags are compared at once. A tag of zero is an empty
/// place: the tag of an entry is odd.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u32; WAYS],
    flows: [u32; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// References to flows by the hash of their keys.
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Vec<Bucket>,
    bits: u32,
    len: usize,
}

impl Index {
    /// An empty index.
    pub(crate) fn new() -> Self {
        let bits = 5;
        Self { buckets: vec![Bucket::default(); 1 << bits], bits, len: 0 }
    }

    /// Entries in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Brings the home of `hash` into cache.
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.home(tag(hash))) {
            prefetch::read(bucket);
        }
    }

    /// The first flow under `hash` that `bears` the key.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: u64,
        mut bears: impl FnMut(FlowRef) -> bool,
    ) -> Option<FlowRef> {
        let tag = tag(hash);
        let mut at = self.home(tag);
        loop {
            let bucket = self.buckets.get(at)?;
            let mut matches = bucket.matches(tag);
            while matches != 0 {
                let way = matches.trailing_zeros() as usize;
                let flow = FlowRef::from_bits(*bucket.flows.get(way)?);
                if bears(flow) {
                    return Some(flow);
                }
                matches &= matches - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.next(at);
        }
    }

    /// Adds an entry. The same flow may stand under several hashes, and several under one.
    pub(crate) fn insert(&mut self, hash: u64, flow: FlowRef) {
        // At most half full: look-ups then seldom leave the home bucket.
        if (self.len + 1) * 2 > self.buckets.len() * WAYS {
            self.double();
        }
        self.place(tag(hash), flow.to_bits());
        self.len += 1;
    }

    /// Removes the entry of `flow` under `hash`; `false` if there is none.
    pub(crate) fn remove(&mut self, hash: u64, flow: FlowRef) -> bool {
        let tag = tag(hash);
        let mut at = self.home(tag);
        loop {
            let bucket = &mut self.buckets[at];
            let was_full = bucket.is_full();
            if let Some(way) = bucket.way_of(tag, flow.to_bits()) {
                bucket.tags[way] = 0;
                self.len -= 1;
                if was_full {
                    self.refill(at);
                }
                return true;
            }
            if !was_full {
                return false;
            }
            at = self.next(at);
        }
    }

    /// Bucket `hole` was full and lost an entry: entries behind it that would rather stand there, or
    /// that a look-up would no longer reach, move up.
    fn refill(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at = self.next(at);
            let was_full = self.buckets[at].is_full();
            let moved = (0..WAYS).find(|&way| {
                let bucket = &self.buckets[at];
                bucket.tags[way] != 0 && self.is_between(self.home(bucket.tags[way]), hole, at)
            });
            if let Some(way) = moved {
                let (tag, flow) = (self.buckets[at].tags[way], self.buckets[at].flows[way]);
                self.buckets[at].tags[way] = 0;
                self.buckets[hole].put(tag, flow);
                if !was_full {
                    return;
                }
                hole = at;
            } else if !was_full {
                return;
            }
        }
    }

    /// Whether `home` lies at `hole` or before it on the way to `at`: whether an entry at `at` may
    /// move to `hole`.
    fn is_between(&self, home: usize, hole: usize, at: usize) -> bool {
        let mask = self.buckets.len() - 1;
        at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask
    }

    fn double(&mut self) {
        let old = std::mem::take(&mut self.buckets);
        self.bits += 1;
        self.buckets = vec![Bucket::default(); 1 << self.bits];
        for bucket in old {
            for (tag, flow) in bucket.tags.into_iter().zip(bucket.flows) {
                if tag != 0 {
                    self.place(tag, flow);
                }
            }
        }
    }

    fn place(&mut self, tag: u32, flow: u32) {
        let mut at = self.home(tag);
        while !self.buckets[at].put(tag, flow) {
            at = self.next(at);
        }
    }

    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) << self.bits) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }
}

impl Bucket {
    /// A bit for each place that bears `tag`.
    #[inline]
    fn matches(&self, tag: u32) -> u32 {
        let mut matches = 0;
        for (way, &other) in self.tags.iter().enumerate() {
            matches |= u32::from(other == tag) << way;
        }
        matches
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.tags.iter().all(|&tag| tag != 0)
    }

    fn way_of(&self, tag: u32, flow: u32) -> Option<usize> {
        (0..WAYS).find(|&way| self.flows[way] == flow && self.tags[way] == tag)
    }

    fn put(&mut self, tag: u32, flow: u32) -> bool {
        let Some(way) = self.tags.iter().position(|&tag| tag == 0) else { return false };
        self.tags[way] = tag;
        self.flows[way] = flow;
        true
    }
}

/// The high half of a hash, its lowest bit set: that bit says nothing about the home in any table
/// that memory can hold.
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Against a set of pairs, with hashes chosen so that buckets overflow and wrap.
        #[test]
        fn agrees_with_a_set(steps in prop::collection::vec((any::<bool>(), 0_u64..40, 0_u32..60), 1..600)) {
            let mut index = Index::new();
            let mut model = HashSet::new();
            for (insert, home, flow) in steps {
                // Forty homes, most of them in the last two buckets of the table.
                let hash = (0xffff_fff0_u64.wrapping_add(home << 26) & 0xffff_ffff) << 32;
                let flow = FlowRef::from_bits(flow + 1);
                if insert {
                    if model.insert((hash, flow)) {
                        index.insert(hash, flow);
                    }
                } else {
                    prop_assert_eq!(index.remove(hash, flow), model.remove(&(hash, flow)));
                }
                prop_assert_eq!(index.len(), model.len());
                for &(hash, flow) in &model {
                    prop_assert_eq!(index.find(hash, |found| found == flow), Some(flow));
                }
            }
        }
    }

    #[test]
    fn grows_to_many_and_shrinks_to_none() {
        let mut index = Index::new();
        let seed = foldhash::fast::FixedState::with_seed(7);
        let hash = |n: u32| std::hash::BuildHasher::hash_one(&seed, n);
        for n in 1..100_000 {
            index.insert(hash(n), FlowRef::from_bits(n));
        }
        for n in 1..100_000 {
            assert!(index.find(hash(n), |flow| flow.to_bits() == n).is_some());
        }
        for n in 1..100_000 {
            assert!(index.remove(hash(n), FlowRef::from_bits(n)));
        }
        assert_eq!(index.len(), 0);
        assert!(index.buckets.iter().all(|bucket| bucket.tags == [0; WAYS]));
    }
}
