//! Resolves a model's name: one that comes with the command, a file, or a network with hashed weights.

use crate::shared::failure::Failure;
use crate::shared::hub;
use pdn::{Card, Model, bundled_model, bundled_models, hashed, zoo};
use std::path::Path;

/// The default scale of a network with hashed weights.
const SCALE: usize = 4;

/// The description in the card of a network with hashed weights.
pub(crate) const HASHED: &str = "Pseudo-random weights, for timing and comparison only: the output is meaningless.";

/// Opens a model: a bundled one by name, or else a file, or one from the hub.
pub(crate) fn open_model(name: &Path) -> Result<Model, Failure> {
    if let Some(bundled) = name.to_str().and_then(bundled_model) {
        return bundled.map_err(Failure::failed);
    }
    let file = hub::network(name)?;
    if file == name && name.extension().is_none() && !name.exists() {
        let known: Vec<&str> = bundled_models().collect();
        let why = format!("no such file or bundled network; the bundled networks are {}", known.join(", "));
        return Err(Failure::at(name, why));
    }
    Model::open(&file).map_err(Failure::failed)
}

/// Opens a model as [`open_model`] does, or the network of that name with weights hashed from their names, at `scale`.
/// For a file with several scales, `scale` picks one. A file with the same name as a network is opened as `./name`.
pub(crate) fn open_or_make(name: &Path, scale: Option<usize>) -> Result<Model, Failure> {
    let presets: Vec<&str> = zoo::ARCHITECTURES.iter().flat_map(|a| a.presets).map(|(name, _)| *name).collect();
    if let Some(name) = presets.iter().copied().find(|preset| name == Path::new(preset)) {
        return make(name, scale.unwrap_or(SCALE));
    }
    if bundled_models().any(|bundled| name == Path::new(bundled)) {
        return match scale {
            Some(_) => Err(Failure::usage(format_args!("{}: the file has one scale; remove --scale", name.display()))),
            None => open_model(name),
        };
    }
    let file = hub::network(name)?;
    if !file.exists() {
        let known: Vec<&str> = bundled_models().chain(presets).collect();
        let why = format!("no such file or network; expected a file or one of {}", known.join(", "));
        return Err(Failure::at(name, why));
    }
    match scale {
        Some(scale) => Model::open_at(&file, scale).map_err(Failure::failed),
        None => open_model(&file),
    }
}

fn make(name: &str, scale: usize) -> Result<Model, Failure> {
    let network = zoo::preset(name, scale).map_err(|error| Failure::usage(format_args!("{name}: {error}")))?;
    let weights = hashed::weights(&network);
    let card = Card { name: name.into(), description: HASHED.into(), ..Card::default() };
    Ok(Model { network, weights, card, source: None })
}
