//! A network as a value: nodes, parameters, inputs, output and taps. It is plain data for its readers to walk.

use crate::error::WeightFaults;
use crate::{Extent, NetworkError, Op, Param, ParamId, Shape, Tensor, Tensors};
use std::ops::Index;

/// The index of a node in [`Network::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// Returns the index into the network's list of nodes.
    pub fn index(self) -> usize {
        self.0
    }
}

/// An operation, its inputs, and the shape of its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// The input nodes, which come earlier, in the operation's order.
    pub inputs: Vec<NodeId>,
    /// The shape of the output.
    pub shape: Shape,
}

/// The value range of a network's input and output: `x = range * (rgb - mean)` with `rgb` in 0..1, and back.
///
/// The mean is subtracted before the zero padding of the first convolution: folded into that convolution it would be
/// wrong along the border.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureFormat {
    /// The value of white before the mean is subtracted: 1 or 255.
    pub range: f64,
    /// The mean of each channel in 0..1.
    pub mean: [f64; 3],
}

impl PictureFormat {
    /// RGB in 0..1, without a mean.
    pub const UNIT: Self = Self { range: 1.0, mean: [0.0; 3] };
}

/// A named map to observe while a network runs, such as a DCM's attention mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Tap {
    /// Dotted name, such as `body.3.dcm.mask`.
    pub name: String,
    /// The node that computes the map.
    pub node: NodeId,
}

/// A network without its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Key of the architecture in [`crate::zoo`].
    pub architecture: &'static str,
    /// The architecture's configuration, from which this network can be rebuilt.
    pub config: serde_json::Value,
    /// Output pixels a side per input pixel a side; 1 for an encoder, whose output is a vector.
    pub scale: usize,
    /// The value range of pictures.
    pub picture: PictureFormat,
    /// Parameters, in the order in which the nodes refer to them.
    pub params: Vec<Param>,
    /// Nodes, each after its inputs.
    pub nodes: Vec<Node>,
    /// The node whose map is the upscaled picture.
    pub output: NodeId,
    /// Maps to observe.
    pub taps: Vec<Tap>,
}

impl Network {
    /// Iterates over the node ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// Iterates over the parameter ids, in order.
    pub fn param_ids(&self) -> impl Iterator<Item = ParamId> + use<> {
        (0..self.params.len()).map(ParamId)
    }

    /// Returns a node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Returns a parameter.
    pub fn param(&self, id: ParamId) -> &Param {
        &self.params[id.0]
    }

    /// Returns the length of the prompt's embedding, or `None` if the network takes no prompt.
    pub fn prompt_dim(&self) -> Option<usize> {
        self.nodes.iter().find_map(|node| match node.op {
            Op::Prompt { dim } => Some(dim),
            _ => None,
        })
    }

    /// Returns the number that a picture's sides must be a multiple of: more than 1 if the network works on a reduced
    /// picture.
    pub fn multiple(&self) -> usize {
        let reductions = self.nodes.iter().map(|node| match node.shape.extent {
            Extent::Reduced(by) => by,
            _ => 1,
        });
        reductions.max().unwrap_or(1)
    }

    /// Takes each parameter out of `tensors` by name.
    ///
    /// # Errors
    /// [`NetworkError::Weights`] lists every missing parameter, every unexpected tensor, and every tensor that has the
    /// wrong shape or contains a number that is not finite.
    pub fn bind(&self, mut tensors: Tensors) -> Result<Weights, NetworkError> {
        let mut faults = WeightFaults::default();
        let mut bound = Vec::with_capacity(self.params.len());
        for param in &self.params {
            match tensors.remove(&param.name) {
                None => faults.missing.push(param.name.clone()),
                Some(t) if t.shape() != param.shape => {
                    faults.misshapen.push(format!("{} is {:?}, expected {:?}", param.name, t.shape(), param.shape));
                }
                Some(t) if t.data().iter().any(|v| !v.is_finite()) => faults.not_finite.push(param.name.clone()),
                Some(t) => bound.push(t),
            }
        }
        faults.unexpected = tensors.into_keys().collect();
        match faults.count() {
            0 => Ok(Weights(bound)),
            _ => Err(NetworkError::Weights(Box::new(faults))),
        }
    }

    /// Returns the weights by name, as a checkpoint holds them.
    pub fn name_weights(&self, weights: Weights) -> Tensors {
        self.params.iter().map(|p| p.name.clone()).zip(weights.0).collect()
    }
}

/// The values of the parameters, in the network's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(pub(crate) Vec<Tensor>);

impl Weights {
    /// Creates weights from tensors in the order of the network's parameters.
    ///
    /// # Errors
    /// Returns [`NetworkError::Weights`], as [`Network::bind`] does.
    pub fn in_order(network: &Network, tensors: Vec<Tensor>) -> Result<Self, NetworkError> {
        network.bind(network.params.iter().map(|p| p.name.clone()).zip(tensors).collect())
    }
}

impl Index<ParamId> for Weights {
    type Output = Tensor;

    fn index(&self, id: ParamId) -> &Tensor {
        &self.0[id.0]
    }
}
