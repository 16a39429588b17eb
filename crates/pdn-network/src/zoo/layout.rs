//! Which architecture a checkpoint holds, from its keys and shapes.

use super::{ARCHITECTURES, DIV2K_MEAN};
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
    /// What is done to the tensors first, such as folding normalisation into the convolutions before it.
    pub prepare: fn(&mut Tensors),
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

/// The key is our own name.
pub(super) fn same(ours: &str, _config: &Value) -> String {
    ours.to_owned()
}

/// The tensors are used as they are stored.
pub(super) fn as_stored(_tensors: &mut Tensors) {}

/// The shape of a tensor as four numbers, where it has four.
pub(super) fn kernel_shape(tensors: &Tensors, key: &str) -> Option<[usize; 4]> {
    tensors.get(key)?.shape().try_into().ok()
}

/// How many of `key(0)`, `key(1)`, ... there are before the first gap.
pub(super) fn count(tensors: &Tensors, key: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|i| tensors.contains_key(&key(*i))).count()
}

/// The mean colour that a first layer takes off, as EDSR-PyTorch's `sub_mean` does: its bias is `-range mean`; in files
/// without it the mean is DIV2K's.
pub(super) fn mean_shift(tensors: &Tensors, bias: &str, range: f64) -> [f64; 3] {
    match tensors.get(bias).map(|t| t.data()) {
        Some(&[r, g, b]) => [r, g, b].map(|v| f64::from(v) / -range),
        _ => DIV2K_MEAN,
    }
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::hashed;

    /// A network's hashed weights under a layout's names.
    pub(in super::super) fn named(network: &Network, key: fn(&str, &Value) -> String) -> Tensors {
        let named = network.name_weights(hashed::weights(network));
        named.into_iter().map(|(name, tensor)| (key(&name, &network.config), tensor)).collect()
    }

    /// Checks that a network is recognised by its weights under a layout's names.
    #[track_caller]
    pub(in super::super) fn recognised_again(network: &Network, key: fn(&str, &Value) -> String, layout: &str) {
        let recognised = recognise(&named(network, key), None).unwrap();
        assert_eq!((&recognised.network, recognised.layout), (network, layout));
        assert_eq!(recognised.weights, hashed::weights(network));
    }
}
