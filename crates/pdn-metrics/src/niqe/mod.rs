//! NIQE (Mittal, Soundararajan and Bovik 2013): how far the statistics of a picture's blocks are from those of pristine
//! pictures.
//!
//! Three programs give three numbers by this name. This is the authors' (`computequality.m`, with [`Luma::Grey`]), which
//! BasicSR (`metrics/niqe.py`, with [`Luma::Y`]) computes in another grey; both with the authors' parameters. MATLAB's
//! own `niqe` has other parameters, which are not published apart from it.

mod features;
mod pristine;

pub use pristine::Pristine;

use crate::plane::Plane;
use crate::{Better, Luma, Metric, MetricError};
use features::{BLOCK, features};
use nalgebra::{DMatrix, DVector};
use pdn_image::Picture;
use pristine::FEATURES;

/// NIQE of blocks of 96x96 pixels.
#[derive(Clone, Debug)]
pub struct Niqe {
    pristine: Pristine,
    luma: Luma,
}

impl Niqe {
    /// With [`Luma::Y`] it is BasicSR's NIQE, with [`Luma::Grey`] the authors'.
    pub fn new(pristine: Pristine, luma: Luma) -> Self {
        Self { pristine, luma }
    }
}

impl Metric for Niqe {
    fn name(&self) -> &'static str {
        match self.luma {
            Luma::Y => "niqe",
            Luma::Grey => "niqe-authors",
        }
    }

    fn protocol(&self) -> String {
        let definition = match self.luma {
            Luma::Y => "BasicSR's definition: MATLAB's Y, rounded",
            Luma::Grey => "the authors' definition: MATLAB's rgb2gray, rounded",
        };
        format!("{definition}; blocks of 96x96, the authors' pristine parameters")
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn compares(&self) -> bool {
        false
    }

    fn score(&self, picture: &Picture, _: Option<&Picture>, shave: usize) -> Result<f64, MetricError> {
        let plane = Plane::of(picture, self.luma, shave);
        let blocks = plane.as_ref().map_or([0, 0], |plane| [plane.width / BLOCK, plane.height / BLOCK]);
        let (Some(mut plane), true) = (plane, blocks[0] * blocks[1] >= 2) else {
            let (metric, needs) = (self.name(), "two blocks of 96x96 pixels");
            let (width, height) = (picture.width(), picture.height());
            return Err(MetricError::TooSmall { metric, needs, width, height, shave });
        };
        plane.data.iter_mut().for_each(|v| *v = v.round_ties_even());
        distance(&features(plane, blocks), &self.pristine).ok_or(MetricError::Flat(self.name()))
    }
}

/// Returns the distance between the distribution of blocks and the pristine one; `None` if fewer than two blocks are
/// without NaN.
fn distance(blocks: &[[f64; FEATURES]], pristine: &Pristine) -> Option<f64> {
    // The mean of each feature is over the blocks that have it, the covariance over those that have all.
    let mean_of = |feature: usize| {
        let known = blocks.iter().map(|block| block[feature]).filter(|v| !v.is_nan());
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
        sum / count
    };
    let mean = DVector::from_fn(FEATURES, |feature, _| mean_of(feature));
    let whole: Vec<&[f64; FEATURES]> = blocks.iter().filter(|block| !block.iter().any(|v| v.is_nan())).collect();
    if whole.len() < 2 {
        return None;
    }
    let rows = DMatrix::from_fn(whole.len(), FEATURES, |block, feature| whole[block][feature]);
    let centre = rows.row_mean();
    let centred = DMatrix::from_fn(whole.len(), FEATURES, |block, feature| rows[(block, feature)] - centre[feature]);
    let covariance = centred.transpose() * &centred / (whole.len() - 1) as f64;
    let away = &pristine.mean - mean;
    Some(mahalanobis(&away, &((&pristine.covariance + covariance) / 2.0)))
}

/// Returns `sqrt(vᵀ A⁺ v)` for a symmetric matrix; directions in which it is (nearly) 0 do not count.
fn mahalanobis(v: &DVector<f64>, matrix: &DMatrix<f64>) -> f64 {
    let eigen = matrix.clone().symmetric_eigen();
    let least = 1e-15 * eigen.eigenvalues.amax();
    let along = eigen.eigenvectors.transpose() * v;
    let terms = eigen.eigenvalues.iter().zip(along.iter()).filter(|(value, _)| value.abs() > least);
    terms.map(|(value, v)| v * v / value).sum::<f64>().max(0.0).sqrt()
}
