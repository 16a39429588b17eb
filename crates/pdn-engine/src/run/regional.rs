//! A DCM under several prompts, each computed only where its share is not 0.

#[cfg(test)]
mod tests;

use crate::compile::schedule::TILE;
use crate::compile::step::Source;
use crate::run::band::Run;
use crate::run::dcm::PromptedDcm;
use crate::run::regions::PromptedRegion;
use crate::run::rows::Rows;
use pdn_kernels::{Conv, Input, LANES, Row, RowShape, RowsMut, Store, add_scaled};
use pdn_network::Extent;
use rayon::prelude::*;
use std::ops::Range;

/// The part of a map that a group of rows needs for one region.
struct Window {
    /// Columns to read: whole tiles, and the reach of their kernels.
    seen: Range<usize>,
    /// The region's share of each output pixel, row by row, over the whole width.
    shares: Vec<f32>,
}

/// A group of rows: `first` is the first output row, and `skip` rows of the group come before it.
#[derive(Clone, Copy)]
struct Group {
    first: usize,
    skip: usize,
    given: usize,
}

impl Run<'_> {
    /// Runs a DCM under the prompts of all regions.
    pub(crate) fn regional(&self, dcm: usize, input: Source, out: &mut Rows) {
        let extent = self.program.values[input.value].extent;
        let shape = out.shape;
        let module = self.plan.network.dcms().nth(dcm).expect("steps are of the network's modules");
        out.par_groups(Conv::most_rows(self.program.precision)).for_each(|(first, skip, rows)| {
            rows.fill(0.0);
            let given = rows.len() / shape.len();
            for region in &self.prompted.regions {
                let prompted = &region.dcms[dcm];
                if let Some(window) = self.window(region, extent, first..first + given, prompted.kernel.side() / 2) {
                    // A kernel that computes single rows gets the group row by row.
                    let step = prompted.kernel.group();
                    let mut at = 0;
                    while at < given {
                        let skip = if at == 0 { skip % step } else { 0 };
                        let count = (step - skip).min(given - at);
                        let group = Group { first: first + at, skip, given: count };
                        let rows = &mut rows[at * shape.len()..][..count * shape.len()];
                        let shares = &window.shares[at * shape.width..][..count * shape.width];
                        self.add_region(prompted, input, group, (&window.seen, shares), RowsMut::new(rows, shape));
                        at += count;
                    }
                }
            }
            if module.options.residual {
                for (y, row) in (first..).zip(rows.chunks_exact_mut(shape.len())) {
                    add_scaled(self.blocks(input, y), 1.0, row);
                }
            }
        });
    }

    /// Returns what a region needs for some rows; `None` if it has no share in them.
    fn window(&self, region: &PromptedRegion, extent: Extent, rows: Range<usize>, radius: usize) -> Option<Window> {
        let (left, width) = (extent.side(self.columns.start), extent.side(self.columns.len()));
        let pixels = rows.flat_map(|y| (0..width).map(move |x| (y, x)));
        let shares: Vec<f32> = pixels.map(|(y, x)| region.share(extent, y, left + x)).collect();
        let columns = || (0..width).filter(|x| shares.iter().skip(*x).step_by(width).any(|share| *share != 0.0));
        let (first, last) = (columns().min()?, columns().max()?);
        let start = (first / TILE * TILE).saturating_sub(radius.next_multiple_of(TILE));
        let end = ((last / TILE + 1) * TILE + radius).min(width);
        Some(Window { seen: start..end, shares })
    }

    /// Adds a module's result under one prompt, times the prompt's share, to some rows of a map.
    fn add_region(
        &self,
        prompted: &PromptedDcm,
        input: Source,
        group: Group,
        (seen, shares): (&Range<usize>, &[f32]),
        RowsMut { data: out, shape }: RowsMut,
    ) {
        let (isa, pad, width, conv) = (self.plan.isa, self.program.pad, seen.len(), &prompted.kernel);
        let narrow = RowShape::new(input.channels, width, pad);
        let enhanced = RowShape::new(prompted.enhanced(), width, pad);
        let read = RowShape::new(conv.inputs(), width, pad);
        let result = RowShape::new(conv.outputs(), width, pad);
        let height = self.rows(input).height;
        let (mut x, mut scratch) = (vec![0.0; narrow.len()], Vec::new());
        // Rows outside the picture stay zero.
        let mut masked = vec![0.0; enhanced.len() * (conv.group() + conv.side() - 1)];
        for (i, row) in masked.chunks_exact_mut(enhanced.len()).enumerate() {
            match (group.first + i).checked_sub(group.skip + conv.side() / 2) {
                Some(y) if y < height => {
                    cut(self.blocks(input, y), self.shape(input), seen.start, &mut x, narrow);
                    let row = RowsMut::new(row, enhanced);
                    prompted.enhance.row(isa, Row::new(&x, narrow), &mut scratch, (row, prompted.enhanced()));
                }
                _ => {}
            }
        }
        let around: Vec<&[f32]> = masked.chunks_exact(enhanced.len()).map(|row| &row[..read.len()]).collect();
        let mut results = vec![0.0; result.len() * group.given];
        let store = Store { skip: group.skip, ..Store::default() };
        conv.rows(
            isa,
            Input { maps: &[&around], formats: &[], shape: read },
            &store,
            RowsMut::new(&mut results, result),
        );
        let rows = results.chunks_exact(result.len()).zip(out.chunks_exact_mut(shape.len()));
        for ((from, row), shares) in rows.zip(shares.chunks_exact(shape.width)) {
            for (column, share) in shares.iter().enumerate().filter(|(_, share)| **share != 0.0) {
                for block in 0..shape.blocks {
                    let from = &from[result.at(block, column - seen.start)..][..LANES];
                    add_scaled(from, *share, &mut row[shape.at(block, column)..][..LANES]);
                }
            }
        }
    }
}

/// Copies columns of a row, from `start` on, into a narrower row.
fn cut(row: &[f32], shape: RowShape, start: usize, out: &mut [f32], narrow: RowShape) {
    for block in 0..narrow.blocks {
        let len = narrow.width * LANES;
        out[narrow.at(block, 0)..][..len].copy_from_slice(&row[shape.at(block, start)..][..len]);
    }
}
