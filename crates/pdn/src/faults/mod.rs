//! The language of faults: what befell a picture, as words say it, as the picture shows it, and as networks hear it.

mod compose;
mod composed;
mod known;
mod language;
mod sentence;
mod slot;

pub(crate) use compose::decompose;
pub use compose::{FAULTS_ID, compose, composed_dim};
pub use known::{FaultsError, KnownFaults};
pub use language::{Language, Sentence, Wordings};
pub use slot::Slot;
