//! How does what a worker remembers end?
//!
//! When its time has come, or with its links, or because something takes its place. No turn looks at more than
//! there is time for between two batches of packets.

use std::cmp::Ordering;

use arrayvec::ArrayVec;

use crate::packet::{Direction, Key, LinkId, Reason};
use crate::shared::Lease;
use crate::state::{Facet, Facets, FlowId, Holds, Hot, Phase, Shard};
use crate::tables::Timers;
use crate::time::Tick;

/// A port that rests.
#[derive(Debug)]
pub(super) struct Resting {
    free: Tick,
    _lease: Lease,
}

impl Shard {
    /// The most flows looked at for expiry in one turn, and fewer where many of them end: less than 100 µs
    /// of work (row `expiry` of `hypertun bench`).
    pub const EXPIRY_BUDGET: usize = 256;

    /// What the end of a flow, or of something in it, takes of the budget: some ten cache misses instead
    /// of one or two.
    const END: usize = 8;

    /// The most flows [forgotten with their links](Self::forget_links) between two turns: less than 100 µs of work.
    pub const FORGOTTEN: usize = 64;

    /// Retires what has become due, looking at no more than [`Shard::EXPIRY_BUDGET`] flows, and gives memory back
    /// that nobody uses; `true` when nothing of either is left. A turn that has spent half of the budget leaves the
    /// memory, and whether there is any, to the next.
    pub fn expire(&mut self, timers: &Timers) -> bool {
        let mut budget = Self::EXPIRY_BUDGET;
        loop {
            let left = budget;
            let due = self.flows.due(self.now, &mut budget);
            self.visited += (left - budget) as u64;
            let Some(due) = due else { break };
            budget = budget.saturating_sub(due.len() * (Self::END - 1));
            self.end_each(&due, |shard, flow| shard.retire(flow, timers));
        }
        while budget > 0 && self.resting.peek().is_some_and(|port| port.free.is_due(self.now)) {
            self.resting.pop();
            budget = budget.saturating_sub(Self::END);
            self.visited += 1;
        }
        if self.resting.is_empty() {
            // What many once needed.
            self.resting.shrink_to(Self::EXPIRY_BUDGET);
        }
        while budget > 0
            && let Some((datagram, waited)) = self.fragments.expire(self.now)
        {
            self.release(self.flows.hash(&datagram));
            for fragment in waited {
                self.counters.drop(Reason::FragmentIncomplete, fragment.sender);
            }
            budget = budget.saturating_sub(Self::END);
            self.visited += 1;
        }
        self.meters.tell();
        self.flows.reuse();
        // A turn that has much else to do leaves it to another.
        budget > Self::EXPIRY_BUDGET / 2 && self.flows.give_back()
    }

    /// Flows, resting ports and datagrams looked at by [`expire`](Self::expire) in all turns.
    #[must_use]
    pub const fn visited(&self) -> u64 {
        self.visited
    }

    /// Lets [`expire`](Self::expire) find also what became due within the last second: after a jump
    /// of the clock, somebody waits for it.
    pub fn expire_promptly(&mut self) {
        self.flows.open_present();
    }

    /// Forgets flows from or to these links, no more than there is time for between two turns, among those of the
    /// [page](crate::state::Flows::page) from slot `from` on; where to go on, if there are more behind.
    pub fn forget_links(
        &mut self,
        links: &[LinkId],
        from: usize,
        timers: &Timers,
    ) -> Option<usize> {
        // Else all flows would be looked at for nothing.
        if links.is_empty() {
            return None;
        }
        let concerns = |key: &Key| links.contains(&key.link);
        let is_gone =
            |&flow: &_| self.flows.keys_of(flow).into_iter().flatten().any(|key| concerns(&key));
        let (flows, next): (ArrayVec<FlowId, { Self::FORGOTTEN }>, _) = {
            let (page, next) = self.flows.page(from);
            let mut gone = page.filter(is_gone);
            let flows = gone.by_ref().take(Self::FORGOTTEN).collect();
            (flows, gone.next().map(FlowId::index).or(next))
        };
        self.end_each(&flows, |shard, flow| shard.close(flow, timers));
        self.meters.tell();
        next
    }

    /// Removes a flow. The port of a conversation that is over goes on resting.
    pub(crate) fn close(&mut self, flow: FlowId, timers: &Timers) {
        if let Some((hot, facets)) = self.take(flow) {
            self.forget(facets, hot.phase(), timers);
        }
    }

    /// Removes a flow and gives what devices remember of it, their clocks up to date.
    pub(crate) fn take(&mut self, flow: FlowId) -> Option<(Hot, Facets)> {
        let hot = *self.flows.hot(flow)?;
        let (mut cold, hashes) = self.flows.remove(flow)?;
        cold.sync(&hot);
        hashes.into_iter().for_each(|hash| self.release(hash));
        Some((hot, cold.facets))
    }

    /// Ends memories. The port of a conversation that is over goes on resting.
    pub(crate) fn forget(
        &mut self,
        facets: impl IntoIterator<Item = Facet>,
        phase: Phase,
        timers: &Timers,
    ) {
        for facet in facets {
            let idle = facet.device.idle(phase, timers);
            self.meters.end(&facet, idle, self.now);
            let free = facet.last.after(idle);
            if let Holds::Lease(lease) = facet.holds
                && phase.is_closed()
                && !free.is_due(self.now)
            {
                self.resting.push(Resting { free, _lease: lease });
            }
        }
    }

    /// Ends the facets whose time has come, and the flow with the last of them.
    fn retire(&mut self, flow: FlowId, timers: &Timers) {
        let now = self.now;
        let Some((hot, cold)) = self.flows.parts_mut(flow) else { return };
        cold.sync(hot);
        let phase = hot.phase();
        let mut mapped = false;
        cold.facets.retain(|facet| {
            let idle = facet.device.idle(phase, timers);
            let expired = facet.last.after(idle).is_due(now);
            if expired {
                self.meters.end(facet, idle, now);
                mapped |= facet.lease().is_some();
            }
            !expired
        });
        if cold.facets.is_empty() {
            self.close(flow, timers);
            return;
        }
        cold.settle(hot, timers, now);
        // What expired is opened again, or not, by whoever comes next.
        hot.doubt();
        if mapped {
            self.park(flow);
        }
        self.flows.reschedule(flow);
    }

    /// Has each of these flows end, while what others are told of the next ones is on its way into cache: not of more of
    /// them, which other workers would have again before.
    fn end_each(&mut self, flows: &[FlowId], end: impl Fn(&mut Self, FlowId)) {
        const AHEAD: usize = 4;
        flows.iter().take(AHEAD).for_each(|&flow| self.foresee_end(flow));
        for (at, &flow) in flows.iter().enumerate() {
            if let Some(&next) = flows.get(at + AHEAD) {
                self.foresee_end(next);
            }
            end(self, flow);
        }
    }

    /// Brings what others are told when a flow ends into cache.
    fn foresee_end(&self, flow: FlowId) {
        for key in self.flows.keys_of(flow).into_iter().flatten() {
            self.prefetch_owner(self.flows.hash(&key));
        }
        if let Some((_, cold)) = self.flows.parts(flow) {
            cold.facets.iter().filter_map(Facet::lease).for_each(Lease::prefetch);
        }
    }

    fn park(&mut self, flow: FlowId) {
        let Some(before) = self.flows.key(flow, Direction::Reply) else { return };
        self.flows.park(flow);
        let Some(after) = self.flows.key(flow, Direction::Reply) else { return };
        let [before, after] = [before, after].map(|key| self.flows.hash(&key));
        self.release(before);
        // No other worker can have the parked key: it has not the flow.
        let _ = self.claim(after);
    }
}

impl Ord for Resting {
    /// By time, the earlier the greater: a heap gives its greatest first. All times in the heap lie
    /// within one rest of each other, far less than the half range of a [`Tick`].
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.free.is_due(other.free), other.free.is_due(self.free)) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, _) => Ordering::Less,
        }
    }
}

impl PartialOrd for Resting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Resting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Resting {}
