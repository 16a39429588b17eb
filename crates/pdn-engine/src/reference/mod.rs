//! The reference executor: every operation by its definition, in `f32` or `f64`, one after the other.
//!
//! It is slow. Everything else is tested against it, and it against PyTorch. In `f32`, convolutions are matrix
//! products, which prompt encoders use; in `f64` they are sums by definition.

mod sequence;

pub use crate::map::{Map, Product, Real};

use crate::RunError;
use crate::error::check_inputs;
use crate::map::real;
use pdn_network::{Act, Binary, End, Interpolation, Network, Node, Op, Pool, Tensor, Weights};
use rayon::prelude::*;

/// The largest unfolded map, in numbers; beyond it, convolutions are summed by definition instead of as a matrix
/// product.
const UNFOLDED: usize = 1 << 24;

/// The outputs of a network.
#[derive(Clone, Debug)]
pub struct Outputs<T> {
    /// The enlarged picture, in the network's value range; an encoder's vector as a map of one pixel.
    pub picture: Map<T>,
    /// Each tap by name.
    pub taps: Vec<(String, Map<T>)>,
}

/// Runs a network on a picture in its value range ([`pdn_network::PictureFormat`]) and, if it takes one, a prompt of
/// unit length.
///
/// # Errors
/// [`RunError::Prompt`] if the prompt is missing or has the wrong length; [`RunError::Picture`] if the picture has no
/// pixels or the wrong number of channels.
pub fn run<T: Real>(
    network: &Network,
    weights: &Weights,
    picture: &Map<T>,
    prompt: Option<&[T]>,
) -> Result<Outputs<T>, RunError> {
    check_inputs(network, (picture.channels, picture.height, picture.width), prompt.map(<[T]>::len))?;
    execute(network, weights, |op| match op {
        Op::Picture { .. } => Some(Ok(picture.clone())),
        Op::Prompt { .. } => Some(Ok(Map::vector(prompt.unwrap_or_default().to_vec()))),
        _ => None,
    })
}

/// Runs a text tower on tokens, including the start and end of the sentence.
///
/// # Errors
/// [`RunError::Tokens`] if there are no tokens, one is outside the vocabulary, or there are more than the tower reads.
pub fn encode<T: Real>(network: &Network, weights: &Weights, tokens: &[usize]) -> Result<Vec<T>, RunError> {
    let words = |op: &Op| {
        let Op::Words(table) = op else { return None };
        let [vocabulary, channels] = *network.param(*table).shape else { unreachable!("checked as it was built") };
        Some(match tokens.iter().find(|token| **token >= vocabulary) {
            Some(token) => Err(RunError::Tokens(format!("token {token} of a vocabulary of {vocabulary}"))),
            None if tokens.is_empty() => Err(RunError::Tokens("no token".into())),
            None => Ok(sequence::rows(&T::numbers(&weights[*table]), channels, tokens)),
        })
    };
    Ok(execute(network, weights, words)?.picture.data)
}

/// Runs every operation, except those for which `source` returns a map.
fn execute<T: Real>(
    network: &Network,
    weights: &Weights,
    source: impl Fn(&Op) -> Option<Result<Map<T>, RunError>>,
) -> Result<Outputs<T>, RunError> {
    let network = network.lower();
    let kept =
        |index: usize| index == network.output.index() || network.taps.iter().any(|tap| tap.node.index() == index);
    let mut last = vec![0; network.nodes.len()];
    for (at, node) in network.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|input| last[input.index()] = at);
    }
    let mut maps: Vec<Map<T>> = Vec::with_capacity(network.nodes.len());
    for (at, node) in network.nodes.iter().enumerate() {
        let inputs: Vec<&Map<T>> = node.inputs.iter().map(|i| &maps[i.index()]).collect();
        let map = match source(&node.op) {
            Some(map) => map?,
            None => {
                check_extent(node, &inputs, &network)?;
                operate(node, &inputs, weights)
            }
        };
        debug_assert_eq!(map.channels, node.shape.channels);
        maps.push(map);
        for input in node.inputs.iter().map(|input| input.index()).filter(|i| last[*i] == at && !kept(*i)) {
            maps[input] = Map::new(0, 0, 0, Vec::new());
        }
    }
    let taps = network.taps.iter().map(|tap| (tap.name.clone(), maps[tap.node.index()].clone())).collect();
    Ok(Outputs { picture: maps.swap_remove(network.output.index()), taps })
}

/// Checks that a map's size suits the operation.
fn check_extent<T: Real>(node: &Node, inputs: &[&Map<T>], network: &Network) -> Result<(), RunError> {
    match (&node.op, inputs) {
        (Op::PixelUnshuffle(r), [x]) if x.height % r != 0 || x.width % r != 0 => Err(RunError::Extent(format!(
            "expected a picture of a multiple of {r} pixels a side here, found {}x{}",
            x.width, x.height
        ))),
        (Op::Positions(table), [x]) if x.pixels() > network.param(*table).shape[0] => {
            let limit = network.param(*table).shape[0];
            Err(RunError::Extent(format!("expected a sequence of at most {limit}, found {}", x.pixels())))
        }
        _ => Ok(()),
    }
}

/// Runs one operation other than an input or a module.
pub(crate) fn operate<T: Real>(node: &Node, inputs: &[&Map<T>], weights: &Weights) -> Map<T> {
    let x = || inputs[0];
    match &node.op {
        Op::Constant(id) => Map::vector(T::numbers(&weights[*id]).into_owned()),
        Op::Fill(value) => x().per_pixel(|_| real(*value)),
        Op::Conv { weight, bias } => {
            let kernel = &weights[*weight];
            let bias = bias.map_or_else(|| vec![T::zero(); kernel.shape()[0]].into(), |b| T::numbers(&weights[b]));
            convolve(x(), &T::numbers(kernel), &bias, kernel.shape()[3])
        }
        Op::MixedConv { bank, bias } => {
            let mixture = &inputs[1].data;
            let kernel = mixed(mixture, &weights[*bank]);
            convolve(x(), &kernel, &mixed(mixture, &weights[*bias]), weights[*bank].shape()[4])
        }
        Op::Act(Act::PRelu(slopes)) => {
            let (mut out, pixels) = (x().clone(), x().pixels());
            for (plane, slope) in out.data.chunks_mut(pixels).zip(&*T::numbers(&weights[*slopes])) {
                plane.iter_mut().filter(|v| **v < T::zero()).for_each(|v| *v = *v * *slope);
            }
            out
        }
        Op::Act(act) => x().map(|v| activate(*act, v)),
        Op::Binary(Binary::Add) if (x().channels, x().pixels()) == (inputs[1].channels, inputs[1].pixels()) => {
            let data = x().data.iter().zip(&inputs[1].data).map(|(a, b)| *a + *b).collect();
            Map { data, ..*x() }
        }
        Op::Binary(binary) => {
            let mut out = x().clone();
            let pixels = out.pixels();
            for (i, v) in out.data.iter_mut().enumerate() {
                let other = inputs[1].spread(i / pixels, i % pixels);
                *v = match binary {
                    Binary::Add => *v + other,
                    Binary::Mul => *v * other,
                    Binary::Div => *v / other,
                };
            }
            out
        }
        Op::Scale(factor) => x().map(|v| v * real(*factor)),
        Op::Concat => {
            let data = inputs.iter().flat_map(|m| m.data.iter().copied()).collect();
            Map::new(node.shape.channels, x().height, x().width, data)
        }
        Op::Slice { start, len } => {
            let pixels = x().pixels();
            Map::new(*len, x().height, x().width, x().data[start * pixels..(start + len) * pixels].to_vec())
        }
        Op::PixelShuffle(r) => pixel_shuffle(x(), *r),
        Op::Enlarge(interpolation, r) => enlarge(x(), *interpolation, *r),
        Op::GlobalPool(pool) => {
            Map::vector((0..x().channels).map(|channel| statistic(*pool, x().plane(channel))).collect())
        }
        Op::Dot => x().per_pixel(|p| (0..x().channels).map(|c| x().spread(c, p) * inputs[1].spread(c, p)).sum()),
        Op::Norm { eps } => x().per_pixel(|p| {
            let squares: T = (0..x().channels).map(|c| x().spread(c, p).powi(2)).sum();
            (squares + real::<T>(*eps).powi(2)).sqrt()
        }),
        Op::Softmax => softmax(x()),
        Op::PixelUnshuffle(r) => sequence::pixel_unshuffle(x(), *r),
        Op::LayerNorm { weight, bias, eps } => {
            sequence::layer_norm(x(), &T::numbers(&weights[*weight]), &T::numbers(&weights[*bias]), *eps)
        }
        Op::Positions(table) => {
            let rows: Vec<usize> = (0..x().pixels()).collect();
            let positions = sequence::rows(&T::numbers(&weights[*table]), x().channels, &rows);
            let data = x().data.iter().zip(positions.data).map(|(v, p)| *v + p).collect();
            Map { data, ..*x() }
        }
        Op::Join => sequence::join(x(), inputs[1]),
        Op::Attend { heads, causal } => sequence::attend([x(), inputs[1], inputs[2]], *heads, *causal),
        Op::Take(end) => {
            let pixel = if *end == End::First { 0 } else { x().pixels() - 1 };
            Map::vector((0..x().channels).map(|c| x().plane(c)[pixel]).collect())
        }
        Op::Picture { .. } | Op::Prompt { .. } | Op::Words(_) | Op::Dcm(_) => {
            unreachable!("inputs are given and modules lowered")
        }
    }
}

/// Computes a zero-padded convolution; kernel `[out, in, k, k]`, bias `[out]`.
fn convolve<T: Real>(x: &Map<T>, kernel: &[T], bias: &[T], k: usize) -> Map<T> {
    match T::PRODUCT {
        Some(product) if k == 1 => multiply(product, x, &x.data, kernel, bias),
        Some(product) if x.data.len() * k * k <= UNFOLDED => multiply(product, x, &unfolded(x, k), kernel, bias),
        _ => sum(x, kernel, bias, k),
    }
}

/// Computes a convolution as the product of its kernel `[out, in k²]` and the unfolded map `[in k², pixels]`.
fn multiply<T: Real>(product: Product<T>, x: &Map<T>, unfolded: &[T], kernel: &[T], bias: &[T]) -> Map<T> {
    let (pixels, inner) = (x.pixels(), kernel.len() / bias.len());
    let mut out = vec![T::zero(); bias.len() * pixels];
    // Each thread multiplies a part of the kernel.
    let rows = bias.len().div_ceil(rayon::current_num_threads()).next_multiple_of(8);
    let parts = out.par_chunks_mut(rows * pixels).zip(kernel.par_chunks(rows * inner)).zip(bias.par_chunks(rows));
    parts.for_each(|((out, kernel), bias)| {
        out.chunks_mut(pixels).zip(bias).for_each(|(plane, bias)| plane.fill(*bias));
        product(kernel, unfolded, out, [bias.len(), inner, pixels]);
    });
    Map::new(bias.len(), x.height, x.width, out)
}

/// Returns, for each channel and tap of a kernel of `k` x `k`, the pixels that it meets: `[channels k², pixels]`.
fn unfolded<T: Real>(x: &Map<T>, k: usize) -> Vec<T> {
    let (radius, taps) = (k / 2, k * k);
    let mut out = vec![T::zero(); x.data.len() * taps];
    out.par_chunks_mut(x.pixels()).enumerate().for_each(|(at, out)| {
        let (plane, dy, dx) = (x.plane(at / taps), at % taps / k, at % k);
        let (from, to) = (radius.saturating_sub(dx), (x.width + radius).saturating_sub(dx).min(x.width));
        for y in radius.saturating_sub(dy)..(x.height + radius).saturating_sub(dy).min(x.height) {
            if from < to {
                let source = &plane[(y + dy - radius) * x.width..][from + dx - radius..to + dx - radius];
                out[y * x.width..][from..to].copy_from_slice(source);
            }
        }
    });
    out
}

/// Computes a convolution by definition.
fn sum<T: Real>(x: &Map<T>, kernel: &[T], bias: &[T], k: usize) -> Map<T> {
    let (radius, taps) = (k / 2, k * k);
    let mut out = vec![T::zero(); bias.len() * x.pixels()];
    out.par_chunks_mut(x.pixels()).enumerate().for_each(|(o, plane)| {
        plane.fill(bias[o]);
        for i in 0..x.channels {
            let kernel = &kernel[(o * x.channels + i) * taps..][..taps];
            for (tap, weight) in kernel.iter().enumerate() {
                let (dy, dx) = (tap / k, tap % k);
                for y in radius.saturating_sub(dy)..(x.height + radius).saturating_sub(dy).min(x.height) {
                    let from = radius.saturating_sub(dx);
                    let to = (x.width + radius).saturating_sub(dx).min(x.width);
                    if from >= to {
                        continue;
                    }
                    let source = &x.plane(i)[(y + dy - radius) * x.width..][..x.width];
                    let target = &mut plane[y * x.width..][from..to];
                    for (t, s) in target.iter_mut().zip(&source[from + dx - radius..]) {
                        *t = *t + *weight * *s;
                    }
                }
            }
        }
    });
    Map::new(bias.len(), x.height, x.width, out)
}

/// Computes `Σ π_k bank_k`.
pub(crate) fn mixed<T: Real>(mixture: &[T], bank: &Tensor) -> Vec<T> {
    let size = bank.data().len() / mixture.len();
    let mut out = vec![T::zero(); size];
    for (pi, kernel) in mixture.iter().zip(bank.data().chunks(size)) {
        for (o, v) in out.iter_mut().zip(kernel) {
            *o = *o + *pi * real(f64::from(*v));
        }
    }
    out
}

fn activate<T: Real>(act: Act, v: T) -> T {
    match act {
        Act::Relu => v.max(T::zero()),
        Act::LeakyRelu(slope) => {
            if v < T::zero() {
                v * real(slope)
            } else {
                v
            }
        }
        Act::Sigmoid => T::one() / (T::one() + (-v).exp()),
        Act::Gelu => sequence::gelu(v),
        Act::QuickGelu => v / (T::one() + (v * real(-1.702)).exp()),
        Act::PRelu(_) => unreachable!("it is run with its slopes"),
    }
}

fn pixel_shuffle<T: Real>(x: &Map<T>, r: usize) -> Map<T> {
    let (channels, height, width) = (x.channels / (r * r), x.height * r, x.width * r);
    let mut data = Vec::with_capacity(x.data.len());
    for c in 0..channels {
        for y in 0..height {
            for col in 0..width {
                let plane = x.plane(c * r * r + (y % r) * r + col % r);
                data.push(plane[(y / r) * x.width + col / r]);
            }
        }
    }
    Map::new(channels, height, width, data)
}

fn enlarge<T: Real>(x: &Map<T>, interpolation: Interpolation, r: usize) -> Map<T> {
    let (height, width) = (x.height * r, x.width * r);
    let mut data = Vec::with_capacity(x.channels * height * width);
    for c in 0..x.channels {
        let plane = x.plane(c);
        for y in 0..height {
            let rows = interpolation.taps(y, r, x.height);
            for col in 0..width {
                let columns = interpolation.taps(col, r, x.width);
                let pairs = rows.iter().flat_map(|(y, wy)| columns.iter().map(move |(x, wx)| (y, x, wy * wx)));
                data.push(pairs.map(|(row, col, weight)| plane[row * x.width + col] * real(weight)).sum());
            }
        }
    }
    Map::new(x.channels, height, width, data)
}

fn statistic<T: Real>(pool: Pool, plane: &[T]) -> T {
    let count = real(plane.len() as f64);
    let mean = plane.iter().copied().sum::<T>() / count;
    match pool {
        Pool::Mean => mean,
        Pool::Contrast => {
            let variance = plane.iter().map(|v| (*v - mean).powi(2)).sum::<T>() / count;
            variance.sqrt() + mean
        }
    }
}

fn softmax<T: Real>(x: &Map<T>) -> Map<T> {
    let mut out = x.clone();
    let pixels = x.pixels();
    for p in 0..pixels {
        let column = || (0..x.channels).map(|c| x.data[c * pixels + p]);
        let top = column().fold(T::neg_infinity(), T::max);
        let total: T = column().map(|v| (v - top).exp()).sum();
        for c in 0..x.channels {
            out.data[c * pixels + p] = (x.data[c * pixels + p] - top).exp() / total;
        }
    }
    out
}
