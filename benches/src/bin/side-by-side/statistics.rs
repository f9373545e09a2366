//! Medians and quantiles. What is no number is left out.

pub(crate) use benches::contest::quantile;

/// The value in the middle; of an even count, the mean of both; of none, no number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    benches::contest::median(values.into_iter().filter(|value| !value.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(median([f64::NAN, 3.0, 1.0, 2.0]), 2.0);
        assert!(median([f64::NAN]).is_nan());
    }
}
