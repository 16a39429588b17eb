//! Output for people: lines, progress, tables and pictures.

#[cfg(feature = "train")]
pub(crate) mod dashboard;
pub(crate) mod heat;
pub(crate) mod progress;
pub(crate) mod say;
pub(crate) mod table;
