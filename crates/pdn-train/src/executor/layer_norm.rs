//! Normalisation over channels in one pass each way; burn's operations would take a dozen.
//!
//! At each pixel, `y = weight n + bias` with `n = (x - mean) / sqrt(variance + ε)`. In the backward pass, with
//! `g = weight dy`, `dx = (g - mean(g) - n mean(g n)) / sqrt(variance + ε)`, with means over channels.

use crate::executor::burn_ops;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Normalises `x` `[images, channels, height, width]` over channels, with `weight` and `bias` `[channels]`.
pub fn layer_norm(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<4> {
    if !burn_ops::ours(&x) {
        return burn_ops::layer_norm(x, weight, bias, eps);
    }
    Tensor::from_dispatch(Dispatch::normalise(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), eps))
}

/// The operations that the trainer needs from a backend.
#[backend_extension(Flex, Autodiff)]
pub trait LayerNorm: Backend {
    /// Returns the normalised map.
    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self>;
    /// Returns the gradient of `x`; if `of_weight`, each image's contribution to the weight's gradient,
    /// `[images, channels]`.
    fn normalise_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        eps: f64,
        of_weight: bool,
    ) -> FloatTensor<Self>;
}

/// Returns the mean and inverse deviation of each pixel of one image.
fn statistics(x: &[f32], pixels: usize, eps: f64) -> (Vec<f32>, Vec<f32>) {
    let channels = (x.len() / pixels) as f32;
    let mut mean = vec![0.0_f32; pixels];
    for plane in x.chunks_exact(pixels) {
        mean.iter_mut().zip(plane).for_each(|(m, v)| *m += v);
    }
    mean.iter_mut().for_each(|m| *m /= channels);
    let mut inverse = vec![0.0_f32; pixels];
    for plane in x.chunks_exact(pixels) {
        inverse.iter_mut().zip(plane).zip(&mean).for_each(|((s, v), m)| *s += (v - m) * (v - m));
    }
    inverse.iter_mut().for_each(|s| *s = 1.0 / (*s / channels + eps as f32).sqrt());
    (mean, inverse)
}

impl LayerNorm for Flex {
    fn normalise(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f64) -> FlexTensor {
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        let [_, channels, height, width] = x.shape().dims();
        let pixels = height * width;
        let (weight, bias): (&[f32], &[f32]) = (weight.storage(), bias.storage());
        let mut y = FlexTensor::empty(x.shape(), DType::F32);
        let images = x.storage::<f32>().par_chunks(channels * pixels);
        y.storage_mut::<f32>().par_chunks_mut(channels * pixels).zip(images).for_each(|(y, x)| {
            let (mean, inverse) = statistics(x, pixels, eps);
            for (c, (y, x)) in y.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels)).enumerate() {
                for (((y, x), m), s) in y.iter_mut().zip(x).zip(&mean).zip(&inverse) {
                    *y = (x - m) * s * weight[c] + bias[c];
                }
            }
        });
        y
    }

    fn normalise_gradient(x: FlexTensor, weight: FlexTensor, dy: FlexTensor, eps: f64, of_weight: bool) -> FlexTensor {
        let (x, weight, dy) = (x.to_contiguous(), weight.to_contiguous(), dy.to_contiguous());
        let [images, channels, height, width] = x.shape().dims();
        let pixels = height * width;
        let weight: &[f32] = weight.storage();
        let inputs = x.storage::<f32>().par_chunks(channels * pixels);
        let inputs = inputs.zip(dy.storage::<f32>().par_chunks(channels * pixels));
        if of_weight {
            let mut sums = FlexTensor::empty(Shape::new([images, channels]), DType::F32);
            sums.storage_mut::<f32>().par_chunks_mut(channels).zip(inputs).for_each(|(sums, (x, dy))| {
                let (mean, inverse) = statistics(x, pixels, eps);
                let planes = x.chunks_exact(pixels).zip(dy.chunks_exact(pixels));
                for (sum, (x, dy)) in sums.iter_mut().zip(planes) {
                    let products = x.iter().zip(dy).zip(mean.iter().zip(&inverse));
                    *sum = products.map(|((x, dy), (m, s))| (x - m) * s * dy).sum();
                }
            });
            return sums;
        }
        let mut dx = FlexTensor::empty(x.shape(), DType::F32);
        dx.storage_mut::<f32>().par_chunks_mut(channels * pixels).zip(inputs).for_each(|(dx, (x, dy))| {
            let (mean, inverse) = statistics(x, pixels, eps);
            let (mut sum, mut product) = (vec![0.0_f32; pixels], vec![0.0_f32; pixels]);
            for (c, (x, dy)) in x.chunks_exact(pixels).zip(dy.chunks_exact(pixels)).enumerate() {
                for p in 0..pixels {
                    let g = weight[c] * dy[p];
                    sum[p] += g;
                    product[p] += g * (x[p] - mean[p]) * inverse[p];
                }
            }
            let part = 1.0 / channels as f32;
            let planes = dx.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels).zip(dy.chunks_exact(pixels)));
            for (c, (dx, (x, dy))) in planes.enumerate() {
                for p in 0..pixels {
                    let n = (x[p] - mean[p]) * inverse[p];
                    dx[p] = (weight[c] * dy[p] - part * (sum[p] + n * product[p])) * inverse[p];
                }
            }
        });
        dx
    }
}

impl<B: LayerNorm, C: CheckpointStrategy> LayerNorm for Autodiff<B, C> {
    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LayerNormBackward;
        impl<B: LayerNorm> Backward<B, 3> for LayerNormBackward {
            type State = ([NodeId; 2], f64);

            fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, kept: &mut Checkpointer) {
                let [to_x, to_weight, to_bias] = ops.parents;
                let dy = gradients.consume::<B>(&ops.node);
                let (inputs, eps) = ops.state;
                let [x, weight]: [FloatTensor<B>; 2] = inputs.map(|input| kept.retrieve_node_output(input));
                let channels = Shape::new([weight.shape()[0]]);
                if let Some(node) = to_weight {
                    let parts = B::normalise_gradient(x.clone(), weight.clone(), dy.clone(), eps, true);
                    gradients.register::<B>(node.id, B::float_reshape(B::float_sum_dim(parts, 0), channels.clone()));
                }
                if let Some(node) = to_bias {
                    let sum = B::float_sum_dim(B::float_sum_dim(B::float_sum_dim(dy.clone(), 3), 2), 0);
                    gradients.register::<B>(node.id, B::float_reshape(sum, channels));
                }
                if let Some(node) = to_x {
                    gradients.register::<B>(node.id, B::normalise_gradient(x, weight, dy, eps, false));
                }
            }
        }
        let nodes = [x.node(), weight.node(), bias.node()];
        match LayerNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let inputs = [prep.checkpoint(&x), prep.checkpoint(&weight)];
                let [x, weight, bias] = [x, weight, bias].map(|t| t.into_primitive());
                prep.finish((inputs, eps), B::normalise(x, weight, bias, eps))
            }
            OpsKind::UnTracked(prep) => {
                let [x, weight, bias] = [x, weight, bias].map(|t| t.into_primitive());
                prep.finish(B::normalise(x, weight, bias, eps))
            }
        }
    }

    fn normalise_gradient(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: f64,
        _: bool,
    ) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated again")
    }
}
