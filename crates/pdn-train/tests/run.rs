//! Whole runs on pictures made here: they learn, they can be stopped and resumed, and what they write can be used.

use pdn_image::{Degradation, Picture};
use pdn_network::zoo::{Edsr, Pdn, Tail};
use pdn_network::{Card, DcmOptions, Model, Network, hashed};
use pdn_train::restore::{PromptMix, Restore};
use pdn_train::run::{Progress, RESULT, RunError, STATE, Schedule, Task, parameters, train};
use pdn_train::scenes::Scene;
use std::path::Path;

const DIM: usize = 8;

fn scene(name: &str, period: f64) -> Scene {
    let level = |i: usize| {
        let (x, y, c) = ((i / 3 % 64) as f64, (i / 192) as f64, (i % 3) as f64);
        (127.5 + 120.0 * ((x / period).sin() * (y / period + c).cos())) as u8
    };
    let high = Picture::from_rgb(64, 48, (0..64 * 48 * 3).map(level).collect());
    let low = Degradation::BlurBicubic.apply(&high, 2).unwrap();
    let embedding = |what: &str| hashed::prompt(&format!("{name} {what}"), DIM);
    let captions = vec![embedding("one"), embedding("two")];
    Scene { name: name.into(), high, low, captions, view: embedding("view"), mirrored: embedding("mirrored") }
}

fn task(network: Network) -> Restore {
    Restore {
        network,
        sources: vec![(2.0, vec![scene("a", 3.0), scene("b", 5.0)]), (1.0, vec![scene("c", 7.0)])],
        held_back: vec![scene("d", 4.0)],
        prompts: PromptMix { caption: 0.4, view: 0.2, mirrored: 0.4 },
        patch: 12,
        batch: 4,
        card: Card { name: "test".into(), ..Card::default() },
        start: None,
    }
}

fn pdn() -> Network {
    let dcm = DcmOptions { dim: DIM, kernels: 2, ..DcmOptions::default() };
    let small = Pdn { features: 6, groups: 1, blocks: 2, modules: 1, dcm, tail: Tail::Direct, ..Pdn::medium(2) };
    small.build().unwrap()
}

fn schedule(steps: u64) -> Schedule {
    Schedule { steps, rate: 2e-3, warmup: 2, decay: 0.0, clip: 1.0, seed: 7, evaluate: steps }
}

fn go_on(_: &Progress) -> bool {
    true
}

fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap()
}

#[test]
fn a_run_learns_and_its_result_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let task = task(pdn());
    let steps = 150;
    let records =
        train(&task, &Schedule { evaluate: 50, ..schedule(steps) }, folder.path(), false, &mut go_on).unwrap();
    let losses: Vec<f64> = records.iter().map(|r| r.loss).collect();
    assert!(losses[2] < losses[0] * 0.8, "{losses:?}");
    let model = Model::open(&folder.path().join(RESULT)).unwrap();
    assert_eq!((model.network.scale, model.network.prompt_dim()), (2, Some(DIM)));
    assert_eq!(model.card.more["steps"], steps);
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_last_bit() {
    let task = task(pdn());
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    train(&task, &schedule(6), whole.path(), false, &mut go_on).unwrap();
    let stop_at = |step| train(&task, &schedule(6), parts.path(), true, &mut |p| p.step.done < step).unwrap();
    stop_at(2);
    stop_at(5);
    stop_at(9);
    let weights = |folder: &Path| {
        let read = pdn_network::checkpoint::parse(&bytes(folder, STATE)).unwrap();
        (read.tensors, read.metadata["step"].clone())
    };
    assert!(weights(whole.path()) == weights(parts.path()));
}

#[test]
fn a_folder_with_a_run_is_not_written_over() {
    let (task, folder) = (task(pdn()), tempfile::tempdir().unwrap());
    train(&task, &schedule(1), folder.path(), false, &mut go_on).unwrap();
    let before = bytes(folder.path(), STATE);
    let error = train(&task, &schedule(1), folder.path(), false, &mut go_on).unwrap_err();
    assert!(matches!(error, RunError::Exists(_)), "{error}");
    assert_eq!(bytes(folder.path(), STATE), before);
}

#[test]
fn another_recipe_s_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    train(&task(pdn()), &schedule(1), folder.path(), false, &mut go_on).unwrap();
    let other = task(Edsr { features: 6, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
    let error = train(&other, &schedule(2), folder.path(), true, &mut go_on).unwrap_err().to_string();
    assert!(error.contains("another recipe") && error.contains("state.safetensors"), "{error}");
    std::fs::write(folder.path().join(STATE), "damaged").unwrap();
    let error = train(&task(pdn()), &schedule(2), folder.path(), true, &mut go_on).unwrap_err().to_string();
    assert!(error.contains("not a model file"), "{error}");
}

#[test]
fn a_run_starts_from_another_s_weights() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut task = task(pdn());
    let first = train(&task, &schedule(20), before.path(), false, &mut go_on).unwrap();
    let state = before.path().join(STATE);
    let start = parameters(&state, &task.network).unwrap();
    assert_ne!(start, task.initial(7));
    task.start = Some(start);
    let second = train(&task, &Schedule { rate: 1e-9, ..schedule(1) }, after.path(), false, &mut go_on).unwrap();
    let figure = |records: &[pdn_train::run::Record]| records.last().unwrap().figures[0].1;
    assert!((figure(&first) - figure(&second)).abs() < 1e-3, "{first:?} {second:?}");
    let other = Edsr { features: 6, blocks: 1, ..Edsr::baseline(2) }.build().unwrap();
    let error = parameters(&state, &other).unwrap_err().to_string();
    assert!(error.contains("state.safetensors") && error.contains("body.0.conv1"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let mut task = task(pdn());
    let mut start = task.initial(1);
    start[0][0] = f32::NAN;
    task.start = Some(start);
    let folder = tempfile::tempdir().unwrap();
    let error = train(&task, &schedule(3), folder.path(), false, &mut go_on).unwrap_err();
    assert!(matches!(error, RunError::NotFinite { step: 0, .. }), "{error}");
    assert!(error.to_string().contains("conv_first.weight"), "{error}");
}

#[test]
fn a_network_without_prompt_is_trained_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let task = task(Edsr { features: 6, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
    let records = train(&task, &schedule(2), folder.path(), false, &mut go_on).unwrap();
    assert!(records[0].figures[0].1.is_finite());
}
