//! Compiles a network and its weights into steps.
//!
//! Each convolution is fused with the operations that follow it, if nothing else reads the intermediate results: an
//! activation, a factor, a sum with a map that is already computed, a pixel shuffle. If a network ends with a sum with
//! repeated pixels, the sum is computed before its shuffle, and the shuffle as the picture is read. Slices at a
//! multiple of 16 channels are views. Vectors, and operations that no network here has on its hot path, run through
//! [`dense`](mod@crate::dense).

mod format;
pub(crate) mod program;
pub(crate) mod schedule;
pub(crate) mod step;

use crate::compile::program::{Output, Program};
use crate::compile::schedule::Lags;
use crate::compile::step::{Fused, MAX_INPUTS, Place, Reach, Source, Step, Value, Work};
use pdn_kernels::{Conv, Format, LANES, Precision};
use pdn_network::{Act, Binary, Dcm, Extent, Interpolation, Network, NodeId, Op, ParamId, Shape, Weights};
use std::sync::Arc;

/// Compiles a network, its modules already folded, for one prompt.
pub(crate) fn compile(network: &Network, weights: &Weights, precision: Precision) -> Program {
    program(Compiler::new(network, weights, precision, None))
}

/// Compiles a network for regional prompts; it shares the kernels of `single`, the program for one prompt.
pub(crate) fn compile_regional(network: &Network, weights: &Weights, single: &Program) -> Program {
    program(Compiler::new(network, weights, single.precision, Some(single)))
}

fn program(mut compiler: Compiler) -> Program {
    let (network, precision) = (compiler.network, compiler.precision);
    network.ids().zip(needed(network)).filter(|(_, needed)| *needed).for_each(|(id, _)| compiler.node(id));
    let output = Output { source: compiler.source(network.output), shuffle: compiler.shuffled };
    let Compiler { mut steps, mut values, pad, flows, .. } = compiler;
    format::choose(&mut values, &steps, precision, output.source.value);
    place_frees(&mut steps, values.len(), output.source.value);
    let lags = Lags::new(&steps, values.len());
    Program { steps, values, output, pad, precision, multiple: network.multiple(), lags, flows }
}

struct Compiler<'a> {
    network: &'a Network,
    weights: &'a Weights,
    users: Vec<Vec<NodeId>>,
    places: Vec<Option<Place>>,
    steps: Vec<Step>,
    values: Vec<Value>,
    /// Concatenations read only by convolutions so far, and the maps they consist of.
    joined: Vec<(NodeId, Vec<Source>)>,
    dcms: usize,
    /// The factor of the pixel shuffle that is done as the output is read.
    shuffled: usize,
    ending: Option<Ending>,
    pad: usize,
    flows: bool,
    precision: Precision,
    /// The program for one prompt, when compiling for regional prompts.
    single: Option<&'a Program>,
}

/// The end of a network whose picture is the sum of a pixel shuffle and a nearest-neighbour enlargement by the same
/// factor, neither of which is read by anything else. The sum is computed before the shuffle instead, with channels
/// repeated as often: at the small size, without a separate pass for either.
#[derive(Clone, Copy)]
struct Ending {
    shuffle: NodeId,
    enlargement: NodeId,
    r: usize,
}

impl Ending {
    fn of(network: &Network, users: &[Vec<NodeId>]) -> Option<Self> {
        let sum = network.node(network.output);
        let (Op::Binary(Binary::Add), &[a, b]) = (&sum.op, &sum.inputs[..]) else {
            return None;
        };
        let alone = |id: NodeId| users[id.index()].len() == 1 && network.node(id).shape == sum.shape;
        [(a, b), (b, a)].into_iter().find_map(|(shuffle, enlargement)| {
            match (&network.node(shuffle).op, &network.node(enlargement).op) {
                (Op::PixelShuffle(r), Op::Enlarge(Interpolation::Nearest, other))
                    if r == other && alone(shuffle) && alone(enlargement) =>
                {
                    Some(Self { shuffle, enlargement, r: *r })
                }
                _ => None,
            }
        })
    }
}

impl<'a> Compiler<'a> {
    fn new(network: &'a Network, weights: &'a Weights, precision: Precision, single: Option<&'a Program>) -> Self {
        let mut users = vec![Vec::new(); network.nodes.len()];
        for ((id, node), _) in network.ids().zip(&network.nodes).zip(needed(network)).filter(|(_, needed)| *needed) {
            node.inputs.iter().for_each(|input| users[input.index()].push(id));
        }
        let ending = Ending::of(network, &users);
        let places = vec![None; network.nodes.len()];
        let (steps, values) = (Vec::new(), Vec::new());
        Self {
            network,
            weights,
            users,
            places,
            steps,
            values,
            joined: Vec::new(),
            dcms: 0,
            shuffled: ending.map_or(1, |ending| ending.r),
            ending,
            pad: 0,
            flows: true,
            precision,
            single,
        }
    }

    /// Compiles one node, unless it is already fused into a convolution before it.
    fn node(&mut self, id: NodeId) {
        if self.places[id.index()].is_some() {
            return;
        }
        let node = self.network.node(id);
        match (&node.op, node.shape.extent) {
            (Op::Dcm(dcm), _) => self.dcm(id, dcm),
            (Op::GlobalPool(pool), _) => match self.place(node.inputs[0]) {
                Place::Map(_) | Place::Joined(_) => {
                    self.flows = false;
                    let input = self.source(node.inputs[0]);
                    self.vector_step(id, Work::Pool { pool: *pool, input, node: id });
                }
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
                let sources = node.inputs.iter().flat_map(|i| self.sources(*i)).collect();
                self.joined.push((id, sources));
                self.places[id.index()] = Some(Place::Joined(self.joined.len() - 1));
            }
            (Op::PixelShuffle(_), _) if self.is_ending_shuffle(id) => {
                self.places[id.index()] = Some(Place::Map(self.source(node.inputs[0])));
            }
            (Op::PixelShuffle(r), _) if id == self.network.output => {
                self.shuffled = *r;
                self.places[id.index()] = Some(Place::Map(self.source(node.inputs[0])));
            }
            (Op::PixelShuffle(r), _) => {
                let work = Work::Shuffle { input: self.source(node.inputs[0]), r: *r };
                let value = self.value(id);
                self.map_step(id, work, value, 0);
            }
            (Op::Enlarge(_, r), _) if self.ending.is_some_and(|ending| ending.enlargement == id) => {
                let work = Work::Repeat { input: self.source(node.inputs[0]), times: r * r };
                let value = self.value(id);
                self.map_step(id, work, value, 0);
            }
            (Op::Enlarge(interpolation, r), _) => {
                let work = Work::Enlarge { input: self.source(node.inputs[0]), interpolation: *interpolation, r: *r };
                let value = self.value(id);
                self.map_step(id, work, value, 0);
            }
            (Op::Gradient { eps }, _) => {
                self.pad = self.pad.max(1);
                let work = Work::Gradient { input: self.source(node.inputs[0]), eps: *eps as f32 };
                let value = self.value(id);
                self.map_step(id, work, value, 0);
            }
            (Op::Act(Act::PRelu(slopes)), _) => {
                let slopes = self.slopes(*slopes);
                let work = Work::PRelu { input: self.source(node.inputs[0]), slopes };
                let value = self.value(id);
                self.map_step(id, work, value, 0);
            }
            (Op::Scale(_) | Op::Binary(Binary::Add), _) if self.sums_maps(&node.inputs) => self.sum(id),
            (Op::Binary(Binary::Mul), _) if self.multiplies_channels(&node.inputs) => {
                let work = Work::Multiply { input: self.source(node.inputs[0]), factors: node.inputs[1] };
                let value = self.value(id);
                self.map_step(id, work, value, 0);
            }
            _ => {
                let place = |i: &NodeId| match self.place(*i) {
                    Place::Joined(_) => Place::Map(self.source(*i)),
                    place => place,
                };
                let inputs = node.inputs.iter().map(place).collect();
                let value = self.value(id);
                let reach = match (&node.op, reads_rows(&node.op)) {
                    (Op::PixelUnshuffle(r), _) => Reach { down: *r, ..Reach::ROW },
                    (_, reads_rows) => {
                        self.flows &= reads_rows;
                        Reach::ROW
                    }
                };
                self.map_step(id, Work::Dense { node: id, inputs, reach }, value, 0);
            }
        }
    }

    fn conv(&mut self, id: NodeId, weight: ParamId, bias: Option<ParamId>) {
        let node = self.network.node(id);
        let kernel = &self.weights[weight];
        let sources = match self.sources(node.inputs[0]) {
            many if many.len() > MAX_INPUTS => vec![self.source(node.inputs[0])],
            some => some,
        };
        let [outputs, inputs, side] = [0, 1, 2].map(|i| kernel.shape()[i]);
        let bias = bias.map_or_else(|| vec![0.0; outputs], |b| self.weights[b].data().to_vec());
        let (last, fused, shuffle) = self.follow(id, Fused::NOTHING, Before::Conv);
        let conv = self.shared(id, shuffle).unwrap_or_else(|| {
            Arc::new(Conv::with_precision(kernel.data(), &bias, (inputs, side, shuffle), self.precision))
        });
        self.pad = self.pad.max(Conv::pad_of(side));
        let value = self.value(last);
        let cost = self.values[sources[0].value].extent.per_picture_pixel(kernel.data().len());
        self.map_step(last, Work::Conv { node: id, conv, inputs: sources, fused }, value, cost);
    }

    /// Returns the kernel that the program for one prompt has for a convolution.
    fn shared(&self, id: NodeId, shuffle: usize) -> Option<Arc<Conv>> {
        self.single?.steps.iter().find_map(|step| match &step.work {
            Work::Conv { node, conv, .. } if *node == id && conv.shuffle() == shuffle => Some(conv.clone()),
            _ => None,
        })
    }

    /// Compiles a sum of two maps, or a factor fused with the sum after it if nothing else reads the intermediate
    /// result.
    fn sum(&mut self, id: NodeId) {
        let node = self.network.node(id);
        let input = self.source(node.inputs[0]);
        let (last, scale, add) = match node.op {
            Op::Scale(factor) => {
                let (last, fused, _) = self.follow(id, Fused { scale: factor as f32, ..Fused::NOTHING }, Before::Sum);
                (last, fused.scale, fused.add)
            }
            _ => (id, 1.0, Some(self.source(node.inputs[1]))),
        };
        let value = self.value(last);
        self.map_step(last, Work::Sum { input, scale, add }, value, 0);
    }

    /// Compiles a DCM into a mask step and a convolution step.
    fn dcm(&mut self, id: NodeId, dcm: &Dcm) {
        let index = self.dcms;
        self.dcms += 1;
        let input = self.source(self.network.node(id).inputs[0]);
        let extent = self.values[input.value].extent;
        let [.., inputs, side, _] = *self.weights[dcm.kernel.0].shape() else {
            unreachable!("a kernel has at least three dimensions");
        };
        // If unfolded, the mask kernel appends the mask, too; the convolution does not read it.
        let masked = if dcm.is_deployed() || dcm.zeta.is_none() { inputs } else { inputs + 1 };
        self.pad = self.pad.max(Conv::pad_of(side));
        let mask_cost = extent.per_picture_pixel(if dcm.zeta.is_some() { dcm.features * inputs } else { 0 });
        let cost = extent.per_picture_pixel(dcm.features * inputs * side * side);
        if self.single.is_some() {
            let value = self.value(id);
            return self.map_step(id, Work::Regional { dcm: index, input, side }, value, mask_cost + cost);
        }
        self.values.push(Value { channels: masked, extent, format: Format::Singles });
        let z = self.values.len() - 1;
        let name = format!("{}.mask", dcm.name);
        self.steps.push(Step {
            name,
            work: Work::Mask { dcm: index, input },
            out: Some(z),
            frees: Vec::new(),
            cost: mask_cost,
        });
        let (last, fused) = match dcm.options.residual {
            true => (id, Fused { add: Some(input), ..Fused::NOTHING }),
            false => {
                let (last, fused, _) = self.follow(id, Fused::NOTHING, Before::MixedConv);
                (last, fused)
            }
        };
        let input = Source { value: z, first_block: 0, channels: inputs };
        let value = self.value(last);
        self.map_step(last, Work::MixedConv { dcm: index, input, side, fused }, value, cost);
    }

    /// Fuses the operations that follow a step while nothing else reads the intermediate results. Returns the node
    /// whose result is stored, what happens at the store, and the factor of the pixel shuffle.
    fn follow(&mut self, id: NodeId, mut fused: Fused, before: Before) -> (NodeId, Fused, usize) {
        let (mut last, mut shuffle) = (id, 1);
        let network = self.network;
        let may_activate = |fused: &Fused| before != Before::Sum && plain(fused);
        while let [next] = self.users[last.index()][..]
            && last != network.output
            && fused.add.is_none()
        {
            let node = network.node(next);
            match node.op {
                Op::Act(Act::Relu) if may_activate(&fused) => fused.slopes = self.slope(last, 0.0),
                Op::Act(Act::LeakyRelu(slope)) if may_activate(&fused) => fused.slopes = self.slope(last, slope as f32),
                Op::Act(Act::PRelu(slopes)) if may_activate(&fused) => fused.slopes = self.slopes(slopes),
                Op::Scale(factor) => fused.scale *= factor as f32,
                Op::PixelShuffle(r)
                    if before == Before::Conv && shuffle == 1 && self.can_shuffle(last, r, &fused.slopes) =>
                {
                    shuffle = r;
                    fused.slopes = fused.slopes.into_iter().step_by(r * r).collect();
                }
                Op::PixelShuffle(_) if self.is_ending_shuffle(next) => self.place_ending_enlargement(),
                Op::Binary(Binary::Add) if shuffle == 1 => {
                    let other = if node.inputs[0] == last { node.inputs[1] } else { node.inputs[0] };
                    match self.places[other.index()] {
                        Some(Place::Map(add)) if other != last && self.same_shape(other, last) => fused.add = Some(add),
                        _ => break,
                    }
                }
                _ => break,
            }
            // The intermediate result is never stored, and nothing else reads it.
            last = next;
        }
        self.mark_between(id, last);
        (last, fused, shuffle)
    }

    /// Marks the nodes from `first` up to but not including `last` as compiled.
    fn mark_between(&mut self, first: NodeId, last: NodeId) {
        let mut at = first;
        while at != last {
            self.places[at.index()] = Some(Place::Vector(at));
            at = self.users[at.index()][0];
        }
    }

    fn is_ending_shuffle(&self, id: NodeId) -> bool {
        self.ending.is_some_and(|ending| ending.shuffle == id)
    }

    /// Compiles the other half of the ending, if its input is computed, so that it can be added at the store.
    fn place_ending_enlargement(&mut self) {
        if let Some(Ending { enlargement, .. }) = self.ending
            && self.places[self.network.node(enlargement).inputs[0].index()].is_some()
        {
            self.node(enlargement);
        }
    }

    /// Returns the node whose shape a node's map is stored in: the maps of an ending are not shuffled.
    fn stored_as(&self, id: NodeId) -> NodeId {
        match self.ending {
            Some(Ending { shuffle, enlargement, .. }) if [shuffle, enlargement, self.network.output].contains(&id) => {
                self.network.node(shuffle).inputs[0]
            }
            _ => id,
        }
    }

    /// Returns whether a shuffle keeps each channel of a pixel in its own lane, with one slope per channel.
    fn can_shuffle(&self, id: NodeId, r: usize, slopes: &[f32]) -> bool {
        let one_slope = |of_channel: &[f32]| of_channel.iter().all(|slope| *slope == of_channel[0]);
        self.network.node(id).shape.channels.is_multiple_of(r * r * LANES) && slopes.chunks(r * r).all(one_slope)
    }

    /// Returns the same slope for each lane of a node's map.
    fn slope(&self, id: NodeId, slope: f32) -> Vec<f32> {
        vec![slope; self.network.node(id).shape.channels.next_multiple_of(LANES)]
    }

    /// Returns the slope of each lane.
    fn slopes(&self, param: ParamId) -> Vec<f32> {
        let mut slopes = self.weights[param].data().to_vec();
        slopes.resize(slopes.len().next_multiple_of(LANES), 0.0);
        slopes
    }

    fn same_shape(&self, a: NodeId, b: NodeId) -> bool {
        self.network.node(a).shape == self.network.node(b).shape
    }

    fn concat_is_aligned(&self, inputs: &[NodeId]) -> bool {
        let channels = |id: &NodeId| self.network.node(*id).shape.channels;
        inputs.iter().rev().skip(1).all(|id| channels(id).is_multiple_of(LANES))
    }

    /// Returns whether all inputs are maps of one shape.
    fn sums_maps(&self, inputs: &[NodeId]) -> bool {
        inputs.iter().all(|id| self.same_shape(*id, inputs[0]) && !matches!(self.place(*id), Place::Vector(_)))
    }

    fn multiplies_channels(&self, inputs: &[NodeId]) -> bool {
        let [map, factors] = [0, 1].map(|i| self.network.node(inputs[i]).shape);
        factors.extent == Extent::One && factors.channels == map.channels
    }

    /// Creates a value for a node's map.
    fn value(&mut self, id: NodeId) -> usize {
        let Shape { channels, extent } = self.network.node(self.stored_as(id)).shape;
        self.values.push(Value { channels, extent, format: Format::Singles });
        self.values.len() - 1
    }

    fn place(&self, id: NodeId) -> Place {
        self.places[id.index()].expect("nodes come after those they read")
    }

    /// Returns the map of a node; joined maps are copied into one, once.
    fn source(&mut self, id: NodeId) -> Source {
        match self.place(id) {
            Place::Map(source) => source,
            Place::Joined(index) => {
                let (concat, inputs) = self.joined[index].clone();
                let value = self.value(concat);
                self.map_step(concat, Work::Concat { inputs }, value, 0);
                self.source(concat)
            }
            Place::Vector(_) => unreachable!("a map was expected, and shapes were checked"),
        }
    }

    /// Returns the maps that hold a node's channels, in order.
    fn sources(&self, id: NodeId) -> Vec<Source> {
        match self.place(id) {
            Place::Map(source) => vec![source],
            Place::Joined(index) => self.joined[index].1.clone(),
            Place::Vector(_) => unreachable!("a map was expected, and shapes were checked"),
        }
    }

    fn map_step(&mut self, id: NodeId, work: Work, value: usize, cost: usize) {
        let channels = self.values[value].channels;
        self.places[id.index()] = Some(Place::Map(Source { value, first_block: 0, channels }));
        let name = self.name(&work, id);
        self.steps.push(Step { name, work, out: Some(value), frees: Vec::new(), cost });
    }

    fn vector_step(&mut self, id: NodeId, work: Work) {
        self.places[id.index()] = Some(Place::Vector(id));
        let name = self.name(&work, id);
        self.steps.push(Step { name, work, out: None, frees: Vec::new(), cost: 0 });
    }

    /// Names a step: a convolution after its kernel, a module by its own name, anything else by its operation and
    /// index.
    fn name(&self, work: &Work, id: NodeId) -> String {
        let of_param = |param: &ParamId| {
            let name = &self.network.params[param.index()].name;
            name.strip_suffix(".weight").unwrap_or(name).to_owned()
        };
        match (&self.network.node(id).op, work) {
            (Op::Dcm(dcm), _) => dcm.name.clone(),
            (_, Work::Conv { node, .. }) => match &self.network.node(*node).op {
                Op::Conv { weight, .. } => of_param(weight),
                op => unreachable!("a convolution's node is one, not {op:?}"),
            },
            (op, _) => {
                let kind = format!("{op:?}");
                let kind = kind.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
                format!("{kind} {}", id.index())
            }
        }
    }
}

/// The kind of step that following operations are fused into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Conv,
    /// Its kernel is laid out once there is a prompt, without a shuffle.
    MixedConv,
    /// A sum of two maps, or a factor: it cannot have an activation.
    Sum,
}

/// Returns whether an activation may still follow: it comes before a factor or sum.
fn plain(fused: &Fused) -> bool {
    fused.slopes.is_empty() && fused.scale == 1.0
}

/// Returns whether an operation computes each row from the same row of its inputs.
fn reads_rows(op: &Op) -> bool {
    match op {
        Op::Fill(_) | Op::Act(_) | Op::Binary(_) | Op::Scale(_) => true,
        Op::Concat | Op::Slice { .. } | Op::Dot | Op::Norm { .. } | Op::Softmax | Op::LayerNorm { .. } => true,
        // They read other rows, or have steps of their own.
        Op::Conv { .. } | Op::MixedConv { .. } | Op::Dcm(_) | Op::GlobalPool(_) | Op::Attend { .. } => false,
        Op::PixelShuffle(_) | Op::PixelUnshuffle(_) | Op::Enlarge(..) | Op::Gradient { .. } => false,
        Op::Picture { .. } | Op::Prompt { .. } | Op::Words(_) | Op::Constant(_) => false,
        Op::Positions(_) | Op::Join | Op::Take(_) => false,
    }
}

/// Returns which nodes the output depends on; what only a tap reads is left out.
fn needed(network: &Network) -> Vec<bool> {
    let mut needed = vec![false; network.nodes.len()];
    needed[network.output.index()] = true;
    for (at, node) in network.nodes.iter().enumerate().rev() {
        if needed[at] {
            node.inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    needed
}

/// Records after which step each value is no longer needed.
fn place_frees(steps: &mut [Step], values: usize, output: usize) {
    let mut done = vec![false; values];
    done[output] = true;
    for step in steps.iter_mut().rev() {
        for value in step.work.reads().map(|(value, _)| value).chain(step.out) {
            if !done[value] {
                done[value] = true;
                step.frees.push(value);
            }
        }
    }
}
