//! The products of tiles, patch by patch.
//!
//! A patch is `P` tiles of 16 pixels by `O` tiles of 16 outputs. Tile registers: the sums from 0 on, left operands from
//! 4 on, right operands up to 7. With one product for each pair of tiles a patch is 4 x 1: half as much of the kernel
//! streams past as with 2 x 2, for a fifth more loads. With three, operands in registers are worth more, and a patch is
//! 2 x 2, or 3 x 1 for a tile of outputs without a neighbour.
//!
//! Tiles and vectors are separate units, which work in parallel if neither waits for the other. So the previous patch
//! is finished while a patch's products run, and each register's sums are read out right before the next patch's first
//! product into it. Finer interleaving brought nothing (`docs/experiments/2026-11-29-amx.md`).
//!
//! On the Xeons that were measured, storing a tile after more than about 130 products without a store stalls for some
//! 300 ns, a third of what those products take. So every now and then a register is stored although nothing reads its
//! sums.

use super::depth::Weights;
use super::epilogue::{Finish, Place, Results, Sums};
use super::layout::AmxConv;
use super::pack::{Line, Pixels};
use super::products::Products;
use super::tile::{ROW_BYTES, ROWS, Tiles};
use crate::LANES;

/// Rows to convolve: lengths and shapes were checked, and the pixels are those of the convolution's input.
pub(super) struct Job<'a> {
    pub(super) conv: &'a AmxConv,
    pub(super) pixels: Pixels<'a>,
    /// Pixels per output row, before the shuffle.
    pub(super) width: usize,
    pub(super) results: Results<'a>,
}

/// The most products from one stored tile to the next.
const UNSTORED: usize = 100;

impl<'a> Job<'a> {
    /// Convolves the rows.
    ///
    /// # Panics
    /// Panics if the machine has no AMX.
    pub(super) fn run(mut self) {
        let tiles = Tiles::configure();
        // SAFETY: there is AMX, hence AVX-512 with bf16 too.
        unsafe { self.patches(&tiles) }
    }

    /// Computes all patches, row by row. With one product all outputs of some pixels are summed before the next
    /// pixels', which stay in the L1 cache meanwhile; with three, all pixels for a pair of tiles of outputs.
    ///
    /// # Safety
    /// The machine has AVX-512 with bf16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn patches(&mut self, tiles: &Tiles) {
        let (conv, width) = (self.conv, self.width);
        // Columns that share lanes are summed over neighbouring pixels: the last pixels of a patch produce no result.
        let most = |outputs| conv.products.pixel_tiles(outputs) * ROWS - conv.overlap();
        let groups = || conv.products.tiles_of(conv.shape.outputs.div_ceil(LANES));
        let mut sums = Sums([0.0; 5 * ROWS * LANES]);
        let sums = sums.0.as_mut_ptr();
        let mut before = None;
        for y in 0..self.pixels.output_rows() {
            // SAFETY: rows are begun in order; patches begin within the row.
            unsafe {
                self.pixels.begin(y);
                match conv.products {
                    Products::One => {
                        for x in (0..width).step_by(most(1)) {
                            for group in groups() {
                                let place = self.place(group, (x, y), most(group.1).min(width - x));
                                self.patch(tiles, place, &mut before, sums);
                            }
                        }
                    }
                    Products::Three => {
                        for group in groups() {
                            for x in (0..width).step_by(most(group.1)) {
                                let place = self.place(group, (x, y), most(group.1).min(width - x));
                                self.patch(tiles, place, &mut before, sums);
                            }
                        }
                    }
                }
            }
        }
        if let Some(before) = before {
            // SAFETY: these are its sums, with room for four tiles, and nothing else is written.
            unsafe {
                store_others(tiles, 0, Some(sums));
                before.run();
            }
        }
    }

    /// Returns the patch at a pixel, or earlier if that is needed for all its tiles to read existing lines; some
    /// results are then computed twice.
    fn place(&self, (first, outputs): (usize, usize), (x, y): (usize, usize), count: usize) -> Place {
        let from = x.min(self.pixels.last(self.conv.tiles_of(count)));
        Place { first, outputs, y, x: from, count: count + x - from }
    }

    /// Sums a patch; stores and finishes the sums of the previous patch.
    ///
    /// # Safety
    /// The machine has AVX-512 with bf16; the patch begins within the row; `sums` has room for five tiles, and the
    /// previous patch reads its sums from the first four.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn patch(&mut self, tiles: &Tiles, place: Place, before: &mut Option<Finish<'a>>, sums: *mut f32) {
        let conv = self.conv;
        // SAFETY: the caller's contract.
        unsafe {
            match (place.outputs, conv.tiles_of(place.count)) {
                (1, 1) => self.products::<1, 1>(tiles, place, sums),
                (1, 2) => self.products::<2, 1>(tiles, place, sums),
                (1, 3) => self.products::<3, 1>(tiles, place, sums),
                (1, _) => self.products::<4, 1>(tiles, place, sums),
                (_, 1) => self.products::<1, 2>(tiles, place, sums),
                (_, _) => self.products::<2, 2>(tiles, place, sums),
            }
            if let Some(before) = before {
                before.run();
            }
            *before = Some(Finish::new(conv, self.results, place, sums));
        }
    }

    /// Computes the products of a patch, in the order of the laid out kernel. The sum of a pixel's tile and an output's
    /// stays in register `pixel * O + output`. The previous patch's sums there are stored.
    ///
    /// # Safety
    /// The machine has AVX-512 with bf16; the patch has `P` tiles of pixels, the last possibly partly beyond the row,
    /// and `O` tiles of outputs; `sums` has room for five tiles.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn products<const P: usize, const O: usize>(
        &mut self,
        tiles: &Tiles,
        Place { first, y, x, .. }: Place,
        sums: *mut f32,
    ) {
        const { assert!(matches!((P, O), (1..=4, 1) | (1..=2, 2))) };
        let depth = self.conv.depth;
        let mut last = Some(sums);
        let mut right = self.conv.kernel[first * depth.tile_len(self.conv.products.parts())..].as_ptr();
        // Steps until the next dummy store of a register.
        let rest = UNSTORED / (P * O * if self.conv.products == Products::One { 1 } else { 3 });
        let mut unstored = rest;
        // SAFETY: 16 P pixels from `x` on, and as many columns further as the kernel has, are in the room of a row, and
        // the steps are as many as the kernel was laid out for.
        unsafe {
            for ky in 0..depth.rows {
                for block in 0..depth.blocks {
                    let (left, apart) = self.pixels.whole(y + ky, block, x);
                    for kx in 0..depth.columns {
                        right = self.step::<P, O>(tiles, last.take(), (left.add(kx), apart, 1), right);
                        unstored -= 1;
                        if unstored == 0 {
                            tiles.store::<0>(sums.add(4 * ROWS * LANES).cast());
                            unstored = rest;
                        }
                    }
                }
            }
            if depth.gathered > 0 {
                let (left, apart) = self.pixels.gathered(x);
                for step in 0..depth.gathered {
                    let left = (left.add(step), apart, depth.gathered);
                    right = self.step::<P, O>(tiles, last.take(), left, right);
                }
            }
        }
    }

    /// Computes one step, of one or three products for each pair of tiles. In a patch's first step, stores the
    /// registers' sums before. Returns where the next step's operands are.
    ///
    /// # Safety
    /// Same as [`Self::products`]; `left` is the first pixel, the number of lines from there to its low part, and the
    /// number of lines to the next pixel; `right` points to the step's operands.
    #[inline(always)]
    unsafe fn step<const P: usize, const O: usize>(
        &self,
        tiles: &Tiles,
        last: Option<*mut f32>,
        (left, apart, stride): (*const Line, usize, usize),
        right: *const Weights,
    ) -> *const Weights {
        // SAFETY: the caller's contract.
        unsafe {
            match self.conv.products {
                Products::One => {
                    tiles.load::<7>(right.cast(), ROW_BYTES);
                    let load = |tile: usize| left.add(tile * ROWS * stride).cast();
                    tiles.load::<4>(load(0), stride * ROW_BYTES);
                    if P > 1 {
                        tiles.load::<5>(load(1), stride * ROW_BYTES);
                    }
                    product::<0, 4, 7>(tiles, last);
                    if P > 1 {
                        product::<1, 5, 7>(tiles, last);
                    }
                    if P > 2 {
                        tiles.load::<6>(load(2), stride * ROW_BYTES);
                    }
                    if P > 3 {
                        // The first tile of pixels is no longer needed.
                        tiles.load::<4>(load(3), stride * ROW_BYTES);
                    }
                    if P > 2 {
                        product::<2, 6, 7>(tiles, last);
                    }
                    if P > 3 {
                        product::<3, 4, 7>(tiles, last);
                    }
                    store_others(tiles, P, last);
                    right.add(1)
                }
                Products::Three => {
                    load_right::<O>(tiles, right);
                    load_left::<P>(tiles, left.add(apart), stride);
                    add_products::<P, O>(tiles, last);
                    load_left::<P>(tiles, left, stride);
                    add_products::<P, O>(tiles, None);
                    load_right::<O>(tiles, right.add(O));
                    add_products::<P, O>(tiles, None);
                    right.add(2 * O)
                }
            }
        }
    }
}

/// Loads right operands into registers 8 - `O` and on.
///
/// # Safety
/// `O` operands may be read.
#[inline(always)]
pub(super) unsafe fn load_right<const O: usize>(tiles: &Tiles, from: *const Weights) {
    // SAFETY: the caller's contract.
    unsafe {
        if O == 2 {
            tiles.load::<6>(from.cast(), ROW_BYTES);
            tiles.load::<7>(from.add(1).cast(), ROW_BYTES);
        } else {
            tiles.load::<7>(from.cast(), ROW_BYTES);
        }
    }
}

/// Loads left operands into registers 4 and on, of three tiles at most.
///
/// # Safety
/// 16 `P` pixels may be read, `stride` lines apart.
#[inline(always)]
pub(super) unsafe fn load_left<const P: usize>(tiles: &Tiles, from: *const Line, stride: usize) {
    // SAFETY: the caller's contract.
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

/// Computes the product of every left operand and every right one. If `last` is given, stores the registers' sums there
/// first.
///
/// # Safety
/// Four tiles of sums may be written.
#[inline(always)]
pub(super) unsafe fn add_products<const P: usize, const O: usize>(tiles: &Tiles, last: Option<*mut f32>) {
    // SAFETY: the caller's contract.
    unsafe {
        if O == 2 {
            product::<0, 4, 6>(tiles, last);
            product::<1, 4, 7>(tiles, last);
            if P > 1 {
                product::<2, 5, 6>(tiles, last);
                product::<3, 5, 7>(tiles, last);
            }
        } else {
            product::<0, 4, 7>(tiles, last);
            if P > 1 {
                product::<1, 5, 7>(tiles, last);
            }
            if P > 2 {
                product::<2, 6, 7>(tiles, last);
            }
        }
        store_others(tiles, P * O, last);
    }
}

/// Adds a product to a register. If `last` is given, stores the register's sums there first and clears it.
///
/// # Safety
/// Four tiles of sums may be written.
#[inline(always)]
unsafe fn product<const C: usize, const A: usize, const B: usize>(tiles: &Tiles, last: Option<*mut f32>) {
    if let Some(sums) = last {
        // SAFETY: the caller's contract.
        unsafe { clear::<C>(tiles, sums) };
    }
    tiles.add_product::<C, A, B>();
}

/// Stores the sums of the registers from `from` on, for which a patch has no products, if `last` is given.
///
/// # Safety
/// Four tiles of sums may be written.
#[inline(always)]
pub(super) unsafe fn store_others(tiles: &Tiles, from: usize, last: Option<*mut f32>) {
    let Some(sums) = last else { return };
    // SAFETY: the caller's contract.
    unsafe {
        if from == 0 {
            clear::<0>(tiles, sums);
        }
        if from <= 1 {
            clear::<1>(tiles, sums);
        }
        if from <= 2 {
            clear::<2>(tiles, sums);
        }
        if from <= 3 {
            clear::<3>(tiles, sums);
        }
    }
}

/// Stores a register's sums in their place, and clears it.
///
/// # Safety
/// Four tiles of sums may be written.
#[inline(always)]
unsafe fn clear<const T: usize>(tiles: &Tiles, sums: *mut f32) {
    // SAFETY: the caller's contract; a tile of sums is 1024 bytes.
    unsafe { tiles.store::<T>(sums.add(T * ROWS * LANES).cast()) };
    tiles.zero::<T>();
}

// Operands fill whole registers.
const _: () = assert!(size_of::<Weights>() == ROWS * ROW_BYTES && size_of::<Line>() == ROW_BYTES);
