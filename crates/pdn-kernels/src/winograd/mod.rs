//! Winograd's convolution F(4x4, 3x3) (Lavin and Gray, CVPR 2016), forward and to the kernel's gradient.
//!
//! A square of 4x4 results needs 144 products for each pair of channels; over squares of 6x6 numbers that are transformed
//! first, 36: `y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. The 36 places are independent, so each is a product of matrices over
//! channels, which is nearly all of the work. The price is rounding: some eight times that of the direct sum, up to 7e-6 of
//! the largest result with 64 inputs and 1.2e-5 with 256.
//!
//! Lanes are channels. Planes are exchanged for pixels with their channels side by side, then a strip of tiles at a time is
//! transformed, multiplied and transformed back, so that it stays in the second cache; the kernel passes through it once
//! for each strip. The gradient of the kernel is the gradient of the same formula: `Gᵀ [Σ (A dy Aᵀ) ⊙ (Bᵀ d B)] G`.

mod few;
mod pixels;
mod product;
mod rows;
mod transform;

use crate::lanes::{self, Kernel, Lanes};
use crate::planar::{PlanarConv, PlanarStore};
use crate::{Isa, LANES};
pub(crate) use few::FewOutputs;
use pixels::{Pixels, cut, with_scratch};
use product::{Product, Sums};
pub(crate) use rows::WinogradRows;
use std::mem::MaybeUninit;
pub(crate) use transform::WinogradKernel;
use transform::{kernel_back, output_back, transform_back, transform_tile};

/// Side of a tile's results.
pub(crate) const STEP: usize = 4;
/// Side of what a tile reads.
const SIDE: usize = 6;
/// Places of a transformed tile.
const PLACES: usize = SIDE * SIDE;
/// Tiles of a strip: twice the rows of the widest product, as much as the second cache holds beside 64 channels' kernel.
const STRIP: usize = 28;

/// A group's tiles.
#[derive(Clone, Copy, Debug)]
struct Tiles {
    images: usize,
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(conv: &PlanarConv) -> Self {
        let PlanarConv { images, height, width, .. } = *conv;
        Self { images, rows: height.div_ceil(STEP), columns: width.div_ceil(STEP) }
    }

    fn count(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// Numbers of [`Pixels`].
    fn room(&self, lanes: usize, edge: usize) -> usize {
        self.images * (self.rows * STEP + 2 * edge) * (self.columns * STEP + 2 * edge) * lanes
    }

    /// The image, row and column of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        (tile / (self.rows * self.columns), tile / self.columns % self.rows, tile % self.columns)
    }
}

/// Convolves a group; lengths were checked by the caller.
pub(crate) fn forward(
    conv: &PlanarConv,
    isa: Isa,
    x: &[f32],
    kernel: &WinogradKernel,
    store: PlanarStore,
    y: &mut [f32],
) {
    let tiles = Tiles::of(conv);
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), kernel.lanes);
    let maps = tiles.room(inputs, 1) + tiles.room(outputs, 0);
    with_scratch(maps + (PLACES * STRIP + 1) * (inputs + outputs), |mut scratch| {
        let scratch = &mut scratch;
        let mut from = Pixels::new(tiles, conv.inputs, 1, scratch);
        from.fill(isa, conv, x);
        let mut to = Pixels::new(tiles, conv.outputs, 0, scratch);
        let bias = cut(scratch, outputs);
        bias.fill(0.0);
        if let Some(given) = store.bias {
            bias[..conv.outputs].copy_from_slice(given);
        }
        let (v, m) = (cut(scratch, PLACES * STRIP * inputs), cut(scratch, PLACES * STRIP * outputs));
        let job = Forward { tiles, from: &from, kernel, bias, relu: store.relu, v, m, to: &mut to };
        // SAFETY: the maps have room for the tiles, the strips for [`STRIP`] tiles, the bias for the outputs' lanes.
        unsafe { lanes::run(isa, job) };
        to.write(isa, conv, y, store.add);
    });
}

/// The gradient of a group's kernel, `[out, in, 3, 3]`; lengths were checked by the caller.
pub(crate) fn kernel_gradient(conv: &PlanarConv, isa: Isa, x: &[f32], dy: &[f32], gradient: &mut [f32]) {
    let tiles = Tiles::of(conv);
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), conv.outputs.next_multiple_of(LANES));
    let maps = tiles.room(inputs, 1) + tiles.room(outputs, 0);
    let pairs = PLACES * conv.inputs * outputs;
    with_scratch(maps + PLACES * STRIP * (inputs + outputs) + pairs, |mut scratch| {
        let scratch = &mut scratch;
        let mut from = Pixels::new(tiles, conv.inputs, 1, scratch);
        from.fill(isa, conv, x);
        let mut back = Pixels::new(tiles, conv.outputs, 0, scratch);
        back.fill(isa, conv, dy);
        let (v, dm) = (cut(scratch, PLACES * STRIP * inputs), cut(scratch, PLACES * STRIP * outputs));
        let du = cut(scratch, pairs);
        du.fill(0.0);
        let job = Gradient { tiles, inputs: conv.inputs, from: &from, back: &back, v, dm, du };
        // SAFETY: the maps have room for the tiles, the strips for [`STRIP`] tiles, dU for every pair of channels.
        unsafe { lanes::run(isa, job) };
        for (output, gradient) in gradient.chunks_exact_mut(conv.inputs * 9).enumerate() {
            for (input, taps) in gradient.chunks_exact_mut(9).enumerate() {
                for (tap, number) in taps.iter_mut().enumerate() {
                    *number = du[(tap * conv.inputs + input) * outputs + output];
                }
            }
        }
    });
}

// The names are the paper's: U, V and M are the kernel, the input and their products, transformed.

struct Forward<'a, 'b> {
    tiles: Tiles,
    from: &'a Pixels<'a>,
    kernel: &'a WinogradKernel,
    bias: &'a [f32],
    relu: bool,
    /// `[place][tile][input]`.
    v: &'a mut [f32],
    /// `[place][tile][output]`.
    m: &'a mut [f32],
    to: &'a mut Pixels<'b>,
}

impl Kernel for Forward<'_, '_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let (inputs, outputs) = (self.from.lanes, self.to.lanes);
        for first in (0..self.tiles.count()).step_by(STRIP) {
            let count = STRIP.min(self.tiles.count() - first);
            // SAFETY: this function's contract: the strip's tiles are the group's, and the buffers have their lengths.
            unsafe {
                transform_strip::<V>(self.tiles, self.from, first, count, self.v);
                for place in 0..PLACES {
                    Product {
                        rows: count,
                        depth: self.kernel.inputs,
                        columns: outputs,
                        a: self.v.as_ptr().add(place * STRIP * inputs),
                        a_row: inputs,
                        a_depth: 1,
                        b: self.kernel.numbers.as_ptr().add(place * self.kernel.inputs * self.kernel.lanes),
                        c: self.m.as_mut_ptr().add(place * STRIP * outputs),
                        sums: Sums::New,
                    }
                    .run::<V>();
                }
                for tile in 0..count {
                    let (image, row, column) = self.tiles.place(first + tile);
                    for block in (0..outputs).step_by(LANES) {
                        let m = self.m.as_ptr().add(tile * outputs + block);
                        let bias = V::load(self.bias.as_ptr().add(block));
                        let results = transform_back::<V>(m, STRIP * outputs);
                        for i in 0..STEP {
                            let to = self.to.at(image, STEP * row + i, STEP * column) + block;
                            let mut y: [V; STEP] = results.row(i);
                            for y in &mut y {
                                *y = y.plus(bias);
                                if self.relu {
                                    *y = y.max(V::splat(0.0));
                                }
                            }
                            store(y, self.to.numbers.as_mut_ptr().add(to), outputs);
                        }
                    }
                }
            }
        }
    }
}

struct Gradient<'a> {
    tiles: Tiles,
    inputs: usize,
    from: &'a Pixels<'a>,
    back: &'a Pixels<'a>,
    /// `[place][tile][input]`.
    v: &'a mut [f32],
    /// `[place][tile][output]`.
    dm: &'a mut [f32],
    /// `[place][input][output]`, zeros at first; the first nine places become the kernel's taps.
    du: &'a mut [f32],
}

impl Kernel for Gradient<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let (inputs, outputs) = (self.from.lanes, self.back.lanes);
        for first in (0..self.tiles.count()).step_by(STRIP) {
            let count = STRIP.min(self.tiles.count() - first);
            // SAFETY: as for `Forward`.
            unsafe {
                transform_strip::<V>(self.tiles, self.from, first, count, self.v);
                for tile in 0..count {
                    let (image, row, column) = self.tiles.place(first + tile);
                    for block in (0..outputs).step_by(LANES) {
                        let mut half = MaybeUninit::<[[f32; LANES]; STEP * SIDE]>::uninit();
                        let half = half.as_mut_ptr().cast::<f32>();
                        for i in 0..STEP {
                            let from = self.back.at(image, STEP * row + i, STEP * column) + block;
                            let numbers: [V; STEP] = load(self.back.numbers.as_ptr().add(from), outputs);
                            store(output_back(numbers), half.add(i * LANES), STEP * LANES);
                        }
                        let to = self.dm.as_mut_ptr().add(tile * outputs + block);
                        for j in 0..SIDE {
                            let places = output_back(load::<V, STEP>(half.add(j * STEP * LANES), LANES));
                            store(places, to.add(j * STRIP * outputs), SIDE * STRIP * outputs);
                        }
                    }
                }
                for place in 0..PLACES {
                    Product {
                        rows: self.inputs,
                        depth: count,
                        columns: outputs,
                        a: self.v.as_ptr().add(place * STRIP * inputs),
                        a_row: 1,
                        a_depth: inputs,
                        b: self.dm.as_ptr().add(place * STRIP * outputs),
                        c: self.du.as_mut_ptr().add(place * self.inputs * outputs),
                        sums: Sums::Onto,
                    }
                    .run::<V>();
                }
            }
        }
        // Gᵀ dU G, where dU stands.
        let place = self.inputs * outputs;
        for pair in (0..place).step_by(LANES) {
            // SAFETY: every place has the pair's lanes.
            unsafe {
                let du = self.du.as_mut_ptr().add(pair);
                let mut half = MaybeUninit::<[[f32; LANES]; SIDE * 3]>::uninit();
                let half = half.as_mut_ptr().cast::<f32>();
                for j in 0..SIDE {
                    let column: [V; SIDE] = load(du.add(j * place), SIDE * place);
                    store(kernel_back(column), half.add(j * LANES), SIDE * LANES);
                }
                for i in 0..3 {
                    let taps = kernel_back(load::<V, SIDE>(half.add(i * SIDE * LANES), LANES));
                    store(taps, du.add(3 * i * place), place);
                }
            }
        }
    }
}

/// Bᵀ d B of a strip's tiles, to `[place][tile][channel]`.
///
/// # Safety
/// The tiles are the map's, and `out` has room for [`STRIP`] of them.
#[inline(always)]
unsafe fn transform_strip<V: Lanes>(tiles: Tiles, from: &Pixels, first: usize, count: usize, out: &mut [f32]) {
    let lanes = from.lanes;
    for tile in 0..count {
        let (image, row, column) = tiles.place(first + tile);
        for block in (0..lanes).step_by(LANES) {
            // SAFETY: this function's contract; a tile reads a pixel more on every side, which the edge has.
            unsafe {
                let mut rows = [from.numbers.as_ptr(); SIDE];
                for (i, rows) in rows.iter_mut().enumerate() {
                    *rows = rows.add(from.at(image, STEP * row + i, STEP * column) + block);
                }
                transform_tile::<V>(rows, lanes, out.as_mut_ptr().add(tile * lanes + block), STRIP * lanes);
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
