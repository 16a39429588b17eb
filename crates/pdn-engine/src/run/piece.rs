//! The output of a run: rows of the upscaled picture.

use crate::compile::program::Output;
use crate::run::rows::Rows;
use pdn_kernels::LANES;
use std::ops::Range;

/// Part of the upscaled picture with its position: some rows, spanning the whole width unless the picture is run in
/// columns.
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
    /// Returns the rows of the picture that the piece covers.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Returns the columns of the picture that the piece covers.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Copies one channel of row `y` of the picture, which must be a row of the piece, into `out`, one number per
    /// column of the piece.
    pub fn read(&self, channel: usize, y: usize, out: &mut [f32]) {
        let Output { source, shuffle: r } = self.output;
        // The first of the channels that become a pixel's neighbours to its right.
        let first = source.first_block * LANES + (channel * r + y % r) * r;
        let (row, shape) = (self.map.row(y / r), self.map.shape);
        // Columns begin and end at a pixel of the map.
        for (dx, channel) in (first..first + r).enumerate() {
            let from = shape.at(channel / LANES, self.skipped / r) + channel % LANES;
            let numbers = row[from..].iter().step_by(LANES);
            out[dx..].iter_mut().step_by(r).zip(numbers).for_each(|(out, v)| *out = *v);
        }
    }
}
