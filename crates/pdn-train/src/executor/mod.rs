//! The burn executor: runs the same nodes as the reference, over a batch, with gradients.
//!
//! Maps are `[images, channels, height, width]`, but [`Pixels`] between convolutions; a vector has one pixel, a
//! sequence one row. A DCM is not lowered but run in a folded form ([`crate::executor::dcm`]), as computing its d
//! channels would cost many times as much.

mod burn_ops;
pub mod convolution;
pub mod dcm;
pub mod layer_norm;
pub(crate) mod memory;
pub mod weights;

use crate::executor::convolution::{Pixels, Precision, Then};
use crate::executor::layer_norm::layer_norm;
use crate::executor::weights::Parameters;
use burn::tensor::ops::PadMode;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation};
use pdn_kernels::PixelConv;
use pdn_network::{Act, Binary, End, Extent, Interpolation, Network, Node, NodeId, Op, ParamId, Pool};

/// The inputs of a network, over a batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// `[images, channels, height, width]`, in the network's value range.
    pub picture: Option<Tensor<4>>,
    /// `[images, dim, 1, 1]`, of unit length.
    pub prompt: Option<Tensor<4>>,
    /// Tokenized sentences, padded to one length.
    pub words: Option<Words>,
    /// The precision of convolutions.
    pub precision: Precision,
}

/// Tokenized sentences, padded to one length.
#[derive(Clone, Debug)]
pub struct Words {
    /// `[sentences, length]`.
    pub tokens: Tensor<2, Int>,
    /// The index of each sentence's last token.
    pub last: Tensor<1, Int>,
}

/// The outputs of a network.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// The output for every image.
    pub output: Tensor<4>,
    /// What each DCM did, in order.
    pub dcms: Vec<dcm::Trace>,
    /// Each tapped map that is not a DCM's mask, in order.
    pub taps: Vec<Tensor<4>>,
}

/// Runs a network over a batch.
///
/// # Panics
/// If the batch lacks an input that the network reads, or shapes do not fit: a trainer checks its data on loading.
pub fn run(network: &Network, parameters: &Parameters, batch: &Batch) -> Outputs {
    watched(network, parameters, batch, &mut |_, _| {})
}

/// Returns the first layer of a network whose output is not finite, by the name of its kernel; for an operation without
/// a kernel, the layer before it.
pub fn first_not_finite(network: &Network, parameters: &Parameters, batch: &Batch) -> Option<String> {
    let (mut layer, mut found) = ("the input".to_owned(), None);
    watched(network, parameters, batch, &mut |node, map| {
        match &node.op {
            Op::Conv { weight: param, .. }
            | Op::MixedConv { bank: param, .. }
            | Op::LayerNorm { weight: param, .. } => {
                layer.clone_from(&network.param(*param).name);
            }
            Op::Dcm(dcm) => layer.clone_from(&dcm.name),
            _ => {}
        }
        let map = match map {
            Map::Planes(map) => map.clone(),
            Map::Pixels(map) => map.clone().map(),
        };
        let numbers: Vec<f32> = map.into_data().try_into_vec().expect("maps are f32");
        if found.is_none() && numbers.iter().any(|v| !v.is_finite()) {
            found = Some(layer.clone());
        }
    });
    found
}

/// Runs a network and passes each map to `watch` as it is computed, with its node.
fn watched(network: &Network, parameters: &Parameters, batch: &Batch, watch: &mut dyn FnMut(&Node, &Map)) -> Outputs {
    let run = Run { network, parameters, batch };
    let mut dcms = Vec::new();
    let mut maps: Vec<Option<Map>> = Vec::with_capacity(network.nodes.len());
    let mut left = users(network);
    let fused = fused(network, &left);
    for (id, node) in network.ids().zip(&network.nodes) {
        // A map is moved to its last user, which can then overwrite it.
        let mut take = |input: &NodeId| {
            left[input.index()] -= 1;
            let map = &mut maps[input.index()];
            let map = if left[input.index()] == 0 { map.take() } else { map.clone() };
            map.expect("nodes stand after what they read")
        };
        let map = match fused[id.index()] {
            Fusion::None => {
                let inputs = node.inputs.iter().map(take).collect();
                Some(run.node(node, inputs, &mut dcms))
            }
            // Its user runs it.
            Fusion::Left => None,
            Fusion::With(conv) => {
                let Op::Conv { weight, bias } = network.node(conv).op else { unreachable!("only these are fused") };
                let x = take(&network.node(conv).inputs[0]);
                let then = match node.op {
                    Op::PixelShuffle(shuffle) => Then { shuffle, ..Then::NOTHING },
                    Op::Binary(_) => {
                        let other = node.inputs.iter().find(|input| **input != conv).map(take);
                        Then { add: other.map(Map::pixels), ..Then::NOTHING }
                    }
                    _ => Then::RELU,
                };
                Some(run.conv(x, weight, bias, then))
            }
        };
        let layer = match fused[id.index()] {
            Fusion::With(conv) => network.node(conv),
            _ => node,
        };
        if let Some(map) = &map {
            watch(layer, map);
        }
        maps.push(map);
    }
    let output = maps[network.output.index()].take().expect("the output has no user left").planes();
    let taps = tapped(network).filter_map(|tap| maps[tap.index()].clone().map(Map::planes)).collect();
    Outputs { output, dcms, taps }
}

/// The maps of a node.
#[derive(Clone, Debug)]
enum Map {
    /// `[images, channels, height, width]`.
    Planes(Tensor<4>),
    /// Channels last, as convolutions write them.
    Pixels(Pixels),
}

impl Map {
    fn planes(self) -> Tensor<4> {
        match self {
            Map::Planes(planes) => planes,
            Map::Pixels(pixels) => pixels.planes(),
        }
    }

    fn pixels(self) -> Pixels {
        match self {
            Map::Planes(planes) => Pixels::of_planes(planes),
            Map::Pixels(pixels) => pixels,
        }
    }

    /// Brings maps to one layout, channels-last if any has it; returns them, their channel axis, and the constructor
    /// for results.
    fn alike(maps: Vec<Self>) -> (Vec<Tensor<4>>, usize, fn(Tensor<4>) -> Self) {
        if maps.iter().any(|map| matches!(map, Map::Pixels(_))) {
            return (maps.into_iter().map(|map| map.pixels().map()).collect(), 3, |map| Map::Pixels(Pixels::new(map)));
        }
        (maps.into_iter().map(Map::planes).collect(), 1, Map::Planes)
    }
}

/// How a node runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fusion {
    /// On its own.
    None,
    /// A convolution that its only user runs.
    Left,
    /// Together with the convolution that it reads.
    With(NodeId),
}

/// Finds the convolutions to fuse into the ReLU, sum or shuffle that is their only reader.
fn fused(network: &Network, users: &[usize]) -> Vec<Fusion> {
    let mut fusions = vec![Fusion::None; network.nodes.len()];
    for (id, node) in network.ids().zip(&network.nodes) {
        let alone = |input: &&NodeId| users[input.index()] == 1 && matches!(network.node(**input).op, Op::Conv { .. });
        let shuffles = |input: &&NodeId, r: usize| match network.node(**input).op {
            Op::Conv { weight, .. } => match network.param(weight).shape[..] {
                [outputs, inputs, side, _] => PixelConv::shuffles(outputs, inputs, side, r),
                _ => false,
            },
            _ => false,
        };
        let conv = match node.op {
            Op::Act(Act::Relu) => node.inputs.first().filter(alone),
            Op::PixelShuffle(r) => node.inputs.first().filter(alone).filter(|input| shuffles(input, r)),
            Op::Binary(Binary::Add) if network.node(node.inputs[0]).shape == network.node(node.inputs[1]).shape => {
                node.inputs.iter().find(alone)
            }
            _ => None,
        };
        if let Some(conv) = conv {
            fusions[conv.index()] = Fusion::Left;
            fusions[id.index()] = Fusion::With(*conv);
        }
    }
    fusions
}

/// Returns the nodes of taps other than masks.
fn tapped(network: &Network) -> impl Iterator<Item = NodeId> {
    network.taps.iter().map(|tap| tap.node).filter(|tap| !matches!(network.node(*tap).op, Op::Dcm(_)))
}

/// Counts the readers of each node, including taps.
fn users(network: &Network) -> Vec<usize> {
    let mut users = vec![0; network.nodes.len()];
    users[network.output.index()] = 1;
    tapped(network).for_each(|tap| users[tap.index()] += 1);
    network.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| users[input.index()] += 1);
    users
}

struct Run<'a> {
    network: &'a Network,
    parameters: &'a Parameters,
    batch: &'a Batch,
}

impl Run<'_> {
    fn node(&self, node: &Node, inputs: Vec<Map>, dcms: &mut Vec<dcm::Trace>) -> Map {
        match &node.op {
            Op::Conv { .. } | Op::MixedConv { .. } | Op::Dcm(_) => self.convolution(node, inputs, dcms),
            Op::Fill(_) | Op::Act(_) | Op::Binary(_) | Op::Scale(_) | Op::Concat | Op::Slice { .. } => {
                let (inputs, channels, kept) = Map::alike(inputs);
                kept(self.anyhow(node, inputs, channels))
            }
            _ => Map::Planes(self.planes(node, inputs.into_iter().map(Map::planes).collect())),
        }
    }

    /// Runs an operation that reads and writes channels-last maps.
    fn convolution(&self, node: &Node, inputs: Vec<Map>, dcms: &mut Vec<dcm::Trace>) -> Map {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many inputs as the operation takes");
        match &node.op {
            Op::Conv { weight, bias } => self.conv(next(), *weight, *bias, Then::NOTHING),
            Op::MixedConv { bank, bias } => {
                let (x, mixture) = (next().pixels(), next().planes());
                let mixed = |id: ParamId| dcm::mix(mixture.clone(), self.parameter(id));
                let [_, outputs, inputs, side, _] = self.dims(*bank);
                let images = mixture.dims()[0];
                let kernel = mixed(*bank).reshape([images, outputs, inputs, side, side]);
                Map::Pixels(self.batch.precision.convolve(x, kernel, mixed(*bias), Then::NOTHING))
            }
            Op::Dcm(module) => {
                let (x, prompt) = (next().pixels(), next().planes());
                let (y, trace) = dcm::run(module, self.network, self.parameters, x, prompt, self.batch.precision);
                dcms.push(trace);
                Map::Pixels(y)
            }
            _ => unreachable!("the caller has the rest"),
        }
    }

    /// Runs an operation that works in any layout; `channels` is the channel axis.
    fn anyhow(&self, node: &Node, inputs: Vec<Tensor<4>>, channels: usize) -> Tensor<4> {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many inputs as the operation takes");
        match &node.op {
            Op::Fill(value) => {
                let x = next();
                let mut shape = x.dims();
                shape[channels] = 1;
                Tensor::full(shape, *value, &x.device())
            }
            Op::Act(Act::PRelu(slopes)) => {
                let (x, mut shape) = (next(), [1; 4]);
                shape[channels] = self.shape(*slopes)[0];
                activation::relu(x.clone()) - activation::relu(-x) * self.parameter(*slopes).reshape(shape)
            }
            Op::Act(act) => activate(*act, next()),
            Op::Binary(binary) => {
                let (x, y) = (next(), next());
                match binary {
                    Binary::Add => x + y,
                    Binary::Mul => x * y,
                    Binary::Div => x / y,
                }
            }
            Op::Scale(factor) => next() * *factor,
            Op::Concat => Tensor::cat(inputs.collect(), channels),
            Op::Slice { start, len } => next().narrow(channels, *start, *len),
            _ => unreachable!("the caller has the rest"),
        }
    }

    fn planes(&self, node: &Node, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many inputs as the operation takes");
        match &node.op {
            Op::Picture { .. } => self.batch.picture.clone().expect("a picture"),
            Op::Prompt { .. } => self.batch.prompt.clone().expect("a prompt"),
            Op::Words(table) => self.words(*table),
            Op::Constant(id) => {
                let shape = [1, self.shape(*id)[0], 1, 1];
                self.parameter(*id).reshape(shape)
            }
            Op::PixelShuffle(r) => pixel_shuffle(next(), *r),
            Op::PixelUnshuffle(r) => pixel_unshuffle(next(), *r),
            Op::Enlarge(interpolation, r) => enlarge(next(), *interpolation, *r),
            Op::GlobalPool(Pool::Mean) if self.network.node(node.inputs[0]).shape.extent == Extent::Sequence => {
                self.mean_of_words(next())
            }
            Op::GlobalPool(pool) => global_pool(*pool, next()),
            Op::Dot => (next() * next()).sum_dim(1),
            Op::Norm { eps } => (next().powi_scalar(2).sum_dim(1) + eps * eps).sqrt(),
            Op::Gradient { eps } => gradient(next(), *eps),
            Op::Softmax => activation::softmax(next(), 1),
            Op::LayerNorm { weight, bias, eps } => {
                layer_norm(next(), self.parameter(*weight), self.parameter(*bias), *eps)
            }
            Op::Positions(table) => {
                let x = next();
                let [_, channels, height, width] = x.dims();
                let rows = self.parameter(*table).narrow(0, 0, height * width * channels);
                x + rows.reshape([height * width, channels]).swap_dims(0, 1).reshape([1, channels, height, width])
            }
            Op::Join => join(next(), next()),
            Op::Attend { heads, causal } => attend([next(), next(), next()], *heads, *causal),
            Op::Take(end) => self.take(*end, next()),
            _ => unreachable!("the caller has the rest"),
        }
    }

    fn parameter(&self, id: ParamId) -> Tensor<1> {
        self.parameters[id.index()].clone()
    }

    fn shape(&self, id: ParamId) -> &[usize] {
        &self.network.param(id).shape
    }

    fn dims<const D: usize>(&self, id: ParamId) -> [usize; D] {
        self.shape(id).try_into().expect("checked as the network was built")
    }

    fn conv(&self, x: Map, weight: ParamId, bias: Option<ParamId>, then: Then) -> Map {
        let x = x.pixels();
        let [outputs, inputs, side, _] = self.dims(weight);
        let bias = match bias {
            Some(bias) => self.parameter(bias),
            None => Tensor::zeros([outputs], &self.parameters[weight.index()].device()),
        };
        let kernel = self.parameter(weight).reshape([1, outputs, inputs, side, side]);
        Map::Pixels(self.batch.precision.convolve(x, kernel, bias.reshape([1, outputs]), then))
    }

    fn words(&self, table: ParamId) -> Tensor<4> {
        let Words { tokens, .. } = self.batch.words.as_ref().expect("sentences");
        let [sentences, length] = tokens.dims();
        let [vocabulary, channels] = self.dims(table);
        let rows = self.parameter(table).reshape([vocabulary, channels]).select(0, tokens.clone().flatten(0, 1));
        rows.reshape([sentences, length, channels]).swap_dims(1, 2).reshape([sentences, channels, 1, length])
    }

    /// Computes the mean over each sentence's own tokens, without its padding.
    fn mean_of_words(&self, x: Tensor<4>) -> Tensor<4> {
        let Some(Words { last, .. }) = &self.batch.words else { return global_pool(Pool::Mean, x) };
        let [sentences, _, _, length] = x.dims();
        let at = Tensor::<1, Int>::arange(0..length as i64, &x.device()).reshape([1, 1, 1, length]);
        let last = last.clone().reshape([sentences, 1, 1, 1]);
        let own = at.expand([sentences, 1, 1, length]).lower_equal(last.clone().expand([sentences, 1, 1, length]));
        (x * own.float()).sum_dim(3) / (last.float() + 1.0)
    }

    fn take(&self, end: End, x: Tensor<4>) -> Tensor<4> {
        let [images, channels, ..] = x.dims();
        match end {
            End::First => x.flatten::<3>(2, 3).narrow(2, 0, 1).reshape([images, channels, 1, 1]),
            End::Last => {
                let Words { last, .. } = self.batch.words.as_ref().expect("sentences");
                let places = last.clone().reshape([images, 1, 1]).expand([images, channels, 1]);
                x.flatten::<3>(2, 3).gather(2, places).reshape([images, channels, 1, 1])
            }
        }
    }
}

fn activate(act: Act, x: Tensor<4>) -> Tensor<4> {
    match act {
        Act::Relu => activation::relu(x),
        Act::LeakyRelu(slope) => activation::leaky_relu(x, slope),
        Act::Sigmoid => activation::sigmoid(x),
        Act::Gelu => activation::gelu(x),
        Act::QuickGelu => x.clone() * activation::sigmoid(x * 1.702),
        Act::PRelu(_) => unreachable!("it is run with its slopes"),
    }
}

fn pixel_shuffle(x: Tensor<4>, r: usize) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let channels = channels / (r * r);
    let x: Tensor<6> = x.reshape([images, channels, r, r, height, width]);
    x.permute([0, 1, 4, 2, 5, 3]).reshape([images, channels, height * r, width * r])
}

fn pixel_unshuffle(x: Tensor<4>, r: usize) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let (height, width) = (height / r, width / r);
    let x: Tensor<6> = x.reshape([images, channels, height, r, width, r]);
    x.permute([0, 1, 3, 5, 2, 4]).reshape([images, channels * r * r, height, width])
}

/// Enlarges by multiplying rows and columns by the matrix that enlarges a line.
fn enlarge(x: Tensor<4>, interpolation: Interpolation, r: usize) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let matrix = |length: usize| {
        let mut rows = vec![0.0_f32; length * r * length];
        for at in 0..length * r {
            for (from, weight) in interpolation.taps(at, r, length) {
                rows[at * length + from] += weight as f32;
            }
        }
        let rows = Tensor::<4>::from_data(TensorData::new(rows, [1, 1, length * r, length]), &x.device());
        rows.expand([images, channels, length * r, length])
    };
    let (rows, columns) = (matrix(height), matrix(width));
    rows.matmul(x).matmul(columns.swap_dims(2, 3))
}

/// Computes the length of each channel's gradient, of at least `eps`: `sqrt(v² + h² + eps²)`.
fn gradient(x: Tensor<4>, eps: f64) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let difference = |pads: (usize, usize, usize, usize), axis: usize, length: usize| {
        let wide = x.clone().pad(pads, PadMode::Constant(0.0));
        wide.clone().narrow(axis, 2, length) - wide.narrow(axis, 0, length)
    };
    let (down, across) = (difference((0, 0, 1, 1), 2, height), difference((1, 1, 0, 0), 3, width));
    (down.powi_scalar(2) + across.powi_scalar(2) + eps * eps).sqrt()
}

fn global_pool(pool: Pool, x: Tensor<4>) -> Tensor<4> {
    let mean = x.clone().mean_dim(3).mean_dim(2);
    match pool {
        Pool::Mean => mean,
        Pool::Contrast => (x - mean.clone()).powi_scalar(2).mean_dim(3).mean_dim(2).sqrt() + mean,
    }
}

fn join(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    let images = x.dims()[0].max(y.dims()[0]);
    let flat = |map: Tensor<4>| {
        let [_, channels, height, width] = map.dims();
        map.expand([images, channels, height, width]).reshape([images, channels, 1, height * width])
    };
    Tensor::cat(vec![flat(x), flat(y)], 3)
}

fn attend([q, k, v]: [Tensor<4>; 3], heads: usize, causal: bool) -> Tensor<4> {
    let [images, channels, height, width] = q.dims();
    let (pixels, size) = (height * width, channels / heads);
    // [images, heads, size, pixels]
    let split = |map: Tensor<4>| map.reshape([images, heads, size, pixels]);
    let scale = (size as f64).sqrt().recip();
    let mut scores = split(q).swap_dims(2, 3).matmul(split(k)) * scale;
    if causal {
        scores = scores.mask_fill(later(pixels, &v.device()), f32::NEG_INFINITY);
    }
    let weights = activation::softmax(scores, 3);
    split(v).matmul(weights.swap_dims(2, 3)).reshape([images, channels, height, width])
}

/// Returns which keys come after which queries: `[1, 1, queries, keys]`.
fn later(pixels: usize, device: &Device) -> Tensor<4, Bool> {
    let at = Tensor::<1, Int>::arange(0..pixels as i64, device);
    at.clone()
        .reshape([1, 1, 1, pixels])
        .expand([1, 1, pixels, pixels])
        .greater(at.reshape([1, 1, pixels, 1]).expand([1, 1, pixels, pixels]))
}
