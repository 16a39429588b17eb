//! Every file under `tests/reference/golden` is a network's output from PyTorch in float64, on hashed weights: the
//! executors must give the same. Made by `tests/reference/golden.py`; a new file there is a new test here.

use pdn_engine::reference;
use pdn_engine::{Isa, Map, Plan, RunOptions};
use pdn_network::{Init, Network, Tensor, Weights, hashed, zoo};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

struct Golden {
    name: String,
    network: Network,
    /// Factor on the last kernels of residual branches.
    branch: f32,
    picture: Vec<f32>,
    size: [usize; 3],
    tensors: BTreeMap<String, Vec<f32>>,
}

impl Golden {
    /// Hashed weights, made anew each time: all networks' together would fill gigabytes.
    fn weights(&self) -> Weights {
        let mut tensors = self.network.name_weights(hashed::weights(&self.network));
        for param in self.network.params.iter().filter(|param| matches!(param.init, Init::Branch(_))) {
            let data = tensors[&param.name].data().iter().map(|v| v * self.branch).collect();
            tensors.insert(param.name.clone(), Tensor::new(param.shape.clone(), data));
        }
        self.network.bind(tensors).unwrap()
    }

    fn prompt(&self) -> Option<Vec<f32>> {
        self.network.prompt_dim().map(|dim| hashed::prompt("prompt", dim))
    }
}

fn goldens() -> Vec<Golden> {
    let folder = pdn_testing::root().join("tests/reference/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 63, "the golden files are part of the repository");
    files.iter().map(|path| golden(path)).collect()
}

fn golden(path: &std::path::Path) -> Golden {
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

/// The largest difference over the largest value.
fn error(found: impl IntoIterator<Item = f64>, expected: &[f32]) -> f64 {
    let (mut difference, mut largest, mut count) = (0.0_f64, 0.0_f64, 0);
    for (found, expected) in found.into_iter().zip(expected) {
        difference = difference.max((found - f64::from(*expected)).abs());
        largest = largest.max(f64::from(expected.abs()));
        count += 1;
    }
    assert_eq!(count, expected.len());
    difference / largest
}

fn run_reference<T: reference::Real>(golden: &Golden) -> BTreeMap<String, Vec<f64>> {
    let number = |v: &f32| T::from(*v).unwrap();
    let [channels, height, width] = golden.size;
    let picture = Map::new(channels, height, width, golden.picture.iter().map(number).collect());
    let prompt: Option<Vec<T>> = golden.prompt().map(|p| p.iter().map(number).collect());
    let out = reference::run(&golden.network, &golden.weights(), &picture, prompt.as_deref()).unwrap();
    let mut maps = vec![("output".to_owned(), out.picture)];
    maps.extend(out.taps);
    maps.into_iter().map(|(name, map)| (name, map.data.iter().map(|v| v.to_f64().unwrap()).collect())).collect()
}

/// Checks every golden file and reports all that fail.
fn check(what: &str, tolerance: f64, run: impl Fn(&Golden) -> BTreeMap<String, Vec<f64>>) {
    let mut failures = Vec::new();
    for golden in goldens() {
        let found = run(&golden);
        assert!(found.contains_key("output"));
        for (name, found) in found {
            let error = error(found, &golden.tensors[&name]);
            println!("{what} {}: {name} {error:.1e}", golden.name);
            if error.is_nan() || error > tolerance {
                failures.push(format!("{}: {name} is off by {error:.1e}", golden.name));
            }
        }
    }
    assert!(failures.is_empty(), "{what}, tolerance {tolerance:.0e}:\n{}", failures.join("\n"));
}

#[test]
fn reference_in_f64_gives_what_pytorch_gives() {
    // The golden numbers are stored in float32: half a unit in the last place is 6e-8.
    check("reference f64", 1e-7, run_reference::<f64>);
}

#[test]
fn reference_in_f32_gives_what_pytorch_gives() {
    check("reference f32", 1e-5, run_reference::<f32>);
}

#[test]
fn the_engine_gives_what_pytorch_gives_with_every_instruction_set() {
    for isa in Isa::available() {
        check(&format!("engine {isa}"), 5e-6, |golden| {
            let [channels, height, width] = golden.size;
            let picture = Map::new(channels, height, width, golden.picture.clone());
            let mut plan = Plan::new(&golden.network, &golden.weights(), isa).unwrap();
            if let Some(prompt) = golden.prompt() {
                plan.set_prompt(&prompt).unwrap();
            }
            let out = plan.run(&picture, &RunOptions::default(), &mut |_| true).unwrap();
            BTreeMap::from([("output".to_owned(), out.data.iter().map(|v| f64::from(*v)).collect())])
        });
    }
}
