//! Recognition of a checkpoint's architecture from its keys and shapes.

use super::ARCHITECTURES;
use super::layout::Layout;
use crate::{Network, NetworkError, Tensors, Weights};

/// A recognised checkpoint.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The network it holds.
    pub network: Network,
    /// Its weights.
    pub weights: Weights,
    /// The name of its layout.
    pub layout: &'static str,
}

/// The reason why a checkpoint was not recognised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecogniseError {
    /// No layout matches.
    #[error("not a known network: expected weights of {known}, found {count} tensors beginning with {first}")]
    Unknown {
        /// The known architectures with their layouts.
        known: String,
        /// The number of tensors.
        count: usize,
        /// The first few names.
        first: String,
    },
    /// A layout matches, but the tensors do not fit it. The closest candidate comes first.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; or "))]
    Misfit(Vec<Candidate>),
    /// Several layouts match, and nothing tells them apart.
    #[error("matches more than one network: {0}; give the scale, or keep only the tensors of one")]
    Ambiguous(String),
    /// The file has no network for the requested scale.
    #[error("has scale x{}, expected x{wanted}", .scales.iter().map(ToString::to_string).collect::<Vec<_>>().join(", x"))]
    Scale {
        /// The requested scale.
        wanted: usize,
        /// The available scales.
        scales: Vec<usize>,
    },
}

/// A network that a checkpoint resembles but does not fit.
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
    /// Returns how many tensors do not fit.
    fn faults(&self) -> usize {
        match &self.error {
            NetworkError::Weights(faults) => faults.count(),
            _ => usize::MAX,
        }
    }
}

/// Finds the one architecture and layout that the tensors fit, and binds them. For a file with several scales, such as
/// CARN's, `scale` picks one.
///
/// # Errors
/// Returns a [`RecogniseError`]. Nothing is guessed: an ambiguous match is an error.
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

/// Binds tensors by the layout's names, so that errors use the file's own names.
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

    /// Returns a network's hashed weights under a layout's names.
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
