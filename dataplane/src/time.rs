//! Emulated time. Every AWS timer hangs on it; only `worker.rs` and the control side read it.

mod clock;
mod period;

use std::time::Duration;

use zerocopy::FromZeros;

pub use clock::{Clock, FASTEST, Pace, Reading, SLOWEST};
pub use period::Period;

/// A moment of emulated time: milliseconds since the instance began, modulo 2^32 (49.7 days).
///
/// Moments are compared by their signed distance, which is right while they lie less than 24.8
/// days apart. The longest AWS timer is five days, and a worker never steps further than
/// [`MAX_STEP`] without retiring what has become due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub struct Tick(u32);

/// The furthest that a worker moves its clock in one step.
pub const MAX_STEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// A stretch of emulated time, in milliseconds; at most 24.8 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromZeros)]
pub struct Span(u32);

impl Span {
    /// `seconds` of emulated time.
    ///
    /// # Panics
    ///
    /// Above 24.8 days: a constant that no AWS timer comes near.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        assert!(seconds < (1 << 31) / 1000, "a span is at most 24.8 days");
        Self(seconds * 1000)
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u32 {
        self.0
    }
}

impl Tick {
    /// The moment `elapsed` after the instance began.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "ticks are milliseconds modulo 2^32")]
    pub const fn at(elapsed: Duration) -> Self {
        Self(elapsed.as_millis() as u32)
    }

    /// The moment `span` later.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.wrapping_add(span.0))
    }

    /// The moment `span` earlier.
    #[must_use]
    pub const fn before(self, span: Span) -> Self {
        Self(self.0.wrapping_sub(span.0))
    }

    /// Whether this moment has come by `now`.
    #[must_use]
    pub const fn is_due(self, now: Self) -> bool {
        now.0.wrapping_sub(self.0) < 1 << 31
    }

    /// The time left until this moment at `now`; zero once it has come.
    #[must_use]
    pub const fn left(self, now: Self) -> Duration {
        if self.is_due(now) {
            Duration::ZERO
        } else {
            Duration::from_millis(self.0.wrapping_sub(now.0) as u64)
        }
    }

    /// The time since this moment at `now`; zero until it has come.
    #[must_use]
    pub const fn ago(self, now: Self) -> Duration {
        if self.is_due(now) {
            Duration::from_millis(now.0.wrapping_sub(self.0) as u64)
        } else {
            Duration::ZERO
        }
    }

    /// The earlier of two moments.
    #[must_use]
    pub const fn earlier(self, other: Self) -> Self {
        if self.is_due(other) { self } else { other }
    }

    /// The later of two moments.
    #[must_use]
    pub const fn later(self, other: Self) -> Self {
        if self.is_due(other) { other } else { self }
    }

    /// Milliseconds modulo 2^32.
    #[must_use]
    pub const fn millis(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_compare_across_the_wrap() {
        let late = Tick::at(Duration::from_millis(u64::from(u32::MAX) - 500));
        let after = late.after(Span::seconds(1));
        assert!(after.millis() < late.millis(), "this crosses the wrap");
        assert!(late.is_due(after) && !after.is_due(late));
        assert!(late.is_due(late), "a moment has come when it comes");
        assert_eq!(after.left(late), Duration::from_secs(1));
        assert_eq!(late.left(after), Duration::ZERO);
        assert_eq!(late.ago(after), Duration::from_secs(1));
        assert_eq!(after.ago(late), Duration::ZERO);
        assert_eq!(late.earlier(after), late);
        assert_eq!(after.earlier(late), late);
        assert_eq!(after.before(Span::seconds(1)), late);
    }
}
