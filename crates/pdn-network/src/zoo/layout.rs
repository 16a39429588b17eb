//! Which architecture a checkpoint holds, from its keys and shapes.

use super::ARCHITECTURES;
use crate::{Network, NetworkError, Tensors, Weights};
use serde_json::Value;

/// A way in which some project names the parameters of an architecture.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The project, such as `EDSR-PyTorch`.
    pub name: &'static str,
    /// The configuration that the keys and shapes tell, or `None` where they are not this layout's.
    pub infer: fn(&Tensors) -> Option<Value>,
    /// The layout's key for one of our parameters.
    pub key: fn(ours: &str, config: &Value) -> String,
    /// Prefixes of keys that are not parameters of ours, such as a mean shift that the configuration already holds.
    pub ignored: &'static [&'static str],
}

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
    #[error("not a network known here: expected weights of {known}, found {count} tensors beginning {first}")]
    Unknown {
        /// Architectures with their layouts.
        known: String,
        /// How many tensors there are.
        count: usize,
        /// The first few names.
        first: String,
    },
    /// One layout's marks are there, but the tensors do not fit it.
    #[error("looks like {architecture} in the layout of {layout}, but {error}")]
    Misfit {
        /// The architecture it looks like.
        architecture: &'static str,
        /// The layout it looks like.
        layout: &'static str,
        /// What does not fit.
        error: NetworkError,
    },
    /// Several layouts fit, and nothing tells which is meant.
    #[error("fits more than one network: {0}")]
    Ambiguous(String),
}

/// Finds the one architecture and layout that tensors fit, and binds them to it.
///
/// # Errors
/// [`RecogniseError`]: nothing is guessed, so an unsure match is refused.
pub fn recognise(tensors: &Tensors) -> Result<Recognised, RecogniseError> {
    let (mut found, mut misfit) = (Vec::new(), None);
    for architecture in ARCHITECTURES {
        for layout in architecture.layouts {
            let Some(config) = (layout.infer)(tensors) else { continue };
            let bound = (architecture.build)(&config).and_then(|network| {
                let weights = network.bind(renamed(tensors, &network, layout))?;
                Ok(Recognised { network, weights, layout: layout.name })
            });
            match bound {
                Ok(recognised) => found.push(recognised),
                Err(error) => {
                    misfit.get_or_insert(RecogniseError::Misfit {
                        architecture: architecture.id,
                        layout: layout.name,
                        error,
                    });
                }
            }
        }
    }
    match found.len() {
        0 => Err(misfit.unwrap_or_else(|| unknown(tensors))),
        1 => Ok(found.remove(0)),
        _ => Err(RecogniseError::Ambiguous(
            found.iter().map(|r| format!("{} ({})", r.network.architecture, r.layout)).collect::<Vec<_>>().join(", "),
        )),
    }
}

/// The tensors under our names; those that no parameter asks for keep theirs, so that binding reports them. A leftover
/// that happens to have one of our names must not stand in for the tensor that was meant.
fn renamed(tensors: &Tensors, network: &Network, layout: &Layout) -> Tensors {
    let mut rest = tensors.clone();
    rest.retain(|key, _| !layout.ignored.iter().any(|prefix| key.starts_with(prefix)));
    let mut ours = Tensors::new();
    for param in &network.params {
        if let Some(tensor) = rest.remove(&(layout.key)(&param.name, &network.config)) {
            ours.insert(param.name.clone(), tensor);
        }
    }
    for (key, tensor) in rest {
        let name = if ours.contains_key(&key) { format!("{key} (as stored)") } else { key };
        ours.insert(name, tensor);
    }
    ours
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

/// The key is our own name.
pub(super) fn same(ours: &str, _config: &Value) -> String {
    ours.to_owned()
}

/// The shape of a tensor as four numbers, where it has four.
pub(super) fn kernel_shape(tensors: &Tensors, key: &str) -> Option<[usize; 4]> {
    tensors.get(key)?.shape().try_into().ok()
}

/// How many of `key(0)`, `key(1)`, ... there are before the first gap.
pub(super) fn count(tensors: &Tensors, key: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|i| tensors.contains_key(&key(*i))).count()
}

/// The scale that EDSR's upsampler makes, from the shapes of its convolutions: x3 is one of 9 times the channels,
/// x2, x4, ... are one, two, ... of 4 times.
pub(super) fn upsampler_scale(tensors: &Tensors, key: impl Fn(usize) -> String) -> Option<usize> {
    let stages = count(tensors, &key);
    let [out, channels, ..] = kernel_shape(tensors, &key(0))?;
    match out.checked_div(channels)? {
        9 if stages == 1 => Some(3),
        4 => 1_usize.checked_shl(stages.try_into().ok()?),
        _ => None,
    }
}
