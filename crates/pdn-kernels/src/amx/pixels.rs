//! The left operands: a call's rows of pixels as bf16, a pixel's channels side by side.

use super::AmxConv;
use super::depth::{Depth, STEP};
use crate::{LANES, RowShape};
use std::arch::x86_64::*;
use std::cell::RefCell;

/// 32 numbers of one pixel: a row of a tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u16; STEP]);

/// A tile reads 16 pixels where as few as one are left: so many more may be read, whose sums are dropped.
const BEYOND: usize = LANES - 1;

/// The rows that a call reads, from half a kernel left of the first pixel.
pub(super) struct Pixels<'a> {
    depth: Depth,
    /// High, and low where there are three products.
    parts: usize,
    /// Rows of input.
    rows: usize,
    /// Pixels of a row.
    room: usize,
    /// `[part][row][block][pixel]`.
    whole: &'a mut [Line],
    /// `[part][output row][pixel][step]`.
    gathered: &'a mut [Line],
}

thread_local! {
    /// Grown to what the largest call needs, and kept.
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Rounds the rows and gives them to `then`. Lengths were checked by the caller.
pub(super) fn with_pixels(conv: &AmxConv, input: &[&[f32]], shape: RowShape, then: impl FnOnce(&Pixels)) {
    let (depth, parts, rows) = (conv.depth, conv.products.parts(), input.len());
    let room = shape.width + conv.side - 1 + BEYOND;
    let narrow_len = (room * depth.rest).div_ceil(STEP);
    let lens = [
        parts * rows * depth.blocks * room,
        parts * (rows + 1 - conv.side) * depth.gathered * room,
        parts * rows * narrow_len,
    ];
    SCRATCH.with_borrow_mut(|scratch| {
        let len: usize = lens.iter().sum();
        if scratch.len() < len {
            scratch.resize(len, Line([0; STEP]));
        }
        let (whole, rest) = scratch[..len].split_at_mut(lens[0]);
        let (gathered, narrow) = rest.split_at_mut(lens[1]);
        let mut pixels = Pixels { depth, parts, rows, room, whole, gathered };
        for (y, row) in input.iter().enumerate() {
            let source = Source { row, shape, left: shape.pad - conv.side / 2, count: shape.width + conv.side - 1 };
            // SAFETY: the machine has AMX, hence AVX-512 with bf16; the row is of its shape, and padded by half a kernel.
            unsafe {
                pixels.fill(y, &source);
                pixels.fill_narrow(y, &source, narrow, narrow_len);
            }
        }
        if depth.gathered > 0 {
            // SAFETY: as above; the narrow rows were just filled.
            unsafe { pixels.gather(shape.width + conv.side - depth.columns, narrow, narrow_len) };
        }
        then(&pixels);
    });
}

/// A row of f32 pixels, of which `count` from `left` are read.
struct Source<'a> {
    row: &'a [f32],
    shape: RowShape,
    left: usize,
    count: usize,
}

impl Source<'_> {
    /// Where a block's pixels begin, and its lanes that are channels; of no block, any place and no lanes.
    fn block(&self, block: usize, channels: usize) -> (*const f32, __mmask16) {
        if block * LANES >= channels {
            return (self.row.as_ptr(), 0);
        }
        let start = block * self.shape.block_len() + self.left * LANES;
        (self.row[start..].as_ptr(), mask(channels - block * LANES) as __mmask16)
    }
}

impl Pixels<'_> {
    /// A row's pixels of a block, from `x` on, in the first part.
    pub(super) fn whole(&self, row: usize, block: usize, x: usize) -> *const Line {
        self.whole[(row * self.depth.blocks + block) * self.room + x..].as_ptr()
    }

    /// An output row's gathered pixels from `x` on, in the first part.
    pub(super) fn gathered(&self, row: usize, x: usize) -> *const Line {
        self.gathered[(row * self.room + x) * self.depth.gathered..].as_ptr()
    }

    /// Lines from a first part to the second, of `whole` and of `gathered`.
    pub(super) fn parts_apart(&self) -> [usize; 2] {
        [self.whole.len() / self.parts, self.gathered.len() / self.parts]
    }

    /// Rows of output.
    pub(super) fn output_rows(&self) -> usize {
        self.rows + 1 - self.depth.rows
    }

    /// Rounds a row's blocks of 32 channels.
    ///
    /// # Safety
    /// The machine has the features; the source's pixels are inside its row.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn fill(&mut self, y: usize, source: &Source) {
        let apart = self.parts_apart()[0];
        for block in 0..self.depth.blocks {
            let (first, first_lanes) = source.block(2 * block, self.depth.inputs);
            let (second, second_lanes) = source.block(2 * block + 1, self.depth.inputs);
            let at = (y * self.depth.blocks + block) * self.room;
            let to = self.whole[at..].as_mut_ptr();
            for x in 0..source.count {
                // SAFETY: the pixel is inside the row, and has a line in each part.
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
    }

    /// Rounds the channels that are gathered, of one block, with nothing between pixels: `[part][row][pixel][channel]`.
    ///
    /// # Safety
    /// As [`Self::fill`]; `narrow` has `narrow_len` lines for each row and part.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn fill_narrow(&self, y: usize, source: &Source, narrow: &mut [Line], narrow_len: usize) {
        let rest = self.depth.rest;
        let (from, lanes) = source.block(2 * self.depth.blocks, self.depth.inputs);
        let apart = self.rows * narrow_len * STEP;
        let to = narrow[y * narrow_len..].as_mut_ptr().cast::<u16>();
        for x in 0..if rest > 0 { source.count } else { 0 } {
            // SAFETY: the pixel is inside the row, and `rest` numbers have room in each part.
            unsafe {
                let a = _mm512_maskz_loadu_ps(lanes, from.add(x * LANES));
                let high = round(a, _mm512_setzero_ps());
                _mm512_mask_storeu_epi16(to.add(x * rest).cast(), mask(rest), high);
                if self.parts == 2 {
                    let low = remainder(a, _mm512_setzero_ps(), high);
                    _mm512_mask_storeu_epi16(to.add(apart + x * rest).cast(), mask(rest), low);
                }
            }
        }
    }

    /// Brings the taps of `count` pixels of each output row together. Those of one row of the kernel are side by side in
    /// a narrow row already.
    ///
    /// # Safety
    /// As [`Self::fill_narrow`].
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn gather(&mut self, count: usize, narrow: &[Line], narrow_len: usize) {
        let Depth { rest, gathered, .. } = self.depth;
        let run = self.depth.columns * rest;
        let rows = self.output_rows();
        for (part, y) in (0..self.parts).flat_map(|part| (0..rows).map(move |y| (part, y))) {
            let to = self.gathered[(part * rows + y) * self.room * gathered..].as_mut_ptr().cast::<u16>();
            let from = narrow[(part * self.rows + y) * narrow_len..].as_ptr().cast::<u16>();
            for x in 0..count {
                // Whole lines are written, from left to right: what is too much is written over by the next.
                // SAFETY: a run is inside its narrow row, of which no more is read; the last line that is written ends at
                // most a line behind the pixel's, where the room for pixels beyond the last is.
                unsafe {
                    let mut to = to.add(x * gathered * STEP);
                    for ky in 0..self.depth.rows {
                        let from = from.add(ky * narrow_len * STEP + x * rest);
                        for at in (0..run).step_by(STEP) {
                            let numbers = _mm512_maskz_loadu_epi16(mask(run - at), from.add(at).cast());
                            _mm512_storeu_si512(to.add(at).cast(), numbers);
                        }
                        to = to.add(run);
                    }
                    _mm512_storeu_si512(to.cast(), _mm512_setzero_si512());
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
