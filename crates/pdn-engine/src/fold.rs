//! Folds a trained DCM into its deploy form (`pdn_network`'s `dcm.rs` describes the form itself).
//!
//! With `Q = [P b]`, the projection and its bias as a d x (c + 1) matrix, so that the projected features are
//! `y = Q [x; 1]`:
//!
//! - the numerator of the mask is `p·y = (Qᵀ p)·[x; 1]`: store `Qᵀ`;
//! - its norm is `|y| = |R [x; 1]|` with R of `Q`'s QR decomposition, (c + 1) x (c + 1) and upper triangular, so the last
//!   row is one constant. The Gram matrix would give the same number with half the digits: it squares before it
//!   subtracts;
//! - a kernel `W` over y becomes `W∘Q` over `[m x; m]`; zero padding stays exact, as both are 0 outside the picture.
//!
//! Everything is computed in float64 and stored in float32.
//!
//! A network for a single prompt ([`fold_prompt`]) has its mixed kernels as constants.

mod prompt;

pub use prompt::fold_prompt;

use crate::RunError;
use pdn_network::{Dcm, DcmForm, Network, Op, Tensor, Weights};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Returns the network with each trained DCM in the deploy form, where that pays, and its weights; the same network if
/// there is nothing to fold.
///
/// # Errors
/// [`RunError::Fold`] if folding yields a number beyond float32.
pub fn fold(network: &Network, weights: &Weights) -> Result<(Network, Weights), RunError> {
    let deployed = network.deployed();
    let mut composed: BTreeMap<String, Tensor> = BTreeMap::new();
    for (before, after) in network.nodes.iter().zip(&deployed.nodes) {
        if let (Op::Dcm(trained), Op::Dcm(folded)) = (&before.op, &after.op)
            && let (DcmForm::Train { project }, DcmForm::Deploy { mask }) = (trained.form, folded.form)
        {
            let projection = Projection::new(&weights[project.0], &weights[project.1]);
            let mut put = |id, tensor| composed.insert(deployed.param(id).name.clone(), tensor);
            if let Some(mask) = mask {
                put(mask.numerator, projection.numerator());
                let (weight, bias) = projection.norm();
                put(mask.norm.0, weight);
                put(mask.norm.1, bias);
            }
            put(folded.kernel.0, projection.compose(trained, &weights[trained.kernel.0]));
        }
    }
    let mut named = network.name_weights(weights.clone());
    let tensors = deployed.params.iter().map(|p| composed.remove(&p.name).or_else(|| named.remove(&p.name)));
    let tensors = tensors.map(|t| t.expect("a parameter is folded or kept")).collect();
    let weights = Weights::in_order(&deployed, tensors).map_err(RunError::Fold)?;
    Ok((deployed, weights))
}

/// `[P b]` in float64, d rows of c + 1.
struct Projection {
    rows: Vec<f64>,
    d: usize,
    width: usize,
}

impl Projection {
    fn new(weight: &Tensor, bias: &Tensor) -> Self {
        let (d, c) = (weight.shape()[0], weight.shape()[1]);
        let with_bias = |(row, b): (&[f32], &f32)| row.iter().chain([b]).map(|v| f64::from(*v)).collect::<Vec<_>>();
        let rows = weight.data().chunks(c).zip(bias.data()).flat_map(with_bias).collect();
        Self { rows, d, width: c + 1 }
    }

    /// Returns `[P b]ᵀ` as a 1x1 convolution's kernel.
    fn numerator(&self) -> Tensor {
        let transposed = (0..self.width).flat_map(|j| (0..self.d).map(move |i| self.rows[i * self.width + j] as f32));
        Tensor::new(vec![self.width, self.d, 1, 1], transposed.collect())
    }

    /// Returns R as a 1x1 convolution's kernel and bias.
    fn norm(&self) -> (Tensor, Tensor) {
        let r = upper_triangle(&self.rows, self.d, self.width);
        let c = self.width - 1;
        let weight = r.chunks(self.width).flat_map(|row| row[..c].iter().map(|v| *v as f32)).collect();
        let bias = r.chunks(self.width).map(|row| row[c] as f32).collect();
        (Tensor::new(vec![self.width, c, 1, 1], weight), Tensor::new(vec![self.width], bias))
    }

    /// Composes a kernel or bank `[.., d, k, k]` with the projection: `[.., c + 1, k, k]`.
    fn compose(&self, dcm: &Dcm, kernel: &Tensor) -> Tensor {
        let taps = dcm.options.kernel * dcm.options.kernel;
        let mut shape = kernel.shape().to_vec();
        let inputs = shape.len() - 3;
        shape[inputs] = self.width;
        let compose_one = |kernel: &[f32]| {
            let mut out = vec![0.0_f64; self.width * taps];
            for (kernel, row) in kernel.chunks(taps).zip(self.rows.chunks(self.width)) {
                for (out, p) in out.chunks_mut(taps).zip(row) {
                    out.iter_mut().zip(kernel).for_each(|(o, w)| *o += p * f64::from(*w));
                }
            }
            out.into_iter().map(|v| v as f32).collect::<Vec<_>>()
        };
        Tensor::new(shape, kernel.data().par_chunks(self.d * taps).flat_map_iter(compose_one).collect())
    }
}

/// Computes R of a QR decomposition by Householder reflections: n x n, upper triangular, with `|R z| = |A z|` for every
/// z. `a` has `m` rows of `n`; rows of zeros are added if m is less than n.
fn upper_triangle(a: &[f64], m: usize, n: usize) -> Vec<f64> {
    let mut a = a.to_vec();
    a.resize(m.max(n) * n, 0.0);
    let m = m.max(n);
    for k in 0..n {
        let norm = (k..m).map(|i| a[i * n + k].powi(2)).sum::<f64>().sqrt();
        if norm == 0.0 {
            continue;
        }
        // The reflection's vector is the column minus its image, with the sign that avoids cancellation.
        let image = -norm.copysign(a[k * n + k]);
        let mut v: Vec<f64> = (k..m).map(|i| a[i * n + k]).collect();
        v[0] -= image;
        let square: f64 = v.iter().map(|x| x * x).sum();
        for j in k..n {
            let dot: f64 = (k..m).map(|i| v[i - k] * a[i * n + j]).sum();
            let factor = 2.0 * dot / square;
            (k..m).for_each(|i| a[i * n + j] -= factor * v[i - k]);
        }
        ((k + 1)..m).for_each(|i| a[i * n + k] = 0.0);
    }
    a.truncate(n * n);
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, Map, Real};
    use pdn_network::zoo::Edsr;
    use pdn_network::{DcmOptions, hashed};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn r_keeps_every_length(m in 1_usize..9, n in 1_usize..7, numbers in prop::collection::vec(-5.0..5.0, 80)) {
            let (a, z) = (&numbers[..m * n], &numbers[70..70 + n]);
            let r = upper_triangle(a, m, n);
            let length = |a: &[f64]| a.chunks(n).map(|row| dot(row, z).powi(2)).sum::<f64>().sqrt();
            prop_assert!((length(&r) - length(a)).abs() < 1e-12 * (1.0 + length(a)));
            prop_assert!((0..n).all(|i| (0..i).all(|j| r[i * n + j] == 0.0)));
        }
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Returns the largest difference between the outputs, and masks, of the two forms, relative to the largest value.
    fn difference<T: Real>(network: &Network, folded: bool) -> f64 {
        let weights = hashed::weights(network);
        let number = |v: f32| T::from(v).unwrap();
        let picture = hashed::numbers("picture", 3 * 9 * 8, 128.0).into_iter().map(number).collect();
        let picture = Map::new(3, 9, 8, picture);
        let prompt: Vec<T> = hashed::prompt("prompt", network.prompt_dim().unwrap()).into_iter().map(number).collect();
        let run = |network: &Network, weights: &Weights| {
            let out = reference::run(network, weights, &picture, Some(&prompt)).unwrap();
            let mut maps = vec![out.picture];
            maps.extend(out.taps.into_iter().map(|(_, map)| map));
            maps
        };
        let direct = run(network, &weights);
        let (deployed, composed) = fold(network, &weights).unwrap();
        assert_eq!(deployed.is_deployed(), folded);
        let pairs = direct.into_iter().zip(run(&deployed, &composed));
        pairs.map(|(a, b)| relative(&a.data, &b.data)).fold(0.0, f64::max)
    }

    fn relative<T: Real>(a: &[T], b: &[T]) -> f64 {
        let largest =
            |values: &mut dyn Iterator<Item = T>| values.map(|v| v.to_f64().unwrap().abs()).fold(0.0, f64::max);
        largest(&mut a.iter().zip(b).map(|(a, b)| *a - *b)) / largest(&mut a.iter().copied())
    }

    #[test]
    fn folded_edsr_plus_gives_what_the_unfolded_gives_with_every_combination_of_options() {
        for kernel in [1, 3] {
            for bits in 0..8 {
                let [attention, dynamic, residual] = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
                let dcm = DcmOptions { kernel, attention, dynamic, residual, ..DcmOptions::default() };
                let network = Edsr { blocks: 4, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
                let (single, double) = (difference::<f32>(&network, true), difference::<f64>(&network, true));
                println!(
                    "kernel {kernel} attention {attention} dynamic {dynamic} residual {residual}: f32 {single:.1e}, f64 {double:.1e}"
                );
                // Composed weights are stored in float32, which limits the accuracy in float64.
                assert!(single < 5e-6 && double < 2e-6, "{dcm:?}: f32 {single:.1e}, f64 {double:.1e}");
            }
        }
    }

    #[test]
    fn nothing_is_folded_where_it_does_not_pay() {
        let dcm = DcmOptions { dim: 16, ..DcmOptions::default() };
        let network = Edsr { features: 24, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
        assert_eq!(difference::<f32>(&network, false), 0.0);
        let plain = Edsr { features: 24, blocks: 2, ..Edsr::baseline(2) }.build().unwrap();
        assert_eq!(fold(&plain, &hashed::weights(&plain)).unwrap().0, plain);
    }

    #[test]
    fn folding_twice_changes_nothing_more() {
        let network =
            Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(DcmOptions::default()).build().unwrap();
        let once = fold(&network, &hashed::weights(&network)).unwrap();
        assert_eq!(fold(&once.0, &once.1).unwrap(), once);
    }
}
