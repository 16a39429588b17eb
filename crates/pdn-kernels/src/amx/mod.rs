//! Direct convolution by the matrix unit of recent Intel processors (AMX), with bf16 operands and f32 sums.
//!
//! The rows of a call are rounded to bf16 once, 32 channels of a pixel side by side, so a row of a tile is a pixel, and
//! another tap of the kernel is another address. A patch of 32 pixels by 32 outputs has its sums in four of the eight tile
//! registers; a step over 32 channels loads two tiles of pixels and two of the kernel for four products, half the loads
//! that would hold the products up. Bias, activation, scale, sum and pixel shuffle happen as a patch is stored, while the
//! next patch's products are under way.
//!
//! With [`Products::Three`] each number is a high and a low bf16 part, and `a b` becomes `a_high b_high + (a_high b_low +
//! a_low b_high)`: about 16 bits of the significand. The operands are taken in the order low by high, high by high, high by
//! low, so that each is still loaded once a step.
//!
//! As in [`Conv`](crate::Conv), the columns of a 3x3 kernel to five outputs or fewer share the lanes.

mod depth;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pixels;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod product;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tile;

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod emulator;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests;

use crate::{Activation, LANES, RowShape};
use depth::{Depth, Tap, Weights};

/// The largest side of a kernel.
const MAX_SIDE: usize = 15;

/// Products of tiles for each product of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// Operands are rounded to bf16: 8 bits of the significand.
    One,
    /// Operands are a high and a low bf16 part: about 16 bits.
    Three,
}

impl Products {
    /// Parts of an operand.
    fn parts(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 2,
        }
    }
}

/// What happens to rows' numbers as they are stored: `activation(x) * scale + add`.
#[derive(Clone, Copy, Debug)]
pub struct StoreRows<'a> {
    /// Applied first.
    pub activation: Activation,
    /// Then multiplied.
    pub scale: f32,
    /// Then added: as many rows as are written, of the output's shape, or none.
    pub add: &'a [&'a [f32]],
}

impl Default for StoreRows<'_> {
    fn default() -> Self {
        Self { activation: Activation::Identity, scale: 1.0, add: &[] }
    }
}

/// A convolution's kernel and bias, laid out for the tiles of AMX.
#[derive(Clone, Debug)]
pub struct AmxConv {
    outputs: usize,
    side: usize,
    shuffle: usize,
    products: Products,
    depth: Depth,
    kernel: Vec<Weights>,
    /// `[tile][16]`.
    bias: Vec<f32>,
}

impl AmxConv {
    /// Whether this machine has AMX with bf16, and the system permits it. Only Linux on x86-64 is asked.
    pub fn is_available() -> bool {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        return tile::is_available();
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        return false;
    }

    /// Lays out a kernel `[out, in, side, side]` and bias `[out]`, on any machine.
    ///
    /// With `shuffle` r above 1 each row becomes r rows, pixel-shuffled; the outputs must then be r² times a multiple of
    /// 16, so that each block of outputs lands on one phase of the r x r.
    ///
    /// # Panics
    /// When the lengths do not agree, the side is even or above 15, or `shuffle` does not divide as said.
    pub fn new(kernel: &[f32], bias: &[f32], inputs: usize, side: usize, shuffle: usize, products: Products) -> Self {
        let outputs = bias.len();
        assert!(side % 2 == 1 && side <= MAX_SIDE, "a kernel of side {side}");
        assert_eq!(kernel.len(), outputs * inputs * side * side, "a kernel of {outputs}x{inputs}x{side}x{side}");
        assert!(
            shuffle == 1 || (shuffle > 1 && outputs.is_multiple_of(shuffle * shuffle * LANES)),
            "a shuffle by {shuffle}"
        );
        let shares_lanes = side == 3 && shuffle == 1 && outputs * side <= LANES;
        let depth = Depth::new(inputs, side, if shares_lanes { 1 } else { side });
        let tiles = outputs.div_ceil(LANES);
        let mut laid =
            Self { outputs, side, shuffle, products, depth, kernel: Vec::new(), bias: vec![0.0; tiles * LANES] };
        for (at, laid_bias) in laid.bias.iter_mut().enumerate() {
            *laid_bias = output_of(outputs, shuffle, at).map_or(0.0, |output| bias[output]);
        }
        let number = |output: usize, input: usize, ky: usize, kx: usize| {
            kernel[((output * inputs + input) * side + ky) * side + kx]
        };
        laid.kernel = depth.lay_out(tiles, products.parts(), |tile, lane, Tap { input, ky, kx }| {
            if !shares_lanes {
                output_of(outputs, shuffle, tile * LANES + lane).map_or(0.0, |output| number(output, input, ky, kx))
            } else if lane < outputs * side {
                number(lane % outputs, input, ky, lane / outputs)
            } else {
                0.0
            }
        });
        laid
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.depth.inputs
    }

    /// Output channels, before the pixel shuffle.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Side of the kernel.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Factor of the pixel shuffle, 1 without.
    pub fn shuffle(&self) -> usize {
        self.shuffle
    }

    /// Products of tiles for each product of numbers.
    pub fn products(&self) -> Products {
        self.products
    }

    /// Bytes that the laid out kernel takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.kernel) + size_of_val(&*self.bias)
    }

    /// Convolves n rows: `input` is n + side - 1 rows, from half a kernel above the first to half a kernel below the last,
    /// those outside the picture being zeros. Writes n times `shuffle` rows, one after the other, with their zero pixels.
    ///
    /// Of input that is not finite the output is not finite.
    ///
    /// # Panics
    /// When a slice is not of its shape's length, the shapes do not fit the convolution, the input is not padded by
    /// half a kernel, or the machine has no AMX.
    pub fn rows(
        &self,
        input: &[&[f32]],
        input_shape: RowShape,
        store: &StoreRows,
        out: &mut [f32],
        out_shape: RowShape,
    ) {
        let r = self.shuffle;
        assert!(Self::is_available(), "this machine has no AMX with bf16");
        assert!(input.len() >= self.side - 1, "{} rows of input for a kernel of {}", input.len(), self.side);
        let written = (input.len() - (self.side - 1)) * r;
        assert!(input.iter().all(|row| row.len() == input_shape.len()), "rows of {input_shape:?}");
        assert_eq!(input_shape.blocks, self.inputs().div_ceil(LANES), "blocks of input");
        assert!(input_shape.pad >= self.side / 2, "a pad of {} for a kernel of {}", input_shape.pad, self.side);
        assert_eq!(out_shape.blocks, self.outputs.div_ceil(LANES) / (r * r), "blocks of output");
        assert_eq!(out_shape.width, input_shape.width * r, "width of output");
        assert_eq!(out.len(), out_shape.len() * written, "rows of output");
        assert!(store.add.is_empty() || store.add.len() == written, "rows to add");
        assert!(store.add.iter().all(|row| row.len() == out_shape.len()), "rows to add of {out_shape:?}");
        if out_shape.is_empty() {
            return;
        }
        for row in out.chunks_exact_mut(out_shape.len()) {
            out_shape.clear_pads(row);
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        pixels::with_pixels(self, input, input_shape, |pixels| {
            product::Job { conv: self, pixels, width: input_shape.width, store, out, out_shape }.run();
        });
    }
}

/// The output channel in a lane, where there is one. A block of a shuffled convolution holds one phase.
fn output_of(outputs: usize, shuffle: usize, at: usize) -> Option<usize> {
    let phases = shuffle * shuffle;
    let (block, lane) = (at / LANES, at % LANES);
    let blocks_of_phase = (outputs.div_ceil(LANES) / phases).max(1);
    let (phase, block) = if phases == 1 { (0, block) } else { (block / blocks_of_phase, block % blocks_of_phase) };
    let output = (block * LANES + lane) * phases + phase;
    (output < outputs).then_some(output)
}

/// The first and the count of each group of tiles of outputs: pairs, and one left over.
fn tiles_of(tiles: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..tiles).step_by(2).map(move |first| (first, 2.min(tiles - first)))
}
