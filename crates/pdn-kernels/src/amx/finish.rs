//! What becomes of the sums of a patch: bias, activation, factor, what is added, and the places of a pixel shuffle.

use super::AmxConv;
use super::pixels::widen;
use super::tile::ROWS;
use crate::{Format, LANES, RowShape, Store};
use std::arch::x86_64::*;

/// Sums of a patch, tile by tile: `[tile of pixels][tile of outputs][pixel][16]`, and room for a tile that nobody reads.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [f32; 5 * ROWS * LANES]);

/// Where results are stored: rows of a shape, each row of sums becoming as many as the shuffle makes.
#[derive(Clone, Copy)]
pub(super) struct Results<'a> {
    pub(super) store: &'a Store<'a>,
    pub(super) out: *mut f32,
    pub(super) shape: RowShape,
}

/// A patch of results: pixels of a row of sums, by tiles of outputs.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The first tile of outputs, and their count.
    pub(super) first: usize,
    pub(super) outputs: usize,
    /// The row of sums, the first pixel, and how many of them are results.
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) count: usize,
}

/// A patch whose sums are in a buffer.
pub(super) struct Finish<'a> {
    store: &'a Store<'a>,
    tiles: [Tile; 2],
    /// Tiles of outputs.
    outputs: usize,
    /// Pixels that are results.
    count: usize,
    /// Numbers from a line's first part to its second; none where lines have one part.
    low: usize,
    /// Numbers from one pixel's results to the next's.
    step: usize,
    /// Outputs whose columns share the lanes, or none.
    sharing: usize,
}

/// Where a tile of outputs has its numbers of the first pixel.
#[derive(Clone, Copy)]
struct Tile {
    sums: *const f32,
    bias: *const f32,
    /// Not read where there is no activation.
    slopes: *const f32,
    /// Null where nothing is added.
    add: *const f32,
    out: *mut f32,
}

impl<'a> Finish<'a> {
    /// # Safety
    /// The place is one of the convolution's results, of which `out` holds all rows.
    pub(super) unsafe fn new(conv: &AmxConv, results: Results<'a>, place: Place, sums: *const f32) -> Self {
        let (r, shape, parts) = (conv.shape.shuffle, results.shape, conv.parts());
        let blocks = conv.shape.blocks() / (r * r);
        let tile = |tile: usize| {
            let at = place.first + tile;
            // Divisions, of which a patch without a shuffle needs none, take as long as a dozen products of vectors.
            let (phase, block) = if r == 1 { (0, at) } else { (at / blocks, at % blocks) };
            let (down, right) = if r == 1 { (0, 0) } else { (phase / r, phase % r) };
            let (row, pixel) = (place.y * r + down, place.x * r + right);
            let begins = |format| match format {
                Format::Singles => shape.at(block, pixel),
                // A block is half a line.
                Format::Lines => shape.at(block / 2 * parts, pixel) + block % 2 * LANES / 2,
            };
            let (first, added) = (begins(results.store.format), begins(results.store.add_format));
            let slopes = results.store.slopes.as_ptr().wrapping_add(block * LANES);
            let add = results.store.add.get(row).map_or(std::ptr::null(), |row| row[added..].as_ptr());
            // SAFETY: the place is inside the row.
            let out = unsafe { results.out.add(row * shape.len() + first) };
            let (sums, bias) = (sums.wrapping_add(tile * ROWS * LANES), conv.bias[at * LANES..].as_ptr());
            Tile { sums, bias, slopes, add, out }
        };
        let first = tile(0);
        Self {
            store: results.store,
            tiles: [first, if place.outputs > 1 { tile(1) } else { first }],
            outputs: place.outputs,
            count: place.count,
            low: if parts == 2 { shape.block_len() } else { 0 },
            step: r * LANES,
            sharing: if conv.overlap() > 0 { conv.shape.outputs } else { 0 },
        }
    }

    /// Stores the results.
    ///
    /// # Safety
    /// The machine has AVX-512 with bf16; the sums are the patch's, and nothing else reads or writes its results meanwhile.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn run(&self) {
        // SAFETY: this function's contract.
        unsafe {
            // Each loop for itself, so that what does not change is not asked for every pixel.
            match (self.store.format, self.store.add_format) {
                (Format::Singles, Format::Singles) => self.pixels::<false, false>(),
                (Format::Singles, Format::Lines) => self.pixels::<false, true>(),
                (Format::Lines, Format::Singles) => self.pixels::<true, false>(),
                (Format::Lines, Format::Lines) => self.pixels::<true, true>(),
            }
        }
    }

    /// Stores the results, as lines or not, adding what is kept as lines or not.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    unsafe fn pixels<const LINES: bool, const ADD_LINES: bool>(&self) {
        let scale = _mm512_set1_ps(self.store.scale);
        for tile in &self.tiles[..self.outputs] {
            // SAFETY: the bias has 16 numbers for every tile; the sums 16 for every pixel, and for as many more as columns
            // share lanes, which do so in one tile of outputs; results of the pixels are inside the row, and so is what is added.
            unsafe {
                let bias = _mm512_loadu_ps(tile.bias);
                let slopes = (!self.store.slopes.is_empty()).then(|| _mm512_loadu_ps(tile.slopes));
                for i in 0..self.count {
                    // Behind every tile of pixels is that of the other outputs.
                    let sum = tile.sums.add((i + i / ROWS * ROWS * (self.outputs - 1)) * LANES);
                    let sum = if self.sharing > 0 { shared_sum(sum, self.sharing) } else { _mm512_load_ps(sum) };
                    let mut v = _mm512_add_ps(sum, bias);
                    if let Some(slopes) = slopes {
                        // Of a number and what is none, the instructions take the second.
                        let zero = _mm512_setzero_ps();
                        let (above, below) = (_mm512_max_ps(zero, v), _mm512_min_ps(zero, v));
                        v = _mm512_fmadd_ps(below, slopes, above);
                    }
                    v = if tile.add.is_null() {
                        _mm512_mul_ps(v, scale)
                    } else {
                        let add = tile.add.add(i * self.step);
                        let add = if ADD_LINES { load_line(add, self.low) } else { _mm512_loadu_ps(add) };
                        _mm512_fmadd_ps(v, scale, add)
                    };
                    let out = tile.out.add(i * self.step);
                    if LINES {
                        store_line(v, out, self.low);
                    } else {
                        _mm512_storeu_ps(out, v);
                    }
                }
            }
        }
    }
}

/// 16 numbers of a line, its second part being so many float32 numbers behind the first, or nowhere.
///
/// # Safety
/// The machine has AVX-512 F; half a line of each part may be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load_line(from: *const f32, low: usize) -> __m512 {
    // SAFETY: this function's contract.
    unsafe {
        let high = widen(_mm256_loadu_si256(from.cast()));
        if low == 0 { high } else { _mm512_add_ps(high, widen(_mm256_loadu_si256(from.add(low).cast()))) }
    }
}

/// Rounds 16 numbers to a line, as [`load_line`] reads them.
///
/// # Safety
/// The machine has AVX-512 with bf16; half a line of each part may be written.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn store_line(v: __m512, to: *mut f32, low: usize) {
    // SAFETY: this function's contract; both kinds of vector are 32 bytes, of which every value is one of the other's.
    unsafe {
        let high: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(v));
        _mm256_storeu_si256(to.cast(), high);
        if low > 0 {
            let rest: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(_mm512_sub_ps(v, widen(high))));
            _mm256_storeu_si256(to.add(low).cast(), rest);
        }
    }
}

/// The three columns of an output, from the lanes of three neighbouring pixels.
///
/// # Safety
/// The machine has AVX-512 F; three pixels' sums may be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn shared_sum(sums: *const f32, outputs: usize) -> __m512 {
    let lanes = (1 << outputs) - 1;
    // SAFETY: the last lane that is read is `3 * outputs - 1` of the third pixel, at most its 16th.
    unsafe {
        let left = _mm512_maskz_loadu_ps(lanes, sums);
        let middle = _mm512_maskz_loadu_ps(lanes, sums.add(LANES + outputs));
        let right = _mm512_maskz_loadu_ps(lanes, sums.add(2 * (LANES + outputs)));
        _mm512_add_ps(_mm512_add_ps(left, middle), right)
    }
}
