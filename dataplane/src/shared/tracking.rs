//! How many connections each ENI tracks: exact at any number of workers.
//!
//! AWS "Amazon EC2 security group connection tracking": there is a maximum number of connections
//! that can be tracked, beyond which packets are dropped (`conntrack_allowance_exceeded`). A
//! connection is counted by an [`Entry`], which cannot be copied and is counted off when it is
//! dropped.

use std::sync::{Arc, Mutex, PoisonError};

use crate::packet::EniId;
use crate::shared::by_eni::ByEni;
use crate::state::prefetch;

/// The connections that each ENI tracks.
#[derive(Debug, Default)]
pub struct Tracked(ByEni<Count>);

/// As many as share it besides the ENI itself: so an entry costs one addition, and cannot be forgotten. Locked by
/// whoever adds one to what has a limit. In an allocation of its own: workers count on different ENIs at once.
type Count = Arc<Mutex<()>>;

/// A connection that an ENI tracks, until this is dropped.
#[derive(Debug)]
pub struct Entry(#[expect(dead_code, reason = "it counts by being there")] Count);

impl Tracked {
    /// Counts one more connection of `eni`, if that makes no more than `limit`.
    #[must_use]
    pub fn enter(&self, eni: EniId, limit: Option<u32>) -> Option<Entry> {
        let count = self.0.of(eni);
        let Some(limit) = limit else { return Some(Entry(count.clone())) };
        let _alone = count.lock().unwrap_or_else(PoisonError::into_inner);
        (entries(count) < limit).then(|| Entry(count.clone()))
    }

    /// Brings what leads there into cache that [`prefetch`](Self::prefetch) brings.
    pub(crate) fn approach(&self, eni: EniId) {
        self.0.prefetch(eni);
    }

    /// Brings what [`enter`](Self::enter) counts on into cache.
    pub(crate) fn prefetch(&self, eni: EniId) {
        if let Some(count) = self.0.get(eni) {
            prefetch::read(&**count);
        }
    }

    /// Connections that `eni` tracks.
    #[must_use]
    pub fn count(&self, eni: EniId) -> u32 {
        self.0.get(eni).map_or(0, entries)
    }

    /// Each ENI that has tracked connections, and how many it tracks.
    pub fn for_each(&self, mut visit: impl FnMut(EniId, u32)) {
        self.0.iter().for_each(|(eni, count)| visit(eni, entries(count)));
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
        let tracked = Tracked::default();
        let (one, other) = (EniId(0), EniId(u16::MAX));
        let first = tracked.enter(one, Some(2));
        let second = tracked.enter(one, Some(2));
        assert!(first.is_some() && second.is_some());
        assert!(tracked.enter(one, Some(2)).is_none());
        assert!(tracked.enter(other, Some(1)).is_some(), "each ENI has its own count");
        assert_eq!((tracked.count(one), tracked.count(other)), (2, 0));
        tracked.for_each(|eni, count| assert_eq!(count, if eni == one { 2 } else { 0 }));

        drop(first);
        assert!(tracked.enter(one, Some(1)).is_none(), "a lower limit waits for those that are");
        let unlimited = tracked.enter(one, None);
        assert_eq!(tracked.count(one), 2);
        drop((second, unlimited));
        tracked.for_each(|eni, count| assert_eq!(count, 0, "{eni:?}"));
    }

    #[test]
    fn threads_never_hold_more_than_the_limit() {
        let tracked = Tracked::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let entry = tracked.enter(EniId(3), Some(2));
                        let count = tracked.count(EniId(3));
                        assert!(count <= 2 && (entry.is_none() || count >= 1), "{count}");
                    }
                });
            }
        });
        assert_eq!(tracked.count(EniId(3)), 0);
    }
}
