//! Upscales transparency with the network, as a grey picture: bicubic interpolation leaves stairs along hard edges.
//!
//! Networks ring, and ringing in a mask shows up where nothing is. So the network's output is clamped to the range of
//! the nine small pixels around it: areas that are fully clear or opaque stay exactly so.

use pdn_image::{Alpha, Picture, Sample};
use std::ops::Range;

/// The transparency of an upscaled picture.
pub(crate) enum Transparency<'a, S, T> {
    /// Uniform, or upscaled by bicubic interpolation.
    Plain(Alpha<'a, S, T>),
    /// Upscaled by a network: the whole plane and its width.
    Network(Vec<T>, usize),
}

impl<S: Sample, T: Sample> Transparency<'_, S, T> {
    /// Returns some rows of the plane.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Vec<T> {
        match self {
            Self::Plain(alpha) => alpha.rows(rows),
            Self::Network(values, width) => values[rows.start * width..rows.end * width].to_vec(),
        }
    }
}

/// Returns whether a picture's transparency varies.
pub(crate) fn varies<S: Sample>(picture: &Picture<S>) -> bool {
    picture.alpha().is_some() && picture.constant_alpha().is_none()
}

/// Clamps each value of a large plane to the range of the nine small values around it.
pub(crate) fn keep_between<S: Sample, T: Sample>(large: &mut [T], large_width: usize, small: &[S], width: usize) {
    let (height, large_height) = (small.len() / width, large.len() / large_width);
    let around = |at: usize, side: usize| at.saturating_sub(1)..(at + 2).min(side);
    let limits = |x: usize, y: usize| {
        let rows = around(y, height).map(|y| &small[y * width..][around(x, width)]);
        let levels = rows.flatten().map(|v| T::of(*v).level());
        levels.fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), v| (least.min(v), most.max(v)))
    };
    for (large_y, row) in large.chunks_exact_mut(large_width).enumerate() {
        let y = large_y * height / large_height;
        let across: Vec<(f64, f64)> = (0..width).map(|x| limits(x, y)).collect();
        for (large_x, value) in row.iter_mut().enumerate() {
            let (least, most) = across[large_x * width / large_width];
            *value = T::rounded(value.level().clamp(least, most));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_all_around_stays_so() {
        let small: Vec<u8> = [[0, 0, 0, 0, 255, 255], [0, 0, 0, 0, 255, 255], [0, 0, 0, 0, 255, 90]].concat();
        let mut large: Vec<u16> = (0..6 * 12).map(|i| (i * 900) as u16).collect();
        keep_between(&mut large, 12, &small, 6);
        for row in large.chunks(12) {
            assert!(row[..6].iter().all(|v| *v == 0), "{row:?}");
        }
        assert!(large[..12][10..].iter().all(|v| *v == 65_535), "{large:?}");
        assert!(large[5 * 12..][10..].iter().all(|v| (90 * 257..=65_535).contains(v)));
        assert!(large.iter().any(|v| (1..65_535).contains(v)), "edges are the network's");
    }
}
