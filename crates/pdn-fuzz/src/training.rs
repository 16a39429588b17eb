//! Inputs of training: recipes, and the states of runs.

use crate::MADE;
use crate::checkpoints::header_changed;
use crate::dice::Dice;
use pdn_image::Degradation;
use pdn_network::checkpoint::{self, Precision};
use pdn_network::zoo::Edsr;
use pdn_network::{Card, Network, Tensor, Tensors, hashed};
use pdn_train::data::patch_cache::PatchCache;
use pdn_train::recipe::Recipe;
use pdn_train::run::Schedule;
use pdn_train::run::state;
use pdn_train::tasks::super_resolution::{Loss, PromptMix, SuperResolution};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Reads a recipe; overrides may follow a zero byte, one per line.
///
/// # Panics
/// If something is wrong.
pub fn recipes(data: &[u8]) {
    let (recipe, set) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let set: Vec<String> = String::from_utf8_lossy(set).lines().map(str::to_owned).collect();
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, recipe).expect("a file is written");
    let Ok(recipe) = Recipe::open(&path, &set) else { return };
    let _ = recipe.schedule().check();
    if let Recipe::SuperResolution(recipe) = recipe {
        let _ = pdn_network::zoo::build(&recipe.architecture, &recipe.config);
    }
}

/// The task whose states are read: a small network.
static TASK: LazyLock<SuperResolution> = LazyLock::new(|| SuperResolution {
    network: network(),
    patches: PatchCache::new(Degradation::BlurBicubic, 2, 1 << 20),
    sources: Vec::new(),
    held_back: Vec::new(),
    prompts: PromptMix { caption: 0.4, view: 0.2, mirrored: 0.4, faults: None },
    patch: 12,
    batch: 4,
    card: Card::default(),
    loss: Loss::L1,
    start: None,
    eyes: None,
    precision: Default::default(),
});

fn network() -> Network {
    Edsr { features: 2, blocks: 1, ..Edsr::baseline(2) }.build().expect("a network")
}

/// Reads a run's state both to resume the run and to start from its weights.
///
/// # Panics
/// If something is wrong.
pub fn states(data: &[u8]) {
    let file = match data {
        [MADE, choices @ ..] => &made(choices),
        _ => data,
    };
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path().join("state.safetensors");
    std::fs::write(&path, file).expect("a file is written");
    let schedule = r#"{"steps": 9, "rate": 0.1, "average": 0.9, "evaluate": 3}"#;
    let schedule: Schedule = serde_json::from_str(schedule).expect("a schedule");
    let _ = state::check(&*TASK, &path, &schedule);
    let initial = TASK.network.params.iter().map(|param| vec![0.0; param.shape.iter().product()]).collect();
    let _ = state::parameters(&path, &TASK.network, &["conv_last".to_owned()], initial);
}

fn made(choices: &[u8]) -> Vec<u8> {
    let mut dice = Dice::new(choices);
    let mut all = Tensors::new();
    let weights = TASK.network.name_weights(hashed::weights(&TASK.network));
    for part in ["parameters", "first", "second", "average"] {
        if dice.once_in(8) {
            continue;
        }
        for (name, tensor) in &weights {
            all.insert(format!("{part}/{name}"), Tensor::new(tensor.shape().to_vec(), tensor.data().to_vec()));
        }
    }
    let records = r#"[{"step": 3, "loss": null, "seconds": 1.5, "figures": [["psnr", 20.5], ["ssim", null]]}]"#;
    let history = format!("{{\"records\": {records}, \"restarts\": [2]}}");
    let numbers = |dice: &mut Dice, right: u64| match dice.byte() % 8 {
        0 => dice.of(&["-1", "nan", "inf", "", "1e400", "0x1", "1.5"]).to_owned(),
        1 => dice.number().to_string(),
        _ => right.to_string(),
    };
    let mut metadata = HashMap::from([("history".to_owned(), history), ("schedule".to_owned(), "{}".to_owned())]);
    for (key, right) in [("step", 5), ("begun", 2), ("seconds", 3), ("loss_sum", 1), ("loss_count", 2)] {
        metadata.insert(key.to_owned(), numbers(&mut dice, right));
    }
    let precision = dice.of(&[Precision::F32, Precision::F16]);
    let file = checkpoint::write(&all, metadata, precision);
    header_changed(&mut dice, file, &["history"])
}
