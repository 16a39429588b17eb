//! MS-SSIM (Wang, Simoncelli and Bovik 2003, their `msssim.m`): SSIM's contrast and structure at five scales, its
//! luminance at the coarsest.

use crate::plane::gaussian;
use crate::{Better, Luma, Metric, MetricError, plane::Plane};
use pdn_image::Picture;

/// The weight of each scale, the finest first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Taps of SSIM's Gaussian.
const WINDOW: usize = 11;

/// The least side that leaves a window at the coarsest scale.
const LEAST: usize = (WINDOW - 1) * (1 << (WEIGHTS.len() - 1)) + 1;

/// Multi-scale structural similarity in MATLAB's Y.
#[derive(Clone, Copy, Debug)]
pub struct MsSsim;

impl Metric for MsSsim {
    fn name(&self) -> &'static str {
        "ms-ssim"
    }

    fn protocol(&self) -> String {
        "Wang 2003, five scales, in MATLAB's Y, not rounded".into()
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn range(&self) -> [f64; 2] {
        [0.0, 1.0]
    }

    fn compares(&self) -> bool {
        true
    }

    fn score(&self, picture: &Picture, reference: Option<&Picture>, shave: usize) -> Result<f64, MetricError> {
        let reference = reference.ok_or(MetricError::NoReference(self.name()))?;
        let (width, height) = (picture.width(), picture.height());
        if (width, height) != (reference.width(), reference.height()) {
            return Err(MetricError::Sizes(width, height, reference.width(), reference.height()));
        }
        let plane = |of: &Picture| Plane::of(of, Luma::Y, shave).filter(|plane| plane.width.min(plane.height) >= LEAST);
        let (Some(a), Some(b)) = (plane(picture), plane(reference)) else {
            let needs = "161 pixels a side";
            return Err(MetricError::TooSmall { metric: self.name(), needs, width, height, shave });
        };
        Ok(multi_scale(a, b))
    }
}

fn multi_scale(mut a: Plane, mut b: Plane) -> f64 {
    let mut product = 1.0;
    for (scale, weight) in WEIGHTS.iter().enumerate() {
        let [whole, structure] = similarity(&a, &b);
        let last = scale + 1 == WEIGHTS.len();
        // Negative where the pictures are each other's negative: below 0 the power is not defined.
        product *= f64::powf(if last { whole } else { structure }.max(0.0), *weight);
        if !last {
            (a, b) = (halved(&a), halved(&b));
        }
    }
    product
}

/// Returns the means of SSIM and of its contrast and structure alone.
fn similarity(a: &Plane, b: &Plane) -> [f64; 2] {
    let taps = gaussian(WINDOW, 1.5);
    let mean = |plane: &Plane| plane.filtered_inside(&taps).data;
    let (mean_a, mean_b) = (mean(a), mean(b));
    // Only the sum of both variances is needed.
    let (squares, product) = (mean(&a.zip(b, |a, b| a * a + b * b)), mean(&a.zip(b, |a, b| a * b)));
    let (c1, c2) = ((0.01 * 255.0_f64).powi(2), (0.03 * 255.0_f64).powi(2));
    let mut sums = [0.0; 2];
    for i in 0..mean_a.len() {
        let (ma, mb) = (mean_a[i], mean_b[i]);
        let structure = (2.0 * (product[i] - ma * mb) + c2) / (squares[i] - ma * ma - mb * mb + c2);
        sums[0] += structure * (2.0 * ma * mb + c1) / (ma * ma + mb * mb + c1);
        sums[1] += structure;
    }
    sums.map(|sum| sum / mean_a.len() as f64)
}

/// Averages 2x2 pixels; those beyond an odd edge repeat it.
fn halved(plane: &Plane) -> Plane {
    let (width, height) = (plane.width.div_ceil(2), plane.height.div_ceil(2));
    let at = |y: usize, x: usize| plane.data[y.min(plane.height - 1) * plane.width + x.min(plane.width - 1)];
    let mean = |y: usize, x: usize| (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4.0;
    let data = (0..height).flat_map(|y| (0..width).map(move |x| mean(2 * y, 2 * x))).collect();
    Plane { data, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of waves and of noise this strong.
    fn drawn(width: usize, height: usize, noise: f64) -> Picture {
        let level = |i: usize| {
            let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
            let random = (i.wrapping_mul(2_654_435_761) >> 7) % 1000;
            let wave = 128.0 + 60.0 * (x as f64 / 7.0 + c as f64).sin() + 50.0 * (y as f64 / 11.0).cos();
            (wave + noise * (random as f64 / 1000.0 - 0.5)).clamp(0.0, 255.0).round() as u8
        };
        Picture::from_rgb(width, height, (0..width * height * 3).map(level).collect())
    }

    #[test]
    fn more_noise_is_less_alike() {
        let clean = drawn(181, 163, 0.0);
        let score = |noise| MsSsim.score(&drawn(181, 163, noise), Some(&clean), 0).unwrap();
        assert!((score(0.0) - 1.0).abs() < 1e-12 && score(0.0) > score(20.0) && score(20.0) > score(80.0));
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let error = |picture: &Picture, reference: Option<&Picture>, shave| {
            MsSsim.score(picture, reference, shave).unwrap_err().to_string()
        };
        let (small, large) = (drawn(161, 160, 0.0), drawn(161, 161, 0.0));
        assert!(error(&small, None, 0).contains("expected one"));
        assert!(error(&small, Some(&large), 0).contains("161x160 with 161x161"));
        assert!(error(&small, Some(&small), 0).contains("161 pixels a side"));
        assert!(error(&large, Some(&large), 1).contains("shaving 1"));
        assert!(error(&large, Some(&large), usize::MAX / 2).contains("needs"));
        assert!(MsSsim.score(&large, Some(&large), 0).is_ok());
    }
}
