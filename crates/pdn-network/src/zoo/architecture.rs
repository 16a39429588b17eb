//! An architecture's entry in the zoo, and helpers that all architectures share: bounds of a configuration, and its
//! JSON.

use super::layout::Layout;
use crate::{Network, NetworkError};
use serde_json::Value;
use std::ops::RangeInclusive;

/// An entry of the zoo.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// The key in model files, lower case.
    pub id: &'static str,
    /// A description and the publication, in one line.
    pub about: &'static str,
    /// Builds the network from its configuration as JSON.
    pub build: fn(&Value) -> Result<Network, NetworkError>,
    /// Published sizes.
    pub presets: &'static [Preset],
    /// The supported checkpoint layouts, the architecture's own first.
    pub layouts: &'static [Layout],
}

/// A published size: its name, and its configuration for a scale.
pub type Preset = (&'static str, fn(scale: usize) -> Value);

/// Rejects sizes beyond any real network of this kind: a model file is untrusted, and its configuration alone must not
/// be able to fill memory.
pub(super) fn check_sizes(sizes: &[(&str, usize, RangeInclusive<usize>)]) -> Result<(), NetworkError> {
    match sizes.iter().find(|(_, value, allowed)| !allowed.contains(value)) {
        Some((name, value, allowed)) => {
            Err(NetworkError::Config(format!("{name} {value}: expected {} to {}", allowed.start(), allowed.end())))
        }
        None => Ok(()),
    }
}

/// Rejects a mean that is not a colour.
pub(super) fn check_mean(mean: [f64; 3]) -> Result<(), NetworkError> {
    match mean.iter().all(|v| (0.0..=1.0).contains(v)) {
        true => Ok(()),
        false => Err(NetworkError::Config(format!("mean {mean:?}: expected 0 to 1 for each channel"))),
    }
}

/// Returns which of `modules` follows block `i` of `blocks`, so that they are evenly spaced, with the last after the
/// last block.
pub(super) fn module_after(i: usize, blocks: usize, modules: usize) -> Option<usize> {
    let done = |until: usize| until * modules / blocks;
    (done(i + 1) > done(i)).then(|| done(i))
}

/// Parses a configuration from JSON.
pub(super) fn configuration<C: serde::de::DeserializeOwned>(config: &Value) -> Result<C, NetworkError> {
    serde_json::from_value(config.clone()).map_err(|e| NetworkError::Config(format!("configuration: {e}")))
}

/// Converts a configuration to JSON.
pub(super) fn json<C: serde::Serialize>(config: C) -> Value {
    serde_json::to_value(config).expect("a configuration of numbers and options is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(blocks: usize, modules: usize) -> Vec<usize> {
        (0..blocks).filter(|i| module_after(*i, blocks, modules).is_some()).collect()
    }

    #[test]
    fn modules_stand_at_equal_intervals() {
        assert_eq!(modules(6, 0), [0; 0]);
        assert_eq!(modules(6, 1), [5]);
        assert_eq!(modules(6, 2), [2, 5]);
        assert_eq!(modules(6, 3), [1, 3, 5]);
        assert_eq!(modules(5, 2), [2, 4]);
        assert_eq!(modules(4, 4), [0, 1, 2, 3]);
        assert_eq!(modules(20, 3), [6, 13, 19]);
    }
}
