//! The features of NIQE's blocks: asymmetric generalised Gaussians that are fitted to how pixels differ from their
//! surroundings.

use super::pristine::FEATURES;
use crate::plane::{Plane, gaussian};
use libm::tgamma;
use rayon::prelude::*;
use std::sync::LazyLock;

/// Side of a block.
pub(super) const BLOCK: usize = 96;

/// Blocks along the width and the height.
pub(super) type Blocks = [usize; 2];

/// Returns the features of each block: 18 at the full size, then 18 at half of it.
pub(super) fn features(plane: Plane, [across, down]: Blocks) -> Vec<[f64; FEATURES]> {
    let plane = plane.cropped(across * BLOCK, down * BLOCK);
    let half = halved(&plane);
    let mut all = vec![[0.0; FEATURES]; across * down];
    for (plane, side, part) in [(plane, BLOCK, 0), (half, BLOCK / 2, FEATURES / 2)] {
        let normalised = normalised(&plane);
        all.par_iter_mut().enumerate().for_each(|(block, features)| {
            let (left, top) = (block % across * side, block / across * side);
            let rows = (top..top + side).flat_map(|y| &normalised.data[y * normalised.width + left..][..side]);
            features[part..][..FEATURES / 2].copy_from_slice(&fitted(&rows.copied().collect::<Vec<f64>>(), side));
        });
    }
    all
}

/// Subtracts each pixel's surroundings, and divides by how much these vary.
fn normalised(plane: &Plane) -> Plane {
    let window = gaussian(7, 7.0 / 6.0);
    let mean = plane.filtered(&window);
    let square = plane.zip(plane, |a, b| a * b).filtered(&window);
    let deviation = square.zip(&mean, |square, mean| (square - mean * mean).abs().sqrt());
    plane.zip(&mean, |v, mean| v - mean).zip(&deviation, |v, deviation| v / (deviation + 1.0))
}

/// The features of a block at one scale: the fit to its pixels, and to their products with four neighbours, which wrap
/// around the block.
fn fitted(block: &[f64], side: usize) -> [f64; FEATURES / 2] {
    let mut all = [0.0; FEATURES / 2];
    let own = Fit::of(block);
    all[..2].copy_from_slice(&[own.alpha, (own.left + own.right) / 2.0]);
    for ((dy, dx), features) in [(0, 1), (1, 0), (1, 1), (1, side - 1)].into_iter().zip(all[2..].chunks_exact_mut(4)) {
        let neighbour = |at: usize| {
            let (y, x) = ((at / side + side - dy) % side, (at % side + side - dx) % side);
            block[y * side + x]
        };
        let products: Vec<f64> = block.iter().enumerate().map(|(at, v)| v * neighbour(at)).collect();
        let fit = Fit::of(&products);
        let mean = (fit.right - fit.left) * tgamma(2.0 / fit.alpha) / tgamma(1.0 / fit.alpha);
        features.copy_from_slice(&[fit.alpha, mean, fit.left, fit.right]);
    }
    all
}

/// An asymmetric generalised Gaussian: its shape, and its spread on both sides.
struct Fit {
    alpha: f64,
    left: f64,
    right: f64,
}

/// `Γ(2/α)² / (Γ(1/α) Γ(3/α))` for the shapes 0.2 to 10 in steps of 0.001; it rises with the shape.
static RATIOS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let ratio = |alpha: f64| tgamma(2.0 / alpha).powi(2) / (tgamma(1.0 / alpha) * tgamma(3.0 / alpha));
    (0..=9800).map(|i| ratio(shape(i))).collect()
});

fn shape(index: usize) -> f64 {
    0.2 + 0.001 * index as f64
}

impl Fit {
    /// Fits by moments (Lasmar, Stitou and Berthoumieu 2009). Without a number on both sides of 0 the spreads are NaN, and
    /// the shape is the least, as in the authors' code.
    fn of(numbers: &[f64]) -> Self {
        let (mut squares, mut counts, mut magnitudes) = ([0.0; 2], [0.0; 2], 0.0);
        for v in numbers {
            magnitudes += v.abs();
            if *v != 0.0 {
                let side = usize::from(*v > 0.0);
                squares[side] += v * v;
                counts[side] += 1.0;
            }
        }
        let [left, right] = [0, 1].map(|side| f64::sqrt(squares[side] / counts[side]));
        let count = numbers.len() as f64;
        let ratio = left / right;
        let flatness = (magnitudes / count).powi(2) / ((squares[0] + squares[1]) / count);
        let flatness = flatness * (ratio.powi(3) + 1.0) * (ratio + 1.0) / (ratio * ratio + 1.0).powi(2);
        let alpha = shape(nearest(&RATIOS, flatness));
        let spread = (tgamma(1.0 / alpha) / tgamma(3.0 / alpha)).sqrt();
        Self { alpha, left: left * spread, right: right * spread }
    }
}

/// Returns the place of the number that is nearest to `v` in a rising sequence; the first for NaN.
fn nearest(rising: &[f64], v: f64) -> usize {
    if v.is_nan() {
        return 0;
    }
    let after = rising.partition_point(|r| *r < v).min(rising.len() - 1);
    let before = after.saturating_sub(1);
    if v - rising[before] <= rising[after] - v { before } else { after }
}

/// MATLAB's `imresize` to half of an even size: the cubic, widened to eight taps; samples beyond the edge are mirrored.
fn halved(plane: &Plane) -> Plane {
    // Keys' cubic at 0.25, 0.75, 1.25 and 1.75, halved; the four add up to a half.
    let half = [0.433_593_75, 0.113_281_25, -0.035_156_25, -0.011_718_75];
    let taps = [half[3], half[2], half[1], half[0], half[0], half[1], half[2], half[3]];
    let inside = |at: isize, len: usize| {
        let len = len as isize;
        let at = if at < 0 { -1 - at } else { at };
        (if at >= len { 2 * len - 1 - at } else { at }) as usize
    };
    let (width, height) = (plane.width / 2, plane.height / 2);
    let mut data = vec![0.0; width * height];
    data.par_chunks_mut(width).enumerate().for_each(|(y, out)| {
        let mut tall = vec![0.0; plane.width];
        for (tap, weight) in taps.iter().enumerate() {
            let row = inside((2 * y + tap) as isize - 3, plane.height);
            tall.iter_mut().zip(&plane.data[row * plane.width..]).for_each(|(sum, v)| *sum += weight * v);
        }
        for (x, out) in out.iter_mut().enumerate() {
            let samples = taps.iter().enumerate();
            *out = samples.map(|(tap, w)| w * tall[inside((2 * x + tap) as isize - 3, plane.width)]).sum();
        }
    });
    Plane { data, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_gaussian_is_two_and_of_a_laplacian_one() {
        // Quantiles stand for samples: those of a Laplacian in closed form, those of a Gaussian from their density.
        let even = |count: usize| (0..count).map(move |i| (i as f64 + 0.5) / count as f64);
        let laplacian: Vec<f64> =
            even(20_000).map(|p| if p < 0.5 { (2.0 * p).ln() } else { -(2.0 * (1.0 - p)).ln() }).collect();
        assert!((Fit::of(&laplacian).alpha - 1.0).abs() < 0.02);
        let polar = even(200).flat_map(|u| even(200).map(move |v| (u, v)));
        let gaussian: Vec<f64> =
            polar.map(|(u, v)| (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()).collect();
        let fit = Fit::of(&gaussian);
        assert!((fit.alpha - 2.0).abs() < 0.03 && (fit.left - fit.right).abs() < 1e-6, "{}", fit.alpha);
    }

    #[test]
    fn what_is_one_sided_has_no_spread() {
        for numbers in [[0.0; 4], [1.0; 4]] {
            let fit = Fit::of(&numbers);
            assert!(fit.left.is_nan() && fit.alpha == 0.2);
        }
    }

    #[test]
    fn the_nearest_is_the_nearest() {
        let rising = [1.0, 2.0, 4.0];
        let found = [0.0, 1.4, 1.5, 1.6, 3.1, 9.0, f64::NAN].map(|v| nearest(&rising, v));
        assert_eq!(found, [0, 0, 0, 1, 2, 2, 0]);
    }

    #[test]
    fn half_of_a_flat_plane_is_flat() {
        let half = halved(&Plane { data: vec![7.0; 96 * 48], width: 96, height: 48 });
        assert!((half.width, half.height) == (48, 24) && half.data.iter().all(|v| (v - 7.0).abs() < 1e-12));
    }
}
