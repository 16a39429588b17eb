//! What all metrics have in common.

use crate::MetricError;
use pdn_image::Picture;

/// Which way a metric points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// A score of one picture.
pub trait Metric: Send + Sync {
    /// The name in tables and on the command line, such as `ms-ssim`.
    fn name(&self) -> &'static str;

    /// How the score is computed, in a few words that belong beside every figure.
    fn protocol(&self) -> String;

    /// Which way the metric points.
    fn better(&self) -> Better;

    /// The least and the greatest score; infinite where there is no bound.
    fn range(&self) -> [f64; 2];

    /// Whether the metric compares with a reference. One that does not looks at the picture alone.
    fn compares(&self) -> bool;

    /// Returns the score of a picture, of which `shave` pixels on each side are ignored. A metric that looks at the
    /// picture alone ignores the reference.
    ///
    /// # Errors
    /// Returns a [`MetricError`] if too little is left, or if the reference is needed and missing or of another size.
    fn score(&self, picture: &Picture, reference: Option<&Picture>, shave: usize) -> Result<f64, MetricError>;
}
