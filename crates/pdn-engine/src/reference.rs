//! The reference executor: every operation as its definition says, one after the other.
//!
//! It is slow, and nothing that users run goes through it. Everything else is tested against it, in `f64`, and it against PyTorch.

pub use crate::map::{Map, Real};
pub use crate::walk::Outputs;

use crate::RunError;
use crate::{ops, walk};
use pdn_network::{Network, Weights};

/// Runs a network on a picture in its value range ([`pdn_network::PictureFormat`]) and, where it takes one, a prompt
/// of unit length.
///
/// # Errors
/// [`RunError::Prompt`] when the prompt is missing or of another length; [`RunError::Picture`] when the picture has
/// no pixels or another number of channels.
pub fn run<T: Real>(
    network: &Network,
    weights: &Weights,
    picture: &Map<T>,
    prompt: Option<&[T]>,
) -> Result<Outputs<T>, RunError> {
    walk::run(network, weights, picture, prompt, ops::operate)
}

/// Runs a tower of sentences on tokens, from the start of the sentence to its end.
///
/// # Errors
/// [`RunError::Tokens`] when there are none, one that the vocabulary lacks, or more than the tower reads.
pub fn encode<T: Real>(network: &Network, weights: &Weights, tokens: &[usize]) -> Result<Vec<T>, RunError> {
    walk::encode(network, weights, tokens, ops::operate)
}
