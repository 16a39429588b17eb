//! Compiling a network, its weights and a prompt into a plan: a list of steps over maps kept as rows.
//!
//! Modules are folded first. Then each convolution takes in what follows it, where nothing else reads what lies between:
//! an activation, a factor, a sum with a map that is already there, a pixel shuffle. Slices at a multiple of 16 channels
//! are views. Vectors, and operations that no network here has on its hot path, run through the reference.

use crate::RunError;
use crate::dcm::PromptedDcm;
use crate::error::check_prompt;
use crate::fold::fold;
use crate::run::Workspace;
use pdn_kernels::{Activation, Conv, Isa, LANES};
use pdn_network::{Act, Binary, Dcm, Extent, Network, NodeId, Op, ParamId, Pool, Summary, Weights};
use std::sync::Mutex;

/// A network compiled for this machine. It keeps the memory of its last run for the next of the same size.
#[derive(Debug)]
pub struct Plan {
    pub(crate) network: Network,
    pub(crate) weights: Weights,
    pub(crate) summary: Summary,
    pub(crate) isa: Isa,
    pub(crate) steps: Vec<Step>,
    pub(crate) values: Vec<Value>,
    pub(crate) output: Source,
    /// Zero pixels on either side of every row: half the side of the largest kernel.
    pub(crate) pad: usize,
    pub(crate) prompt: Option<Vec<f32>>,
    /// Each DCM under the prompt.
    pub(crate) dcms: Vec<PromptedDcm>,
    /// The memory of the last run, kept for the next.
    pub(crate) spare: Mutex<Option<Workspace>>,
}

/// A map that steps write and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) channels: usize,
    pub(crate) scale: usize,
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
    const NOTHING: Self = Self { activation: Activation::Identity, scale: 1.0, add: None };
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
    /// A map's channels, each by its number in a vector.
    Multiply { input: Source, factors: NodeId },
    /// Maps one after the other, each at whole blocks.
    Concat { inputs: Vec<Source> },
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

impl Plan {
    /// Compiles a network for an instruction set. A network that takes a prompt must be given one with
    /// [`Plan::set_prompt`] before it runs.
    ///
    /// # Errors
    /// [`RunError::Isa`] where the machine lacks the instruction set.
    pub fn new(network: &Network, weights: &Weights, isa: Isa) -> Result<Self, RunError> {
        if !isa.is_available() {
            return Err(RunError::Isa(isa));
        }
        let (network, weights) = fold(network, weights);
        let mut compiler = Compiler::new(&network, &weights);
        network.ids().for_each(|id| compiler.node(id));
        let Place::Map(output) = compiler.place(network.output) else {
            unreachable!("a network's output is a map");
        };
        let Compiler { mut steps, values, pad, .. } = compiler;
        place_frees(&mut steps, values.len(), output.value);
        let summary = network.summary();
        Ok(Self {
            network,
            weights,
            summary,
            isa,
            steps,
            values,
            output,
            pad,
            prompt: None,
            dcms: Vec::new(),
            spare: Mutex::default(),
        })
    }

    /// Sets the prompt: a unit vector of the network's prompt length.
    ///
    /// # Errors
    /// [`RunError::Prompt`] where the network takes no prompt or one of another length.
    pub fn set_prompt(&mut self, prompt: &[f32]) -> Result<(), RunError> {
        check_prompt(self.network.prompt_dim(), Some(prompt.len()))?;
        self.dcms = self.network.dcms().map(|dcm| PromptedDcm::new(dcm, &self.weights, prompt)).collect();
        self.prompt = Some(prompt.to_vec());
        Ok(())
    }

    /// The network as it runs: its modules folded.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What running costs.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The instruction set it was compiled for.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

struct Compiler<'a> {
    network: &'a Network,
    weights: &'a Weights,
    users: Vec<Vec<NodeId>>,
    places: Vec<Option<Place>>,
    steps: Vec<Step>,
    values: Vec<Value>,
    dcms: usize,
    pad: usize,
}

impl<'a> Compiler<'a> {
    fn new(network: &'a Network, weights: &'a Weights) -> Self {
        let mut users = vec![Vec::new(); network.nodes.len()];
        for (id, node) in network.ids().zip(&network.nodes) {
            node.inputs.iter().for_each(|input| users[input.index()].push(id));
        }
        let places = vec![None; network.nodes.len()];
        Self { network, weights, users, places, steps: Vec::new(), values: Vec::new(), dcms: 0, pad: 0 }
    }

    /// Compiles one node, unless a convolution before it took it in.
    fn node(&mut self, id: NodeId) {
        if self.places[id.index()].is_some() {
            return;
        }
        let node = self.network.node(id);
        match (&node.op, node.shape.extent) {
            (Op::Dcm(dcm), _) => self.dcm(id, dcm),
            (Op::GlobalPool(pool), _) => match self.place(node.inputs[0]) {
                Place::Map(input) => self.vector_step(id, Work::Pool { pool: *pool, input, node: id }),
                Place::Vector(_) => self.vector_step(id, Work::Vector { node: id }),
            },
            (Op::Prompt { .. }, _) => self.places[id.index()] = Some(Place::Vector(id)),
            (_, Extent::One) => self.vector_step(id, Work::Vector { node: id }),
            (Op::Picture { .. }, _) => {
                let value = self.value(id);
                self.map_step(id, Work::Picture, value, 0);
            }
            (Op::Conv { weight, bias }, _) => self.conv(id, *weight, *bias),
            (Op::Slice { start, len }, _) if start % LANES == 0 => {
                let source = self.source(node.inputs[0]);
                let view = Source { first_block: source.first_block + start / LANES, channels: *len, ..source };
                self.places[id.index()] = Some(Place::Map(view));
            }
            (Op::Concat, _) if self.concat_is_aligned(&node.inputs) => {
                let inputs = node.inputs.iter().map(|i| self.source(*i)).collect();
                let value = self.value(id);
                self.map_step(id, Work::Concat { inputs }, value, 0);
            }
            (Op::Binary(Binary::Mul), _) if self.multiplies_channels(&node.inputs) => {
                let work = Work::Multiply { input: self.source(node.inputs[0]), factors: node.inputs[1] };
                let value = self.value(id);
                self.map_step(id, work, value, 0);
            }
            _ => {
                let inputs = node.inputs.iter().map(|i| self.place(*i)).collect();
                let value = self.value(id);
                self.map_step(id, Work::Reference { node: id, inputs }, value, 0);
            }
        }
    }

    fn conv(&mut self, id: NodeId, weight: ParamId, bias: Option<ParamId>) {
        let node = self.network.node(id);
        let (input, kernel) = (self.source(node.inputs[0]), &self.weights[weight]);
        let [outputs, inputs, side] = [0, 1, 2].map(|i| kernel.shape()[i]);
        let bias = bias.map_or_else(|| vec![0.0; outputs], |b| self.weights[b].data().to_vec());
        let (last, fused, shuffle) = self.follow(id, Fused::NOTHING, true);
        let conv = Conv::new(kernel.data(), &bias, inputs, side, shuffle);
        self.pad = self.pad.max(side / 2);
        let value = self.value(last);
        let cost = kernel.data().len() * self.values[input.value].scale.pow(2);
        self.map_step(last, Work::Conv { conv: Box::new(conv), input, fused }, value, cost);
    }

    /// A mask step and a convolution step.
    fn dcm(&mut self, id: NodeId, dcm: &Dcm) {
        let index = self.dcms;
        self.dcms += 1;
        let input = self.source(self.network.node(id).inputs[0]);
        let scale = self.values[input.value].scale;
        let [.., inputs, side, _] = *self.weights[dcm.kernel.0].shape() else {
            unreachable!("a kernel has at least three dimensions");
        };
        // Unfolded, the mask kernel appends the mask too; the convolution does not read it.
        let masked = if dcm.is_deployed() || dcm.zeta.is_none() { inputs } else { inputs + 1 };
        self.pad = self.pad.max(side / 2);
        self.values.push(Value { channels: masked, scale });
        let z = self.values.len() - 1;
        let cost = if dcm.zeta.is_some() { dcm.features * inputs } else { 0 } * scale.pow(2);
        self.steps.push(Step { work: Work::Mask { dcm: index, input }, out: Some(z), frees: Vec::new(), cost });
        let (last, fused) = match dcm.options.residual {
            true => (id, Fused { add: Some(input), ..Fused::NOTHING }),
            false => {
                let (last, fused, _) = self.follow(id, Fused::NOTHING, false);
                (last, fused)
            }
        };
        let input = Source { value: z, first_block: 0, channels: inputs };
        let value = self.value(last);
        let cost = dcm.features * inputs * side * side * scale.pow(2);
        self.map_step(last, Work::MixedConv { dcm: index, input, fused }, value, cost);
    }

    /// Takes in what follows a convolution while nothing else reads what lies between: gives the node whose result is
    /// stored, what happens at the store, and the factor of the pixel shuffle.
    fn follow(&mut self, id: NodeId, mut fused: Fused, may_shuffle: bool) -> (NodeId, Fused, usize) {
        let (mut last, mut shuffle) = (id, 1);
        let network = self.network;
        while let [next] = self.users[last.index()][..]
            && last != network.output
            && fused.add.is_none()
        {
            let node = network.node(next);
            match node.op {
                Op::Act(Act::Relu) if plain(&fused) => fused.activation = Activation::Relu { slope: 0.0 },
                Op::Act(Act::LeakyRelu(slope)) if plain(&fused) => {
                    fused.activation = Activation::Relu { slope: slope as f32 };
                }
                Op::Scale(factor) => fused.scale *= factor as f32,
                Op::PixelShuffle(r) if may_shuffle && shuffle == 1 && self.can_shuffle(last, r) => shuffle = r,
                Op::Binary(Binary::Add) if shuffle == 1 => {
                    let other = if node.inputs[0] == last { node.inputs[1] } else { node.inputs[0] };
                    match self.places[other.index()] {
                        Some(Place::Map(add)) if other != last && self.same_shape(other, last) => fused.add = Some(add),
                        _ => break,
                    }
                }
                _ => break,
            }
            // What lies between is never stored, and nothing else reads it: mark it with the place of the step.
            last = next;
        }
        self.mark_between(id, last);
        (last, fused, shuffle)
    }

    /// Marks the nodes from `first` up to but without `last` as done.
    fn mark_between(&mut self, first: NodeId, last: NodeId) {
        let mut at = first;
        while at != last {
            self.places[at.index()] = Some(Place::Vector(at));
            at = self.users[at.index()][0];
        }
    }

    fn can_shuffle(&self, id: NodeId, r: usize) -> bool {
        self.network.node(id).shape.channels.is_multiple_of(r * r * LANES)
    }

    fn same_shape(&self, a: NodeId, b: NodeId) -> bool {
        self.network.node(a).shape == self.network.node(b).shape
    }

    fn concat_is_aligned(&self, inputs: &[NodeId]) -> bool {
        let channels = |id: &NodeId| self.network.node(*id).shape.channels;
        inputs.iter().rev().skip(1).all(|id| channels(id).is_multiple_of(LANES))
    }

    fn multiplies_channels(&self, inputs: &[NodeId]) -> bool {
        let [map, factors] = [0, 1].map(|i| self.network.node(inputs[i]).shape);
        factors.extent == Extent::One && factors.channels == map.channels
    }

    /// A new value of a node's shape.
    fn value(&mut self, id: NodeId) -> usize {
        let shape = self.network.node(id).shape;
        let Extent::Picture(scale) = shape.extent else { unreachable!("only maps are values") };
        self.values.push(Value { channels: shape.channels, scale });
        self.values.len() - 1
    }

    fn place(&self, id: NodeId) -> Place {
        self.places[id.index()].expect("nodes come after those they read")
    }

    fn source(&self, id: NodeId) -> Source {
        match self.place(id) {
            Place::Map(source) => source,
            Place::Vector(_) => unreachable!("a map was expected, and shapes were checked"),
        }
    }

    fn map_step(&mut self, id: NodeId, work: Work, value: usize, cost: usize) {
        let channels = self.values[value].channels;
        self.places[id.index()] = Some(Place::Map(Source { value, first_block: 0, channels }));
        self.steps.push(Step { work, out: Some(value), frees: Vec::new(), cost });
    }

    fn vector_step(&mut self, id: NodeId, work: Work) {
        self.places[id.index()] = Some(Place::Vector(id));
        self.steps.push(Step { work, out: None, frees: Vec::new(), cost: 0 });
    }
}

/// Whether only an activation may still follow: a factor or sum comes after it.
fn plain(fused: &Fused) -> bool {
    fused.activation == Activation::Identity && fused.scale == 1.0
}

/// The values that a step reads.
fn reads(work: &Work) -> Vec<usize> {
    let fused_add = |fused: &Fused| fused.add.map(|add| add.value);
    match work {
        Work::Picture | Work::Vector { .. } => Vec::new(),
        Work::Conv { input, fused, .. } | Work::MixedConv { input, fused, .. } => {
            [Some(input.value), fused_add(fused)].into_iter().flatten().collect()
        }
        Work::Mask { input, .. } | Work::Multiply { input, .. } | Work::Pool { input, .. } => vec![input.value],
        Work::Concat { inputs } => inputs.iter().map(|input| input.value).collect(),
        Work::Reference { inputs, .. } => inputs
            .iter()
            .filter_map(|place| match place {
                Place::Map(source) => Some(source.value),
                Place::Vector(_) => None,
            })
            .collect(),
    }
}

/// Notes after which step each value is no longer read.
fn place_frees(steps: &mut [Step], values: usize, output: usize) {
    let mut done = vec![false; values];
    done[output] = true;
    for step in steps.iter_mut().rev() {
        for value in reads(&step.work).into_iter().chain(step.out) {
            if !done[value] {
                done[value] = true;
                step.frees.push(value);
            }
        }
    }
}
