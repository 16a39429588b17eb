//! Definitions of all operations on maps, generic over the number type, one after the other.
//!
//! [`reference`](mod@crate::reference) runs them as they are; [`dense`](mod@crate::dense) replaces the convolutions.

mod sequence;

pub(crate) use sequence::rows;

use crate::map::{Map, Real, real};
use pdn_network::{Act, Binary, End, Interpolation, Node, Op, Pool, Tensor, Weights};
use rayon::prelude::*;

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
        Op::Gradient { eps } => gradient(x(), real(*eps)),
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

fn gradient<T: Real>(x: &Map<T>, eps: T) -> Map<T> {
    let (height, width) = (x.height, x.width);
    let mut data = Vec::with_capacity(x.data.len());
    for c in 0..x.channels {
        let plane = x.plane(c);
        let at = |y: usize, col: usize| if y < height && col < width { plane[y * width + col] } else { T::zero() };
        for (y, col) in (0..height).flat_map(|y| (0..width).map(move |col| (y, col))) {
            let down = at(y + 1, col) - at(y.wrapping_sub(1), col);
            let across = at(y, col + 1) - at(y, col.wrapping_sub(1));
            data.push((down * down + across * across + eps * eps).sqrt());
        }
    }
    Map { data, ..*x }
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
