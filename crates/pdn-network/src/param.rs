//! Parameters: the named arrays that a network's nodes refer to and a checkpoint holds.

/// The index of a parameter in [`crate::Network::params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(pub(crate) usize);

impl ParamId {
    /// Returns the index into the network's list of parameters.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A named array that a checkpoint must contain.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Dotted name, such as `body.3.conv1.weight`.
    pub name: String,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The initialisation for training.
    pub init: Init,
}

impl Param {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The initialisation of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// A kernel: random, scaled by the number of inputs that each output sums.
    FanIn(usize),
    /// The last kernel of a residual branch: as [`Init::FanIn`], but small, so that training starts near the identity.
    Branch(usize),
    /// The last kernel before a softmax over a bank: as [`Init::FanIn`], but large, so that prompts differ from the
    /// start although the softmax divides by a temperature.
    Logits(usize),
    /// A kernel before a pixel shuffle that upscales its last input channels, as many as given, by nearest neighbour:
    /// it copies each to an equal share of adjacent outputs. The other inputs are initialised as in [`Init::Branch`].
    Nearest(usize),
    /// Random with this standard deviation: a table of embeddings.
    Spread(f64),
    /// The slopes of [`crate::Act::PRelu`]: 0.25, as in PyTorch.
    Slope,
    /// Zero, for a bias.
    Zero,
    /// A constant.
    Constant(f64),
}

/// Adds `name.weight` with this shape and its `name.bias` to the list: `[out, in, k, k]` with `[out]`, or a bank
/// `[n, out, in, k, k]` with `[n, out]`.
pub(crate) fn conv_params(params: &mut Vec<Param>, name: &str, shape: &[usize]) -> (ParamId, ParamId) {
    let outer = shape.len() - 3;
    let fan_in = shape[outer..].iter().product();
    let weight = add_param(params, format!("{name}.weight"), shape, Init::FanIn(fan_in));
    let bias = add_param(params, format!("{name}.bias"), &shape[..outer], Init::Zero);
    (weight, bias)
}

/// Adds a parameter to the list.
pub(crate) fn add_param(params: &mut Vec<Param>, name: String, shape: &[usize], init: Init) -> ParamId {
    params.push(Param { name, shape: shape.to_vec(), init });
    ParamId(params.len() - 1)
}
