//! Errors from building a network and binding its weights.

use std::fmt;

/// The reason why a network could not be built or bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The configuration asks for something that the architecture does not support.
    #[error("{0}")]
    Config(String),
    /// The shapes of maps do not match.
    #[error("{0}")]
    Shape(String),
    /// The tensors do not belong to this network.
    #[error("the weights do not fit the network: {0}")]
    Weights(Box<WeightFaults>),
}

impl NetworkError {
    /// Adds the name of the node where the error occurred.
    pub(crate) fn at(self, node: &str) -> Self {
        match self {
            Self::Shape(why) => Self::Shape(format!("{node}: {why}")),
            other => other,
        }
    }
}

/// The reasons why tensors do not fit a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightFaults {
    /// Parameters without a tensor.
    pub missing: Vec<String>,
    /// Tensors without a parameter.
    pub unexpected: Vec<String>,
    /// Tensors with the wrong shape, each with both shapes.
    pub misshapen: Vec<String>,
    /// Tensors that contain NaN or infinity.
    pub not_finite: Vec<String>,
}

impl WeightFaults {
    /// Returns how many tensors and parameters are at fault.
    pub fn count(&self) -> usize {
        [&self.missing, &self.unexpected, &self.misshapen, &self.not_finite].iter().map(|list| list.len()).sum()
    }
}

impl fmt::Display for WeightFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of the wrong shape", &self.misshapen),
            ("not finite", &self.not_finite),
        ];
        let mut parts = Vec::new();
        for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            let shown: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
            let rest = if names.len() > shown.len() { ", ..." } else { "" };
            parts.push(format!("{} {what}: {}{rest}", names.len(), shown.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}
