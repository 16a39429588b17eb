//! A network in other forms: its modules lowered to primitive operations, or deployed.

use crate::network::Node;
use crate::{Act, Dcm, DcmForm, Network, NodeId, Op, ParamId, Shape, Tap, Weights};
use std::collections::BTreeMap;

impl Network {
    /// The same network with every module written in primitive operations, which is what the reference executor, the
    /// trainer and exporters run. Parameters keep their places.
    pub fn lower(&self) -> Network {
        let mut nodes: Vec<Node> = Vec::new();
        let mut places: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        let mut masks: Vec<Option<NodeId>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<NodeId> = node.inputs.iter().map(|i| places[i.index()]).collect();
            let mut push = |op: Op, inputs: &[NodeId]| {
                let shapes: Vec<Shape> = inputs.iter().map(|i| nodes[i.index()].shape).collect();
                let shape = op.shape(&shapes, &self.params).expect("a module lowers to operations that fit");
                nodes.push(Node { op, inputs: inputs.to_vec(), shape });
                NodeId(nodes.len() - 1)
            };
            let (place, mask) = match &node.op {
                Op::Dcm(dcm) => dcm.lower(inputs[0], inputs[1], &mut push),
                op => (push(op.clone(), &inputs), None),
            };
            places.push(place);
            masks.push(mask);
        }
        let taps = self.taps.iter().map(|tap| Tap {
            name: tap.name.clone(),
            node: masks[tap.node.index()].unwrap_or(places[tap.node.index()]),
        });
        Network { taps: taps.collect(), output: places[self.output.index()], nodes, ..self.clone() }
    }

    /// The same network with each DCM in the deploy form, where that lowers the count of multiply-accumulates.
    /// Nodes keep their places; parameters are listed anew.
    pub fn deployed(&self) -> Network {
        let mut params = Vec::new();
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            match &mut node.op {
                Op::Dcm(dcm) if !dcm.is_deployed() && dcm.deploying_pays() => *dcm = dcm.deployed(&mut params),
                op => each_param(op, &mut |id| {
                    params.push(self.params[id.index()].clone());
                    *id = ParamId(params.len() - 1);
                }),
            }
        }
        Network { nodes, params, ..self.clone() }
    }

    /// The same network without the nodes that neither its output nor a tap reads, nor the parameters that no node names,
    /// and its weights.
    pub fn pruned(&self, weights: &Weights) -> (Network, Weights) {
        let mut read = vec![false; self.nodes.len()];
        for id in self.taps.iter().map(|tap| tap.node).chain([self.output]) {
            read[id.index()] = true;
        }
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if read[i] {
                node.inputs.iter().for_each(|input| read[input.index()] = true);
            }
        }
        let (mut nodes, mut params, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut places, mut param_places) = (BTreeMap::new(), BTreeMap::new());
        for (id, node) in self.ids().zip(&self.nodes).filter(|(id, _)| read[id.index()]) {
            let mut node = node.clone();
            node.inputs.iter_mut().for_each(|input| *input = places[input]);
            each_param(&mut node.op, &mut |param| {
                *param = *param_places.entry(*param).or_insert_with_key(|old| {
                    params.push(self.param(*old).clone());
                    tensors.push(weights[*old].clone());
                    ParamId(params.len() - 1)
                });
            });
            places.insert(id, NodeId(nodes.len()));
            nodes.push(node);
        }
        let taps = self.taps.iter().map(|tap| Tap { name: tap.name.clone(), node: places[&tap.node] }).collect();
        (Network { nodes, params, taps, output: places[&self.output], ..self.clone() }, Weights(tensors))
    }

    /// The same network with another temperature of the softmax over kernels in every DCM. The configuration keeps the one
    /// that training ends with.
    pub fn at_temperature(&self, temperature: f64) -> Network {
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            if let Op::Dcm(dcm) = &mut node.op {
                dcm.options.temperature = temperature;
            }
        }
        Network { nodes, ..self.clone() }
    }

    /// Whether any DCM is in the deploy form.
    pub fn is_deployed(&self) -> bool {
        self.dcms().any(Dcm::is_deployed)
    }

    /// The Dynamic Correlation Modules, in order.
    pub fn dcms(&self) -> impl Iterator<Item = &Dcm> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Dcm(dcm) => Some(dcm),
            _ => None,
        })
    }
}

/// Visits every parameter that an operation names.
fn each_param(op: &mut Op, visit: &mut dyn FnMut(&mut ParamId)) {
    match op {
        Op::Words(id) | Op::Constant(id) | Op::Positions(id) | Op::Act(Act::PRelu(id)) => visit(id),
        Op::LayerNorm { weight, bias, .. } => [weight, bias].into_iter().for_each(visit),
        Op::Conv { weight, bias } => {
            visit(weight);
            bias.iter_mut().for_each(visit);
        }
        Op::MixedConv { bank, bias } => [bank, bias].into_iter().for_each(visit),
        Op::Dcm(dcm) => {
            match &mut dcm.form {
                DcmForm::Train { project: (w, b) } => [w, b].into_iter().for_each(&mut *visit),
                DcmForm::Deploy { mask } => {
                    if let Some(mask) = mask {
                        [&mut mask.numerator, &mut mask.norm.0, &mut mask.norm.1].into_iter().for_each(&mut *visit);
                    }
                }
            }
            dcm.zeta.iter_mut().for_each(&mut *visit);
            for (w, b) in dcm.mlp.iter_mut().flatten() {
                [w, b].into_iter().for_each(&mut *visit);
            }
            [&mut dcm.kernel.0, &mut dcm.kernel.1].into_iter().for_each(visit);
        }
        Op::Picture { .. } | Op::Prompt { .. } | Op::Fill(_) | Op::Act(_) | Op::Binary(_) | Op::Scale(_) => {}
        Op::Concat | Op::Slice { .. } | Op::PixelShuffle(_) | Op::PixelUnshuffle(_) | Op::Enlarge(..) => {}
        Op::GlobalPool(_) | Op::Dot | Op::Norm { .. } | Op::Softmax | Op::Join | Op::Attend { .. } | Op::Take(_) => {}
    }
}
