//! Which flows are to be looked at next: a timer wheel that visits, and leaves judging to others.
//!
//! A packet moves its flow's deadline without touching the wheel. When the wheel comes to a flow,
//! its owner retires it or schedules it again at its true deadline, so a busy flow costs one visit
//! an idle time. Three levels of lists, linked through a node that each flow has; when the finer
//! level has gone round, a coarser list is visited, and so spread over the finer ones. Whatever is
//! done here is done to one flow: no list is ever walked.

use crate::time::Tick;

/// Bits of a tick below the wheel's unit of 1.024 s.
const UNIT_BITS: u32 = 10;
/// Lists in the first two levels.
const LISTS: u32 = 256;
/// Lists in the third: with it the wheel spans every tick.
const TOP_LISTS: u32 = 64;
const TOP: u32 = 2 * LISTS;
/// What was in the present list when it was opened.
const OPENED: usize = (TOP + TOP_LISTS) as usize;
const NONE: u32 = u32::MAX;

/// A flow's place in the wheel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    previous: u32,
    next: u32,
    /// `NOWHERE` while it is in no list.
    list: u16,
}

const NOWHERE: u16 = u16::MAX;

/// What has a node for each slot that was ever scheduled.
pub(super) trait Nodes {
    /// The node of a slot that the wheel has been told of.
    fn node(&mut self, slot: u32) -> &mut Node;
}

/// Flow slots by the time at which they are to be looked at.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Box<[u32; OPENED + 1]>,
    /// The unit whose list is open: flows due in it wait there until it has passed.
    cursor: u32,
    /// How many flows are in each level.
    levels: [u32; 3],
    /// Whether flows in the present list are to be visited too.
    is_prompt: bool,
}

impl Wheel {
    /// An empty wheel that stands at `now`.
    pub(super) fn new(now: Tick) -> Self {
        let heads = Box::new([NONE; OPENED + 1]);
        Self { heads, cursor: unit(now), levels: [0; 3], is_prompt: false }
    }

    /// Puts `slot` where it will be visited once `at` has passed, by at most 1.024 s more; a slot
    /// that is scheduled already is moved.
    pub(super) fn schedule(&mut self, nodes: &mut impl Nodes, slot: u32, at: Tick) {
        self.cancel(nodes, slot);
        *nodes.node(slot) = self.enter(nodes, slot, at);
    }

    /// Does so with a slot that is not scheduled, but for its own node, which is to be this.
    pub(super) fn enter(&mut self, nodes: &mut impl Nodes, slot: u32, at: Tick) -> Node {
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
        let next = std::mem::replace(&mut self.heads[list as usize], slot);
        if next != NONE {
            nodes.node(next).previous = slot;
        }
        let list = u16::try_from(list).expect("lists are some hundreds");
        self.levels[level(list)] += 1;
        Node { previous: NONE, next, list }
    }

    /// Takes `slot` out, if it is in.
    pub(super) fn cancel(&mut self, nodes: &mut impl Nodes, slot: u32) {
        let &mut Node { previous, next, list } = nodes.node(slot);
        if list == NOWHERE {
            return;
        }
        if previous != NONE {
            nodes.node(previous).next = next;
        } else if self.heads[OPENED] == slot {
            self.heads[OPENED] = next;
        } else {
            self.heads[usize::from(list)] = next;
        }
        if next != NONE {
            nodes.node(next).previous = previous;
        }
        nodes.node(slot).list = NOWHERE;
        self.levels[level(list)] -= 1;
    }

    /// The next slot to look at by `now`, taken out of the wheel; `None` when the wheel has caught
    /// up with `now`.
    pub(super) fn visit(&mut self, nodes: &mut impl Nodes, now: Tick) -> Option<u32> {
        let slot = loop {
            let present = (self.cursor % LISTS) as usize;
            if present == 0
                && let Some(slot) = self.coarser()
            {
                break slot;
            }
            if self.cursor == unit(now) {
                if self.heads[OPENED] == NONE && std::mem::take(&mut self.is_prompt) {
                    self.heads.swap(OPENED, present);
                }
                match self.heads[OPENED] {
                    NONE => return None,
                    slot => break slot,
                }
            }
            // What was opened goes with the rest of its list.
            match (self.heads[OPENED], self.heads[present]) {
                (NONE, NONE) => self.advance(unit(now)),
                (NONE, slot) | (slot, _) => break slot,
            }
        };
        self.cancel(nodes, slot);
        Some(slot)
    }

    /// Makes the flows of the unit that has not passed yet visited too, once: those of them that
    /// are due already would otherwise wait for its end.
    pub(super) fn open_present(&mut self) {
        self.is_prompt = true;
    }

    /// The first slot of the coarser lists whose time begins with the cursor's.
    fn coarser(&self) -> Option<u32> {
        let top = (TOP + (self.cursor >> 16) % TOP_LISTS) as usize;
        let top = if self.cursor.is_multiple_of(LISTS * LISTS) { self.heads[top] } else { NONE };
        let middle = self.heads[(LISTS + (self.cursor >> 8) % LISTS) as usize];
        [top, middle].into_iter().find(|&slot| slot != NONE)
    }

    /// On to the next unit, but not past `end`; to the next coarser list where all finer ones are
    /// empty.
    fn advance(&mut self, end: u32) {
        let step = match self.levels {
            [0, 0, _] => LISTS * LISTS - self.cursor % (LISTS * LISTS),
            [0, _, _] => LISTS - self.cursor % LISTS,
            _ => 1,
        };
        let left = end.wrapping_sub(self.cursor) & UNITS;
        self.cursor = (self.cursor + step.min(left)) & UNITS;
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { previous: NONE, next: NONE, list: NOWHERE }
    }
}

/// The level of a list.
fn level(list: u16) -> usize {
    usize::from(list) / LISTS as usize
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

    impl Nodes for Vec<Node> {
        fn node(&mut self, slot: u32) -> &mut Node {
            &mut self[slot as usize]
        }
    }

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
            let mut nodes = vec![Node::default(); times.len()];
            let due: Vec<_> = times.iter().map(|&s| start.after(Span::seconds(s))).collect();
            for (slot, &at) in (0..).zip(&due) {
                wheel.schedule(&mut nodes, slot, at);
            }
            let mut seen = vec![false; due.len()];
            let mut now = start;
            for step in steps.into_iter().chain([600_000]) {
                let before = now;
                now = now.after(Span::seconds(step));
                while let Some(slot) = wheel.visit(&mut nodes, now) {
                    let at = due[slot as usize];
                    if at.is_due(now) {
                        prop_assert!(!at.after(Span::seconds(2)).is_due(before), "late");
                        prop_assert!(!std::mem::replace(&mut seen[slot as usize], true));
                    } else {
                        wheel.schedule(&mut nodes, slot, at);
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
        let mut nodes = vec![Node::default(); 3];
        for slot in 0..3 {
            wheel.schedule(&mut nodes, slot, start.after(Span::seconds(10)));
        }
        wheel.cancel(&mut nodes, 1);
        wheel.schedule(&mut nodes, 2, start.after(Span::seconds(5)));
        let now = start.after(Span::seconds(60));
        let seen: Vec<_> = std::iter::from_fn(|| wheel.visit(&mut nodes, now)).collect();
        assert_eq!(seen, [2, 0]);
        assert_eq!(wheel.levels, [0; 3]);
    }

    #[test]
    fn the_present_unit_can_be_opened() {
        let start = Tick::default();
        let mut wheel = Wheel::new(start);
        let mut nodes = vec![Node::default(); 3];
        for slot in 0..3 {
            wheel.schedule(&mut nodes, slot, start);
        }
        assert_eq!(wheel.visit(&mut nodes, start), None);
        wheel.open_present();
        assert_eq!(wheel.visit(&mut nodes, start), Some(2));
        // Once: what is scheduled anew waits, and what is opened can be taken out.
        wheel.schedule(&mut nodes, 2, start);
        wheel.cancel(&mut nodes, 1);
        assert_eq!(wheel.visit(&mut nodes, start), Some(0));
        assert_eq!(wheel.visit(&mut nodes, start), None);
        let later = start.after(Span::seconds(3));
        assert_eq!(wheel.visit(&mut nodes, later), Some(2));
        assert_eq!(wheel.visit(&mut nodes, later), None);
    }

    #[test]
    fn days_without_flows_are_a_few_steps() {
        let mut wheel = Wheel::new(Tick::default());
        let mut steps = 0;
        let end = unit(Tick::default().after(Span::seconds(5 * 24 * 3600)));
        while wheel.cursor != end {
            wheel.advance(end);
            steps += 1;
        }
        assert!(steps < 10, "{steps}");
    }
}
