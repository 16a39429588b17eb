//! The Dynamic Correlation Module in training, folded.
//!
//! With `z = [x; 1]` and `Q = [P b]` the projection with its bias, `y = Q z` is never computed. Each bank kernel is
//! composed with Q once per step, a prompt mixes the composed kernels, and the convolution reads `[m x; m]`, c + 1
//! channels. The mask's numerator is `(Qᵀp)·z` and its norm `|y|² = zᵀ (QᵀQ) z`: the Gram form, which is accurate
//! enough in training, where ε keeps the root from vanishing, and which has a simple gradient. Values and gradients
//! reach P, the bank and the MLP through the composition. See `pdn_network`'s `dcm.rs` for the equations, and
//! `pdn_engine::fold` for the form that is deployed.

use crate::executor::convolution::{Pixels, Precision, Then, convolve};
use crate::executor::weights::Parameters;
use burn::tensor::{Tensor, activation};
use pdn_network::{Dcm, DcmForm, NORM_EPS, Network, ParamId};

/// What a module did with a batch.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The mixture of kernels, `[images, n, 1, 1]`, if kernels are mixed.
    pub mixture: Option<Tensor<4>>,
    /// The mask, `[images, 1, height, width]`, with attention.
    pub mask: Option<Tensor<4>>,
}

/// Runs a module on `x`, c channels, and prompts `[images, d, 1, 1]` of unit length. The mask is f32 whatever the
/// precision, as it divides out everything but an angle.
///
/// # Panics
/// If the module is in the deploy form, which cannot be trained.
pub fn run(
    dcm: &Dcm,
    network: &Network,
    parameters: &Parameters,
    x: Pixels,
    prompt: Tensor<4>,
    precision: Precision,
) -> (Pixels, Trace) {
    let DcmForm::Train { project: (weight, bias) } = dcm.form else {
        panic!("{} is in the deploy form: train from the train form", dcm.name);
    };
    let module = Module { dcm, network, parameters };
    let (c, d) = (dcm.features, dcm.options.dim);
    let projection = Tensor::cat(vec![module.get(weight).reshape([d, c]), module.get(bias).reshape([d, 1])], 1);
    let [images, height, width, _] = x.dims();
    let mask = dcm.zeta.map(|zeta| module.mask(projection.clone(), module.get(zeta), x.clone(), prompt.clone()));
    let z = match &mask {
        Some(mask) => Tensor::cat(vec![x.clone().map() * mask.clone(), mask.clone()], 3),
        None => Tensor::cat(vec![x.clone().map(), Tensor::ones([images, height, width, 1], &prompt.device())], 3),
    };
    let mixture = dcm.mlp.map(|mlp| module.mixture(mlp, prompt));
    let (kernel, bias) = module.kernel(projection, mixture.as_ref());
    let then = Then { add: dcm.options.residual.then_some(x), ..Then::NOTHING };
    let y = precision.convolve(Pixels::new(z), kernel, bias, then);
    // With a single channel, planes and pixels have the same layout.
    let mask = mask.map(|mask| mask.reshape([images, 1, height, width]));
    (y, Trace { mixture, mask })
}

/// Computes `Σ π_k bank_k` for each image: a mixture `[images, n, 1, 1]` of a flat bank of n parts, `[images, part]`.
pub fn mix(mixture: Tensor<4>, bank: Tensor<1>) -> Tensor<2> {
    let [images, n, ..] = mixture.dims();
    let part = bank.dims()[0] / n;
    mixture.reshape([images, n]).matmul(bank.reshape([n, part]))
}

struct Module<'a> {
    dcm: &'a Dcm,
    network: &'a Network,
    parameters: &'a Parameters,
}

impl Module<'_> {
    fn get(&self, id: ParamId) -> Tensor<1> {
        self.parameters[id.index()].clone()
    }

    /// Computes equation 2, `[images, height, width, 1]`.
    fn mask(&self, projection: Tensor<2>, zeta: Tensor<1>, x: Pixels, prompt: Tensor<4>) -> Tensor<4> {
        let (c, d) = (self.dcm.features, self.dcm.options.dim);
        let images = prompt.dims()[0];
        // [images, c + 1]: a 1x1 convolution to one channel, its bias the last number.
        let direction = prompt.reshape([images, d]).matmul(projection.clone());
        let numerator = convolve(
            x.clone(),
            direction.clone().narrow(1, 0, c).reshape([images, 1, c, 1, 1]),
            direction.narrow(1, c, 1),
            Then::NOTHING,
        )
        .map();
        let gram = projection.clone().transpose().matmul(projection);
        let quadratic = gram.clone().narrow(0, 0, c).narrow(1, 0, c).reshape([1, c, c, 1, 1]);
        let linear = gram.clone().narrow(0, 0, c).narrow(1, c, 1) * 2.0;
        let constant = gram.narrow(0, c, 1).narrow(1, c, 1).reshape([1, 1, 1, 1]);
        // zᵀ G z = x·(A x + 2 a) + α
        let inner = convolve(x.clone(), quadratic, linear.reshape([1, c]), Then::NOTHING);
        let square = (x.map() * inner.map()).sum_dim(3) + constant + NORM_EPS * NORM_EPS;
        // Rounding may make a square slightly negative where the feature vanishes.
        let norm = square.clamp_min(NORM_EPS * NORM_EPS).sqrt();
        activation::sigmoid(numerator / norm * zeta.reshape([1, 1, 1, 1]))
    }

    /// Computes π: softmax over the bank's kernels of the MLP of `sqrt(d) p`.
    fn mixture(&self, [(w0, b0), (w2, b2)]: [(ParamId, ParamId); 2], prompt: Tensor<4>) -> Tensor<4> {
        let d = self.dcm.options.dim;
        let linear = |x: Tensor<2>, weight: ParamId, bias: ParamId| {
            let [outputs, inputs] = [self.network.param(bias).len(), x.dims()[1]];
            let weight = self.get(weight).reshape([outputs, inputs]).transpose();
            x.matmul(weight) + self.get(bias).reshape([1, outputs])
        };
        let images = prompt.dims()[0];
        let scaled = prompt.reshape([images, d]) * (d as f64).sqrt();
        let logits = linear(activation::relu(linear(scaled, w0, b0)), w2, b2) / self.dcm.options.temperature;
        let n = logits.dims()[1];
        activation::softmax(logits, 1).reshape([images, n, 1, 1])
    }

    /// Returns the kernels composed with the projection, `[sets, c, c + 1, k, k]`, and their biases.
    fn kernel(&self, projection: Tensor<2>, mixture: Option<&Tensor<4>>) -> (Tensor<5>, Tensor<2>) {
        let (c, d, k) = (self.dcm.features, self.dcm.options.dim, self.dcm.options.kernel);
        let (kernel, bias) = self.dcm.kernel;
        let kernel = self.get(kernel);
        let parts = self.network.param(bias).len();
        // [parts, k², d] · [d, c + 1], then back to [parts, c + 1, k²].
        let taps: Tensor<3> = kernel.reshape([parts, d, k * k]).swap_dims(1, 2);
        let composed = taps.reshape([parts * k * k, d]).matmul(projection);
        let composed: Tensor<3> = composed.reshape([parts, k * k, c + 1]).swap_dims(1, 2);
        let composed: Tensor<1> = composed.reshape([parts * (c + 1) * k * k]);
        match mixture {
            Some(mixture) => {
                let images = mixture.dims()[0];
                let kernel = mix(mixture.clone(), composed).reshape([images, c, c + 1, k, k]);
                (kernel, mix(mixture.clone(), self.get(bias)))
            }
            None => (composed.reshape([1, c, c + 1, k, k]), self.get(bias).reshape([1, c])),
        }
    }
}
