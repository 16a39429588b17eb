//! The product of two bf16 matrices with tiles, which the Winograd convolution of whole maps needs at each place.

use super::depth::STEP;
use super::tile::{ROW_BYTES, ROWS, Tiles};
use crate::LANES;
use crate::conv::winograd::{Product, Sums};
use crate::lanes::{Avx512, Lanes};
use half::bf16;
use std::mem::MaybeUninit;

/// The most steps in a product of a transposed matrix.
const STEPS: usize = 4;

/// Returns whether tiles can compute a product: they read 32 numbers of a row at once, and always 16 rows.
pub(crate) fn can(product: &Product<bf16>) -> bool {
    let whole = product.depth.is_multiple_of(STEP / 2) && product.room >= product.rows.next_multiple_of(ROWS);
    whole && (product.a_depth == 2 || is_transposed(product)) && super::tile::is_available()
}

/// Returns whether the left matrix is laid out like the right one, with pairs of numbers of its rows adjacent.
fn is_transposed(product: &Product<bf16>) -> bool {
    product.a_row == 2 && product.depth <= STEPS * STEP / 2
}

/// The left operands of some rows: the stride in numbers from one row to the next, from one step of 32 numbers of a row
/// to the next, and from one tile of rows to the next.
#[derive(Clone, Copy)]
struct Left {
    first: *const bf16,
    row: usize,
    step: usize,
    tile: usize,
}

/// Two tiles of rows of a transposed matrix.
#[repr(C, align(64))]
struct Laid([[[f32; LANES]; ROWS]; 2 * STEPS]);

/// Computes a product, including the rows after the last that fill up a tile.
///
/// # Safety
/// The machine has AVX-512 F; the matrices have the extents that the fields say, `a` and `c` having `room` rows.
///
/// # Panics
/// Panics if the machine has no AMX.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn multiply(product: &Product<bf16>) {
    let tiles = Tiles::configure();
    let mut laid = MaybeUninit::<Laid>::uninit();
    for row in (0..product.rows).step_by(2 * ROWS) {
        let two = product.rows - row > ROWS;
        // SAFETY: this function's contract: the rows are inside `a`, the patches inside `c`, and their right operands
        // inside `b`.
        unsafe {
            let left = match product.a_depth {
                2 => {
                    let first = product.a.add(row * product.a_row);
                    Left { first, row: product.a_row, step: STEP, tile: ROWS * product.a_row }
                }
                _ => lay_out(product, row, if two { 2 } else { 1 }, laid.as_mut_ptr()),
            };
            for column in (0..product.columns).step_by(2 * LANES) {
                match (two, product.columns - column > LANES) {
                    (false, false) => patch::<1, 1>(&tiles, product, left, (row, column)),
                    (false, true) => patch::<1, 2>(&tiles, product, left, (row, column)),
                    (true, false) => patch::<2, 1>(&tiles, product, left, (row, column)),
                    (true, true) => patch::<2, 2>(&tiles, product, left, (row, column)),
                }
            }
        }
    }
}

/// Transposes `tiles` tiles of a left matrix's rows, keeping pairs.
///
/// # Safety
/// The machine has AVX-512 F; the tiles are inside `a`, which is transposed.
#[target_feature(enable = "avx512f")]
unsafe fn lay_out(product: &Product<bf16>, row: usize, tiles: usize, laid: *mut Laid) -> Left {
    let to = laid.cast::<f32>();
    let steps = product.depth / (STEP / 2);
    for (tile, step) in (0..tiles).flat_map(|tile| (0..steps).map(move |step| (tile, step))) {
        let from = product.a.wrapping_add(step * (STEP / 2) * product.a_depth + (row + tile * ROWS) * 2);
        // SAFETY: this function's contract; there is room for every step of two tiles.
        unsafe {
            let mut lines = [Avx512::splat(0.0); ROWS];
            for (i, line) in lines.iter_mut().enumerate() {
                *line = Avx512::load(from.add(i * product.a_depth).cast());
            }
            for (i, line) in Avx512::transpose(lines).into_iter().enumerate() {
                line.store(to.add(((tile * steps + step) * ROWS + i) * LANES));
            }
        }
    }
    Left { first: to.cast(), row: STEP, step: ROWS * STEP, tile: steps * ROWS * STEP }
}

/// Computes `P` tiles of rows by `O` of columns.
///
/// # Safety
/// Same as [`multiply`]; the patch is inside `c`, and its left operands are where `left` says.
#[inline(always)]
unsafe fn patch<const P: usize, const O: usize>(
    tiles: &Tiles,
    product: &Product<bf16>,
    left: Left,
    (row, column): (usize, usize),
) {
    let stride = product.columns * size_of::<f32>();
    let sums = |p: usize, o: usize| {
        product.c.wrapping_add((row + p * ROWS) * product.columns + column + o * LANES).cast::<u8>()
    };
    // SAFETY: this function's contract.
    unsafe {
        match product.sums {
            Sums::New => {
                tiles.zero::<0>();
                tiles.zero::<1>();
                tiles.zero::<2>();
                tiles.zero::<3>();
            }
            Sums::Onto => {
                tiles.load::<0>(sums(0, 0), stride);
                if O > 1 {
                    tiles.load::<1>(sums(0, 1), stride);
                }
                if P > 1 {
                    tiles.load::<2>(sums(1, 0), stride);
                }
                if P > 1 && O > 1 {
                    tiles.load::<3>(sums(1, 1), stride);
                }
            }
        }
        for step in 0..product.depth / (STEP / 2) {
            let a = left.first.add(step * left.step);
            let b = product.b.add((step * (STEP / 2) * product.columns + column) * 2);
            let a_stride = left.row * size_of::<bf16>();
            tiles.load::<4>(a.cast(), a_stride);
            tiles.load::<6>(b.cast(), stride);
            tiles.add_product::<0, 4, 6>();
            if O > 1 {
                tiles.load::<7>(b.add(STEP).cast(), stride);
                tiles.add_product::<1, 4, 7>();
            }
            if P > 1 {
                tiles.load::<5>(a.add(left.tile).cast(), a_stride);
                tiles.add_product::<2, 5, 6>();
            }
            if P > 1 && O > 1 {
                tiles.add_product::<3, 5, 7>();
            }
        }
        tiles.store_apart::<0>(sums(0, 0), stride);
        if O > 1 {
            tiles.store_apart::<1>(sums(0, 1), stride);
        }
        if P > 1 {
            tiles.store_apart::<2>(sums(1, 0), stride);
        }
        if P > 1 && O > 1 {
            tiles.store_apart::<3>(sums(1, 1), stride);
        }
    }
}

// A step's columns are whole rows of a register, each a pair of numbers.
const _: () = assert!(LANES * 2 * size_of::<bf16>() == ROW_BYTES && STEP * size_of::<bf16>() == ROW_BYTES);
