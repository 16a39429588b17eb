//! The left operands: rows of pixels as bf16, a pixel's channels side by side.
//!
//! No more rows are kept than the kernel reads, and one that is filled while they are read: so they stay in the second
//! cache, however many rows a call has.

use super::AmxConv;
use super::depth::{Depth, STEP};
use crate::conv::MAX_SIDE;
use crate::{Input, LANES};
use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

/// 32 numbers of one pixel: a row of a tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u16; STEP]);

/// A tile reads 16 pixels where as few as one are left: so many more may be read, whose sums are dropped.
const BEYOND: usize = LANES - 1;

/// What is filled next: a row's block from a pixel on.
#[derive(Clone, Copy)]
struct Filling {
    row: usize,
    block: usize,
    x: usize,
}

/// The rows that a call reads, from half a kernel left of the first pixel.
pub(super) struct Pixels<'a> {
    input: &'a Input<'a>,
    /// The first row of the input that is read, and how many are.
    first: usize,
    rows: usize,
    depth: Depth,
    /// High, and low where there are three products.
    parts: usize,
    /// Rows that are kept: a row is at its number modulo these.
    kept: usize,
    /// Pixels that are read of a row, and for which it has room.
    count: usize,
    room: usize,
    /// `[part][row][block][pixel]`.
    whole: &'a mut [Line],
    filling: Filling,
    /// The channels that are gathered, with nothing between pixels: `[part][row][pixel][channel]`, rows being of
    /// `narrow_len` lines.
    narrow: &'a mut [Line],
    narrow_len: usize,
    /// Of one output row: `[part][pixel][step]`.
    gathered: &'a mut [Line],
}

thread_local! {
    /// Grown to what the largest call needs, and kept.
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Gives the rows that `given` rows of output read, from `first` on, none of them filled, to `then`. Lengths were checked
/// by the caller.
pub(super) fn with_pixels(conv: &AmxConv, input: &Input, first: usize, given: usize, then: impl FnOnce(Pixels)) {
    let (depth, parts, kept) = (conv.depth, conv.products.parts(), conv.shape.side + 1);
    let count = input.shape.width + conv.shape.side - 1;
    let room = count + BEYOND;
    // Half a line is written for every pixel, of which the next overwrites what is too much.
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
        let filling = Filling { row: rows, block: 0, x: 0 };
        then(Pixels {
            input,
            first,
            rows,
            depth,
            parts,
            kept,
            count,
            room,
            whole,
            filling,
            narrow,
            narrow_len,
            gathered,
        });
    });
}

impl Pixels<'_> {
    /// A row's pixels of a block, from `x` on, in the first part.
    pub(super) fn whole(&self, row: usize, block: usize, x: usize) -> *const Line {
        self.whole[(row % self.kept * self.depth.blocks + block) * self.room + x..].as_ptr()
    }

    /// The output row's gathered pixels from `x` on, in the first part.
    pub(super) fn gathered(&self, x: usize) -> *const Line {
        self.gathered[x * self.depth.gathered..].as_ptr()
    }

    /// Lines from a first part to the second, of `whole` and of `gathered`.
    pub(super) fn parts_apart(&self) -> [usize; 2] {
        [self.whole.len() / self.parts, self.gathered.len() / self.parts]
    }

    /// Rows of output.
    pub(super) fn output_rows(&self) -> usize {
        self.rows + 1 - self.depth.rows
    }

    /// Lines of a row's blocks.
    pub(super) fn lines(&self) -> usize {
        self.depth.blocks * self.count
    }

    /// Makes ready what an output row reads. The blocks of the last of its rows are filled already, or some of them, while
    /// the output row before was summed; the first output row's are all filled here.
    ///
    /// # Safety
    /// The machine has the features; output rows are begun in their order.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn begin(&mut self, y: usize) {
        let last = y + self.depth.rows - 1;
        // SAFETY: the caller's: the rows are those of the input, and the narrow ones are filled when they are gathered.
        unsafe {
            for row in if y == 0 { 0..last + 1 } else { last..last + 1 } {
                if y == 0 {
                    self.filling = Filling { row, block: 0, x: 0 };
                }
                self.fill(usize::MAX);
                if self.depth.rest > 0 {
                    self.fill_narrow(row);
                }
            }
            if self.depth.rest > 0 {
                self.gather(y);
            }
        }
        self.filling = Filling { row: last + 1, block: 0, x: 0 };
    }

    /// Where a block's pixels of a row begin, and its lanes that are channels; of no block, any place and no lanes.
    fn source(&self, row: usize, block: usize) -> (*const f32, __mmask16) {
        let left = self.input.shape.pad - self.depth.rows / 2;
        let channels = self.depth.inputs.saturating_sub(block * LANES);
        let (rows, start) = self.input.block(if channels == 0 { 0 } else { block });
        (rows[self.first + row][start + left * LANES..].as_ptr(), mask(channels.min(LANES)) as __mmask16)
    }

    /// Rounds so many lines more of the row that is filled, or those that are left, where the call has such a row.
    ///
    /// # Safety
    /// The machine has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    pub(super) unsafe fn fill(&mut self, mut lines: usize) {
        if self.filling.row >= self.rows {
            return;
        }
        while lines > 0 && self.filling.block < self.depth.blocks {
            let x = self.filling.x;
            let count = lines.min(self.count - x);
            // SAFETY: the caller's; the pixels are of the row.
            unsafe { self.fill_block(self.filling.row, self.filling.block, x..x + count) };
            lines -= count;
            self.filling.x += count;
            if self.filling.x == self.count {
                self.filling = Filling { block: self.filling.block + 1, x: 0, ..self.filling };
            }
        }
    }

    /// Rounds pixels of a row's block of 32 channels.
    ///
    /// # Safety
    /// The machine has the features; the call has the row, and the row the block and pixels.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    unsafe fn fill_block(&mut self, row: usize, block: usize, pixels: Range<usize>) {
        let apart = self.parts_apart()[0];
        let (first, first_lanes) = self.source(row, 2 * block);
        let (second, second_lanes) = self.source(row, 2 * block + 1);
        let at = (row % self.kept * self.depth.blocks + block) * self.room;
        let to = self.whole[at..].as_mut_ptr();
        for x in pixels {
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

    /// Rounds the channels that are gathered: fewer than a block of the row.
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

    /// Brings the taps of each of an output row's pixels together. Those of one row of the kernel, a run, are side by side
    /// in a narrow row already.
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
                    // SAFETY: a line is 64 bytes, and so aligned.
                    unsafe { _mm512_store_si512((&raw mut pixel[step]).cast(), numbers) };
                }
            }
        }
    }
}

/// The first `lanes` lanes.
fn mask(lanes: usize) -> __mmask32 {
    if lanes >= 32 { !0 } else { (1 << lanes) - 1 }
}

/// The nearest bf16 of 16 and 16 more numbers.
#[target_feature(enable = "avx512f,avx512bf16")]
fn round(a: __m512, b: __m512) -> __m512i {
    // SAFETY: both are 64 bytes, of which every value is one of the other's.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(b, a)) }
}

/// The nearest bf16 of what rounding left.
#[target_feature(enable = "avx512f,avx512bf16")]
fn remainder(a: __m512, b: __m512, high: __m512i) -> __m512i {
    let a_high = widen(_mm512_castsi512_si256(high));
    let b_high = widen(_mm512_extracti64x4_epi64(high, 1));
    round(_mm512_sub_ps(a, a_high), _mm512_sub_ps(b, b_high))
}

/// bf16 numbers as f32.
#[target_feature(enable = "avx512f")]
fn widen(numbers: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16))
}
