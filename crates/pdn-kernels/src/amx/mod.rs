//! Convolution by the matrix unit of recent Intel processors (AMX), with bf16 operands and f32 sums.
//!
//! [`AmxConv`] is the direct sum. A row of a tile is a pixel, 32 channels of it side by side as bf16, so another tap of the
//! kernel is another address. A patch of 64 pixels by 16 outputs, or of 32 by 32, has its sums in four of the eight tile
//! registers; a step over 32 channels loads four tiles of pixels and one of the kernel, or two and two, for four products, half
//! the loads that would hold the products up. As in [`Conv`](crate::Conv), the columns of a 3x3 kernel to five outputs or fewer
//! share the lanes. [`AmxWinograd`] transforms kernels of 3x3 along columns; `matrix.rs` multiplies what training transforms.
//!
//! With [`Products::Three`] each number is a high and a low bf16 part, and `a b` becomes `a_high b_high + (a_high b_low +
//! a_low b_high)`: about 16 bits of the significand. The operands are taken in the order low by high, high by high, high by
//! low, so that each is still loaded once a step.

mod depth;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod finish;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod matrix;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pixels;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod product;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tile;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod winograd;

#[cfg(all(any(test, feature = "emulation"), target_arch = "x86_64", target_os = "linux"))]
mod emulator;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod tests;

use crate::conv::ConvShape;
use crate::{Input, LANES, RowShape, Store};
use depth::{Depth, Weights};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use winograd::AmxWinograd;

/// Emulates AMX from here on where the processor has none, so that tests run the kernels. A machine without AVX-512 and
/// bf16, or that has been asked for AMX before, still has none. Gives whether there is AMX now.
#[cfg(any(all(test, target_arch = "x86_64", target_os = "linux"), feature = "emulation"))]
pub(crate) fn emulate() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tile::emulate();
    AmxConv::is_available()
}

/// Products of tiles for each product of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Products {
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

    /// The first and the count of each group of tiles of outputs that are summed together: one by one, or pairs and one
    /// left over.
    fn tiles_of(self, tiles: usize) -> impl Iterator<Item = (usize, usize)> {
        let most = match self {
            Self::One => 1,
            Self::Three => 2,
        };
        (0..tiles).step_by(most).map(move |first| (first, most.min(tiles - first)))
    }

    /// Tiles of pixels that are summed together, for so many tiles of outputs.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn pixel_tiles(self, outputs: usize) -> usize {
        match (self, outputs) {
            (Self::One, _) => 4,
            (Self::Three, 1) => 3,
            (Self::Three, _) => 2,
        }
    }
}

/// A convolution's kernel and bias, laid out for the tiles of AMX.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    expect(dead_code, reason = "laid out and checked on any machine, and run only there")
)]
pub(crate) struct AmxConv {
    shape: ConvShape,
    products: Products,
    depth: Depth,
    kernel: Vec<Weights>,
    /// `[tile][16]`.
    bias: Vec<f32>,
}

impl AmxConv {
    /// Whether this machine has AMX with bf16, and the system permits it. Only Linux on x86-64 is asked.
    pub(crate) fn is_available() -> bool {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        return tile::is_available();
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        return false;
    }

    /// Lays out a kernel `[out, in, side, side]` and bias `[out]`, on any machine.
    pub(crate) fn new(kernel: &[f32], bias: &[f32], shape: ConvShape, products: Products) -> Self {
        let ConvShape { inputs, outputs, side, shuffle } = shape;
        let shares_lanes = side == 3 && shuffle == 1 && outputs * side <= LANES;
        let depth = Depth::new(inputs, side, if shares_lanes { 1 } else { side });
        // Where the numbers of each lane's output begin and, where lanes are shared, of its column of the kernel.
        let begins = |output: usize| output * inputs * side * side;
        let lanes: Vec<Option<usize>> = (0..shape.blocks() * LANES)
            .map(|at| match shares_lanes {
                true => (at < outputs * side).then(|| begins(at % outputs) + at / outputs),
                false => shape.output(at / LANES, at % LANES).map(begins),
            })
            .collect();
        let kernel = depth.lay_out(kernel, &lanes, products);
        Self { shape, products, depth, kernel, bias: shape.lay_out(bias) }
    }

    /// Whether it can read and write maps that are kept as lines: their numbers have one part.
    pub(crate) fn reads_lines(&self) -> bool {
        self.products == Products::One
    }

    /// Tiles of pixels of so many results side by side.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn tiles_of(&self, results: usize) -> usize {
        (results + self.overlap()).div_ceil(LANES)
    }

    /// Pixels of a patch that are no results: columns that share lanes are summed over neighbouring pixels.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn overlap(&self) -> usize {
        self.shape.side - self.depth.columns
    }

    /// Convolves rows: `input` holds the rows around a group's, of which the store skips some, from half a kernel above the
    /// first to half a kernel below the last, and as many are stored as `out` has room for, each as `shuffle` rows.
    ///
    /// Of input that is not finite the output is not finite.
    ///
    /// # Panics
    /// When `out` is not whole rows, or the input has not as many as they read, or the machine has no AMX. The caller has
    /// checked the rest.
    pub(crate) fn rows(&self, input: &Input, store: &Store, (out, out_shape): (&mut [f32], RowShape)) {
        assert!(Self::is_available(), "this machine has no AMX with bf16");
        if out_shape.is_empty() {
            return;
        }
        for row in out.chunks_exact_mut(out_shape.len()) {
            out_shape.clear_pads(row);
        }
        let count = out.len() / (out_shape.len() * self.shape.shuffle);
        assert!(store.skip + count + self.shape.side - 1 <= input.maps[0].len(), "rows of input");
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        pixels::with_pixels(self, input, store.skip, count, |pixels| {
            let results = finish::Results { store, out: out.as_mut_ptr(), shape: out_shape };
            product::Job { conv: self, pixels, width: input.shape.width, results }.run();
        });
    }
}
