//! A compiled network: its steps in order, and how they run on bands and columns.

use crate::compile::schedule::{Bands, Lags, TILE};
use crate::compile::step::{Source, Step, Value, Work};
use pdn_kernels::{Conv, Format, Precision, RowShape};

/// The steps of a network, in order, and the maps they write.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) values: Vec<Value>,
    pub(crate) output: Output,
    /// Zero pixels on either side of every row: what the largest kernel reads.
    pub(crate) pad: usize,
    /// With which its convolutions are computed.
    pub(crate) precision: Precision,
    /// Pixels a side of the blocks of the picture that become one pixel of the smallest map.
    pub(crate) multiple: usize,
    /// How far each map lags behind the picture.
    pub(crate) lags: Lags,
    /// Whether rows can flow through all steps band by band: none reads a whole map.
    pub(crate) flows: bool,
}

impl Program {
    /// Rows, and pixels a row, of the picture that bands and columns are multiples of: so every map's groups and tiles begin
    /// where they would without them.
    pub(crate) fn grid(&self) -> usize {
        self.multiple * Conv::most_rows(self.precision)
    }

    /// How far beyond a column of the picture each map must be known so that what it gives is the same to the last bit: not
    /// what its kernels read alone, but the whole tiles of [`TILE`] pixels that their numbers are computed in.
    pub(crate) fn halo(&self) -> usize {
        let mut margins = vec![0; self.values.len()];
        let mut widest = 0;
        for step in self.steps.iter().rev() {
            let Some(out) = step.out else { continue };
            if matches!(step.work, Work::Picture) {
                widest = widest.max(margins[out]);
            }
            for (value, reach) in step.work.reads() {
                let given = reach.inward(margins[out]);
                let computed = if step.group(self.precision) > 1 { given.next_multiple_of(TILE) } else { given };
                margins[value] = margins[value].max(computed + reach.radius);
            }
        }
        widest
    }

    /// Bands of so many rows of a picture of some height, or the whole at once where the program cannot flow.
    pub(crate) fn bands(&self, height: usize, rows: usize) -> Bands {
        let all = height + self.lags.longest(&self.values);
        match self.flows && rows < all {
            true => Bands { rows, count: all.div_ceil(rows) },
            false => Bands { rows: all.next_multiple_of(self.grid()), count: 1 },
        }
    }

    /// Rows of a value that are kept from band to band.
    pub(crate) fn kept(&self, value: usize, bands: Bands) -> usize {
        if bands.count == 1 { 0 } else { self.lags.kept(value) }
    }

    /// Row shape and height of a value for a picture.
    pub(crate) fn rows_of(&self, value: usize, height: usize, width: usize) -> (RowShape, usize) {
        let Value { channels, extent, format } = self.values[value];
        let width = extent.side(width);
        let shape = match format {
            Format::Singles => RowShape::new(channels, width, self.pad),
            Format::Lines => RowShape::of_lines(channels, width, self.pad),
        };
        (shape, extent.side(height))
    }
}

/// Where the enlarged picture is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) source: Source,
    /// Pixels a side that each pixel's channels become as they are read: a pixel shuffle that ends a network is no step of its
    /// own, which would write each number once more.
    pub(crate) shuffle: usize,
}

impl Output {
    /// Channels of the picture.
    pub(crate) fn channels(&self) -> usize {
        self.source.channels / (self.shuffle * self.shuffle)
    }
}
