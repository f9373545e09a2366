//! Which flows are to be looked at next: a timer wheel that visits, and leaves judging to others.
//!
//! A packet moves its flow's deadline without touching the wheel. When the wheel comes to a flow,
//! its owner retires it or schedules it again at its true deadline, so a busy flow costs one visit
//! an idle time. Three levels of lists, linked through one node a flow slot; a coarser list is
//! visited, and so spread over the finer ones, when the finer level has gone round.

use crate::time::Tick;

/// Bits of a tick below the wheel's unit of 1.024 s.
const UNIT_BITS: u32 = 10;
/// Lists in the first two levels.
const LISTS: u32 = 256;
/// Lists in the third: with it the wheel spans every tick.
const TOP_LISTS: u32 = 64;
const TOP: u32 = 2 * LISTS;
/// The list that is being visited.
const VISITING: u32 = TOP + TOP_LISTS;
const HEADS: usize = VISITING as usize + 1;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    next: u32,
    list: u32,
}

/// Flow slots by the time at which they are to be looked at.
#[derive(Debug)]
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    heads: Box<[u32; HEADS]>,
    /// The unit whose list is open: flows due in it wait there until it has passed.
    cursor: u32,
}

impl Wheel {
    /// An empty wheel that stands at `now`.
    pub(crate) fn new(now: Tick) -> Self {
        Self { nodes: Vec::new(), heads: Box::new([NONE; HEADS]), cursor: unit(now) }
    }

    /// Puts `slot` where it will be visited once `at` has passed, by at most 1.024 s more; a slot
    /// that is scheduled already is moved.
    pub(crate) fn schedule(&mut self, slot: u32, at: Tick) {
        self.cancel(slot);
        let target = unit(at);
        let ahead = target.wrapping_sub(self.cursor) & UNITS;
        // A moment that lies behind counts as the present unit.
        let list = if ahead > UNITS / 2 {
            self.cursor % LISTS
        } else if ahead < LISTS {
            target % LISTS
        } else if (target >> 8).wrapping_sub(self.cursor >> 8) & (UNITS >> 8) < LISTS {
            LISTS + (target >> 8) % LISTS
        } else {
            TOP + (target >> 16) % TOP_LISTS
        };
        self.push(slot, list);
    }

    /// Takes `slot` out, if it is in.
    pub(crate) fn cancel(&mut self, slot: u32) {
        let Some(&Node { previous, next, list }) = self.nodes.get(slot as usize) else { return };
        if list == NONE {
            return;
        }
        match self.nodes.get_mut(previous as usize) {
            Some(node) => node.next = next,
            None => self.heads[list as usize] = next,
        }
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = previous;
        }
        self.nodes[slot as usize].list = NONE;
    }

    /// The next slot to look at by `now`, taken out of the wheel; `None` when the wheel has caught
    /// up with `now`.
    pub(crate) fn visit(&mut self, now: Tick) -> Option<u32> {
        loop {
            let slot = self.heads[VISITING as usize];
            if slot != NONE {
                self.cancel(slot);
                return Some(slot);
            }
            if self.cursor == unit(now) {
                return None;
            }
            let passed = self.cursor;
            self.cursor = (passed + 1) & UNITS;
            self.open(passed % LISTS);
            if self.cursor.is_multiple_of(LISTS) {
                self.open(LISTS + (self.cursor >> 8) % LISTS);
                if self.cursor.is_multiple_of(LISTS * LISTS) {
                    self.open(TOP + (self.cursor >> 16) % TOP_LISTS);
                }
            }
        }
    }

    /// Makes the flows of the unit that has not passed yet visited too, once: those of them that
    /// are due already would otherwise wait for its end.
    pub(crate) fn open_present(&mut self) {
        self.open(self.cursor % LISTS);
    }

    /// Puts a whole list before those that are being visited.
    fn open(&mut self, list: u32) {
        let mut slot = std::mem::replace(&mut self.heads[list as usize], NONE);
        while slot != NONE {
            let next = self.nodes[slot as usize].next;
            self.nodes[slot as usize].list = NONE;
            self.push(slot, VISITING);
            slot = next;
        }
    }

    fn push(&mut self, slot: u32, list: u32) {
        let at = slot as usize;
        if at >= self.nodes.len() {
            self.nodes.resize(at + 1, Node { previous: NONE, next: NONE, list: NONE });
        }
        let next = std::mem::replace(&mut self.heads[list as usize], slot);
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = slot;
        }
        self.nodes[at] = Node { previous: NONE, next, list };
    }
}

/// The units of all ticks, as a mask.
const UNITS: u32 = u32::MAX >> UNIT_BITS;

const fn unit(at: Tick) -> u32 {
    at.millis() >> UNIT_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// Every slot is seen after its time and at most a unit late, or at the first visit after a
        /// jump, whatever the steps.
        #[test]
        fn visits_all_and_in_time(
            start in any::<u32>(),
            times in prop::collection::vec(0_u32..500_000, 1..50),
            steps in prop::collection::vec(1_u32..90_000, 1..40),
        ) {
            let start = Tick::at(Duration::from_millis(u64::from(start)));
            let mut wheel = Wheel::new(start);
            let due: Vec<_> = times.iter().map(|&s| start.after(Span::seconds(s))).collect();
            for (slot, &at) in (0..).zip(&due) {
                wheel.schedule(slot, at);
            }
            let mut seen = vec![false; due.len()];
            let mut now = start;
            for step in steps.into_iter().chain([600_000]) {
                let before = now;
                now = now.after(Span::seconds(step));
                while let Some(slot) = wheel.visit(now) {
                    let at = due[slot as usize];
                    if at.is_due(now) {
                        prop_assert!(!at.after(Span::seconds(2)).is_due(before), "late");
                        prop_assert!(!std::mem::replace(&mut seen[slot as usize], true));
                    } else {
                        wheel.schedule(slot, at);
                    }
                }
            }
            prop_assert!(seen.into_iter().all(|seen| seen));
        }
    }

    #[test]
    fn a_cancelled_slot_is_not_seen_and_a_moved_one_once() {
        let start = Tick::default();
        let mut wheel = Wheel::new(start);
        for slot in 0..3 {
            wheel.schedule(slot, start.after(Span::seconds(10)));
        }
        wheel.cancel(1);
        wheel.schedule(2, start.after(Span::seconds(5)));
        let now = start.after(Span::seconds(60));
        let seen: Vec<_> = std::iter::from_fn(|| wheel.visit(now)).collect();
        assert_eq!(seen, [2, 0]);
    }

    #[test]
    fn the_present_unit_can_be_opened() {
        let start = Tick::default();
        let mut wheel = Wheel::new(start);
        wheel.schedule(7, start);
        assert_eq!(wheel.visit(start), None);
        wheel.open_present();
        assert_eq!(wheel.visit(start), Some(7));
        assert_eq!(wheel.visit(start), None);
    }
}
