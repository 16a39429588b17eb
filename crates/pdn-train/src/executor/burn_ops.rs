//! Operations that this project's kernels do on the CPU, expressed in burn's operations for devices with kernels of
//! their own.

use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, FloatDType, Tensor, module};

/// Returns whether a tensor is on the device where this project's kernels run.
pub(crate) fn ours<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == Device::flex()
}

/// Convolves maps `[images, height, width, channels]`. The result is f32, whatever the precision of the factors.
pub(crate) fn convolve(x: Tensor<4>, kernel: Tensor<5>, bias: Tensor<2>) -> Tensor<4> {
    let [sets, outputs, ..] = kernel.dims();
    let y = if sets == 1 { shared(x, kernel) } else { own(x, kernel) }.cast(FloatDType::F32);
    y + bias.reshape([sets, 1, 1, outputs])
}

/// Rearranges `[images, height, width, channels r²]` to `[images, height r, width r, channels]`.
pub(crate) fn pixel_shuffle(x: Tensor<4>, r: usize) -> Tensor<4> {
    let [images, height, width, channels] = x.dims();
    let channels = channels / (r * r);
    let blocks = x.reshape([images, height, width, channels, r, r]);
    blocks.permute([0, 1, 4, 2, 5, 3]).reshape([images, height * r, width * r, channels])
}

/// Convolves all images with one kernel. There is no reshape between the axis swaps, as it would copy the maps: GPUs
/// convolve channels-last.
fn shared(x: Tensor<4>, kernel: Tensor<5>) -> Tensor<4> {
    let [_, outputs, inputs, side, _] = kernel.dims();
    let options = ConvOptions::new([1, 1], [side / 2, side / 2], [1, 1], 1);
    let kernel = kernel.reshape([outputs, inputs, side, side]);
    module::conv2d(x.permute([0, 3, 1, 2]), kernel, None, options).permute([0, 2, 3, 1])
}

/// Convolves each image with its own kernel, as a matrix product per image over unfolded neighbourhoods. A grouped
/// convolution would do, too, but its gradients are computed one group after the other.
fn own(x: Tensor<4>, kernel: Tensor<5>) -> Tensor<4> {
    let [images, height, width, inputs] = x.dims();
    let [_, outputs, _, side, _] = kernel.dims();
    let rim = (side / 2, side / 2);
    let padded = if side == 1 { x } else { x.pad([rim, rim, (0, 0)], PadMode::Constant(0.0)) };
    let neighbours = (0..side * side).map(|at| padded.clone().narrow(1, at / side, height).narrow(2, at % side, width));
    let rows = Tensor::cat(neighbours.collect(), 3).reshape([images, height * width, side * side * inputs]);
    let kernel = kernel.permute([0, 3, 4, 2, 1]).reshape([images, side * side * inputs, outputs]);
    rows.matmul(kernel).reshape([images, height, width, outputs])
}

/// Normalises as [`layer_norm`](crate::executor::layer_norm::layer_norm) does.
pub(crate) fn layer_norm(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<4> {
    let channels = weight.dims()[0];
    let around = x.clone() - x.mean_dim(1);
    let deviation = (around.clone().powi_scalar(2).mean_dim(1) + eps).sqrt();
    let [weight, bias] = [weight, bias].map(|t| t.reshape([1, channels, 1, 1]));
    around / deviation * weight + bias
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::convolution::{self, Pixels, Precision, Then};
    use burn::tensor::TensorData;
    use pdn_network::hashed;

    /// Enough channels for a shuffle by 2 at the store.
    const OUTPUTS: usize = 64;

    fn tensor<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
        let numbers = hashed::numbers(name, shape.iter().product(), 1.0);
        Tensor::from_data(TensorData::new(numbers, shape), &Device::flex().autodiff()).require_grad()
    }

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    fn close(a: &[f32], b: &[f32]) {
        let far = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(a.len() == b.len() && far < 2e-4, "{far}");
    }

    #[test]
    fn a_convolution_is_the_same_with_its_gradients() {
        for (sets, relu, add, shuffle) in
            [(1, false, false, 1), (1, true, false, 1), (1, false, true, 1), (3, false, true, 1), (1, false, false, 2)]
        {
            let (x, kernel) = (tensor("x", [3, 5, 7, 16]), tensor("kernel", [sets, OUTPUTS, 16, 3, 3]));
            let (bias, added) = (tensor("bias", [sets, OUTPUTS]), tensor("added", [3, 5, 7, OUTPUTS]));
            let then = || Then { relu, add: add.then(|| Pixels::new(added.clone())), shuffle };
            let run = |y: Tensor<4>| {
                let weights = tensor("weights", y.dims());
                let gradients = (y.clone() * weights).sum().backward();
                let of = [numbers(x.grad(&gradients).unwrap()), numbers(kernel.grad(&gradients).unwrap())];
                (numbers(y), of, numbers(bias.grad(&gradients).unwrap()))
            };
            let ours = run(convolution::convolve(Pixels::new(x.clone()), kernel.clone(), bias.clone(), then()).map());
            let plain = run(then().after(convolve(x.clone(), kernel.clone(), bias.clone())));
            close(&ours.0, &plain.0);
            ours.1.iter().zip(&plain.1).for_each(|(ours, plain)| close(ours, plain));
            close(&ours.2, &plain.2);
        }
    }

    /// Compares our kernels on numbers rounded to bf16 with burn's convolution of such numbers.
    #[test]
    fn a_convolution_of_bf16_is_the_same_with_its_gradients() {
        let (x, kernel) = (tensor("x", [2, 5, 7, 16]), tensor("kernel", [1, OUTPUTS, 16, 3, 3]));
        let bias = tensor("bias", [1, OUTPUTS]);
        let run = |y: Tensor<4>| {
            let gradients = (y.clone() * tensor("weights", y.dims())).sum().backward();
            [numbers(y), numbers(x.grad(&gradients).unwrap()), numbers(kernel.grad(&gradients).unwrap())]
        };
        let at = |precision: Precision| {
            run(precision.convolve(Pixels::new(x.clone()), kernel.clone(), bias.clone(), Then::NOTHING).map())
        };
        let narrow = |t: Tensor<4>| t.cast(FloatDType::BF16);
        let plain = run(convolve(narrow(x.clone()), kernel.clone().cast(FloatDType::BF16), bias.clone()));
        let far = |a: &[f32], b: &[f32]| {
            let largest = b.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
        };
        let (rounded, exact) = (at(Precision::Bf16), at(Precision::F32));
        for ((rounded, exact), plain) in rounded.iter().zip(&exact).zip(&plain) {
            // Burn rounds the outputs and the gradients, too; our kernels may round what they transform.
            assert!(far(rounded, plain) < 2e-2, "{}", far(rounded, plain));
            assert!((1e-5..2e-2).contains(&far(rounded, exact)), "{}", far(rounded, exact));
        }
    }

    #[test]
    fn a_normalisation_is_the_same_with_its_gradients() {
        let (x, weight, bias) = (tensor("x", [2, 6, 3, 4]), tensor("weight", [6]), tensor("bias", [6]));
        let run = |y: Tensor<4>| {
            let gradients = (y.clone() * tensor("weights", y.dims())).sum().backward();
            (numbers(y), numbers(x.grad(&gradients).unwrap()), numbers(weight.grad(&gradients).unwrap()))
        };
        let ours = run(crate::executor::layer_norm::layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5));
        let plain = run(layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5));
        close(&ours.0, &plain.0);
        close(&ours.1, &plain.1);
        close(&ours.2, &plain.2);
    }
}
