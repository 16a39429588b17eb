//! Runs a network node by node.

use crate::RunError;
use crate::error::check_inputs;
use crate::map::{Map, Real};
use crate::ops::rows;
use pdn_network::{Network, Node, Op, Weights};

/// The outputs of a network.
#[derive(Clone, Debug)]
pub struct Outputs<T> {
    /// The upscaled picture, in the network's value range; an encoder's vector as a map of one pixel.
    pub picture: Map<T>,
    /// Each tap by name.
    pub taps: Vec<(String, Map<T>)>,
}

/// Runs one operation other than an input or a module.
pub(crate) type Operate<T> = fn(&Node, &[&Map<T>], &Weights) -> Map<T>;

/// Runs a network on a picture and, if it takes one, a prompt.
pub(crate) fn run<T: Real>(
    network: &Network,
    weights: &Weights,
    picture: &Map<T>,
    prompt: Option<&[T]>,
    operate: Operate<T>,
) -> Result<Outputs<T>, RunError> {
    check_inputs(network, (picture.channels, picture.height, picture.width), prompt.map(<[T]>::len))?;
    let source = |op: &Op| match op {
        Op::Picture { .. } => Some(Ok(picture.clone())),
        Op::Prompt { .. } => Some(Ok(Map::vector(prompt.unwrap_or_default().to_vec()))),
        _ => None,
    };
    execute(network, weights, source, operate)
}

/// Runs a text tower on tokens.
pub(crate) fn encode<T: Real>(
    network: &Network,
    weights: &Weights,
    tokens: &[usize],
    operate: Operate<T>,
) -> Result<Vec<T>, RunError> {
    let words = |op: &Op| {
        let Op::Words(table) = op else { return None };
        let [vocabulary, channels] = *network.param(*table).shape else { unreachable!("checked as it was built") };
        Some(match tokens.iter().find(|token| **token >= vocabulary) {
            Some(token) => Err(RunError::Tokens(format!("token {token} of a vocabulary of {vocabulary}"))),
            None if tokens.is_empty() => Err(RunError::Tokens("no token".into())),
            None => Ok(rows(&T::numbers(&weights[*table]), channels, tokens)),
        })
    };
    Ok(execute(network, weights, words, operate)?.picture.data)
}

/// Runs every operation, except those for which `source` returns a map.
fn execute<T: Real>(
    network: &Network,
    weights: &Weights,
    source: impl Fn(&Op) -> Option<Result<Map<T>, RunError>>,
    operate: Operate<T>,
) -> Result<Outputs<T>, RunError> {
    let network = network.lower();
    let kept =
        |index: usize| index == network.output.index() || network.taps.iter().any(|tap| tap.node.index() == index);
    let mut last = vec![0; network.nodes.len()];
    for (at, node) in network.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|input| last[input.index()] = at);
    }
    let mut maps: Vec<Map<T>> = Vec::with_capacity(network.nodes.len());
    for (at, node) in network.nodes.iter().enumerate() {
        let inputs: Vec<&Map<T>> = node.inputs.iter().map(|i| &maps[i.index()]).collect();
        let map = match source(&node.op) {
            Some(map) => map?,
            None => {
                check_extent(node, &inputs, &network)?;
                operate(node, &inputs, weights)
            }
        };
        debug_assert_eq!(map.channels, node.shape.channels);
        maps.push(map);
        for input in node.inputs.iter().map(|input| input.index()).filter(|i| last[*i] == at && !kept(*i)) {
            maps[input] = Map::new(0, 0, 0, Vec::new());
        }
    }
    let taps = network.taps.iter().map(|tap| (tap.name.clone(), maps[tap.node.index()].clone())).collect();
    Ok(Outputs { picture: maps.swap_remove(network.output.index()), taps })
}

/// Checks that a map's size suits the operation.
fn check_extent<T: Real>(node: &Node, inputs: &[&Map<T>], network: &Network) -> Result<(), RunError> {
    match (&node.op, inputs) {
        (Op::PixelUnshuffle(r), [x]) if x.height % r != 0 || x.width % r != 0 => Err(RunError::Extent(format!(
            "expected a picture of a multiple of {r} pixels a side here, found {}x{}",
            x.width, x.height
        ))),
        (Op::Positions(table), [x]) if x.pixels() > network.param(*table).shape[0] => {
            let limit = network.param(*table).shape[0];
            Err(RunError::Extent(format!("expected a sequence of at most {limit}, found {}", x.pixels())))
        }
        _ => Ok(()),
    }
}
