//! Overwrites bytes in files: each is either read or refused, without a panic.

use pdn_image::{Limits, read_any_bytes};
use proptest::prelude::*;
use std::path::Path;

/// Returns small pictures from other programs, except AVIF, whose decoder, behind its feature, may abort the program.
fn files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/formats");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending != "avif" && ending != "json"));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_ends_no_program(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for mut bytes in files() {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            // Only the absence of a panic matters.
            let _ = read_any_bytes(&bytes, &Limits { pixels: 1 << 20, ..Limits::default() });
        }
    }
}
