//! What time is it in there? Real monotonic time, at a scale that can be changed, plus what it was
//! advanced by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

/// The fastest that the clock runs: workers look at it every few real milliseconds, which is then
/// some hours, far less than [`MAX_STEP`](super::MAX_STEP).
pub const FASTEST: f64 = 1e6;

/// The slowest that the clock runs, unless it is paused.
pub const SLOWEST: f64 = 1e-6;

/// The emulated clock: real monotonic time times a scale plus an offset.
///
/// A change of its pace is no jump, and no reader ever sees it go backwards: a time is read under
/// the pace that held while it was read, and a change waits for nobody.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    pace: ArcSwap<Pace>,
    /// Odd while the pace is being changed.
    changes: AtomicU64,
    changing: Mutex<()>,
}

/// How the clock runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How many times as fast as real time, when it is not paused.
    pub scale: f64,
    /// Whether it stands still.
    pub paused: bool,
    /// Real time since the origin at which this pace began.
    since: Duration,
    /// Emulated time at which it began.
    base: Duration,
}

/// What somebody read from the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Emulated time since the clock began.
    pub elapsed: Duration,
    /// How it ran at that time.
    pub pace: Pace,
}

impl Pace {
    fn at(&self, real: Duration) -> Duration {
        if self.paused {
            return self.base;
        }
        let passed = real.saturating_sub(self.since);
        #[expect(
            clippy::float_cmp,
            reason = "exactly one is what it was set to, and keeps all digits"
        )]
        let passed = if self.scale == 1.0 { passed } else { passed.mul_f64(self.scale) };
        self.base.saturating_add(passed)
    }
}

impl Clock {
    /// A clock that begins now, at zero, as fast as real time.
    #[must_use]
    pub fn start() -> Self {
        let real = Pace { scale: 1.0, paused: false, since: Duration::ZERO, base: Duration::ZERO };
        Self {
            origin: Instant::now(),
            pace: ArcSwap::from_pointee(real),
            changes: AtomicU64::new(0),
            changing: Mutex::new(()),
        }
    }

    /// Emulated time since the clock began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.read().elapsed
    }

    /// Real time since the clock began: what limits on packets a second go by.
    #[must_use]
    pub fn real(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The time, and how it runs.
    #[must_use]
    pub fn read(&self) -> Reading {
        loop {
            let before = self.changes.load(Ordering::SeqCst);
            let pace = **self.pace.load();
            let elapsed = pace.at(self.origin.elapsed());
            if before.is_multiple_of(2) && self.changes.load(Ordering::SeqCst) == before {
                return Reading { elapsed, pace };
            }
            // A change takes a few instructions, unless its thread was interrupted.
            std::thread::yield_now();
        }
    }

    /// Jumps forward, by whole milliseconds, and returns the time that it jumped to. A paused clock
    /// stays so.
    ///
    /// Workers see it at their next turn.
    pub fn advance(&self, by: Duration) -> Reading {
        let by = Duration::from_millis(u64::try_from(by.as_millis()).unwrap_or(u64::MAX));
        // A third of all that there is: no clock ever goes backwards.
        self.change(|pace| pace.base = pace.base.saturating_add(by).min(Duration::MAX / 3))
    }

    /// Stops it.
    pub fn pause(&self) -> Reading {
        self.change(|pace| pace.paused = true)
    }

    /// Lets it go on, at the scale that it has.
    pub fn resume(&self) -> Reading {
        self.change(|pace| pace.paused = false)
    }

    /// Makes it run so many times as fast as real time; at once, or when it goes on. The scale is
    /// kept between [`SLOWEST`] and [`FASTEST`].
    pub fn scale(&self, scale: f64) -> Reading {
        self.change(|pace| pace.scale = scale.clamp(SLOWEST, FASTEST))
    }

    /// Changes the pace from now on, and returns the time of the change.
    fn change(&self, change: impl FnOnce(&mut Pace)) -> Reading {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pace = **self.pace.load();
        let mut new = Arc::new(pace);
        self.changes.fetch_add(1, Ordering::SeqCst);
        let since = self.origin.elapsed();
        pace.base = pace.at(since);
        pace.since = since;
        change(&mut pace);
        *Arc::make_mut(&mut new) = pace;
        self.pace.store(new);
        self.changes.fetch_add(1, Ordering::SeqCst);
        Reading { elapsed: pace.base, pace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_jumps_by_what_it_is_told() {
        let clock = Clock::start();
        let before = clock.elapsed();
        let reached = clock.advance(Duration::from_secs(351)).elapsed;
        assert!(reached >= before + Duration::from_secs(351));
        assert!(reached < before + Duration::from_secs(360));
    }

    #[test]
    fn a_paused_clock_stands_and_can_be_advanced() {
        let clock = Clock::start();
        let paused = clock.pause();
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(clock.read(), paused);
        let advanced = clock.advance(Duration::from_secs(60));
        assert_eq!(advanced.elapsed, paused.elapsed + Duration::from_secs(60));
        assert_eq!(clock.elapsed(), advanced.elapsed);
        let scaled = clock.scale(50.0);
        assert_eq!((scaled.elapsed, scaled.pace.paused), (advanced.elapsed, true));
        let resumed = clock.resume();
        assert_eq!(resumed.elapsed, advanced.elapsed, "what was not is not made up for");
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.elapsed() >= advanced.elapsed + Duration::from_millis(250), "the scale held");
    }

    #[test]
    fn a_scaled_clock_runs_so_many_times_as_fast() {
        let clock = Clock::start();
        for scale in [1000.0, 0.001] {
            let (began, from) = (Instant::now(), clock.scale(scale).elapsed);
            std::thread::sleep(Duration::from_millis(20));
            let passed = (clock.elapsed() - from).as_secs_f64();
            let most = began.elapsed().as_secs_f64() * scale;
            assert!((0.02 * scale..=most + 1e-6).contains(&passed), "{passed} of {most}");
        }
        assert_eq!(clock.scale(f64::INFINITY).pace.scale, FASTEST);
    }

    #[test]
    fn the_clock_never_goes_backwards_for_anybody_whatever_is_changed() {
        let clock = Clock::start();
        // The latest time that anybody has read.
        let latest = AtomicU64::new(0);
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !ended.load(Ordering::SeqCst) {
                        let before = latest.load(Ordering::SeqCst);
                        let now = u64::try_from(clock.elapsed().as_nanos()).unwrap();
                        assert!(now >= before, "{now} after {before}");
                        latest.fetch_max(now, Ordering::SeqCst);
                    }
                });
            }
            for round in 0..20_000_u32 {
                let _ = match round % 4 {
                    0 => clock.scale(f64::from(round) + 1.0),
                    1 => clock.pause(),
                    2 => clock.scale(0.5),
                    _ => clock.resume(),
                };
            }
            ended.store(true, Ordering::SeqCst);
        });
    }
}
