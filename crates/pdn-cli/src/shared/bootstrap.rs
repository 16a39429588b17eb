//! Confidence intervals of a mean by the bootstrap (Efron 1979): pictures are resampled with replacement.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Number of resamples.
pub(crate) const DRAWS: usize = 10_000;

/// Returns the mean of `values`, and the interval that holds 95 % of the means of resamples of the same size. The same
/// values give the same interval.
///
/// # Panics
/// Panics if there are no values.
pub(crate) fn mean_with_interval(values: &[f64]) -> (f64, [f64; 2]) {
    let mut random = StdRng::seed_from_u64(1);
    let count = values.len() as f64;
    let mut draw = || (0..values.len()).map(|_| values[random.random_range(0..values.len())]).sum::<f64>() / count;
    let mut means: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    means.sort_by(f64::total_cmp);
    let at = |part: f64| means[((DRAWS - 1) as f64 * part).round() as usize];
    (values.iter().sum::<f64>() / count, [at(0.025), at(0.975)])
}

/// Returns by how much one figure exceeds another: 0 for equal ones, even if both are infinite.
pub(crate) fn ahead(one: f64, other: f64) -> f64 {
    if one == other { 0.0 } else { one - other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_as_wide_as_the_normal_one() {
        // 400 values of deviation 1: the mean's is 0.05, and 95 % lie within 1.96 of these.
        let values: Vec<f64> = (0..400).map(|i| if i % 2 == 0 { 4.0 } else { 2.0 }).collect();
        let (mean, [low, high]) = mean_with_interval(&values);
        assert_eq!(mean, 3.0);
        assert!((high - low - 2.0 * 1.96 * 0.05).abs() < 0.01, "{low} {high}");
        assert_eq!([ahead(f64::INFINITY, f64::INFINITY), ahead(3.0, 1.0)], [0.0, 2.0]);
        assert_eq!(mean_with_interval(&[1.5]), (1.5, [1.5, 1.5]));
    }
}
