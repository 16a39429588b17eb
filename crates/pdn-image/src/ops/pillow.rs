//! Pillow's bicubic `resize`, to the last bit (`libImaging/Resample.c`), and the centre crop that CLIP uses.
//!
//! As in MATLAB, the kernel is Keys' cubic with a = -0.5, widened when shrinking, and the result is rounded to 8 bits
//! between the passes. Unlike MATLAB, Pillow resizes the width first, leaves out samples beyond the edge instead of
//! repeating the edge, uses weights that are multiples of 2⁻²², and does not touch a side that keeps its length.

use crate::Picture;
use rayon::prelude::*;
use std::ops::Range;

/// Fractional bits of a weight.
const BITS: u32 = 22;

/// Resizes the shorter side to `side` and returns the centre square: CLIP's preprocessing, as torchvision's `Resize`
/// and `CenterCrop` do it. Computes only the square and ignores transparency.
///
/// # Panics
/// Panics if the side or the picture is empty.
pub fn centre_square(picture: &Picture, side: usize) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let short = width.min(height);
    assert!(side > 0 && short > 0, "an empty picture");
    let resized = |length: usize| (side as u128 * length as u128 / short as u128) as usize;
    let taps = |length: usize| contributions(length, resized(length), centre(resized(length), side));
    let (columns, rows) = (taps(width), taps(height));
    let (top, bottom) =
        (rows[0].first, rows.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(height));
    let mut wide = vec![0; (bottom - top) * side * 3];
    wide.par_chunks_mut(side * 3).enumerate().for_each(|(y, out)| {
        let row = &picture.rgb()[(top + y) * width * 3..][..width * 3];
        for (pixel, taps) in out.chunks_exact_mut(3).zip(&columns) {
            for (c, out) in pixel.iter_mut().enumerate() {
                *out = taps.sum(|i| row[i * 3 + c]);
            }
        }
    });
    let mut out = vec![0; side * side * 3];
    out.par_chunks_mut(side * 3).zip(&rows).for_each(|(out, taps)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = taps.sum(|y| wide[(y - top) * side * 3 + i]);
        }
    });
    Picture::from_rgb(side, side, out)
}

/// Returns the middle `side` samples of `length`; half a sample rounds to even, as in Python.
fn centre(length: usize, side: usize) -> Range<usize> {
    let spare = length - side;
    let start = spare / 2 + usize::from(spare % 4 == 3);
    start..start + side
}

/// The input samples of one output sample, with their weights.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

impl Taps {
    fn sum(&self, sample: impl Fn(usize) -> u8) -> u8 {
        let sum: i64 = self.weights.iter().zip(self.first..).map(|(weight, i)| weight * i64::from(sample(i))).sum();
        ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    }
}

/// Returns the taps of some output samples when a side of length `from` is resized to `to`.
fn contributions(from: usize, to: usize, samples: Range<usize>) -> Vec<Taps> {
    if from == to {
        return samples.map(|first| Taps { first, weights: vec![1 << BITS] }).collect();
    }
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let reach = 2.0 * stretch;
    let taps = |out: usize| {
        let centre = (out as f64 + 0.5) * scale;
        // A conversion truncates towards zero and saturates, as C's conversion and its `if` do.
        let first = (centre - reach + 0.5) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let raw: Vec<f64> = (first..end).map(|i| cubic((i as f64 - centre + 0.5) * (1.0 / stretch))).collect();
        let total: f64 = raw.iter().sum();
        let whole = |weight: f64| (weight / total * f64::from(1 << BITS)).round() as i64;
        Taps { first, weights: raw.into_iter().map(whole).collect() }
    };
    samples.map(taps).collect()
}

/// Evaluates Keys' cubic, a = -0.5, in Pillow's order of operations.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        _ if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        _ if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_sample_is_rounded_to_the_even_one() {
        let starts: Vec<usize> = (0..9).map(|spare| centre(224 + spare, 224).start).collect();
        assert_eq!(starts, [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn of_a_long_picture_only_the_square_is_made() {
        let long = Picture::from_rgb(1, 300_000, vec![7; 900_000]);
        assert!(centre_square(&long, 224).rgb().iter().all(|v| *v == 7));
    }

    proptest! {
        #[test]
        fn a_flat_picture_stays_flat(level: u8, width in 1_usize..40, height in 1_usize..40, side in 1_usize..30) {
            let picture = Picture::from_rgb(width, height, vec![level; width * height * 3]);
            let square = centre_square(&picture, side);
            prop_assert_eq!((square.width(), square.height()), (side, side));
            prop_assert!(square.rgb().iter().all(|v| *v == level));
        }
    }
}
