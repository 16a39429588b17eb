//! An ONNX graph under construction: nodes in order, names, and each constant once.

use super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, Length, NodeProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::{Network, ParamId, Weights};
use std::collections::BTreeMap;

/// A builder for an ONNX graph.
pub(super) struct Graph<'a> {
    network: &'a Network,
    weights: &'a Weights,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// The dimensions of each constant, by name.
    known: BTreeMap<String, Vec<i64>>,
}

impl<'a> Graph<'a> {
    /// Creates an empty graph for a network's operations and weights.
    pub(super) fn new(network: &'a Network, weights: &'a Weights) -> Self {
        Self { network, weights, nodes: Vec::new(), constants: Vec::new(), known: BTreeMap::new() }
    }

    /// Adds a node; returns the name of its output.
    pub(super) fn op(&mut self, kind: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("{kind}_{}", self.nodes.len());
        self.op_as(&name, kind, inputs, attributes);
        name
    }

    /// Adds a node with an output of this name.
    pub(super) fn op_as(&mut self, output: &str, kind: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{kind}_{}", self.nodes.len()),
            op_type: kind.to_owned(),
            attribute: attributes,
        });
    }

    /// Renames the last node's output, if it is `name`.
    pub(super) fn rename_last(&mut self, name: &mut String, to: &str) {
        if let Some(output) = self.nodes.last_mut().map(|node| &mut node.output[0]).filter(|output| *output == name) {
            to.clone_into(output);
            to.clone_into(name);
        }
    }

    /// Returns the length of a parameter's dimension.
    pub(super) fn length(&self, id: ParamId, dimension: usize) -> usize {
        self.network.param(id).shape[dimension]
    }

    /// Adds a parameter in a shape with as many elements; returns its name.
    pub(super) fn param(&mut self, id: ParamId, shape: &[usize]) -> String {
        let name = self.network.param(id).name.clone();
        let weights = self.weights;
        self.floats(&name, shape, weights[id].data())
    }

    /// Adds a scalar constant.
    pub(super) fn number(&mut self, value: f64) -> String {
        self.floats(&format!("number_{value}"), &[], &[value as f32])
    }

    /// Adds a constant array of float32.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], numbers: &[f32]) -> String {
        let dims = shape.iter().map(|n| *n as i64).collect();
        self.constant(name, dims, DataType::Float, || numbers.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Adds a constant list of integers.
    pub(super) fn list(&mut self, numbers: &[i64]) -> String {
        let words: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let dims = vec![numbers.len() as i64];
        let bytes = || numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(&format!("list_{}", words.join("_")), dims, DataType::Int64, bytes)
    }

    /// Adds a constant unless it exists; one parameter with two shapes has two names.
    fn constant(&mut self, name: &str, dims: Vec<i64>, kind: DataType, bytes: impl FnOnce() -> Vec<u8>) -> String {
        let name = match self.known.get(name) {
            Some(known) if *known == dims => return name.to_owned(),
            Some(_) => return self.constant(&format!("{name} {dims:?}"), dims, kind, bytes),
            None => name.to_owned(),
        };
        self.known.insert(name.clone(), dims.clone());
        self.constants.push(TensorProto { dims, data_type: kind.into(), name: name.clone(), raw_data: bytes() });
        name
    }

    /// Returns the finished graph.
    pub(super) fn finish(self, name: &str, input: Vec<ValueInfoProto>, output: ValueInfoProto) -> GraphProto {
        GraphProto { node: self.nodes, name: name.to_owned(), initializer: self.constants, input, output: vec![output] }
    }
}

/// Returns an integer attribute.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// Returns an integer list attribute.
pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// Returns a float attribute.
pub(super) fn float(name: &str, value: f64) -> AttributeProto {
    AttributeProto { f: Some(value as f32), ..attribute(name, AttributeType::Float) }
}

/// Returns a string attribute.
pub(super) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, AttributeType::String) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind.into(), ..AttributeProto::default() }
}

/// Returns an input or output with its name, type, dimensions and description.
pub(super) fn value_info(name: &str, kind: DataType, shape: &[Length], about: &str) -> ValueInfoProto {
    let dim = shape.iter().map(|length| Dimension { value: Some(length.clone()) }).collect();
    let tensor_type = TensorTypeProto { elem_type: kind.into(), shape: Some(TensorShapeProto { dim }) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
    ValueInfoProto { name: name.to_owned(), r#type, doc_string: about.to_owned() }
}
