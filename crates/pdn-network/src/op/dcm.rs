//! The Dynamic Correlation Module, the paper's section 3.3, in the two forms that a model file may hold.
//!
//! With `x` the c features at a pixel, `p` the unit prompt of length d and `y = P x + b` the projected features:
//!
//! - equation 2: the mask `m = sigmoid(ζ · p·y / sqrt(|y|² + ε²))`, one number per pixel;
//! - equation 3: the enhanced map `m · y`, of d channels;
//! - equation 4: the convolution of the enhanced map with the kernel `Σ π_k W_k` and bias `Σ π_k b_k`, to c channels,
//!   where `π = softmax(MLP(sqrt(d) · p) / τ)` and the MLP has a hidden layer of d / 4 with a ReLU.
//!
//! The **train** form holds `P` and the bank `W_k`. The **deploy** form never computes the d channels: with
//! `z = [x; 1]`,
//!
//! - `numerator` is `[P b]ᵀ`, which a prompt turns into one vector of length c + 1: `p·y = (numerator p)·z`;
//! - `norm` is R of `[P b] = Q R`, so that `|y| = |R z|`: c + 1 channels, the last one constant;
//! - each bank kernel is composed with `[P b]` and reads `[m x; m]`: c + 1 channels.
//!
//! `pdn_engine::fold` documents the composition and its accuracy. Deploying pays only if it lowers the number of
//! multiply-accumulates, which it does not when d is no larger than c.
//!
//! Choices where the paper is silent: c output channels and a 3x3 kernel (it must plug in between layers), no inner
//! residual, ε = 1e-6. All of these are options.

use crate::param::{Init, Param, ParamId, add_param, conv_params};
use crate::{NetworkError, Shape};
use serde::{Deserialize, Serialize};

/// ε of the mask's norm: the same in training, engine and export.
pub const NORM_EPS: f64 = 1e-6;

/// The configuration of a DCM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DcmOptions {
    /// d, the length of the prompt's embedding and the number of projected channels.
    pub dim: usize,
    /// n, the kernels in the bank.
    pub kernels: usize,
    /// Side of the kernels, odd.
    pub kernel: usize,
    /// τ of the softmax over kernels, as training leaves it (34 falling to 7 over the paper's 100 epochs).
    pub temperature: f64,
    /// Equation 2. Without it, the mask is 1: the ablation "without attention".
    pub attention: bool,
    /// The mixing of equation 4. Without it, there is one kernel and no MLP: the ablation "without dynamic
    /// convolution".
    pub dynamic: bool,
    /// Adds the module's input to its output.
    pub residual: bool,
}

impl Default for DcmOptions {
    /// Returns the paper's module, at the end of training.
    fn default() -> Self {
        Self { dim: 512, kernels: 4, kernel: 3, temperature: 7.0, attention: true, dynamic: true, residual: false }
    }
}

impl DcmOptions {
    pub(crate) fn check(&self) -> Result<(), NetworkError> {
        let wrong = |why: String| Err(NetworkError::Config(format!("dcm: {why}")));
        match *self {
            Self { dim, .. } if !(1..=65536).contains(&dim) => {
                wrong(format!("dim {dim}: expected the length of the prompt's embedding, 1 to 65536"))
            }
            Self { kernels, .. } if !(1..=1024).contains(&kernels) => {
                wrong(format!("kernels {kernels}: expected 1 to 1024"))
            }
            Self { kernel, .. } if kernel % 2 == 0 || kernel > 15 => {
                wrong(format!("kernel {kernel}: expected an odd side of at most 15"))
            }
            Self { temperature, .. } if !temperature.is_finite() || temperature <= 0.0 => {
                wrong(format!("temperature {temperature}: expected a positive number"))
            }
            _ => Ok(()),
        }
    }
}

/// A DCM in a network, with the ids of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Dcm {
    /// Prefix of its parameters' names.
    pub name: String,
    /// c, the channels of its input and output.
    pub features: usize,
    /// Its configuration.
    pub options: DcmOptions,
    /// The form of its kernels, with the parameters that only that form has.
    pub form: DcmForm,
    /// The kernel and its bias: a bank `[n, c, i, k, k]` and `[n, c]`, or without mixing `[c, i, k, k]` and `[c]`.
    /// `i` is d in the train form and c + 1 in the deploy form.
    pub kernel: (ParamId, ParamId),
    /// The MLP's two layers, if kernels are mixed: `[h, d, 1, 1]` with `[h]`, and `[n, h, 1, 1]` with `[n]`.
    pub mlp: Option<[(ParamId, ParamId); 2]>,
    /// ζ, `[1]`, if there is attention.
    pub zeta: Option<ParamId>,
}

/// The form of a module's kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DcmForm {
    /// As trained.
    Train {
        /// P and its bias, `[d, c, 1, 1]` and `[d]`.
        project: (ParamId, ParamId),
    },
    /// Composed with the projection.
    Deploy {
        /// The inputs of the mask, if there is attention.
        mask: Option<DeployedMask>,
    },
}

/// The parameters of a deployed mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeployedMask {
    /// `[P b]ᵀ`, `[c + 1, d, 1, 1]`.
    pub numerator: ParamId,
    /// R's first c columns `[c + 1, c, 1, 1]` and its last column `[c + 1]`.
    pub norm: (ParamId, ParamId),
}

impl Dcm {
    /// Creates a module in the train form and adds its parameters to the list.
    pub(crate) fn trained(name: &str, features: usize, options: DcmOptions, params: &mut Vec<Param>) -> Self {
        let project = conv_params(params, &format!("{name}.project"), &[options.dim, features, 1, 1]);
        Self::with_kernels(name, features, options, DcmForm::Train { project }, options.dim, params)
    }

    /// Returns the module in the deploy form and adds its parameters to the list.
    pub(crate) fn deployed(&self, params: &mut Vec<Param>) -> Self {
        let (c, d) = (self.features, self.options.dim);
        let mask = self.options.attention.then(|| DeployedMask {
            numerator: add_param(params, format!("{}.numerator", self.name), &[c + 1, d, 1, 1], Init::FanIn(d)),
            norm: conv_params(params, &format!("{}.norm", self.name), &[c + 1, c, 1, 1]),
        });
        Self::with_kernels(&self.name, c, self.options, DcmForm::Deploy { mask }, c + 1, params)
    }

    fn with_kernels(
        name: &str,
        features: usize,
        options: DcmOptions,
        form: DcmForm,
        inputs: usize,
        params: &mut Vec<Param>,
    ) -> Self {
        let DcmOptions { dim, kernels, kernel: k, .. } = options;
        let zeta = options.attention.then(|| add_param(params, format!("{name}.zeta"), &[1], Init::Constant(50.0)));
        let hidden = (dim / 4).max(1);
        let mlp = options.dynamic.then(|| {
            let first = conv_params(params, &format!("{name}.mlp.0"), &[hidden, dim, 1, 1]);
            let second = conv_params(params, &format!("{name}.mlp.2"), &[kernels, hidden, 1, 1]);
            params[second.0.index()].init = Init::Logits(hidden);
            [first, second]
        });
        let kernel = match options.dynamic {
            true => conv_params(params, &format!("{name}.bank"), &[kernels, features, inputs, k, k]),
            false => conv_params(params, &format!("{name}.kernel"), &[features, inputs, k, k]),
        };
        // With a residual the module is a branch, which starts small.
        if options.residual
            && let Init::FanIn(n) = params[kernel.0.index()].init
        {
            params[kernel.0.index()].init = Init::Branch(n);
        }
        Self { name: name.to_owned(), features, options, form, kernel, mlp, zeta }
    }

    /// Returns whether the module is in the deploy form.
    pub fn is_deployed(&self) -> bool {
        matches!(self.form, DcmForm::Deploy { .. })
    }

    /// Returns whether the deploy form needs fewer multiply-accumulates per pixel than the train form.
    pub fn deploying_pays(&self) -> bool {
        let (c, d, k) = (self.features, self.options.dim, self.options.kernel);
        let mask = |width: usize| if self.options.attention { width } else { 0 };
        let trained = c * d + mask(2 * d) + c * d * k * k;
        let deployed = mask(c * (c + 1) + 2 * (c + 1)) + c * (c + 1) * k * k;
        deployed < trained
    }

    pub(super) fn shape(&self, inputs: &[Shape]) -> Result<Shape, NetworkError> {
        match inputs {
            [x, p] if x.channels == self.features && *p == Shape::vector(self.options.dim) => Ok(*x),
            _ => Err(NetworkError::Shape(format!(
                "expected {} features and a prompt of {}, found {inputs:?}",
                self.features, self.options.dim
            ))),
        }
    }

    /// Visits every parameter of the module.
    pub(super) fn each_param(&mut self, visit: &mut dyn FnMut(&mut ParamId)) {
        match &mut self.form {
            DcmForm::Train { project: (w, b) } => [w, b].into_iter().for_each(&mut *visit),
            DcmForm::Deploy { mask } => {
                if let Some(mask) = mask {
                    [&mut mask.numerator, &mut mask.norm.0, &mut mask.norm.1].into_iter().for_each(&mut *visit);
                }
            }
        }
        self.zeta.iter_mut().for_each(&mut *visit);
        for (w, b) in self.mlp.iter_mut().flatten() {
            [w, b].into_iter().for_each(&mut *visit);
        }
        [&mut self.kernel.0, &mut self.kernel.1].into_iter().for_each(visit);
    }
}
