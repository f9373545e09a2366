//! All flows of one worker: slots, the index over both keys of each, and the wheel that visits them.
//!
//! Both keys are indexed or neither. A slot that is given up is used again only after
//! [`Flows::reuse`], which the worker calls between batches: what a packet of the present batch
//! found stays true to its end.

use std::ops::Range;

use foldhash::fast::FixedState;

use crate::io::pages::{HUGE, Pages};
use crate::packet::{Batch, Direction, Key};
use crate::state::chunks::{CHUNK, Chunks};
use crate::state::flow::{Cold, Hot};
use crate::state::index::Index;
use crate::state::prefetch;
use crate::state::slots::Slots;
use crate::state::wheel::Wheel;
use crate::time::Tick;

/// A flow, by its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowId(u32);

impl FlowId {
    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A flow and a direction in one word: twice the slot and two, and one more for replies; zero for
/// neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct FlowRef(u32);

impl FlowRef {
    /// No flow: its slot is none.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn new(flow: FlowId, direction: Direction) -> Self {
        Self((flow.0 + 1) << 1 | direction as u32)
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
        FlowId((self.0 >> 1).wrapping_sub(1))
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
    cold: Chunks<Cold>,
    wheel: Wheel,
    /// Slots that hold a flow, or held one during this batch.
    taken: Slots,
    /// A bit for each slot that holds a flow, up to the highest that ever did.
    live: Vec<u64>,
    /// Slots that were given up during this batch.
    given_up: Vec<u32>,
    limit: usize,
}

/// Why a flow could not be inserted.
#[derive(Debug)]
pub(crate) enum Refused {
    /// As many flows as the table takes; gives back what was to be inserted.
    Full(Box<Cold>),
    /// One of its keys is another flow's; gives back what was to be inserted.
    Taken(Box<Cold>, FlowId),
}

/// Slots whose hot parts fill a huge page.
const BLOCK: usize = HUGE / size_of::<Hot>();

const _: () = assert!(BLOCK.is_multiple_of(CHUNK));

impl Flows {
    /// The most flows that slots can be numbered for.
    pub const MAX: usize = (u32::MAX >> 1) as usize - 2 - Self::SPARE;

    /// Slots beyond the limit, for those that were given up and cannot be used again within the
    /// batch: each packet may take the place of the flows that hold its two keys.
    const SPARE: usize = 2 * Batch::PACKETS;

    /// Room for `limit` flows, at most [`Flows::MAX`]. Memory is reserved for all, and used as flows
    /// come.
    #[must_use]
    pub fn new(limit: usize, seed: u64, now: Tick) -> Self {
        let limit = limit.min(Self::MAX);
        let slots = limit + Self::SPARE;
        Self {
            seed: FixedState::with_seed(seed),
            index: Index::new(2 * limit),
            hot: Pages::zeroed(slots),
            cold: Chunks::new(),
            wheel: Wheel::new(now),
            taken: Slots::new(slots),
            live: Vec::new(),
            given_up: Vec::new(),
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
    #[inline(always)]
    pub fn hash(&self, key: &Key) -> u64 {
        key.hash(&self.seed)
    }

    /// Brings what `hash` is looked up in into cache.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// The first flow whose key may hash to `hash`, brought into cache.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> FlowRef {
        let found = self.index.first(hash);
        if let Some(hot) = self.hot.get(found.flow().index()) {
            prefetch::read(hot);
            prefetch::read(hot.key(Direction::Reply));
        }
        found
    }

    /// Whether `found` bears `key`.
    #[inline]
    pub(crate) fn bears(&self, found: FlowRef, key: &Key) -> bool {
        self.hot.get(found.flow().index()).is_some_and(|hot| hot.key(found.direction()) == key)
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

    /// Adds a flow under both its keys, or under neither.
    pub(crate) fn insert(&mut self, hot: Hot, cold: Cold) -> Result<FlowId, Refused> {
        let (original, reply) = (*hot.key(Direction::Original), *hot.key(Direction::Reply));
        let hashes = [self.hash(&original), self.hash(&reply)];
        for (key, hash) in [(&original, hashes[0]), (&reply, hashes[1])] {
            if let Some((holder, _)) = self.find(hash, key) {
                return Err(Refused::Taken(Box::new(cold), holder));
            }
        }
        if self.len() >= self.limit {
            return Err(Refused::Full(Box::new(cold)));
        }
        let Some(slot) = self.taken.take() else { return Err(Refused::Full(Box::new(cold))) };
        let flow = FlowId(u32::try_from(slot).expect("slots are numbered below 2^31"));
        let deadline = hot.deadline();
        self.hot[slot] = hot;
        self.cold.set(slot, cold);
        if slot / 64 >= self.live.len() {
            self.live.resize(slot / 64 + 1, 0);
        }
        self.live[slot / 64] |= 1 << (slot % 64);
        self.index.insert(hashes[0], FlowRef::new(flow, Direction::Original));
        self.index.insert(hashes[1], FlowRef::new(flow, Direction::Reply));
        self.wheel.schedule(flow.0, deadline);
        Ok(flow)
    }

    /// Takes a flow out and gives its cold part; `None` if it is gone already.
    pub(crate) fn remove(&mut self, flow: FlowId) -> Option<Cold> {
        let slot = flow.index();
        let live = self.live.get_mut(slot / 64)?;
        if *live & 1 << (slot % 64) == 0 {
            return None;
        }
        *live &= !(1 << (slot % 64));
        for direction in [Direction::Original, Direction::Reply] {
            self.unindex(flow, direction);
        }
        self.wheel.cancel(flow.0);
        self.given_up.push(flow.0);
        self.cold.get_mut(slot).map(std::mem::take)
    }

    /// Makes the flow unreachable from the outside: its translation is over, its original key
    /// remains.
    pub(crate) fn park(&mut self, flow: FlowId) {
        let Some(hot) = self.hot.get(flow.index()) else { return };
        if hot.key(Direction::Reply).is_parked() {
            return;
        }
        self.unindex(flow, Direction::Reply);
        let hot = &mut self.hot[flow.index()];
        hot.park();
        let key = *hot.key(Direction::Reply);
        self.index.insert(self.hash(&key), FlowRef::new(flow, Direction::Reply));
    }

    /// Tells the wheel of a flow whose deadline has come closer.
    pub(crate) fn reschedule(&mut self, flow: FlowId) {
        if let Some(hot) = self.hot.get(flow.index()) {
            self.wheel.schedule(flow.0, hot.deadline());
        }
    }

    /// The next flow that is due by `now`, looking at no more than `budget` flows, which it lowers.
    pub(crate) fn due(&mut self, now: Tick, budget: &mut usize) -> Option<FlowId> {
        while *budget > 0 {
            let slot = self.wheel.visit(now)?;
            *budget -= 1;
            let deadline = self.hot[slot as usize].deadline();
            if deadline.is_due(now) {
                return Some(FlowId(slot));
            }
            self.wheel.schedule(slot, deadline);
        }
        None
    }

    /// Makes [`due`](Self::due) find also what became due in the last second.
    pub(crate) fn open_present(&mut self) {
        self.wheel.open_present();
    }

    /// Lets the slots be used again that were given up since the last call, and gives back the memory
    /// of many that nobody uses.
    pub(crate) fn reuse(&mut self) {
        while let Some(slot) = self.given_up.pop() {
            let slot = slot as usize;
            self.taken.free(slot);
            let chunk = slot / CHUNK * CHUNK;
            if self.taken.is_free(chunk..chunk + CHUNK) {
                self.cold.release(slot);
                self.release(slot / BLOCK);
            }
        }
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

    /// The slots from `from` on that hold a live flow.
    pub fn live_from(&self, from: usize) -> impl Iterator<Item = (usize, FlowId)> {
        let words = self.live.iter().enumerate().skip(from / 64).filter(|(_, bits)| **bits != 0);
        let slots = words.flat_map(|(word, &bits)| {
            (0..64).filter(move |bit| bits & 1 << bit != 0).map(move |bit| word * 64 + bit)
        });
        slots
            .skip_while(move |&slot| slot < from)
            .map(|slot| (slot, FlowId(u32::try_from(slot).expect("slots are numbered below 2^31"))))
    }

    fn unindex(&mut self, flow: FlowId, direction: Direction) {
        let key = *self.hot[flow.index()].key(direction);
        let removed = self.index.remove(self.hash(&key), FlowRef::new(flow, direction));
        debug_assert!(removed, "a live flow is indexed under both its keys");
    }
}
