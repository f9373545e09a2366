//! From the hash of a key to the flows that may bear it.
//!
//! Linear hashing (Litwin 1980) over buckets of one cache line: seven tags, references, and halves of
//! hashes. The half says which bucket is home, so the table grows and shrinks without looking at a
//! flow, one home at a time: no turn waits for a table that is made anew. An entry stands in the first
//! bucket from its home on that had room; a look-up ends at a bucket that is not full. Removal moves
//! displaced entries back, so there are no tombstones.

use zerocopy::FromZeros;

use crate::io::pages::{HUGE, Pages};
use crate::state::homes::{Homes, Last};
use crate::state::tags::{Tag, Tags, WAYS, Ways};
use crate::state::{FlowRef, prefetch};

/// What stands behind a place that is not taken is nobody's.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
struct Bucket {
    tags: Tags,
    flows: [u32; WAYS],
    halves: [u32; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// What is kept of a hash: a tag, and its high half.
#[derive(Clone, Copy, Debug)]
struct Mark {
    tag: Tag,
    half: u32,
}

/// References to flows by the hash of their keys.
#[derive(Debug)]
pub(crate) struct Index {
    /// As many as there will ever be: a power of two, of which the first [`Homes::count`] are homes.
    buckets: Pages<Bucket>,
    homes: Homes,
    /// As few homes as it ever has.
    least: usize,
    len: usize,
    /// Entries on their way to another home.
    moving: Vec<(Mark, u32)>,
}

impl Index {
    /// Enough for the flows of most: look-ups leave their home most often where a few homes have been split and
    /// others not, and the memory is taken at once anyway.
    const LEAST_HOMES: usize = 2048;

    /// An empty index, with room for so many entries.
    pub(crate) fn new(entries: usize) -> Self {
        Self::with_homes(Self::LEAST_HOMES, entries)
    }

    /// One that never has fewer homes than `least`.
    fn with_homes(least: usize, entries: usize) -> Self {
        let homes = entries.div_ceil(Self::FULLEST).max(least);
        Self {
            buckets: Pages::zeroed(homes.next_power_of_two()).taken(HUGE / size_of::<Bucket>()),
            homes: Homes::new(least),
            least,
            len: 0,
            moving: Vec::new(),
        }
    }

    /// More entries a home than this, and there is a home more: look-ups then seldom leave their home,
    /// also where it is yet to be split.
    const FULLEST: usize = 2;

    /// Entries in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Brings the home of `hash` into cache.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.approach(hash);
    }

    /// The same, and says which bucket that is.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "by 32 bits there are no more than 2^32 homes"
    )]
    pub(crate) fn approach(&self, hash: u64) -> u32 {
        let home = self.home(Mark::of(hash).half);
        prefetch::line(self.buckets.as_ptr().wrapping_add(home).addr());
        home as u32
    }

    /// The first flow that may stand under `hash`, if it stands at its `home`.
    #[inline(always)]
    pub(crate) fn first(&self, home: u32, hash: u64) -> FlowRef {
        let Some(bucket) = self.buckets.get(home as usize) else { return FlowRef::NONE };
        let way = bucket.tags.first_bearing(Mark::of(hash).tag);
        bucket.flows.get(way).map_or(FlowRef::NONE, |&bits| FlowRef::from_bits(bits))
    }

    /// The first flow under `hash` that `bears` the key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, bears: impl FnMut(FlowRef) -> bool) -> Option<FlowRef> {
        let mark = Mark::of(hash);
        let home = self.home(mark.half);
        let bucket = self.buckets.get(home)?;
        // As it is with most that are not there.
        if bucket.tags.bearing(mark.tag).is_none() && !bucket.tags.is_full() {
            return None;
        }
        self.find_from(home, mark.tag, bears)
    }

    #[inline(never)]
    fn find_from(
        &self,
        mut at: usize,
        tag: Tag,
        mut bears: impl FnMut(FlowRef) -> bool,
    ) -> Option<FlowRef> {
        loop {
            let bucket = self.buckets.get(at)?;
            let mut flows = bucket.tags.bearing(tag).map(|way| bucket.flow(way));
            if let Some(flow) = flows.find(|&flow| bears(flow)) {
                return Some(flow);
            }
            if !bucket.tags.is_full() {
                return None;
            }
            at = self.next(at);
        }
    }

    /// Adds an entry, of no more than there is room for. The same flow may stand under several hashes, and several under one.
    pub(crate) fn insert(&mut self, hash: u64, flow: FlowRef) {
        if self.len >= self.homes.count() * Self::FULLEST && self.homes.count() < self.buckets.len()
        {
            self.grow();
        }
        self.place(Mark::of(hash), flow.to_bits());
        self.len += 1;
    }

    /// Removes the entry of `flow` under `hash`; `false` if there is none.
    pub(crate) fn remove(&mut self, hash: u64, flow: FlowRef) -> bool {
        let mark = Mark::of(hash);
        let mut at = self.home(mark.half);
        loop {
            let bucket = &self.buckets[at];
            if let Some(way) = bucket.way_of(mark, flow.to_bits()) {
                self.clear(at, way);
                self.len -= 1;
                // Far from where it grows, so that it does not do both in turn.
                if self.len < self.homes.count() && self.homes.count() > self.least {
                    self.shrink();
                }
                return true;
            }
            if !bucket.tags.is_full() {
                return false;
            }
            at = self.next(at);
        }
    }

    /// One home more: some of the entries of an older one get it.
    #[inline(never)]
    fn grow(&mut self) {
        let new = self.homes.count();
        let (old, more) = (self.homes.split(), self.homes.more());
        let (at, ways) = self.take(old, more);
        self.homes = more;
        for way in ways {
            let (mark, flow) = self.buckets[at].take(way);
            self.place_from(new, mark, flow);
        }
        self.put_back();
        // What is split next.
        for at in [old + 1, new + 1] {
            if let Some(bucket) = self.buckets.get(at) {
                prefetch::read(bucket);
            }
        }
    }

    /// One home less: its entries go back to where they came from.
    fn shrink(&mut self) {
        let fewer = self.homes.fewer();
        let (at, ways) = self.take(fewer.count(), self.homes);
        for way in ways {
            self.moving.push(self.buckets[at].take(way));
        }
        self.homes = fewer;
        self.put_back();
        const BLOCK: usize = HUGE / size_of::<Bucket>();
        let unused = fewer.count() + BLOCK;
        // Entries displaced from the last homes stand behind them, without a gap.
        if fewer.count().is_multiple_of(BLOCK)
            && unused < self.buckets.len()
            && self.buckets[unused - 1].tags.taken().is_none()
        {
            self.buckets.release(unused..(unused + BLOCK).min(self.buckets.len()));
        }
    }

    /// Takes out the entries that the last of `homes` is home to, and that stand at bucket `at` or have been
    /// displaced from there, but for those in a bucket that is not full: which one, and which of its places.
    fn take(&mut self, mut at: usize, homes: Homes) -> (usize, Ways) {
        loop {
            let bucket = &self.buckets[at];
            let ways = bucket.ways_of(homes.last());
            if !bucket.tags.is_full() {
                return (at, ways);
            }
            match ways.first() {
                way @ ..WAYS => {
                    self.moving.push(bucket.entry(way));
                    self.clear(at, way);
                }
                _ => at = self.next(at),
            }
        }
    }

    fn put_back(&mut self) {
        while let Some((mark, flow)) = self.moving.pop() {
            self.place(mark, flow);
        }
    }

    /// Empties a place. If its bucket was full, entries behind it that would rather stand there, or
    /// that a look-up would no longer reach, move up.
    fn clear(&mut self, at: usize, way: usize) {
        let was_full = self.buckets[at].tags.is_full();
        self.buckets[at].tags.clear(way);
        if !was_full {
            return;
        }
        let (mut hole, mut at) = (at, at);
        loop {
            at = self.next(at);
            let was_full = self.buckets[at].tags.is_full();
            let bucket = &self.buckets[at];
            let moved = bucket
                .tags
                .taken()
                .find(|&way| self.is_between(self.home(bucket.halves[way]), hole, at));
            if let Some(way) = moved {
                let (mark, flow) = self.buckets[at].take(way);
                self.buckets[hole].put(mark, flow);
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

    #[inline]
    fn place(&mut self, mark: Mark, flow: u32) {
        self.place_from(self.home(mark.half), mark, flow);
    }

    /// Puts an entry in the first bucket from its home on that has room.
    #[inline]
    fn place_from(&mut self, mut at: usize, mark: Mark, flow: u32) {
        while !self.buckets[at].put(mark, flow) {
            at = self.next(at);
        }
    }

    #[inline]
    fn home(&self, half: u32) -> usize {
        self.homes.of(half)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }
}

impl Bucket {
    /// Places of those whose hash has the bits that `last` says.
    #[inline]
    fn ways_of(&self, last: Last) -> Ways {
        Ways::all(|way| last.is_home_to(self.halves[way])).and(self.tags.taken())
    }

    #[inline]
    fn flow(&self, way: usize) -> FlowRef {
        FlowRef::from_bits(self.flows[way])
    }

    fn entry(&self, way: usize) -> (Mark, u32) {
        (Mark { tag: self.tags.tag(way), half: self.halves[way] }, self.flows[way])
    }

    fn way_of(&self, mark: Mark, flow: u32) -> Option<usize> {
        let is_it = |&way: &usize| self.flows[way] == flow && self.halves[way] == mark.half;
        self.tags.bearing(mark.tag).find(is_it)
    }

    fn put(&mut self, mark: Mark, flow: u32) -> bool {
        let Some(way) = self.tags.vacancy() else { return false };
        self.tags.put(way, mark.tag);
        self.flows[way] = flow;
        self.halves[way] = mark.half;
        true
    }

    fn take(&mut self, way: usize) -> (Mark, u32) {
        let entry = self.entry(way);
        self.tags.clear(way);
        entry
    }
}

impl Mark {
    #[inline]
    const fn of(hash: u64) -> Self {
        Self { tag: Tag::of(hash), half: (hash >> 32) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Addr, Key, LinkId};
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Against a set of pairs, with hashes chosen so that buckets overflow and wrap.
        #[test]
        fn agrees_with_a_set(
            // Up to 64 are in a table of 32, which ends behind the last homes.
            entries in prop_oneof![60_usize..=64, 60_usize..300],
            steps in prop::collection::vec((any::<bool>(), 0_u64..80, 0_u32..60), 1..600),
        ) {
            let mut index = Index::with_homes(32, entries);
            let mut model = HashSet::new();
            for (insert, home, flow) in steps {
                // Ten homes, five of them the last ones of 32, apart by higher bits.
                let half = (home % 10 + 27) | ((home / 10) << 5);
                let hash = (half << 32) | (home / 20);
                let flow = FlowRef::from_bits(flow);
                if insert {
                    if model.len() < entries && model.insert((hash, flow)) {
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
        let mut index = Index::new(200_000);
        let seed = foldhash::fast::FixedState::with_seed(7);
        let hash = |n: u32| std::hash::BuildHasher::hash_one(&seed, n);
        for n in 2..200_000 {
            index.insert(hash(n), FlowRef::from_bits(n));
        }
        let longest = index.buckets.iter().filter(|bucket| bucket.tags.is_full()).count();
        assert!(longest < index.homes.count() / 20, "{longest} of {} are full", index.len);
        assert!(index.homes.count() > 90_000);
        for n in 2..200_000 {
            assert!(index.find(hash(n), |flow| flow.to_bits() == n).is_some());
        }
        for n in 2..200_000 {
            assert!(index.remove(hash(n), FlowRef::from_bits(n)));
        }
        assert_eq!((index.len(), index.homes.count()), (0, Index::LEAST_HOMES));
        assert!(index.buckets.iter().all(|bucket| bucket.tags.taken().is_none()));
    }

    /// Many connections of one host, in each table that they may be in: what is asked first is the right one.
    #[test]
    fn few_packets_are_led_to_another_flow_first() {
        for flows in [60, 600, 6000] {
            let (mut right, mut all) = (0, 0);
            for seed in 0..20 {
                let seed = foldhash::fast::FixedState::with_seed(seed);
                let [inside, outside] =
                    [[10, 0, 1, 10], [203, 0, 113, 80]].map(|it| Addr::v4(it.into()));
                let keys: Vec<u64> = (0..flows)
                    .map(|flow| Key::new(LinkId(3), 6, (inside, 32768 + flow), (outside, 443)))
                    .flat_map(|key| [key.hash(&seed), key.reversed(LinkId(9)).hash(&seed)])
                    .collect();
                let mut index = Index::new(200_000);
                for (&hash, flow) in keys.iter().zip(0..) {
                    index.insert(hash, FlowRef::from_bits(flow));
                }
                let first = keys.iter().map(|&hash| index.first(index.approach(hash), hash));
                right += first.zip(0..).filter(|(found, flow)| found.to_bits() == *flow).count();
                all += keys.len();
            }
            assert!(right * 100 >= all * 99, "{right} of {all}");
        }
    }
}
