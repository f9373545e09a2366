use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::packet::{Addr, Key, LinkId};

proptest! {
    /// Against a set of pairs, with hashes chosen so that buckets overflow and wrap; at the end all go again.
    #[test]
    fn agrees_with_a_set(
        // Up to 64 are in a table of 32, which ends behind the last homes.
        entries in prop_oneof![60_usize..=64, 60_usize..300],
        steps in prop::collection::vec((any::<bool>(), 0_u64..80, 0_u32..60), 1..600),
    ) {
        let mut index = Index::with_homes(32, entries);
        let mut model = BTreeSet::new();
        for (insert, home, flow) in steps {
            // Two hashes share a half, no flow stands under both.
            let hash = hash(home) | u64::from(flow % 2);
            if insert {
                if model.len() < entries && model.insert((hash, flow)) {
                    index.insert(hash, FlowRef::from_bits(flow));
                }
            } else {
                let removed = index.remove(hash, FlowRef::from_bits(flow));
                prop_assert_eq!(removed, model.remove(&(hash, flow)));
            }
            agree(&index, &model, hash)?;
        }
        // In an order of their own.
        let mut left: Vec<_> = model.iter().copied().collect();
        left.sort_by_key(|&(hash, flow)| (flow, hash));
        for (hash, flow) in left {
            prop_assert!(index.remove(hash, FlowRef::from_bits(flow)));
            model.remove(&(hash, flow));
            agree(&index, &model, hash)?;
        }
        prop_assert_eq!(index.homes.count(), 32);
    }
}

/// Ten homes, five of them the last ones of 32; by higher bits each is that of eight hashes.
const fn hash(home: u64) -> u64 {
    (((home % 10 + 27) & 31) | ((home / 10) << 5)) << 32
}

/// Nobody is lost, and of those under `hash` nobody is told who is gone.
fn agree(index: &Index, model: &BTreeSet<(u64, u32)>, hash: u64) -> Result<(), TestCaseError> {
    prop_assert_eq!(index.len(), model.len());
    for &(hash, flow) in model {
        let flow = FlowRef::from_bits(flow);
        prop_assert_eq!(index.find(hash, |found| found == flow), Some(flow));
    }
    let under = model.iter().filter(|&&(other, _)| half(other) == half(hash));
    let under: Vec<_> = under.map(|&(_, flow)| FlowRef::from_bits(flow)).collect();
    prop_assert_eq!(index.find(hash, |_| true).is_some(), !under.is_empty());
    let first = index.first(index.approach(hash), hash);
    prop_assert!(first == FlowRef::NONE || under.contains(&first));
    Ok(())
}

#[test]
fn grows_to_many_and_shrinks_to_none() {
    let mut index = Index::new(200_000);
    let seed = foldhash::fast::FixedState::with_seed(7);
    let hash = |n: u32| std::hash::BuildHasher::hash_one(&seed, n);
    for n in 2..200_000 {
        index.insert(hash(n), FlowRef::from_bits(n));
    }
    let longest = index.buckets.iter().filter(|bucket| bucket.is_full()).count();
    assert!(longest < index.homes.count() / 20, "{longest} of {} are full", index.len);
    assert!(index.homes.count() > 90_000);
    for n in 2..200_000 {
        assert!(index.find(hash(n), |flow| flow.to_bits() == n).is_some());
    }
    for n in 2..200_000 {
        assert!(index.remove(hash(n), FlowRef::from_bits(n)));
    }
    assert_eq!((index.len(), index.homes.count()), (0, Index::LEAST_HOMES));
    assert!(index.buckets.iter().all(Bucket::is_empty));
}

/// Many connections of one host, in each table that they may be in: what is asked first is the right one.
#[test]
fn few_packets_are_led_to_another_flow_first() {
    for flows in [60, 600, 6000] {
        let (mut right, mut all) = (0, 0);
        for seed in 0..20 {
            let seed = foldhash::fast::FixedState::with_seed(seed);
            let [inside, outside] =
                [[10, 0, 1, 10], [203, 0, 113, 80]].map(|it| Addr::v4(it.into()));
            let keys: Vec<u64> = (0..flows)
                .map(|flow| Key::new(LinkId(3), 6, (inside, 32768 + flow), (outside, 443)))
                .flat_map(|key| [key.hash(&seed), key.reversed(LinkId(9)).hash(&seed)])
                .collect();
            let mut index = Index::new(200_000);
            for (&hash, flow) in keys.iter().zip(0..) {
                index.insert(hash, FlowRef::from_bits(flow));
            }
            let first = keys.iter().map(|&hash| index.first(index.approach(hash), hash));
            right += first.zip(0..).filter(|(found, flow)| found.to_bits() == *flow).count();
            all += keys.len();
        }
        assert!(right * 1000 >= all * 998, "{right} of {all}");
    }
}
