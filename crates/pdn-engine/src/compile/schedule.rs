//! Which rows of every map a band computes.
//!
//! A band is some rows of the picture, brought through all layers before the next. A layer that reads rows around each of
//! its own lags behind its input by as many, so every row of every map is computed once, as soon as what it reads is there:
//! of a map that lags by `l`, the first `t` bands of `r` rows give rows `0 .. t r - l` (in the map's own rows).
//!
//! What is kept from band to band is what later rows of its readers still read: with a lag of `l` and a reader that lags by
//! `m` and reads `k` rows around, `m + k - l` rows. That is the width of the network's kernels and the length of its long
//! sums, whatever the height of the picture.

use crate::compile::step::{Step, Value};
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
    pub(crate) fn longest(&self, values: &[Value]) -> usize {
        let in_picture = |(lag, value): (&usize, &Value)| match value.extent {
            Extent::Reduced(by) => lag * by,
            extent => lag.div_ceil(extent.side(1)),
        };
        self.lags.iter().zip(values).map(in_picture).max().unwrap_or(0)
    }
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
    /// Rows of a map that are there after `band`: of `height`, with a lag.
    pub(crate) fn end(self, band: usize, extent: Extent, lag: usize, height: usize) -> usize {
        extent.side(self.rows * (band + 1)).saturating_sub(lag).min(height)
    }
}
