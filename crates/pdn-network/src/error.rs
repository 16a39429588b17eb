//! What can be wrong with a network, before any file is named.

use crate::network::WeightFaults;

/// Why a network could not be built or bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The configuration asks for something the architecture does not have.
    #[error("{0}")]
    Config(String),
    /// Maps do not fit each other.
    #[error("{0}")]
    Shape(String),
    /// The tensors are not this network's.
    #[error("the weights do not fit the network: {0}")]
    Weights(Box<WeightFaults>),
}

impl NetworkError {
    /// The same error, with the node it was met at.
    pub(crate) fn at(self, node: &str) -> Self {
        match self {
            Self::Shape(why) => Self::Shape(format!("{node}: {why}")),
            other => other,
        }
    }
}
