//! The kernel and bias of a direct convolution, laid out for tiles.

use super::depth::{Depth, Weights};
use super::products::Products;
use crate::LANES;
use crate::conv::shape::ConvShape;

/// A convolution's kernel and bias, laid out for the tiles of AMX.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    expect(dead_code, reason = "laid out and checked on any machine, and run only there")
)]
pub(crate) struct AmxConv {
    pub(super) shape: ConvShape,
    pub(super) products: Products,
    pub(super) depth: Depth,
    pub(super) kernel: Vec<Weights>,
    /// `[tile][16]`.
    pub(super) bias: Vec<f32>,
}

impl AmxConv {
    /// Lays out a kernel `[out, in, side, side]` and bias `[out]`, on any machine.
    pub(crate) fn new(kernel: &[f32], bias: &[f32], shape: ConvShape, products: Products) -> Self {
        let ConvShape { inputs, outputs, side, shuffle } = shape;
        let shares_lanes = side == 3 && shuffle == 1 && outputs * side <= LANES;
        let depth = Depth::new(inputs, side, if shares_lanes { 1 } else { side });
        // Where the numbers of each lane's output begin and, if lanes are shared, those of its column of the kernel.
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

    /// Returns whether the convolution can read and write maps stored as lines: their numbers have one part.
    pub(crate) fn reads_lines(&self) -> bool {
        self.products == Products::One
    }

    /// Returns the number of pixel tiles for `results` adjacent results.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn tiles_of(&self, results: usize) -> usize {
        (results + self.overlap()).div_ceil(LANES)
    }

    /// Returns the number of a patch's pixels that are not results: columns that share lanes are summed over
    /// neighbouring pixels.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn overlap(&self) -> usize {
        self.shape.side - self.depth.columns
    }
}
