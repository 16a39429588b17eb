//! Logistic regression over the measures.

use super::measures::COUNT;

/// A logistic regression over the measures, their squares and their products.
pub(super) struct Fit {
    /// Measures are clamped to the range of the training data: beyond it, the products are meaningless.
    pub(super) least: [f64; COUNT],
    pub(super) most: [f64; COUNT],
    pub(super) mean: [f64; COUNT],
    pub(super) deviation: [f64; COUNT],
    /// One weight per measure, then one for each product of a measure with itself and those after it.
    pub(super) weights: [f64; COUNT + COUNT * (COUNT + 1) / 2],
    pub(super) bias: f64,
}

impl Fit {
    pub(super) fn probability(&self, measured: &[f64; COUNT]) -> f64 {
        let scaled: [f64; COUNT] = std::array::from_fn(|i| {
            (measured[i].clamp(self.least[i], self.most[i]) - self.mean[i]) / self.deviation[i]
        });
        let products = (0..COUNT).flat_map(|i| (i..COUNT).map(move |j| (i, j))).map(|(i, j)| scaled[i] * scaled[j]);
        let terms = scaled.iter().copied().chain(products);
        let sum = self.bias + terms.zip(self.weights).map(|(term, weight)| term * weight).sum::<f64>();
        1.0 / (1.0 + (-sum).exp())
    }
}
