//! Splits a picture into bands of rows and columns that fit into memory.

use crate::RunError;
use crate::compile::program::Program;
use crate::compile::schedule::Bands;
use crate::map::Map;
use crate::run::workspace::Placement;
use pdn_network::Extent;
use std::ops::Range;

/// How to run a picture.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Bytes that maps may take during a run. A picture that needs more is run in columns. Not counted is what threads
    /// copy beside the maps: a few rows for regions, and a band for operations without a kernel of their own.
    pub memory: usize,
    /// The width of columns in pixels of the input, whatever the memory.
    pub tile: Option<usize>,
}

impl Default for RunOptions {
    /// 2 GiB, columns as wide as that allows.
    fn default() -> Self {
        Self { memory: 2 << 30, tile: None }
    }
}

/// The narrowest columns worth running: below this, nearly all work goes into the halo.
const NARROWEST: usize = 16;

/// Pixels of a band per thread: enough to reuse a kernel often once it is read.
const THREAD_PIXELS: usize = 2048;

/// The most rows of a band per thread.
const THREAD_ROWS: usize = 16;

/// How a picture is split: into columns, and each of them into bands of rows.
pub(crate) struct Cut {
    pub(crate) bands: Bands,
    pub(crate) spans: Vec<Span>,
}

impl Cut {
    /// Splits a picture of some height and width so that it fits into memory, preferring wide columns, then high bands.
    /// `whole_picture` means that the network needs the whole picture at once.
    ///
    /// # Errors
    /// [`RunError::Memory`] if no split fits.
    pub(crate) fn new(
        program: &Program,
        whole_picture: bool,
        (height, width): (usize, usize),
        options: &RunOptions,
    ) -> Result<Self, RunError> {
        let (grid, halo) = (program.grid(), program.halo());
        let threads = rayon::current_num_threads().max(1);
        let high = THREAD_PIXELS.div_ceil(width).min(THREAD_ROWS).next_multiple_of(grid) * threads;
        let heights = [high, grid * threads, grid].map(|rows| program.bands(height, rows));
        let cut = |bands: Bands, side: usize| Ok(Self { bands, spans: spans(program, halo, width, side) });
        let needs = |bands: Bands, seen: usize| {
            let seen = seen.min(width.next_multiple_of(program.multiple));
            Placement::new(program, bands, height, seen).bytes()
        };
        let too_much = |needed: usize, why| {
            let (needed, limit) = (needed.div_ceil(1 << 20), options.memory >> 20);
            Err(RunError::Memory { needed, limit, why })
        };
        if whole_picture {
            let needed = needs(heights[0], width + grid);
            return match needed <= options.memory {
                true => cut(heights[0], width),
                false => {
                    too_much(needed, "it reads the whole picture at once, so the picture cannot be split into columns")
                }
            };
        }
        if let Some(side) = options.tile {
            return cut(heights[0], side.clamp(1, width));
        }
        let mut side = width;
        loop {
            let seen = side.next_multiple_of(grid) + 2 * (halo + grid);
            if let Some(bands) = heights.into_iter().find(|bands| needs(*bands, seen) <= options.memory) {
                return cut(bands, side);
            }
            if side <= NARROWEST {
                return too_much(needs(heights[2], seen), "columns cannot be narrower");
            }
            side = side.div_ceil(2).max(NARROWEST);
        }
    }
}

/// Returns the bytes that a program takes on a whole picture, with the current number of threads.
pub(crate) fn memory(program: &Program, whole_picture: bool, (height, width): (usize, usize)) -> usize {
    if height == 0 || width == 0 {
        return 0;
    }
    let height = height.next_multiple_of(program.multiple);
    let unbounded = RunOptions { memory: usize::MAX, tile: None };
    let cut = Cut::new(program, whole_picture, (height, width), &unbounded);
    let width = width.next_multiple_of(program.multiple);
    cut.map_or(0, |cut| Placement::new(program, cut.bands, height, width).bytes())
}

/// Splits a width into columns of at most `side` pixels, or slightly more, each with a halo of `halo` pixels.
fn spans(program: &Program, halo: usize, width: usize, side: usize) -> Vec<Span> {
    let (block, grid) = (program.multiple, program.grid());
    // Columns begin where tiles of pixels do.
    let side = side.next_multiple_of(grid);
    let span = |start: usize| {
        let end = (start + side).min(width);
        let first = start.saturating_sub(halo) / grid * grid;
        Span { given: start..end, seen: first..(end + halo).min(width).next_multiple_of(block) }
    };
    (0..width).step_by(side).map(span).collect()
}

/// Some columns of a picture: `given` are computed, and `seen` includes the halo that they need.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) given: Range<usize>,
    pub(crate) seen: Range<usize>,
}

/// Returns the side of a map for a side of the picture, in pixels; a map with one pixel per block includes the last,
/// partial block.
pub(crate) fn part(extent: Extent, length: usize, block: usize) -> usize {
    match extent {
        Extent::Reduced(_) => extent.side(length.next_multiple_of(block)),
        _ => extent.side(length),
    }
}

impl Span {
    /// Copies the given columns of a map of one channel and some extent into the whole map.
    pub(crate) fn put(&self, map: &Map<f32>, extent: Extent, block: usize, whole: &mut Map<f32>) {
        let columns = extent.side(self.given.start)..part(extent, self.given.end, block);
        let skipped = columns.start - extent.side(self.seen.start);
        for (from, to) in map.data.chunks_exact(map.width).zip(whole.data.chunks_exact_mut(whole.width)) {
            to[columns.clone()].copy_from_slice(&from[skipped..][..columns.len()]);
        }
    }
}
