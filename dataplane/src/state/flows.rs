//! All flows of one worker: slots, the index over both keys of each, and the wheel that visits them.
//!
//! Both keys are indexed or neither. A slot that is given up is used again only after
//! [`Flows::reuse`], which the worker calls between batches: what a packet of the present batch
//! found stays true to its end.

use std::collections::BTreeSet;
use std::ops::Range;

use arrayvec::ArrayVec;
use foldhash::fast::FixedState;

use crate::io::pages::{HUGE, Pages};
use crate::packet::{Addr, Batch, Direction, Key, Pair, Tail};
use crate::state::chunks::{CHUNK, Chunks};
use crate::state::flow::{Cold, Facets};
use crate::state::hot::{Hot, Line, Translation, Wide};
use crate::state::index::Index;
use crate::state::live::Live;
use crate::state::slots::Slots;
use crate::state::wheel::{Node, Nodes, Wheel};
use crate::state::{Phase, prefetch};
use crate::tables::Timers;
use crate::time::Tick;

/// A flow, by its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowId(u32);

impl FlowId {
    fn of(slot: usize) -> Self {
        Self(u32::try_from(slot).expect("slots are numbered below 2^31"))
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A flow and a direction in one word: twice the slot, and one more for replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowRef(u32);

impl FlowRef {
    /// No flow: its slot is none. What has none goes in the original direction.
    pub(crate) const NONE: Self = Self(u32::MAX - 1);

    pub(crate) const fn new(flow: FlowId, direction: Direction) -> Self {
        Self(flow.0 << 1 | direction as u32)
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn flow(self) -> FlowId {
        FlowId(self.0 >> 1)
    }

    #[inline]
    pub(crate) const fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::Original } else { Direction::Reply }
    }
}

/// The flows of one worker.
#[derive(Debug)]
pub struct Flows {
    seed: FixedState,
    index: Index,
    hot: Pages<Hot>,
    /// Of flows of IPv6; no others take memory here.
    wide: Chunks<Wide>,
    cold: Chunks<Cold>,
    wheel: Wheel,
    /// Slots that hold a flow, or held one during this batch.
    taken: Slots,
    /// Slots that hold a flow.
    live: Live,
    /// Slots that were given up during this batch.
    given_up: Vec<u32>,
    /// Chunks of slots that became unused, and whose memory is yet to be given back.
    unused: BTreeSet<usize>,
    /// The block of the last such chunk, if its hot parts are yet to be given back.
    unused_block: Option<usize>,
    limit: usize,
}

/// What the keys of a flow hash to, by [`Direction`].
pub(crate) type Hashes = [u64; 2];

/// Flows that are due: so many at a time that their cache misses overlap.
pub(crate) type Due = ArrayVec<FlowId, 16>;

/// Slots whose hot parts fill a huge page.
const BLOCK: usize = HUGE / size_of::<Hot>();

const _: () = assert!(BLOCK.is_multiple_of(CHUNK));

impl Flows {
    /// The most flows that slots can be numbered for.
    pub const MAX: usize = (u32::MAX >> 1) as usize - 1 - Self::SPARE;

    /// Slots beyond the limit, for those that were given up and cannot be used again within the
    /// batch: each packet may take the place of the flows that hold its two keys.
    const SPARE: usize = 2 * Batch::PACKETS;

    /// Slots of a [`page`](Self::page): what their flows are takes microseconds to look at.
    pub const PAGE: usize = 256;

    /// Room for `limit` flows, at most [`Flows::MAX`]. Memory is reserved for all, and used as flows
    /// come.
    #[must_use]
    pub fn new(limit: usize, seed: u64, now: Tick) -> Self {
        let limit = limit.min(Self::MAX);
        let slots = limit + Self::SPARE;
        Self {
            seed: FixedState::with_seed(seed),
            index: Index::new(2 * limit),
            hot: Pages::zeroed(slots).taken(BLOCK),
            wide: Chunks::new(),
            cold: Chunks::begun(),
            wheel: Wheel::new(now),
            taken: Slots::new(slots),
            live: Live::default(),
            given_up: Vec::new(),
            unused: BTreeSet::new(),
            unused_block: None,
            limit,
        }
    }

    /// Flows that live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len() / 2
    }

    /// Keys that flows are found by: two for each flow.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.index.len()
    }

    /// Whether no flow lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hashes a key as this table does.
    #[must_use]
    pub fn hash(&self, key: &Key) -> u64 {
        key.hash(&self.seed)
    }

    /// The same of a key that is not put together yet.
    #[inline(always)]
    pub(crate) fn hash_v4(&self, pair: Pair, tail: Tail) -> u64 {
        tail.hash_v4(pair, &self.seed)
    }

    /// The same of IPv6.
    #[inline(always)]
    pub(crate) fn hash_v6(&self, ends: [Addr; 2], tail: Tail) -> u64 {
        tail.hash_v6(ends, &self.seed)
    }

    /// Brings what `hash` is looked up in into cache.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Brings what `hash` is looked up in into cache, and says where that is.
    #[inline(always)]
    pub(crate) fn approach(&self, hash: u64) -> FlowRef {
        FlowRef::from_bits(self.index.approach(hash))
    }

    /// The first flow whose key may hash to `hash`, which is looked up where [`approach`](Self::approach) has
    /// said; it is brought into cache.
    #[inline(always)]
    pub(crate) fn candidate(&self, place: FlowRef, hash: u64) -> FlowRef {
        let found = self.index.first(place.to_bits(), hash);
        // The lines of all flows lie one after the other.
        let lines = self.hot.as_ptr().cast::<Line>();
        prefetch::line(lines.wrapping_add(found.to_bits() as usize).addr());
        found
    }

    /// Whether `found` bears `key`.
    #[inline]
    pub(crate) fn bears(&self, found: FlowRef, key: &Key) -> bool {
        self.key(found.flow(), found.direction()).is_some_and(|own| own == *key)
    }

    /// The flow and direction that bear `key`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &Key) -> Option<(FlowId, Direction)> {
        let found = self.find_ref(hash, key)?;
        Some((found.flow(), found.direction()))
    }

    /// The same in one word.
    pub(crate) fn find_ref(&self, hash: u64, key: &Key) -> Option<FlowRef> {
        self.index.find(hash, |flow| self.bears(flow, key))
    }

    /// The flow that is found by the reply key of `flow`, which hashes to `hash`.
    pub(crate) fn holder(&self, flow: FlowId, hash: u64) -> Option<FlowId> {
        // Seldom is there one that it must be compared with.
        let is_one = |it| self.key(flow, Direction::Reply).is_some_and(|key| self.bears(it, &key));
        Some(self.index.find(hash, is_one)?.flow())
    }

    /// What is known of the packets that are `found`, to be changed.
    #[inline(always)]
    pub(crate) fn line_mut(&mut self, found: FlowRef) -> Option<&mut Line> {
        let hot = self.hot.get_mut(found.flow().index())?;
        Some(hot.line_mut(found.direction()))
    }

    /// The same of IPv6, with its addresses.
    #[inline(always)]
    pub(crate) fn line_v6_mut(&mut self, found: FlowRef) -> Option<(&mut Line, &[Addr; 2])> {
        let slot = found.flow().index();
        let line = self.hot.get_mut(slot)?.line_mut(found.direction());
        let wide = self.wide.get(slot)?;
        Some((line, &wide[found.direction() as usize]))
    }

    /// The key of a flow's packets of `direction`; also that of a flow given up in this batch.
    #[must_use]
    pub fn key(&self, flow: FlowId, direction: Direction) -> Option<Key> {
        let slot = flow.index();
        Some(self.hot.get(slot)?.key(direction, || self.wide.get(slot)))
    }

    /// Both keys of a flow, by [`Direction`].
    #[must_use]
    pub fn keys_of(&self, flow: FlowId) -> Option<[Key; 2]> {
        Some([self.key(flow, Direction::Original)?, self.key(flow, Direction::Reply)?])
    }

    /// A flow's hot part; also that of a flow given up in this batch.
    #[must_use]
    #[inline]
    pub fn hot(&self, flow: FlowId) -> Option<&Hot> {
        self.hot.get(flow.index())
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn hot_mut(&mut self, flow: FlowId) -> Option<&mut Hot> {
        self.hot.get_mut(flow.index())
    }

    /// Both parts of a flow.
    #[must_use]
    pub fn parts(&self, flow: FlowId) -> Option<(&Hot, &Cold)> {
        Some((self.hot.get(flow.index())?, self.cold.get(flow.index())?))
    }

    /// The same, to be changed.
    pub(crate) fn parts_mut(&mut self, flow: FlowId) -> Option<(&mut Hot, &mut Cold)> {
        Some((self.hot.get_mut(flow.index())?, self.cold.get_mut(flow.index())?))
    }

    /// Brings the slot that is taken after so many others into cache, if slots are taken one after the other.
    pub(crate) fn prefetch_slot(&self, others: usize) {
        let slot = self.taken.lowest() + others;
        if let (Some(hot), Some(cold)) = (self.hot.get(slot), self.cold.get(slot)) {
            prefetch::read(hot);
            prefetch::read(cold);
        }
        if let Some(wide) = self.wide.get(slot) {
            prefetch::read(wide);
        }
    }

    /// Whether there is room for one more flow.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.limit
    }

    /// A slot, to be [filled](Self::fill); `None` where all are taken.
    pub(crate) fn slot(&mut self) -> Option<FlowId> {
        self.taken.take().map(FlowId::of)
    }

    /// Puts a flow down in a [`slot`](Self::slot), and starts its clock. Nobody finds it until it is
    /// [entered](Self::enter).
    pub(crate) fn fill(
        &mut self,
        flow: FlowId,
        (translation, phase): (&Translation, Phase),
        facets: impl FnOnce(&mut Facets),
        (timers, now): (&Timers, Tick),
    ) {
        let slot = flow.index();
        if let Some(wide) = translation.wide() {
            *self.wide.entry(slot) = wide;
        }
        let hot = &mut self.hot[slot];
        hot.begin(translation, phase);
        let cold = self.cold.entry(slot);
        facets(&mut cold.facets);
        cold.settle(hot, timers, now);
    }

    /// Gives up what was [filled](Self::fill) and not entered; what its devices remember.
    pub(crate) fn vacate(&mut self, flow: FlowId) -> Facets {
        self.given_up.push(flow.0);
        self.cold.get_mut(flow.index()).map(std::mem::take).unwrap_or_default().facets
    }

    /// Has what was [filled](Self::fill) found by both its keys, which no other flow has.
    pub(crate) fn enter(&mut self, flow: FlowId, hashes: Hashes) -> (&mut Hot, &mut Cold) {
        let slot = flow.index();
        self.live.insert(slot);
        self.index.insert(hashes[0], FlowRef::new(flow, Direction::Original));
        self.index.insert(hashes[1], FlowRef::new(flow, Direction::Reply));
        let hot = &mut self.hot[slot];
        let node = self.wheel.enter(&mut self.cold, flow.0, hot.deadline());
        let cold = self.cold.entry(slot);
        cold.node = node;
        (hot, cold)
    }

    /// Takes a flow out and gives its cold part, and what its keys hash to; `None` if it is gone
    /// already.
    pub(crate) fn remove(&mut self, flow: FlowId) -> Option<(Cold, Hashes)> {
        let slot = flow.index();
        if !self.live.remove(slot) {
            return None;
        }
        let hashes = [Direction::Original, Direction::Reply].map(|it| self.unindex(flow, it));
        self.wheel.cancel(&mut self.cold, flow.0);
        self.given_up.push(flow.0);
        Some((std::mem::take(self.cold.get_mut(slot)?), hashes))
    }

    /// Makes the flow unreachable from the outside: its translation is over, its original key
    /// remains.
    pub(crate) fn park(&mut self, flow: FlowId) {
        let Some([original, reply]) = self.keys_of(flow) else { return };
        if reply.is_parked() {
            return;
        }
        self.unindex(flow, Direction::Reply);
        let parked = original.parked();
        self.hot[flow.index()].park(&parked);
        if let Some([_, reply]) = self.wide.get_mut(flow.index()) {
            *reply = [parked.src, parked.dst];
        }
        self.index.insert(self.hash(&parked), FlowRef::new(flow, Direction::Reply));
    }

    /// Tells the wheel of a flow whose deadline has come closer.
    pub(crate) fn reschedule(&mut self, flow: FlowId) {
        if let Some(hot) = self.hot.get(flow.index()) {
            self.wheel.schedule(&mut self.cold, flow.0, hot.deadline());
        }
    }

    /// The next flows that are due by `now`, looking at no more than `budget` flows, which it
    /// lowers; `None` when there is nothing more to look at.
    pub(crate) fn due(&mut self, now: Tick, budget: &mut usize) -> Option<Due> {
        let mut due = Due::new();
        while *budget > 0 && !due.is_full() {
            let Some(slot) = self.wheel.visit(&mut self.cold, now) else { break };
            *budget -= 1;
            if let Some(hot) = self.hot.get(slot as usize) {
                for direction in [Direction::Original, Direction::Reply] {
                    prefetch::read(hot.line(direction));
                }
            }
            due.push(FlowId(slot));
        }
        if due.is_empty() {
            return None;
        }
        due.retain(|flow| {
            let hot = &mut self.hot[flow.index()];
            let is_due = hot.level().is_due(now);
            if is_due {
                for direction in [Direction::Original, Direction::Reply] {
                    let key = hot.key(direction, || self.wide.get(flow.index()));
                    self.index.prefetch(key.hash(&self.seed));
                }
            } else {
                self.wheel.schedule(&mut self.cold, flow.0, hot.deadline());
            }
            is_due
        });
        Some(due)
    }

    /// Makes [`due`](Self::due) find also what became due in the last second.
    pub(crate) fn open_present(&mut self) {
        self.wheel.open_present();
    }

    /// Lets the slots be used again that were given up since the last call.
    pub(crate) fn reuse(&mut self) {
        while let Some(slot) = self.given_up.pop() {
            let slot = slot as usize;
            self.taken.free(slot);
            if self.taken.is_free(chunk(slot / CHUNK)) {
                self.unused.insert(slot / CHUNK);
            }
        }
    }

    /// Gives back some memory of slots that nobody uses, as little as the kernel takes in tens of microseconds;
    /// `true` when there is no more.
    pub(crate) fn give_back(&mut self) -> bool {
        if let Some(block) = self.unused_block.take() {
            self.release(block);
        } else if let Some(&unused) = self.unused.last() {
            let (slot, is_free) = (unused * CHUNK, self.taken.is_free(chunk(unused)));
            let is_more = is_free && (self.wide.release(slot) || self.cold.release(slot));
            if !is_more {
                self.unused.pop_last();
                self.unused_block = is_free.then_some(slot / BLOCK);
            }
        }
        self.unused.is_empty() && self.unused_block.is_none()
    }

    /// Gives back the hot parts of a block that nobody uses, or of the next one: of neighbours that
    /// are both unused the first stays, so that what comes and goes around a boundary costs nothing.
    fn release(&mut self, block: usize) {
        let range = |block: usize| block * BLOCK..(block + 1) * BLOCK;
        let is_free = |block: usize| self.taken.is_free(range(block));
        if !is_free(block) {
            return;
        }
        let next = is_free(block + 1).then_some(block + 1);
        let own = (block > 0 && is_free(block - 1)).then_some(block);
        for Range { start, end } in [next, own].into_iter().flatten().map(range) {
            let len = self.hot.len();
            self.hot.release(start.min(len)..end.min(len));
        }
    }

    /// The live flows in the next slots from `from` on, no more than a worker looks at between two turns; and where
    /// those behind begin, if there are any.
    pub fn page(&self, from: usize) -> (impl Iterator<Item = FlowId>, Option<usize>) {
        let end = from.saturating_add(Self::PAGE);
        let flows = self.live.from(from).take_while(move |&slot| slot < end).map(FlowId::of);
        (flows, self.live.from(end).next())
    }

    /// The live flows, in the order of their slots.
    pub fn live(&self) -> impl Iterator<Item = FlowId> {
        self.live.from(0).map(FlowId::of)
    }

    /// Takes a key of a live flow out of the index, and gives its hash.
    fn unindex(&mut self, flow: FlowId, direction: Direction) -> u64 {
        let key = self.hot[flow.index()].key(direction, || self.wide.get(flow.index()));
        let hash = self.hash(&key);
        let removed = self.index.remove(hash, FlowRef::new(flow, direction));
        debug_assert!(removed, "a live flow is indexed under both its keys");
        hash
    }
}

/// The slots of a chunk.
const fn chunk(number: usize) -> Range<usize> {
    number * CHUNK..(number + 1) * CHUNK
}

impl Nodes for Chunks<Cold> {
    fn node(&mut self, slot: u32) -> &mut Node {
        &mut self.get_mut(slot as usize).expect("the wheel is told of slots that are used").node
    }
}
