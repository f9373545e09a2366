//! What is measured: packets of known flows, first packets, both mixed; two workers; memory.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::contest::{Samples, median, nanoseconds, take_turns};
use crate::machine::Occupied;
use crate::ours::{CHUNK, Instance};
use crate::pages::Store;
use crate::{BATCH, Cheated, Floor, Ours, Pages, Profile, Ring};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How long each number takes, at least.
    pub lasting: Duration,
    /// Batches of a slice: short beside the moods of a machine, long beside a change of turns.
    pub slice: usize,
}

/// What a packet costs, beside the floor.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Ours, in nanoseconds.
    pub ours: f64,
    /// The floor's on small pages.
    pub floor: f64,
    /// Ours in floors on small pages.
    pub ratio: f64,
    /// The floor's on huge pages.
    pub huge_floor: f64,
    /// Ours in floors on huge pages.
    pub huge_ratio: f64,
}

/// A worker with a flow for each of a profile's sessions.
#[derive(Debug)]
pub struct Filled {
    /// The worker.
    pub ours: Ours,
    /// What a first packet cost, in nanoseconds.
    pub opening: f64,
    /// Memory that the flows occupy, all that they brought with them, in bytes.
    pub occupied: u64,
    /// What of it lies in huge pages.
    pub huge: u64,
}

/// What two workers reach together.
#[derive(Clone, Copy, Debug)]
pub struct Scaling {
    /// What a packet costs one of them alone, in nanoseconds.
    pub one: f64,
    /// What a packet costs both together.
    pub two: f64,
    /// How many times as fast both are.
    pub ratio: f64,
    /// The same of two floors, which have nothing in common but the machine; where they do the same work.
    pub floor: Option<f64>,
}

impl Filled {
    /// Opens the sessions in random order.
    ///
    /// # Errors
    ///
    /// When one was not opened.
    pub fn of(profile: &Profile) -> Result<Self, Cheated> {
        let sessions = shuffled(0, profile.sessions());
        let instance = Instance::of(profile);
        // What a worker takes when it starts is for flows, too.
        let before = Occupied::now();
        let mut left = sessions.len();
        let mut store = Store::of(Profile::flows(left));
        let mut ours = instance.worker(0, room(profile));
        let mut syns = Ring::default();
        let mut time = 0.0;
        for sessions in sessions.chunks(CHUNK) {
            syns.clear();
            syns.open(profile, sessions);
            left -= sessions.len();
            store.keep(Profile::flows(left));
            time += nanoseconds(|| ours.run(&syns));
            ours.answer(&syns)?;
        }
        let after = Occupied::now();
        ours.check(sessions.len())?;
        Ok(Self {
            ours,
            opening: time / f64::from(profile.sessions()),
            occupied: after.resident.saturating_sub(before.resident),
            huge: after.huge.saturating_sub(before.huge),
        })
    }

    /// Packets of these flows, beside the floors; `profile` may differ from the one that opened them in
    /// lengths and order.
    ///
    /// # Errors
    ///
    /// When somebody did not do the work.
    pub fn hits(
        &mut self,
        floors: &mut [Floor; 2],
        profile: &Profile,
        effort: Effort,
    ) -> Result<Cost, Cheated> {
        let ring = Ring::of(profile);
        let in_ipv4 = profile.in_ipv4();
        let other = (in_ipv4 != *profile).then(|| Ring::of(&in_ipv4));
        let floor_ring = other.as_ref().unwrap_or(&ring);
        floors.iter_mut().for_each(|floor| floor.make_room(profile.size));
        let mut at = 0;
        let samples = take_turns(effort.lasting, |who| {
            let floor = floors.get_mut(who);
            let ring = if floor.is_some() { floor_ring } else { &ring };
            let batches = (0..effort.slice).map(|_| ring.next_batch(&mut at));
            let time = match floor {
                Some(floor) => nanoseconds(|| batches.for_each(|batch| floor.turn(batch))),
                None => nanoseconds(|| batches.for_each(|batch| self.ours.turn(batch))),
            };
            Ok(time / packets(effort.slice))
        })?;
        floors.iter().try_for_each(Floor::check)?;
        self.ours.check(profile.sessions() as usize)?;
        Ok(cost(&samples))
    }
}

/// The floors of a profile: on small pages, and on huge ones.
#[must_use]
pub fn floors(profile: &Profile) -> [Floor; 2] {
    let small = Floor::new(&profile.in_ipv4(), Pages::Small);
    let huge = small.copied_to(Pages::Huge);
    [small, huge]
}

/// What a first packet costs, in nanoseconds: all sessions are opened, again and again.
///
/// # Errors
///
/// When one was not opened.
pub fn openings(profile: &Profile, effort: Effort) -> Result<f64, Cheated> {
    let start = Instant::now();
    let mut openings = Vec::new();
    while start.elapsed() < effort.lasting || openings.is_empty() {
        openings.push(Filled::of(profile)?.opening);
    }
    Ok(median(openings))
}

/// Nine in ten packets are of known flows, the tenth opens one; beside the floor, which knows all.
///
/// # Errors
///
/// When somebody did not do the work.
pub fn mixed(floors: &mut [Floor; 2], profile: &Profile, effort: Effort) -> Result<Cost, Cheated> {
    let known = profile.sessions();
    let others: Vec<u32> = (known..known + known / 8).collect();
    let (ring, mixed) = (Ring::of(&profile.in_ipv4()), Ring::mixed(profile, &others));
    floors.iter_mut().for_each(|floor| floor.make_room(profile.size));
    let mut at = 0;
    let samples = take_turns(effort.lasting, |who| {
        let Some(floor) = floors.get_mut(who) else {
            let mut ours = Filled::of(profile)?.ours;
            let time = nanoseconds(|| ours.run(&mixed));
            ours.check(known as usize + mixed.len().div_ceil(10))?;
            return Ok(time / mixed.len() as f64);
        };
        let batches = (0..effort.slice).map(|_| ring.next_batch(&mut at));
        let time = nanoseconds(|| batches.for_each(|batch| floor.turn(batch)));
        Ok(time / packets(effort.slice))
    })?;
    floors.iter().try_for_each(Floor::check)?;
    Ok(cost(&samples))
}

/// Two workers of one instance, each with as many flows of its own as the profile has sessions, on
/// processors of their own; and two floors with as many.
///
/// # Errors
///
/// When one did not do the work.
pub fn two_workers(profile: &Profile, effort: Effort) -> Result<Scaling, Cheated> {
    let instance = Instance::of(profile);
    let sessions = profile.sessions();
    let mut crew = Vec::new();
    for number in [0, 1] {
        let mut ours = instance.worker(number, room(profile));
        let first = u32::from(number) * sessions;
        ours.establish(profile, &shuffled(first, sessions))?;
        crew.push((ours, Ring::from(profile, first), 0));
    }
    // On small pages, which every machine has: what they share is not told by what they take.
    let known = profile.in_ipv4();
    let floor = || Floor::new(&known, Pages::Small);
    let mut floors: Vec<_> = [0, 0].map(|at| (floor(), Ring::of(&known), at)).into();
    let slice = effort.slice * 2;
    let samples: Samples<6> = take_turns(effort.lasting, |who| {
        let count = if who % 3 == BOTH { 2 } else { 1 };
        let time = if who < 3 {
            race(members(&mut crew, who).map(|(place, (ours, ring, at))| {
                (place, move || (0..slice).for_each(|_| ours.turn(ring.next_batch(at))))
            }))
        } else {
            race(members(&mut floors, who - 3).map(|(place, (floor, ring, at))| {
                (place, move || (0..slice).for_each(|_| floor.turn(ring.next_batch(at))))
            }))
        };
        Ok(time / packets(slice * count))
    })?;
    crew.iter().try_for_each(|(ours, ..)| ours.check(sessions as usize))?;
    floors.iter().try_for_each(|(floor, ..)| floor.check())?;
    let floor = median([samples.ratio(3, 5), samples.ratio(4, 5)]);
    Ok(Scaling { floor: Some(floor), ..scaling(&samples) })
}

/// The same with first packets: both open flows at once, from nothing.
///
/// # Errors
///
/// When one did not do the work.
pub fn two_workers_opening(profile: &Profile, effort: Effort) -> Result<Scaling, Cheated> {
    two_workers_from_nothing(profile, effort, false)
}

/// The same with flows that end, all at once.
///
/// # Errors
///
/// When one did not do the work.
pub fn two_workers_ending(profile: &Profile, effort: Effort) -> Result<Scaling, Cheated> {
    two_workers_from_nothing(profile, effort, true)
}

/// What it takes both to open flows, or to have them end, with all that is given back then.
fn two_workers_from_nothing(
    profile: &Profile,
    effort: Effort,
    ends: bool,
) -> Result<Scaling, Cheated> {
    let instance = Instance::of(profile);
    let sessions = profile.sessions();
    let rings = [0, sessions].map(|first| Ring::opening(profile, &shuffled(first, sessions)));
    let samples: Samples<3> = take_turns(effort.lasting, |who| {
        let instance = instance.anew();
        let mut crew: Vec<_> = (0..)
            .zip(&rings)
            .map(|(number, ring)| (instance.worker(number, room(profile)), ring))
            .collect();
        let opening = race(
            members(&mut crew, who).map(|(place, (ours, ring))| (place, move || ours.run(ring))),
        );
        let mut opened = 0;
        members(&mut crew, who).try_for_each(|(_, (ours, _))| {
            opened += sessions;
            ours.check(sessions as usize)
        })?;
        if !ends {
            return Ok(opening / f64::from(opened));
        }
        let ends = members(&mut crew, who).map(|(place, (ours, _))| (place, move || ours.end()));
        Ok(race(ends) / f64::from(opened))
    })?;
    Ok(scaling(&samples))
}

/// Who is both, after the first alone and the second alone.
const BOTH: usize = 2;

/// The first alone, the second alone, or both, each with its place.
fn members<T>(crew: &mut [T], who: usize) -> impl Iterator<Item = (usize, &mut T)> {
    crew.iter_mut().enumerate().filter(move |(place, _)| who == BOTH || who == *place)
}

/// Runs each on the processor of its place, all at once; nanoseconds from the first start to the last
/// end.
fn race(work: impl Iterator<Item = (usize, impl FnOnce() + Send)>) -> f64 {
    let work: Vec<_> = work.collect();
    let processors = processors();
    let barrier = &Barrier::new(work.len());
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let threads = work.into_iter().map(|(place, work)| {
            let processor = processors[place % processors.len()];
            scope.spawn(move || {
                let mut own = CpuSet::new();
                own.set(processor);
                // Where that is forbidden, the kernel places us as it sees fit.
                let _ = sched_setaffinity(None, &own);
                barrier.wait();
                let start = Instant::now();
                work();
                (start, Instant::now())
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|it| it.join().expect("it does not panic")).collect()
    });
    let first = times.iter().map(|&(start, _)| start).min();
    let last = times.iter().map(|&(_, end)| end).max();
    first.zip(last).map_or(f64::NAN, |(first, last)| (last - first).as_secs_f64() * 1e9)
}

/// Processors that this process may use.
fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(None).unwrap_or_default();
    let processors: Vec<usize> =
        (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).collect();
    if processors.is_empty() { vec![0] } else { processors }
}

/// Sessions from `first` on, in random order.
fn shuffled(first: u32, count: u32) -> Vec<u32> {
    let mut sessions: Vec<u32> = (first..first + count).collect();
    Rng::with_seed(u64::from(count)).shuffle(&mut sessions);
    sessions
}

/// Room for all flows that a trial opens.
fn room(profile: &Profile) -> usize {
    profile.sessions() as usize * 5 / 4 + BATCH
}

#[expect(clippy::cast_precision_loss, reason = "far fewer packets than 2^52")]
fn packets(batches: usize) -> f64 {
    (batches * BATCH) as f64
}

fn cost(samples: &Samples<3>) -> Cost {
    Cost {
        ours: samples.median(2),
        floor: samples.median(0),
        ratio: samples.ratio(2, 0),
        huge_floor: samples.median(1),
        huge_ratio: samples.ratio(2, 1),
    }
}

fn scaling<const N: usize>(samples: &Samples<N>) -> Scaling {
    Scaling {
        one: median([samples.median(0), samples.median(1)]),
        two: samples.median(BOTH),
        ratio: median([samples.ratio(0, BOTH), samples.ratio(1, BOTH)]),
        floor: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFORT: Effort = Effort { lasting: Duration::ZERO, slice: 8 };

    fn is_sound(cost: &Cost) {
        let Cost { ours, floor, ratio, huge_floor, huge_ratio } = *cost;
        for value in [ours, floor, ratio, huge_floor, huge_ratio] {
            assert!(value.is_finite() && value > 0.0, "{cost:?}");
        }
    }

    #[test]
    fn every_trial_does_its_work() {
        let profile = Profile::NAT44[0];
        let mut filled = Filled::of(&profile).unwrap();
        assert!(filled.opening > 0.0);
        let mut floors = floors(&profile);
        is_sound(&filled.hits(&mut floors, &profile, EFFORT).unwrap());
        is_sound(&mixed(&mut floors, &profile, EFFORT).unwrap());
        assert!(openings(&profile.without_nat(), EFFORT).unwrap() > 0.0);
        for scaling in [two_workers, two_workers_opening, two_workers_ending] {
            let Scaling { one, two, ratio, floor } = scaling(&profile, EFFORT).unwrap();
            assert!(one > 0.0 && two > 0.0 && ratio > 0.0, "{one} {two} {ratio}");
            assert!(floor.is_none_or(|floor| floor > 0.0), "{floor:?}");
        }
    }

    #[test]
    fn who_runs_alone_runs_as_who_runs_with_others() {
        let nap = || std::thread::sleep(Duration::from_millis(20));
        for work in [vec![nap], vec![nap, nap]] {
            let took = race(work.into_iter().enumerate());
            assert!((20e6..200e6).contains(&took), "{took}");
        }
    }
}
