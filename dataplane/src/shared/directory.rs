//! Which worker owns a flow: asked only when a worker does not know the flow itself.
//!
//! The answer goes by the hash of a key alone; the owner compares keys. A worker that has no others
//! keeps no directory.

use crate::shared::MANY;
use crate::shared::claims::Claims;

/// A worker, by its place among the instance's workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerId(pub u16);

/// Owners of flows by the hashes of their keys.
#[derive(Debug)]
pub struct Directory {
    /// None where there is one worker.
    claims: Option<Claims>,
}

impl Directory {
    /// For so many workers, of which each has no more than so many flows.
    #[must_use]
    pub fn for_workers(count: usize, flows: usize) -> Self {
        // Both keys of each.
        let claims = count.saturating_mul(flows).saturating_mul(2);
        Self { claims: (count > 1).then(|| Claims::new(claims)) }
    }

    /// Says that `owner` has a flow under `hash`. Of several that say so at once, one is right.
    ///
    /// # Errors
    ///
    /// The worker that has said so before, if it is another.
    pub fn claim(&self, hash: u64, owner: WorkerId) -> Result<(), WorkerId> {
        let Some(claims) = &self.claims else { return Ok(()) };
        let holder = claims.claim(hash, owner);
        if holder == owner { Ok(()) } else { Err(holder) }
    }

    /// Takes back what `owner` claimed; leaves another's claim alone.
    pub fn release(&self, hash: u64, owner: WorkerId) {
        if let Some(claims) = &self.claims {
            claims.release(hash, owner);
        }
    }

    /// Who has a flow under `hash`.
    #[must_use]
    #[inline]
    pub fn owner(&self, hash: u64) -> Option<WorkerId> {
        self.claims.as_ref()?.owner(hash)
    }

    /// Brings what is asked and changed about `hash` soon into cache.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(claims) = &self.claims {
            claims.prefetch(hash);
        }
    }

    /// Claims in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.claims.as_ref().map_or(0, Claims::len)
    }

    /// Whether nothing is claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Directory {
    /// For any number of workers that have sixteen million flows together.
    fn default() -> Self {
        Self::for_workers(MANY, 1 << 20)
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
        let directory = Directory::for_workers(1, 1 << 20);
        assert_eq!(directory.claim(7, WorkerId(0)), Ok(()));
        assert_eq!(directory.owner(7), None);
        directory.release(7, WorkerId(0));
        assert!(directory.is_empty());
    }
}
