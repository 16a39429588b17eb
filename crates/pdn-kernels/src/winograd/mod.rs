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

use crate::lanes::{self, Kernel, Lanes};
use crate::pixels::{PixelConv, PixelMap, PixelStore};
use crate::{Isa, LANES};
pub(crate) use few::FewOutputs;
pub(crate) use operands::Singles;
use pixels::{Target, View};
pub(crate) use pixels::{cut, with_scratch};
pub(crate) use product::{Product, Sums};
pub(crate) use rows::WinogradRows;
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
pub(crate) fn forward(
    conv: &PixelConv,
    isa: Isa,
    x: PixelMap,
    kernels: &[WinogradKernel],
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
        let job = Forward { tiles: Tiles::of(conv), inputs, from, kernels, bias, v, m, to };
        // SAFETY: the maps are the convolution's, the strips have room for [`STRIP`] tiles, the bias for the outputs' lanes.
        unsafe { lanes::run(isa, job) };
    });
}

/// The gradients of a group's kernel, `[tap][input][output]`, and bias, outputs rounded up to lanes; lengths were checked by
/// the caller.
pub(crate) fn kernel_gradient(
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
            let job = Gradient { tiles, channels: conv.inputs, inputs, block, from, back, v, dm, du, kernel, bias };
            // SAFETY: the maps are the convolution's, the strips have room for [`STRIP`] tiles, dU for every pair of channels.
            unsafe { lanes::run(isa, job) };
        }
    });
}

// The names are the paper's: U, V and M are the kernel, the input and their products, transformed.

struct Forward<'a> {
    tiles: Tiles,
    /// Rounded up to lanes.
    inputs: usize,
    from: View<'a>,
    /// One for every [`OUTPUTS`].
    kernels: &'a [WinogradKernel],
    bias: &'a [f32],
    /// `[place][tile][input]`.
    v: &'a mut [f32],
    /// `[place][tile][output]`, of [`OUTPUTS`] at a time.
    m: &'a mut [f32],
    to: Target<'a>,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        for first in (0..self.tiles.count()).step_by(strip::<V>()) {
            let count = strip::<V>().min(self.tiles.count() - first);
            // SAFETY: this function's contract: the strip's tiles are the group's, and the buffers have their lengths.
            unsafe {
                transform_strip::<V>(self.tiles, self.from, self.inputs, first, count, self.v);
                for (at, kernel) in self.kernels.iter().enumerate() {
                    self.outputs::<V>(first, count, kernel, at * OUTPUTS);
                }
            }
        }
    }
}

impl Forward<'_> {
    /// A strip's results from an output on.
    ///
    /// # Safety
    /// As [`Kernel::run`]; the strip was transformed.
    #[inline(always)]
    unsafe fn outputs<V: Lanes>(&mut self, first: usize, count: usize, kernel: &WinogradKernel, output: usize) {
        let outputs = kernel.lanes;
        // SAFETY: this function's contract.
        unsafe {
            for place in 0..PLACES {
                Product {
                    rows: count,
                    depth: kernel.steps,
                    columns: outputs,
                    a: self.v.as_ptr().add(place * STRIP * self.inputs),
                    a_row: self.inputs,
                    a_depth: 1,
                    b: kernel.numbers.as_ptr().add(place * kernel.steps * outputs),
                    c: self.m.as_mut_ptr().add(place * STRIP * outputs),
                    sums: Sums::New,
                }
                .run::<V, Singles>();
            }
            for tile in 0..count {
                let (image, row, column) = self.tiles.place(first + tile);
                for block in (0..outputs).step_by(LANES) {
                    let bias = V::load(self.bias.as_ptr().add(output + block));
                    let results = transform_back::<V>(self.m.as_ptr().add(tile * outputs + block), STRIP * outputs);
                    for i in 0..STEP {
                        self.to.write(image, row + i, column, output + block, results.row::<V>(i), bias);
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

struct Gradient<'a> {
    tiles: Tiles,
    channels: usize,
    /// The channels rounded up to lanes.
    inputs: usize,
    block: Block,
    from: View<'a>,
    back: View<'a>,
    /// `[place][tile][input]`.
    v: &'a mut [f32],
    /// `[place][tile][output]`.
    dm: &'a mut [f32],
    /// `[place][input][output]`.
    du: &'a mut [f32],
    /// `[tap][input][output]`.
    kernel: &'a mut [f32],
    bias: &'a mut [f32],
}

impl Kernel for Gradient<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let outputs = self.block.count;
        self.du.fill(0.0);
        for first in (0..self.tiles.count()).step_by(STRIP) {
            let count = STRIP.min(self.tiles.count() - first);
            // SAFETY: as for `Forward`.
            unsafe {
                transform_strip::<V>(self.tiles, self.from, self.inputs, first, count, self.v);
                self.transform_results::<V>(first, count);
                for place in 0..PLACES {
                    Product {
                        rows: self.channels,
                        depth: count,
                        columns: outputs,
                        a: self.v.as_ptr().add(place * STRIP * self.inputs),
                        a_row: 1,
                        a_depth: self.inputs,
                        b: self.dm.as_ptr().add(place * STRIP * outputs),
                        c: self.du.as_mut_ptr().add(place * self.channels * outputs),
                        sums: Sums::Onto,
                    }
                    .run::<V, Singles>();
                }
            }
        }
        // SAFETY: as above.
        unsafe { self.transform_kernel::<V>() }
    }
}

impl Gradient<'_> {
    /// A dy Aᵀ of a strip's tiles; dy is added to the bias's gradient.
    ///
    /// # Safety
    /// As [`Kernel::run`]; the tiles are the group's, at most [`STRIP`].
    #[inline(always)]
    unsafe fn transform_results<V: Lanes>(&mut self, first: usize, count: usize) {
        let outputs = self.block.count;
        for block in (0..outputs).step_by(LANES) {
            // SAFETY: this function's contract.
            unsafe {
                let bias = self.bias.as_mut_ptr().add(self.block.first + block);
                let mut sum = V::load(bias);
                for tile in 0..count {
                    let (image, row, column) = self.tiles.place(first + tile);
                    let mut half = MaybeUninit::<[[f32; LANES]; STEP * SIDE]>::uninit();
                    let half = half.as_mut_ptr().cast::<f32>();
                    for i in 0..STEP {
                        let (row, column) = ((row + i) as isize, column as isize);
                        let pixels: [V; STEP] = self.back.row(image, row, column, self.block.first + block);
                        sum = sum.plus(pixels[0].plus(pixels[1]).plus(pixels[2].plus(pixels[3])));
                        store(output_back(pixels), half.add(i * LANES), STEP * LANES);
                    }
                    let to = self.dm.as_mut_ptr().add(tile * outputs + block);
                    for j in 0..SIDE {
                        let places = output_back(load::<V, STEP>(half.add(j * STEP * LANES), LANES));
                        store(places, to.add(j * STRIP * outputs), SIDE * STRIP * outputs);
                    }
                }
                sum.store(bias);
            }
        }
    }

    /// Gᵀ dU G.
    ///
    /// # Safety
    /// As [`Kernel::run`].
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

/// Bᵀ d B of a strip's tiles, to `[place][tile][channel]`.
///
/// # Safety
/// The tiles are the map's, and `out` has room for [`STRIP`] of them, `lanes` channels each.
#[inline(always)]
unsafe fn transform_strip<V: Lanes>(
    tiles: Tiles,
    from: View,
    lanes: usize,
    first: usize,
    count: usize,
    out: &mut [f32],
) {
    for tile in 0..count {
        let (image, row, column) = tiles.place(first + tile);
        for block in (0..lanes).step_by(LANES) {
            // SAFETY: this function's contract.
            unsafe {
                let mut half = HalfTile::new();
                for i in 0..SIDE {
                    let (row, column) = ((row + i) as isize - 1, column as isize - 1);
                    half.put::<V>(i, from.row(image, row, column, block));
                }
                half.finish::<V>(out.as_mut_ptr().add(tile * lanes + block), STRIP * lanes);
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
