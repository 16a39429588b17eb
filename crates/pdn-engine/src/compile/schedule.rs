//! Computes which rows of every map belong to a band.
//!
//! A band is a group of rows of the picture that goes through all layers before the next. A layer that reads rows
//! around each of its own lags behind its input by as many, so every row of every map is computed once, as soon as its
//! input is there: of a map that lags by `l`, the first `t` bands of `r` rows yield rows `0 .. t r - l` (in the map's
//! own rows).
//!
//! Rows that later rows of a map's readers still need are kept from band to band: with a lag of `l` and a reader that
//! lags by `m` and reads `k` rows around, `m + k - l` rows. This depends on the width of the network's kernels and the
//! length of its long skip connections, but not on the height of the picture.

use crate::compile::step::{Step, Value};
use pdn_network::Extent;

/// Pixels of a tile that a kernel computes together: where a tile begins changes its numbers, by rounding.
pub(crate) const TILE: usize = 4;

/// The rows by which the maps of a program lag behind the picture.
#[derive(Debug)]
pub(crate) struct Lags {
    /// The lag of each map, in its own rows.
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

    /// Returns the lag of a map, in rows.
    pub(crate) fn of(&self, value: usize) -> usize {
        self.lags[value]
    }

    /// Returns how many rows of a map are kept from band to band.
    pub(crate) fn kept(&self, value: usize) -> usize {
        self.kept[value]
    }

    /// Returns the longest lag of any map, in rows of the picture.
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
    /// Rows of the picture per band.
    pub(crate) rows: usize,
    /// The number of bands; the last ones complete the maps that lag.
    pub(crate) count: usize,
}

impl Bands {
    /// Returns how many rows of a map are computed after `band`, given its lag; at most `height`.
    pub(crate) fn end(self, band: usize, extent: Extent, lag: usize, height: usize) -> usize {
        extent.side(self.rows * (band + 1)).saturating_sub(lag).min(height)
    }
}
