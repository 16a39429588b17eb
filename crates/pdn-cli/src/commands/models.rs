//! `pdn models`: lists what `--model` accepts without a path.

use crate::args::Models;
use crate::display::say::{out, say};
use crate::display::table::count;
use crate::shared::failure::Failure;
use crate::shared::hub;
use pdn::{Model, bundled_model, bundled_models};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The largest file in the hub's cache to inspect: no network here comes near it, and language models do.
const LARGEST: u64 = 512 << 20;

pub(crate) fn run(args: &Models) -> Result<(), Failure> {
    let bundled = bundled_models().filter_map(|name| Some((name.to_owned(), bundled_model(name)?.ok()?, None)));
    let models: Vec<Value> =
        bundled.chain(cached()).map(|(name, model, file)| facts(&name, &model, file.as_deref())).collect();
    if args.json {
        out(&format!("{:#}", Value::from(models)));
        return Ok(());
    }
    for (i, model) in models.iter().enumerate() {
        let (name, is_default) = (model["name"].as_str().unwrap_or_default(), model["default"] == true);
        if i > 0 {
            say!("");
        }
        say!("{name}{}", if is_default { " (the default)" } else { "" });
        for (name, value) in lines(model) {
            say!("  {name:<14}{value}");
        }
    }
    Ok(())
}

/// Iterates over the networks in the hub's cache, skipping everything else.
fn cached() -> impl Iterator<Item = (String, Model, Option<PathBuf>)> {
    let small = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.len() <= LARGEST);
    let files = hub::cached().into_iter().filter(move |(_, path)| small(path));
    files.filter_map(|(name, path)| Some((name, Model::open(&path).ok()?, Some(path))))
}

/// Returns what a model's card and network say.
fn facts(name: &str, model: &Model, file: Option<&Path>) -> Value {
    let network = &model.network;
    json!({
        "name": name,
        "default": file.is_none() && name == pdn::DEFAULT_MODEL,
        "file": file.map(|path| path.display().to_string()),
        "description": model.card.description,
        "license": model.card.license,
        "architecture": network.architecture,
        "scale": network.scale,
        "parameters": network.summary().parameters,
        "macs_per_pixel": network.deployed().summary().macs_per_pixel,
        "prompt": network.prompt_dim(),
        "encoder": model.card.more.get("encoder"),
        "measured": model.card.more.get("held_back"),
    })
}

/// Returns the same for people.
fn lines(model: &Value) -> Vec<(&'static str, String)> {
    let text = |key: &str| model[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| count(model[key].as_u64().unwrap_or_default() as usize);
    let prompt = match (model["prompt"].as_u64(), model["encoder"].as_str()) {
        (None, _) => "none".into(),
        (Some(dim), None) => format!("{dim} numbers"),
        (Some(dim), Some(encoder)) => format!("{dim} numbers by {encoder}"),
    };
    let size =
        format!("{} parameters, {} multiply-accumulates a pixel", number("parameters"), number("macs_per_pixel"));
    let mut lines = vec![
        ("description", text("description")),
        ("network", format!("{} x{}", text("architecture"), model["scale"])),
        ("size", size),
        ("prompt", prompt),
        ("measured", measured(&model["measured"])),
        ("licence", text("license")),
        ("file", text("file")),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    lines
}

/// Returns the figures of a card with their protocol, or an empty string if it has none.
fn measured(of: &Value) -> String {
    let figure = |figure: &Value| Some(format!("{} {:.2}", figure[0].as_str()?, figure[1].as_f64()?));
    let figures: Vec<String> = of["figures"].as_array().into_iter().flatten().filter_map(figure).collect();
    match figures.is_empty() {
        true => String::new(),
        false => {
            let protocol = of["protocol"].as_str().unwrap_or("protocol not stated in its model card");
            format!("{} on {} pictures: {protocol}", figures.join(", "), of["pictures"])
        }
    }
}
