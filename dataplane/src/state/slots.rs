//! Which slots of a table are taken: the lowest free one is found in four steps, whatever is taken.
//!
//! A tree of bitmaps, 64 branches a node: a bit of the lowest level says that a slot is taken, one
//! of a higher level that all below it are. Because low slots are taken first, a table that has
//! shrunk is dense again after a while, and what lies above can be given back.

use std::ops::Range;

/// Which of a number of slots are taken.
#[derive(Debug)]
pub(crate) struct Slots {
    /// The lowest level first; the highest is one word.
    levels: Vec<Vec<u64>>,
    limit: usize,
    /// All below are taken.
    lowest: usize,
}

impl Slots {
    /// `limit` free slots.
    pub(crate) fn new(limit: usize) -> Self {
        let mut levels = Vec::new();
        let mut bits = limit.max(1);
        loop {
            bits = bits.div_ceil(64);
            levels.push(vec![0; bits]);
            if bits == 1 {
                return Self { levels, limit, lowest: 0 };
            }
        }
    }

    /// Takes the lowest free slot.
    pub(crate) fn take(&mut self) -> Option<usize> {
        // Mostly slots are taken one after the other.
        let slot = match self.is_taken(self.lowest) {
            false => self.lowest,
            true => self.find()?,
        };
        if slot >= self.limit {
            return None;
        }
        self.lowest = slot + 1;
        let mut at = slot;
        for level in &mut self.levels {
            level[at / 64] |= 1 << (at % 64);
            if level[at / 64] != u64::MAX {
                break;
            }
            at /= 64;
        }
        Some(slot)
    }

    /// The slot that is taken next, mostly; no free one is below.
    pub(crate) const fn lowest(&self) -> usize {
        self.lowest
    }

    /// The lowest free slot, or one behind all if there is none.
    fn find(&self) -> Option<usize> {
        self.levels.iter().rev().try_fold(0, |at, level| {
            let free = level.get(at)?.trailing_ones();
            (free < 64).then_some(at * 64 + free as usize)
        })
    }

    /// Makes `slot` free; whether it was taken.
    pub(crate) fn free(&mut self, slot: usize) -> bool {
        if !self.is_taken(slot) {
            return false;
        }
        self.lowest = self.lowest.min(slot);
        let mut at = slot;
        for level in &mut self.levels {
            let was_full = level[at / 64] == u64::MAX;
            level[at / 64] &= !(1 << (at % 64));
            if !was_full {
                break;
            }
            at /= 64;
        }
        true
    }

    /// Whether all slots of `range` are free, which is of whole words.
    pub(crate) fn is_free(&self, range: Range<usize>) -> bool {
        let words = self.levels[0].iter().take(range.end / 64).skip(range.start / 64);
        words.copied().all(|word| word == 0)
    }

    fn is_taken(&self, slot: usize) -> bool {
        self.levels[0].get(slot / 64).is_some_and(|word| word & 1 << (slot % 64) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_set(
            limit in 1_usize..10_000,
            fill in 0_usize..10_000,
            steps in prop::collection::vec(prop::option::of(0_usize..10_000), 0..300),
        ) {
            let mut slots = Slots::new(limit);
            let mut free: BTreeSet<usize> = (0..limit).collect();
            for _ in 0..fill {
                prop_assert_eq!(slots.take(), free.pop_first());
            }
            for step in steps {
                match step {
                    Some(slot) => {
                        let was_taken = slot < limit && free.insert(slot);
                        prop_assert_eq!(slots.free(slot), was_taken);
                    }
                    None => prop_assert_eq!(slots.take(), free.pop_first()),
                }
            }
            for word in 0..limit / 64 {
                let range = word * 64..(word + 2) * 64;
                let is_free = range.clone().all(|slot| slot >= limit || free.contains(&slot));
                prop_assert_eq!(slots.is_free(range), is_free);
            }
        }
    }
}
