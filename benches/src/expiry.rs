//! A million flows open, are held and end, while others go on: what does a turn have to do for them, and
//! what is left of them?

use std::time::Duration;

use dataplane::state::Shard;
use fastrand::Rng;

use crate::contest::nanoseconds;
use crate::machine::Occupied;
use crate::ours::Instance;
use crate::{Cheated, Profile, Ring};

/// What a turn may look at, at most.
const LOOKED_AT: u64 = Shard::EXPIRY_BUDGET as u64;

/// Sessions that go on all the time. As many others are opened at a time, so that what their packets
/// occupy is there before them.
const STEADY: usize = 1 << 10;

/// How much later than the last a turn is while flows are held: they fall silent one by one, over
/// seconds.
const HELD: Duration = Duration::from_millis(1);

/// How much later a busy worker's next turn is.
const AT_ONCE: Duration = Duration::from_micros(100);

/// How much later the next turn is where nothing is to be done meanwhile. Each flow that goes on has a
/// packet every eighth turn, and may be silent for 350 s.
const LATER: Duration = Duration::from_secs(30);

/// What came out.
#[derive(Clone, Debug)]
pub struct Burst {
    /// Flows that ended.
    pub flows: usize,
    /// The most that a turn has looked at.
    pub looked_at: u64,
    /// What each turn has spent that left something to do for the next, in microseconds of the worker's
    /// processor time, turn by turn.
    pub spent: Vec<f64>,
    /// Memory that the flows occupied, in bytes.
    pub occupied: u64,
    /// What of it was still there when they were gone.
    pub kept: u64,
}

impl Burst {
    /// Opens a profile's sessions, and has all but some of them fall silent, in random order: their
    /// mappings end after 350 s, what security groups remember after five days.
    ///
    /// # Errors
    ///
    /// When somebody did not do the work, or a turn looked at more than it may.
    pub fn of(profile: &Profile) -> Result<Self, Cheated> {
        let instance = Instance::of(profile);
        let mut ours = instance.worker(0, profile.sessions() as usize);
        let sessions: Vec<u32> = (0..profile.sessions()).collect();
        let (steady, burst) = sessions.split_at(STEADY);
        let mut shuffled = burst.to_vec();
        Rng::with_seed(1).shuffle(&mut shuffled);
        let mut traffic = Ring::default();
        traffic.go_on(profile, steady);
        let mut held = traffic.clone();
        ours.establish(profile, steady)?;
        ours.run(&traffic);

        let before = Occupied::now().resident;
        for sessions in burst.chunks(STEADY) {
            ours.establish(profile, sessions)?;
            ours.run(&traffic);
        }
        for sessions in shuffled.chunks(STEADY) {
            held.clear();
            held.go_on(profile, sessions);
            for batch in held.batches() {
                ours.carry(batch, HELD);
                ours.expire();
            }
        }
        ours.run(&traffic);
        ours.check(sessions.len())?;
        let occupied = Occupied::now().resident.saturating_sub(before);

        let (mut looked_at, mut spent) = (0, Vec::with_capacity(burst.len()));
        let (mut at, mut is_done) = (0, true);
        while ours.flows() > STEADY || !is_done {
            ours.carry(traffic.next_batch(&mut at), if is_done { LATER } else { AT_ONCE });
            let before = ours.looked_at();
            let time = nanoseconds(|| is_done = ours.expire());
            looked_at = looked_at.max(ours.looked_at() - before);
            if !is_done {
                spent.push(time / 1e3);
            }
        }
        ours.check(STEADY)?;
        if looked_at > LOOKED_AT {
            return Err(Cheated(format!(
                "a turn has looked at {looked_at} flows, not {LOOKED_AT}"
            )));
        }
        let held = instance.held();
        if held != (STEADY as u64, 2 * STEADY) {
            return Err(Cheated(format!("{STEADY} flows hold {held:?} ports and hashes")));
        }
        let kept = Occupied::now().resident.saturating_sub(before);
        Ok(Self { flows: burst.len(), looked_at, spent, occupied, kept })
    }
}
