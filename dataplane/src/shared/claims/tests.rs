use std::collections::HashMap;
use std::hash::BuildHasher;

use proptest::prelude::*;

use super::*;

proptest! {
    /// Against a map, with hashes chosen so that buckets overflow and wrap.
    #[test]
    fn agrees_with_a_map(
        steps in prop::collection::vec((any::<bool>(), 0_u64..40, 0_u64..40, 0_u16..3), 1..600),
    ) {
        let claims = Claims::new(64 * PARTS * FULLEST);
        let mut model: HashMap<u64, WorkerId> = HashMap::new();
        for (claims_it, home, low, owner) in steps {
            // Most of them at home in the last four of sixteen rows, and of as many rows as there are.
            let half = (home % 4 + 12) | (home / 4 % 4) << 4 | (home / 16) << 8;
            let hash = half << 32 | (low / 2) << 20 | (low % 2);
            let owner = WorkerId(owner);
            if claims_it {
                let holder = *model.entry(hash).or_insert(owner);
                prop_assert_eq!(claims.claim(hash, owner), holder);
            } else {
                claims.release(hash, owner);
                if model.get(&hash) == Some(&owner) {
                    model.remove(&hash);
                }
            }
            prop_assert_eq!(claims.len(), model.len());
            for (&hash, &owner) in &model {
                prop_assert_eq!(claims.owner(hash), Some(owner));
            }
        }
    }
}

#[test]
fn what_there_is_no_room_for_is_nobodys() {
    let claims = Claims::new(0);
    let hash = |n: u64| n << 40 | n << 20;
    let places = 0..(LEAST * WAYS) as u64;
    let more = places.end;
    for n in places.clone() {
        assert_eq!(claims.claim(hash(n), WorkerId(1)), WorkerId(1));
    }
    assert_eq!(
        (claims.claim(hash(more), WorkerId(2)), claims.owner(hash(more))),
        (WorkerId(2), None)
    );
    claims.release(hash(more), WorkerId(2));
    assert!(places.clone().all(|n| claims.owner(hash(n)) == Some(WorkerId(1))));
    claims.release(hash(0), WorkerId(1));
    assert_eq!(claims.claim(hash(more), WorkerId(2)), WorkerId(2));
    assert_eq!((claims.owner(hash(more)), claims.owner(hash(0))), (Some(WorkerId(2)), None));
    assert_eq!(claims.len() as u64, places.end);
}

#[test]
fn grows_to_many_and_shrinks_to_none() {
    let seed = foldhash::fast::FixedState::with_seed(3);
    let hash = |n: u32| seed.hash_one(n);
    let claims = Claims::new(1_000_000);
    for n in 0..500_000 {
        assert_eq!(claims.claim(hash(n), WorkerId(1)), WorkerId(1));
    }
    let homes = |claims: &Claims| claims.parts.iter().map(|part| part.homes().count()).sum();
    let bytes: usize = homes(&claims) * size_of::<SharedLine>();
    assert!(bytes < 22 * claims.len(), "{bytes} bytes");
    assert!(claims.blocks.lock().unwrap().iter().filter(|parts| **parts > 0).count() > 4);
    for n in 0..500_000 {
        assert_eq!(claims.owner(hash(n)), Some(WorkerId(1)));
        claims.release(hash(n), WorkerId(1));
        assert_eq!(claims.owner(hash(n)), None);
    }
    assert_eq!((claims.len(), homes(&claims)), (0, LEAST * PARTS));
    assert!(claims.blocks.lock().unwrap()[1..].iter().all(|parts| *parts == 0));
    assert!(
        claims.buckets.iter().flat_map(|line| &line.0).all(|it| it.load(Ordering::Relaxed) == 0)
    );
}

/// What is claimed all the time is found at any moment, whatever moves meanwhile.
#[test]
fn who_only_asks_misses_nothing_that_moves() {
    let seed = foldhash::fast::FixedState::with_seed(4);
    // All of one part.
    let hash = |n: u32| seed.hash_one(n) / PARTS as u64 * PARTS as u64;
    let claims = Claims::new(4_000_000);
    let steady = 0..64;
    steady.clone().for_each(|n| _ = claims.claim(hash(n), WorkerId(0)));
    std::thread::scope(|scope| {
        let changes = (1..3).map(|worker| {
            let (claims, worker) = (&claims, WorkerId(worker));
            let own = u32::from(worker.0) * 10_000..u32::from(worker.0) * 10_000 + 2000;
            scope.spawn(move || {
                for _ in 0..20 {
                    for n in own.clone() {
                        assert_eq!(claims.claim(hash(n), worker), worker);
                    }
                    own.clone().for_each(|n| claims.release(hash(n), worker));
                }
            })
        });
        let changes: Vec<_> = changes.collect();
        while !changes.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            for n in steady.clone() {
                assert_eq!(claims.owner(hash(n)), Some(WorkerId(0)));
            }
        }
    });
    assert_eq!(claims.len(), 64);
}

#[test]
fn of_several_who_claim_at_once_one_has_it() {
    let claims = Claims::new(100_000);
    let seed = foldhash::fast::FixedState::with_seed(5);
    let won: usize = std::thread::scope(|scope| {
        let claim = |worker: u16| {
            let (claims, seed, worker) = (&claims, &seed, WorkerId(worker));
            move || {
                let own = |n: &u32| claims.claim(seed.hash_one(n), worker) == worker;
                (0..20_000_u32).filter(own).count()
            }
        };
        let threads: Vec<_> = (0..4).map(|worker| scope.spawn(claim(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((won, claims.len()), (20_000, 20_000));
}
