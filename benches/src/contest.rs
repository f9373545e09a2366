//! Who is faster, where others use the machine too? All take turns in slices of milliseconds, and
//! what counts is the median of the ratios that each round of turns gives.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Fewer rounds give no median worth the name.
const ROUNDS: usize = 5;

/// What each of `N` took, round by round.
#[derive(Clone, Debug)]
pub struct Samples<const N: usize>(Vec<[f64; N]>);

/// Lets all take turns for about `lasting`, and at least five rounds: `slice` runs one of them
/// and gives what it took. In each round somebody else comes first. A round before does not count.
///
/// # Errors
///
/// The first of a slice.
pub fn take_turns<const N: usize, E>(
    lasting: Duration,
    mut slice: impl FnMut(usize) -> Result<f64, E>,
) -> Result<Samples<N>, E> {
    let start = Instant::now();
    let mut rounds = Vec::new();
    let mut round = 0;
    while rounds.len() < ROUNDS || start.elapsed() < lasting {
        let mut took = [0.0; N];
        for turn in 0..N {
            let who = (turn + round) % N;
            took[who] = slice(who)?;
        }
        if round > 0 {
            rounds.push(took);
        }
        round += 1;
    }
    Ok(Samples(rounds))
}

impl<const N: usize> Samples<N> {
    /// The median of what `who` took.
    #[must_use]
    pub fn median(&self, who: usize) -> f64 {
        median(self.0.iter().map(|took| took[who]))
    }

    /// The median of the rounds' ratios of `who` to `base`.
    #[must_use]
    pub fn ratio(&self, who: usize, base: usize) -> f64 {
        median(self.0.iter().map(|took| took[who] / took[base]))
    }
}

/// The value in the middle; of an even count, the mean of both; of none, no number.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let Some(low) = values.len().checked_sub(1).map(|last| last / 2) else { return f64::NAN };
    f64::midpoint(values[low], values[values.len() / 2])
}

/// The lowest value that so large a part of all do not exceed; of none, no number.
pub fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "counts of samples"
    )]
    let rank = (values.len() as f64 * part).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// How long `work` takes, in nanoseconds of this thread's processor time, which stands while somebody
/// else has the processor. To read it takes a fraction of a microsecond.
pub fn nanoseconds(work: impl FnOnce()) -> f64 {
    let start = processor_time();
    work();
    (processor_time() - start).as_secs_f64() * 1e9
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // It counts up from zero.
    time.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert!(median([]).is_nan());
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), 3.0);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values = || (1..=1000).rev().map(f64::from);
        assert_eq!(quantile(values(), 0.5), 500.0);
        assert_eq!(quantile(values(), 0.99), 990.0);
        assert_eq!(quantile(values(), 0.999), 999.0);
        assert_eq!(quantile(values(), 1.0), 1000.0);
        assert_eq!(quantile([7.0], 0.5), 7.0);
        assert!(quantile([], 0.5).is_nan());
        // What was lost took for ever.
        assert_eq!(quantile([1.0, f64::INFINITY], 0.99), f64::INFINITY);
    }

    #[test]
    fn who_waits_spends_nothing() {
        let asleep = nanoseconds(|| std::thread::sleep(Duration::from_millis(50)));
        assert!(asleep < 20e6, "{asleep}");
        let busy = nanoseconds(|| {
            let start = processor_time();
            while processor_time() - start < Duration::from_millis(20) {}
        });
        assert!((20e6..30e6).contains(&busy), "{busy}");
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        // Each round is twice as slow as the one before: a median of times would say nothing.
        let mut turns = 0;
        let mut order = Vec::new();
        let samples = take_turns::<2, Infallible>(Duration::ZERO, |who| {
            let slowness = f64::from(1 << (turns / 2));
            turns += 1;
            order.push(who);
            Ok(slowness * if who == 0 { 10.0 } else { 15.0 })
        });
        let samples = samples.unwrap_or_else(|never| match never {});
        assert_eq!(samples.ratio(1, 0), 1.5);
        assert_eq!(samples.median(0), 10.0 * 8.0, "the round before did not count");
        assert_eq!(order[..4], [0, 1, 1, 0]);
    }
}
