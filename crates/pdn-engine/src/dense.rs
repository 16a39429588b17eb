//! Executor for encoders, and for operations without a kernel of their own in a [`Plan`](crate::Plan): float32, node by
//! node, with convolutions as matrix products.

use crate::RunError;
use crate::map::Map;
use crate::ops::{self, mixed};
use crate::walk::{self, Outputs};
use pdn_kernels::add_product;
use pdn_network::{Network, Node, Op, Weights};
use rayon::prelude::*;
use std::borrow::Cow;

/// The largest unfolded map, in numbers; beyond it, convolutions are summed by definition instead of as a matrix
/// product.
const UNFOLDED: usize = 1 << 24;

/// Runs a network on a picture in its value range ([`pdn_network::PictureFormat`]) and, if it takes one, a prompt of
/// unit length.
///
/// # Errors
/// [`RunError::Prompt`] if the prompt is missing or has the wrong length; [`RunError::Picture`] if the picture has no
/// pixels or the wrong number of channels.
pub fn run(
    network: &Network,
    weights: &Weights,
    picture: &Map<f32>,
    prompt: Option<&[f32]>,
) -> Result<Outputs<f32>, RunError> {
    walk::run(network, weights, picture, prompt, operate)
}

/// Runs a text tower on tokens, including the start and end of the sentence.
///
/// # Errors
/// [`RunError::Tokens`] if there are no tokens, one is outside the vocabulary, or there are more than the tower reads.
pub fn encode(network: &Network, weights: &Weights, tokens: &[usize]) -> Result<Vec<f32>, RunError> {
    walk::encode(network, weights, tokens, operate)
}

/// Runs one operation other than an input or a module.
pub(crate) fn operate(node: &Node, inputs: &[&Map<f32>], weights: &Weights) -> Map<f32> {
    let (kernel, bias, k): (Cow<[f32]>, Cow<[f32]>, usize) = match &node.op {
        Op::Conv { weight, bias } => {
            let kernel = &weights[*weight];
            let bias = bias.map_or_else(|| vec![0.0; kernel.shape()[0]].into(), |bias| weights[bias].data().into());
            (kernel.data().into(), bias, kernel.shape()[3])
        }
        Op::MixedConv { bank, bias } => {
            let mix = |bank| mixed(&inputs[1].data, &weights[bank]).into();
            (mix(*bank), mix(*bias), weights[*bank].shape()[4])
        }
        _ => return ops::operate(node, inputs, weights),
    };
    let x = inputs[0];
    match k {
        1 => multiply(x, &x.data, &kernel, &bias),
        _ if x.data.len() * k * k <= UNFOLDED => multiply(x, &unfolded(x, k), &kernel, &bias),
        _ => ops::operate(node, inputs, weights),
    }
}

/// Computes a convolution as the product of its kernel `[out, in k²]` and the unfolded map `[in k², pixels]`.
fn multiply(x: &Map<f32>, unfolded: &[f32], kernel: &[f32], bias: &[f32]) -> Map<f32> {
    let (pixels, inner) = (x.pixels(), kernel.len() / bias.len());
    let mut out = vec![0.0; bias.len() * pixels];
    // Each thread multiplies a part of the kernel.
    let rows = bias.len().div_ceil(rayon::current_num_threads()).next_multiple_of(8);
    let parts = out.par_chunks_mut(rows * pixels).zip(kernel.par_chunks(rows * inner)).zip(bias.par_chunks(rows));
    parts.for_each(|((out, kernel), bias)| {
        out.chunks_mut(pixels).zip(bias).for_each(|(plane, bias)| plane.fill(*bias));
        add_product(kernel, unfolded, out, [bias.len(), inner, pixels]);
    });
    Map::new(bias.len(), x.height, x.width, out)
}

/// Returns, for each channel and tap of a kernel of `k` x `k`, the pixels that it meets: `[channels k², pixels]`.
fn unfolded(x: &Map<f32>, k: usize) -> Vec<f32> {
    let (radius, taps) = (k / 2, k * k);
    let mut out = vec![0.0; x.data.len() * taps];
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
