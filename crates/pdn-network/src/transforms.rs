//! Transformations from one network to another: deployed, pruned, at another temperature.

use crate::{Dcm, Network, NodeId, Op, ParamId, Tap, Weights};
use std::collections::BTreeMap;

impl Network {
    /// Returns the network with each DCM in the deploy form if that lowers the number of multiply-accumulates. Nodes
    /// keep their indices; parameters are listed anew.
    pub fn deployed(&self) -> Network {
        let mut params = Vec::new();
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            match &mut node.op {
                Op::Dcm(dcm) if !dcm.is_deployed() && dcm.deploying_pays() => *dcm = dcm.deployed(&mut params),
                op => op.each_param(&mut |id| {
                    params.push(self.params[id.index()].clone());
                    *id = ParamId(params.len() - 1);
                }),
            }
        }
        Network { nodes, params, ..self.clone() }
    }

    /// Returns the network and its weights without the nodes that neither the output nor a tap depends on, and without
    /// the parameters that no node uses.
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
            node.op.each_param(&mut |param| {
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

    /// Returns the network with another softmax temperature over the kernels in every DCM. The configuration keeps the
    /// one that training ends with.
    pub fn at_temperature(&self, temperature: f64) -> Network {
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            if let Op::Dcm(dcm) = &mut node.op {
                dcm.options.temperature = temperature;
            }
        }
        Network { nodes, ..self.clone() }
    }

    /// Returns whether any DCM is in the deploy form.
    pub fn is_deployed(&self) -> bool {
        self.dcms().any(Dcm::is_deployed)
    }

    /// Iterates over the Dynamic Correlation Modules, in order.
    pub fn dcms(&self) -> impl Iterator<Item = &Dcm> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Dcm(dcm) => Some(dcm),
            _ => None,
        })
    }
}
