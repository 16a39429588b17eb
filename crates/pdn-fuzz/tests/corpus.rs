//! Runs every input in the fuzzing corpus through its target: none may panic, or take more memory than its size
//! justifies.

use peak_alloc::PeakAlloc;
use std::path::PathBuf;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The most memory that an input may take. Tests run in parallel, so the limit covers all of them.
const MOST: usize = 512 << 20;

/// Runs a target's inputs, in the order of their names.
fn runs(target: &str, run: impl Fn(&[u8])) {
    let folder = pdn_testing::root().join("fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        let input = std::fs::read(&path).expect("an input");
        MEMORY.reset_peak_usage();
        // If a target panics, the last line printed names the input.
        println!("{}", path.display());
        run(&input);
        let taken = MEMORY.peak_usage();
        assert!(taken <= MOST, "{}: {taken} bytes of memory", path.display());
    }
}

#[test]
fn pictures() {
    runs("pictures", pdn_fuzz::pictures);
}

#[test]
fn checkpoints() {
    runs("checkpoints", pdn_fuzz::checkpoints);
}

#[test]
fn tokenizer() {
    runs("tokenizer", pdn_fuzz::tokenizer);
}

#[test]
fn captions() {
    runs("captions", pdn_fuzz::captions);
}

#[test]
fn embeddings() {
    runs("embeddings", pdn_fuzz::embeddings);
}

#[test]
fn kernels() {
    runs("kernels", |input| pdn_fuzz::kernels(input, <[f32]>::to_vec));
}

#[cfg(feature = "avif")]
#[test]
fn avif() {
    runs("avif", pdn_fuzz::avif);
}

#[cfg(feature = "jxl")]
#[test]
fn jxl() {
    runs("jxl", pdn_fuzz::pictures);
}

#[cfg(feature = "serve")]
#[test]
fn requests() {
    runs("requests", pdn_fuzz::requests);
}

#[cfg(feature = "train")]
#[test]
fn recipes() {
    runs("recipes", pdn_fuzz::recipes);
}

#[cfg(feature = "train")]
#[test]
fn states() {
    runs("states", pdn_fuzz::states);
}
