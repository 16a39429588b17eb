//! Winograd convolution of maps in NHWC order.
//!
//! Lanes are channels. One strip of tiles at a time is transformed, multiplied and transformed back, so that it stays
//! in the L2 cache; the kernel passes through the cache once per strip.

use super::shape::{PixelConv, PixelMap, PixelStore};
use super::view::{Target, View};
use crate::conv::winograd::operands::{Number, OperandKernel, Operands};
use crate::conv::winograd::tile::{OUTPUTS, PLACES, SIDE, STEP, TILED};
use crate::conv::winograd::transform::{HalfTile, WinogradKernel, transform_back};
use crate::conv::winograd::{Product, Sums};
use crate::lanes::Lanes;
use crate::scratch::{cut, with_scratch};
use crate::{Isa, LANES};

/// The tiles of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    images: usize,
    rows: usize,
    columns: usize,
}

impl Tiles {
    pub(super) fn of(conv: &PixelConv) -> Self {
        let PixelConv { images, height, width, .. } = *conv;
        Self { images, rows: height.div_ceil(STEP), columns: width.div_ceil(STEP) }
    }

    pub(super) fn count(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// Returns the image of a tile, and the row and column of its first pixel.
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (row, column) = (tile / self.columns % self.rows, tile % self.columns);
        (tile / (self.rows * self.columns), STEP * row, STEP * column)
    }
}

/// Convolves a group. The caller has checked the lengths.
pub(super) fn forward<N: Number>(
    conv: &PixelConv,
    isa: Isa,
    x: PixelMap,
    kernels: &[WinogradKernel<N>],
    store: PixelStore,
    y: &mut [f32],
) {
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), conv.outputs.next_multiple_of(LANES));
    with_scratch(PLACES * (TILED + 1) * (inputs + OUTPUTS) + outputs, |mut scratch| {
        let scratch = &mut scratch;
        let bias = cut(scratch, outputs);
        bias.fill(0.0);
        if let Some(given) = store.bias {
            store.lay_out(given, bias);
        }
        let room = PLACES * (TILED + 1);
        let (v, m) = (cut(scratch, room * inputs), cut(scratch, room * OUTPUTS));
        let (from, to) = (View::new(conv, conv.inputs, x), Target::new(conv, store, y));
        // No number type is longer than that of the scratch.
        let job = Forward { tiles: Tiles::of(conv), inputs, from, kernels, bias, v: v.as_mut_ptr().cast(), m, to };
        // SAFETY: the maps are the convolution's, the strips have room for any tiles, the bias for the outputs' lanes.
        unsafe { N::run(isa, job) };
    });
}

// The names are the paper's: U, V and M are the kernel, the input and their products, transformed.

struct Forward<'a, N> {
    tiles: Tiles,
    /// The inputs, rounded up to lanes.
    inputs: usize,
    from: View<'a>,
    /// One per [`OUTPUTS`] outputs.
    kernels: &'a [WinogradKernel<N>],
    bias: &'a [f32],
    /// `[place][tile][input]`.
    v: *mut N,
    /// `[place][tile][output]`, for [`OUTPUTS`] outputs at a time.
    m: &'a mut [f32],
    to: Target<'a>,
}

impl<N: Number> OperandKernel<N> for Forward<'_, N> {
    #[inline(always)]
    unsafe fn go<V: Lanes, O: Operands<V, Number = N>>(mut self) {
        for first in (0..self.tiles.count()).step_by(O::STRIP) {
            let count = O::STRIP.min(self.tiles.count() - first);
            // SAFETY: this function's contract: the strip's tiles are the group's, and the buffers have their lengths.
            unsafe {
                for tile in 0..count {
                    let place = self.tiles.place(first + tile);
                    for block in (0..self.inputs).step_by(LANES) {
                        let to = self.v.add(tile * self.inputs + block);
                        half_tile::<V>(self.from, place, block).finish::<V, O>(to, O::ROOM * self.inputs);
                    }
                }
                for (at, kernel) in self.kernels.iter().enumerate() {
                    self.outputs::<V, O>(first, count, kernel, at * OUTPUTS);
                }
            }
        }
    }
}

impl<N: Number> Forward<'_, N> {
    /// Computes a strip's results from an output on.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`]; the strip was transformed.
    #[inline(always)]
    unsafe fn outputs<V: Lanes, O: Operands<V, Number = N>>(
        &mut self,
        first: usize,
        count: usize,
        kernel: &WinogradKernel<N>,
        output: usize,
    ) {
        let outputs = kernel.lanes;
        // SAFETY: this function's contract.
        unsafe {
            for place in 0..PLACES {
                Product {
                    rows: count,
                    depth: kernel.steps,
                    columns: outputs,
                    a: self.v.add(place * O::ROOM * self.inputs),
                    a_row: self.inputs,
                    a_depth: N::AT_ONCE,
                    b: kernel.numbers.as_ptr().add(place * kernel.steps * outputs * N::AT_ONCE),
                    c: self.m.as_mut_ptr().add(place * O::ROOM * outputs),
                    sums: Sums::New,
                    room: O::ROOM,
                }
                .run::<V, O>();
            }
            for tile in 0..count {
                let (image, row, column) = self.tiles.place(first + tile);
                for block in (0..outputs).step_by(LANES) {
                    let (bias, to) =
                        (V::load(self.bias.as_ptr().add(output + block)), self.to.block(image, output + block));
                    let results = transform_back::<V>(self.m.as_ptr().add(tile * outputs + block), O::ROOM * outputs);
                    for i in 0..STEP {
                        self.to.write(to, row + i, column, results.row::<V>(i), bias);
                    }
                }
            }
        }
    }
}

/// Returns a block of a tile, given by its image, row and column, with its rows transformed.
///
/// # Safety
/// The tile and the block are the map's.
#[inline(always)]
pub(super) unsafe fn half_tile<V: Lanes>(
    from: View,
    (image, row, column): (usize, usize, usize),
    block: usize,
) -> HalfTile {
    let (mut half, block) = (HalfTile::new(), from.block(image, block));
    for i in 0..SIDE {
        // SAFETY: this function's contract.
        unsafe { half.put::<V>(i, from.row(block, (row + i) as isize - 1, column as isize - 1)) }
    }
    half
}
