//! ONNX export: supports every operation, and so every network.
//!
//! The graph takes pictures as `picture` `[batch, 3, height, width]`, float32, RGB from 0 to 1, and returns `enlarged`
//! in the same format, clipped to 0 to 1. The network's value range and mean ([`crate::PictureFormat`]) are part of the
//! graph, before the zero padding of the first convolution. A network with a prompt has a second input, `prompt`
//! `[1, dim]`, of unit length. Text towers take `tokens` `[batch, length]`, int64; encoders return `embedding`
//! `[batch, dim]`; an output that is neither a picture nor a vector is `features`. Parameters keep their names, and
//! taps name their values.
//!
//! Modules are lowered to primitive operations first. A kernel that depends on the prompt is mixed in the graph;
//! `pdn_engine::fold` returns the network for one prompt, in which the kernel is a constant.

mod graph;
mod ops;
mod proto;
#[cfg(test)]
mod tests;

use crate::{Extent, Network, Node, Op, PictureFormat, Shape, Weights};
use graph::{Graph, value_info};
use ops::Value;
use prost::Message;
use proto::{DataType, Length, ModelProto, OperatorSetIdProto, StringStringEntryProto, ValueInfoProto};

/// The operator set. 17 is from 2022 and widely supported (onnxruntime from 1.12, TensorRT from 8.6, OpenVINO), and
/// nothing newer is needed: `Shape` with a start and an end is from 15, and from 18 on reductions are written in
/// another way.
pub const OPSET: i64 = 17;

/// The file format version that belongs to the operator set.
const IR_VERSION: i64 = 8;

/// The size limit of a protobuf message.
const MAX_BYTES: usize = i32::MAX as usize;

/// The reason why a network cannot be written as ONNX.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// The network exceeds what one file can hold.
    #[error("would be {found} bytes, more than the {MAX_BYTES} bytes that an ONNX file can hold")]
    TooLarge {
        /// The size it would have.
        found: usize,
    },
}

/// Returns the bytes of an ONNX file, with `metadata` in addition to the network's own. The same network, weights and
/// metadata always give the same bytes.
///
/// Pictures may come in batches, of any size, unless kernels depend on the content of the picture: then one at a time.
///
/// # Errors
/// Returns [`OnnxError::TooLarge`] beyond 2 GB, which is protobuf's limit.
pub fn write(network: &Network, weights: &Weights, metadata: &[(&str, String)]) -> Result<Vec<u8>, OnnxError> {
    check_size(4 * network.params.iter().map(|param| param.len()).sum::<usize>())?;
    let network = network.lower();
    let mut graph = Graph::new(&network, weights);
    let mut values: Vec<Value> = Vec::with_capacity(network.nodes.len());
    for (id, node) in network.ids().zip(&network.nodes) {
        let inputs: Vec<Value> = node.inputs.iter().map(|i| values[i.index()].clone()).collect();
        let batched = matches!(node.op, Op::Picture { .. } | Op::Words(_)) || inputs.iter().any(|x| x.batched);
        let mut name = match &node.op {
            Op::Picture { .. } => from_rgb(&mut graph, &network.picture),
            Op::Prompt { dim } => graph.reshape("prompt", &[1, *dim as i64, 1, 1]),
            Op::Words(table) => graph.words("tokens", *table),
            _ => graph.write(node, &inputs),
        };
        if let Some(tap) = network.taps.iter().find(|tap| tap.node == id) {
            graph.rename_last(&mut name, &tap.name);
        }
        values.push(Value { name, batched, shape: node.shape });
    }
    let batch = match network.nodes.iter().any(|node| mixed_by_picture(node, &values)) {
        true => Length::DimValue(1),
        false => Length::DimParam("batch".into()),
    };
    let output = finish(&mut graph, &network, &values[network.output.index()], &batch);
    let graph = graph.finish(network.architecture, inputs(&network, &batch), output);
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "pdn".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        metadata_props: facts(&network).into_iter().chain(metadata.iter().cloned()).map(entry).collect(),
    };
    check_size(model.encoded_len())?;
    Ok(model.encode_to_vec())
}

fn check_size(found: usize) -> Result<(), OnnxError> {
    if found > MAX_BYTES { Err(OnnxError::TooLarge { found }) } else { Ok(()) }
}

/// Returns whether the kernel differs from picture to picture, which ONNX's convolution does not support.
fn mixed_by_picture(node: &Node, values: &[Value]) -> bool {
    matches!(node.op, Op::MixedConv { .. }) && values[node.inputs[1].index()].batched
}

/// Adds `range * (rgb - mean)`.
fn from_rgb(graph: &mut Graph, format: &PictureFormat) -> String {
    let mut x = "picture".to_owned();
    if format.mean != [0.0; 3] {
        let mean = mean(graph, format);
        x = graph.op("Sub", &[&x, &mean], vec![]);
    }
    if format.range != 1.0 {
        let range = graph.number(format.range);
        x = graph.op("Mul", &[&x, &range], vec![]);
    }
    x
}

/// Adds the inverse of [`from_rgb`], before the clip to 0 to 1.
fn to_rgb(graph: &mut Graph, format: &PictureFormat, x: &str) -> String {
    let mut x = x.to_owned();
    if format.range != 1.0 {
        let range = graph.number(format.range);
        x = graph.op("Div", &[&x, &range], vec![]);
    }
    if format.mean != [0.0; 3] {
        let mean = mean(graph, format);
        x = graph.op("Add", &[&x, &mean], vec![]);
    }
    x
}

fn mean(graph: &mut Graph, format: &PictureFormat) -> String {
    graph.floats("mean", &[1, 3, 1, 1], &format.mean.map(|v| v as f32))
}

/// Adds the graph's output and returns its description.
fn finish(graph: &mut Graph, network: &Network, x: &Value, batch: &Length) -> ValueInfoProto {
    let number = Length::DimValue(x.shape.channels as i64);
    let side = |name: &str| Length::DimParam(format!("{name}_out"));
    let [height, width] = ["height", "width"].map(side);
    match x.shape {
        Shape { channels: 3, extent: Extent::Picture(_) } => {
            let rgb = to_rgb(graph, &network.picture, &x.name);
            let [black, white] = [0.0, 1.0].map(|v| graph.number(v));
            graph.op_as("enlarged", "Clip", &[&rgb, &black, &white], vec![]);
            let shape = [batch.clone(), number, height, width];
            value_info(
                "enlarged",
                DataType::Float,
                &shape,
                &format!("RGB from 0 to 1, {} times the side", network.scale),
            )
        }
        Shape { extent: Extent::One, .. } => {
            let shape = [batch.clone(), number];
            graph.op_as("embedding", "Flatten", &[&x.name], vec![graph::int("axis", 1)]);
            value_info("embedding", DataType::Float, &shape, "one vector for each, not brought to unit length")
        }
        _ => {
            graph.op_as("features", "Identity", &[&x.name], vec![]);
            value_info("features", DataType::Float, &[batch.clone(), number, height, width], "maps of features")
        }
    }
}

/// Returns the graph's inputs.
fn inputs(network: &Network, batch: &Length) -> Vec<ValueInfoProto> {
    let named = |name: &str| Length::DimParam(name.into());
    let mut inputs: Vec<ValueInfoProto> = Vec::new();
    for node in &network.nodes {
        let input = match node.op {
            Op::Picture { channels } => {
                let shape = [batch.clone(), Length::DimValue(channels as i64), named("height"), named("width")];
                value_info("picture", DataType::Float, &shape, "RGB from 0 to 1")
            }
            Op::Prompt { dim } => {
                let shape = [Length::DimValue(1), Length::DimValue(dim as i64)];
                value_info("prompt", DataType::Float, &shape, "the prompt's embedding, of unit length")
            }
            Op::Words(_) => {
                let about = "a sentence's tokens from its start to its end, without padding";
                value_info("tokens", DataType::Int64, &[batch.clone(), named("length")], about)
            }
            _ => continue,
        };
        if inputs.iter().all(|known| known.name != input.name) {
            inputs.push(input);
        }
    }
    inputs
}

/// Returns the metadata of a network.
fn facts(network: &Network) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("architecture", network.architecture.to_owned()),
        ("config", network.config.to_string()),
        ("scale", network.scale.to_string()),
        ("colours", "RGB from 0 to 1 in and out, float32, [batch, channels, height, width]".to_owned()),
    ];
    if let Some(dim) = network.prompt_dim() {
        facts.push(("prompt", format!("input of {dim} numbers, of unit length")));
    }
    facts
}

fn entry((key, value): (&str, String)) -> StringStringEntryProto {
    StringStringEntryProto { key: key.to_owned(), value }
}
