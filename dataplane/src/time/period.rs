//! The ten seconds that a moment lies in. Six are the minute of a CloudWatch datapoint, and the
//! peaks of a NAT gateway are averages over one (AWS "NAT gateway metrics and dimensions").

use std::time::Duration;

/// Ten seconds of emulated time, counted from the instance's beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u64);

impl Period {
    /// How long one is, in seconds.
    pub const SECONDS: u64 = 10;

    /// How many are a minute.
    pub const MINUTE: usize = 6;

    /// That of the moment `elapsed` after the beginning.
    #[must_use]
    pub const fn of(elapsed: Duration) -> Self {
        Self(elapsed.as_secs() / Self::SECONDS)
    }

    /// The one that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one `periods` before, if there are so many.
    #[must_use]
    pub fn before(self, periods: usize) -> Option<Self> {
        self.0.checked_sub(periods as u64).map(Self)
    }

    /// The minute that ends with it.
    pub fn minute(self) -> impl Iterator<Item = Self> {
        Self::default().until(self.next())
    }

    /// Those from this one up to before `end`; of a long time the last minute's alone.
    pub fn until(self, end: Self) -> impl Iterator<Item = Self> {
        let minute = end.0.saturating_sub(Self::MINUTE as u64);
        (self.0.max(minute)..end.0).map(Self)
    }

    /// Its place in a ring that holds the last minute.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of a small number")]
    pub const fn place(self) -> usize {
        (self.0 % Self::MINUTE as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_time_the_last_minute_is_visited() {
        let at = |seconds| Period::of(Duration::from_secs(seconds));
        assert_eq!(at(5).until(at(25)).collect::<Vec<_>>(), [at(0), at(10)]);
        assert_eq!(at(5).until(at(5)).count(), 0);
        assert_eq!(at(25).until(at(5)).count(), 0);
        let last: Vec<_> = at(0).until(at(1000)).collect();
        assert_eq!((last.len(), last[0]), (Period::MINUTE, at(940)));
    }
}
