//! Prepares a DCM for a prompt: the convolution behind the mask, and the mixed kernel.

use pdn_kernels::{Conv, FoldedMask, Input, Isa, LANES, MaskScale, Precision, Row, RowShape, RowsMut, Store, mask_row};
use pdn_network::{Dcm, DcmForm, NORM_EPS, ParamId, Weights};

/// A DCM ready to run under one prompt.
#[derive(Debug)]
pub(crate) struct PromptedDcm {
    pub(crate) enhance: Enhance,
    /// Maps the enhanced channels to the output.
    pub(crate) kernel: Conv,
}

/// How a DCM's input becomes the channels that its kernel reads.
#[derive(Debug)]
pub(crate) enum Enhance {
    /// Folded, with attention: `[m x; m]`.
    Masked(FoldedMask),
    /// Folded, without attention: `[x; 1]`.
    Ones,
    /// Unfolded, with attention: `m P x`. The convolution's outputs are `P x`, padded to whole blocks, then the
    /// numerator.
    Projected(Conv, MaskScale),
    /// Unfolded, without attention: `P x`.
    Plain(Conv),
}

impl PromptedDcm {
    pub(crate) fn new(dcm: &Dcm, weights: &Weights, prompt: &[f32], precision: Precision) -> Self {
        let (kernel, bias) = match mixture(dcm, weights, prompt) {
            Some(pi) => (mix(&pi, weights, dcm.kernel.0), mix(&pi, weights, dcm.kernel.1)),
            None => (weights[dcm.kernel.0].data().to_vec(), weights[dcm.kernel.1].data().to_vec()),
        };
        let inputs = if dcm.is_deployed() { dcm.features + 1 } else { dcm.options.dim };
        let kernel = Conv::with_precision(&kernel, &bias, (inputs, dcm.options.kernel, 1), precision);
        Self { enhance: enhance(dcm, weights, prompt), kernel }
    }

    /// Returns the number of enhanced channels: if unfolded, the mask is appended, which the kernel does not read.
    pub(crate) fn enhanced(&self) -> usize {
        self.kernel.inputs() + usize::from(matches!(self.enhance, Enhance::Projected(..)))
    }
}

impl Enhance {
    /// Returns whether the last enhanced channel is a mask.
    pub(crate) fn has_mask(&self) -> bool {
        matches!(self, Self::Masked(_) | Self::Projected(..))
    }

    /// Computes the `channels` enhanced channels of a row of x. `scratch` is memory that a thread can reuse.
    pub(crate) fn row(&self, isa: Isa, x: Row, scratch: &mut Vec<f32>, (out, channels): (RowsMut, usize)) {
        let shape = x.shape;
        match self {
            Self::Plain(conv) => {
                conv.rows(isa, Input { maps: &[&[x.data]], formats: &[], shape }, &Store::default(), out)
            }
            Self::Ones => {
                out.data.fill(0.0);
                out.data[..x.data.len()].copy_from_slice(x.data);
                let last = channels - 1;
                (0..shape.width).for_each(|x| out.data[out.shape.at(last / LANES, x) + last % LANES] = 1.0);
            }
            Self::Masked(mask) => mask.row(isa, x, out),
            Self::Projected(conv, scale) => {
                let projected_shape = RowShape::new(conv.outputs(), shape.width, 0);
                scratch.resize(projected_shape.len(), 0.0);
                conv.rows(
                    isa,
                    Input { maps: &[&[x.data]], formats: &[], shape },
                    &Store::default(),
                    RowsMut::new(scratch, projected_shape),
                );
                mask_row(isa, channels - 1, Row::new(scratch, projected_shape), *scale, out);
            }
        }
    }
}

/// Computes equation 4's π; `None` if kernels are not mixed.
fn mixture(dcm: &Dcm, weights: &Weights, prompt: &[f32]) -> Option<Vec<f64>> {
    let [first, second] = dcm.mlp?;
    let length = (dcm.options.dim as f64).sqrt();
    let scaled: Vec<f64> = prompt.iter().map(|v| f64::from(*v) * length).collect();
    let hidden = linear(weights, first, &scaled).into_iter().map(|v| v.max(0.0)).collect::<Vec<_>>();
    let logits = linear(weights, second, &hidden);
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logits.iter().map(|v| ((v - top) / dcm.options.temperature).exp()).collect();
    let total: f64 = parts.iter().sum();
    Some(parts.into_iter().map(|v| v / total).collect())
}

fn linear(weights: &Weights, (weight, bias): (ParamId, ParamId), x: &[f64]) -> Vec<f64> {
    let rows = weights[weight].data().chunks_exact(x.len());
    rows.zip(weights[bias].data()).map(|(row, b)| f64::from(*b) + dot(row, x)).collect()
}

fn dot(row: &[f32], x: &[f64]) -> f64 {
    row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()
}

/// Computes `Σ π_k bank_k`.
fn mix(pi: &[f64], weights: &Weights, bank: ParamId) -> Vec<f32> {
    let bank = weights[bank].data();
    let size = bank.len() / pi.len();
    let mut out = vec![0.0_f32; size];
    for (pi, kernel) in pi.iter().zip(bank.chunks_exact(size)) {
        out.iter_mut().zip(kernel).for_each(|(o, w)| *o += *pi as f32 * w);
    }
    out
}

fn enhance(dcm: &Dcm, weights: &Weights, prompt: &[f32]) -> Enhance {
    let prompt: Vec<f64> = prompt.iter().map(|v| f64::from(*v)).collect();
    let zeta = dcm.zeta.map(|zeta| weights[zeta].data()[0]);
    let eps = (NORM_EPS * NORM_EPS) as f32;
    match (dcm.form, zeta) {
        (DcmForm::Deploy { mask: Some(mask) }, Some(zeta)) => {
            let c = dcm.features;
            let (r, last) = (weights[mask.norm.0].data(), weights[mask.norm.1].data());
            let rows = weights[mask.numerator].data().chunks_exact(prompt.len());
            let numerator: Vec<f32> = rows.map(|row| dot(row, &prompt) as f32).collect();
            // R's last row is one constant: it joins ε² and needs no channel.
            let scale = MaskScale { zeta, square: last[c].powi(2) + eps };
            Enhance::Masked(FoldedMask::new(&r[..c * c], &last[..c], (&numerator[..c], numerator[c]), scale))
        }
        (DcmForm::Deploy { .. }, _) => Enhance::Ones,
        (DcmForm::Train { project: (weight, bias) }, zeta) => {
            let (p, b, c) = (weights[weight].data(), weights[bias].data(), dcm.features);
            let Some(zeta) = zeta else { return Enhance::Plain(Conv::new(p, b, c, 1, 1)) };
            let column = |i: usize| (0..prompt.len()).map(|j| f64::from(p[j * c + i]) * prompt[j]).sum::<f64>() as f32;
            let numerator: Vec<f32> = (0..c).map(column).collect();
            let conv = with_numerator(p, b, &numerator, dot(b, &prompt) as f32);
            Enhance::Projected(conv, MaskScale { zeta, square: eps })
        }
    }
}

/// Creates a 1x1 convolution whose outputs are padded to whole blocks and followed by the numerator.
fn with_numerator(kernel: &[f32], bias: &[f32], numerator: &[f32], constant: f32) -> Conv {
    let (c, blocks) = (numerator.len(), bias.len().div_ceil(LANES) * LANES);
    let (mut kernel, mut bias) = (kernel.to_vec(), bias.to_vec());
    kernel.resize(blocks * c, 0.0);
    bias.resize(blocks, 0.0);
    kernel.extend_from_slice(numerator);
    bias.push(constant);
    Conv::new(&kernel, &bias, c, 1, 1)
}
