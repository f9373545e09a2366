//! When does a worker that always has more to do let others have its processor?
//!
//! Whoever waits to receive what a worker has just sent may have no other processor to do it on, and a socket
//! holds some 270 small datagrams. So a worker that is never done rests for a moment after a turn, but only
//! where it sees that somebody else wants its processor. It sleeps, and does not yield: Linux takes from
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
    /// How long it has waited for its processor so far, although it had something to do.
    waited: Duration,
    /// Until when it is taken to be wanted.
    wanted: Option<Instant>,
}

/// For how long somebody who wanted it is taken to want it again.
const MEMORY: Duration = Duration::from_millis(10);

/// How long it rests: somebody who is woken meanwhile stays for as long as he needs.
const REST: Duration = Duration::from_micros(20);

impl Courtesy {
    /// Of the calling thread.
    pub(super) fn new() -> Self {
        // The kernel may sleep 50 µs longer than it is told, by itself. Where it cannot be told otherwise, it does.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let statistics = File::open("/proc/thread-self/schedstat").ok();
        Self { statistics, waited: Duration::ZERO, wanted: None }
    }

    /// Rests if it has waited since it was last asked for as long as a rest takes.
    pub(super) fn rest_if_wanted(&mut self) {
        let waited = self.statistics.as_ref().and_then(|file| {
            let mut line = [0; 64];
            let len = file.read_at(&mut line, 0).ok()?;
            waited(line.get(..len)?)
        });
        if self.is_wanted(waited.unwrap_or_default(), Instant::now()) {
            thread::sleep(REST);
        }
    }

    fn is_wanted(&mut self, waited: Duration, now: Instant) -> bool {
        if waited.saturating_sub(self.waited) >= REST {
            self.wanted = Some(now + MEMORY);
        }
        self.waited = waited;
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
        let mut courtesy = Courtesy { statistics: None, waited: Duration::ZERO, wanted: None };
        let start = Instant::now();
        // Waited so far in microseconds, asked after so many milliseconds.
        for (waited, at, wanted) in [
            (0, 0, false),
            (19, 1, false),
            (38, 2, false),
            (58, 3, true),
            (58, 12, true),
            (58, 13, false),
            (77, 14, false),
            (900, 15, true),
            (950, 24, true),
            (950, 33, true),
            (950, 34, false),
        ] {
            let (waited, now) = (Duration::from_micros(waited), start + Duration::from_millis(at));
            assert_eq!(courtesy.is_wanted(waited, now), wanted, "{waited:?} at {at} ms");
        }
    }

    #[test]
    fn reads_what_the_kernel_tells() {
        let micros = |text: &str| waited(text.as_bytes()).map(|waited| waited.as_micros());
        assert_eq!(micros("2236651000 1234567 5892\n"), Some(1234));
        assert_eq!([micros("2236651000"), micros("1 none 3"), micros("")], [None; 3]);
    }

    /// Two that never sleep share a processor.
    #[test]
    fn rests_where_another_thread_wants_its_processor() {
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                sched_setaffinity(None, &here).unwrap();
                while !done.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
            scope.spawn(|| {
                sched_setaffinity(None, &here).unwrap();
                let mut courtesy = Courtesy::new();
                let end = Instant::now() + Duration::from_secs(10);
                while courtesy.wanted.is_none() && Instant::now() < end {
                    courtesy.rest_if_wanted();
                }
                done.store(true, Ordering::Relaxed);
                assert!(courtesy.wanted.is_some(), "nobody is seen in ten seconds");
                assert!(courtesy.waited >= REST);
            });
        });
    }
}
