//! A map as the kernels want it: row by row, channels in blocks of 16 (`pdn_kernels`' layout).
//!
//! Of a map that flows past, two parts are there: the rows of this band, and those of earlier bands that are still read.

use crate::map::Map;
use pdn_kernels::{Aligned, Format, LANES, RowShape};
use rayon::prelude::*;
use std::ops::Range;

/// The rows of a map that are there.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) shape: RowShape,
    pub(crate) channels: usize,
    pub(crate) format: Format,
    /// Rows of the whole map.
    pub(crate) height: usize,
    /// This band's rows.
    pub(crate) band: Range<usize>,
    /// Rows that the slot holds before the band's.
    lead: usize,
    /// The band's memory, shared with other maps.
    slot: Aligned<f32>,
    /// The last rows of earlier bands, each at its number modulo their count.
    kept: Aligned<f32>,
}

impl Rows {
    /// A map of which no row is there yet, and memory for the rows that are kept from band to band.
    pub(crate) fn new(shape: RowShape, (channels, format): (usize, Format), height: usize, kept: usize) -> Self {
        Self { shape, channels, format, height, kept: Aligned::new(0.0, kept * shape.len()), ..Self::default() }
    }

    /// No row is there: the map begins anew.
    pub(crate) fn restart(&mut self) {
        self.band = 0..0;
    }

    /// Makes room for the rows up to `end`, `lead` rows into memory of its own.
    pub(crate) fn advance(&mut self, end: usize, lead: usize, slot: Aligned<f32>) {
        (self.band, self.lead, self.slot) = (self.band.end..end, lead, slot);
    }

    /// Gives the band's memory back. Rows from `first` on are kept.
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

    /// The band's rows in groups of `count`, for threads to write: each with its first row, and how many rows of the
    /// group come before it.
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

    /// Each of the band's rows with its number, for threads to write. The band has no lead.
    pub(crate) fn par_rows(&mut self) -> impl IndexedParallelIterator<Item = (usize, &mut [f32])> {
        self.par_groups(1).map(|(y, _, row)| (y, row))
    }

    /// A row that is there.
    pub(crate) fn row(&self, y: usize) -> &[f32] {
        let len = self.shape.len();
        match y.checked_sub(self.band.start) {
            Some(row) => &self.slot[(self.lead + row) * len..][..len],
            None => &self.kept[y * len % self.kept.len()..][..len],
        }
    }

    /// The numbers of a channel in a row of the map.
    pub(crate) fn channel(&self, channel: usize, y: usize) -> impl Iterator<Item = f32> + '_ {
        let first = self.shape.at(channel / LANES, 0) + channel % LANES;
        self.row(y)[first..].iter().step_by(LANES).take(self.shape.width).copied()
    }

    /// Whether all numbers of the band are finite.
    pub(crate) fn is_finite(&self) -> bool {
        // Of a bf16 the exponent's bits are where they are in a float32 that it begins.
        let halves =
            |bits: u32| [bits & 0xffff_0000, bits << 16].into_iter().all(|bits| f32::from_bits(bits).is_finite());
        self.band.clone().into_par_iter().all(|y| match self.format {
            Format::Singles => self.row(y).iter().all(|v| v.is_finite()),
            Format::Lines => self.row(y).iter().all(|v| halves(v.to_bits())),
        })
    }

    /// Copies a planar map of the band's rows in, and clears the padding and the lanes that no channel fills.
    pub(crate) fn fill_from(&mut self, map: &Map<f32>) {
        let (first, pixels) = (self.band.start, map.height * map.width);
        self.fill(|c, y, x| map.data[c * pixels + (y - first) * map.width + x]);
    }

    /// Writes the band's rows, given the number of each channel, row and pixel.
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

    /// Copies some rows of channels `first ..` out into a planar map of `channels`.
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
