//! A compiled network: its steps in order, and how they run on bands and columns.

use crate::compile::schedule::{Bands, Lags, TILE};
use crate::compile::step::{Source, Step, Value, Work};
use pdn_kernels::{Conv, Format, Precision, RowShape};

/// The steps of a network, in order, and the maps that they write.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) values: Vec<Value>,
    pub(crate) output: Output,
    /// Zero pixels on either side of every row, for the largest kernel.
    pub(crate) pad: usize,
    /// The precision of the convolutions.
    pub(crate) precision: Precision,
    /// The side of the blocks of pixels that become one pixel of the smallest map.
    pub(crate) multiple: usize,
    /// How far each map lags behind the picture.
    pub(crate) lags: Lags,
    /// Whether rows can stream through all steps band by band: no step needs a whole map.
    pub(crate) flows: bool,
}

impl Program {
    /// Returns the granularity of bands and columns, in pixels of the picture, which keeps the groups and tiles of
    /// every map where they would be without bands and columns.
    pub(crate) fn grid(&self) -> usize {
        self.multiple * Conv::most_rows(self.precision)
    }

    /// Returns the halo of a column: how far beyond it each map must be known for a bit-identical result. It covers not
    /// only the reach of the kernels but also the whole tiles of [`TILE`] pixels that are computed together.
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

    /// Returns bands of `rows` rows of a picture, or a single one if the program cannot stream.
    pub(crate) fn bands(&self, height: usize, rows: usize) -> Bands {
        let all = height + self.lags.longest(&self.values);
        match self.flows && rows < all {
            true => Bands { rows, count: all.div_ceil(rows) },
            false => Bands { rows: all.next_multiple_of(self.grid()), count: 1 },
        }
    }

    /// Returns how many rows of a value are kept from band to band.
    pub(crate) fn kept(&self, value: usize, bands: Bands) -> usize {
        if bands.count == 1 { 0 } else { self.lags.kept(value) }
    }

    /// Returns the row shape and height of a value for a picture.
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

/// Where the upscaled picture is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) source: Source,
    /// The factor of a pixel shuffle that is done as the output is read; as a step of its own it would write each
    /// number once more.
    pub(crate) shuffle: usize,
}

impl Output {
    /// Returns the number of channels of the picture.
    pub(crate) fn channels(&self) -> usize {
        self.source.channels / (self.shuffle * self.shuffle)
    }
}
