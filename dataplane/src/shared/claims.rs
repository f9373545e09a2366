//! Who claims a hash: one shard of the directory.
//!
//! Open addressing over buckets of one cache line, so that a question costs one miss. A claim stands
//! in the first bucket from its home on that had room, behind those that came before it; a look-up ends
//! at the first place that nobody has. Removal moves the last of a bucket up, and displaced claims back.

use std::ops::{Deref, DerefMut};

use crate::io::pages::Pages;
use crate::shared::WorkerId;
use crate::state::prefetch;

const WAYS: usize = 8;

/// Claims by hashes.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// As many as a power of two, or none.
    buckets: Buckets,
    len: usize,
}

/// Where many buckets lie, the system has its memory back when they are gone; for few it would take a
/// page each.
#[derive(Debug)]
enum Buckets {
    Few(Vec<Bucket>),
    Many(Pages<Bucket>),
}

/// As many buckets as fill a page are many.
const MANY: usize = 4096 / size_of::<Bucket>();

/// As few buckets as are worth asking an allocator for.
const LEAST: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket([Claim; WAYS]);

/// The upper 48 bits of a hash, the last of them set, and below them who claims it; zero is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Claim(u64);

/// What a look-up comes to: a bucket, and a place in it.
enum Place {
    /// There it is.
    Taken(usize, usize),
    /// It would be there.
    Free(usize, usize),
    /// There are no buckets.
    None,
}

impl Claims {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Where the buckets are at present, for [`prefetch`].
    pub(super) fn site(&self) -> usize {
        // Buckets begin at multiples of 64.
        self.buckets.as_ptr().addr() | self.buckets.len().checked_ilog2().unwrap_or(0) as usize
    }

    /// Who claims `hash`.
    pub(super) fn owner(&self, hash: u64) -> Option<WorkerId> {
        match self.look_up(hash) {
            Place::Taken(at, way) => Some(self.buckets[at].0[way].owner()),
            Place::Free(..) | Place::None => None,
        }
    }

    /// Gives `hash` to `owner`, if nobody has it yet; who has it now.
    pub(super) fn claim(&mut self, hash: u64, owner: WorkerId) -> WorkerId {
        let claim = Claim::new(hash, owner);
        match self.look_up(hash) {
            Place::Taken(at, way) => return self.buckets[at].0[way].owner(),
            Place::Free(at, way) if !self.is_crowded() => self.buckets[at].0[way] = claim,
            Place::Free(..) | Place::None => {
                self.resize((self.buckets.len() * 2).max(LEAST));
                self.place(claim);
            }
        }
        self.len += 1;
        owner
    }

    /// Takes `hash` away from `owner`, if it is its.
    pub(super) fn release(&mut self, hash: u64, owner: WorkerId) {
        let Place::Taken(at, way) = self.look_up(hash) else { return };
        let bucket = &mut self.buckets[at];
        if bucket.0[way].owner() != owner {
            return;
        }
        let was_full = bucket.is_full();
        bucket.remove(way);
        self.len -= 1;
        if was_full {
            self.refill(at);
        }
    }

    /// Whether one more would make it more than three quarters full: look-ups would often leave the home
    /// bucket.
    fn is_crowded(&self) -> bool {
        (self.len + 1) * 4 > self.buckets.len() * WAYS * 3
    }

    /// Whether less than a sixteenth of its places are taken: far from where it grows, so that it does
    /// not do both in turn.
    pub(super) fn is_sparse(&self) -> bool {
        self.buckets.len() > LEAST.max(self.len * 2 + 1)
    }

    /// Gives back most of the memory of claims that are gone, where it is sparse.
    pub(super) fn shrink(&mut self) {
        if self.is_sparse() {
            self.resize((self.len / 4).next_power_of_two().max(LEAST));
        }
    }

    #[inline]
    fn look_up(&self, hash: u64) -> Place {
        let buckets: &[Bucket] = &self.buckets;
        let sought = Claim::new(hash, WorkerId(0));
        let mut at = home(hash, buckets.len());
        while let Some(bucket) = buckets.get(at) {
            for (way, claim) in bucket.0.iter().enumerate() {
                if claim.is_like(sought) {
                    return Place::Taken(at, way);
                }
                if claim.is_nobody() {
                    return Place::Free(at, way);
                }
            }
            at = (at + 1) & (buckets.len() - 1);
        }
        Place::None
    }

    /// Bucket `hole` was full and lost a claim: claims behind it that a look-up would no longer
    /// reach move up.
    fn refill(&mut self, mut hole: usize) {
        let mask = self.buckets.len() - 1;
        let mut at = hole;
        loop {
            at = self.next(at);
            let was_full = self.buckets[at].is_full();
            // Whether the home of a claim lies at the hole or before it.
            let moves = |claim: &Claim| {
                !claim.is_nobody()
                    && at.wrapping_sub(self.home(claim.0)) & mask >= at.wrapping_sub(hole) & mask
            };
            if let Some(way) = self.buckets[at].0.iter().position(moves) {
                let claim = self.buckets[at].remove(way);
                self.buckets[hole].put(claim);
                hole = at;
            }
            if !was_full {
                return;
            }
        }
    }

    fn resize(&mut self, buckets: usize) {
        let old = std::mem::replace(&mut self.buckets, Buckets::new(buckets));
        for claim in old.iter().flat_map(|bucket| bucket.0).filter(|claim| !claim.is_nobody()) {
            self.place(claim);
        }
    }

    fn place(&mut self, claim: Claim) {
        let mut at = self.home(claim.0);
        while !self.buckets[at].put(claim) {
            at = self.next(at);
        }
    }

    fn home(&self, hash: u64) -> usize {
        home(hash, self.buckets.len())
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }
}

/// Brings what `hash` is looked up in at `site` into cache; without a lock, so that the buckets may be
/// elsewhere by now.
pub(super) fn prefetch(site: usize, hash: u64) {
    let (buckets, bits) = (site & !63, site & 63);
    prefetch::line(buckets.wrapping_add(home(hash, 1 << bits) * size_of::<Bucket>()));
}

#[expect(clippy::cast_possible_truncation, reason = "less than the number of buckets")]
fn home(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}

impl Buckets {
    fn new(count: usize) -> Self {
        if count < MANY {
            Self::Few(vec![Bucket::default(); count])
        } else {
            Self::Many(Pages::made(count, Bucket::default))
        }
    }
}

impl Default for Buckets {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Deref for Buckets {
    type Target = [Bucket];

    fn deref(&self) -> &[Bucket] {
        match self {
            Self::Few(buckets) => buckets,
            Self::Many(buckets) => buckets,
        }
    }
}

impl DerefMut for Buckets {
    fn deref_mut(&mut self) -> &mut [Bucket] {
        match self {
            Self::Few(buckets) => buckets,
            Self::Many(buckets) => buckets,
        }
    }
}

impl Bucket {
    fn is_full(&self) -> bool {
        !self.0[WAYS - 1].is_nobody()
    }

    /// How many places are taken.
    fn len(&self) -> usize {
        self.0.iter().position(|claim| claim.is_nobody()).unwrap_or(WAYS)
    }

    /// Takes out a claim; the last one stands in its place then.
    fn remove(&mut self, way: usize) -> Claim {
        let last = self.len() - 1;
        self.0.swap(way, last);
        std::mem::take(&mut self.0[last])
    }

    fn put(&mut self, claim: Claim) -> bool {
        let Some(place) = self.0.iter_mut().find(|place| place.is_nobody()) else { return false };
        *place = claim;
        true
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::hash::BuildHasher;

    proptest! {
        /// Against a map, with hashes chosen so that buckets overflow and wrap.
        #[test]
        fn agrees_with_a_map(
            steps in prop::collection::vec((any::<bool>(), 0_u64..40, 0_u64..20, 0_u16..3), 1..600),
        ) {
            let mut claims = Claims::default();
            let mut model: HashMap<u64, WorkerId> = HashMap::new();
            for (claims_it, home, low, owner) in steps {
                // Forty homes, most of them in the last two buckets.
                let hash = 0xffff_fff0_0000_0000_u64.wrapping_add(home << 58) | low << 20;
                let owner = WorkerId(owner);
                if claims_it {
                    let holder = *model.entry(hash).or_insert(owner);
                    prop_assert_eq!(claims.claim(hash, owner), holder);
                } else {
                    claims.release(hash, owner);
                    claims.shrink();
                    if model.get(&hash) == Some(&owner) {
                        model.remove(&hash);
                    }
                }
                prop_assert_eq!(claims.len(), model.len());
                for (&hash, &owner) in &model {
                    prop_assert_eq!(claims.owner(hash), Some(owner));
                }
            }
        }
    }

    #[test]
    fn grows_to_many_and_shrinks_to_none() {
        let seed = foldhash::fast::FixedState::with_seed(3);
        let hash = |n: u32| seed.hash_one(n);
        let mut claims = Claims::default();
        for n in 0..100_000 {
            assert_eq!(claims.claim(hash(n), WorkerId(1)), WorkerId(1));
        }
        let bytes = claims.buckets.len() * size_of::<Bucket>();
        assert!(bytes < 22 * claims.len(), "{bytes} bytes");
        for n in 0..100_000 {
            assert_eq!(claims.owner(hash(n)), Some(WorkerId(1)));
            claims.release(hash(n), WorkerId(1));
            claims.shrink();
            assert!(!claims.is_sparse(), "a sixteenth of it is used");
        }
        assert_eq!((claims.len(), claims.buckets.len()), (0, LEAST));
    }
}
