//! Compares the executors with every file in `tests/reference/golden`: a network's output from PyTorch in float64, on
//! hashed weights. `tests/reference/golden.py` makes them; a new file there is a new test here.

use pdn_engine::{Isa, Map, Plan, RunOptions, Session, dense, reference};
use pdn_testing::golden::{Golden, error, goldens};
use std::collections::BTreeMap;

/// Returns an executor's outputs and taps by name.
fn named<T: reference::Real>(out: reference::Outputs<T>) -> BTreeMap<String, Vec<f64>> {
    let maps = [("output".to_owned(), out.picture)].into_iter().chain(out.taps);
    maps.map(|(name, map)| (name, map.data.iter().map(|v| v.to_f64().unwrap()).collect())).collect()
}

fn run_reference(golden: &Golden) -> BTreeMap<String, Vec<f64>> {
    let wide = |numbers: &[f32]| numbers.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let [channels, height, width] = golden.size;
    let picture = Map::new(channels, height, width, wide(&golden.picture));
    let prompt = golden.prompt().map(|prompt| wide(&prompt));
    named(reference::run(&golden.network, &golden.weights(), &picture, prompt.as_deref()).unwrap())
}

fn run_dense(golden: &Golden) -> BTreeMap<String, Vec<f64>> {
    let [channels, height, width] = golden.size;
    let picture = Map::new(channels, height, width, golden.picture.clone());
    named(dense::run(&golden.network, &golden.weights(), &picture, golden.prompt().as_deref()).unwrap())
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
    check("reference f64", 1e-7, run_reference);
}

#[test]
fn dense_gives_what_pytorch_gives() {
    check("dense f32", 1e-5, run_dense);
}

#[test]
fn the_engine_gives_what_pytorch_gives_with_every_instruction_set() {
    for isa in Isa::available() {
        check(&format!("engine {isa}"), 5e-6, |golden| {
            let [channels, height, width] = golden.size;
            let picture = Map::new(channels, height, width, golden.picture.clone());
            let mut session = Session::new(Plan::new(&golden.network, &golden.weights(), isa).unwrap());
            if let Some(prompt) = golden.prompt() {
                session.set_prompt(&prompt).unwrap();
            }
            let out = session.run(&picture, &RunOptions::default(), &mut |_| true).unwrap();
            BTreeMap::from([("output".to_owned(), out.data.iter().map(|v| f64::from(*v)).collect())])
        });
    }
}
