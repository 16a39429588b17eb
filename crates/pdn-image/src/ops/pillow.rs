//! Pillow's bicubic `resize`, to the last bit (`libImaging/Resample.c`), and the square that CLIP looks at.
//!
//! Like MATLAB's it is Keys' cubic with a = -0.5, widened when shrinking and rounded to 8 bits between the passes. Unlike
//! MATLAB's it resizes the width first, leaves out samples beyond the edge instead of repeating the edge's, has weights that are
//! multiples of 2⁻²², and does not touch a side that keeps its length.

use crate::Picture;
use rayon::prelude::*;
use std::ops::Range;

/// Bits of a weight behind the point.
const BITS: u32 = 22;

/// The picture with its shorter side resized to `side`, and of that the square in the centre: CLIP's preprocessing, as
/// torchvision's `Resize` and `CenterCrop` do it. Only the square is computed. Transparency is left out.
///
/// # Panics
/// When the side or the picture is empty.
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

/// The `side` samples in the middle of `length`; half a sample is rounded to the even one, as Python does.
fn centre(length: usize, side: usize) -> Range<usize> {
    let spare = length - side;
    let start = spare / 2 + usize::from(spare % 4 == 3);
    start..start + side
}

/// The samples that make one of a resized side, with their weights.
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

/// The taps of some samples of a side of `from` that is resized to `to`.
fn contributions(from: usize, to: usize, samples: Range<usize>) -> Vec<Taps> {
    if from == to {
        return samples.map(|first| Taps { first, weights: vec![1 << BITS] }).collect();
    }
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let reach = 2.0 * stretch;
    let taps = |out: usize| {
        let centre = (out as f64 + 0.5) * scale;
        // A conversion cuts off towards zero and stops there, as the one in C and its `if` do.
        let first = (centre - reach + 0.5) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let raw: Vec<f64> = (first..end).map(|i| cubic((i as f64 - centre + 0.5) * (1.0 / stretch))).collect();
        let total: f64 = raw.iter().sum();
        let whole = |weight: f64| (weight / total * f64::from(1 << BITS)).round() as i64;
        Taps { first, weights: raw.into_iter().map(whole).collect() }
    };
    samples.map(taps).collect()
}

/// Keys' cubic, a = -0.5, in Pillow's order of operations.
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
