//! Packing of the left operands: rows of pixels as bf16, with a pixel's channels adjacent.
//!
//! Maps stored as lines are read in place. Others are rounded here, row by row. Only as many rows are held as the
//! kernel reads, so they stay in the L2 cache, however many rows a call has.

use super::depth::{Depth, STEP};
use super::layout::AmxConv;
use crate::conv::shape::MAX_SIDE;
use crate::{Format, Input, LANES, RowShape};
use std::arch::x86_64::*;
use std::cell::RefCell;

/// 32 numbers of one pixel: a row of a tile.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Line([u16; STEP]);

/// Extra pixels that may be read: a tile reads 16 pixels even if only one is left, and drops the sums of the rest.
const BEYOND: usize = LANES - 1;

/// The source of a block of 32 channels.
#[derive(Clone, Copy)]
enum Block<'a> {
    /// The map itself: its rows, and the offset in each row of the first pixel to read.
    InMap { rows: &'a [&'a [f32]], at: usize },
    /// `whole`, to which it is rounded.
    Rounded,
    /// `whole`, to which lines are copied if there is not enough room after them for all that a tile reads.
    Copied { rows: &'a [&'a [f32]], at: usize },
}

/// The rows that a call reads, from half a kernel left of the first pixel.
pub(super) struct Pixels<'a> {
    input: &'a Input<'a>,
    /// The first row of the input to read, and how many there are.
    first: usize,
    rows: usize,
    depth: Depth,
    /// High, and low if there are three products.
    parts: usize,
    /// The rows that are kept: a row is stored at its number modulo this.
    kept: usize,
    /// Pixels to read per row, and pixels that a row has room for.
    count: usize,
    room: usize,
    blocks: Vec<Block<'a>>,
    /// Whether every block is filled, and none is read in place.
    fills_all: bool,
    /// `[part][row][block][pixel]`, of the blocks that are filled.
    whole: &'a mut [Line],
    /// The channels to gather, with nothing between pixels: `[part][row][pixel][channel]`, in rows of `narrow_len`
    /// lines.
    narrow: &'a mut [Line],
    narrow_len: usize,
    /// Of one output row: `[part][pixel][step]`.
    gathered: &'a mut [Line],
}

thread_local! {
    /// Grows to the size of the largest call, and is kept.
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Passes to `then` the rows that `given` rows of output read, from `first` on, none of them filled. The caller has
/// checked the lengths.
pub(super) fn with_pixels(conv: &AmxConv, input: &Input, first: usize, given: usize, then: impl FnOnce(Pixels)) {
    let (depth, parts, kept) = (conv.depth, conv.products.parts(), conv.shape.side);
    let count = input.shape.width + conv.shape.side - 1;
    let room = count + BEYOND;
    let blocks: Vec<Block> = (0..depth.blocks).map(|block| place(conv, input, block)).collect();
    let fills_all = !blocks.iter().any(|block| matches!(block, Block::InMap { .. }));
    // Half a line is written for every pixel; the next pixel overwrites the excess.
    let narrow_len = (room * depth.rest).div_ceil(STEP) + 1;
    let lens = [parts * kept * depth.blocks * room, parts * kept * narrow_len, parts * depth.gathered * room];
    SCRATCH.with_borrow_mut(|scratch| {
        let len: usize = lens.iter().sum();
        if scratch.len() < len {
            scratch.resize(len, Line([0; STEP]));
        }
        let (whole, rest) = scratch[..len].split_at_mut(lens[0]);
        let (narrow, gathered) = rest.split_at_mut(lens[1]);
        let rows = given + conv.shape.side - 1;
        then(Pixels {
            input,
            first,
            rows,
            depth,
            parts,
            kept,
            count,
            room,
            blocks,
            fills_all,
            whole,
            narrow,
            narrow_len,
            gathered,
        });
    });
}

/// Returns the source of a block of 32 channels.
fn place<'a>(conv: &AmxConv, input: &Input<'a>, block: usize) -> Block<'a> {
    let (map, local) = input.place(2 * block);
    if input.format(map) == Format::Singles {
        return Block::Rounded;
    }
    let (shape, r) = (input.shape, conv.shape.side / 2);
    let at = local / 2 * shape.block_len() + (shape.pad - r) * LANES;
    let rows = input.maps[map];
    // Tiles are whole: one that begins within the row may end after its pad, in a row so narrow that no patch begins
    // earlier.
    match lines_of(conv, shape) >= patch_lines(conv, shape) {
        true => Block::InMap { rows, at },
        false => Block::Copied { rows, at },
    }
}

/// Returns how many lines of a map's row may be read, from half a kernel left of the first pixel to the end of the pad.
fn lines_of(conv: &AmxConv, shape: RowShape) -> usize {
    shape.width + shape.pad + conv.shape.side / 2
}

/// Returns how many lines the widest patch of a row reads.
fn patch_lines(conv: &AmxConv, shape: RowShape) -> usize {
    let tiles = conv.tiles_of(shape.width).min(conv.products.pixel_tiles(1)).max(1);
    tiles * LANES + conv.depth.columns - 1
}

impl Pixels<'_> {
    /// Returns a row's pixels of a block, from `x` on, in the first part, and the number of lines from there to the
    /// second.
    pub(super) fn whole(&self, row: usize, block: usize, x: usize) -> (*const Line, usize) {
        match self.blocks[block] {
            // Its numbers have one part.
            Block::InMap { rows, at } => (rows[self.first + row][at + x * LANES..].as_ptr().cast(), 0),
            _ => {
                let at = (row % self.kept * self.depth.blocks + block) * self.room + x;
                (self.whole[at..].as_ptr(), self.whole.len() / self.parts)
            }
        }
    }

    /// Returns the output row's gathered pixels from `x` on, in the first part, and the number of lines from there to
    /// the second.
    pub(super) fn gathered(&self, x: usize) -> (*const Line, usize) {
        (self.gathered[x * self.depth.gathered..].as_ptr(), self.gathered.len() / self.parts)
    }

    /// Returns the last line from which `tiles` tiles of pixels can be read in every map.
    pub(super) fn last(&self, tiles: usize) -> usize {
        let lines = match self.fills_all {
            true => self.room,
            false => self.input.shape.width + self.input.shape.pad + self.depth.rows / 2,
        };
        (lines + 1).saturating_sub(tiles * LANES + self.depth.columns)
    }

    /// Returns the number of output rows.
    pub(super) fn output_rows(&self) -> usize {
        self.rows + 1 - self.depth.rows
    }

    /// Prepares the input of an output row: all its rows for the first, and only the last of them after that.
    ///
    /// # Safety
    /// The machine has the features; output rows are begun in order.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn begin(&mut self, y: usize) {
        let last = y + self.depth.rows - 1;
        // SAFETY: the caller's contract: the rows are those of the input, and the narrow ones are filled when they are
        // gathered.
        unsafe {
            for row in if y == 0 { 0..last + 1 } else { last..last + 1 } {
                self.fill(row);
                if self.depth.rest > 0 {
                    self.fill_narrow(row);
                }
            }
            if self.depth.rest > 0 {
                self.gather(y);
            }
        }
    }

    /// Returns where a block's pixels of a row begin, and which of its lanes are channels; for a block that does not
    /// exist, any place and no lanes.
    fn source(&self, row: usize, block: usize) -> (*const f32, __mmask16) {
        let left = self.input.shape.pad - self.depth.rows / 2;
        let channels = self.depth.inputs.saturating_sub(block * LANES);
        let (map, local) = self.input.place(if channels == 0 { 0 } else { block });
        let start = local * self.input.shape.block_len() + left * LANES;
        (self.input.maps[map][self.first + row][start..].as_ptr(), mask(channels.min(LANES)) as __mmask16)
    }

    /// Fills a row's lines, for the blocks that are not read in place.
    ///
    /// # Safety
    /// The machine has the features; the call has the row.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn fill(&mut self, row: usize) {
        for block in 0..self.depth.blocks {
            match self.blocks[block] {
                Block::InMap { .. } => {}
                Block::Copied { rows, at } => self.copy_block(&rows[self.first + row][at..], (row, block)),
                // SAFETY: the caller's contract.
                Block::Rounded => unsafe { self.round_block(row, block) },
            }
        }
    }

    /// Copies a row's block of lines.
    fn copy_block(&mut self, from: &[f32], (row, block): (usize, usize)) {
        let to = &mut self.whole[(row % self.kept * self.depth.blocks + block) * self.room..][..self.count];
        for (line, numbers) in to.iter_mut().zip(from.as_chunks::<LANES>().0) {
            for (pair, number) in line.0.as_chunks_mut::<2>().0.iter_mut().zip(numbers) {
                let bits = number.to_bits();
                *pair = [bits as u16, (bits >> 16) as u16];
            }
        }
    }

    /// Rounds a row's block of 32 channels.
    ///
    /// # Safety
    /// The machine has the features; the call has the row, and the row the block.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn round_block(&mut self, row: usize, block: usize) {
        let apart = self.whole.len() / self.parts;
        let (first, first_lanes) = self.source(row, 2 * block);
        let (second, second_lanes) = self.source(row, 2 * block + 1);
        let at = (row % self.kept * self.depth.blocks + block) * self.room;
        let to = self.whole[at..].as_mut_ptr();
        for x in 0..self.count {
            // SAFETY: the pixel is inside the row, which is padded by half a kernel, and has a line in each part.
            unsafe {
                let a = _mm512_maskz_loadu_ps(first_lanes, first.add(x * LANES));
                let b = _mm512_maskz_loadu_ps(second_lanes, second.add(x * LANES));
                let high = round(a, b);
                _mm512_store_si512(to.add(x).cast(), high);
                if self.parts == 2 {
                    _mm512_store_si512(to.add(apart + x).cast(), remainder(a, b, high));
                }
            }
        }
    }

    /// Rounds the channels to gather: fewer than a block of the row.
    ///
    /// # Safety
    /// The machine has the features; the row is one of the input.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn fill_narrow(&mut self, row: usize) {
        let rest = self.depth.rest;
        let (from, lanes) = self.source(row, 2 * self.depth.blocks);
        let apart = self.kept * self.narrow_len * STEP;
        let to = self.narrow[row % self.kept * self.narrow_len..].as_mut_ptr().cast::<u16>();
        for x in 0..self.count {
            // SAFETY: the pixel is inside the row, and half a line from its place on has room in each part.
            unsafe {
                let a = _mm512_maskz_loadu_ps(lanes, from.add(x * LANES));
                let high = round(a, _mm512_setzero_ps());
                _mm256_storeu_si256(to.add(x * rest).cast(), _mm512_castsi512_si256(high));
                if self.parts == 2 {
                    let low = remainder(a, _mm512_setzero_ps(), high);
                    _mm256_storeu_si256(to.add(apart + x * rest).cast(), _mm512_castsi512_si256(low));
                }
            }
        }
    }

    /// Gathers the taps of each of an output row's pixels. Those of one row of the kernel, a run, are already adjacent
    /// in a narrow row.
    ///
    /// # Safety
    /// The machine has the features; the narrow rows that the output row reads are filled.
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn gather(&mut self, y: usize) {
        let Depth { rows, columns, rest, gathered, .. } = self.depth;
        let run = columns * rest;
        for (part, pixels) in self.gathered.chunks_exact_mut(self.room * gathered).enumerate() {
            for step in 0..gathered {
                // The runs that have lanes in the step, and where the first pixel's lane 0 would be read.
                let mut runs = [(0, std::ptr::null()); MAX_SIDE];
                let mut count = 0;
                for ky in 0..rows {
                    let lane = |at: usize| at.saturating_sub(step * STEP);
                    let lanes = mask(lane((ky + 1) * run)) & !mask(lane(ky * run));
                    if lanes != 0 {
                        let row = (part * self.kept + (y + ky) % self.kept) * self.narrow_len;
                        let from = self.narrow[row..].as_ptr().cast::<i16>();
                        runs[count] = (lanes, from.wrapping_add(step * STEP).wrapping_sub(ky * run));
                        count += 1;
                    }
                }
                for (x, pixel) in pixels.chunks_exact_mut(gathered).enumerate().take(self.count + 1 - columns) {
                    let mut numbers = _mm512_setzero_si512();
                    for (lanes, from) in &runs[..count] {
                        // SAFETY: only a run's lanes are read, which are inside its narrow row.
                        let run = unsafe { _mm512_maskz_loadu_epi16(*lanes, from.wrapping_add(x * rest)) };
                        numbers = _mm512_or_si512(numbers, run);
                    }
                    // SAFETY: a line is 64 bytes, and aligned to them.
                    unsafe { _mm512_store_si512((&raw mut pixel[step]).cast(), numbers) };
                }
            }
        }
    }
}

/// Returns a mask of the first `lanes` lanes.
fn mask(lanes: usize) -> __mmask32 {
    if lanes >= 32 { !0 } else { (1 << lanes) - 1 }
}

/// Rounds 16 and another 16 numbers to the nearest bf16.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
pub(super) fn round(a: __m512, b: __m512) -> __m512i {
    // SAFETY: both types are 64 bytes, and every value of one is valid for the other.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(b, a)) }
}

/// Rounds what the first rounding left to the nearest bf16.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
pub(super) fn remainder(a: __m512, b: __m512, high: __m512i) -> __m512i {
    let a_high = widen(_mm512_castsi512_si256(high));
    let b_high = widen(_mm512_extracti64x4_epi64(high, 1));
    round(_mm512_sub_ps(a, a_high), _mm512_sub_ps(b, b_high))
}

/// Converts bf16 numbers to f32.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn widen(numbers: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16))
}
