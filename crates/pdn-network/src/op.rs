//! The closed list of operations, and what each makes of the shapes it is given.
//!
//! Every value in a network is a map of `channels` x height x width. A vector, such as a prompt or the result of a
//! global pool, is a map of one pixel, so a linear layer is a 1x1 convolution and needs no operation of its own. The
//! tokens of a sentence are the pixels of a map of one row; what treats pixels as tokens reads any map row by row.

use crate::{Dcm, NetworkError, Param, ParamId};

/// One operation. The list is closed: an executor, a folder or an exporter handles each of these and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The picture to enlarge, in the value range of [`crate::PictureFormat`]. No inputs.
    Picture {
        /// Channels of the picture: 3 for RGB.
        channels: usize,
    },
    /// The prompt's embedding, of unit length, along the channels of one pixel. No inputs.
    Prompt {
        /// Length of the embedding.
        dim: usize,
    },
    /// The tokens of a sentence, each as its row of a table `[vocabulary, channels]`. No inputs.
    Words(ParamId),
    /// A parameter along the channels of one pixel. No inputs.
    Constant(ParamId),
    /// One channel of this number over the extent of the input: with 1, what lies inside the picture.
    Fill(f64),
    /// Convolution of stride 1, padded with zeros so that the extent is kept. `weight` is `[out, in, k, k]`, k odd;
    /// `bias` is `[out]`.
    Conv {
        /// The kernel, `[out, in, k, k]`.
        weight: ParamId,
        /// Added to every pixel, `[out]`.
        bias: Option<ParamId>,
    },
    /// Convolution with a kernel mixed from a bank: inputs are the map and the mixture `π` of length n; the kernel is
    /// `Σ π_k bank_k` and the bias `Σ π_k bias_k` (the paper's equation 4).
    MixedConv {
        /// The kernels, `[n, out, in, k, k]`.
        bank: ParamId,
        /// Their biases, `[n, out]`.
        bias: ParamId,
    },
    /// A function of each number by itself.
    Act(Act),
    /// Two maps, number by number; the second may have one channel or one pixel, which is then used everywhere.
    Binary(Binary),
    /// Multiplication by a fixed number.
    Scale(f64),
    /// Maps of one extent, their channels one after the other.
    Concat,
    /// A run of channels.
    Slice {
        /// The first channel kept.
        start: usize,
        /// How many are kept.
        len: usize,
    },
    /// `[c r², h, w]` to `[c, h r, w r]`, as in PyTorch: channel `c r² + i r + j` becomes pixel (i, j) of each r x r.
    PixelShuffle(usize),
    /// The inverse of [`Op::PixelShuffle`]: `[c, h r, w r]` to `[c r², h, w]`.
    PixelUnshuffle(usize),
    /// Enlarged by so many times a side, without weights.
    Enlarge(Interpolation, usize),
    /// A statistic of each channel over the whole picture, as a map of one pixel.
    GlobalPool(Pool),
    /// At each pixel the inner product over channels of two maps; the second may have one pixel.
    Dot,
    /// At each pixel `sqrt(Σ x² + ε²)` over channels.
    Norm {
        /// Keeps the norm from vanishing.
        eps: f64,
    },
    /// Softmax over channels.
    Softmax,
    /// At each pixel `weight (x - mean) / sqrt(variance + ε) + bias`, the statistics over channels.
    LayerNorm {
        /// `[channels]`.
        weight: ParamId,
        /// `[channels]`.
        bias: ParamId,
        /// Added to the variance.
        eps: f64,
    },
    /// Adds to pixel t the row t of a table `[at least as many, channels]`.
    Positions(ParamId),
    /// The pixels of two maps one after the other, as a sequence.
    Join,
    /// Multi-head attention of queries to keys and values, three maps of the same channels: in each head
    /// `softmax(qᵀ k / sqrt(channels / heads)) v` over pixels.
    Attend {
        /// Among which the channels are divided evenly.
        heads: usize,
        /// Whether a pixel sees only itself and those before it.
        causal: bool,
    },
    /// One pixel of a sequence.
    Take(End),
    /// The Dynamic Correlation Module: inputs are the map and the prompt. [`crate::Network::lower`] turns it into the
    /// operations above.
    Dcm(Dcm),
}

/// A function of each number by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `x` times this slope.
    LeakyRelu(f64),
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x Φ(x)` with the normal distribution's Φ, by the error function.
    Gelu,
    /// `x / (1 + exp(-1.702 x))`, which OpenAI's CLIP uses in the place of [`Act::Gelu`].
    QuickGelu,
    /// `x` where positive, else `x` times the slope that is learned for its channel, `[channels]`.
    PRelu(ParamId),
}

/// How pixels between pixels are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Each pixel repeated.
    Nearest,
    /// From the nearest two along each axis, pixels being areas (PyTorch's `align_corners=False`).
    Bilinear,
}

impl Interpolation {
    /// The two pixels of a line of `length` that pixel `at` of the line enlarged by `r` is made from, with their
    /// weights. The weights depend on `at % r` alone, so that they are the same to the last bit wherever the line is cut.
    pub fn taps(self, at: usize, r: usize, length: usize) -> [(usize, f64); 2] {
        let (pixel, phase) = (at / r, 2 * (at % r) + 1);
        match self {
            Self::Nearest => [(pixel, 1.0), (pixel, 0.0)],
            // The centre lies (phase - r) / 2r of a pixel after that of the pixel it falls in.
            Self::Bilinear if phase < r => {
                let other = (r - phase) as f64 / (2 * r) as f64;
                [(pixel.saturating_sub(1), other), (pixel, 1.0 - other)]
            }
            Self::Bilinear => {
                let other = (phase - r) as f64 / (2 * r) as f64;
                [(pixel, 1.0 - other), ((pixel + 1).min(length - 1), other)]
            }
        }
    }
}

/// One end of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first pixel: a picture's class token.
    First,
    /// The last pixel: a sentence's end token. Where sentences are padded to one length, the last of each sentence.
    Last,
}

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The sum.
    Add,
    /// The product.
    Mul,
    /// The first by the second.
    Div,
}

/// A statistic of a channel over the whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The mean.
    Mean,
    /// The population standard deviation plus the mean (IMDN's contrast).
    Contrast,
}

/// How large a map is, beside the picture to enlarge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One pixel, whatever the picture.
    One,
    /// So many pixels a side for each pixel a side of the picture.
    Picture(usize),
    /// One pixel a side for so many pixels a side of the picture.
    Reduced(usize),
    /// As many pixels as a sentence has tokens, or a picture patches.
    Sequence,
}

impl Extent {
    /// Pixels a side, for a picture of so many.
    pub fn side(self, picture: usize) -> usize {
        match self {
            Self::Picture(scale) => picture * scale,
            Self::Reduced(by) => picture / by,
            Self::One | Self::Sequence => 1,
        }
    }

    /// What `count` for each pixel of a map comes to for each pixel of the picture.
    pub fn per_picture_pixel(self, count: usize) -> usize {
        match self {
            Self::Picture(scale) => count * scale * scale,
            Self::Reduced(by) => count / (by * by),
            Self::One | Self::Sequence => 0,
        }
    }

    /// Grown by `r` a side.
    fn times(self, r: usize) -> Option<Self> {
        match self {
            Self::Picture(scale) => Some(Self::Picture(scale * r)),
            Self::Reduced(by) if by == r => Some(Self::Picture(1)),
            Self::Reduced(by) if by % r == 0 => Some(Self::Reduced(by / r)),
            _ => None,
        }
    }

    /// Shrunk by `r` a side.
    fn over(self, r: usize) -> Option<Self> {
        match self {
            Self::Picture(1) => Some(Self::Reduced(r)),
            Self::Picture(scale) if scale % r == 0 => Some(Self::Picture(scale / r)),
            Self::Reduced(by) => Some(Self::Reduced(by * r)),
            _ => None,
        }
    }
}

/// Channels and extent of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many channels.
    pub channels: usize,
    /// How large.
    pub extent: Extent,
}

impl Shape {
    /// A map of one pixel.
    pub fn vector(channels: usize) -> Self {
        Self { channels, extent: Extent::One }
    }

    /// Whether `other` can stand beside this map, its one channel or one pixel used everywhere.
    fn spreads(self, other: Self) -> bool {
        (other.channels == self.channels || other.channels == 1)
            && (other.extent == self.extent || other.extent == Extent::One)
    }
}

impl Op {
    /// The shape this operation makes of its inputs' shapes.
    ///
    /// # Errors
    /// A sentence saying what was expected and found, without the node's name, which the caller adds.
    pub fn shape(&self, inputs: &[Shape], params: &[Param]) -> Result<Shape, NetworkError> {
        let bad = |why: String| Err(NetworkError::Shape(why));
        let wanted = self.arity(inputs.len());
        if inputs.len() != wanted {
            return bad(format!("expected {wanted} inputs, found {}", inputs.len()));
        }
        let param = |id: ParamId| params[id.index()].shape.as_slice();
        match self {
            Op::Picture { channels } => Ok(Shape { channels: *channels, extent: Extent::Picture(1) }),
            Op::Prompt { dim } => Ok(Shape::vector(*dim)),
            Op::Words(table) => match param(*table) {
                [_, channels] => Ok(Shape { channels: *channels, extent: Extent::Sequence }),
                other => bad(format!("expected a table [vocabulary, channels], found {other:?}")),
            },
            Op::Constant(id) => match param(*id) {
                [n] => Ok(Shape::vector(*n)),
                other => bad(format!("expected a constant of one dimension, found {other:?}")),
            },
            Op::Fill(_) => Ok(Shape { channels: 1, ..inputs[0] }),
            Op::Conv { weight, bias } => {
                let [o, i, kh, kw] = *param(*weight) else {
                    return bad(format!("expected a kernel [out, in, k, k], found {:?}", param(*weight)));
                };
                if let Some(bias) = bias.filter(|b| param(*b) != [o]) {
                    return bad(format!("expected a bias [{o}], found {:?}", param(bias)));
                }
                convolved(inputs[0], [o, i, kh, kw])
            }
            Op::MixedConv { bank, bias } => {
                let [n, o, i, kh, kw] = *param(*bank) else {
                    return bad(format!("expected a bank [n, out, in, k, k], found {:?}", param(*bank)));
                };
                if param(*bias) != [n, o] {
                    return bad(format!("expected biases [{n}, {o}], found {:?}", param(*bias)));
                }
                if inputs[1] != Shape::vector(n) {
                    return bad(format!("expected a mixture of {n} kernels, found {:?}", inputs[1]));
                }
                convolved(inputs[0], [o, i, kh, kw])
            }
            Op::Act(Act::PRelu(slope)) => match param(*slope) {
                [channels] if *channels == inputs[0].channels => Ok(inputs[0]),
                other => bad(format!("expected {} slopes, found {other:?}", inputs[0].channels)),
            },
            Op::Act(_) | Op::Scale(_) | Op::Softmax => Ok(inputs[0]),
            Op::Binary(_) => match inputs[0].spreads(inputs[1]) {
                true => Ok(inputs[0]),
                false => bad(format!("{:?} does not stand beside {:?}", inputs[1], inputs[0])),
            },
            Op::Concat => match inputs.iter().all(|s| s.extent == inputs[0].extent) {
                true => Ok(Shape { channels: inputs.iter().map(|s| s.channels).sum(), ..inputs[0] }),
                false => bad(format!("expected maps of one extent, found {inputs:?}")),
            },
            Op::Slice { start, len } => match start.checked_add(*len).is_some_and(|end| end <= inputs[0].channels) {
                true => Ok(Shape { channels: *len, ..inputs[0] }),
                false => bad(format!("channels {start} + {len} of {}", inputs[0].channels)),
            },
            Op::PixelShuffle(r) => match (inputs[0].channels, inputs[0].extent.times(*r)) {
                (channels, Some(extent)) if *r > 0 && channels % (r * r) == 0 => {
                    Ok(Shape { channels: channels / (r * r), extent })
                }
                _ => bad(format!("expected a map with a multiple of {r}² channels, found {:?}", inputs[0])),
            },
            Op::PixelUnshuffle(r) => match inputs[0].extent.over(*r) {
                Some(extent) => Ok(Shape { channels: inputs[0].channels * r * r, extent }),
                None => bad(format!("{:?} is no multiple of {r} pixels a side", inputs[0])),
            },
            Op::Enlarge(_, r) => match inputs[0].extent.times(*r) {
                Some(extent) if *r > 0 => Ok(Shape { extent, ..inputs[0] }),
                _ => bad(format!("{:?} cannot be enlarged by {r}", inputs[0])),
            },
            Op::GlobalPool(_) => Ok(Shape::vector(inputs[0].channels)),
            Op::Dot => match inputs[1].channels == inputs[0].channels && inputs[0].spreads(inputs[1]) {
                true => Ok(Shape { channels: 1, ..inputs[0] }),
                false => bad(format!("{:?} does not stand beside {:?}", inputs[1], inputs[0])),
            },
            Op::Norm { .. } => Ok(Shape { channels: 1, ..inputs[0] }),
            Op::LayerNorm { weight, bias, .. } => {
                match [*weight, *bias].iter().all(|p| param(*p) == [inputs[0].channels]) {
                    true => Ok(inputs[0]),
                    false => bad(format!("expected a weight and bias of {}", inputs[0].channels)),
                }
            }
            Op::Positions(table) => match param(*table) {
                [_, channels] if *channels == inputs[0].channels => Ok(inputs[0]),
                other => bad(format!("expected a table [pixels, {}], found {other:?}", inputs[0].channels)),
            },
            Op::Join => match inputs[0].channels == inputs[1].channels {
                true => Ok(Shape { extent: Extent::Sequence, ..inputs[0] }),
                false => bad(format!("expected as many channels, found {inputs:?}")),
            },
            Op::Attend { heads, .. } => {
                let alike = inputs.iter().all(|s| *s == inputs[0]);
                match alike && *heads > 0 && inputs[0].channels.is_multiple_of(*heads) {
                    true => Ok(inputs[0]),
                    false => bad(format!("expected three maps of a multiple of {heads} channels, found {inputs:?}")),
                }
            }
            Op::Take(_) => Ok(Shape::vector(inputs[0].channels)),
            Op::Dcm(dcm) => match inputs {
                [x, p] if x.channels == dcm.features && *p == Shape::vector(dcm.options.dim) => Ok(*x),
                _ => bad(format!(
                    "expected {} features and a prompt of {}, found {inputs:?}",
                    dcm.features, dcm.options.dim
                )),
            },
        }
    }

    /// Whether each pixel, or the one that comes out, depends on all pixels of the input.
    pub(crate) fn reads_whole_picture(&self) -> bool {
        matches!(self, Op::GlobalPool(_) | Op::Attend { .. })
    }

    /// How many inputs the operation takes; a concatenation takes as many as it is `given`, and at least one.
    fn arity(&self, given: usize) -> usize {
        match self {
            Op::Picture { .. } | Op::Prompt { .. } | Op::Words(_) | Op::Constant(_) => 0,
            Op::Fill(_) | Op::Conv { .. } | Op::Act(_) | Op::Scale(_) | Op::Slice { .. } => 1,
            Op::PixelShuffle(_) | Op::PixelUnshuffle(_) | Op::Enlarge(..) | Op::GlobalPool(_) => 1,
            Op::Norm { .. } | Op::Softmax => 1,
            Op::LayerNorm { .. } | Op::Positions(_) | Op::Take(_) => 1,
            Op::MixedConv { .. } | Op::Binary(_) | Op::Dot | Op::Join | Op::Dcm(_) => 2,
            Op::Attend { .. } => 3,
            Op::Concat => given.max(1),
        }
    }
}

fn convolved(x: Shape, [o, i, kh, kw]: [usize; 4]) -> Result<Shape, NetworkError> {
    if kh != kw || kh % 2 == 0 {
        return Err(NetworkError::Shape(format!("expected an odd square kernel, found {kh}x{kw}")));
    }
    if x.channels != i {
        return Err(NetworkError::Shape(format!("expected {i} channels, found {}", x.channels)));
    }
    Ok(Shape { channels: o, ..x })
}
