//! What a compiled network is made of: maps kept as rows, and steps that write them.

use pdn_kernels::{Activation, Conv, RowShape};
use pdn_network::{Extent, Interpolation, NodeId, Pool};

/// The steps of a network, in order, and the maps they write.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) values: Vec<Value>,
    pub(crate) output: Source,
    /// Zero pixels on either side of every row: half the side of the largest kernel.
    pub(crate) pad: usize,
}

impl Program {
    /// Row shape and height of a value for a picture.
    pub(crate) fn rows_of(&self, value: usize, height: usize, width: usize) -> (RowShape, usize) {
        let Value { channels, extent } = self.values[value];
        (RowShape::new(channels, extent.side(width), self.pad), extent.side(height))
    }
}

/// A map that steps write and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) channels: usize,
    pub(crate) extent: Extent,
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
    /// In the vector of this node.
    Vector(NodeId),
}

/// What a convolution does as it stores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fused {
    pub(crate) activation: Activation,
    pub(crate) scale: f32,
    pub(crate) add: Option<Source>,
}

impl Fused {
    /// Stores what was computed.
    pub(crate) const NOTHING: Self = Self { activation: Activation::Identity, scale: 1.0, add: None };
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Brings the picture in.
    Picture,
    /// A convolution.
    Conv { conv: Box<Conv>, input: Source, fused: Fused },
    /// A DCM's masked channels, `[m x; m]` or unfolded `m P x`.
    Mask { dcm: usize, input: Source },
    /// A DCM's convolution of its masked channels.
    MixedConv { dcm: usize, input: Source, fused: Fused },
    /// A whole DCM under several prompts, each for its share of every pixel.
    Regional { dcm: usize, input: Source },
    /// A map's channels, each by its number in a vector.
    Multiply { input: Source, factors: NodeId },
    /// Maps one after the other, each at whole blocks.
    Concat { inputs: Vec<Source> },
    /// A pixel shuffle that no convolution took in.
    Shuffle { input: Source, r: usize },
    /// A leaky ReLU with a slope for each channel, that no convolution took in.
    PRelu { input: Source, slopes: Vec<f32> },
    /// A map times a factor, plus another where there is one.
    Sum { input: Source, scale: f32, add: Option<Source> },
    /// An enlargement without weights.
    Enlarge { input: Source, interpolation: Interpolation, r: usize },
    /// A statistic over the picture, into the node's vector.
    Pool { pool: Pool, input: Source, node: NodeId },
    /// Any other operation on maps, through the reference.
    Reference { node: NodeId, inputs: Vec<Place> },
    /// Any operation on vectors, through the reference.
    Vector { node: NodeId },
}

/// One step: what it does and which value it writes.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) work: Work,
    /// Written value, or `None` for vectors.
    pub(crate) out: Option<usize>,
    /// Values that nothing reads after this step.
    pub(crate) frees: Vec<usize>,
    /// Multiply-accumulates for each pixel of the picture: what progress counts.
    pub(crate) cost: usize,
}
