//! Fuzz targets: a function for each kind of input, which panics if something is wrong.
//!
//! `fuzz/` at the repository's root drives them with libFuzzer, and keeps in `fuzz/corpus` a minimal set of inputs with
//! full coverage; this crate's tests run those through the same functions. See `fuzz/README.md`.
#![forbid(unsafe_code)]

#[cfg(feature = "avif")]
mod avif;
mod checkpoints;
mod clip;
mod containers;
mod dice;
mod embeddings;
mod exif;
mod kernels;
mod pickle;
mod pictures;
mod png;
#[cfg(feature = "serve")]
mod requests;
mod seeds;
mod tiff;
#[cfg(feature = "train")]
mod training;
mod words;

#[cfg(feature = "avif")]
pub use avif::{avif, made_avif};
pub use checkpoints::{checkpoints, made_checkpoint};
pub use embeddings::embeddings;
pub use kernels::kernels;
pub use pictures::{MADE, made, pictures};
#[cfg(feature = "serve")]
pub use requests::requests;
#[cfg(feature = "train")]
pub use training::{recipes, states};
pub use words::{captions, tokenizer};
