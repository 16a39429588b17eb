//! Specialises a network to one prompt: whatever depends on the prompt alone is computed once, in float64, and stored
//! in float32.
//!
//! Mixed convolutions become plain ones, and the inner product of features with a vector becomes a 1x1 convolution.

use crate::RunError;
use crate::error::check_prompt;
use crate::map::Map;
use crate::ops::{mixed, operate};
use pdn_network::{Extent, Init, Network, Node, Op, Param, ParamId, Tensor, Weights};

/// Returns a network that takes no prompt and computes what `network` does under this prompt of unit length. It is
/// lowered, without modules.
///
/// # Errors
/// [`RunError::Prompt`] if the network takes no prompt or one of another length, [`RunError::Fold`] if folding yields a
/// number beyond float32.
pub fn fold_prompt(network: &Network, weights: &Weights, prompt: &[f32]) -> Result<(Network, Weights), RunError> {
    check_prompt(network.prompt_dim(), Some(prompt.len()))?;
    let mut folding = Folding::new(network.lower(), weights);
    let mut known: Vec<Option<Map<f64>>> = Vec::new();
    for i in 0..folding.network.nodes.len() {
        let node = folding.network.nodes[i].clone();
        let inputs: Vec<Option<&Map<f64>>> = node.inputs.iter().map(|input| known[input.index()].as_ref()).collect();
        let value = match node.op {
            Op::Prompt { .. } => Some(Map::vector(prompt.iter().map(|v| f64::from(*v)).collect())),
            Op::Picture { .. } | Op::Words(_) => None,
            _ if node.shape.extent != Extent::One => None,
            _ => inputs.iter().copied().collect::<Option<Vec<_>>>().map(|inputs| operate(&node, &inputs, weights)),
        };
        folding.network.nodes[i] = match &value {
            Some(_) if matches!(node.op, Op::Constant(_)) => node,
            Some(value) => folding.constant(&format!("folded.{i}"), &node, value),
            None => folding.with_known(&format!("folded.{i}"), node, &inputs),
        };
        known.push(value);
    }
    folding.finish()
}

/// A network whose nodes are being replaced in place.
struct Folding {
    network: Network,
    tensors: Vec<Tensor>,
}

impl Folding {
    fn new(network: Network, weights: &Weights) -> Self {
        let tensors = network.param_ids().map(|id| weights[id].clone()).collect();
        Self { network, tensors }
    }

    fn constant(&mut self, name: &str, node: &Node, value: &Map<f64>) -> Node {
        let id = self.param(name.to_owned(), vec![value.data.len()], &value.data);
        Node { op: Op::Constant(id), inputs: vec![], shape: node.shape }
    }

    /// Returns the node with a kernel in place of its known input.
    fn with_known(&mut self, name: &str, node: Node, inputs: &[Option<&Map<f64>>]) -> Node {
        let op = match (&node.op, inputs) {
            (Op::MixedConv { bank, bias }, [_, Some(mixture)]) => {
                let [bank, bias] = [*bank, *bias].map(|id| (self.network.param(id).clone(), id));
                let [weight, bias] = [bank, bias].map(|(param, id)| {
                    let kernel = mixed(&mixture.data, &self.tensors[id.index()]);
                    self.param(format!("{}.mixed", param.name), param.shape[1..].to_vec(), &kernel)
                });
                Op::Conv { weight, bias: Some(bias) }
            }
            (Op::Dot, [_, Some(vector)]) => {
                let weight = self.param(name.to_owned(), vec![1, vector.data.len(), 1, 1], &vector.data);
                Op::Conv { weight, bias: None }
            }
            _ => return node,
        };
        Node { op, inputs: node.inputs[..1].to_vec(), shape: node.shape }
    }

    fn param(&mut self, name: String, shape: Vec<usize>, numbers: &[f64]) -> ParamId {
        self.tensors.push(Tensor::new(shape.clone(), numbers.iter().map(|v| *v as f32).collect()));
        self.network.params.push(Param { name, shape, init: Init::Zero });
        self.network.param_ids().last().expect("one was added")
    }

    /// Removes nodes that only known nodes read.
    fn finish(self) -> Result<(Network, Weights), RunError> {
        let weights = Weights::in_order(&self.network, self.tensors).map_err(RunError::Fold)?;
        Ok(self.network.pruned(&weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold;
    use crate::reference;
    use pdn_network::zoo::{Edsr, Pdn};
    use pdn_network::{DcmOptions, hashed};

    fn difference(network: &Network, weights: &Weights, prompt: &[f32]) -> f64 {
        let picture = hashed::numbers("picture", 3 * 9 * 8, network.picture.range / 2.0);
        let picture = Map::new(3, 9, 8, picture.into_iter().map(f64::from).collect());
        let double: Vec<f64> = prompt.iter().map(|v| f64::from(*v)).collect();
        let expected = reference::run(network, weights, &picture, Some(&double)).unwrap();
        let (folded, weights) = fold_prompt(network, weights, prompt).unwrap();
        assert!(folded.prompt_dim().is_none() && folded.nodes.iter().all(|n| !matches!(n.op, Op::MixedConv { .. })));
        assert!(folded.params.iter().all(|param| !param.name.contains("mlp")), "{:?}", folded.params);
        let found = reference::run(&folded, &weights, &picture, None).unwrap();
        assert!(found.taps.iter().zip(&expected.taps).all(|(a, b)| a.0 == b.0));
        let pairs = found.picture.data.iter().zip(&expected.picture.data);
        let largest = expected.picture.data.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
    }

    #[test]
    fn a_folded_prompt_gives_what_the_prompt_gives_in_both_forms_with_every_combination_of_options() {
        for bits in 0..8 {
            let [attention, dynamic, residual] = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
            let dcm = DcmOptions { dim: 64, attention, dynamic, residual, ..DcmOptions::default() };
            let network = Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
            let weights = hashed::weights(&network);
            let deployed = fold(&network, &weights).unwrap();
            assert!(deployed.0.is_deployed());
            for (network, weights) in [(&network, &weights), (&deployed.0, &deployed.1)] {
                // Mixed kernels are stored in float32.
                let found = difference(network, weights, &hashed::prompt("prompt", 64));
                assert!(found < 1e-6, "{dcm:?}: {found:.1e}");
            }
        }
    }

    #[test]
    fn prompts_that_do_not_fit_are_refused() {
        let pdn = Pdn { features: 16, groups: 1, blocks: 1, modules: 1, ..Pdn::medium(2) }.build().unwrap();
        let plain = Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.build().unwrap();
        for (network, dim) in [(&pdn, 511), (&plain, 512)] {
            let folded = fold_prompt(network, &hashed::weights(network), &hashed::prompt("prompt", dim));
            assert!(matches!(folded, Err(RunError::Prompt { .. })));
        }
    }
}
