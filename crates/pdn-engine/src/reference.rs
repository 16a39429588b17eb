//! The reference executor: every operation by its definition, one after the other.
//!
//! It is slow, and nothing that users run goes through it. Everything else is tested against it, in `f64`, and it
//! against PyTorch.

pub use crate::map::{Map, Real};
pub use crate::walk::Outputs;

use crate::RunError;
use crate::{ops, walk};
use pdn_network::{Network, Weights};

/// Runs a network on a picture in its value range ([`pdn_network::PictureFormat`]) and, if it takes one, a prompt of
/// unit length.
///
/// # Errors
/// [`RunError::Prompt`] if the prompt is missing or has the wrong length; [`RunError::Picture`] if the picture has no
/// pixels or the wrong number of channels.
pub fn run<T: Real>(
    network: &Network,
    weights: &Weights,
    picture: &Map<T>,
    prompt: Option<&[T]>,
) -> Result<Outputs<T>, RunError> {
    walk::run(network, weights, picture, prompt, ops::operate)
}

/// Runs a text tower on tokens, including the start and end of the sentence.
///
/// # Errors
/// [`RunError::Tokens`] if there are no tokens, one is outside the vocabulary, or there are more than the tower reads.
pub fn encode<T: Real>(network: &Network, weights: &Weights, tokens: &[usize]) -> Result<Vec<T>, RunError> {
    walk::encode(network, weights, tokens, ops::operate)
}
