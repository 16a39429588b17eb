//! Winograd convolution of rows in blocks, which the engine runs.
//!
//! A group is four rows of results. One strip of its tiles at a time is transformed, multiplied and transformed back,
//! so that it stays in the L2 cache together with the kernel of 64 outputs. Tiles begin at columns 0, 4, 8 ..., so a
//! pixel does not depend on which thread computes its row or on how wide the row is.

use super::operands::{Number, OperandKernel, Operands};
use super::product::{Product, Sums};
use super::tile::{OUTPUTS, PLACES, SIDE, STEP, STRIP, strip};
use super::transform::{WinogradKernel, transform_back, transform_tiles};
use crate::conv::shape::ConvShape;
use crate::conv::store::Writer;
use crate::lanes::Lanes;
use crate::scratch::{cut, with_scratch};
use crate::{Input, Isa, LANES};

/// The most blocks of inputs that are transformed at a time, so that they stay in the L2 cache: a module's 64 features
/// and their mask.
const BLOCKS: usize = 5;

/// Returns the number of input blocks to transform at a time: parts as even as possible.
fn blocks_at_once(blocks: usize) -> usize {
    blocks.div_ceil(blocks.div_ceil(BLOCKS))
}

/// A kernel and bias, transformed.
#[derive(Clone, Debug)]
pub(crate) struct WinogradRows<N = f32> {
    shape: ConvShape,
    /// One kernel per [`OUTPUTS`] outputs, in the order of their blocks.
    kernels: Vec<WinogradKernel<N>>,
    /// `[block][16]`.
    bias: Vec<f32>,
}

impl WinogradRows {
    /// Returns whether the transform makes the convolution faster.
    pub(crate) fn pays(shape: ConvShape) -> bool {
        WinogradKernel::pays(shape.outputs, shape.inputs, shape.side)
    }
}

impl<N: Number> WinogradRows<N> {
    /// Transforms a kernel `[out, in, 3, 3]`.
    pub(crate) fn new(kernel: &[f32], bias: &[f32], shape: ConvShape) -> Self {
        let lanes = shape.blocks() * LANES;
        let groups = (0..lanes).step_by(OUTPUTS);
        let kernels = groups.map(|first| {
            let count = OUTPUTS.min(lanes - first);
            WinogradKernel::of_lanes(count, shape.inputs, |lane, input, tap| {
                let lane = first + lane;
                shape.output(lane / LANES, lane % LANES).map_or(0.0, |o| kernel[(o * shape.inputs + input) * 9 + tap])
            })
        });
        Self { shape, kernels: kernels.collect(), bias: shape.lay_out(bias) }
    }

    /// Convolves a group of rows.
    ///
    /// # Safety
    /// `input` is six rows of the inputs, padded by at least [`STEP`]; the writer has `rows` rows of the outputs, and
    /// skips so few that a group's four are not exceeded.
    ///
    /// # Panics
    /// Panics if the machine lacks the instructions.
    pub(crate) unsafe fn rows(&self, isa: Isa, input: &Input, rows: usize, writer: &Writer) {
        let inputs = blocks_at_once(input.shape.blocks) * LANES;
        let outputs = OUTPUTS.min(self.shape.blocks() * LANES);
        with_scratch(PLACES * STRIP * (inputs + outputs), |mut scratch| {
            let (v, m) = (cut(&mut scratch, PLACES * STRIP * inputs), cut(&mut scratch, PLACES * STRIP * outputs));
            // No number type is longer than that of the scratch.
            let job = Group { conv: self, input, rows, writer, v: v.as_mut_ptr().cast(), m };
            // SAFETY: this function's contract is the job's; the scratch has the length that the job states.
            unsafe { N::run(isa, job) };
        });
    }
}

/// A group of rows to convolve.
///
/// Reads, for every block of inputs, pixels from one left of the first to as far right as whole tiles reach from the
/// six rows: inside them, as the pad is at least [`STEP`]. `v` and `m` have room for a strip's tiles of
/// [`blocks_at_once`] blocks of inputs, and of [`OUTPUTS`] outputs or of those that there are.
struct Group<'a, N> {
    conv: &'a WinogradRows<N>,
    input: &'a Input<'a>,
    rows: usize,
    writer: &'a Writer<'a>,
    /// `[place][tile][input]`.
    v: *mut N,
    /// `[place][tile][output]`.
    m: &'a mut [f32],
}

impl<N: Number> OperandKernel<N> for Group<'_, N> {
    #[inline(always)]
    unsafe fn go<V: Lanes, O: Operands<V, Number = N>>(mut self) {
        let tiles = self.input.shape.width.div_ceil(STEP);
        let (blocks, some) = (self.input.shape.blocks, self.blocks());
        for first in (0..tiles).step_by(strip::<V>()) {
            let count = strip::<V>().min(tiles - first);
            // SAFETY: the tiles are the row's, and the inputs and outputs are the convolution's.
            unsafe {
                if some == blocks {
                    self.transform::<V, O>(first, count, 0);
                }
                for (group, kernel) in self.conv.kernels.iter().enumerate() {
                    for block in (0..blocks).step_by(some) {
                        if some < blocks {
                            self.transform::<V, O>(first, count, block);
                        }
                        self.multiply::<V, O>(kernel, count, block * LANES);
                    }
                    self.store::<V>(group, first, count, kernel.lanes);
                }
            }
        }
    }
}

impl<N: Number> Group<'_, N> {
    /// Returns the number of input blocks to transform at a time.
    fn blocks(&self) -> usize {
        blocks_at_once(self.input.shape.blocks)
    }

    /// Transforms that many blocks of inputs, from `first_block` on, of a strip's tiles.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`].
    #[inline(always)]
    unsafe fn transform<V: Lanes, O: Operands<V, Number = N>>(
        &mut self,
        first: usize,
        count: usize,
        first_block: usize,
    ) {
        let (lanes, shape) = (self.blocks() * LANES, self.input.shape);
        for block in 0..self.blocks().min(shape.blocks - first_block) {
            let (rows, offset) = self.input.block(first_block + block);
            let channels = self.conv.shape.inputs - (first_block + block) * LANES;
            // The pad holds the pixel left of the first.
            let at = offset + (shape.pad - 1 + first * STEP) * LANES;
            // SAFETY: this function's contract; `v` has room for the tiles' lanes at every place.
            unsafe {
                let mut from = [std::ptr::null(); SIDE];
                for (from, row) in from.iter_mut().zip(rows) {
                    *from = row.as_ptr().add(at);
                }
                let to = self.v.add(block * LANES);
                transform_tiles::<V, O>(from, count, channels, to, (lanes, STRIP * lanes));
            }
        }
    }

    /// Multiplies a strip's transformed inputs from `input` on; the sums over earlier inputs are in `m`.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`].
    #[inline(always)]
    unsafe fn multiply<V: Lanes, O: Operands<V, Number = N>>(
        &mut self,
        kernel: &WinogradKernel<N>,
        count: usize,
        input: usize,
    ) {
        let (lanes, outputs) = (self.blocks() * LANES, kernel.lanes);
        let first = input / N::AT_ONCE;
        for place in 0..PLACES {
            // SAFETY: every matrix has its extent in `v`, the kernel and `m`.
            unsafe {
                Product {
                    rows: count,
                    depth: (lanes / N::AT_ONCE).min(kernel.steps - first),
                    columns: outputs,
                    a: self.v.add(place * STRIP * lanes),
                    a_row: lanes,
                    a_depth: N::AT_ONCE,
                    b: kernel.numbers.as_ptr().add((place * kernel.steps + first) * outputs * N::AT_ONCE),
                    c: self.m.as_mut_ptr().add(place * STRIP * outputs),
                    sums: if input == 0 { Sums::New } else { Sums::Onto },
                    room: STRIP,
                }
                .run::<V, O>();
            }
        }
    }

    /// Transforms a strip's products back and stores those inside the rows.
    ///
    /// # Safety
    /// Same as [`OperandKernel::go`].
    #[inline(always)]
    unsafe fn store<V: Lanes>(&mut self, group: usize, first: usize, count: usize, outputs: usize) {
        let skip = self.writer.store.skip;
        for block in 0..outputs / LANES {
            let out_block = group * (OUTPUTS / LANES) + block;
            for tile in 0..count {
                let x = (first + tile) * STEP;
                let pixels = STEP.min(self.input.shape.width - x);
                // SAFETY: `m` has the tile's lanes at every place; the pixels are inside the row.
                unsafe {
                    let bias = V::load(self.conv.bias.as_ptr().add(out_block * LANES));
                    let m = self.m.as_ptr().add(tile * outputs + block * LANES);
                    let results = transform_back::<V>(m, STRIP * outputs);
                    for row in 0..self.rows {
                        let results: [V; STEP] = results.row(skip + row);
                        for (pixel, v) in results.iter().enumerate().take(pixels) {
                            self.writer.put(row, out_block, x + pixel, v.plus(bias));
                        }
                    }
                }
            }
        }
    }
}
