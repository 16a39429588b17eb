//! A model file, or the name of a network with weights hashed from their names.

use crate::failure::Failure;
use pdn::{Card, Model, hashed, zoo};
use std::path::Path;

/// What a network enlarges by when nothing is said.
const SCALE: usize = 4;

/// Opens a model file, or makes the network of that name. A file of the same name is opened as `./name`.
pub(crate) fn open(model: &Path, scale: Option<usize>) -> Result<Model, Failure> {
    let names: Vec<&str> = zoo::ARCHITECTURES.iter().flat_map(|a| a.presets).map(|(name, _)| *name).collect();
    if let Some(name) = names.iter().copied().find(|name| model == Path::new(name)) {
        return make(name, scale.unwrap_or(SCALE));
    }
    if !model.exists() {
        let known = names.join(", ");
        let message =
            format_args!("no such file, and no network of that name: expected a model file or one of {known}");
        return Err(Failure::at(model, message));
    }
    let opened = Model::open(model).map_err(Failure::failed)?;
    match scale {
        Some(_) => Err(Failure::usage(format_args!(
            "{}: enlarges x{}, as the file says: --scale is for the name of a network",
            model.display(),
            opened.network.scale
        ))),
        None => Ok(opened),
    }
}

fn make(name: &str, scale: usize) -> Result<Model, Failure> {
    let network = zoo::preset(name, scale).map_err(|error| Failure::usage(format_args!("{name}: {error}")))?;
    let weights = hashed::weights(&network);
    let description = "Weights hashed from their names, for timing and comparison: it enlarges nothing well.".into();
    Ok(Model { network, weights, card: Card { name: name.into(), description, ..Card::default() }, source: None })
}
