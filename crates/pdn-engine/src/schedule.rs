//! Which rows of every map a band computes.
//!
//! A band is some rows of the picture, brought through all layers before the next. A layer that reads rows around each of
//! its own lags behind its input by as many, so every row of every map is computed once, as soon as what it reads is there:
//! of a map that lags by `l`, the first `t` bands of `r` rows give rows `0 .. t r - l` (in the map's own rows).
//!
//! What is kept from band to band is what later rows of its readers still read: with a lag of `l` and a reader that lags by
//! `m` and reads `k` rows around, `m + k - l` rows. That is the width of the network's kernels and the length of its long
//! sums, whatever the height of the picture.

use crate::step::{Program, Reach, Step, Work};
use pdn_network::Extent;

/// Pixels of a tile that a kernel computes together: where a tile begins changes its numbers, by rounding.
pub(crate) const TILE: usize = 4;

/// The rows by which the maps of a program lag behind the picture.
#[derive(Debug)]
pub(crate) struct Lags {
    /// Of each map, in its own rows.
    lags: Vec<usize>,
    /// Rows of each map that are kept from band to band.
    kept: Vec<usize>,
}

impl Lags {
    pub(crate) fn new(steps: &[Step], values: usize) -> Self {
        let (mut lags, mut kept) = (vec![0; values], vec![0; values]);
        for step in steps {
            let Some(out) = step.out else { continue };
            let reads = || step.work.reads();
            let lag = reads().map(|(value, reach)| reach.out(lags[value] + reach.radius)).max().unwrap_or(0);
            lags[out] = lag;
            for (value, reach) in reads() {
                kept[value] = kept[value].max(reach.inward(lag) + reach.radius - lags[value]);
            }
        }
        Self { lags, kept }
    }

    /// Rows by which a map lags.
    pub(crate) fn of(&self, value: usize) -> usize {
        self.lags[value]
    }

    /// Rows of a map that are kept from band to band.
    pub(crate) fn kept(&self, value: usize) -> usize {
        self.kept[value]
    }

    /// The most that any map lags, in rows of the picture.
    fn longest(&self, program: &Program) -> usize {
        let in_picture = |(lag, value): (&usize, &crate::step::Value)| match value.extent {
            Extent::Reduced(by) => lag * by,
            extent => lag.div_ceil(extent.side(1)),
        };
        self.lags.iter().zip(&program.values).map(in_picture).max().unwrap_or(0)
    }
}

/// How far beyond a column of the picture each map must be known so that what it gives is the same to the last bit: not
/// what its kernels read alone, but the whole tiles of [`TILE`] pixels that their numbers are computed in.
pub(crate) fn halo(program: &Program) -> usize {
    let mut margins = vec![0; program.values.len()];
    let mut widest = 0;
    for step in program.steps.iter().rev() {
        let Some(out) = step.out else { continue };
        if matches!(step.work, Work::Picture) {
            widest = widest.max(margins[out]);
        }
        for (value, reach) in step.work.reads() {
            let given = reach.inward(margins[out]);
            let computed = if step.group(program.precision) > 1 { given.next_multiple_of(TILE) } else { given };
            margins[value] = margins[value].max(computed + reach.radius);
        }
    }
    widest
}

/// The bands of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bands {
    /// Rows of the picture in each.
    pub(crate) rows: usize,
    /// How many there are: the last ones bring what lags to its end.
    pub(crate) count: usize,
}

impl Bands {
    /// Bands of so many rows of a picture of some height, or the whole at once where the program cannot flow.
    pub(crate) fn new(program: &Program, height: usize, rows: usize) -> Self {
        let all = height + program.lags.longest(program);
        match program.flows && rows < all {
            true => Self { rows, count: all.div_ceil(rows) },
            false => Self { rows: all.next_multiple_of(program.grid()), count: 1 },
        }
    }

    /// Rows of a map that are there after `band`: of `height`, with a lag.
    pub(crate) fn end(self, band: usize, extent: Extent, lag: usize, height: usize) -> usize {
        extent.side(self.rows * (band + 1)).saturating_sub(lag).min(height)
    }
}

impl Reach {
    /// Rows of the output from rows of the input.
    pub(crate) fn out(self, rows: usize) -> usize {
        (rows * self.up).div_ceil(self.down)
    }

    /// Rows of the input from rows of the output.
    pub(crate) fn inward(self, rows: usize) -> usize {
        (rows * self.down).div_ceil(self.up)
    }
}
