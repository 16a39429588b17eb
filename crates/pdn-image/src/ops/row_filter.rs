//! Separable filters on a stream of rows: rows go in and finished rows come out, so the picture is never whole in
//! memory.
//!
//! Unlike [`resize`](crate::resize), nothing is rounded between the passes.

use crate::ops::blur::gaussian;
use crate::ops::resize::{Side, TapTable};
use rayon::prelude::*;
use std::collections::VecDeque;

/// A separable filter that keeps as many rows as its kernel spans.
#[derive(Debug)]
pub struct RowFilter {
    channels: usize,
    /// The taps of each column and each row of the result.
    columns: TapTable,
    rows: TapTable,
    /// Numbers per input row.
    stride: usize,
    /// Input rows from row `first` on, already filtered horizontally.
    kept: VecDeque<Vec<f32>>,
    first: usize,
    /// The next row of the result.
    next: usize,
}

impl RowFilter {
    /// Creates MATLAB's bicubic resize, with antialiasing, from one width and height to another.
    ///
    /// # Panics
    /// Panics if one of them is 0.
    pub fn resize((width, height): (usize, usize), (to_width, to_height): (usize, usize), channels: usize) -> Self {
        let [columns, rows] =
            [Side::of_lengths(width, to_width), Side::of_lengths(height, to_height)].map(TapTable::new);
        Self::new(width, channels, columns, rows)
    }

    /// Creates a Gaussian blur with this standard deviation in pixels, cut off at three deviations, with edges
    /// replicated.
    ///
    /// # Panics
    /// Panics if the deviation is not a positive number, or the width or height is 0.
    pub fn gaussian((width, height): (usize, usize), sigma: f64, channels: usize) -> Self {
        let radius = (3.0 * sigma).ceil() as usize;
        let weights = gaussian(sigma, radius);
        let taps = |length: usize| {
            let clamped = |at: usize| at.saturating_sub(radius).min(length - 1);
            let each = |out: usize| weights.iter().enumerate().map(|(i, w)| (clamped(out + i), *w)).collect();
            TapTable::Stored((0..length).map(each).collect())
        };
        Self::new(width, channels, taps(width), taps(height))
    }

    fn new(width: usize, channels: usize, columns: TapTable, rows: TapTable) -> Self {
        assert!(width * channels * columns.len() * rows.len() > 0, "an empty picture");
        Self { channels, columns, rows, stride: width * channels, kept: VecDeque::new(), first: 0, next: 0 }
    }

    /// Takes whole rows, interleaved, and returns the rows of the result that are ready: all the rest, once all rows
    /// have come.
    pub fn push(&mut self, rows: &[f32]) -> Vec<f32> {
        let (channels, columns) = (self.channels, &self.columns);
        let wide = |row: &[f32]| -> Vec<f32> {
            let mut out = Vec::with_capacity(columns.len() * channels);
            for x in 0..columns.len() {
                let taps = columns.taps(x);
                let sum = |c: usize| taps.iter().map(|(i, w)| w * f64::from(row[i * channels + c])).sum::<f64>() as f32;
                out.extend((0..channels).map(sum));
            }
            out
        };
        let new: Vec<Vec<f32>> = rows.par_chunks_exact(self.stride).map(wide).collect();
        self.kept.extend(new);
        let came = self.first + self.kept.len();
        let is_ready = |out: &usize| self.rows.taps(*out).iter().all(|(row, _)| *row < came);
        let ready = (self.next..self.rows.len()).take_while(is_ready).count();
        let width = self.columns.len() * channels;
        let mut out = vec![0.0; ready * width];
        out.par_chunks_mut(width).enumerate().for_each(|(i, out)| {
            let mut sums = vec![0.0; width];
            for (row, weight) in self.rows.taps(self.next + i).iter() {
                sums.iter_mut().zip(&self.kept[row - self.first]).for_each(|(s, v)| *s += weight * f64::from(*v));
            }
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum as f32);
        });
        self.next += ready;
        let next = (self.next < self.rows.len()).then(|| self.rows.taps(self.next));
        let needed = next.and_then(|taps| taps.first().map(|(row, _)| *row)).unwrap_or(came);
        let done = needed.saturating_sub(self.first).min(self.kept.len());
        self.kept.drain(..done);
        self.first += done;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Picture, resize_to};
    use proptest::prelude::*;

    /// Filters rows in groups of `tall`; returns the result and the most rows that the filter kept.
    fn run(mut filter: RowFilter, picture: &Picture, tall: usize) -> (Vec<f32>, usize) {
        let rows: Vec<f32> = picture.rgb().iter().map(|v| f32::from(*v)).collect();
        let mut most = 0;
        let out = rows.chunks(picture.width() * 3 * tall).flat_map(|rows| {
            let out = filter.push(rows);
            most = most.max(filter.kept.len());
            out
        });
        (out.collect(), most)
    }

    proptest! {
        #[test]
        fn resizing_is_imresize_but_for_its_rounding(
            width in 1_usize..20, height in 1_usize..20, to in (1_usize..40, 1_usize..40), tall in 1_usize..8, seed: u8,
        ) {
            let rgb = (0..width * height * 3).map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed) / 2 + 64).collect();
            let picture = Picture::from_rgb(width, height, rgb);
            let (found, _) = run(RowFilter::resize((width, height), to, 3), &picture, tall);
            let expected = resize_to(&picture, to.0, to.1);
            prop_assert_eq!(found.len(), expected.rgb().len());
            // The last rounding accounts for half a level, and the first for another half, spread by the taps.
            prop_assert!(found.iter().zip(expected.rgb()).all(|(a, b)| (a - f32::from(*b)).abs() < 1.2));
        }
    }

    #[test]
    fn few_rows_are_kept_and_it_does_not_matter_how_they_come() {
        let picture = Picture::from_rgb(8, 400, (0..9600).map(|i| (i * 31 % 251) as u8).collect());
        for make in [|| RowFilter::resize((8, 400), (5, 930), 3), || RowFilter::gaussian((8, 400), 2.0, 3)] {
            let (one, most) = run(make(), &picture, 1);
            assert!(most < 16, "{most} rows");
            assert_eq!(run(make(), &picture, 7).0, one);
            assert_eq!(run(make(), &picture, 400).0, one);
        }
        let flat = Picture::from_rgb(5, 4, vec![9; 60]);
        assert!(run(RowFilter::gaussian((5, 4), 3.0, 3), &flat, 1).0.iter().all(|v| (v - 9.0).abs() < 1e-5));
    }
}
