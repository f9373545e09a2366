//! Medians, quantiles, and ratios within rounds. What is no number is left out.

/// The value in the middle; of an even count, the mean of both; of none, no number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    benches::contest::median(values.into_iter().filter(|value| !value.is_nan()))
}

/// The lowest value that so large a part of all do not exceed; of none, no number.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(median([f64::NAN, 3.0, 1.0, 2.0]), 2.0);
        assert!(median([f64::NAN]).is_nan());
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
}
