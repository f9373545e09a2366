//! When does a worker let others have its processor?
//!
//! While it only looks for packets: whoever waits for the processor may be about to send the next one, and Linux seldom
//! interrupts a thread that has just begun. So it yields. Linux then takes the rest of its turn from it, which is nothing
//! to one who has no packets, unless the other one goes on computing: then packets wait for that. Where processors are
//! shared out to control groups, only the worker's own group and those within it go first.
//!
//! And where it always has more to do: whoever waits to receive what a worker has just sent may have no other processor
//! to do it on, and a socket holds some 270 small datagrams. So a worker rests for a moment after a turn that carried as
//! many packets as one may, but only where it sees that somebody else wants its processor. It sleeps, and does not yield:
//! what it would lose then, it needs.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::set_current_timer_slack;

/// What a worker knows of who wants its processor.
#[derive(Debug)]
pub(super) struct Courtesy {
    /// Where the kernel tells how long this thread waited, if it does
    /// (Linux `Documentation/scheduler/sched-stats.rst`).
    statistics: Option<File>,
    /// When it was last asked, and how long it had waited by then for its processor. To yield is to wait too.
    asked: Option<(Instant, Duration)>,
    /// Until when its processor is taken to be wanted.
    wanted: Option<Instant>,
    /// Until when it is not left to who computes, and for how long that is.
    kept: Option<(Instant, Duration)>,
}

/// For how long somebody who wanted it is taken to want it again.
const MEMORY: Duration = Duration::from_millis(10);

/// How long it rests: somebody who is woken meanwhile stays for as long as he needs.
const REST: Duration = Duration::from_micros(20);

/// To be woken takes some microseconds, which count as waiting too: where nobody else wants the processor that is
/// less of the time than one part of so many.
const SHARE: u32 = 8;

/// Who keeps a processor for longer than this computes: Linux takes it from him after 0.7 ms at the soonest. Who sends and
/// receives waits for something sooner.
const COMPUTES: Duration = Duration::from_micros(500);

/// For how many times as long the processor is not left to him again. Each time that he is there still, it is twice as long.
const KEPT: u32 = 10;

/// But never longer.
const LONGEST_KEPT: Duration = Duration::from_secs(1);

impl Courtesy {
    /// Of the calling thread.
    pub(super) fn new() -> Self {
        // The kernel may sleep 50 µs longer than it is told, by itself. Where it cannot be told otherwise, it does.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let statistics = File::open("/proc/thread-self/schedstat").ok();
        Self { statistics, ..Self::told_nothing() }
    }

    const fn told_nothing() -> Self {
        Self { statistics: None, asked: None, wanted: None, kept: None }
    }

    /// Lets others go first, who may be about to send what it looks for.
    pub(super) fn yield_to_senders(&mut self) {
        let now = Instant::now();
        if self.may_yield(now) {
            thread::yield_now();
            self.has_yielded(now, now.elapsed());
        }
    }

    fn may_yield(&self, now: Instant) -> bool {
        self.kept.is_none_or(|(until, _)| now >= until)
    }

    fn has_yielded(&mut self, now: Instant, took: Duration) {
        if took > COMPUTES {
            let before = match self.kept {
                Some((until, kept)) if now < until + kept => kept,
                // He was away for as long as that.
                _ => Duration::ZERO,
            };
            let kept = (took * KEPT).max(before * 2).min(LONGEST_KEPT);
            self.kept = Some((now + took + kept, kept));
        }
    }

    /// Rests if it had to wait for its processor lately; whether it did.
    pub(super) fn rest_if_wanted(&mut self) -> bool {
        let waited = self.statistics.as_ref().and_then(|file| {
            let mut line = [0; 64];
            let len = file.read_at(&mut line, 0).ok()?;
            waited(line.get(..len)?)
        });
        let is_wanted = self.is_wanted(waited, Instant::now());
        if is_wanted {
            thread::sleep(REST);
        }
        is_wanted
    }

    fn is_wanted(&mut self, waited: Option<Duration>, now: Instant) -> bool {
        let asked = waited.map(|waited| (now, waited));
        if let (Some((then, before)), Some(waited)) = (self.asked, waited) {
            let waited = waited.saturating_sub(before);
            if waited >= REST && waited * SHARE >= now.saturating_duration_since(then) {
                self.wanted = Some(now + MEMORY);
            }
        }
        self.asked = asked;
        self.wanted.is_some_and(|until| now < until)
    }
}

/// The second number: nanoseconds spent waiting for a processor.
fn waited(statistics: &[u8]) -> Option<Duration> {
    let number = str::from_utf8(statistics).ok()?.split_whitespace().nth(1)?;
    Some(Duration::from_nanos(number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::hint;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Instant;

    use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

    use super::*;

    #[test]
    fn it_is_wanted_for_a_while_after_it_was_waited_for() {
        let mut courtesy = Courtesy::told_nothing();
        let start = Instant::now();
        // Waited so far, asked after so long, in microseconds.
        for (waited, at, wanted) in [
            // What was before the first question.
            (Some(5000), 0, false),
            (Some(5019), 100, false),
            (Some(5039), 200, true),
            (Some(5039), 10_199, true),
            (Some(5039), 10_200, false),
            // Waits of many turns.
            (Some(5100), 10_700, false),
            (Some(5163), 11_200, true),
            (Some(6000), 21_199, true),
            (Some(6000), 21_200, false),
            // Whoever is told nothing knows nothing.
            (None, 21_300, false),
            (Some(9000), 21_400, false),
            (Some(9100), 21_500, true),
        ] {
            let (waited, now) =
                (waited.map(Duration::from_micros), start + Duration::from_micros(at));
            assert_eq!(courtesy.is_wanted(waited, now), wanted, "{waited:?} at {at}");
        }
    }

    #[test]
    fn reads_what_the_kernel_tells() {
        let micros = |text: &str| waited(text.as_bytes()).map(|waited| waited.as_micros());
        assert_eq!(micros("2236651000 1234567 5892\n"), Some(1234));
        assert_eq!([micros("2236651000"), micros("1 none 3"), micros("")], [None; 3]);
    }

    #[test]
    fn yields_again_and_again_to_who_sends_and_seldom_to_who_computes() {
        let mut courtesy = Courtesy::told_nothing();
        let start = Instant::now();
        let mut yields = |at: u64, took: u64| {
            let now = start + Duration::from_micros(at);
            let may = courtesy.may_yield(now);
            if may {
                courtesy.has_yielded(now, Duration::from_micros(took));
            }
            may
        };
        // When, and how long others had the processor.
        for (at, took) in [(0, 10), (20, 500), (600, 300)] {
            assert!(yields(at, took), "at {at}");
        }
        let mut kept = Vec::new();
        let mut at = 2000;
        for _ in 0..8 {
            assert!(yields(at, 4000), "at {at}");
            at += 4000;
            let until = (at..).step_by(1000).find(|at| yields(*at, 1)).unwrap();
            kept.push((until - at) / 1000);
            at = until;
        }
        assert_eq!(kept, [40, 80, 160, 320, 640, 1000, 1000, 1000], "ms");
        assert!(yields(at + 999_000, 4000) && !yields(at + 2_002_000, 1), "he is there still");
        assert!(yields(at + 5_000_000, 4000) && !yields(at + 5_043_000, 1), "he is back");
        assert!(yields(at + 5_044_000, 1), "but was away");
        assert!(yields(at + 9_000_000, 60_000_000), "so long nobody computes: all was stopped");
        assert!(!yields(at + 69_999_000, 1) && yields(at + 70_000_000, 1));
    }

    /// Runs both on one processor, the first again and again until the second is done.
    fn on_one_processor(again: impl Fn() + Sync, until: impl FnOnce() + Send) {
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        let done = AtomicBool::new(false);
        let (bound, both_bound) = (Barrier::new(2), AtomicUsize::new(0));
        let bind = || {
            both_bound
                .fetch_add(usize::from(sched_setaffinity(None, &here).is_ok()), Ordering::Relaxed);
            bound.wait();
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                bind();
                while !done.load(Ordering::Relaxed) {
                    again();
                }
            });
            let second = scope.spawn(|| {
                bind();
                until();
            });
            let ended = second.join();
            done.store(true, Ordering::Relaxed);
            ended.unwrap();
        });
        assert_eq!(both_bound.into_inner(), 2, "the kernel could put them apart");
    }

    /// One that looks, and one that has something to do now and then.
    #[test]
    fn who_looks_goes_behind_who_does_something() {
        let looks = AtomicUsize::new(0);
        let look = || {
            looks.fetch_add(1, Ordering::Relaxed);
            // Whoever else is on this processor is nobody that it remembers.
            Courtesy::told_nothing().yield_to_senders();
        };
        on_one_processor(look, || {
            let end = Instant::now() + Duration::from_secs(10);
            let (mut left_soon, mut before) = (0, 0);
            while left_soon < 100 && Instant::now() < end {
                thread::yield_now();
                let now = looks.load(Ordering::Relaxed);
                // It would look thousands of times, if it kept the processor for as long as it may.
                left_soon += usize::from((1..=2).contains(&(now - before)));
                before = now;
            }
            assert_eq!(left_soon, 100, "it was to leave the processor at once");
        });
    }

    /// Two that would never sleep.
    #[test]
    fn rests_where_another_thread_wants_its_processor() {
        on_one_processor(hint::spin_loop, || {
            let mut courtesy = Courtesy::new();
            let end = Instant::now() + Duration::from_secs(10);
            let mut rested = None;
            while rested.is_none() && Instant::now() < end {
                let before = Instant::now();
                if courtesy.rest_if_wanted() {
                    rested = Some(before.elapsed());
                }
            }
            assert!(rested.expect("it was to rest within ten seconds") >= REST);
        });
    }
}
