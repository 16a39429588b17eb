//! Winograd's convolution F(4x4, 3x3) (Lavin and Gray, CVPR 2016), forward and to the kernel's gradient.
//!
//! A square of 4x4 results needs 144 products for each pair of channels; over squares of 6x6 numbers that are transformed
//! first, 36: `y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. The 36 places are independent, so each is a product of matrices over
//! channels, which is nearly all of the work. The price is rounding: about twice that of the direct sum.
//!
//! Lanes are channels. A strip of tiles at a time is transformed, multiplied and transformed back, so that it stays in the
//! second cache; the kernel passes through it once for each strip. The gradient of the kernel is the gradient of the same
//! formula: `Gᵀ [Σ (A dy Aᵀ) ⊙ (Bᵀ d B)] G`.

mod few;
mod operands;
mod pixels;
mod product;
mod rows;
mod transform;

use crate::lanes::Lanes;
use crate::pixels::{PixelConv, PixelMap, PixelStore};
use crate::{Isa, LANES};
pub(crate) use few::FewOutputs;
pub(crate) use operands::{Number, Singles};
use operands::{OperandKernel, Operands};
use pixels::{Target, View};
pub(crate) use pixels::{cut, with_scratch};
pub(crate) use product::{Product, Sums};
pub(crate) use rows::WinogradRows;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
pub(crate) use transform::WinogradKernel;
use transform::{HalfTile, kernel_back, output_back, transform_back, transform_tiles};

/// Side of a tile's results.
pub(crate) const STEP: usize = 4;
/// Side of what a tile reads.
const SIDE: usize = 6;
/// Places of a transformed tile.
const PLACES: usize = SIDE * SIDE;
/// Room for the tiles of a strip, of every instruction set.
const STRIP: usize = 14;

/// Tiles of a strip that are multiplied by a kernel, each a row of the product: as many as fill registers whole, as few as make
/// up [`STRIP`]. With AVX-512, strips of 28 and 42 took a twentieth longer to train with; with AVX2, 12 are a tenth faster than 14.
const fn strip<V: Lanes>() -> usize {
    STRIP / V::PIXELS * V::PIXELS
}

/// Outputs of one transformed kernel, so that it stays in the second cache beside a strip.
pub(crate) const OUTPUTS: usize = 64;

/// A group's tiles.
#[derive(Clone, Copy, Debug)]
struct Tiles {
    images: usize,
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(conv: &PixelConv) -> Self {
        let PixelConv { images, height, width, .. } = *conv;
        Self { images, rows: height.div_ceil(STEP), columns: width.div_ceil(STEP) }
    }

    fn count(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// The image of a tile, and the row and column of its first pixel.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (row, column) = (tile / self.columns % self.rows, tile % self.columns);
        (tile / (self.rows * self.columns), STEP * row, STEP * column)
    }
}

/// Convolves a group; lengths were checked by the caller.
pub(crate) fn forward<N: Number>(
    conv: &PixelConv,
    isa: Isa,
    x: PixelMap,
    kernels: &[WinogradKernel<N>],
    store: PixelStore,
    y: &mut [f32],
) {
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), conv.outputs.next_multiple_of(LANES));
    with_scratch(PLACES * STRIP * (inputs + OUTPUTS) + outputs, |mut scratch| {
        let scratch = &mut scratch;
        let bias = cut(scratch, outputs);
        bias.fill(0.0);
        if let Some(given) = store.bias {
            store.lay_out(given, bias);
        }
        let (v, m) = (cut(scratch, PLACES * STRIP * inputs), cut(scratch, PLACES * STRIP * OUTPUTS));
        let (from, to) = (View::new(conv, conv.inputs, x), Target::new(conv, store, y));
        // No number is longer than those of the scratch.
        let job = Forward { tiles: Tiles::of(conv), inputs, from, kernels, bias, v: v.as_mut_ptr().cast(), m, to };
        // SAFETY: the maps are the convolution's, the strips have room for [`STRIP`] tiles, the bias for the outputs' lanes.
        unsafe { N::run(isa, job) };
    });
}

/// The gradients of a group's kernel, `[tap][input][output]`, and bias, outputs rounded up to lanes; lengths were checked by
/// the caller.
pub(crate) fn kernel_gradient<N: Number>(
    conv: &PixelConv,
    isa: Isa,
    x: PixelMap,
    dy: PixelMap,
    kernel: &mut [f32],
    bias: &mut [f32],
) {
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), conv.outputs.next_multiple_of(LANES));
    bias.fill(0.0);
    with_scratch(PLACES * (STRIP * (inputs + OUTPUTS) + conv.inputs * OUTPUTS), |mut scratch| {
        let scratch = &mut scratch;
        let (v, dm) = (cut(scratch, PLACES * STRIP * inputs), cut(scratch, PLACES * STRIP * OUTPUTS));
        let du = cut(scratch, PLACES * conv.inputs * OUTPUTS);
        let (from, back) = (View::new(conv, conv.inputs, x), View::new(conv, conv.outputs, dy));
        for first in (0..outputs).step_by(OUTPUTS) {
            let tiles = Tiles::of(conv);
            let block = Block { first, count: OUTPUTS.min(outputs - first), of: outputs };
            // Numbers that are multiplied N at a time are that much shorter than those of the scratch.
            let (v, dm) = (v.as_mut_ptr().cast::<N>(), dm.as_mut_ptr().cast::<N>());
            let job = Gradient { tiles, channels: conv.inputs, inputs, block, from, back, v, dm, du, kernel, bias };
            // SAFETY: the maps are the convolution's, the strips have room for `gradient_strip` tiles, dU for every pair of channels.
            unsafe { N::run(isa, job) };
        }
    });
}

// The names are the paper's: U, V and M are the kernel, the input and their products, transformed.

struct Forward<'a, N> {
    tiles: Tiles,
    /// Rounded up to lanes.
    inputs: usize,
    from: View<'a>,
    /// One for every [`OUTPUTS`].
    kernels: &'a [WinogradKernel<N>],
    bias: &'a [f32],
    /// `[place][tile][input]`.
    v: *mut N,
    /// `[place][tile][output]`, of [`OUTPUTS`] at a time.
    m: &'a mut [f32],
    to: Target<'a>,
}

impl<N: Number> OperandKernel<N> for Forward<'_, N> {
    #[inline(always)]
    unsafe fn go<V: Lanes, O: Operands<V, Number = N>>(mut self) {
        for first in (0..self.tiles.count()).step_by(strip::<V>()) {
            let count = strip::<V>().min(self.tiles.count() - first);
            // SAFETY: this function's contract: the strip's tiles are the group's, and the buffers have their lengths.
            unsafe {
                for tile in 0..count {
                    let place = self.tiles.place(first + tile);
                    for block in (0..self.inputs).step_by(LANES) {
                        let to = self.v.add(tile * self.inputs + block);
                        half_tile::<V>(self.from, place, block).finish::<V, O>(to, STRIP * self.inputs);
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
    /// A strip's results from an output on.
    ///
    /// # Safety
    /// As [`OperandKernel::go`]; the strip was transformed.
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
                    a: self.v.add(place * STRIP * self.inputs),
                    a_row: self.inputs,
                    a_depth: N::AT_ONCE,
                    b: kernel.numbers.as_ptr().add(place * kernel.steps * outputs * N::AT_ONCE),
                    c: self.m.as_mut_ptr().add(place * STRIP * outputs),
                    sums: Sums::New,
                }
                .run::<V, O>();
            }
            for tile in 0..count {
                let (image, row, column) = self.tiles.place(first + tile);
                for block in (0..outputs).step_by(LANES) {
                    let (bias, to) =
                        (V::load(self.bias.as_ptr().add(output + block)), self.to.block(image, output + block));
                    let results = transform_back::<V>(self.m.as_ptr().add(tile * outputs + block), STRIP * outputs);
                    for i in 0..STEP {
                        self.to.write(to, row + i, column, results.row::<V>(i), bias);
                    }
                }
            }
        }
    }
}

/// Outputs that are gone through together: `count` of them from `first` on, of so many, lanes all.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    count: usize,
    of: usize,
}

/// Tiles of a strip of the gradient: of those that are multiplied two at a time twice as many take as much memory.
const fn gradient_strip<N: Number>() -> usize {
    STRIP * N::AT_ONCE
}

struct Gradient<'a, N> {
    tiles: Tiles,
    channels: usize,
    /// The channels rounded up to lanes.
    inputs: usize,
    block: Block,
    from: View<'a>,
    back: View<'a>,
    /// `[place][step][input]`: of each input as many tiles as are multiplied at once stand side by side.
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
        let outputs = self.block.count;
        self.du.fill(0.0);
        for first in (0..self.tiles.count()).step_by(gradient_strip::<N>()) {
            let count = gradient_strip::<N>().min(self.tiles.count() - first);
            let steps = count.div_ceil(N::AT_ONCE);
            // SAFETY: as for `Forward`.
            unsafe {
                for block in (0..self.inputs).step_by(LANES) {
                    self.transform_inputs::<V, O>(first, count, block);
                }
                for block in (0..outputs).step_by(LANES) {
                    self.transform_results::<V, O>(first, count, block);
                }
                for place in 0..PLACES {
                    Product {
                        rows: self.channels,
                        depth: steps,
                        columns: outputs,
                        a: self.v.add(place * gradient_strip::<N>() * self.inputs),
                        a_row: N::AT_ONCE,
                        a_depth: self.inputs * N::AT_ONCE,
                        b: self.dm.add(place * gradient_strip::<N>() * outputs),
                        c: self.du.as_mut_ptr().add(place * self.channels * outputs),
                        sums: Sums::Onto,
                    }
                    .run::<V, O>();
                }
            }
        }
        // SAFETY: as above.
        unsafe { self.transform_kernel::<V>() }
    }
}

impl<N: Number> Gradient<'_, N> {
    /// Bᵀ d B of a block of a strip's tiles.
    ///
    /// # Safety
    /// As [`OperandKernel::go`]; the tiles are the group's, at most [`gradient_strip`], and the block is the map's.
    #[inline(always)]
    unsafe fn transform_inputs<V: Lanes, O: Operands<V, Number = N>>(
        &mut self,
        first: usize,
        count: usize,
        block: usize,
    ) {
        let mut steps = Steps::<N>::new(self.inputs);
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

    /// A dy Aᵀ of a block of a strip's tiles; dy is added to the bias's gradient.
    ///
    /// # Safety
    /// As [`Self::transform_inputs`].
    #[inline(always)]
    unsafe fn transform_results<V: Lanes, O: Operands<V, Number = N>>(
        &mut self,
        first: usize,
        count: usize,
        block: usize,
    ) {
        let mut steps = Steps::<N>::new(self.block.count);
        // SAFETY: this function's contract; `dm` has room for the tiles at every place.
        unsafe {
            let to = self.dm.add(block * N::AT_ONCE);
            let bias = self.bias.as_mut_ptr().add(self.block.first + block);
            let mut sum = V::load(bias);
            for tile in 0..count {
                let (image, row, column) = self.tiles.place(first + tile);
                let from = self.back.block(image, self.block.first + block);
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

    /// Gᵀ dU G.
    ///
    /// # Safety
    /// As [`OperandKernel::go`].
    #[inline(always)]
    unsafe fn transform_kernel<V: Lanes>(&mut self) {
        let Block { first, count, of } = self.block;
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

/// A block of a tile, given by its image, row and column, with its rows transformed.
///
/// # Safety
/// The tile and the block are the map's.
#[inline(always)]
unsafe fn half_tile<V: Lanes>(from: View, (image, row, column): (usize, usize, usize), block: usize) -> HalfTile {
    let (mut half, block) = (HalfTile::new(), from.block(image, block));
    for i in 0..SIDE {
        // SAFETY: this function's contract.
        unsafe { half.put::<V>(i, from.row(block, (row + i) as isize - 1, column as isize - 1)) }
    }
    half
}

/// A block's transformed tiles on their way to where they are multiplied: those that are at once stand side by side there.
struct Steps<N> {
    /// Those that wait for others.
    tiles: MaybeUninit<[[[f32; LANES]; PLACES]; 2]>,
    channels: usize,
    of: PhantomData<N>,
}

impl<N: Number> Steps<N> {
    /// From one place of a strip to the next.
    const fn place(&self) -> usize {
        gradient_strip::<N>() * self.channels
    }

    /// For so many channels, lanes all.
    #[inline(always)]
    fn new(channels: usize) -> Self {
        const { assert!(N::AT_ONCE <= 2) };
        Self { tiles: MaybeUninit::uninit(), channels, of: PhantomData }
    }

    /// Where a tile's places are to be written, and how far apart: where it is multiplied, or where it waits for another.
    ///
    /// # Safety
    /// The strip from `to` on has room for the tile.
    #[inline(always)]
    unsafe fn room(&mut self, tile: usize, to: *mut N) -> (*mut f32, usize) {
        // SAFETY: this function's contract; what is multiplied one by one is f32, and of two tiles there is room for either.
        unsafe {
            match N::AT_ONCE {
                1 => (to.add(tile * self.channels).cast(), self.place()),
                _ => (self.tiles.as_mut_ptr().cast::<f32>().add(tile % 2 * PLACES * LANES), LANES),
            }
        }
    }

    /// Takes a tile for which there was [`Self::room`], and stores two that are multiplied at once.
    ///
    /// # Safety
    /// As for [`Lanes`], and as [`Self::room`]; it was written, and so was the one before.
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

    /// Stores the last of `count` tiles where it waits for another, with zeros beside it.
    ///
    /// # Safety
    /// As [`Self::done`].
    #[inline(always)]
    unsafe fn end<V: Lanes, O: Operands<V, Number = N>>(&mut self, count: usize, to: *mut N) {
        if N::AT_ONCE == 2 && !count.is_multiple_of(2) {
            // SAFETY: this function's contract; the tile that is not there has its room as any other.
            unsafe {
                let (room, _) = self.room(count, to);
                room.write_bytes(0, PLACES * LANES);
                self.done::<V, O>(count, to);
            }
        }
    }
}

// Loops instead of closures below and above: what is called from a closure is compiled without the instruction set.

/// Vectors a stride apart.
///
/// # Safety
/// As for [`Lanes`]; `N` vectors may be read.
#[inline(always)]
unsafe fn load<V: Lanes, const N: usize>(from: *const f32, stride: usize) -> [V; N] {
    // SAFETY: this function's contract.
    unsafe {
        let mut vectors = [V::splat(0.0); N];
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = V::load(from.add(i * stride));
        }
        vectors
    }
}

/// Writes vectors a stride apart.
///
/// # Safety
/// As for [`Lanes`]; `N` vectors may be written.
#[inline(always)]
unsafe fn store<V: Lanes, const N: usize>(vectors: [V; N], to: *mut f32, stride: usize) {
    for (i, vector) in vectors.iter().enumerate() {
        // SAFETY: this function's contract.
        unsafe { vector.store(to.add(i * stride)) }
    }
}
