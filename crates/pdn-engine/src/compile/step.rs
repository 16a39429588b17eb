//! The steps of a compiled network, and the maps that they write.

use pdn_kernels::{Conv, Format, Precision};
use pdn_network::{Extent, Interpolation, NodeId, Pool};
use std::sync::Arc;

/// The most maps that a convolution reads without their being copied into one.
pub(crate) const MAX_INPUTS: usize = 20;

/// A map that steps write and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) channels: usize,
    pub(crate) extent: Extent,
    /// How its numbers are kept.
    pub(crate) format: Format,
}

/// Channels of a value: a run of whole blocks, or of its start.
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
    /// In several, one after the other in channels: their places are in this list of the compiler's.
    Joined(usize),
    /// In the vector of this node.
    Vector(NodeId),
}

/// What a convolution does as it stores.
#[derive(Clone, Debug)]
pub(crate) struct Fused {
    /// Of the activation, the slope of each lane that is stored on what is negative; none where there is no activation.
    pub(crate) slopes: Vec<f32>,
    pub(crate) scale: f32,
    pub(crate) add: Option<Source>,
}

impl Fused {
    /// Stores what was computed.
    pub(crate) const NOTHING: Self = Self { slopes: Vec::new(), scale: 1.0, add: None };
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Brings the picture in.
    Picture,
    /// A convolution of maps that stand one after the other in channels. Programs of one network share its kernel.
    Conv { node: NodeId, conv: Arc<Conv>, inputs: Vec<Source>, fused: Fused },
    /// A DCM's masked channels, `[m x; m]` or unfolded `m P x`.
    Mask { dcm: usize, input: Source },
    /// A DCM's convolution of its masked channels, with a kernel of some side.
    MixedConv { dcm: usize, input: Source, side: usize, fused: Fused },
    /// A whole DCM under several prompts, each for its share of every pixel, with kernels of some side.
    Regional { dcm: usize, input: Source, side: usize },
    /// A map's channels, each by its number in a vector.
    Multiply { input: Source, factors: NodeId },
    /// Maps one after the other, each at whole blocks.
    Concat { inputs: Vec<Source> },
    /// A pixel shuffle that no convolution took in.
    Shuffle { input: Source, r: usize },
    /// A leaky ReLU with a slope for each lane, that no convolution took in.
    PRelu { input: Source, slopes: Vec<f32> },
    /// Each channel so many times, one after the other: what enlarges it by repeating its pixels, before a pixel shuffle.
    Repeat { input: Source, times: usize },
    /// A map times a factor, plus another where there is one.
    Sum { input: Source, scale: f32, add: Option<Source> },
    /// An enlargement without weights.
    Enlarge { input: Source, interpolation: Interpolation, r: usize },
    /// A statistic over the picture, into the node's vector.
    Pool { pool: Pool, input: Source, node: NodeId },
    /// Any other operation on maps, through the reference; rows of the output are made of `reach` rows of the inputs.
    Reference { node: NodeId, inputs: Vec<Place>, reach: Reach },
    /// Any operation on vectors, through the reference.
    Vector { node: NodeId },
}

impl Work {
    /// The maps that a step reads, and which of their rows.
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
            Self::Shuffle { input, r } => read(input, Reach { up: *r, ..Reach::ROW }),
            Self::Enlarge { input, r, .. } => read(input, Reach { radius: 1, up: *r, down: 1 }),
            Self::Sum { input, add, .. } => {
                read(input, Reach::ROW);
                add.iter().for_each(|add| read(add, Reach::ROW));
            }
            Self::Concat { inputs } => inputs.iter().for_each(|input| read(input, Reach::ROW)),
            Self::Reference { inputs, reach, .. } => inputs.iter().for_each(|place| {
                if let Place::Map(source) = place {
                    read(source, *reach);
                }
            }),
        }
        reads.into_iter()
    }
}

/// Which rows of a map a step reads for rows of its own: row `y` for `y * down / up`, and `radius` more on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) radius: usize,
    pub(crate) up: usize,
    pub(crate) down: usize,
}

impl Reach {
    /// Each row for the same row.
    pub(crate) const ROW: Self = Self { radius: 0, up: 1, down: 1 };

    /// Rows of the output from rows of the input.
    pub(crate) fn out(self, rows: usize) -> usize {
        (rows * self.up).div_ceil(self.down)
    }

    /// Rows of the input from rows of the output.
    pub(crate) fn inward(self, rows: usize) -> usize {
        (rows * self.down).div_ceil(self.up)
    }
}

/// One step: what it does and which value it writes.
#[derive(Debug)]
pub(crate) struct Step {
    /// What a user may know it by.
    pub(crate) name: String,
    pub(crate) work: Work,
    /// Written value, or `None` for vectors.
    pub(crate) out: Option<usize>,
    /// Values that nothing reads after this step.
    pub(crate) frees: Vec<usize>,
    /// Multiply-accumulates for each pixel of the picture: what progress counts.
    pub(crate) cost: usize,
}

impl Step {
    /// Rows of the output that are computed together: where a group begins changes its numbers, by rounding. Of kernels that
    /// a prompt makes, before there is one, the most that it may be.
    pub(crate) fn group(&self, precision: Precision) -> usize {
        match &self.work {
            Work::Conv { conv, .. } => conv.group() * conv.shuffle(),
            Work::MixedConv { .. } | Work::Regional { .. } => Conv::most_rows(precision),
            _ => 1,
        }
    }
}
