//! Tests the engine with bf16 operands, on AMX or its emulation: its accuracy, and that pixels do not depend on tiles
//! or threads.

mod rounded;

use pdn_engine::{Isa, Map, Plan, Precision, RunError, RunOptions, Session};
use pdn_network::{Param, Tensor, Weights, hashed};

/// Returns whether AMX, or what its emulation needs, is available.
fn available() -> bool {
    let available = pdn_kernels::emulate_amx();
    if !available {
        pdn_testing::skip("avx512", "no AVX-512 with bf16, which the emulation of AMX needs");
    }
    available
}

#[test]
fn each_precision_is_as_near_to_the_reference_as_its_bits() {
    if !available() {
        return;
    }
    for precision in [(Precision::F32, 5e-6), (Precision::Bf16x2, 2e-5), (Precision::Bf16, 2e-2)] {
        rounded::is_near(precision);
    }
}

#[test]
fn pixels_do_not_depend_on_columns_or_threads() {
    if !available() {
        return;
    }
    // In bf16, maps are stored as lines, which are read in place only if a row is wide enough.
    for precision in [Precision::Bf16x2, Precision::Bf16] {
        rounded::stands_anywhere(precision);
    }
}

/// Also covers a map that is stored as bf16.
#[test]
fn the_layer_that_gives_no_number_is_named() {
    if !available() {
        return;
    }
    let network = &rounded::networks()[0];
    // The sums overflow float32.
    let numbers = |param: &Param| match param.name.as_str() {
        "body.0.conv1.weight" => vec![1e38; param.len()],
        name => hashed::numbers(name, param.len(), 0.1),
    };
    let tensors = network.params.iter().map(|param| Tensor::new(param.shape.clone(), numbers(param)));
    let weights = Weights::in_order(network, tensors.collect()).unwrap();
    for precision in [Precision::Bf16x2, Precision::Bf16] {
        let plan = Plan::with_precision(network, &weights, Isa::Avx512, precision).unwrap();
        let picture = Map::new(3, 6, 70, vec![1.0; 3 * 6 * 70]);
        let error = Session::new(plan).run(&picture, &RunOptions::default(), &mut |_| true).unwrap_err();
        assert_eq!(error, RunError::NotFinite { layer: "body.0.conv1".into() }, "{precision}");
    }
}

#[test]
fn a_precision_needs_its_instruction_set() {
    let network = &rounded::networks()[0];
    let error = Plan::with_precision(network, &hashed::weights(network), Isa::Portable, Precision::Bf16).unwrap_err();
    assert_eq!(error, RunError::Precision(Precision::Bf16));
}
