//! A 3x3 convolution to five outputs or fewer, such as every network's last: F(4, 3) along rows alone.
//!
//! Most lanes would be empty, so the kernel's three columns share them, in lane `kx * outputs + output`, and are added
//! afterwards. The transform of rows then saves half the products: six places give four rows' sums over inputs and
//! columns, where direct convolution takes twelve. No pixel depends on its neighbours in the row.

use super::operands::{Channels, Number, OperandKernel, Operands};
use super::tile::{SIDE, STEP, load, store};
use super::transform::{input, kernel_side, output};
use crate::conv::shape::ConvShape;
use crate::conv::store::Writer;
use crate::lanes::Lanes;
use crate::scratch::with_scratch;
use crate::{Aligned, Input, Isa, LANES};
use std::mem::MaybeUninit;

/// The most pixels in a tile.
const PIXELS: usize = 14;

/// A kernel and bias, transformed along rows.
#[derive(Clone, Debug)]
pub(crate) struct FewOutputs<N = f32> {
    shape: ConvShape,
    /// `[place][input][16]`, with the inputs that are multiplied at once adjacent.
    kernel: Aligned<N>,
    bias: [f32; LANES],
    /// 1 in the lanes that are outputs, 0 elsewhere.
    lanes: [f32; LANES],
}

impl FewOutputs {
    /// Returns whether the method is possible and faster.
    pub(crate) fn pays(ConvShape { inputs, outputs, side, shuffle }: ConvShape) -> bool {
        side == 3 && shuffle == 1 && outputs * side <= LANES && inputs >= LANES
    }
}

impl<N: Number> FewOutputs<N> {
    /// Transforms a kernel `[out, in, 3, 3]`.
    pub(crate) fn new(kernel: &[f32], bias: &[f32], shape: ConvShape) -> Self {
        let ConvShape { inputs, outputs, .. } = shape;
        let steps = inputs.div_ceil(N::AT_ONCE);
        let mut laid = Aligned::new(N::ZERO, SIDE * steps * LANES * N::AT_ONCE);
        for input in 0..inputs {
            let row = |ky: usize| {
                std::array::from_fn(|lane| match (lane / outputs, lane % outputs) {
                    (kx, output) if kx < 3 => kernel[((output * inputs + input) * 3 + ky) * 3 + kx],
                    _ => 0.0,
                })
            };
            for (place, lanes) in kernel_side([row(0), row(1), row(2)]).iter().enumerate() {
                let to = &mut laid[(place * steps + input / N::AT_ONCE) * LANES * N::AT_ONCE..][..LANES * N::AT_ONCE];
                to.chunks_exact_mut(N::AT_ONCE).zip(lanes).for_each(|(to, v)| to[input % N::AT_ONCE] = N::of(*v));
            }
        }
        let filled = |value: &dyn Fn(usize) -> f32| std::array::from_fn(|i| if i < outputs { value(i) } else { 0.0 });
        Self { shape, kernel: laid, bias: filled(&|i| bias[i]), lanes: filled(&|_| 1.0) }
    }

    /// Convolves a group of rows.
    ///
    /// # Safety
    /// `input` is six rows of the inputs, padded by at least one pixel; the writer has `rows` rows of the outputs, and
    /// skips so few that a group's four are not exceeded.
    pub(crate) unsafe fn rows(&self, isa: Isa, input: &Input, rows: usize, writer: &Writer) {
        with_scratch(SIDE * input.shape.blocks * PIXELS * LANES, |scratch| {
            // No number type is longer than that of the scratch.
            let transformed = scratch.as_mut_ptr().cast();
            let job = Group { conv: self, input, rows, writer, transformed };
            // SAFETY: this function's contract is the job's; the scratch has the length that the job states.
            unsafe { N::run(isa, job) };
        });
    }
}

/// A group of rows to convolve. Reads pixels from one left of the first to one right of the last of the six rows of
/// every block of inputs. `transformed` has room for [`PIXELS`] pixels of them at each of six places.
struct Group<'a, N> {
    conv: &'a FewOutputs<N>,
    input: &'a Input<'a>,
    rows: usize,
    writer: &'a Writer<'a>,
    /// `[place][block][pixel][16]`.
    transformed: *mut N,
}

impl<N: Number> OperandKernel<N> for Group<'_, N> {
    #[inline(always)]
    unsafe fn go<V: Lanes, O: Operands<V, Number = N>>(mut self) {
        let mut x = 0;
        // SAFETY: every tile computes pixels of the row.
        unsafe {
            if V::PIXELS >= PIXELS {
                self.tiles::<V, O, PIXELS>(&mut x);
            }
            self.tiles::<V, O, 6>(&mut x);
            self.tiles::<V, O, 3>(&mut x);
        }
    }
}

/// Sums of a tile: `[row or place][pixel][16]`, and a pixel of zeros that is read beyond the last.
type Sums<const N: usize> = MaybeUninit<[[[f32; LANES]; PIXELS + 1]; N]>;

/// The stride between rows or places.
const ROW: usize = (PIXELS + 1) * LANES;

impl<N: Number> Group<'_, N> {
    /// Computes as many tiles of `P` pixels as fit from `x`, each with `P - 2` results.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`].
    #[inline(always)]
    unsafe fn tiles<V: Lanes, O: Operands<V, Number = N>, const P: usize>(&mut self, x: &mut usize) {
        while *x + P - 2 <= self.input.shape.width {
            // SAFETY: the tile's results are inside the row, and so its pixels are inside the padded one.
            unsafe {
                self.transform::<V, O, P>(*x);
                let rows = self.sums::<V, O, P>();
                self.store::<V, P>(*x, &rows);
            }
            *x += P - 2;
        }
    }

    /// Transforms `P` pixels from one left of `x` on.
    ///
    /// # Safety
    /// Same as [`Self::tiles`].
    #[inline(always)]
    unsafe fn transform<V: Lanes, O: Operands<V, Number = N>, const P: usize>(&mut self, x: usize) {
        let shape = self.input.shape;
        let place = shape.blocks * P * LANES;
        for block in 0..shape.blocks {
            let (rows, offset) = self.input.block(block);
            let channels = Channels::new::<N>(self.conv.shape.inputs - block * LANES);
            for p in 0..P {
                let at = offset + (shape.pad + x + p - 1) * LANES;
                // SAFETY: the pixel is inside the padded rows; the scratch has room for it at six places.
                unsafe {
                    let mut numbers = [V::splat(0.0); SIDE];
                    for (number, row) in numbers.iter_mut().zip(rows) {
                        *number = V::load(row.as_ptr().add(at));
                    }
                    let to = self.transformed.add((block * P + p) * LANES);
                    for (i, number) in input(numbers).iter().enumerate() {
                        channels.store::<V, O>(*number, to.add(i * place));
                    }
                }
            }
        }
    }

    /// Multiplies the transformed pixels and transforms the products back: returns the sums over inputs of each of four
    /// rows.
    ///
    /// # Safety
    /// Same as [`Self::tiles`].
    #[inline(always)]
    unsafe fn sums<V: Lanes, O: Operands<V, Number = N>, const P: usize>(&self) -> Sums<STEP> {
        let ConvShape { inputs, .. } = self.conv.shape;
        let (mut places, mut rows) = (Sums::<SIDE>::uninit(), Sums::<STEP>::uninit());
        let (places, to) = (places.as_mut_ptr().cast::<f32>(), rows.as_mut_ptr().cast::<f32>());
        // SAFETY: this function's contract: six places of every block's `P` pixels, and of the kernel of every input.
        unsafe {
            for place in 0..SIDE {
                let steps = inputs.div_ceil(N::AT_ONCE);
                let mut kernel = self.conv.kernel.as_ptr().add(place * steps * LANES * N::AT_ONCE);
                let mut sums = [V::splat(0.0); P];
                for block in 0..self.input.shape.blocks {
                    let at = (place * self.input.shape.blocks + block) * P * LANES;
                    let mut pixel = self.transformed.cast_const().add(at);
                    for _ in 0..LANES.min(inputs - block * LANES).div_ceil(N::AT_ONCE) {
                        let weights = O::load(kernel);
                        for (p, sum) in sums.iter_mut().enumerate() {
                            *sum = O::mul_add(weights, O::splat(pixel.add(p * LANES)), *sum);
                        }
                        kernel = kernel.add(LANES * N::AT_ONCE);
                        pixel = pixel.add(N::AT_ONCE);
                    }
                }
                store(sums, places.add(place * ROW), LANES);
            }
            for p in 0..P {
                store(output(load::<V, SIDE>(places.add(p * LANES), ROW)), to.add(p * LANES), ROW);
            }
            store([V::splat(0.0); STEP], to.add(P * LANES), ROW);
        }
        rows
    }

    /// Adds each output's three columns from the lanes of three neighbouring pixels, and stores the rows.
    ///
    /// # Safety
    /// Same as [`Self::tiles`].
    #[inline(always)]
    unsafe fn store<V: Lanes, const P: usize>(&self, x: usize, rows: &Sums<STEP>) {
        let FewOutputs { shape, bias, lanes, .. } = self.conv;
        let skip = self.writer.store.skip;
        // SAFETY: the `P` pixels of four rows and one more were written, and at most the last lane of that one is read;
        // the pixels to write are inside the row.
        unsafe {
            let (bias, lanes) = (V::load(bias.as_ptr()), V::load(lanes.as_ptr()));
            for row in 0..self.rows {
                let sums = rows.as_ptr().cast::<f32>().add((skip + row) * ROW);
                for i in 0..P - 2 {
                    let [left, middle, right] = [0, 1, 2].map(|kx| sums.add((i + kx) * LANES + kx * shape.outputs));
                    let sum = V::load(left).plus(V::load(middle)).plus(V::load(right));
                    self.writer.put(row, 0, x + i, sum.mul_add(lanes, bias));
                }
            }
        }
    }
}
