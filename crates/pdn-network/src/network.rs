//! A network as a value: nodes, parameters, inputs, output and taps. It is plain data that every reader walks.

use crate::error::WeightFaults;
use crate::{Extent, NetworkError, Op, Param, ParamId, Shape, Tensor, Tensors};
use std::ops::Index;

/// The place of a node in [`Network::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The index into the network's list of nodes.
    pub fn index(self) -> usize {
        self.0
    }
}

/// An operation, the nodes it reads, and the shape it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Earlier nodes, in the operation's order.
    pub inputs: Vec<NodeId>,
    /// What comes out.
    pub shape: Shape,
}

/// What the network takes and gives as a picture: `x = range * (rgb - mean)` with `rgb` in 0..1, and back.
///
/// The mean is subtracted when a picture becomes numbers, before the zero padding of the first convolution: folded
/// into that convolution it would be wrong along the border.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureFormat {
    /// What white is without the mean: 1 or 255.
    pub range: f64,
    /// Mean of each channel in 0..1.
    pub mean: [f64; 3],
}

impl PictureFormat {
    /// RGB in 0..1.
    pub const UNIT: Self = Self { range: 1.0, mean: [0.0; 3] };
}

/// A named place to look at while a network runs. On a DCM it is the attention mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Tap {
    /// Dotted name, such as `body.3.dcm.mask`.
    pub name: String,
    /// The node looked at.
    pub node: NodeId,
}

/// A network: what it computes, without its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Key of the architecture in [`crate::zoo`].
    pub architecture: &'static str,
    /// The architecture's configuration, which builds this value again.
    pub config: serde_json::Value,
    /// Pixels a side of the output for each pixel a side of the input; 1 for an encoder, whose output is a vector.
    pub scale: usize,
    /// How pictures become numbers and back.
    pub picture: PictureFormat,
    /// Parameters, in the order in which the nodes name them.
    pub params: Vec<Param>,
    /// Nodes, each after those it reads.
    pub nodes: Vec<Node>,
    /// The node whose map is the enlarged picture.
    pub output: NodeId,
    /// Places to look at.
    pub taps: Vec<Tap>,
}

impl Network {
    /// The nodes' places, in order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// The parameters' places, in order.
    pub fn param_ids(&self) -> impl Iterator<Item = ParamId> + use<> {
        (0..self.params.len()).map(ParamId)
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The parameter.
    pub fn param(&self, id: ParamId) -> &Param {
        &self.params[id.0]
    }

    /// Length of the prompt's embedding, or `None` where the network takes no prompt.
    pub fn prompt_dim(&self) -> Option<usize> {
        self.nodes.iter().find_map(|node| match node.op {
            Op::Prompt { dim } => Some(dim),
            _ => None,
        })
    }

    /// What the sides of a picture must be a multiple of: more than 1 where the network works on a reduced picture.
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
    /// [`NetworkError::Weights`] lists every parameter that is missing, every tensor that no parameter names, and
    /// those whose shape differs or that hold a number that is not finite.
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

    /// The weights by name, as a checkpoint holds them.
    pub fn name_weights(&self, weights: Weights) -> Tensors {
        self.params.iter().map(|p| p.name.clone()).zip(weights.0).collect()
    }
}

/// The parameters' numbers, in the network's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(pub(crate) Vec<Tensor>);

impl Weights {
    /// Weights from tensors in the order of the network's parameters.
    ///
    /// # Errors
    /// [`NetworkError::Weights`] as for [`Network::bind`].
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
