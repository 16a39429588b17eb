//! The closed list of operations. Each family is a file with all its rules: shapes, cost, reach and parameters. To add
//! an operation, follow the compiler through the matches below, and then through the readers of [`Op`].
//!
//! Every value in a network is a map of `channels` x height x width. A vector, such as a prompt or the result of a
//! global pool, is a map of one pixel, so a linear layer is a 1x1 convolution and needs no operation of its own. The
//! tokens of a sentence are the pixels of a map of one row; operations on tokens read any map row by row.

mod channels;
mod conv;
pub(crate) mod dcm;
mod elementwise;
mod pool;
mod resample;
mod sequence;

pub use dcm::{Dcm, DcmForm, DcmOptions, DeployedMask, NORM_EPS};
pub use elementwise::{Act, Binary};
pub use pool::Pool;
pub use resample::Interpolation;
pub use sequence::End;

use crate::{Extent, NetworkError, Param, ParamId, Shape};

/// One operation. The list is closed: executors, folders and exporters handle these and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The picture to upscale, in the value range of [`crate::PictureFormat`]. No inputs.
    Picture {
        /// Channels of the picture: 3 for RGB.
        channels: usize,
    },
    /// The prompt's embedding, of unit length, along the channels of one pixel. No inputs.
    Prompt {
        /// Length of the embedding.
        dim: usize,
    },
    /// The tokens of a sentence, each embedded as its row of a table `[vocabulary, channels]`. No inputs.
    Words(ParamId),
    /// A parameter along the channels of one pixel. No inputs.
    Constant(ParamId),
    /// One channel of this number over the extent of the input. With 1, it marks the inside of the picture.
    Fill(f64),
    /// Convolution with stride 1 and zero padding that keeps the extent. `weight` is `[out, in, k, k]`, k odd; `bias`
    /// is `[out]`.
    Conv {
        /// The kernel, `[out, in, k, k]`.
        weight: ParamId,
        /// Added to every pixel, `[out]`.
        bias: Option<ParamId>,
    },
    /// Convolution with a kernel mixed from a bank. The inputs are the map and the mixture `π` of length n; the kernel
    /// is `Σ π_k bank_k` and the bias `Σ π_k bias_k` (the paper's equation 4).
    MixedConv {
        /// The kernels, `[n, out, in, k, k]`.
        bank: ParamId,
        /// Their biases, `[n, out]`.
        bias: ParamId,
    },
    /// An activation function of each number.
    Act(Act),
    /// An elementwise operation on two maps; a second map with one channel or one pixel is broadcast.
    Binary(Binary),
    /// Multiplication by a constant.
    Scale(f64),
    /// Concatenation of the channels of maps with the same extent.
    Concat,
    /// A range of channels.
    Slice {
        /// The first channel.
        start: usize,
        /// The number of channels.
        len: usize,
    },
    /// `[c r², h, w]` to `[c, h r, w r]`, as in PyTorch: channel `c r² + i r + j` becomes pixel (i, j) of each r x r.
    PixelShuffle(usize),
    /// The inverse of [`Op::PixelShuffle`]: `[c, h r, w r]` to `[c r², h, w]`.
    PixelUnshuffle(usize),
    /// Upscaling by this factor a side, without weights.
    Enlarge(Interpolation, usize),
    /// A statistic of each channel over the whole picture, as a map of one pixel.
    GlobalPool(Pool),
    /// The inner product over channels of two maps, at each pixel; the second map may have one pixel.
    Dot,
    /// `sqrt(Σ x² + ε²)` over channels, at each pixel.
    Norm {
        /// Keeps the norm from vanishing.
        eps: f64,
    },
    /// The length of each channel's gradient: `sqrt(v² + h² + ε²)` of the differences between the pixels below and
    /// above, and right and left, with zeros outside.
    Gradient {
        /// Keeps the root from an infinite slope at 0.
        eps: f64,
    },
    /// Softmax over channels.
    Softmax,
    /// `weight (x - mean) / sqrt(variance + ε) + bias` at each pixel, with statistics over channels.
    LayerNorm {
        /// `[channels]`.
        weight: ParamId,
        /// `[channels]`.
        bias: ParamId,
        /// Added to the variance.
        eps: f64,
    },
    /// Adds row t of a table `[at least as many, channels]` to pixel t.
    Positions(ParamId),
    /// Concatenation of the pixels of two maps, as a sequence.
    Join,
    /// Multi-head attention of queries to keys and values, three maps of the same channels: in each head
    /// `softmax(qᵀ k / sqrt(channels / heads)) v` over pixels.
    Attend {
        /// Number of heads, which share the channels evenly.
        heads: usize,
        /// Whether a pixel attends only to itself and those before it.
        causal: bool,
    },
    /// One pixel of a sequence.
    Take(End),
    /// The Dynamic Correlation Module. The inputs are the map and the prompt. [`crate::Network::lower`] expands it into
    /// the operations above.
    Dcm(Dcm),
}

impl Op {
    /// Returns how many inputs the operation takes; a concatenation takes any number, at least one.
    fn arity(&self, inputs: usize) -> usize {
        match self {
            Op::Picture { .. } | Op::Prompt { .. } | Op::Words(_) | Op::Constant(_) => 0,
            Op::Fill(_) | Op::Conv { .. } | Op::Act(_) | Op::Scale(_) | Op::Slice { .. } => 1,
            Op::PixelShuffle(_) | Op::PixelUnshuffle(_) | Op::Enlarge(..) | Op::GlobalPool(_) => 1,
            Op::Norm { .. } | Op::Gradient { .. } | Op::Softmax => 1,
            Op::LayerNorm { .. } | Op::Positions(_) | Op::Take(_) => 1,
            Op::MixedConv { .. } | Op::Binary(_) | Op::Dot | Op::Join | Op::Dcm(_) => 2,
            Op::Attend { .. } => 3,
            Op::Concat => inputs.max(1),
        }
    }

    /// Returns the output shape for these input shapes.
    ///
    /// # Errors
    /// The message says what was expected and found, without the node's name, which the caller adds.
    pub fn shape(&self, inputs: &[Shape], params: &[Param]) -> Result<Shape, NetworkError> {
        let expected = self.arity(inputs.len());
        if inputs.len() != expected {
            return Err(NetworkError::Shape(format!("expected {expected} inputs, found {}", inputs.len())));
        }
        let param = |id: ParamId| params[id.index()].shape.as_slice();
        match self {
            Op::Picture { channels } => Ok(Shape { channels: *channels, extent: Extent::Picture(1) }),
            Op::Prompt { dim } => Ok(Shape::vector(*dim)),
            Op::Words(table) => sequence::words_shape(param(*table)),
            Op::Constant(id) => match param(*id) {
                [n] => Ok(Shape::vector(*n)),
                other => Err(NetworkError::Shape(format!("expected a constant of one dimension, found {other:?}"))),
            },
            Op::Fill(_) => Ok(Shape { channels: 1, ..inputs[0] }),
            Op::Conv { weight, bias } => conv::shape(inputs[0], param(*weight), bias.map(param)),
            Op::MixedConv { bank, bias } => conv::mixed_shape(inputs[0], inputs[1], param(*bank), param(*bias)),
            Op::Act(act) => elementwise::act_shape(inputs[0], act.param().map(param)),
            Op::Scale(_) | Op::Gradient { .. } | Op::Softmax => Ok(inputs[0]),
            Op::Binary(_) => elementwise::binary_shape(inputs[0], inputs[1]),
            Op::Concat => channels::concat_shape(inputs),
            Op::Slice { start, len } => channels::slice_shape(inputs[0], *start, *len),
            Op::PixelShuffle(r) => resample::shuffle_shape(inputs[0], *r),
            Op::PixelUnshuffle(r) => resample::unshuffle_shape(inputs[0], *r),
            Op::Enlarge(_, r) => resample::enlarge_shape(inputs[0], *r),
            Op::GlobalPool(_) => Ok(pool::shape(inputs[0])),
            Op::Dot => channels::dot_shape(inputs[0], inputs[1]),
            Op::Norm { .. } => Ok(channels::norm_shape(inputs[0])),
            Op::LayerNorm { weight, bias, .. } => channels::layer_norm_shape(inputs[0], param(*weight), param(*bias)),
            Op::Positions(table) => sequence::positions_shape(inputs[0], param(*table)),
            Op::Join => sequence::join_shape(inputs),
            Op::Attend { heads, .. } => sequence::attend_shape(inputs, *heads),
            Op::Take(_) => Ok(sequence::take_shape(inputs[0])),
            Op::Dcm(dcm) => dcm.shape(inputs),
        }
    }

    /// Returns the multiply-accumulates per output pixel; a module is counted after lowering.
    pub(crate) fn macs(&self, inputs: &[Shape], params: &[Param]) -> usize {
        let param = |id: ParamId| params[id.index()].shape.as_slice();
        match self {
            Op::Conv { weight, .. } => conv::macs(param(*weight)),
            Op::MixedConv { bank, .. } => conv::mixed_macs(param(*bank)),
            Op::Dot | Op::Norm { .. } => channels::reduction_macs(inputs[0]),
            // Counted by what multiplies: these move, compare or add numbers, or are small beside the rest.
            Op::PixelShuffle(_)
            | Op::PixelUnshuffle(_)
            | Op::Enlarge(..)
            | Op::GlobalPool(_)
            | Op::Attend { .. }
            | Op::Picture { .. }
            | Op::Prompt { .. }
            | Op::Words(_)
            | Op::Constant(_)
            | Op::Fill(_)
            | Op::Act(_)
            | Op::Binary(_)
            | Op::Scale(_)
            | Op::Concat
            | Op::Slice { .. }
            | Op::Gradient { .. }
            | Op::Softmax
            | Op::LayerNorm { .. }
            | Op::Positions(_)
            | Op::Join
            | Op::Take(_)
            | Op::Dcm(_) => 0,
        }
    }

    /// Returns the multiply-accumulates once per picture, in addition to those per pixel.
    pub(crate) fn macs_once(&self, params: &[Param]) -> usize {
        match self {
            Op::MixedConv { bank, .. } => conv::mixing_macs(&params[bank.index()].shape),
            _ => 0,
        }
    }

    /// Returns how far beyond a part of the output each input must be known, in its own pixels, if the output must be
    /// known for `margin` pixels beyond that part.
    pub(crate) fn reach(&self, margin: usize, params: &[Param]) -> usize {
        let param = |id: ParamId| params[id.index()].shape.as_slice();
        match self {
            Op::Conv { weight, .. } => conv::margin(margin, param(*weight)),
            Op::MixedConv { bank, .. } => conv::mixed_margin(margin, param(*bank)),
            Op::PixelShuffle(r) => resample::shuffle_margin(margin, *r),
            Op::PixelUnshuffle(r) => resample::unshuffle_margin(margin, *r),
            Op::Enlarge(interpolation, r) => resample::enlarge_margin(margin, *interpolation, *r),
            Op::Gradient { .. } => margin + 1,
            Op::GlobalPool(_)
            | Op::Attend { .. }
            | Op::Dot
            | Op::Norm { .. }
            | Op::Picture { .. }
            | Op::Prompt { .. }
            | Op::Words(_)
            | Op::Constant(_)
            | Op::Fill(_)
            | Op::Act(_)
            | Op::Binary(_)
            | Op::Scale(_)
            | Op::Concat
            | Op::Slice { .. }
            | Op::Softmax
            | Op::LayerNorm { .. }
            | Op::Positions(_)
            | Op::Join
            | Op::Take(_)
            | Op::Dcm(_) => margin,
        }
    }

    /// Returns whether each output pixel, or the only one, depends on all pixels of the input.
    pub(crate) fn reads_whole_picture(&self) -> bool {
        match self {
            Op::GlobalPool(_) | Op::Attend { .. } => true,
            Op::Conv { .. }
            | Op::MixedConv { .. }
            | Op::PixelShuffle(_)
            | Op::PixelUnshuffle(_)
            | Op::Enlarge(..)
            | Op::Dot
            | Op::Norm { .. }
            | Op::Gradient { .. }
            | Op::Picture { .. }
            | Op::Prompt { .. }
            | Op::Words(_)
            | Op::Constant(_)
            | Op::Fill(_)
            | Op::Act(_)
            | Op::Binary(_)
            | Op::Scale(_)
            | Op::Concat
            | Op::Slice { .. }
            | Op::Softmax
            | Op::LayerNorm { .. }
            | Op::Positions(_)
            | Op::Join
            | Op::Take(_)
            | Op::Dcm(_) => false,
        }
    }

    /// Visits every parameter of the operation.
    pub(crate) fn each_param(&mut self, visit: &mut dyn FnMut(&mut ParamId)) {
        match self {
            Op::Words(id) | Op::Constant(id) | Op::Positions(id) => visit(id),
            Op::Act(act) => act.param_mut().into_iter().for_each(visit),
            Op::LayerNorm { weight, bias, .. } => [weight, bias].into_iter().for_each(visit),
            Op::Conv { weight, bias } => {
                visit(weight);
                bias.iter_mut().for_each(visit);
            }
            Op::MixedConv { bank, bias } => [bank, bias].into_iter().for_each(visit),
            Op::Dcm(dcm) => dcm.each_param(visit),
            Op::Picture { .. } | Op::Prompt { .. } | Op::Fill(_) | Op::Binary(_) | Op::Scale(_) | Op::Concat => {}
            Op::Slice { .. } | Op::PixelShuffle(_) | Op::PixelUnshuffle(_) | Op::Enlarge(..) | Op::GlobalPool(_) => {}
            Op::Dot | Op::Norm { .. } | Op::Gradient { .. } | Op::Softmax => {}
            Op::Join | Op::Attend { .. } | Op::Take(_) => {}
        }
    }
}
