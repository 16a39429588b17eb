//! The steps of a compiled network, and the maps that they write.

use pdn_kernels::{Conv, Format, Precision};
use pdn_network::{Extent, Interpolation, NodeId, Pool};
use std::sync::Arc;

/// The most maps that a convolution reads without copying them into one.
pub(crate) const MAX_INPUTS: usize = 20;

/// A map that steps write and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) channels: usize,
    pub(crate) extent: Extent,
    /// How its numbers are stored.
    pub(crate) format: Format,
}

/// Channels of a value: a run of whole blocks, or the beginning of such a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) value: usize,
    pub(crate) first_block: usize,
    pub(crate) channels: usize,
}

/// Where a step finds a node's result.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In a map.
    Map(Source),
    /// In several maps, concatenated by channel; the index is into the compiler's list.
    Joined(usize),
    /// In the vector of this node.
    Vector(NodeId),
}

/// What a convolution does as it stores its result.
#[derive(Clone, Debug)]
pub(crate) struct Fused {
    /// The slope of the activation for negative numbers, per lane; empty without an activation.
    pub(crate) slopes: Vec<f32>,
    pub(crate) scale: f32,
    pub(crate) add: Option<Source>,
}

impl Fused {
    /// Stores the result unchanged.
    pub(crate) const NOTHING: Self = Self { slopes: Vec::new(), scale: 1.0, add: None };
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Loads the picture.
    Picture,
    /// A convolution of maps that are concatenated by channel. Programs of one network share its kernel.
    Conv { node: NodeId, conv: Arc<Conv>, inputs: Vec<Source>, fused: Fused },
    /// A DCM's masked channels, `[m x; m]` or unfolded `m P x`.
    Mask { dcm: usize, input: Source },
    /// A DCM's convolution of its masked channels, with a kernel of this side.
    MixedConv { dcm: usize, input: Source, side: usize, fused: Fused },
    /// A whole DCM under several prompts, weighted by their shares at every pixel, with kernels of this side.
    Regional { dcm: usize, input: Source, side: usize },
    /// Multiplies a map's channels by the numbers of a vector.
    Multiply { input: Source, factors: NodeId },
    /// Concatenates maps, each of whole blocks.
    Concat { inputs: Vec<Source> },
    /// A pixel shuffle that is not fused into a convolution.
    Shuffle { input: Source, r: usize },
    /// A leaky ReLU with a slope per lane that is not fused into a convolution.
    PRelu { input: Source, slopes: Vec<f32> },
    /// Repeats each channel in place: a nearest-neighbour enlargement before a pixel shuffle.
    Repeat { input: Source, times: usize },
    /// A map times a factor, plus another map if there is one.
    Sum { input: Source, scale: f32, add: Option<Source> },
    /// An enlargement without weights.
    Enlarge { input: Source, interpolation: Interpolation, r: usize },
    /// A statistic over the picture, written to the node's vector.
    Pool { pool: Pool, input: Source, node: NodeId },
    /// The length of each channel's gradient.
    Gradient { input: Source, eps: f32 },
    /// Any other operation on maps, through [`dense`](mod@crate::dense); output rows depend on input rows by `reach`.
    Dense { node: NodeId, inputs: Vec<Place>, reach: Reach },
    /// Any operation on vectors, through [`dense`](mod@crate::dense).
    Vector { node: NodeId },
}

impl Work {
    /// Returns the maps that a step reads, and which of their rows.
    pub(crate) fn reads(&self) -> impl Iterator<Item = (usize, Reach)> {
        let mut reads = Vec::new();
        let mut read = |source: &Source, reach: Reach| reads.push((source.value, reach));
        match self {
            Self::Picture | Self::Vector { .. } => {}
            Self::Conv { conv, inputs, fused, .. } => {
                let reach = Reach { radius: conv.side() / 2, up: conv.shuffle(), down: 1 };
                inputs.iter().for_each(|input| read(input, reach));
                fused.add.iter().for_each(|add| read(add, Reach::ROW));
            }
            Self::MixedConv { input, side, fused, .. } => {
                read(input, Reach { radius: side / 2, ..Reach::ROW });
                fused.add.iter().for_each(|add| read(add, Reach::ROW));
            }
            Self::Regional { input, side, .. } => read(input, Reach { radius: side / 2, ..Reach::ROW }),
            Self::Mask { input, .. }
            | Self::Multiply { input, .. }
            | Self::PRelu { input, .. }
            | Self::Repeat { input, .. } => read(input, Reach::ROW),
            Self::Pool { input, .. } => read(input, Reach::ROW),
            Self::Gradient { input, .. } => read(input, Reach { radius: 1, ..Reach::ROW }),
            Self::Shuffle { input, r } => read(input, Reach { up: *r, ..Reach::ROW }),
            Self::Enlarge { input, r, .. } => read(input, Reach { radius: 1, up: *r, down: 1 }),
            Self::Sum { input, add, .. } => {
                read(input, Reach::ROW);
                add.iter().for_each(|add| read(add, Reach::ROW));
            }
            Self::Concat { inputs } => inputs.iter().for_each(|input| read(input, Reach::ROW)),
            Self::Dense { inputs, reach, .. } => inputs.iter().for_each(|place| {
                if let Place::Map(source) = place {
                    read(source, *reach);
                }
            }),
        }
        reads.into_iter()
    }
}

/// The input rows that a step reads for its output rows: `y * down / up` for row `y`, and `radius` more on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) radius: usize,
    pub(crate) up: usize,
    pub(crate) down: usize,
}

impl Reach {
    /// Each row from the same row.
    pub(crate) const ROW: Self = Self { radius: 0, up: 1, down: 1 };

    /// Converts a number of input rows to output rows.
    pub(crate) fn out(self, rows: usize) -> usize {
        (rows * self.up).div_ceil(self.down)
    }

    /// Converts a number of output rows to input rows.
    pub(crate) fn inward(self, rows: usize) -> usize {
        (rows * self.down).div_ceil(self.up)
    }
}

/// One step: what it does and which value it writes.
#[derive(Debug)]
pub(crate) struct Step {
    /// The name shown to users.
    pub(crate) name: String,
    pub(crate) work: Work,
    /// The value it writes; `None` for vectors.
    pub(crate) out: Option<usize>,
    /// Values that nothing reads after this step.
    pub(crate) frees: Vec<usize>,
    /// Multiply-accumulates per pixel of the picture, the unit of progress.
    pub(crate) cost: usize,
}

impl Step {
    /// Returns how many output rows are computed together: where a group begins changes its numbers, by rounding. For
    /// kernels that depend on a prompt, this is the most it can be.
    pub(crate) fn group(&self, precision: Precision) -> usize {
        match &self.work {
            Work::Conv { conv, .. } => conv.group() * conv.shuffle(),
            Work::MixedConv { .. } | Work::Regional { .. } => Conv::most_rows(precision),
            _ => 1,
        }
    }
}
