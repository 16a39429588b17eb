//! The measures of a picture; `tests/reference/estimate.py` has the same in NumPy.

use crate::{Picture, Sample};
use std::f64::consts::PI;

/// Number of measures.
pub(super) const COUNT: usize = 9;

/// The largest side of the part that is measured, in pixels.
const SIDE: usize = 512;
/// The side of a JPEG block.
const BLOCK: usize = 8;

/// The luma of a picture's centre, 0 to 255.
pub(super) struct Luma {
    width: usize,
    values: Vec<f64>,
}

impl Luma {
    /// Crops at multiples of 8, so that JPEG's blocks stay aligned.
    pub(super) fn of<S: Sample>(picture: &Picture<S>) -> Self {
        let span = |side: usize| {
            let first = side.saturating_sub(SIDE) / 2 / BLOCK * BLOCK;
            first..side.min(first + SIDE)
        };
        let (rows, columns) = (span(picture.height()), span(picture.width()));
        let to_level = 255.0 / S::MAX.level();
        let luma = |p: &[S]| to_level * (0.299 * p[0].level() + 0.587 * p[1].level() + 0.114 * p[2].level());
        let row = |y: usize| {
            let at = |x: usize| 3 * (y * picture.width() + x);
            picture.rgb()[at(columns.start)..at(columns.end)].chunks_exact(3).map(luma)
        };
        Self { width: columns.len(), values: rows.flat_map(row).collect() }
    }

    /// Transposes the luma.
    fn turned(&self) -> Self {
        let height = self.height();
        let values = (0..self.width).flat_map(|x| self.values.iter().skip(x).step_by(self.width).copied()).collect();
        Self { width: height, values }
    }

    fn height(&self) -> usize {
        self.values.len() / self.width
    }

    /// Returns second differences along rows, at a distance of `step`.
    fn second(&self, step: usize) -> Self {
        let along = |row: &[f64]| -> Vec<f64> {
            (step..row.len() - step).map(|x| row[x - step] - 2.0 * row[x] + row[x + step]).collect()
        };
        Self { width: self.width - 2 * step, values: self.values.chunks_exact(self.width).flat_map(along).collect() }
    }

    fn mean_square(&self) -> f64 {
        mean(self.values.iter().map(|v| v * v))
    }

    /// Returns the measures. The picture has at least 24 pixels a side.
    pub(super) fn measures(&self) -> [f64; COUNT] {
        let turned = self.turned();
        let (along, down) = (self.second(1), turned.second(1));
        let energy =
            [1, 2, 4].map(|step| (self.second(step).mean_square() + turned.second(step).mean_square()) / 2.0 + 0.05);
        let corner = along.turned().second(1).mean_square() + 0.05;
        let both = || along.values.iter().chain(&down.values).map(|v| v.abs());
        let square = mean(both().map(|v| v * v));
        [
            (energy[0] / energy[1]).ln(),
            (energy[1] / energy[2]).ln(),
            (corner / energy[0]).ln(),
            (0.25 + along.flattest()).ln(),
            mean(both().map(|v| f64::from(u8::from(v < 0.7505)))),
            (1e-9 + mean(both().map(|v| v.powi(4))) / (1e-9 + square * square)).ln(),
            ((along.jumps() + down.jumps()) / 2.0 + 1e-9).ln(),
            self.fine(4) - self.fine(0),
            energy[0].ln(),
        ]
    }

    /// Returns the mean magnitude in 4x4 cells, over the tenth of them where it is lowest.
    fn flattest(&self) -> f64 {
        let (across, down) = (self.width / 4, self.height() / 4);
        let cell = |i: usize| {
            let first = i / across * 4 * self.width + i % across * 4;
            let row = |y: usize| &self.values[first + y * self.width..first + y * self.width + 4];
            mean((0..4).flat_map(row).map(|v| v.abs()))
        };
        let mut cells: Vec<f64> = (0..across * down).map(cell).collect();
        cells.sort_unstable_by(f64::total_cmp);
        cells.truncate((cells.len() / 10).max(1));
        mean(cells.into_iter())
    }

    /// Returns how much larger these second differences are at one of eight columns than elsewhere: the edges of JPEG
    /// blocks, wherever they are. An edge shows in the two differences around it.
    fn jumps(&self) -> f64 {
        let columns: Vec<f64> = (0..self.width)
            .map(|x| mean(self.values.iter().skip(x).step_by(self.width).map(|v| v.abs().min(20.0))))
            .collect();
        let every = |k: usize| mean(columns.iter().skip(k).step_by(BLOCK).copied());
        let pairs: [f64; BLOCK] = std::array::from_fn(|k| every(k) + every((k + 1) % BLOCK));
        pairs.iter().copied().fold(0.0, f64::max) / (mean(pairs.iter().copied()) + 0.05)
    }

    /// Returns the mean magnitude, up to 3, of the fine coefficients of 8x8 blocks that begin at `first`: JPEG leaves
    /// few of them in its own blocks.
    fn fine(&self, first: usize) -> f64 {
        let cosine = |u: usize, i: usize| {
            let scale = if u == 0 { 1.0 / 8.0_f64.sqrt() } else { 0.5 };
            scale * ((2 * i + 1) as f64 * u as f64 * PI / 16.0).cos()
        };
        let dct: [[f64; BLOCK]; BLOCK] = std::array::from_fn(|u| std::array::from_fn(|i| cosine(u, i)));
        let begins = |side: usize| (first..side + 1 - BLOCK).step_by(BLOCK);
        let block = |y: usize, x: usize| -> [[f64; BLOCK]; BLOCK] {
            // Transforms along rows.
            std::array::from_fn(|i| {
                let row = &self.values[(y + i) * self.width + x..][..BLOCK];
                std::array::from_fn(|v| (0..BLOCK).map(|j| row[j] * dct[v][j]).sum())
            })
        };
        let coefficients = |rows: [[f64; BLOCK]; BLOCK]| {
            let fine = (0..BLOCK * BLOCK).filter(|at| at / BLOCK + at % BLOCK >= BLOCK - 1);
            fine.map(move |at| (0..BLOCK).map(|i| dct[at / BLOCK][i] * rows[i][at % BLOCK]).sum::<f64>().abs().min(3.0))
        };
        let blocks = begins(self.height()).flat_map(|y| begins(self.width).map(move |x| (y, x)));
        (0.1 + mean(blocks.flat_map(|(y, x)| coefficients(block(y, x))))).ln()
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / count as f64
}
