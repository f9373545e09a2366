//! Which worker owns a flow: asked only when a worker does not know the flow itself.
//!
//! The answer goes by the hash of a key alone; the owner compares keys.

use dashmap::DashMap;

/// A worker, by its place among the instance's workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerId(pub u16);

/// Owners of flows by the hashes of their keys.
#[derive(Debug, Default)]
pub struct Directory(DashMap<u64, WorkerId, foldhash::fast::FixedState>);

impl Directory {
    /// Says that `owner` has a flow under `hash`. Of several that say so at once, one is right.
    ///
    /// # Errors
    ///
    /// The worker that has said so before, if it is another.
    pub fn claim(&self, hash: u64, owner: WorkerId) -> Result<(), WorkerId> {
        let holder = *self.0.entry(hash).or_insert(owner);
        if holder == owner { Ok(()) } else { Err(holder) }
    }

    /// Takes back what `owner` claimed; leaves another's claim alone.
    pub fn release(&self, hash: u64, owner: WorkerId) {
        self.0.remove_if(&hash, |_, &holder| holder == owner);
    }

    /// Who has a flow under `hash`.
    #[must_use]
    pub fn owner(&self, hash: u64) -> Option<WorkerId> {
        self.0.get(&hash).map(|owner| *owner)
    }

    /// Claims in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        directory.release(7, WorkerId(2));
        assert_eq!(directory.owner(7), Some(WorkerId(1)));
        directory.release(7, WorkerId(1));
        assert!(directory.is_empty());
    }
}
