//! Is a Hyperplane ENI there, or has nobody used it for so long that it was taken away?
//!
//! AWS "Giving Lambda functions access to resources in an Amazon VPC": the ENIs of a function that is not invoked for 14
//! days are reclaimed, and made again when it is, which takes minutes. Times are emulated seconds, as workers tell them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::packet::EniId;
use crate::shared::by_eni::ByEni;

/// When workloads last opened a connection by each Hyperplane ENI.
#[derive(Debug, Default)]
pub struct Uses {
    now: AtomicU64,
    enis: ByEni<Use>,
}

#[derive(Debug, Default)]
struct Use {
    /// When a connection was last opened; the beginning if never.
    last: AtomicU64,
    /// When it was last there anew.
    ready: AtomicU64,
}

/// For how long a Hyperplane ENI may be idle, and how long it takes to make it anew, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaim {
    /// After so long without a connection it is gone.
    pub after: u32,
    /// So long nothing leaves by it when it is wanted again.
    pub creation: u32,
}

/// Whether a Hyperplane ENI is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There,
    /// It was taken away.
    Gone,
    /// It is being made anew.
    Pending,
}

impl Uses {
    /// Tells the emulated time.
    pub fn tell(&self, elapsed: Duration) {
        let now = elapsed.as_secs();
        // Most turns begin in the second of the one before: then nobody else's cache is disturbed.
        if self.now.load(Ordering::Relaxed) < now {
            self.now.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Whether a connection can be opened by `eni`, over which others go or not. Where it is gone, it begins to be made
    /// anew.
    #[must_use]
    pub fn open(&self, eni: EniId, is_used: bool, reclaim: Reclaim) -> bool {
        let now = self.now.load(Ordering::Relaxed);
        let known = self.enis.of(eni);
        match self.presence(eni, is_used, reclaim) {
            Presence::There => known.last.store(now, Ordering::Relaxed),
            Presence::Gone => {
                known.ready.store(now + u64::from(reclaim.creation), Ordering::Relaxed);
            }
            Presence::Pending => {}
        }
        known.ready.load(Ordering::Relaxed) <= now
    }

    /// Whether `eni` is there, over which connections go or not.
    #[must_use]
    pub fn presence(&self, eni: EniId, is_used: bool, reclaim: Reclaim) -> Presence {
        let now = self.now.load(Ordering::Relaxed);
        let of = |time: fn(&Use) -> &AtomicU64| {
            self.enis.get(eni).map_or(0, |it| time(it).load(Ordering::Relaxed))
        };
        let (last, ready) = (of(|it| &it.last), of(|it| &it.ready));
        if ready > now {
            Presence::Pending
        } else if !is_used && now - last.max(ready) >= u64::from(reclaim.after) {
            Presence::Gone
        } else {
            Presence::There
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_goes_and_comes_back_after_a_while() {
        let (uses, eni) = (Uses::default(), EniId(3));
        let reclaim = Reclaim { after: 1000, creation: 180 };
        let at = |seconds| uses.tell(Duration::from_secs(seconds));
        at(999);
        assert!(uses.open(eni, false, reclaim), "it is there from the beginning");
        at(1998);
        assert_eq!(uses.presence(eni, false, reclaim), Presence::There);
        at(1999);
        assert_eq!(uses.presence(eni, true, reclaim), Presence::There, "connections go over it");
        assert_eq!(uses.presence(eni, false, reclaim), Presence::Gone);
        assert!(!uses.open(eni, false, reclaim));
        assert_eq!(uses.presence(eni, false, reclaim), Presence::Pending);
        at(2178);
        assert!(!uses.open(eni, false, reclaim));
        at(2179);
        assert!(uses.open(eni, false, reclaim));
        // A worker that is late turns no time back.
        at(10);
        assert_eq!(uses.presence(eni, false, reclaim), Presence::There);
        assert_eq!(uses.presence(EniId(9), false, reclaim), Presence::Gone, "never used");
    }
}
