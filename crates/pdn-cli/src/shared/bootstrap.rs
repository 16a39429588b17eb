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
    let count = values.len() as f64;
    let interval = interval(values.len(), |drawn| drawn.iter().map(|at| values[*at]).sum::<f64>() / count);
    (values.iter().sum::<f64>() / count, interval)
}

/// Returns the sum of the first of each pair over the sum of the second, and the interval that holds 95 % of those of
/// resamples.
///
/// # Panics
/// Panics if there are no pairs.
pub(crate) fn ratio_with_interval(pairs: &[(f64, f64)]) -> (f64, [f64; 2]) {
    let ratio = |pairs: &mut dyn Iterator<Item = (f64, f64)>| {
        let [over, under] = pairs.fold([0.0, 0.0], |sums, pair| [sums[0] + pair.0, sums[1] + pair.1]);
        over / under
    };
    let interval = interval(pairs.len(), |drawn| ratio(&mut drawn.iter().map(|at| pairs[*at])));
    (ratio(&mut pairs.iter().copied()), interval)
}

/// Returns the interval that holds 95 % of a figure over resamples of so many values, which are given by their places.
fn interval(count: usize, mut figure: impl FnMut(&[usize]) -> f64) -> [f64; 2] {
    let mut random = StdRng::seed_from_u64(1);
    let mut drawn = vec![0; count];
    let mut draw = || {
        drawn.iter_mut().for_each(|at| *at = random.random_range(0..count));
        figure(&drawn)
    };
    let mut figures: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    figures.sort_by(f64::total_cmp);
    let at = |part: f64| figures[((DRAWS - 1) as f64 * part).round() as usize];
    [at(0.025), at(0.975)]
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

    #[test]
    fn a_ratio_is_of_sums() {
        let (ratio, [low, high]) = ratio_with_interval(&[(1.0, 2.0), (5.0, 6.0), (2.0, 4.0), (4.0, 8.0)]);
        assert!(ratio == 0.6 && 0.5 <= low && low < ratio && ratio < high, "{low} {high}");
        assert_eq!(ratio_with_interval(&[(1.0, 2.0), (2.0, 4.0)]), (0.5, [0.5, 0.5]));
    }
}
