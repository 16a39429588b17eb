//! Shared by several commands: finding inputs, naming outputs, opening models, setting prompts, writing files.

pub(crate) mod atomic_file;
pub(crate) mod bootstrap;
pub(crate) mod engine;
pub(crate) mod failure;
pub(crate) mod folder;
pub(crate) mod hub;
pub(crate) mod inputs;
pub(crate) mod metrics;
pub(crate) mod model;
pub(crate) mod outputs;
pub(crate) mod prompt;
pub(crate) mod results;
pub(crate) mod scores;
pub(crate) mod sink;
pub(crate) mod skipped;
pub(crate) mod steered;
