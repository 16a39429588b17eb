//! One channel of a picture, in float64.

use pdn_image::Picture;
use rayon::prelude::*;

/// How three colours become one grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luma {
    /// Luma from 16 to 235, as in MATLAB's `rgb2ycbcr`.
    Y,
    /// MATLAB's `rgb2gray`: the luma of NTSC, from 0 to 255.
    Grey,
}

/// Numbers row by row.
pub(crate) struct Plane {
    pub(crate) data: Vec<f64>,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Plane {
    /// Returns a picture's grey without `shave` pixels on each side; `None` if nothing is left.
    pub(crate) fn of(picture: &Picture, luma: Luma, shave: usize) -> Option<Self> {
        let left = |side: usize| side.checked_sub(shave.checked_mul(2)?).filter(|left| *left > 0);
        let (width, height) = (left(picture.width())?, left(picture.height())?);
        let grey = |p: &[u8]| {
            let [r, g, b] = [p[0], p[1], p[2]].map(f64::from);
            match luma {
                Luma::Y => 16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0,
                // The second row of what inverts NTSC's matrix, as `rgb2gray` has it.
                Luma::Grey => 0.298_936_021_293_775 * r + 0.587_043_074_451_121 * g + 0.114_020_904_255_103 * b,
            }
        };
        let rows = picture.rgb().chunks_exact(picture.width() * 3).skip(shave).take(height);
        let data = rows.flat_map(|row| row[shave * 3..][..width * 3].chunks_exact(3).map(grey)).collect();
        Some(Self { data, width, height })
    }

    /// Returns the left upper part.
    pub(crate) fn cropped(&self, width: usize, height: usize) -> Self {
        let rows = self.data.chunks_exact(self.width).take(height);
        Self { data: rows.flat_map(|row| &row[..width]).copied().collect(), width, height }
    }

    /// Applies a function to each number of this and another plane of the same size.
    pub(crate) fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let data = self.data.iter().zip(&other.data).map(|(a, b)| f(*a, *b)).collect();
        Self { data, width: self.width, height: self.height }
    }

    /// Filters along both axes with an odd number of taps; samples beyond the edge repeat it.
    pub(crate) fn filtered(&self, taps: &[f64]) -> Self {
        let (radius, width) = (taps.len() / 2, self.width);
        let mut data = vec![0.0; self.data.len()];
        data.par_chunks_mut(width).enumerate().for_each(|(y, out)| {
            // Padded, so that the inner loops run over whole rows.
            let mut tall = vec![0.0; width + 2 * radius];
            for (tap, weight) in taps.iter().enumerate() {
                let row = (y + tap).saturating_sub(radius).min(self.height - 1);
                let row = &self.data[row * width..][..width];
                tall[radius..].iter_mut().zip(row).for_each(|(sum, v)| *sum += weight * v);
            }
            let (first, last) = (tall[radius], tall[radius + width - 1]);
            tall[..radius].fill(first);
            tall[radius + width..].fill(last);
            for (tap, weight) in taps.iter().enumerate() {
                out.iter_mut().zip(&tall[tap..]).for_each(|(sum, v)| *sum += weight * v);
            }
        });
        Self { data, width, height: self.height }
    }

    /// Filters along both axes, only where the taps lie inside.
    ///
    /// # Panics
    /// Panics if a side is shorter than the taps.
    pub(crate) fn filtered_inside(&self, taps: &[f64]) -> Self {
        let (width, height) = (self.width + 1 - taps.len(), self.height + 1 - taps.len());
        let mut data = vec![0.0; width * height];
        data.par_chunks_mut(width).enumerate().for_each_init(
            || vec![0.0; self.width],
            |tall, (y, out)| {
                tall.fill(0.0);
                for (row, weight) in self.data[y * self.width..].chunks_exact(self.width).zip(taps) {
                    tall.iter_mut().zip(row).for_each(|(sum, v)| *sum += weight * v);
                }
                for (tap, weight) in taps.iter().enumerate() {
                    out.iter_mut().zip(&tall[tap..]).for_each(|(sum, v)| *sum += weight * v);
                }
            },
        );
        Self { data, width, height }
    }
}

/// Returns a Gaussian of `count` taps, an odd number, that add up to 1: one axis of MATLAB's `fspecial`.
pub(crate) fn gaussian(count: usize, sigma: f64) -> Vec<f64> {
    let middle = (count / 2) as f64;
    let raw: Vec<f64> = (0..count).map(|i| (-(i as f64 - middle).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_repeats_the_edge_or_stays_inside() {
        let plane = Plane { data: vec![3.0, 6.0, 9.0, 3.0, 6.0, 9.0], width: 3, height: 2 };
        assert_eq!(plane.filtered(&[0.0, 1.0, 1.0]).data, [18.0, 30.0, 36.0, 18.0, 30.0, 36.0]);
        let inside = plane.filtered_inside(&[0.5, 0.5]);
        assert_eq!((inside.data, inside.width, inside.height), (vec![4.5, 7.5], 2, 1));
    }

    #[test]
    fn grey_is_between_its_levels() {
        let white = Picture::from_rgb(3, 3, vec![255; 27]);
        let level = |luma| Plane::of(&white, luma, 1).unwrap().data[0];
        assert!((level(Luma::Y) - 235.0).abs() < 1e-9 && (level(Luma::Grey) - 255.0).abs() < 1e-3);
        assert!(
            [2, 1 << (usize::BITS - 1), usize::MAX].iter().all(|shave| Plane::of(&white, Luma::Y, *shave).is_none())
        );
    }
}
