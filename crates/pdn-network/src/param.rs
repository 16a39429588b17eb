//! Parameters: the named arrays that a network's nodes refer to and a checkpoint holds.

/// The place of a parameter in [`crate::Network::params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(pub(crate) usize);

impl ParamId {
    /// The index into the network's list of parameters.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A named array that a checkpoint must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Dotted name, such as `body.3.conv1.weight`.
    pub name: String,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// How training starts it.
    pub init: Init,
}

impl Param {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// A kernel: random, scaled by the number of inputs that each output sums.
    FanIn(usize),
    /// The last kernel of a residual branch: as [`Init::FanIn`], but small, so that training starts near the identity.
    Branch(usize),
    /// The last kernel before a softmax over a bank: as [`Init::FanIn`], but large, so that prompts differ from the start
    /// although the softmax divides by a temperature.
    Logits(usize),
    /// A kernel that repeats each of its last so many input channels in as many neighbouring outputs as fall to it, so that
    /// a pixel shuffle after it enlarges them by nearest pixels; of the others as [`Init::Branch`].
    Nearest(usize),
    /// Random with this standard deviation: a table of embeddings.
    Spread(f64),
    /// The slopes of [`crate::Act::PRelu`]: 0.25, as PyTorch starts them.
    Slope,
    /// A bias.
    Zero,
    /// This number.
    Constant(f64),
}

/// Adds `name.weight` of this shape and its `name.bias` to the list: `[out, in, k, k]` with `[out]`, or a bank
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
