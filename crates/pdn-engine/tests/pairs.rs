//! Tests the engine in bf16 with AVX-512's products of pairs: its accuracy, and that pixels do not depend on tiles or
//! threads.

mod rounded;

use pdn_engine::Precision;

/// Returns whether bf16 uses products of pairs here.
fn available() -> bool {
    let available = Precision::Bf16.is_available() && !Precision::Bf16x2.is_available();
    if !available {
        pdn_testing::skip("avx512", "no AVX-512 with bf16, or AMX, which is taken where it is there");
    }
    available
}

#[test]
fn pairs_are_as_near_to_the_reference_as_their_bits() {
    if available() {
        rounded::is_near((Precision::Bf16, 6e-2));
    }
}

#[test]
fn pixels_do_not_depend_on_columns_or_threads() {
    if available() {
        rounded::stands_anywhere(Precision::Bf16);
    }
}
