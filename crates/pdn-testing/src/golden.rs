//! The files in `tests/reference/golden`: each a network's output from PyTorch in float64, on hashed weights.
//! `tests/reference/golden.py` makes them.

use crate::root;
use pdn_network::{Init, Network, Tensor, Weights, hashed, zoo};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::Path;

/// A network and its PyTorch output.
#[derive(Debug)]
pub struct Golden {
    /// The file's name.
    pub name: String,
    /// The network.
    pub network: Network,
    /// Factor on the last kernels of residual branches.
    branch: f32,
    /// The input, in the network's value range.
    pub picture: Vec<f32>,
    /// Channels, height and width of the picture.
    pub size: [usize; 3],
    /// The output, and each of its taps by name.
    pub tensors: BTreeMap<String, Vec<f32>>,
}

impl Golden {
    /// Computes the hashed weights, anew each time: those of all networks together would fill gigabytes.
    ///
    /// # Panics
    /// Never: they are the network's own.
    pub fn weights(&self) -> Weights {
        let mut tensors = self.network.name_weights(hashed::weights(&self.network));
        for param in self.network.params.iter().filter(|param| matches!(param.init, Init::Branch(_))) {
            let data = tensors[&param.name].data().iter().map(|v| v * self.branch).collect();
            tensors.insert(param.name.clone(), Tensor::new(param.shape.clone(), data));
        }
        self.network.bind(tensors).unwrap()
    }

    /// Returns the prompt, if the network takes one.
    pub fn prompt(&self) -> Option<Vec<f32>> {
        self.network.prompt_dim().map(|dim| hashed::prompt("prompt", dim))
    }
}

/// Loads every golden file, sorted by name.
///
/// # Panics
/// If a file is damaged or some are missing.
pub fn goldens() -> Vec<Golden> {
    let folder = root().join("tests/reference/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 63, "the golden files are part of the repository");
    files.iter().map(|path| golden(path)).collect()
}

fn golden(path: &Path) -> Golden {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    let config = serde_json::from_str(&metadata["config"]).unwrap();
    let size: [usize; 3] = serde_json::from_str(&metadata["picture"]).unwrap();
    let amplitude: f64 = metadata["amplitude"].parse().unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Golden {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        network: zoo::build(&metadata["architecture"], &config).unwrap(),
        branch: metadata.get("branch").map_or(1.0, |factor| factor.parse().unwrap()),
        picture: hashed::numbers("picture", size.iter().product(), amplitude),
        size,
        tensors: read.tensors().into_iter().map(|(name, view)| (name, numbers(view.data()))).collect(),
    }
}

/// Returns the largest difference, relative to the largest value.
///
/// # Panics
/// If the numbers of values differ.
pub fn error(found: impl IntoIterator<Item = f64>, expected: &[f32]) -> f64 {
    let (mut difference, mut largest, mut count) = (0.0_f64, 0.0_f64, 0);
    for (found, expected) in found.into_iter().zip(expected) {
        difference = difference.max((found - f64::from(*expected)).abs());
        largest = largest.max(f64::from(expected.abs()));
        count += 1;
    }
    assert_eq!(count, expected.len());
    difference / largest
}
