//! What a run gives: rows of the enlarged picture.

use crate::compile::program::Output;
use crate::run::rows::Rows;
use pdn_kernels::LANES;
use std::ops::Range;

/// A part of the enlarged picture, with its place in it: some rows, of the whole width where it is not run in columns.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    /// Pixels of the map before the piece.
    pub(crate) skipped: usize,
    pub(crate) map: &'a Rows,
    pub(crate) output: Output,
}

impl Piece<'_> {
    /// The rows of the picture that it covers.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The pixels of each that it covers.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Copies what it holds of a channel in a row of the picture, which must be one that it covers, into as many numbers as it
    /// has columns.
    pub fn read(&self, channel: usize, y: usize, out: &mut [f32]) {
        let Output { source, shuffle: r } = self.output;
        // Of the channels that are a pixel's neighbours on its right.
        let first = source.first_block * LANES + (channel * r + y % r) * r;
        let (row, shape) = (self.map.row(y / r), self.map.shape);
        // Columns begin and end with a pixel of the map.
        for (dx, channel) in (first..first + r).enumerate() {
            let from = shape.at(channel / LANES, self.skipped / r) + channel % LANES;
            let numbers = row[from..].iter().step_by(LANES);
            out[dx..].iter_mut().step_by(r).zip(numbers).for_each(|(out, v)| *out = *v);
        }
    }
}
