//! What one worker may change: its flows, their clocks, the ports that rest, its counters.
//!
//! Nothing here reads a clock or a random source: [`Shard::now`] is stamped by the worker, and the
//! generator is seeded by it. A test can drive many shards from one thread, and cross five days in
//! a millisecond.

mod chunks;
mod counted;
mod counters;
mod end;
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
mod tally;
mod way;
mod ways;
mod wheel;

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use crate::packet::{Component, Direction, Key, NatGatewayId, Packet, Reason};
use crate::shared::{Lessee, Shared, WorkerId};
use crate::tables::Timers;
use crate::time::Tick;

pub use counters::Counters;
use end::Resting;
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

impl Shard {
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
            lessee: Lessee::new(worker, fastrand::Rng::with_seed(own)),
            identification: fastrand::Rng::with_seed(own).u16(..),
            shared,
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

    /// Makes this worker the one where the fragments of `datagram` meet, or tells which one is. What
    /// was `handed` over has met where it is.
    pub(crate) fn meet(&self, datagram: &Key, hash: u64, handed: bool) -> Option<WorkerId> {
        if handed || self.fragments.knows(datagram) {
            return None;
        }
        self.claim(hash).err()
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
        self.lessee.worker
    }

    /// Brings what says whose a flow under `hash` is into cache, for it to be asked and changed.
    pub(crate) fn prefetch_owner(&self, hash: u64) {
        self.shared.directory.prefetch(hash);
    }

    /// The other worker that has a flow under `hash`, if one says so.
    #[inline]
    pub(crate) fn owner_elsewhere(&self, hash: u64) -> Option<WorkerId> {
        self.shared.directory.owner(hash).filter(|&owner| owner != self.worker())
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
        self.shared.directory.claim(hash, self.worker())
    }

    fn release(&self, hash: u64) {
        self.shared.directory.release(hash, self.worker());
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
}

fn made(facets: impl FnOnce(&mut Facets)) -> Facets {
    let mut made = Facets::new();
    facets(&mut made);
    made
}
