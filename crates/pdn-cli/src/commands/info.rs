//! `pdn info`: describes a model file; a picture is described by `info_picture`.

use crate::args::Info;
use crate::commands::info_picture;
use crate::display::say::{out, say};
use crate::display::table::count;
use crate::shared::failure::Failure;
use crate::shared::model::open_model;
use pdn::{Activity, Model, zoo};
use serde_json::{Value, json};

pub(crate) fn run(args: &Info) -> Result<(), Failure> {
    if info_picture::is_picture(&args.file) {
        return info_picture::run(args);
    }
    let model = open_model(&args.file)?;
    let facts = facts(&model);
    if args.json {
        out(&format!("{facts:#}"));
        return Ok(());
    }
    say!("{}", args.file.display());
    for (name, value) in lines(&facts).into_iter().chain(activity(&model)) {
        say!("  {name:<14}{value}");
    }
    Ok(())
}

/// Returns how each module reacts to prompts, and which of its branches ignore them.
fn activity(model: &Model) -> Vec<(&'static str, String)> {
    let Some(measured) = model.card.activity() else { return Vec::new() };
    let figure = |value: Option<f64>| value.map_or("none".into(), |value| format!("{value:.3}"));
    let line = |a: &Activity| {
        let parts = [("kernels' mixture", a.mixture), ("mask", a.mask), ("distance of kernels", a.bank)];
        let parts: Vec<String> = parts.into_iter().map(|(name, value)| format!("{name} {}", figure(value))).collect();
        let inactive = match a.inactive()[..] {
            [] => String::new(),
            ref branches => format!(" - INACTIVE: {}", branches.join(", ")),
        };
        ("", format!("{}: {}{inactive}", a.module, parts.join(", ")))
    };
    let over = format!("standard deviations over {} prompts on {} pictures", measured.prompts, measured.pictures);
    [("prompt effect", over)].into_iter().chain(measured.modules.iter().map(line)).collect()
}

/// Returns everything known about the model, for programs.
fn facts(model: &Model) -> Value {
    let network = &model.network;
    let deployed = network.deployed();
    let about = zoo::ARCHITECTURES.iter().find(|a| a.id == network.architecture).map(|a| a.about);
    json!({
        "card": model.card,
        "file": model.source,
        "architecture": network.architecture,
        "about": about,
        "config": network.config,
        "form": if network.is_deployed() { "deploy" } else { "train" },
        "scale": network.scale,
        "picture": {"range": network.picture.range, "mean": network.picture.mean},
        "prompt": network.prompt_dim(),
        "dynamic_correlation_modules": network.dcms().count(),
        "stored": network.summary(),
        "as_run": deployed.summary(),
    })
}

/// Returns the same for people.
fn lines(facts: &Value) -> Vec<(&'static str, String)> {
    let number = |value: &Value| value.as_u64().unwrap_or_default() as usize;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (stored, run) = (&facts["stored"], &facts["as_run"]);
    let mut lines = vec![("name", text(&facts["card"]["name"]))];
    for key in ["description", "license"] {
        lines.push((key, text(&facts["card"][key])));
    }
    let file = &facts["file"];
    let under = file["unwrapped"].as_str().map(|entry| format!(", under {entry}")).unwrap_or_default();
    lines.push(("file", format!("{}, layout of {}{under}", text(&file["kind"]), text(&file["layout"]))));
    lines.push(("sha256", text(&file["sha256"])));
    lines.push(("architecture", format!("{}: {}", text(&facts["architecture"]), text(&facts["about"]))));
    lines.push(("configuration", facts["config"].to_string()));
    lines.push(("scale", format!("x{}", facts["scale"])));
    lines.push((
        "pictures",
        format!("RGB, 0 to {}, minus {} of that range", facts["picture"]["range"], facts["picture"]["mean"]),
    ));
    lines.push((
        "prompt",
        match facts["prompt"].as_u64() {
            Some(dim) => match facts["dynamic_correlation_modules"].as_u64() {
                Some(1) => format!("{dim} numbers, read by 1 module"),
                modules => format!("{dim} numbers, read by {} modules", modules.unwrap_or_default()),
            },
            None => "none".into(),
        },
    ));
    lines.push(("parameters", count(number(&stored["parameters"]))));
    if run["parameters"] != stored["parameters"] {
        lines.push(("as run", format!("{} parameters, with modules folded", count(number(&run["parameters"])))));
    }
    lines.push(("cost", format!("{} multiply-accumulates per input pixel", count(number(&run["macs_per_pixel"])))));
    lines.push((
        "reach",
        match number(&run["whole_picture"]) {
            0 => format!("{} pixels around each output pixel; runs row by row", run["receptive_radius"]),
            n => format!("the whole picture ({n} global pools); runs layer by layer"),
        },
    ));
    lines.retain(|(_, value)| !value.is_empty());
    lines
}
