//! What one worker may change: its flows, their clocks, the ports that rest, its counters.
//!
//! Nothing here reads a clock or a random source: [`Shard::now`] is stamped by the worker, and the
//! generator is seeded by it. A test can drive many shards from one thread, and cross five days in
//! a millisecond.

mod chunks;
mod counted;
mod counters;
mod flow;
mod flows;
mod fragments;
mod homes;
mod hot;
mod index;
mod live;
mod meters;
mod minute;
mod phase;
pub(crate) mod prefetch;
mod slots;
mod tags;
mod tally;
mod way;
mod wheel;

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::packet::{Component, Direction, Key, LinkId, NatGatewayId, Packet, Reason};
use crate::shared::{Lease, Lessee, Shared, WorkerId};
use crate::tables::Timers;
use crate::time::Tick;

pub use counters::Counters;
pub use flow::{Cold, Device, Facet, Facets, Holds, MAX_FACETS};
pub(crate) use flows::FlowRef;
pub(crate) use flows::Hashes;
pub use flows::{FlowId, Flows};
pub use fragments::{Fragments, Held, Ports};
pub(crate) use homes::Homes;
pub use hot::{Hot, Translation};
pub(crate) use hot::{Line, hops_delta};
pub(crate) use meters::Meters;
pub use meters::{MeterId, MeterReading};
pub use minute::{GatewayMetrics, gateway_metrics};
pub use phase::Phase;
pub use tally::{Count, Tally};
pub(crate) use way::{Side, Visit, Way};

/// The state of one worker.
#[derive(Debug)]
pub struct Shard {
    /// Emulated time, the same for a whole turn.
    pub(crate) now: Tick,
    elapsed: Duration,
    /// The worker's flows.
    pub flows: Flows,
    /// Datagrams that come in fragments.
    pub fragments: Fragments,
    /// What it has counted.
    pub counters: Counters,
    pub(crate) meters: Meters,
    pub(crate) lessee: Lessee,
    /// Of the next packet of IPv4 that is made of one of IPv6.
    pub(crate) identification: u16,
    pub(crate) shared: Arc<Shared>,
    worker: WorkerId,
    /// Ports of mappings that were replaced while they had to rest; the next to be free on top.
    resting: BinaryHeap<Resting>,
    visited: u64,
}

/// Why a flow was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// As many flows as the table takes.
    Full,
    /// Another worker has a flow with one of its keys.
    Elsewhere(WorkerId),
}

/// A port that rests.
#[derive(Debug)]
struct Resting {
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

    /// An empty shard for `worker`, with room for `limit` flows. Shards that share something have
    /// the same `seed`: they hash alike, and choose ports each in its own way.
    #[must_use]
    pub fn new(worker: WorkerId, shared: Arc<Shared>, limit: usize, seed: u64) -> Self {
        let now = Tick::default();
        let own = seed.wrapping_add(u64::from(worker.0));
        Self {
            now,
            elapsed: Duration::ZERO,
            flows: Flows::new(limit, seed, now),
            fragments: Fragments::default(),
            counters: Counters::default(),
            meters: Meters::new(shared.connections.clone()),
            lessee: Lessee::new(fastrand::Rng::with_seed(own)),
            identification: fastrand::Rng::with_seed(own).u16(..),
            shared,
            worker,
            resting: BinaryHeap::new(),
            visited: 0,
        }
    }

    /// Emulated time since the instance began.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The same as a moment, by which devices go.
    #[must_use]
    pub const fn now(&self) -> Tick {
        self.now
    }

    /// Stamps the time of the next turn. Never backwards; steps further than
    /// [`MAX_STEP`](crate::time::MAX_STEP) are only for a shard that [is idle](Self::is_idle).
    pub fn stamp(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
        self.now = Tick::at(elapsed);
        self.meters.stamp(elapsed);
    }

    /// What has passed each NAT gateway that packets have come to here.
    #[must_use]
    pub fn read_meters(&self) -> Vec<(NatGatewayId, MeterReading)> {
        self.meters.read()
    }

    /// Counts a packet that was to be sent, and counted so, as dropped.
    pub(crate) fn lose(&mut self, reason: Reason, component: Component, packet: &Packet) {
        self.counters.lose(reason, component, packet);
        if !packet.answers {
            self.meters.lose(packet);
        }
    }

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
            for &flow in &due {
                self.prefetch_owners(flow);
            }
            for flow in due {
                self.retire(flow, timers);
            }
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
        self.flows.reuse();
        // A turn that has much else to do leaves it to another.
        budget > Self::EXPIRY_BUDGET / 2 && self.flows.give_back()
    }

    /// Flows, resting ports and datagrams looked at by [`expire`](Self::expire) in all turns.
    #[must_use]
    pub const fn visited(&self) -> u64 {
        self.visited
    }

    /// Makes this worker the one where the fragments of `datagram` meet, or tells which one is. What
    /// was `handed` over has met where it is.
    pub(crate) fn meet(&self, datagram: &Key, hash: u64, handed: bool) -> Option<WorkerId> {
        if handed || self.fragments.knows(datagram) {
            return None;
        }
        self.claim(hash).err()
    }

    /// Lets [`expire`](Self::expire) find also what became due within the last second: after a jump
    /// of the clock, somebody waits for it.
    pub fn expire_promptly(&mut self) {
        self.flows.open_present();
    }

    /// Ports that rest without a flow.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.resting.len()
    }

    /// Whether it remembers nothing: no time that passes changes anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flows.is_empty() && self.resting.is_empty()
    }

    /// Which worker's this is.
    #[must_use]
    pub const fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Brings what [`owner_elsewhere`](Self::owner_elsewhere) reads into cache.
    pub(crate) fn prefetch_owner(&self, hash: u64) {
        self.shared.directory.prefetch(hash);
    }

    /// Brings what is told when a flow ends into cache.
    fn prefetch_owners(&self, flow: FlowId) {
        for key in self.flows.keys_of(flow).into_iter().flatten() {
            self.shared.directory.prefetch(self.flows.hash(&key));
        }
    }

    /// The other worker that has a flow under `hash`, if one says so.
    #[inline]
    pub(crate) fn owner_elsewhere(&self, hash: u64) -> Option<WorkerId> {
        self.shared.directory.owner(hash).filter(|&owner| owner != self.worker)
    }

    /// Puts a flow down that nobody finds before it is [committed](Self::commit), and starts its clock; `None` where
    /// there is no room. `facets` puts down what devices remember; what that holds then returns to where it came from.
    pub(crate) fn draft(
        &mut self,
        translation: &Translation,
        phase: Phase,
        facets: impl FnOnce(&mut Facets),
        timers: &Timers,
    ) -> Option<FlowId> {
        let Some(flow) = self.flows.slot() else {
            self.forget(made(facets), phase, timers);
            return None;
        };
        self.flows.fill(flow, (translation, phase), facets, (timers, self.now));
        Some(flow)
    }

    /// Adds a flow that was [drafted](Self::draft), in the place of any that holds its reply key here; nobody here holds
    /// the original one, now as when it was drafted. Where it is not added, it is gone.
    pub(crate) fn commit(
        &mut self,
        flow: FlowId,
        hashes: Hashes,
        timers: &Timers,
    ) -> Result<(&mut Hot, &mut Cold), NotOpened> {
        let [original, reply] = hashes;
        if let Some(holder) = self.flows.holder(flow, reply) {
            self.close(holder, timers);
        }
        let claimed = self.claim(original).and_then(|()| {
            // Both keys are ours, or neither.
            self.claim(reply).inspect_err(|_| self.release(original))
        });
        let refused = match claimed {
            Ok(()) if self.flows.has_room() => {
                self.counters.opened += 1;
                let (hot, cold) = self.flows.enter(flow, hashes);
                self.meters.begin(&mut cold.facets, hot.protocol());
                return Ok((hot, cold));
            }
            Ok(()) => {
                hashes.into_iter().for_each(|hash| self.release(hash));
                NotOpened::Full
            }
            Err(owner) => NotOpened::Elsewhere(owner),
        };
        let phase = self.flows.hot(flow).map_or(Phase::Other, Hot::phase);
        let facets = self.flows.vacate(flow);
        self.forget(facets, phase, timers);
        Err(refused)
    }

    /// Makes what is under `hash` ours, if it is no other worker's.
    fn claim(&self, hash: u64) -> Result<(), WorkerId> {
        self.shared.directory.claim(hash, self.worker)
    }

    fn release(&self, hash: u64) {
        self.shared.directory.release(hash, self.worker);
    }

    /// Forgets flows from or to these links, no more than there is time for between two turns, among those of the
    /// [page](Flows::page) from slot `from` on; where to go on, if there are more behind.
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
        for &flow in &flows {
            self.prefetch_owners(flow);
        }
        for flow in flows {
            self.close(flow, timers);
        }
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

    /// Counts a packet of a flow; a super-packet as the packets that it stands for.
    #[inline]
    pub(crate) fn count(&mut self, flow: FlowId, direction: Direction, packet: &Packet) {
        let wire = packet.wire();
        let Some(hot) = self.flows.hot_mut(flow) else { return };
        let is_full = hot.line_mut(direction).count(packet.len, &wire);
        self.relieve(FlowRef::new(flow, direction), is_full);
    }

    /// The counter of one direction of a flow is full, or not.
    #[inline(always)]
    pub(crate) fn relieve(&mut self, found: FlowRef, is_full: bool) {
        if is_full {
            self.carry_over(found);
        }
    }

    #[cold]
    fn carry_over(&mut self, found: FlowRef) {
        if let Some((hot, cold)) = self.flows.parts_mut(found.flow()) {
            let direction = found.direction();
            cold.take_over(direction, hot.line_mut(direction).carry_over());
        }
    }

    /// Moves a flow on to its next phase: other idle times hold from here on.
    pub(crate) fn enter(&mut self, flow: FlowId, phase: Phase, timers: &Timers) {
        let now = self.now;
        let Some((hot, cold)) = self.flows.parts_mut(flow) else { return };
        for facet in &mut cold.facets {
            facet.last = now;
        }
        self.meters.follow(&mut cold.facets, hot.phase(), phase);
        hot.enter(phase);
        cold.settle(hot, timers, now);
        self.flows.reschedule(flow);
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

fn made(facets: impl FnOnce(&mut Facets)) -> Facets {
    let mut made = Facets::new();
    facets(&mut made);
    made
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
