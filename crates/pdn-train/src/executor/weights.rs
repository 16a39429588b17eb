//! Weights in training: initialisation, conversion to tensors, and Adam.
//!
//! Between steps they are plain arrays, so a checkpoint is just these arrays, and a resumed run is bit-identical. Adam
//! makes one pass over them; burn's makes a dozen, each through memory.

use burn::tensor::{Device, Tensor, TensorData, Transaction};
use pdn_network::{Init, Network, Weights};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

/// A network's parameters as flat tensors, in the network's order.
pub type Parameters = [Tensor<1>];

/// How much larger than others the kernels before a softmax start. With this factor, a module's kernel mixture varies
/// by 0.08 between captions at a temperature of 7; with 1 it was 0.02.
const LOGITS: f64 = 4.0;

/// Initialises a network's parameters: kernels uniform with 1 / fan-in as their variance, the last of a residual branch
/// `branch` times that in size, those before a softmax four times, biases zero.
pub fn initial(network: &Network, branch: f64, seed: u64) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64(seed);
    let draw = |bound: f64, len: usize, random: &mut StdRng| {
        (0..len).map(|_| (random.random_range(-1.0..1.0) * bound) as f32).collect::<Vec<f32>>()
    };
    let parameters = network.params.iter().map(|param| match param.init {
        Init::FanIn(n) => draw((3.0 / n as f64).sqrt(), param.len(), &mut random),
        Init::Branch(n) => draw(branch * (3.0 / n as f64).sqrt(), param.len(), &mut random),
        Init::Logits(n) => draw(LOGITS * (3.0 / n as f64).sqrt(), param.len(), &mut random),
        Init::Nearest(n) => {
            let inputs: usize = param.shape[1..].iter().product();
            nearest(&param.shape, n, draw(branch * (3.0 / inputs as f64).sqrt(), param.len(), &mut random))
        }
        Init::Spread(deviation) => draw(3.0_f64.sqrt() * deviation, param.len(), &mut random),
        Init::Slope => vec![0.25; param.len()],
        Init::Zero => vec![0.0; param.len()],
        Init::Constant(value) => vec![value as f32; param.len()],
    });
    parameters.collect()
}

/// Sets a kernel `[out, in, k, k]` so that its centre copies the i-th of its last `n` inputs to the outputs from
/// `i * out / n` on.
fn nearest(shape: &[usize], n: usize, mut kernel: Vec<f32>) -> Vec<f32> {
    let (inputs, taps) = (shape[1], shape[2] * shape[3]);
    for (place, value) in kernel.iter_mut().enumerate() {
        let [output, input, tap] = [place / taps / inputs, place / taps % inputs, place % taps];
        if let Some(i) = input.checked_sub(inputs - n) {
            *value = f32::from(u8::from(tap == taps / 2 && i == output * n / shape[0]));
        }
    }
    kernel
}

/// Returns a network's weights as flat arrays, in its order.
pub fn flat(network: &Network, weights: &Weights) -> Vec<Vec<f32>> {
    network.param_ids().map(|id| weights[id].data().to_vec()).collect()
}

/// Converts flat arrays to tensors that track gradients, if the device has autodiff.
pub fn tensors(parameters: &[Vec<f32>], device: &Device) -> Vec<Tensor<1>> {
    let tensor = |p: &Vec<f32>| {
        let tensor = Tensor::from_data(TensorData::new(p.clone(), [p.len()]), device);
        if device.is_autodiff() { tensor.require_grad() } else { tensor }
    };
    parameters.iter().map(tensor).collect()
}

/// Returns the gradients of a loss, in the order of the parameters; zeros for parameters that the loss does not depend
/// on.
pub fn gradients(loss: &Tensor<1>, parameters: &[Tensor<1>]) -> Vec<Vec<f32>> {
    let all = loss.backward();
    let gradients: Vec<_> = parameters.iter().map(|p| p.grad(&all)).collect();
    // Read all at once: every read waits for the GPU.
    let reading = gradients.iter().flatten().cloned().fold(Transaction::default(), Transaction::register);
    let mut read = reading.execute().into_iter();
    let of = |(gradient, p): (&Option<Tensor<1>>, &Tensor<1>)| match gradient {
        Some(_) => read.next().expect("as many as were registered").try_into_vec().expect("gradients are f32"),
        None => vec![0.0; p.dims()[0]],
    };
    gradients.iter().zip(parameters).map(of).collect()
}

/// Adam (Kingma and Ba 2015), with the decoupled weight decay of AdamW if requested.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of their squares.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Weight decay per step, times the learning rate.
    pub decay: f32,
    /// Steps done.
    pub steps: u64,
    /// Steps done before the moments were initialised.
    pub begun: u64,
    /// Means of the gradients, in the order of the parameters.
    pub first: Vec<Vec<f32>>,
    /// Means of their squares.
    pub second: Vec<Vec<f32>>,
}

impl Adam {
    /// Creates the state before the first step.
    pub fn new(parameters: &[Vec<f32>], decay: f32) -> Self {
        let zeros: Vec<Vec<f32>> = parameters.iter().map(|p| vec![0.0; p.len()]).collect();
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay, steps: 0, begun: 0, first: zeros.clone(), second: zeros }
    }

    /// Updates the parameters with one step.
    pub fn step(&mut self, rate: f32, parameters: &mut [Vec<f32>], gradients: &[Vec<f32>]) {
        self.steps += 1;
        let correction = |beta: f32| (1.0 - f64::from(beta).powf((self.steps - self.begun) as f64)) as f32;
        let (c1, c2) = (correction(self.beta1), correction(self.beta2).sqrt());
        let Self { beta1, beta2, eps, decay, .. } = *self;
        let moments = self.first.par_iter_mut().zip(self.second.par_iter_mut());
        parameters.par_iter_mut().zip(gradients).zip(moments).for_each(|((p, g), (m, v))| {
            // Short vectors, such as biases, are not decayed.
            let keep = if p.len() > 4096 { 1.0 - rate * decay } else { 1.0 };
            for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *p = *p * keep - rate * (*m / c1) / (v.sqrt() / c2 + eps);
            }
        });
    }
}

/// Returns the learning rate: half a cosine from `rate` at step 0 to zero at the last, after a linear rise over
/// `warmup` steps.
pub fn cosine(rate: f64, step: u64, steps: u64, warmup: u64) -> f64 {
    let part = step as f64 / steps.max(1) as f64;
    let rise = ((step + 1) as f64 / (warmup + 1) as f64).min(1.0);
    rate * rise * 0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_s_first_step_is_the_rate_whatever_the_gradient() {
        let mut parameters = vec![vec![1.0_f32, -2.0], vec![0.5]];
        let mut adam = Adam::new(&parameters, 0.0);
        adam.step(0.01, &mut parameters, &[vec![3.0, -1e-3], vec![0.0]]);
        for (found, expected) in parameters.concat().iter().zip([0.99, -1.99, 0.5]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn a_kernel_repeats_each_channel() {
        let kernel = nearest(&[4, 3, 3, 3], 2, vec![0.5; 4 * 3 * 9]);
        for (o, i, tap) in (0..4).flat_map(|o| (0..3).flat_map(move |i| (0..9).map(move |tap| (o, i, tap)))) {
            let expected = match i {
                0 => 0.5,
                i if o / 2 == i - 1 && tap == 4 => 1.0,
                _ => 0.0,
            };
            assert_eq!(kernel[(o * 3 + i) * 9 + tap], expected, "{o} {i} {tap}");
        }
    }

    #[test]
    fn the_rate_rises_and_falls() {
        assert!((cosine(1.0, 0, 100, 9) - 0.1).abs() < 1e-12);
        assert!((cosine(1.0, 50, 100, 0) - 0.5).abs() < 1e-12);
        assert!(cosine(1.0, 100, 100, 0) < 1e-12);
    }
}
