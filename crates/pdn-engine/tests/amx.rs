//! The engine with bf16 operands, on AMX or its emulation: its accuracy, and that pixels do not depend on how they are run.

mod rounded;

use pdn_engine::{Isa, Plan, Precision, RunError};
use pdn_network::hashed;

/// Whether there is AMX, or what its emulation needs.
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
    rounded::stands_anywhere(Precision::Bf16x2);
}

#[test]
fn a_precision_needs_its_instruction_set() {
    let network = &rounded::networks()[0];
    let error = Plan::with_precision(network, &hashed::weights(network), Isa::Portable, Precision::Bf16).unwrap_err();
    assert_eq!(error, RunError::Precision(Precision::Bf16));
}
