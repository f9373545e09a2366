//! How many connections each ENI tracks: exact at any number of workers.
//!
//! AWS "Amazon EC2 security group connection tracking": there is a maximum number of connections
//! that can be tracked, beyond which packets are dropped (`conntrack_allowance_exceeded`). A
//! connection is counted by an [`Entry`], which cannot be copied and is counted off when it is
//! dropped. Each worker counts by itself, and looks at what others have counted only where there is a
//! limit: what one writes and another reads goes from processor to processor each time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::utils::CachePadded;

use crate::packet::EniId;
use crate::shared::by_eni::ByEni;
use crate::shared::{MANY, WorkerId};
use crate::state::prefetch;

/// The connections that each ENI tracks.
#[derive(Debug)]
pub struct Tracked {
    /// Of each worker.
    workers: Box<[ByEni<Count>]>,
    /// Locked by whoever adds one to what has a limit, or reads how many there are: else those of one worker might end,
    /// and others begin, while it reads. Workers do so for different ENIs at once.
    limited: ByEni<Box<CachePadded<Mutex<()>>>>,
}

/// As many share it besides the ENI itself: so an entry costs one addition, and cannot be forgotten.
type Count = Arc<()>;

/// A connection that an ENI tracks, until this is dropped.
#[derive(Debug)]
pub struct Entry(#[expect(dead_code, reason = "it counts by being there")] Count);

impl Tracked {
    /// Nothing is tracked by any of so many workers yet.
    #[must_use]
    pub fn for_workers(count: usize) -> Self {
        let workers = (0..count.max(1)).map(|_| ByEni::default()).collect();
        Self { workers, limited: ByEni::default() }
    }

    /// Counts one more connection of `eni`, which `worker` opens, if that makes no more than `limit` with those of all
    /// workers.
    #[must_use]
    pub fn enter(&self, worker: WorkerId, eni: EniId, limit: Option<u32>) -> Option<Entry> {
        let count = self.of(worker).of(eni);
        let Some(limit) = limit else { return Some(Entry(count.clone())) };
        let _alone = self.limited.of(eni).lock().unwrap_or_else(PoisonError::into_inner);
        (self.sum(eni) < limit).then(|| Entry(count.clone()))
    }

    /// Brings what leads there into cache that [`prefetch`](Self::prefetch) brings.
    pub(crate) fn approach(&self, worker: WorkerId, eni: EniId) {
        self.of(worker).prefetch(eni);
    }

    /// Brings what [`enter`](Self::enter) counts on into cache.
    pub(crate) fn prefetch(&self, worker: WorkerId, eni: EniId) {
        if let Some(count) = self.of(worker).get(eni) {
            // What an `Arc` counts by stands right before what it holds.
            prefetch::line(Arc::as_ptr(count).addr() - 1);
        }
    }

    /// Connections that `eni` tracks: never more than its limit.
    #[must_use]
    pub fn count(&self, eni: EniId) -> u32 {
        let limited = self.limited.get(eni);
        let _alone = limited.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner));
        self.sum(eni)
    }

    fn sum(&self, eni: EniId) -> u32 {
        self.workers.iter().filter_map(|counts| counts.get(eni)).map(entries).sum()
    }

    /// Each ENI that has tracked connections, and how many it tracks.
    pub fn for_each(&self, mut visit: impl FnMut(EniId, u32)) {
        let enis = self.workers.iter().flat_map(|counts| counts.iter().map(|(eni, _)| eni));
        let enis: HashSet<EniId> = enis.collect();
        enis.into_iter().for_each(|eni| visit(eni, self.count(eni)));
    }

    /// Where a worker counts: more of them than were foreseen share the last place.
    fn of(&self, WorkerId(worker): WorkerId) -> &ByEni<Count> {
        &self.workers[usize::from(worker).min(self.workers.len() - 1)]
    }
}

impl Default for Tracked {
    fn default() -> Self {
        Self::for_workers(MANY)
    }
}

fn entries(count: &Count) -> u32 {
    (Arc::strong_count(count) - 1).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_held_up_to_the_limit() {
        let tracked = Tracked::for_workers(2);
        let (one, other) = (EniId(0), EniId(u16::MAX));
        let enter = |worker, eni, limit| tracked.enter(WorkerId(worker), eni, limit);
        let first = enter(0, one, Some(2));
        let second = enter(1, one, Some(2));
        assert!(first.is_some() && second.is_some());
        assert!((0..3).all(|worker| enter(worker, one, Some(2)).is_none()));
        assert!(enter(1, other, Some(1)).is_some(), "each ENI has its own count");
        assert_eq!((tracked.count(one), tracked.count(other)), (2, 0));
        let mut counts = Vec::new();
        tracked.for_each(|eni, count| counts.push((eni, count)));
        counts.sort_unstable_by_key(|(eni, _)| eni.0);
        assert_eq!(counts, [(one, 2), (other, 0)], "each ENI once");

        drop(first);
        assert!(enter(0, one, Some(1)).is_none(), "a lower limit waits for those that are");
        let unlimited = enter(2, one, None);
        assert_eq!(tracked.count(one), 2);
        drop((second, unlimited));
        tracked.for_each(|eni, count| assert_eq!(count, 0, "{eni:?}"));
    }

    #[test]
    fn threads_never_hold_more_than_the_limit() {
        let tracked = &Tracked::for_workers(3);
        std::thread::scope(|scope| {
            // One of them shares the place of another.
            for worker in (0..4).map(WorkerId) {
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        let entry = tracked.enter(worker, EniId(3), Some(2));
                        let count = tracked.count(EniId(3));
                        assert!(count <= 2 && (entry.is_none() || count >= 1), "{count}");
                    }
                });
            }
        });
        assert_eq!(tracked.count(EniId(3)), 0);
    }
}
