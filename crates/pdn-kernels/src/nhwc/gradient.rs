//! The gradient of the kernel by Winograd's formula: `Gᵀ [Σ (A dy Aᵀ) ⊙ (Bᵀ d B)] G`.
//!
//! The sum runs over tiles, so tiles are multiplied one by one, or in pairs.

use super::shape::{PixelConv, PixelMap};
use super::view::View;
use super::winograd::{Tiles, half_tile};
use crate::conv::winograd::operands::{Number, OperandKernel, Operands, Singles};
use crate::conv::winograd::tile::{OUTPUTS, PLACES, SIDE, STEP, TILED, load, store};
use crate::conv::winograd::transform::{kernel_back, output_back};
use crate::conv::winograd::{Product, Sums};
use crate::lanes::Lanes;
use crate::scratch::{cut, with_scratch};
use crate::{Isa, LANES};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Computes the gradients of a group's kernel, `[tap][input][output]`, and bias, with outputs rounded up to lanes. The
/// caller has checked the lengths.
pub(super) fn kernel_gradient<N: Number>(
    conv: &PixelConv,
    isa: Isa,
    x: PixelMap,
    dy: PixelMap,
    kernel: &mut [f32],
    bias: &mut [f32],
) {
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), conv.outputs.next_multiple_of(LANES));
    bias.fill(0.0);
    with_scratch(PLACES * (ROOM * (inputs + OUTPUTS) + conv.inputs * OUTPUTS), |mut scratch| {
        let scratch = &mut scratch;
        let (v, dm) = (cut(scratch, PLACES * ROOM * inputs), cut(scratch, PLACES * ROOM * OUTPUTS));
        let du = cut(scratch, PLACES * conv.inputs * OUTPUTS);
        let (from, back) = (View::new(conv, conv.inputs, x), View::new(conv, conv.outputs, dy));
        for first in (0..outputs).step_by(OUTPUTS) {
            let tiles = Tiles::of(conv);
            let part = Part { first, count: OUTPUTS.min(outputs - first), of: outputs };
            let (v, dm) = (v.as_mut_ptr().cast::<N>(), dm.as_mut_ptr().cast::<N>());
            let job = Gradient { tiles, channels: conv.inputs, inputs, part, from, back, v, dm, du, kernel, bias };
            // SAFETY: the maps are the convolution's, the strips have room for any tiles, dU for every pair of
            // channels.
            unsafe { N::run(isa, job) };
        }
    });
}

/// Outputs that are computed together: `count` from `first` on, out of the total `of`, all rounded up to lanes.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    count: usize,
    of: usize,
}

/// Room for the tiles of a strip, for any operands, in float32 numbers per channel.
const ROOM: usize = TILED + 1;

struct Gradient<'a, N> {
    tiles: Tiles,
    channels: usize,
    /// The channels, rounded up to lanes.
    inputs: usize,
    part: Part,
    from: View<'a>,
    back: View<'a>,
    /// `[place][step][input]`: for each input, the tiles that are multiplied at once are adjacent.
    v: *mut N,
    /// `[place][step][output]`, likewise.
    dm: *mut N,
    /// `[place][input][output]`.
    du: &'a mut [f32],
    /// `[tap][input][output]`.
    kernel: &'a mut [f32],
    bias: &'a mut [f32],
}

impl<N: Number> OperandKernel<N> for Gradient<'_, N> {
    #[inline(always)]
    unsafe fn go<V: Lanes, O: Operands<V, Number = N>>(mut self) {
        let outputs = self.part.count;
        self.du.fill(0.0);
        const { assert!(O::GRADIENT_ROOM * size_of::<N>() <= ROOM * size_of::<f32>()) };
        for first in (0..self.tiles.count()).step_by(O::GRADIENT_STRIP) {
            let count = O::GRADIENT_STRIP.min(self.tiles.count() - first);
            let steps = count.div_ceil(N::AT_ONCE).next_multiple_of(O::GRADIENT_STEPS);
            // SAFETY: same as for `Forward`.
            unsafe {
                for block in (0..self.inputs).step_by(LANES) {
                    self.transform_inputs::<V, O>(first, count, block);
                }
                for block in (0..outputs).step_by(LANES) {
                    self.transform_results::<V, O>(first, count, block);
                }
                self.fill_up::<V, O>(count.div_ceil(N::AT_ONCE)..steps);
                for place in 0..PLACES {
                    Product {
                        rows: self.channels,
                        depth: steps,
                        columns: outputs,
                        a: self.v.add(place * O::GRADIENT_ROOM * self.inputs),
                        a_row: N::AT_ONCE,
                        a_depth: self.inputs * N::AT_ONCE,
                        b: self.dm.add(place * O::GRADIENT_ROOM * outputs),
                        c: self.du.as_mut_ptr().add(place * self.channels * outputs),
                        sums: Sums::Onto,
                        room: self.channels,
                    }
                    .run::<V, O>();
                }
            }
        }
        // SAFETY: same as above.
        unsafe { self.transform_kernel::<V>() }
    }
}

impl<N: Number> Gradient<'_, N> {
    /// Clears the steps that complete a strip.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`]; the strip has room for the steps.
    #[inline(always)]
    unsafe fn fill_up<V: Lanes, O: Operands<V, Number = N>>(&mut self, steps: Range<usize>) {
        for (to, channels) in [(self.v, self.inputs), (self.dm, self.part.count)] {
            let step = channels * N::AT_ONCE;
            for place in 0..PLACES {
                // SAFETY: this function's contract; zeros of either number type are zero bytes.
                unsafe {
                    let to = to.add(place * O::GRADIENT_ROOM * channels + steps.start * step);
                    to.write_bytes(0, steps.len() * step);
                }
            }
        }
    }

    /// Computes Bᵀ d B for a block of a strip's tiles.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`]; the tiles are the group's, at most a strip, and the block is the map's.
    #[inline(always)]
    unsafe fn transform_inputs<V: Lanes, O: Operands<V, Number = N>>(
        &mut self,
        first: usize,
        count: usize,
        block: usize,
    ) {
        let mut steps = Steps::<N>::new(self.inputs, O::GRADIENT_ROOM);
        // SAFETY: this function's contract; `v` has room for the tiles at every place.
        unsafe {
            let to = self.v.add(block * N::AT_ONCE);
            for tile in 0..count {
                let (room, place) = steps.room(tile, to);
                half_tile::<V>(self.from, self.tiles.place(first + tile), block).finish::<V, Singles>(room, place);
                steps.done::<V, O>(tile, to);
            }
            steps.end::<V, O>(count, to);
        }
    }

    /// Computes A dy Aᵀ for a block of a strip's tiles, and adds dy to the bias's gradient.
    ///
    /// # Safety
    /// Same as [`Self::transform_inputs`].
    #[inline(always)]
    unsafe fn transform_results<V: Lanes, O: Operands<V, Number = N>>(
        &mut self,
        first: usize,
        count: usize,
        block: usize,
    ) {
        let mut steps = Steps::<N>::new(self.part.count, O::GRADIENT_ROOM);
        // SAFETY: this function's contract; `dm` has room for the tiles at every place.
        unsafe {
            let to = self.dm.add(block * N::AT_ONCE);
            let bias = self.bias.as_mut_ptr().add(self.part.first + block);
            let mut sum = V::load(bias);
            for tile in 0..count {
                let (image, row, column) = self.tiles.place(first + tile);
                let from = self.back.block(image, self.part.first + block);
                let mut half = MaybeUninit::<[[f32; LANES]; STEP * SIDE]>::uninit();
                let half = half.as_mut_ptr().cast::<f32>();
                for i in 0..STEP {
                    let (row, column) = ((row + i) as isize, column as isize);
                    let pixels: [V; STEP] = self.back.row(from, row, column);
                    sum = sum.plus(pixels[0].plus(pixels[1]).plus(pixels[2].plus(pixels[3])));
                    store(output_back(pixels), half.add(i * LANES), STEP * LANES);
                }
                let (room, place) = steps.room(tile, to);
                for j in 0..SIDE {
                    let places = output_back(load::<V, STEP>(half.add(j * STEP * LANES), LANES));
                    store(places, room.add(j * place), SIDE * place);
                }
                steps.done::<V, O>(tile, to);
            }
            steps.end::<V, O>(count, to);
            sum.store(bias);
        }
    }

    /// Computes Gᵀ dU G.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`].
    #[inline(always)]
    unsafe fn transform_kernel<V: Lanes>(&mut self) {
        let Part { first, count, of } = self.part;
        for input in 0..self.channels {
            for block in (0..count).step_by(LANES) {
                // SAFETY: every place has the pair's lanes, and so has every tap.
                unsafe {
                    let du = self.du.as_ptr().add(input * count + block);
                    let mut half = MaybeUninit::<[[f32; LANES]; SIDE * 3]>::uninit();
                    let half = half.as_mut_ptr().cast::<f32>();
                    let place = self.channels * count;
                    for j in 0..SIDE {
                        let column: [V; SIDE] = load(du.add(j * place), SIDE * place);
                        store(kernel_back(column), half.add(j * LANES), SIDE * LANES);
                    }
                    let to = self.kernel.as_mut_ptr().add(input * of + first + block);
                    for i in 0..3 {
                        let taps = kernel_back(load::<V, SIDE>(half.add(i * SIDE * LANES), LANES));
                        store(taps, to.add(3 * i * self.channels * of), self.channels * of);
                    }
                }
            }
        }
    }
}

/// A block's transformed tiles on their way to the products: those that are multiplied at once are stored together.
struct Steps<N> {
    /// Tiles that wait for others.
    tiles: MaybeUninit<[[[f32; LANES]; PLACES]; 2]>,
    channels: usize,
    /// Tiles that a strip has room for.
    tiles_room: usize,
    of: PhantomData<N>,
}

impl<N: Number> Steps<N> {
    /// Returns the stride between places of a strip.
    const fn place(&self) -> usize {
        self.tiles_room * self.channels
    }

    /// Creates the steps for this many channels, all in lanes.
    #[inline(always)]
    fn new(channels: usize, tiles_room: usize) -> Self {
        const { assert!(N::AT_ONCE <= 2) };
        Self { tiles: MaybeUninit::uninit(), channels, tiles_room, of: PhantomData }
    }

    /// Returns where to write a tile's places, and their stride: where the tile is multiplied, or where it waits for
    /// another.
    ///
    /// # Safety
    /// The strip from `to` on has room for the tile.
    #[inline(always)]
    unsafe fn room(&mut self, tile: usize, to: *mut N) -> (*mut f32, usize) {
        // SAFETY: this function's contract; tiles multiplied one by one are f32, and there is room for either of two
        // tiles.
        unsafe {
            match N::AT_ONCE {
                1 => (to.add(tile * self.channels).cast(), self.place()),
                _ => (self.tiles.as_mut_ptr().cast::<f32>().add(tile % 2 * PLACES * LANES), LANES),
            }
        }
    }

    /// Accepts a tile written to [`Self::room`], and stores two that are multiplied at once.
    ///
    /// # Safety
    /// Same as for [`Lanes`], and as [`Self::room`]; the tile was written, and so was the one before.
    #[inline(always)]
    unsafe fn done<V: Lanes, O: Operands<V, Number = N>>(&mut self, tile: usize, to: *mut N) {
        if N::AT_ONCE == 1 || tile.is_multiple_of(2) {
            return;
        }
        // SAFETY: this function's contract.
        unsafe {
            let (tiles, to) = (self.tiles.as_ptr().cast::<f32>(), to.add(tile / 2 * self.channels * 2));
            for at in 0..PLACES {
                let first = tiles.add(at * LANES);
                O::store_beside([first, first.add(PLACES * LANES)], to.add(at * self.place()));
            }
        }
    }

    /// Stores the last of `count` tiles if it waits for another, with zeros as the other.
    ///
    /// # Safety
    /// Same as [`Self::done`].
    #[inline(always)]
    unsafe fn end<V: Lanes, O: Operands<V, Number = N>>(&mut self, count: usize, to: *mut N) {
        if N::AT_ONCE == 2 && !count.is_multiple_of(2) {
            // SAFETY: this function's contract; the missing tile has room like any other.
            unsafe {
                let (room, _) = self.room(count, to);
                room.write_bytes(0, PLACES * LANES);
                self.done::<V, O>(count, to);
            }
        }
    }
}
