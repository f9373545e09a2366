//! How many packets has each ENI sent to the services at its link within this second? Exact at any number of
//! workers.
//!
//! AWS "Amazon DNS quotas", "Instance metadata service": 1024 packets a second and network interface go to the
//! resolver, the metadata service and Time Sync together, and what is more is dropped
//! (`linklocal_allowance_exceeded`). Seconds are those of real time, as limits on packets a second are: workers tell
//! them once a turn.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::packet::EniId;
use crate::shared::by_eni::ByEni;

/// What ENIs have sent within the present second.
#[derive(Debug, Default)]
pub struct Allowances {
    second: AtomicU32,
    /// The second that a count is of in the upper half, the count in the lower one.
    sent: ByEni<AtomicU64>,
}

impl Allowances {
    /// Tells which second it is, counted from any time on. Whoever is late turns no second back.
    pub fn tell(&self, second: u32) {
        // Most turns begin in the second of the one before: then nobody else's cache is disturbed.
        if self.second.load(Ordering::Relaxed) == second {
            return;
        }
        let later = |now: u32| {
            let ahead = second.wrapping_sub(now);
            (ahead != 0 && ahead <= u32::MAX / 2).then_some(second)
        };
        // Where it does not change, somebody else was ahead.
        let _ = self.second.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Counts so many packets of `eni`, if that makes no more than `limit` in this second; whether it does.
    #[must_use]
    pub fn take(&self, eni: EniId, packets: u32, limit: u32) -> bool {
        let second = u64::from(self.second.load(Ordering::Relaxed)) << 32;
        let more = |sent: u64| {
            let fresh = if sent >> 32 == second >> 32 { sent } else { second };
            let count = (fresh & u64::from(u32::MAX)) + u64::from(packets);
            (count <= u64::from(limit)).then_some((fresh >> 32) << 32 | count)
        };
        let sent = self.sent.of(eni);
        sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_as_many_and_each_interface_its_own() {
        let allowances = Allowances::default();
        let (one, other) = (EniId(1), EniId(2));
        let taken = |eni| (0..10).filter(|_| allowances.take(eni, 1, 4)).count();
        assert_eq!((taken(one), taken(one), taken(other)), (4, 0, 4));
        allowances.tell(1);
        assert_eq!(taken(one), 4);
        allowances.tell(0);
        assert_eq!(taken(one), 0, "no second comes again");
        assert!(!allowances.take(EniId(3), 1, 0));
        assert!(!allowances.take(EniId(3), 5, 4) && allowances.take(EniId(3), 4, 4));
        for second in [u32::MAX / 2, u32::MAX - 1, 0] {
            allowances.tell(second);
            assert_eq!(taken(one), 4, "they are counted past their end");
        }
    }

    #[test]
    fn workers_together_send_no_more() {
        let allowances = Allowances::default();
        let taken: usize = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| allowances.take(EniId(0), 1, 1024)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1024);
    }
}
