//! The product of two matrices of bf16 numbers by tiles, as Winograd's convolution of whole maps takes one at each place.

use super::depth::STEP;
use super::tile::{ROW_BYTES, ROWS, Tiles};
use crate::LANES;
use crate::winograd::{Product, Sums};
use half::bf16;

/// Whether a product can be taken by tiles: they read 32 numbers of a row at once, and 16 rows whether they are there or not.
pub(crate) fn can(product: &Product<bf16>) -> bool {
    product.a_depth == 2
        && product.depth.is_multiple_of(STEP / 2)
        && product.room >= product.rows.next_multiple_of(ROWS)
        && super::tile::is_available()
}

/// Takes a product, also of the rows behind the last that fill a tile up.
///
/// # Safety
/// The matrices have the extents that the fields say, `a` and `c` having `room` rows.
///
/// # Panics
/// When the machine has no AMX.
pub(crate) unsafe fn multiply(product: &Product<bf16>) {
    let tiles = Tiles::configure();
    for row in (0..product.rows).step_by(2 * ROWS) {
        for column in (0..product.columns).step_by(2 * LANES) {
            // SAFETY: this function's contract: the patch is inside `c`, and what it is the product of inside `a` and `b`.
            unsafe {
                match (product.rows - row > ROWS, product.columns - column > LANES) {
                    (false, false) => patch::<1, 1>(&tiles, product, row, column),
                    (false, true) => patch::<1, 2>(&tiles, product, row, column),
                    (true, false) => patch::<2, 1>(&tiles, product, row, column),
                    (true, true) => patch::<2, 2>(&tiles, product, row, column),
                }
            }
        }
    }
}

/// `P` tiles of rows by `O` of columns.
///
/// # Safety
/// As [`multiply`]; the patch is inside `c`.
#[inline(always)]
unsafe fn patch<const P: usize, const O: usize>(tiles: &Tiles, product: &Product<bf16>, row: usize, column: usize) {
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
            let a = product.a.add(row * product.a_row + step * STEP);
            let b = product.b.add((step * (STEP / 2) * product.columns + column) * 2);
            let a_stride = product.a_row * size_of::<bf16>();
            tiles.load::<4>(a.cast(), a_stride);
            tiles.load::<6>(b.cast(), stride);
            tiles.add_product::<0, 4, 6>();
            if O > 1 {
                tiles.load::<7>(b.add(STEP).cast(), stride);
                tiles.add_product::<1, 4, 7>();
            }
            if P > 1 {
                tiles.load::<5>(a.add(ROWS * product.a_row).cast(), a_stride);
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
