//! When does a worker that always has more to do let others have its processor?
//!
//! Whoever waits to receive what a worker has just sent may have no other processor to do it on, and a socket
//! holds some 270 small datagrams. So a worker rests for a moment after a turn that carried as many packets as one
//! may, but only where it sees that somebody else wants its processor. It sleeps, and does not yield: Linux takes from
//! whoever yields his fair share of the processor too.

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
    /// When it was last asked, and how long it had waited by then for its processor, although it had something to do.
    asked: Option<(Instant, Duration)>,
    /// Until when its processor is taken to be wanted.
    wanted: Option<Instant>,
}

/// For how long somebody who wanted it is taken to want it again.
const MEMORY: Duration = Duration::from_millis(10);

/// How long it rests: somebody who is woken meanwhile stays for as long as he needs.
const REST: Duration = Duration::from_micros(20);

/// To be woken takes some microseconds, which count as waiting too: where nobody else wants the processor that is
/// less of the time than one part of so many.
const SHARE: u32 = 8;

impl Courtesy {
    /// Of the calling thread.
    pub(super) fn new() -> Self {
        // The kernel may sleep 50 µs longer than it is told, by itself. Where it cannot be told otherwise, it does.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let statistics = File::open("/proc/thread-self/schedstat").ok();
        Self { statistics, asked: None, wanted: None }
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

    use super::*;

    #[test]
    fn it_is_wanted_for_a_while_after_it_was_waited_for() {
        let mut courtesy = Courtesy { statistics: None, asked: None, wanted: None };
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

    /// Two that would never sleep share a processor.
    #[test]
    fn rests_where_another_thread_wants_its_processor() {
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Where it is not bound, the kernel may put them apart, and the test fails.
                let _ = sched_setaffinity(None, &here);
                while !done.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
            scope.spawn(|| {
                let bound = sched_setaffinity(None, &here);
                let mut courtesy = Courtesy::new();
                let end = Instant::now() + Duration::from_secs(10);
                let mut rested = None;
                while rested.is_none() && Instant::now() < end {
                    let before = Instant::now();
                    if courtesy.rest_if_wanted() {
                        rested = Some(before.elapsed());
                    }
                }
                done.store(true, Ordering::Relaxed);
                bound.unwrap();
                assert!(rested.expect("it was to rest within ten seconds") >= REST);
            });
        });
    }
}
