//! Lowering: expanding modules into primitive operations.

use crate::network::Node;
use crate::{Act, Binary, Dcm, DcmForm, DeployedMask, NORM_EPS, Network, NodeId, Op, ParamId, Shape, Tap};

/// Adds an operation with these inputs.
type Push<'a> = dyn FnMut(Op, &[NodeId]) -> NodeId + 'a;

impl Network {
    /// Returns the network with every module expanded into primitive operations, which is what the reference executor,
    /// the trainer and exporters run. Parameters keep their indices.
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
                Op::Dcm(dcm) => lower_dcm(dcm, inputs[0], inputs[1], &mut push),
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
}

/// Expands the module into primitive operations with `push`; returns its output and its mask.
fn lower_dcm(dcm: &Dcm, x: NodeId, prompt: NodeId, push: &mut Push<'_>) -> (NodeId, Option<NodeId>) {
    let (enhanced, mask) = match dcm.form {
        DcmForm::Train { project: (weight, bias) } => {
            let y = push(Op::Conv { weight, bias: Some(bias) }, &[x]);
            let mask = dcm.zeta.map(|zeta| {
                let dot = push(Op::Dot, &[y, prompt]);
                let norm = push(Op::Norm { eps: NORM_EPS }, &[y]);
                lower_mask(dot, norm, zeta, push)
            });
            (mask.map_or(y, |m| push(Op::Binary(Binary::Mul), &[y, m])), mask)
        }
        DcmForm::Deploy { mask } => {
            let mask = mask.zip(dcm.zeta).map(|(mask, zeta)| lower_deployed(dcm, mask, zeta, x, prompt, push));
            let z = match mask {
                Some(m) => [push(Op::Binary(Binary::Mul), &[x, m]), m],
                None => [x, push(Op::Fill(1.0), &[x])],
            };
            (push(Op::Concat, &z), mask)
        }
    };
    let (weight, bias) = dcm.kernel;
    let mut out = match dcm.mlp {
        Some(mlp) => {
            let mix = lower_mix(dcm, mlp, prompt, push);
            push(Op::MixedConv { bank: weight, bias }, &[enhanced, mix])
        }
        None => push(Op::Conv { weight, bias: Some(bias) }, &[enhanced]),
    };
    if dcm.options.residual {
        out = push(Op::Binary(Binary::Add), &[out, x]);
    }
    (out, mask)
}

fn lower_deployed(
    dcm: &Dcm,
    mask: DeployedMask,
    zeta: ParamId,
    x: NodeId,
    prompt: NodeId,
    push: &mut Push<'_>,
) -> NodeId {
    let v = push(Op::Conv { weight: mask.numerator, bias: None }, &[prompt]);
    let direction = push(Op::Slice { start: 0, len: dcm.features }, &[v]);
    let constant = push(Op::Slice { start: dcm.features, len: 1 }, &[v]);
    let dot = push(Op::Dot, &[x, direction]);
    let dot = push(Op::Binary(Binary::Add), &[dot, constant]);
    let rz = push(Op::Conv { weight: mask.norm.0, bias: Some(mask.norm.1) }, &[x]);
    let norm = push(Op::Norm { eps: NORM_EPS }, &[rz]);
    lower_mask(dot, norm, zeta, push)
}

fn lower_mix(dcm: &Dcm, [(w0, b0), (w2, b2)]: [(ParamId, ParamId); 2], prompt: NodeId, push: &mut Push<'_>) -> NodeId {
    let scaled = push(Op::Scale((dcm.options.dim as f64).sqrt()), &[prompt]);
    let hidden = push(Op::Conv { weight: w0, bias: Some(b0) }, &[scaled]);
    let hidden = push(Op::Act(Act::Relu), &[hidden]);
    let logits = push(Op::Conv { weight: w2, bias: Some(b2) }, &[hidden]);
    let logits = push(Op::Scale(1.0 / dcm.options.temperature), &[logits]);
    push(Op::Softmax, &[logits])
}

/// Computes equation 2 from the inner product and the norm.
fn lower_mask(dot: NodeId, norm: NodeId, zeta: ParamId, push: &mut Push<'_>) -> NodeId {
    let cosine = push(Op::Binary(Binary::Div), &[dot, norm]);
    let zeta = push(Op::Constant(zeta), &[]);
    let scaled = push(Op::Binary(Binary::Mul), &[cosine, zeta]);
    push(Op::Act(Act::Sigmoid), &[scaled])
}
