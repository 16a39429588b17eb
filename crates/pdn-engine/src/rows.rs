//! A map as the kernels want it: row by row, channels in blocks of 16 (`pdn_kernels`' layout).

use crate::reference::Map;
use pdn_kernels::{LANES, RowShape};
use rayon::prelude::*;

/// Rows of one shape.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) shape: RowShape,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) data: Vec<f32>,
}

impl Rows {
    /// Numbers that rows of this shape take.
    pub(crate) fn len_of(shape: RowShape, height: usize) -> usize {
        shape.len() * height
    }

    /// Every run of `count` rows with its index, for threads to write.
    pub(crate) fn par_rows(&mut self, count: usize) -> impl IndexedParallelIterator<Item = (usize, &mut [f32])> {
        let len = Self::len_of(self.shape, self.height);
        self.data[..len].par_chunks_mut(count * self.shape.len()).enumerate()
    }

    pub(crate) fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.shape.len()..][..self.shape.len()]
    }

    /// Copies a planar map in, and clears the padding and the lanes that no channel fills.
    pub(crate) fn fill_from(&mut self, map: &Map<f32>) {
        let (shape, channels, pixels) = (self.shape, self.channels, map.height * map.width);
        self.par_rows(1).for_each(|(y, row)| {
            row.fill(0.0);
            for c in 0..channels {
                let source = &map.data[c * pixels + y * map.width..][..map.width];
                for (x, v) in source.iter().enumerate() {
                    row[shape.at(c / LANES, x) + c % LANES] = *v;
                }
            }
        });
    }

    /// The numbers of a channel in a row.
    pub(crate) fn channel(&self, channel: usize, y: usize) -> impl Iterator<Item = f32> + '_ {
        let first = self.shape.at(channel / LANES, 0) + channel % LANES;
        self.row(y)[first..].iter().step_by(LANES).take(self.shape.width).copied()
    }

    /// Copies channels `first ..` out into a planar map of `channels`.
    pub(crate) fn to_map(&self, first: usize, channels: usize) -> Map<f32> {
        let width = self.shape.width;
        let mut data = vec![0.0; channels * self.height * width];
        data.par_chunks_mut(width).enumerate().for_each(|(line, out)| {
            let row = self.channel(first + line / self.height, line % self.height);
            out.iter_mut().zip(row).for_each(|(out, v)| *out = v);
        });
        Map::new(channels, self.height, width, data)
    }
}
