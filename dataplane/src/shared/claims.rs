//! Who claims a hash, among all workers?
//!
//! Linear hashing (Litwin 1980) over buckets of one cache line, so that a question costs one miss, and
//! no turn waits for a table that is made anew. Each of many parts grows and shrinks by itself, one
//! bucket at a time; their buckets lie by turns, so that all together fill huge pages. A claim stands in
//! the first bucket from its home on that had room, with no vacant place before it; a look-up ends at
//! the first place that nobody has. Removal moves the last of a bucket up, and displaced claims back.
//!
//! The version of a part is odd while somebody changes it, and who only asks compares it before and
//! after: a sequence lock (Boehm, "Can seqlocks get along with programming language memory models?", 2012).

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use crossbeam::utils::{Backoff, CachePadded};
use smallvec::SmallVec;

use crate::io::pages::{HUGE, Pages, SharedLine};
use crate::shared::WorkerId;
use crate::state::{Homes, prefetch};

const WAYS: usize = 8;

/// So many that two workers seldom meet at one, and few enough that what is known of all of them stays in a
/// processor's first cache.
const PARTS: usize = 64;

/// Rows that fill a huge page; a row is a bucket of each part.
const BLOCK: usize = HUGE / size_of::<SharedLine>() / PARTS;

/// More claims a home than this, and there is a home more: look-ups then seldom leave their home, also
/// where it is yet to be split.
const FULLEST: usize = 3;

/// As few homes as a part has.
const LEAST: usize = 16;

/// Claims by hashes.
#[derive(Debug)]
pub(super) struct Claims {
    /// A bucket each, row by row.
    buckets: Pages<SharedLine>,
    /// As many as there will ever be: a power of two.
    rows: usize,
    /// How many homes the first part has, and so, about, each of them: what is to be fetched is told by it.
    homes: CachePadded<AtomicU32>,
    /// By the low bits of a hash.
    parts: Box<[CachePadded<Part>]>,
    /// How many parts reach into each [`BLOCK`] of rows; locked when one of them comes to it or leaves it.
    blocks: Mutex<Vec<usize>>,
}

#[derive(Debug)]
struct Part {
    version: AtomicU32,
    /// How many of its buckets are homes.
    homes: AtomicU32,
    /// Claims in it.
    len: AtomicU32,
    /// Blocks that it has claims in, or may have.
    reach: AtomicU32,
}

/// The upper 48 bits of a hash, the last of them set, and below them who claims it; zero is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Claim(u64);

/// What a look-up comes to: a row, and a place in its bucket.
enum Place {
    /// There it is.
    Taken(usize, usize),
    /// It would be there.
    Free(usize, usize),
    /// Every place is taken.
    None,
}

impl Claims {
    /// Room for so many.
    pub(super) fn new(claims: usize) -> Self {
        let rows = claims.div_ceil(PARTS * FULLEST).next_power_of_two().max(LEAST);
        let mut blocks = vec![0; rows.div_ceil(BLOCK)];
        blocks[0] = PARTS;
        Self {
            buckets: Pages::zeroed(rows * PARTS).taken(BLOCK * PARTS),
            rows,
            homes: CachePadded::new(AtomicU32::new(narrow(LEAST))),
            parts: (0..PARTS).map(|_| CachePadded::new(Part::new())).collect(),
            blocks: Mutex::new(blocks),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len.load(Ordering::Relaxed) as usize).sum()
    }

    /// Brings what is asked and changed about `hash` soon into cache, for this processor alone.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        // To ask the part itself would be to wait for it.
        let homes = Homes::new(self.homes.load(Ordering::Relaxed) as usize);
        prefetch::own_line(std::ptr::from_ref(&self.parts[place(hash)]).addr());
        let bucket = homes.of(half(hash)) * PARTS + place(hash);
        prefetch::own_line(self.buckets.as_ptr().wrapping_add(bucket).addr());
    }

    /// Who claims `hash`.
    #[inline]
    pub(super) fn owner(&self, hash: u64) -> Option<WorkerId> {
        let part = &self.parts[place(hash)];
        let backoff = Backoff::new();
        loop {
            let before = part.version.load(Ordering::Acquire);
            let owner = match self.look_up(part.homes(), hash) {
                Place::Taken(row, way) => Some(self.bucket(row, place(hash)).claim(way).owner()),
                Place::Free(..) | Place::None => None,
            };
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && part.version.load(Ordering::Relaxed) == before {
                return owner;
            }
            backoff.snooze();
        }
    }

    /// Gives `hash` to `owner`, if nobody has it yet; who has it now. Where there is no room it is not
    /// written down.
    pub(super) fn claim(&self, hash: u64, owner: WorkerId) -> WorkerId {
        let mut part = self.change(hash);
        match self.look_up(part.homes, hash) {
            Place::Taken(row, way) => return part.bucket(row).claim(way).owner(),
            Place::Free(row, way) => {
                part.reach(row);
                part.bucket(row).set(way, Claim::new(hash, owner));
                part.len += 1;
                if part.len > part.homes.count() * FULLEST && part.homes.count() < self.rows {
                    part.grow();
                }
            }
            Place::None => {}
        }
        owner
    }

    /// Takes `hash` away from `owner`, if it is its.
    pub(super) fn release(&self, hash: u64, owner: WorkerId) {
        let mut part = self.change(hash);
        let Place::Taken(row, way) = self.look_up(part.homes, hash) else { return };
        if part.bucket(row).claim(way).owner() != owner {
            return;
        }
        part.remove(row, way);
        part.len -= 1;
        // Far from where it grows, so that it does not do both in turn.
        if part.len < part.homes.count() && part.homes.count() > LEAST {
            part.shrink();
        }
    }

    #[inline(always)]
    fn look_up(&self, homes: Homes, hash: u64) -> Place {
        let sought = Claim::new(hash, WorkerId(0));
        let mut row = homes.of(half(hash));
        for _ in 0..self.rows {
            let bucket = self.bucket(row, place(hash));
            if bucket.has(sought) {
                return Place::Taken(row, bucket.way_of(sought));
            }
            let len = bucket.len();
            if len < WAYS {
                return Place::Free(row, len);
            }
            row = self.next(row);
        }
        Place::None
    }

    #[inline(always)]
    fn change(&self, hash: u64) -> Change<'_> {
        let part = &*self.parts[place(hash)];
        if !part.try_change() {
            part.wait_for_change();
        }
        let len = part.len.load(Ordering::Relaxed) as usize;
        Change { claims: self, part, place: place(hash), homes: part.homes(), len }
    }

    #[inline]
    fn bucket(&self, row: usize, part: usize) -> Bucket<'_> {
        Bucket(&self.buckets[row * PARTS + part])
    }

    fn next(&self, row: usize) -> usize {
        (row + 1) & (self.rows - 1)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are those that choose")]
const fn place(hash: u64) -> usize {
    hash as usize % PARTS
}

/// What homes go by.
const fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Part {
    const fn new() -> Self {
        Self {
            version: AtomicU32::new(0),
            homes: AtomicU32::new(narrow(LEAST)),
            len: AtomicU32::new(0),
            reach: AtomicU32::new(1),
        }
    }

    /// Makes the version odd, if nobody else has.
    #[inline(always)]
    fn try_change(&self) -> bool {
        let (before, ordering) = (self.version.load(Ordering::Relaxed), Ordering::Relaxed);
        let odd = before.wrapping_add(1);
        let mine = before.is_multiple_of(2)
            && self.version.compare_exchange(before, odd, Ordering::Acquire, ordering).is_ok();
        // Who sees a change sees that there is one.
        fence(Ordering::Release);
        mine
    }

    #[cold]
    fn wait_for_change(&self) {
        let backoff = Backoff::new();
        while !self.try_change() {
            backoff.snooze();
        }
    }

    #[inline]
    fn homes(&self) -> Homes {
        Homes::new(self.homes.load(Ordering::Relaxed) as usize)
    }
}

/// A part that is being changed, by nobody else.
struct Change<'a> {
    claims: &'a Claims,
    part: &'a Part,
    place: usize,
    homes: Homes,
    len: usize,
}

impl<'a> Change<'a> {
    #[inline]
    fn bucket(&self, row: usize) -> Bucket<'a> {
        self.claims.bucket(row, self.place)
    }

    fn set_homes(&mut self, homes: Homes) {
        self.homes = homes;
        if self.place == 0 {
            self.claims.homes.store(narrow(homes.count()), Ordering::Relaxed);
        }
    }

    /// One home more: some of the claims of an older one get it.
    #[inline(never)]
    fn grow(&mut self) {
        let (split, new, more) = (self.homes.split(), self.homes.count(), self.homes.more());
        let (old, last) = (self.bucket(split), more.last());
        if old.is_full() {
            let moving = self.take(split, |claim| last.is_home_to(half(claim.0)));
            self.set_homes(more);
            return moving.into_iter().for_each(|claim| self.put(new, claim));
        }
        // As it is with most: nothing was displaced from there. Whether a claim moves is by chance, too.
        let (mut kept, mut moved) = ([Claim::default(); WAYS], [Claim::default(); WAYS]);
        let (mut stay, mut go) = (0, 0);
        for way in 0..WAYS {
            let claim = old.claim(way);
            let moves = last.is_home_to(half(claim.0));
            (kept[stay % WAYS], moved[go % WAYS]) = (claim.only_if(!moves), claim.only_if(moves));
            (stay, go) = (stay + usize::from(!moves), go + usize::from(moves));
        }
        old.fill(kept);
        self.set_homes(more);
        if self.bucket(new).claim(0).is_nobody() {
            self.reach(new);
            self.bucket(new).fill(moved);
        } else {
            moved.into_iter().take(go).for_each(|claim| self.put(new, claim));
        }
        // What is split next.
        for row in [more.split(), more.count()] {
            if row < self.claims.rows {
                prefetch::read(self.bucket(row).0);
            }
        }
    }

    /// One home less: its claims go back to where they came from.
    #[inline(never)]
    fn shrink(&mut self) {
        let (last, fewer) = (self.homes.last(), self.homes.fewer());
        let moving = self.take(fewer.count(), |claim| last.is_home_to(half(claim.0)));
        self.set_homes(fewer);
        moving.into_iter().for_each(|claim| self.put(fewer.split(), claim));
        self.retreat();
    }

    /// Takes out the claims that stand in a row, or have been displaced from there, and that `leave`.
    fn take(&self, mut row: usize, leave: impl Fn(Claim) -> bool) -> SmallVec<[Claim; 2 * WAYS]> {
        let mut taken = SmallVec::new();
        loop {
            let bucket = self.bucket(row);
            match (0..bucket.len()).find(|&way| leave(bucket.claim(way))) {
                Some(way) => taken.push(self.remove(row, way)),
                None if bucket.is_full() => row = self.claims.next(row),
                None => return taken,
            }
        }
    }

    /// Puts a claim in the first bucket from its home on that has room.
    #[inline]
    fn put(&self, home: usize, claim: Claim) {
        let mut row = home;
        while self.bucket(row).is_full() {
            row = self.claims.next(row);
        }
        self.reach(row);
        let bucket = self.bucket(row);
        bucket.set(bucket.len(), claim);
    }

    /// Takes a claim out. If its bucket was full, claims behind it that would rather stand there, or that a
    /// look-up would no longer reach, move up.
    fn remove(&self, row: usize, way: usize) -> Claim {
        let was_full = self.bucket(row).is_full();
        let removed = self.bucket(row).remove(way);
        if !was_full {
            return removed;
        }
        let mask = self.claims.rows - 1;
        let (mut hole, mut row) = (row, row);
        loop {
            row = self.claims.next(row);
            let bucket = self.bucket(row);
            let was_full = bucket.is_full();
            // Whether the home of a claim lies at the hole or before it.
            let moves = |way: &usize| {
                let home = self.homes.of(half(bucket.claim(*way).0));
                row.wrapping_sub(home) & mask >= row.wrapping_sub(hole) & mask
            };
            if let Some(way) = (0..bucket.len()).find(moves) {
                let place = self.bucket(hole).len();
                self.bucket(hole).set(place, bucket.remove(way));
                hole = row;
            }
            if !was_full {
                return removed;
            }
        }
    }

    /// Has claims in a row from now on.
    #[inline]
    fn reach(&self, row: usize) {
        if row / BLOCK >= self.part.reach.load(Ordering::Relaxed) as usize {
            self.extend(row / BLOCK + 1);
        }
    }

    #[cold]
    fn extend(&self, reach: usize) {
        let before = self.part.reach.load(Ordering::Relaxed) as usize;
        let mut blocks = self.claims.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks[before..reach].iter_mut().for_each(|parts| *parts += 1);
        self.part.reach.store(narrow(reach), Ordering::Relaxed);
    }

    /// Leaves the last block if no claims are in it, nor soon will be: who leaves it last gives its memory
    /// back.
    fn retreat(&self) {
        let last = self.part.reach.load(Ordering::Relaxed) as usize - 1;
        let first = last * BLOCK;
        // What was displaced into it came past full buckets alone.
        if last == 0 || self.homes.count() + BLOCK / 2 > first || self.bucket(first - 1).is_full() {
            return;
        }
        let mut blocks = self.claims.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks[last] -= 1;
        self.part.reach.store(narrow(last), Ordering::Relaxed);
        if blocks[last] == 0 {
            self.claims.buckets.release_shared(first * PARTS);
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.part.homes.store(narrow(self.homes.count()), Ordering::Relaxed);
        self.part.len.store(narrow(self.len), Ordering::Relaxed);
        let version = self.part.version.load(Ordering::Relaxed);
        self.part.version.store(version.wrapping_add(1), Ordering::Release);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "homes go by 32 bits, so there are no more of them"
)]
const fn narrow(count: usize) -> u32 {
    count as u32
}

/// The claims of a part that stand in one row.
#[derive(Clone, Copy)]
struct Bucket<'a>(&'a SharedLine);

impl Bucket<'_> {
    #[inline]
    fn claim(self, way: usize) -> Claim {
        Claim(self.0.0[way].load(Ordering::Relaxed))
    }

    /// Whether one of its claims is of the same hash. Without a branch at each of them: which is the last is by chance,
    /// and no processor foresees it.
    #[inline(always)]
    fn has(self, sought: Claim) -> bool {
        let unlike = (0..WAYS).map(|way| self.claim(way).0 ^ sought.0);
        unlike.fold(u64::MAX, u64::min) <= Claim::OWNER
    }

    /// Where the claim of the same hash stands, of which there is one.
    #[inline(never)]
    fn way_of(self, sought: Claim) -> usize {
        (0..WAYS).position(|way| self.claim(way).is_like(sought)).unwrap_or(WAYS - 1)
    }

    fn set(self, way: usize, Claim(claim): Claim) {
        self.0.0[way].store(claim, Ordering::Relaxed);
    }

    /// Puts these in the place of all that it has.
    fn fill(self, claims: [Claim; WAYS]) {
        claims.into_iter().enumerate().for_each(|(way, claim)| self.set(way, claim));
    }

    fn is_full(self) -> bool {
        !self.claim(WAYS - 1).is_nobody()
    }

    /// How many places are taken.
    #[inline]
    fn len(self) -> usize {
        self.0.0.partition_point(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Takes out a claim; the last one stands in its place then.
    fn remove(self, way: usize) -> Claim {
        let (removed, last) = (self.claim(way), self.len() - 1);
        self.set(way, self.claim(last));
        self.set(last, Claim::default());
        removed
    }
}

impl Claim {
    const OWNER: u64 = 0xffff;
    const USED: u64 = 1 << 16;

    const fn new(hash: u64, WorkerId(owner): WorkerId) -> Self {
        Self(hash & !Self::OWNER | Self::USED | owner as u64)
    }

    const fn is_nobody(self) -> bool {
        self.0 == 0
    }

    /// This one, or nobody's.
    const fn only_if(self, it_is: bool) -> Self {
        Self(self.0 & 0_u64.wrapping_sub(it_is as u64))
    }

    /// Whether it is of the same hash.
    const fn is_like(self, other: Self) -> bool {
        self.0 ^ other.0 <= Self::OWNER
    }

    #[expect(clippy::cast_possible_truncation, reason = "the owner is the lowest 16 bits")]
    const fn owner(self) -> WorkerId {
        WorkerId(self.0 as u16)
    }
}

#[cfg(test)]
mod tests;
