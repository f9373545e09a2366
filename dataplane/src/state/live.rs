//! Which slots hold a live flow? One bit each, so that those who look through all of them skip what is free 64 at a
//! time, and can stop anywhere and go on later.

/// A bit for each slot, up to the highest that ever held a flow.
#[derive(Debug, Default)]
pub(super) struct Live(Vec<u64>);

impl Live {
    /// `slot` holds a flow from now on.
    #[inline]
    pub(super) fn insert(&mut self, slot: usize) {
        if slot / 64 >= self.0.len() {
            self.0.resize(slot / 64 + 1, 0);
        }
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    /// `slot` holds none any more; whether it did.
    pub(super) fn remove(&mut self, slot: usize) -> bool {
        let Some(word) = self.0.get_mut(slot / 64) else { return false };
        let bit = 1 << (slot % 64);
        let was_live = *word & bit != 0;
        *word &= !bit;
        was_live
    }

    /// The slots from `from` on that hold one, in order.
    pub(super) fn from(&self, from: usize) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate().skip(from / 64).filter(|(_, bits)| **bits != 0);
        let slots = words.flat_map(|(word, &bits)| {
            (0..64).filter(move |bit| bits & 1 << bit != 0).map(move |bit| word * 64 + bit)
        });
        slots.skip_while(move |&slot| slot < from)
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
            steps in prop::collection::vec((any::<bool>(), 0_usize..1000), 0..300),
            from in 0_usize..1100,
        ) {
            let (mut live, mut set) = (Live::default(), BTreeSet::new());
            for (comes, slot) in steps {
                if comes {
                    live.insert(slot);
                    set.insert(slot);
                } else {
                    prop_assert_eq!(live.remove(slot), set.remove(&slot));
                }
            }
            prop_assert!(live.from(from).eq(set.range(from..).copied()));
        }
    }
}
