//! Direct convolution, a row at a time.
//!
//! A tile of a few pixels by one or two blocks of 16 output channels stays in registers while the kernel and the input
//! channels stream past: each input number is broadcast once per block, each kernel number loaded once per pixel. Bias,
//! activation, scale, sum and pixel shuffle are applied as a tile is stored.
//!
//! A 3x3 convolution of few inputs to five outputs or fewer would leave most lanes empty (for more inputs see
//! `winograd/few.rs`). So its three columns share the lanes: a tile sums over inputs and rows only, then each output
//! adds the lanes of three neighbouring pixels.

use super::shape::ConvShape;
use super::store::Writer;
use crate::lanes::{self, Kernel, Lanes};
use crate::{Aligned, Input, Isa, LANES};

/// A kernel and bias, laid out for direct convolution.
#[derive(Clone, Debug)]
pub(crate) struct Direct {
    shape: ConvShape,
    /// `[block][input block][ky][kx][input lane][16]`: the order in which a tile reads it. If columns share the lanes,
    /// there is one block and no kx, and lane `kx * outputs + output` holds each.
    kernel: Aligned<f32>,
    /// `[block][16]`.
    bias: Vec<f32>,
}

impl Direct {
    pub(crate) fn new(kernel: &[f32], bias: &[f32], shape: ConvShape) -> Self {
        let mut laid = Self { shape, kernel: Aligned::default(), bias: shape.lay_out(bias) };
        laid.kernel = Aligned::from(&*laid.lay_out(kernel));
        laid
    }

    /// Lays out the kernel in the order in which a tile reads it.
    fn lay_out(&self, kernel: &[f32]) -> Vec<f32> {
        let ConvShape { inputs, outputs, side, .. } = self.shape;
        let columns = if self.shares_lanes() { 1 } else { side };
        let mut laid = Vec::with_capacity(self.bias.len() * inputs * side * columns);
        for block in 0..self.bias.len() / LANES {
            for first in (0..inputs).step_by(LANES) {
                for tap in 0..side * columns {
                    for input in first..inputs.min(first + LANES) {
                        let number = |output: usize, tap: usize| kernel[(output * inputs + input) * side * side + tap];
                        let lanes: [f32; LANES] = std::array::from_fn(|lane| match self.shares_lanes() {
                            false => self.shape.output(block, lane).map_or(0.0, |output| number(output, tap)),
                            true if lane < outputs * side => number(lane % outputs, tap * side + lane / outputs),
                            true => 0.0,
                        });
                        laid.extend(lanes);
                    }
                }
            }
        }
        laid
    }

    /// Returns whether the columns of the kernel share the lanes.
    fn shares_lanes(&self) -> bool {
        let ConvShape { outputs, side, shuffle, .. } = self.shape;
        side == 3 && shuffle == 1 && outputs * side <= LANES
    }

    /// Convolves one row.
    ///
    /// # Safety
    /// `input` is `side` rows of the inputs, padded by at least half a side; the writer has a row of the outputs.
    pub(crate) unsafe fn row(&self, isa: Isa, input: &Input, writer: &Writer) {
        // SAFETY: this function's contract is the job's.
        unsafe { lanes::run(isa, Job { conv: self, input, writer }) }
    }
}

/// One row to convolve.
///
/// Reads, for every tap, pixels `0..width` of each input block shifted by `0..side`, from half a kernel left of the
/// first pixel: inside the rows, as the pad is at least half a kernel. Writes pixels `0..width` of each block of
/// output.
struct Job<'a> {
    conv: &'a Direct,
    input: &'a Input<'a>,
    writer: &'a Writer<'a>,
}

impl Kernel for Job<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        if self.conv.shares_lanes() {
            // SAFETY: as below.
            return unsafe { self.shared_row::<V>() };
        }
        let blocks = self.conv.shape.outputs.div_ceil(LANES);
        // Two blocks share each broadcast if there are enough registers.
        let pairs = if V::PIXELS >= 14 { blocks / 2 } else { 0 };
        // SAFETY: blocks and pixels stay within the shapes, which is this function's contract.
        unsafe {
            for pair in 0..pairs {
                self.block_row::<V, 2>(2 * pair);
            }
            for block in 2 * pairs..blocks {
                self.block_row::<V, 1>(block);
            }
        }
    }
}

impl Job<'_> {
    /// Computes all pixels of `B` blocks: in tiles as wide as the registers allow, then of 4 and of 1.
    ///
    /// # Safety
    /// Same as [`Kernel::run`]; `block + B` is at most the number of output blocks.
    #[inline(always)]
    unsafe fn block_row<V: Lanes, const B: usize>(&self, block: usize) {
        let width = self.input.shape.width;
        let mut x = 0;
        // SAFETY: x plus the tile's width is at most the width.
        unsafe {
            match V::PIXELS {
                14 => x = self.tiles::<V, B, 14>(block, x),
                6 => x = self.tiles::<V, B, 6>(block, x),
                _ => x = self.tiles::<V, B, 3>(block, x),
            }
            x = self.tiles::<V, B, 4>(block, x);
            x = self.tiles::<V, B, 1>(block, x);
        }
        debug_assert_eq!(x, width);
    }

    /// Computes as many tiles of `P` pixels as fit from `x`; returns where the next begins.
    ///
    /// # Safety
    /// Same as [`Self::block_row`].
    #[inline(always)]
    unsafe fn tiles<V: Lanes, const B: usize, const P: usize>(&self, block: usize, mut x: usize) -> usize {
        while x + P <= self.input.shape.width {
            // SAFETY: the tile ends within the row.
            unsafe { self.tile::<V, B, P>(block, x) };
            x += P;
        }
        x
    }

    /// Computes all pixels of a convolution whose columns share the lanes.
    ///
    /// # Safety
    /// Same as [`Kernel::run`]; the convolution shares lanes.
    #[inline(always)]
    unsafe fn shared_row<V: Lanes>(&self) {
        let mut x = 0;
        // SAFETY: x plus the tile's outputs is at most the width.
        unsafe {
            if V::PIXELS >= 14 {
                x = self.shared_tiles::<V, 14>(x);
            }
            x = self.shared_tiles::<V, 6>(x);
            x = self.shared_tiles::<V, 3>(x);
        }
        debug_assert_eq!(x, self.input.shape.width);
    }

    /// Computes as many tiles of `P` pixels as fit from `x`, each of `P - 2` outputs; returns where the next begins.
    ///
    /// # Safety
    /// Same as [`Self::shared_row`].
    #[inline(always)]
    unsafe fn shared_tiles<V: Lanes, const P: usize>(&self, mut x: usize) -> usize {
        while x + P - 2 <= self.input.shape.width {
            // SAFETY: the pixels from one left of `x` to one right of the last output are inside the padded row, and
            // the outputs inside the row.
            unsafe {
                let sums = self.sums::<V, 1, P>(self.conv.kernel.as_ptr(), [V::splat(0.0)], x, 1);
                self.store_shared(x, sums[0]);
            }
            x += P - 2;
        }
        x
    }

    /// Adds each output's three columns from the lanes of three neighbouring pixels, finishes and writes them.
    ///
    /// # Safety
    /// Same as [`Self::shared_row`]; `x + P - 2` is at most the width.
    #[inline(always)]
    unsafe fn store_shared<V: Lanes, const P: usize>(&self, x: usize, sums: [V; P]) {
        let outputs = self.conv.shape.outputs;
        let mut columns = [[0.0_f32; LANES]; P];
        for (column, sum) in columns.iter_mut().zip(sums) {
            // SAFETY: 16 numbers fit.
            unsafe { sum.store(column.as_mut_ptr()) };
        }
        for (i, near) in columns.windows(3).enumerate() {
            let mut pixel = [0.0_f32; LANES];
            for (o, v) in pixel.iter_mut().enumerate().take(outputs) {
                *v = self.conv.bias[o] + near[0][o] + near[1][outputs + o] + near[2][2 * outputs + o];
            }
            // SAFETY: the array has 16 numbers, and pixel `x + i` is inside the row.
            unsafe { self.writer.put(0, 0, x + i, V::load(pixel.as_ptr())) };
        }
    }

    /// Computes one tile of `P` pixels by `B` blocks.
    ///
    /// # Safety
    /// Same as [`Self::block_row`]; `x + P` is at most the width.
    #[inline(always)]
    unsafe fn tile<V: Lanes, const B: usize, const P: usize>(&self, block: usize, x: usize) {
        let conv = self.conv;
        let stride = conv.shape.inputs * conv.shape.side * conv.shape.side * LANES;
        // SAFETY: the kernel has `stride` numbers for each block and the bias 16.
        unsafe {
            let bias = conv.bias.as_ptr().add(block * LANES);
            let start: [V; B] = std::array::from_fn(|b| V::load(bias.add(b * LANES)));
            let sums = self.sums::<V, B, P>(conv.kernel.as_ptr().add(block * stride), start, x, conv.shape.side);
            for (b, sums) in sums.into_iter().enumerate() {
                for (p, sum) in sums.into_iter().enumerate() {
                    self.writer.put(0, block + b, x + p, sum);
                }
            }
        }
    }

    /// Sums `P` pixels by `B` blocks over inputs, rows and `columns` columns of the kernel, from `start`. The first
    /// pixel to read is `x` from half a kernel left of the row's first.
    ///
    /// # Safety
    /// `kernel` points to `B` laid out blocks; the pixels are inside the rows.
    #[inline(always)]
    unsafe fn sums<V: Lanes, const B: usize, const P: usize>(
        &self,
        mut kernel: *const f32,
        start: [V; B],
        x: usize,
        columns: usize,
    ) -> [[V; P]; B] {
        let conv = self.conv;
        let stride = conv.shape.inputs * conv.shape.side * columns * LANES;
        let mut sums: [[V; P]; B] = start.map(|v| [v; P]);
        for (input_block, first) in (0..conv.shape.inputs).step_by(LANES).enumerate() {
            let lanes = LANES.min(conv.shape.inputs - first);
            let (rows, at) = self.input.block(input_block);
            // The pad holds the pixels left of the first.
            let offset = at + (self.input.shape.pad - conv.shape.side / 2 + x) * LANES;
            for row in &rows[..conv.shape.side] {
                for dx in 0..columns {
                    // SAFETY: the caller's contract: the pixels, and the kernel's numbers in the order they were laid
                    // out.
                    unsafe {
                        let mut pixel = row.as_ptr().add(offset + dx * LANES);
                        for _ in 0..lanes {
                            let weights: [V; B] = std::array::from_fn(|b| V::load(kernel.add(b * stride)));
                            for p in 0..P {
                                let value = V::splat(*pixel.add(p * LANES));
                                for (sums, weight) in sums.iter_mut().zip(weights) {
                                    sums[p] = weight.mul_add(value, sums[p]);
                                }
                            }
                            kernel = kernel.add(LANES);
                            pixel = pixel.add(1);
                        }
                    }
                }
            }
        }
        sums
    }
}
