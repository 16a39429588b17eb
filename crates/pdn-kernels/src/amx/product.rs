//! The products of tiles, patch by patch, and what happens as a patch is stored.
//!
//! A patch is `P` tiles of 16 pixels by `O` tiles of 16 outputs: 2 x 2, or 3 x 1 for a tile of outputs that has no
//! neighbour. Tile registers: the sums from 0 on, left operands from 4 on, right operands up to 7.
//!
//! Tiles and vectors are different units, which work at once where neither waits for the other. So the sums of a patch stay
//! in a buffer until the products of the next were given to the processor, and are finished while it works on them; and the
//! next row of pixels is rounded a piece with every patch.

use super::depth::Weights;
use super::pixels::{Line, Pixels};
use super::tile::{ROW_BYTES, ROWS, Tiles};
use super::{AmxConv, Products, tiles_of};
use crate::{Activation, LANES, RowShape, Store};
use std::arch::x86_64::*;

/// Rows to convolve: lengths and shapes were checked, and the pixels are those of the convolution's input.
pub(super) struct Job<'a> {
    pub(super) conv: &'a AmxConv,
    pub(super) pixels: Pixels<'a>,
    /// Pixels of an output row, before the shuffle.
    pub(super) width: usize,
    pub(super) store: &'a Store<'a>,
    pub(super) out: &'a mut [f32],
    pub(super) out_shape: RowShape,
}

/// Where a patch is.
#[derive(Clone, Copy)]
struct Patch {
    /// Its tiles' first operand in the kernel.
    kernel: usize,
    /// The first tile of outputs, and their count.
    first: usize,
    outputs: usize,
    /// The row before the shuffle, the first pixel, and how many of them are results.
    y: usize,
    x: usize,
    count: usize,
    /// The pieces of the next row of pixels that are filled meanwhile.
    fill: [usize; 2],
}

/// Sums of a patch: `[tile of outputs][pixel][16]`.
#[repr(C, align(64))]
struct Sums([f32; 4 * ROWS * LANES]);

/// Pixels of a patch to one tile of outputs, and to two.
const PIXELS: [usize; 2] = [3 * ROWS, 2 * ROWS];

impl Job<'_> {
    /// # Panics
    /// When the machine has no AMX.
    pub(super) fn run(mut self) {
        let tiles = Tiles::configure();
        // SAFETY: AMX is there, hence AVX-512 with bf16 too.
        unsafe { self.patches(&tiles) }
    }

    /// All patches: for each row, a pair of tiles of outputs at a time, whose part of the kernel is read again for every
    /// patch.
    ///
    /// # Safety
    /// The machine has AVX-512 with bf16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn patches(&mut self, tiles: &Tiles) {
        let conv = self.conv;
        let tile_len = conv.depth.tile_len(conv.products.parts());
        // Columns that share lanes are summed over neighbouring pixels: the last ones of a patch give no result.
        let overlap = conv.shape.side - conv.depth.columns;
        let most = |outputs: usize| PIXELS[outputs - 1] - overlap;
        let groups = || tiles_of(conv.shape.outputs.div_ceil(LANES));
        let in_row: usize = groups().map(|(_, outputs)| self.width.div_ceil(most(outputs))).sum();
        let mut sums = Sums([0.0; 4 * ROWS * LANES]);
        let mut before = None;
        for y in 0..self.pixels.output_rows() {
            // SAFETY: rows are begun in their order.
            unsafe { self.pixels.begin(y) };
            let mut done = 0;
            for (first, outputs) in groups() {
                for x in (0..self.width).step_by(most(outputs)) {
                    let count = most(outputs).min(self.width - x);
                    let share = |done| self.pixels.pieces() * done / in_row;
                    let fill = [share(done), share(done + 1)];
                    let patch = Patch { kernel: first * tile_len, first, outputs, y, x, count, fill };
                    // SAFETY: a patch begins within the row.
                    unsafe {
                        match (outputs, (count + overlap).div_ceil(ROWS)) {
                            (1, 1) => self.patch::<1, 1>(tiles, patch, before, &mut sums),
                            (1, 2) => self.patch::<2, 1>(tiles, patch, before, &mut sums),
                            (1, _) => self.patch::<3, 1>(tiles, patch, before, &mut sums),
                            (_, 1) => self.patch::<1, 2>(tiles, patch, before, &mut sums),
                            (_, _) => self.patch::<2, 2>(tiles, patch, before, &mut sums),
                        }
                    }
                    before = Some(patch);
                    done += 1;
                }
            }
        }
        if let Some(before) = before {
            // SAFETY: these are its sums.
            unsafe { self.finish(before, &sums) };
        }
    }

    /// Sums a patch, and finishes the one before, whose sums are in the buffer and give place to this one's.
    ///
    /// # Safety
    /// The machine has AVX-512 with bf16; the patch has `P` tiles of pixels, of which the last may be partly beyond the
    /// row, and `O` tiles of outputs.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn patch<const P: usize, const O: usize>(
        &mut self,
        tiles: &Tiles,
        patch: Patch,
        before: Option<Patch>,
        sums: &mut Sums,
    ) {
        const { assert!(matches!((P, O), (1..=3, 1) | (1..=2, 2))) };
        // SAFETY: the caller's; a tile of sums is 1024 bytes, and there is room for four.
        unsafe {
            self.products::<P, O>(tiles, patch);
            if let Some(before) = before {
                self.finish(before, sums);
            }
            let sums = sums.0.as_mut_ptr();
            let to = |tile: usize| sums.add(tile * ROWS * LANES).cast::<u8>();
            tiles.store::<0>(to(0));
            if O == 2 {
                tiles.store::<1>(to(P));
                if P == 2 {
                    tiles.store::<2>(to(1));
                    tiles.store::<3>(to(3));
                }
            } else {
                if P > 1 {
                    tiles.store::<1>(to(1));
                }
                if P > 2 {
                    tiles.store::<2>(to(2));
                }
            }
        }
    }

    /// The products of a patch, in the order of the laid out kernel. The sum of a pixel's tile and an output's is in
    /// register `pixel * O + output`.
    ///
    /// # Safety
    /// As [`Self::patch`].
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    unsafe fn products<const P: usize, const O: usize>(&mut self, tiles: &Tiles, patch: Patch) {
        let Patch { x, y, .. } = patch;
        let depth = self.conv.depth;
        tiles.zero::<0>();
        tiles.zero::<1>();
        tiles.zero::<2>();
        tiles.zero::<3>();
        let mut right = self.conv.kernel[patch.kernel..].as_ptr();
        let [whole_apart, gathered_apart] = self.pixels.parts_apart();
        // SAFETY: 16 P pixels from `x` on, and as many columns further as the kernel has, are in the room of a row, and
        // the steps are as many as the kernel was laid out for.
        unsafe {
            for ky in 0..depth.rows {
                for block in 0..depth.blocks {
                    let left = self.pixels.whole(y + ky, block, x);
                    for kx in 0..depth.columns {
                        right = self.step::<P, O>(tiles, left.add(kx), whole_apart, 1, right);
                    }
                }
                if ky == 0 {
                    self.pixels.fill(y + depth.rows, patch.fill[0]..patch.fill[1]);
                }
            }
            if depth.gathered > 0 {
                let left = self.pixels.gathered(x);
                for step in 0..depth.gathered {
                    right = self.step::<P, O>(tiles, left.add(step), gathered_apart, depth.gathered, right);
                }
            }
        }
    }

    /// One step, of one or three products for each pair of tiles. Gives where the next step's operands are.
    ///
    /// # Safety
    /// As [`Self::patch`]; `left` is the first pixel, a pixel being `stride` lines from the next and `apart` from its low
    /// part, and `right` the step's operands.
    #[inline(always)]
    unsafe fn step<const P: usize, const O: usize>(
        &self,
        tiles: &Tiles,
        left: *const Line,
        apart: usize,
        stride: usize,
        right: *const Weights,
    ) -> *const Weights {
        // SAFETY: the caller's.
        unsafe {
            match self.conv.products {
                Products::One => {
                    load_right::<O>(tiles, right);
                    load_left::<P>(tiles, left, stride);
                    add_products::<P, O>(tiles);
                    right.add(O)
                }
                Products::Three => {
                    load_right::<O>(tiles, right);
                    load_left::<P>(tiles, left.add(apart), stride);
                    add_products::<P, O>(tiles);
                    load_left::<P>(tiles, left, stride);
                    add_products::<P, O>(tiles);
                    load_right::<O>(tiles, right.add(O));
                    add_products::<P, O>(tiles);
                    right.add(2 * O)
                }
            }
        }
    }

    /// Finishes and writes a patch's results.
    ///
    /// # Safety
    /// The machine has AVX-512 F; the sums are the patch's.
    #[target_feature(enable = "avx512f")]
    unsafe fn finish(&mut self, patch: Patch, sums: &Sums) {
        let conv = self.conv;
        let (r, shape) = (conv.shape.shuffle, self.out_shape);
        let scale = _mm512_set1_ps(self.store.scale);
        let shares_lanes = conv.depth.columns < conv.shape.side;
        let tile_pixels = (patch.count + conv.shape.side - conv.depth.columns).next_multiple_of(ROWS);
        for tile in 0..patch.outputs {
            let at = patch.first + tile;
            let (phase, block) = (at / shape.blocks, at % shape.blocks);
            let row = patch.y * r + phase / r;
            let first = shape.at(block, patch.x * r + phase % r);
            let sums = &sums.0[tile * tile_pixels * LANES..];
            let add = self.store.add.get(row).map(|row| row[first..].as_ptr());
            let out = self.out[row * shape.len() + first..].as_mut_ptr();
            // SAFETY: the bias has 16 numbers for every tile; the sums 16 for every pixel, and for as many more as
            // columns share lanes; pixel `i * r` from `first` on is inside the row.
            unsafe {
                let bias = _mm512_loadu_ps(conv.bias[at * LANES..].as_ptr());
                for i in 0..patch.count {
                    let sum = sums.as_ptr().add(i * LANES);
                    let sum = if shares_lanes { shared_sum(sum, conv.shape.outputs) } else { _mm512_load_ps(sum) };
                    let mut v = _mm512_add_ps(sum, bias);
                    if let Activation::Relu { slope } = self.store.activation {
                        // Of a number and what is none, the instructions take the second.
                        let zero = _mm512_setzero_ps();
                        let (above, below) = (_mm512_max_ps(zero, v), _mm512_min_ps(zero, v));
                        v = _mm512_fmadd_ps(below, _mm512_set1_ps(slope), above);
                    }
                    v = match add {
                        Some(add) => _mm512_fmadd_ps(v, scale, _mm512_loadu_ps(add.add(i * r * LANES))),
                        None => _mm512_mul_ps(v, scale),
                    };
                    _mm512_storeu_ps(out.add(i * r * LANES), v);
                }
            }
        }
    }
}

/// The three columns of an output, from the lanes of three neighbouring pixels.
///
/// # Safety
/// The machine has AVX-512 F; three pixels' sums may be read.
#[target_feature(enable = "avx512f")]
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

/// Right operands to registers 8 - `O` and on.
///
/// # Safety
/// `O` operands may be read.
#[inline(always)]
unsafe fn load_right<const O: usize>(tiles: &Tiles, from: *const Weights) {
    // SAFETY: the caller's.
    unsafe {
        if O == 2 {
            tiles.load::<6>(from.cast(), ROW_BYTES);
            tiles.load::<7>(from.add(1).cast(), ROW_BYTES);
        } else {
            tiles.load::<7>(from.cast(), ROW_BYTES);
        }
    }
}

/// Left operands to registers 4 and on.
///
/// # Safety
/// 16 `P` pixels may be read, `stride` lines apart.
#[inline(always)]
unsafe fn load_left<const P: usize>(tiles: &Tiles, from: *const Line, stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        tiles.load::<4>(from.cast(), stride * ROW_BYTES);
        if P > 1 {
            tiles.load::<5>(from.add(ROWS * stride).cast(), stride * ROW_BYTES);
        }
        if P > 2 {
            tiles.load::<6>(from.add(2 * ROWS * stride).cast(), stride * ROW_BYTES);
        }
    }
}

/// The product of every left and every right operand.
#[inline(always)]
fn add_products<const P: usize, const O: usize>(tiles: &Tiles) {
    if O == 2 {
        tiles.add_product::<0, 4, 6>();
        tiles.add_product::<1, 4, 7>();
        if P > 1 {
            tiles.add_product::<2, 5, 6>();
            tiles.add_product::<3, 5, 7>();
        }
    } else {
        tiles.add_product::<0, 4, 7>();
        if P > 1 {
            tiles.add_product::<1, 5, 7>();
        }
        if P > 2 {
            tiles.add_product::<2, 6, 7>();
        }
    }
}

// Operands fill whole registers.
const _: () = assert!(size_of::<Weights>() == ROWS * ROW_BYTES && size_of::<Line>() == ROW_BYTES);
