//! What is fuzzed: a function for each kind of input, which panics where something is wrong.
//!
//! `fuzz/` at the repository's root drives them by libFuzzer, and keeps in `fuzz/corpus` the inputs that together reach all
//! that was reached; this crate's tests run those through the same functions. See `fuzz/README.md`.
#![forbid(unsafe_code)]

mod checkpoints;
mod containers;
mod dice;
mod embeddings;
mod exif;
mod kernels;
mod pickle;
mod pictures;
mod png;
mod seeds;
mod tiff;
mod words;

pub use checkpoints::{checkpoints, made_checkpoint};
pub use embeddings::embeddings;
pub use kernels::kernels;
pub use pictures::{MADE, made, pictures};
pub use words::{captions, tokenizer};
