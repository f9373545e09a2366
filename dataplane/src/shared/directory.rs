//! Which worker owns a flow: asked only when a worker does not know the flow itself.
//!
//! The answer goes by the hash of a key alone; the owner compares keys. A worker that has no others
//! keeps no directory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

use crate::shared::claims::{self, Claims};
use crate::state::prefetch;

/// A worker, by its place among the instance's workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerId(pub u16);

/// A part of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part(usize);

/// Owners of flows by the hashes of their keys.
#[derive(Debug)]
pub struct Directory {
    /// By the low bits of a hash; none where there is one worker.
    shards: Box<[CachePadded<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    claims: Mutex<Claims>,
    /// [`Claims::site`], as of the last change.
    site: AtomicUsize,
}

/// So many that two workers seldom meet at one, and that none grows so large that making it larger
/// or smaller would hold up whoever has to: at four million flows, 8192 claims.
const SHARDS: usize = 1024;

impl Directory {
    /// For so many workers.
    #[must_use]
    pub fn for_workers(count: usize) -> Self {
        let shards = if count > 1 { SHARDS } else { 0 };
        Self { shards: (0..shards).map(|_| CachePadded::default()).collect() }
    }

    /// Says that `owner` has a flow under `hash`. Of several that say so at once, one is right.
    ///
    /// # Errors
    ///
    /// The worker that has said so before, if it is another.
    pub fn claim(&self, hash: u64, owner: WorkerId) -> Result<(), WorkerId> {
        let Some(shard) = self.shard(hash) else { return Ok(()) };
        let holder = shard.change(|claims| claims.claim(hash, owner));
        if holder == owner { Ok(()) } else { Err(holder) }
    }

    /// Takes back what `owner` claimed; leaves another's claim alone. Tells which part of the directory
    /// has memory to [give back](Self::give_back) now.
    pub fn release(&self, hash: u64, owner: WorkerId) -> Option<Part> {
        let shard = self.shard(hash)?;
        let is_sparse = shard.change(|claims| {
            claims.release(hash, owner);
            claims.is_sparse()
        });
        is_sparse.then(|| Part(place(hash)))
    }

    /// Gives back memory of claims that are gone. Apart from [`release`](Self::release), for many parts
    /// come to it at about the same time, and each takes as long as many claims.
    pub fn give_back(&self, Part(at): Part) {
        if let Some(shard) = self.shards.get(at) {
            shard.change(Claims::shrink);
        }
    }

    /// Who has a flow under `hash`.
    #[must_use]
    pub fn owner(&self, hash: u64) -> Option<WorkerId> {
        self.shard(hash)?.lock().owner(hash)
    }

    /// Brings what leads to all that is known of `hash` into cache; [`prefetch`](Self::prefetch) reads it.
    pub(crate) fn approach(&self, hash: u64) {
        if let Some(shard) = self.shard(hash) {
            prefetch::read(shard);
        }
    }

    /// Brings what is asked about `hash` soon into cache.
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(shard) = self.shard(hash) {
            claims::prefetch(shard.site.load(Ordering::Relaxed), hash);
        }
    }

    /// Claims in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether nothing is claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, hash: u64) -> Option<&Shard> {
        self.shards.get(place(hash)).map(|shard| &**shard)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are those that choose")]
const fn place(hash: u64) -> usize {
    hash as usize % SHARDS
}

impl Default for Directory {
    /// For any number of workers.
    fn default() -> Self {
        Self::for_workers(usize::MAX)
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Claims) -> T) -> T {
        let mut claims = self.lock();
        let changed = change(&mut claims);
        self.site.store(claims.site(), Ordering::Relaxed);
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_claim_is_released_by_its_owner_only() {
        let directory = Directory::default();
        assert_eq!(directory.claim(7, WorkerId(1)), Ok(()));
        assert_eq!(directory.claim(7, WorkerId(1)), Ok(()));
        assert_eq!(directory.claim(7, WorkerId(2)), Err(WorkerId(1)));
        assert_eq!(directory.claim(7 + (1 << 20), WorkerId(2)), Ok(()));
        directory.release(7, WorkerId(2));
        assert_eq!(directory.owner(7), Some(WorkerId(1)));
        assert_eq!(directory.release(7, WorkerId(1)), None, "one bucket is not worth giving back");
        assert_eq!((directory.owner(7), directory.len()), (None, 1));
    }

    #[test]
    fn what_many_claimed_is_given_back_when_told() {
        let directory = Directory::default();
        let hashes = || (0..1000).map(|n| n << 40 | n << 54 | 7);
        assert!(hashes().all(|hash| directory.claim(hash, WorkerId(0)).is_ok()));
        let sparse: BTreeSet<Part> =
            hashes().filter_map(|hash| directory.release(hash, WorkerId(0))).collect();
        assert_eq!(sparse, [Part(7)].into());
        directory.give_back(Part(7));
        assert!(directory.is_empty() && !directory.shards[7].lock().is_sparse());
    }

    #[test]
    fn a_single_worker_has_nobody_to_ask() {
        let directory = Directory::for_workers(1);
        assert_eq!(directory.claim(7, WorkerId(0)), Ok(()));
        assert_eq!(directory.owner(7), None);
        directory.release(7, WorkerId(0));
        assert!(directory.is_empty());
    }
}
