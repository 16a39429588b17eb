//! Convolution of rows, for inference: chooses the method, checks the arguments, and runs it.

pub(crate) mod amx;
mod direct;
mod shape;
pub(crate) mod store;
pub(crate) mod winograd;

#[cfg(test)]
pub(crate) mod tests;

use crate::lanes::has_pairs;
use crate::{Format, Input, Isa, LANES, Precision, RowShape, RowsMut};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use amx::AmxWinograd;
use amx::{AmxConv, Products};
use direct::Direct;
use half::bf16;
use shape::{ConvShape, MAX_SIDE};
use store::{Store, Writer};
use winograd::{FewOutputs, STEP, WinogradRows};

/// A convolution's kernel and bias, laid out for the method that computes its rows.
#[derive(Clone, Debug)]
pub struct Conv {
    shape: ConvShape,
    method: Method,
}

/// The method of computation.
#[derive(Clone, Debug)]
enum Method {
    Direct(Direct),
    Winograd(WinogradRows),
    Few(FewOutputs),
    Amx(AmxConv),
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    AmxWinograd(AmxWinograd),
    WinogradPairs(WinogradRows<bf16>),
    FewPairs(FewOutputs<bf16>),
}

impl Conv {
    /// Lays out a kernel `[out, in, side, side]` and bias `[out]` for float32.
    ///
    /// # Panics
    /// Same as [`Self::with_precision`].
    pub fn new(kernel: &[f32], bias: &[f32], inputs: usize, side: usize, shuffle: usize) -> Self {
        Self::with_precision(kernel, bias, (inputs, side, shuffle), Precision::F32)
    }

    /// Lays out a kernel `[out, in, side, side]` and bias `[out]` for a precision, on any machine.
    ///
    /// If `shuffle`, r, is above 1, every row becomes r rows, pixel-shuffled; the outputs must then be r² times a
    /// multiple of 16, so that each block of outputs falls on one phase of the r x r.
    ///
    /// # Panics
    /// Panics if the lengths do not match, there are no inputs or outputs, the side is even or above 15, or `shuffle`
    /// does not divide the outputs as described.
    pub fn with_precision(
        kernel: &[f32],
        bias: &[f32],
        (inputs, side, shuffle): (usize, usize, usize),
        precision: Precision,
    ) -> Self {
        let outputs = bias.len();
        assert!(side % 2 == 1 && side <= MAX_SIDE, "a kernel of side {side}");
        assert!(outputs > 0 && inputs > 0, "a kernel of {outputs}x{inputs}");
        assert_eq!(kernel.len(), outputs * inputs * side * side, "a kernel of {outputs}x{inputs}x{side}x{side}");
        assert!(
            shuffle == 1 || (shuffle > 1 && outputs.is_multiple_of(shuffle * shuffle * LANES)),
            "a shuffle by {shuffle}"
        );
        let shape = ConvShape { inputs, outputs, side, shuffle };
        let pairs = precision == Precision::Bf16 && !amx::is_available() && has_pairs();
        let method = match precision {
            _ if pairs => Self::of_pairs(kernel, bias, shape),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Precision::Bf16x2 if AmxWinograd::pays(shape) => {
                Method::AmxWinograd(AmxWinograd::new(kernel, bias, shape, Products::Three))
            }
            Precision::Bf16x2 => Method::Amx(AmxConv::new(kernel, bias, shape, Products::Three)),
            Precision::Bf16 => Method::Amx(AmxConv::new(kernel, bias, shape, Products::One)),
            Precision::F32 if WinogradRows::pays(shape) => Method::Winograd(WinogradRows::new(kernel, bias, shape)),
            Precision::F32 if FewOutputs::pays(shape) => Method::Few(FewOutputs::new(kernel, bias, shape)),
            Precision::F32 => Method::Direct(Direct::new(kernel, bias, shape)),
        };
        Self { shape, method }
    }

    /// Chooses the method for pairs of bf16 numbers; untransformed convolutions use float32.
    fn of_pairs(kernel: &[f32], bias: &[f32], shape: ConvShape) -> Method {
        match shape {
            _ if WinogradRows::pays(shape) => Method::WinogradPairs(WinogradRows::new(kernel, bias, shape)),
            _ if FewOutputs::pays(shape) => Method::FewPairs(FewOutputs::new(kernel, bias, shape)),
            _ => Method::Direct(Direct::new(kernel, bias, shape)),
        }
    }

    /// Returns the number of input channels.
    pub fn inputs(&self) -> usize {
        self.shape.inputs
    }

    /// Returns the number of output channels, before the pixel shuffle.
    pub fn outputs(&self) -> usize {
        self.shape.outputs
    }

    /// Returns the side of the kernel.
    pub fn side(&self) -> usize {
        self.shape.side
    }

    /// Returns the factor of the pixel shuffle, 1 without.
    pub fn shuffle(&self) -> usize {
        self.shape.shuffle
    }

    /// Returns the size of a group: the rows that are computed together. In float32 the rounding of the results depends
    /// on where a group begins.
    pub fn group(&self) -> usize {
        match &self.method {
            Method::Direct(_) => 1,
            Method::Winograd(_) | Method::Few(_) | Method::WinogradPairs(_) | Method::FewPairs(_) => STEP,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Method::AmxWinograd(_) => STEP,
            Method::Amx(_) => Self::most_rows(Precision::Bf16),
        }
    }

    /// The most rows that a group of any convolution reads.
    pub const MOST_READ: usize = 2 * STEP + MAX_SIDE - 1;

    /// Returns the largest group of any convolution with this precision; smaller ones divide it.
    pub fn most_rows(precision: Precision) -> usize {
        match precision {
            Precision::F32 => STEP,
            // Keeps the rows that are rounded before the first product few in comparison.
            Precision::Bf16x2 | Precision::Bf16 => 2 * STEP,
        }
    }

    /// Returns whether the convolution can read and write maps stored as [`Format::Lines`].
    pub fn reads_lines(&self) -> bool {
        matches!(&self.method, Method::Amx(amx) if amx.reads_lines())
    }

    /// Returns how many zero pixels the input's rows must have on either side.
    pub fn pad(&self) -> usize {
        Self::pad_of(self.shape.side)
    }

    /// Returns [`Self::pad`] for any convolution with a kernel of this side.
    pub fn pad_of(side: usize) -> usize {
        // A tile at the right edge reads as far as a whole one does.
        if side == 3 { STEP } else { side / 2 }
    }

    /// Convolves a group of rows. `input` holds the rows around the group, [`Self::group`] and `side - 1` more; those
    /// outside the picture are zeros. The `store` skips some of the group's rows, then stores as many as `out` has room
    /// for, each as `shuffle` rows with their zero pixels, one after the other.
    ///
    /// # Panics
    /// Panics if a slice does not have its shape's length, the shapes do not fit the convolution, a map is stored as
    /// lines that the convolution does not [read](Self::reads_lines) or that are not whole, the input is not padded by
    /// [`Self::pad`], there are slopes but not one per lane, `add` is combined with a shuffle, or the machine lacks the
    /// instruction set.
    pub fn rows(&self, isa: Isa, input: Input, store: &Store, out: RowsMut) {
        let RowsMut { data: out, shape: out_shape } = out;
        let ConvShape { inputs, side, shuffle: r, .. } = self.shape;
        input.check(self.group() + side - 1);
        let input_shape = input.shape;
        assert_eq!(input_shape.blocks, inputs.div_ceil(LANES), "blocks of input");
        assert!(input_shape.pad >= self.pad(), "a pad of {}, expected {}", input_shape.pad, self.pad());
        let blocks = self.shape.blocks() / (r * r);
        let kept = |format| match format {
            Format::Singles => RowShape { blocks, ..out_shape },
            Format::Lines => RowShape { blocks: blocks / 2, ..out_shape },
        };
        let lines = [store.format, store.add_format].contains(&Format::Lines);
        assert!(
            !lines || blocks.is_multiple_of(2) && self.shape.outputs.is_multiple_of(LANES),
            "whole lines of output"
        );
        assert!(self.reads_lines() || !lines && !input.formats.contains(&Format::Lines), "lines are for tiles");
        assert_eq!(out_shape.blocks, kept(store.format).blocks, "blocks of output");
        assert_eq!(out_shape.width, input_shape.width * r, "width of output");
        let (writer, rows) = Writer::new(store, (r, blocks * LANES), out, (out_shape, kept(store.add_format)));
        assert!(rows <= self.group() && store.skip <= self.group() - rows, "rows of the group");
        if rows == 0 {
            return;
        }
        match &self.method {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: as below.
            Method::AmxWinograd(amx) => unsafe { amx.rows(&input, rows, &writer) },
            Method::Amx(amx) => amx.rows(&input, store, RowsMut::new(out, out_shape)),
            // SAFETY: the rows have their shapes' lengths and pads, and the writer the output's: checked above.
            Method::Direct(direct) => unsafe { direct.row(isa, &input, &writer) },
            // SAFETY: as above.
            Method::Winograd(winograd) => unsafe { winograd.rows(isa, &input, rows, &writer) },
            // SAFETY: as above.
            Method::Few(few) => unsafe { few.rows(isa, &input, rows, &writer) },
            // SAFETY: as above.
            Method::WinogradPairs(winograd) => unsafe { winograd.rows(isa, &input, rows, &writer) },
            // SAFETY: as above.
            Method::FewPairs(few) => unsafe { few.rows(isa, &input, rows, &writer) },
        }
    }
}
