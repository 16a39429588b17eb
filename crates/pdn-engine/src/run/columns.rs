//! Cutting a picture into bands of rows and columns that fit into memory.

use crate::RunError;
use crate::compile::program::Program;
use crate::compile::schedule::Bands;
use crate::map::Map;
use crate::run::workspace::Placement;
use pdn_network::Extent;
use std::ops::Range;

/// How a picture is run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Bytes that maps may take while running. A picture that needs more is run in columns. What a thread copies beside the maps,
    /// a few rows under regions and a band for operations without a kernel of their own, is not counted.
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

/// The narrowest columns worth running: below this nearly everything is computed for its surroundings.
const NARROWEST: usize = 16;

/// Pixels of a band for each thread: enough for a kernel to be read once and used often.
const THREAD_PIXELS: usize = 2048;

/// Rows of a band for each thread at most.
const THREAD_ROWS: usize = 16;

/// How a picture is cut: in columns, and each of them in bands of rows.
pub(crate) struct Cut {
    pub(crate) bands: Bands,
    pub(crate) spans: Vec<Span>,
}

impl Cut {
    /// The cut of a picture of some height and width that fits in memory: wide columns first, then high bands. `whole_picture`
    /// says that the network reads the whole picture at once.
    ///
    /// # Errors
    /// [`RunError::Memory`] where there is none.
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

/// Bytes that running a program on a whole picture takes, on as many threads as there are now.
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

/// Cuts a width into columns of at most `side` pixels, or a little more, each seeing `halo` pixels around.
fn spans(program: &Program, halo: usize, width: usize, side: usize) -> Vec<Span> {
    let (block, grid) = (program.multiple, program.grid());
    // They begin where tiles of pixels do.
    let side = side.next_multiple_of(grid);
    let span = |start: usize| {
        let end = (start + side).min(width);
        let first = start.saturating_sub(halo) / grid * grid;
        Span { given: start..end, seen: first..(end + halo).min(width).next_multiple_of(block) }
    };
    (0..width).step_by(side).map(span).collect()
}

/// Some columns of a picture: what they give, and what they must see for that.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) given: Range<usize>,
    pub(crate) seen: Range<usize>,
}

/// Pixels a side of a map for so many of the picture; of one that has a pixel for each block, the last block's included.
pub(crate) fn part(extent: Extent, length: usize, block: usize) -> usize {
    match extent {
        Extent::Reduced(_) => extent.side(length.next_multiple_of(block)),
        _ => extent.side(length),
    }
}

impl Span {
    /// Puts what it gives of a map of one channel and some extent where it belongs in the whole.
    pub(crate) fn put(&self, map: &Map<f32>, extent: Extent, block: usize, whole: &mut Map<f32>) {
        let columns = extent.side(self.given.start)..part(extent, self.given.end, block);
        let skipped = columns.start - extent.side(self.seen.start);
        for (from, to) in map.data.chunks_exact(map.width).zip(whole.data.chunks_exact_mut(whole.width)) {
            to[columns.clone()].copy_from_slice(&from[skipped..][..columns.len()]);
        }
    }
}
