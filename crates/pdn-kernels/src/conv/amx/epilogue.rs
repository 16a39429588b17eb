//! The epilogue of a patch: bias, activation, factor, addition, and the places of a pixel shuffle.

use super::layout::AmxConv;
use super::pack::widen;
use super::tile::ROWS;
use crate::{Format, LANES, RowShape, Store};
use std::arch::x86_64::*;

/// Sums of a patch, tile by tile: `[tile of pixels][tile of outputs][pixel][16]`, and room for a tile that nothing
/// reads.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [f32; 5 * ROWS * LANES]);

/// The destination of results: rows of a shape, where each row of sums becomes as many as the shuffle makes.
#[derive(Clone, Copy)]
pub(super) struct Results<'a> {
    pub(super) store: &'a Store<'a>,
    pub(super) out: *mut f32,
    pub(super) shape: RowShape,
}

/// A patch of results: pixels of a row of sums, by tiles of outputs.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The first tile of outputs, and their number.
    pub(super) first: usize,
    pub(super) outputs: usize,
    /// The row of sums, the first pixel, and how many of the pixels are results.
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
    /// The stride from one pixel's results to the next's.
    step: usize,
    /// The number of outputs whose columns share the lanes, or 0.
    sharing: usize,
}

/// Where a tile of outputs has its numbers for the first pixel.
#[derive(Clone, Copy)]
struct Tile {
    sums: *const f32,
    bias: *const f32,
    /// The block of the row that it is stored to.
    block: usize,
    /// Null if nothing is added.
    add: *const f32,
    out: *mut f32,
}

impl<'a> Finish<'a> {
    /// Prepares a patch for storing.
    ///
    /// # Safety
    /// The place is one of the convolution's results, and `out` holds all its rows.
    pub(super) unsafe fn new(conv: &AmxConv, results: Results<'a>, place: Place, sums: *const f32) -> Self {
        let (r, shape) = (conv.shape.shuffle, results.shape);
        let blocks = conv.shape.blocks() / (r * r);
        let tile = |tile: usize| {
            let at = place.first + tile;
            // Divisions take as long as a dozen vector products, and a patch without a shuffle needs none.
            let (phase, block) = if r == 1 { (0, at) } else { (at / blocks, at % blocks) };
            let (down, right) = if r == 1 { (0, 0) } else { (phase / r, phase % r) };
            let (row, pixel) = (place.y * r + down, place.x * r + right);
            let begins = |format| match format {
                Format::Singles => shape.at(block, pixel),
                // A block is half a line.
                Format::Lines => shape.at(block / 2, pixel) + block % 2 * LANES / 2,
            };
            let (first, added) = (begins(results.store.format), begins(results.store.add_format));
            let add = results.store.add.get(row).map_or(std::ptr::null(), |row| row[added..].as_ptr());
            // SAFETY: the place is inside the row.
            let out = unsafe { results.out.add(row * shape.len() + first) };
            let (sums, bias) = (sums.wrapping_add(tile * ROWS * LANES), conv.bias[at * LANES..].as_ptr());
            Tile { sums, bias, block, add, out }
        };
        let first = tile(0);
        Self {
            store: results.store,
            tiles: [first, if place.outputs > 1 { tile(1) } else { first }],
            outputs: place.outputs,
            count: place.count,
            step: r * LANES,
            sharing: if conv.overlap() > 0 { conv.shape.outputs } else { 0 },
        }
    }

    /// Stores the results.
    ///
    /// # Safety
    /// The machine has AVX-512 with bf16; the sums are the patch's, and nothing else reads or writes its results
    /// meanwhile.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn run(&self) {
        // SAFETY: this function's contract.
        unsafe {
            // One loop per case, so that nothing constant is tested at every pixel.
            match (self.store.format, self.store.add_format) {
                (Format::Singles, Format::Singles) => self.pixels::<false, false>(),
                (Format::Singles, Format::Lines) => self.pixels::<false, true>(),
                (Format::Lines, Format::Singles) => self.pixels::<true, false>(),
                (Format::Lines, Format::Lines) => self.pixels::<true, true>(),
            }
        }
    }

    /// Stores the results and adds `add`, each as lines or not.
    ///
    /// # Safety
    /// Same as [`Self::run`].
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    unsafe fn pixels<const LINES: bool, const ADD_LINES: bool>(&self) {
        for tile in &self.tiles[..self.outputs] {
            // SAFETY: the bias has 16 numbers for every tile; the sums 16 for every pixel, and for as many more as
            // columns share lanes, which happens only in one tile of outputs; results of the pixels are inside the row,
            // and so is what is added.
            unsafe {
                let bias = _mm512_loadu_ps(tile.bias);
                let after = After::new(self.store, tile.block);
                for i in 0..self.count {
                    // After every tile of pixels comes that of the other outputs.
                    let sum = tile.sums.add((i + i / ROWS * ROWS * (self.outputs - 1)) * LANES);
                    let sum = if self.sharing > 0 { shared_sum(sum, self.sharing) } else { _mm512_load_ps(sum) };
                    let v = after.activated(_mm512_add_ps(sum, bias));
                    let v = if tile.add.is_null() {
                        after.scaled(v)
                    } else {
                        let add = tile.add.add(i * self.step);
                        after.plus(v, if ADD_LINES { load_line(add) } else { _mm512_loadu_ps(add) })
                    };
                    let out = tile.out.add(i * self.step);
                    if LINES {
                        store_line(v, out);
                    } else {
                        _mm512_storeu_ps(out, v);
                    }
                }
            }
        }
    }
}

/// Loads the 16 numbers of half a line.
///
/// # Safety
/// The machine has AVX-512 F; 32 bytes may be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load_line(from: *const f32) -> __m512 {
    // SAFETY: this function's contract.
    widen(unsafe { _mm256_loadu_si256(from.cast()) })
}

/// Rounds 16 numbers to half a line.
///
/// # Safety
/// The machine has AVX-512 with bf16; 32 bytes may be written.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn store_line(v: __m512, to: *mut f32) {
    // SAFETY: this function's contract; both vector types are 32 bytes, and every value of one is valid for the other.
    unsafe { _mm256_storeu_si256(to.cast(), std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v))) }
}

/// The operations on the sums of 16 outputs: an activation, a factor and an addition.
#[derive(Clone, Copy)]
pub(super) struct After {
    /// The activation's slopes, if there is one and they are not all zero.
    slopes: Option<__m512>,
    /// Whether to apply a ReLU.
    relu: bool,
    /// The factor, if it is not 1.
    scale: Option<__m512>,
}

impl After {
    /// Prepares the operations for a block of a stored row.
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn new(store: &Store, block: usize) -> Self {
        let slopes = store.slopes.chunks_exact(LANES).nth(block);
        let relu = slopes.is_some_and(|slopes| slopes.iter().all(|slope| *slope == 0.0));
        // SAFETY: there are 16 slopes.
        let slopes = slopes.filter(|_| !relu).map(|slopes| unsafe { _mm512_loadu_ps(slopes.as_ptr()) });
        Self { slopes, relu, scale: (store.scale != 1.0).then(|| _mm512_set1_ps(store.scale)) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn activated(self, v: __m512) -> __m512 {
        // If one operand is NaN, the instructions return the second; and non-finite values must not be hidden.
        let zero = _mm512_setzero_ps();
        match self.slopes {
            Some(slopes) => _mm512_fmadd_ps(_mm512_min_ps(zero, v), slopes, _mm512_max_ps(zero, v)),
            None if self.relu => _mm512_sub_ps(v, _mm512_min_ps(zero, v)),
            None => v,
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn scaled(self, v: __m512) -> __m512 {
        self.scale.map_or(v, |scale| _mm512_mul_ps(v, scale))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn plus(self, v: __m512, add: __m512) -> __m512 {
        match self.scale {
            Some(scale) => _mm512_fmadd_ps(v, scale, add),
            None => _mm512_add_ps(v, add),
        }
    }
}

/// Adds the three columns of an output from the lanes of three neighbouring pixels.
///
/// # Safety
/// The machine has AVX-512 F; three pixels' sums may be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn shared_sum(sums: *const f32, outputs: usize) -> __m512 {
    let lanes = (1 << outputs) - 1;
    // SAFETY: the last lane to read is `3 * outputs - 1` of the third pixel, at most its 16th.
    unsafe {
        let left = _mm512_maskz_loadu_ps(lanes, sums);
        let middle = _mm512_maskz_loadu_ps(lanes, sums.add(LANES + outputs));
        let right = _mm512_maskz_loadu_ps(lanes, sums.add(2 * (LANES + outputs)));
        _mm512_add_ps(_mm512_add_ps(left, middle), right)
    }
}
