//! Recognising the architecture of a checkpoint by its keys and shapes.

use super::ARCHITECTURES;
use super::layout::Layout;
use crate::{Network, NetworkError, Tensors, Weights};

/// A checkpoint that was recognised.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The network it holds.
    pub network: Network,
    /// Its weights.
    pub weights: Weights,
    /// Whose names it used.
    pub layout: &'static str,
}

/// Why a checkpoint was not recognised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecogniseError {
    /// No layout fits.
    #[error("not a known network: expected weights of {known}, found {count} tensors beginning with {first}")]
    Unknown {
        /// Architectures with their layouts.
        known: String,
        /// How many tensors there are.
        count: usize,
        /// The first few names.
        first: String,
    },
    /// The marks of a layout are there, but the tensors do not fit it. The closest is the first.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; or "))]
    Misfit(Vec<Candidate>),
    /// Several layouts fit, and nothing tells which is meant.
    #[error("matches more than one network: {0}; give the scale, or keep only the tensors of one")]
    Ambiguous(String),
    /// The file holds no network of the scale that was asked for.
    #[error("has scale x{}, expected x{wanted}", .scales.iter().map(ToString::to_string).collect::<Vec<_>>().join(", x"))]
    Scale {
        /// What was asked for.
        wanted: usize,
        /// What there is.
        scales: Vec<usize>,
    },
}

/// A network that a checkpoint looks like without being it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("looks like {architecture} in the layout of {layout}, but {error}")]
pub struct Candidate {
    /// The architecture.
    pub architecture: &'static str,
    /// The layout.
    pub layout: &'static str,
    /// What does not fit.
    pub error: NetworkError,
}

impl Candidate {
    /// How many tensors do not fit.
    fn faults(&self) -> usize {
        match &self.error {
            NetworkError::Weights(faults) => faults.count(),
            _ => usize::MAX,
        }
    }
}

/// Finds the one architecture and layout that tensors fit, and binds them to it. Of a file for many scales, as CARN's are,
/// `scale` says which is meant.
///
/// # Errors
/// [`RecogniseError`]: nothing is guessed, so an unsure match is refused.
pub fn recognise(tensors: &Tensors, scale: Option<usize>) -> Result<Recognised, RecogniseError> {
    let (mut found, mut misfits) = (Vec::new(), Vec::new());
    for architecture in ARCHITECTURES {
        for layout in architecture.layouts {
            let Some(config) = (layout.infer)(tensors) else { continue };
            let bound = (architecture.build)(&config).and_then(|network| {
                let weights = bind(tensors, &network, layout)?;
                Ok(Recognised { network, weights, layout: layout.name })
            });
            match bound {
                Ok(recognised) => found.push(recognised),
                Err(error) => {
                    misfits.push(Candidate { architecture: architecture.id, layout: layout.name, error });
                }
            }
        }
    }
    let scales: Vec<usize> = found.iter().map(|r| r.network.scale).collect();
    if let Some(wanted) = scale.filter(|wanted| !scales.is_empty() && !scales.contains(wanted)) {
        return Err(RecogniseError::Scale { wanted, scales });
    }
    found.retain(|r| scale.is_none_or(|wanted| wanted == r.network.scale));
    match found.len() {
        0 if misfits.is_empty() => Err(unknown(tensors)),
        0 => {
            misfits.sort_by_key(Candidate::faults);
            Err(RecogniseError::Misfit(misfits))
        }
        1 => Ok(found.remove(0)),
        _ => Err(RecogniseError::Ambiguous(
            found
                .iter()
                .map(|r| format!("{} x{} ({})", r.network.architecture, r.network.scale, r.layout))
                .collect::<Vec<_>>()
                .join(", "),
        )),
    }
}

/// Binds tensors by the layout's names, so that a fault is told in the file's own.
fn bind(tensors: &Tensors, network: &Network, layout: &Layout) -> Result<Weights, NetworkError> {
    let mut stored = tensors.clone();
    (layout.prepare)(&mut stored);
    stored.retain(|key, _| !layout.ignored.iter().any(|prefix| key.starts_with(prefix)));
    let mut theirs = network.clone();
    for param in &mut theirs.params {
        param.name = (layout.key)(&param.name, &network.config);
    }
    theirs.bind(stored)
}

fn unknown(tensors: &Tensors) -> RecogniseError {
    let known = ARCHITECTURES.iter().map(|a| {
        let layouts: Vec<&str> = a.layouts.iter().map(|l| l.name).collect();
        format!("{} ({})", a.id, layouts.join(", "))
    });
    let first: Vec<&str> = tensors.keys().take(3).map(String::as_str).collect();
    RecogniseError::Unknown {
        known: known.collect::<Vec<_>>().join(", "),
        count: tensors.len(),
        first: if first.is_empty() { "nothing".into() } else { first.join(", ") },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::hashed;
    use serde_json::Value;

    /// A network's hashed weights under a layout's names.
    pub(in crate::zoo) fn named(network: &Network, key: fn(&str, &Value) -> String) -> Tensors {
        let named = network.name_weights(hashed::weights(network));
        named.into_iter().map(|(name, tensor)| (key(&name, &network.config), tensor)).collect()
    }

    /// Checks that a network is recognised by its weights under a layout's names.
    #[track_caller]
    pub(in crate::zoo) fn recognised_again(network: &Network, key: fn(&str, &Value) -> String, layout: &str) {
        let recognised = recognise(&named(network, key), None).unwrap();
        assert_eq!((&recognised.network, recognised.layout), (network, layout));
        assert_eq!(recognised.weights, hashed::weights(network));
    }
}
