//! A map in the kernels' layout: row by row, channels in blocks of 16 (see `pdn_kernels`).
//!
//! While a map streams past, only two parts of it are in memory: the rows of the current band, and those of earlier
//! bands that are still needed.

use crate::map::Map;
use pdn_kernels::{Aligned, Format, LANES, RowShape};
use rayon::prelude::*;
use std::ops::Range;

/// The rows of a map that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) shape: RowShape,
    pub(crate) channels: usize,
    pub(crate) format: Format,
    /// Rows of the whole map.
    pub(crate) height: usize,
    /// The rows of the current band.
    pub(crate) band: Range<usize>,
    /// Rows in the slot before the band's.
    lead: usize,
    /// The band's memory, shared with other maps.
    slot: Aligned<f32>,
    /// The last rows of earlier bands, as a ring buffer: each at its number modulo their count.
    kept: Aligned<f32>,
}

impl Rows {
    /// Creates a map without rows, and memory for the rows that are kept from band to band.
    pub(crate) fn new(shape: RowShape, (channels, format): (usize, Format), height: usize, kept: usize) -> Self {
        Self { shape, channels, format, height, kept: Aligned::new(0.0, kept * shape.len()), ..Self::default() }
    }

    /// Discards all rows and starts at the top again.
    pub(crate) fn restart(&mut self) {
        self.band = 0..0;
    }

    /// Makes room in `slot` for the rows up to `end`, after `lead` unused rows.
    pub(crate) fn advance(&mut self, end: usize, lead: usize, slot: Aligned<f32>) {
        (self.band, self.lead, self.slot) = (self.band.end..end, lead, slot);
    }

    /// Returns the band's memory after keeping its rows from `first` on.
    pub(crate) fn release(&mut self, first: usize) -> Aligned<f32> {
        let len = self.shape.len();
        for y in first.max(self.band.start)..self.band.end {
            let at = (y - self.band.start + self.lead) * len;
            let to = y * len % self.kept.len();
            self.kept[to..to + len].copy_from_slice(&self.slot[at..at + len]);
        }
        self.band.start = self.band.end;
        std::mem::take(&mut self.slot)
    }

    /// Returns the band's rows in groups of `count`, for threads to write: the first row of each, and how many rows of
    /// the group come before it.
    pub(crate) fn par_groups(
        &mut self,
        count: usize,
    ) -> impl IndexedParallelIterator<Item = (usize, usize, &mut [f32])> {
        let (len, lead, start) = (self.shape.len(), self.lead, self.band.start);
        let used = match self.band.len() {
            0 => 0,
            rows => (lead + rows) * len,
        };
        self.slot[..used].par_chunks_mut(count * len).enumerate().map(move |(group, rows)| match group {
            0 => (start, lead, &mut rows[lead * len..]),
            _ => (start + group * count - lead, 0, rows),
        })
    }

    /// Returns each row of the band with its number, for threads to write. The band must have no lead.
    pub(crate) fn par_rows(&mut self) -> impl IndexedParallelIterator<Item = (usize, &mut [f32])> {
        self.par_groups(1).map(|(y, _, row)| (y, row))
    }

    /// Returns a row that is in memory.
    pub(crate) fn row(&self, y: usize) -> &[f32] {
        let len = self.shape.len();
        match y.checked_sub(self.band.start) {
            Some(row) => &self.slot[(self.lead + row) * len..][..len],
            None => &self.kept[y * len % self.kept.len()..][..len],
        }
    }

    /// Returns the numbers of a channel in a row of the map.
    pub(crate) fn channel(&self, channel: usize, y: usize) -> impl Iterator<Item = f32> + '_ {
        let first = self.shape.at(channel / LANES, 0) + channel % LANES;
        self.row(y)[first..].iter().step_by(LANES).take(self.shape.width).copied()
    }

    /// Returns whether all numbers of the band are finite.
    pub(crate) fn is_finite(&self) -> bool {
        // The exponent bits of a bf16 are those of the float32 that it begins.
        let halves =
            |bits: u32| [bits & 0xffff_0000, bits << 16].into_iter().all(|bits| f32::from_bits(bits).is_finite());
        self.band.clone().into_par_iter().all(|y| match self.format {
            Format::Singles => self.row(y).iter().all(|v| v.is_finite()),
            Format::Lines => self.row(y).iter().all(|v| halves(v.to_bits())),
        })
    }

    /// Copies a planar map into the band's rows, and clears the padding and the unused lanes.
    pub(crate) fn fill_from(&mut self, map: &Map<f32>) {
        let (first, pixels) = (self.band.start, map.height * map.width);
        self.fill(|c, y, x| map.data[c * pixels + (y - first) * map.width + x]);
    }

    /// Writes the band's rows from a function of channel, row and pixel.
    pub(crate) fn fill(&mut self, number: impl Fn(usize, usize, usize) -> f32 + Sync) {
        let (shape, channels) = (self.shape, self.channels);
        self.par_rows().for_each(|(y, row)| {
            row.fill(0.0);
            for c in 0..channels {
                for x in 0..shape.width {
                    row[shape.at(c / LANES, x) + c % LANES] = number(c, y, x);
                }
            }
        });
    }

    /// Copies some rows of `channels` channels, from `first` on, into a planar map.
    pub(crate) fn to_map(&self, first: usize, channels: usize, rows: Range<usize>) -> Map<f32> {
        let width = self.shape.width;
        let mut data = vec![0.0; channels * rows.len() * width];
        data.par_chunks_mut(width).enumerate().for_each(|(line, out)| {
            let row = self.channel(first + line / rows.len(), rows.start + line % rows.len());
            out.iter_mut().zip(row).for_each(|(out, v)| *out = v);
        });
        Map::new(channels, rows.len(), width, data)
    }
}
