//! From the hash of a key to the flows that may bear it.
//!
//! Linear hashing (Litwin 1980) over buckets of one cache line: halves of hashes, and references. The
//! half says which bucket is home, so the table grows and shrinks without looking at a flow, one home at
//! a time: no turn waits for a table that is made anew. It also tells the entries of a bucket apart: by
//! what of it does not say which home that is, 21 bits at first, 10 where there are millions. An entry
//! stands in the first bucket from its home on that had room, with no vacant place before it; a look-up
//! ends at a bucket that is not full. Removal moves the last of a bucket up, and displaced entries back,
//! so there are no tombstones.

use zerocopy::FromZeros;

use crate::io::pages::{HUGE, Pages};
use crate::state::homes::{Homes, Last};
use crate::state::ways::{WAYS, Ways, Words};
use crate::state::{FlowRef, prefetch};

/// Its entries stand in its first places.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
struct Bucket {
    /// By place. Behind the last entry they are nobody's.
    halves: Words,
    /// References by place, as [`word`]s: zero behind the last entry.
    flows: Words,
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The high half of a hash, and who stands under it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    half: u32,
    flow: FlowRef,
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
    moving: Vec<Entry>,
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
        let home = self.home(half(hash));
        prefetch::line(self.buckets.as_ptr().wrapping_add(home).addr());
        home as u32
    }

    /// The first flow that may stand under `hash`, if it stands at its `home`.
    #[inline(always)]
    pub(crate) fn first(&self, home: u32, hash: u64) -> FlowRef {
        let Some(bucket) = self.buckets.get(home as usize) else { return FlowRef::NONE };
        let way = bucket.halves.equal_to(half(hash)).first();
        // Behind the last entry that is none, whatever stands in the half.
        bucket.flows.0.get(way).map_or(FlowRef::NONE, |&word| flow(word))
    }

    /// The first flow under `hash` that `bears` the key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, bears: impl FnMut(FlowRef) -> bool) -> Option<FlowRef> {
        let half = half(hash);
        let home = self.home(half);
        let bucket = self.buckets.get(home)?;
        // As it is with most that are not there.
        if bucket.halves.equal_to(half).is_none() && !bucket.is_full() {
            return None;
        }
        self.find_from(home, half, bears)
    }

    #[inline(never)]
    fn find_from(
        &self,
        mut at: usize,
        half: u32,
        mut bears: impl FnMut(FlowRef) -> bool,
    ) -> Option<FlowRef> {
        loop {
            let bucket = self.buckets.get(at)?;
            let mut flows = bucket.under(half).map(|way| bucket.entry(way).flow);
            if let Some(flow) = flows.find(|&flow| bears(flow)) {
                return Some(flow);
            }
            if !bucket.is_full() {
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
        self.place(Entry { half: half(hash), flow });
        self.len += 1;
    }

    /// Removes the entry of `flow` under `hash`; `false` if there is none.
    pub(crate) fn remove(&mut self, hash: u64, flow: FlowRef) -> bool {
        let half = half(hash);
        let mut at = self.home(half);
        loop {
            let bucket = &self.buckets[at];
            let way = bucket.under(half).find(|&way| bucket.entry(way).flow == flow);
            let is_full = bucket.is_full();
            if let Some(way) = way {
                self.clear(at, way);
                self.len -= 1;
                // Far from where it grows, so that it does not do both in turn.
                if self.len < self.homes.count() && self.homes.count() > self.least {
                    self.shrink();
                }
                return true;
            }
            if !is_full {
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
        self.take(old, more);
        self.homes = more;
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
        self.take(fewer.count(), self.homes);
        self.homes = fewer;
        self.put_back();
        const BLOCK: usize = HUGE / size_of::<Bucket>();
        let unused = fewer.count() + BLOCK;
        // Entries displaced from the last homes stand behind them, without a gap.
        if fewer.count().is_multiple_of(BLOCK)
            && unused < self.buckets.len()
            && self.buckets[unused - 1].is_empty()
        {
            self.buckets.release(unused..(unused + BLOCK).min(self.buckets.len()));
        }
    }

    /// Takes out the entries that the last of `homes` is home to, and that stand at bucket `at` or have been
    /// displaced from there.
    fn take(&mut self, mut at: usize, homes: Homes) {
        loop {
            let bucket = &mut self.buckets[at];
            let ways = bucket.ways_of(homes.last());
            if !bucket.is_full() {
                bucket.take_all(ways, &mut self.moving);
                return;
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
        while let Some(entry) = self.moving.pop() {
            self.place(entry);
        }
    }

    /// Empties a place. If its bucket was full, entries behind it that would rather stand there, or
    /// that a look-up would no longer reach, move up.
    fn clear(&mut self, at: usize, way: usize) {
        let was_full = self.buckets[at].is_full();
        self.buckets[at].take(way);
        if !was_full {
            return;
        }
        let (mut hole, mut at) = (at, at);
        loop {
            at = self.next(at);
            let bucket = &self.buckets[at];
            let was_full = bucket.is_full();
            let moved = (0..bucket.len())
                .find(|&way| self.is_between(self.home(bucket.entry(way).half), hole, at));
            if let Some(way) = moved {
                let entry = self.buckets[at].take(way);
                self.buckets[hole].put(entry);
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

    /// Puts an entry in the first bucket from its home on that has room.
    #[inline]
    fn place(&mut self, entry: Entry) {
        let mut at = self.home(entry.half);
        while !self.buckets[at].put(entry) {
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
    #[inline]
    const fn is_full(&self) -> bool {
        let [.., last] = self.flows.0;
        last != 0
    }

    const fn is_empty(&self) -> bool {
        let [first, ..] = self.flows.0;
        first == 0
    }

    /// Entries in it.
    #[inline]
    fn len(&self) -> usize {
        self.flows.equal_to(0).first().min(WAYS)
    }

    /// Places of those under `half`.
    #[inline]
    fn under(&self, half: u32) -> impl Iterator<Item = usize> {
        self.halves.equal_to(half).take_while(|&way| self.flows.0[way] != 0)
    }

    /// Places of those whose hash has the bits that `last` says.
    #[inline]
    fn ways_of(&self, last: Last) -> Ways {
        let ways = Words(self.halves.0.map(|half| last.part(half))).equal_to(last.bits());
        ways.except(self.flows.equal_to(0))
    }

    fn entry(&self, way: usize) -> Entry {
        Entry { half: self.halves.0[way], flow: flow(self.flows.0[way]) }
    }

    /// Adds an entry behind the others, if there is room.
    #[inline]
    fn put(&mut self, Entry { half, flow }: Entry) -> bool {
        debug_assert_ne!(flow, FlowRef::NONE, "who stands there is somebody");
        let way = self.len();
        let (Some(place), Some(under)) = (self.flows.0.get_mut(way), self.halves.0.get_mut(way))
        else {
            return false;
        };
        (*place, *under) = (word(flow), half);
        true
    }

    /// Takes an entry out; the last one moves up.
    fn take(&mut self, way: usize) -> Entry {
        self.take_of(self.len(), way)
    }

    /// Takes some entries out; others move up.
    #[inline]
    fn take_all(&mut self, ways: Ways, taken: &mut Vec<Entry>) {
        // Not asked anew each time: what was stored in narrower pieces could not be had at once.
        let mut len = self.len();
        // From the last one on: none of these moves then.
        for way in ways.rev() {
            taken.push(self.take_of(len, way));
            len -= 1;
        }
    }

    /// Takes an entry out of so many.
    #[inline]
    fn take_of(&mut self, len: usize, way: usize) -> Entry {
        let (taken, last) = (self.entry(way), len - 1);
        self.halves.0[way] = self.halves.0[last];
        self.flows.0[way] = self.flows.0[last];
        self.flows.0[last] = 0;
        taken
    }
}

/// What is kept of a hash.
#[inline]
const fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// What is kept of a reference: zero of none.
#[inline]
const fn word(flow: FlowRef) -> u32 {
    flow.to_bits() ^ FlowRef::NONE.to_bits()
}

/// What was kept of it.
#[inline]
const fn flow(word: u32) -> FlowRef {
    FlowRef::from_bits(word ^ FlowRef::NONE.to_bits())
}

#[cfg(test)]
mod tests;
