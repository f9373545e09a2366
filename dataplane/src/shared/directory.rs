//! Which worker owns a flow: asked only when a worker does not know the flow itself.
//!
//! The answer goes by the hash of a key alone; the owner compares keys. A worker that has no others
//! keeps no directory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

use crate::shared::claims::{self, Claims};

/// A worker, by its place among the instance's workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerId(pub u16);

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

    /// Takes back what `owner` claimed; leaves another's claim alone.
    pub fn release(&self, hash: u64, owner: WorkerId) {
        if let Some(shard) = self.shard(hash) {
            shard.change(|claims| claims.release(hash, owner));
        }
    }

    /// Who has a flow under `hash`.
    #[must_use]
    pub fn owner(&self, hash: u64) -> Option<WorkerId> {
        self.shard(hash)?.lock().owner(hash)
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

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are those that choose")]
    fn shard(&self, hash: u64) -> Option<&Shard> {
        self.shards.get(hash as usize % SHARDS).map(|shard| &**shard)
    }
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
        directory.release(7, WorkerId(1));
        assert_eq!((directory.owner(7), directory.len()), (None, 1));
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
