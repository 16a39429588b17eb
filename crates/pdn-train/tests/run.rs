//! Tests whole runs on synthetic pictures: they learn, they can be stopped and resumed, and their results can be used.

use burn::tensor::Tensor;
use pdn_image::{Degradation, Picture};
use pdn_network::zoo::{Edsr, Pdn, Tail};
use pdn_network::{Card, DcmOptions, Model, Network, hashed};
use pdn_train::data::DataError;
use pdn_train::data::patch_cache::{Cut, PatchCache};
use pdn_train::data::training_images::TrainingImage;
use pdn_train::run::log::{FIGURES, LOSSES};
use pdn_train::run::state::{STATE, WEIGHTS, parameters};
use pdn_train::run::{Begin, History, Progress, RESULT, RunError, Schedule, Step, Task, train};
use pdn_train::tasks::super_resolution::{Loss, PromptMix, SuperResolution};
use rand::rngs::StdRng;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

const DIM: usize = 8;

fn scene(name: &str, period: f64) -> TrainingImage {
    let level = |i: usize| {
        let (x, y, c) = ((i / 3 % 64) as f64, (i / 192) as f64, (i % 3) as f64);
        (127.5 + 120.0 * ((x / period).sin() * (y / period + c).cos())) as u8
    };
    let file = preparation().join(format!("{name}.png"));
    let picture = Picture::from_rgb(64, 48, (0..64 * 48 * 3).map(level).collect());
    pdn_image::write(&file, &picture, &Default::default()).unwrap();
    let embedding = |what: &str| hashed::prompt(&format!("{name} {what}"), DIM);
    let captions = vec![embedding("one"), embedding("two")];
    TrainingImage { place: (file, Cut::WHOLE), captions, view: embedding("view"), mirrored: embedding("mirrored") }
}

/// Returns the folder of these tests' pictures.
fn preparation() -> &'static Path {
    static DESK: OnceLock<TempDir> = OnceLock::new();
    DESK.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

fn task(network: Network) -> SuperResolution {
    SuperResolution {
        network,
        patches: PatchCache::new(Degradation::BlurBicubic, 2, 1 << 24),
        sources: vec![(2.0, vec![scene("a", 3.0), scene("b", 5.0)]), (1.0, vec![scene("c", 7.0)])],
        held_back: vec![scene("d", 4.0)],
        prompts: PromptMix { caption: 0.4, view: 0.2, mirrored: 0.4, faults: None },
        patch: 12,
        batch: 4,
        card: Card { name: "test".into(), ..Card::default() },
        loss: Loss::L1,
        start: None,
        eyes: None,
        precision: Default::default(),
    }
}

fn pdn() -> Network {
    let dcm = DcmOptions { dim: DIM, kernels: 2, ..DcmOptions::default() };
    let small = Pdn { features: 6, groups: 1, blocks: 2, modules: 1, dcm, tail: Tail::Direct, ..Pdn::medium(2) };
    small.build().unwrap()
}

fn schedule(steps: u64) -> Schedule {
    Schedule {
        steps,
        rate: 2e-3,
        warmup: 2,
        decay: 0.0,
        clip: 1.0,
        accumulate: 1,
        average: 0.0,
        seed: 7,
        evaluate: steps,
    }
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
    let history =
        train(&task, &Schedule { evaluate: 50, ..schedule(steps) }, folder.path(), &Begin::New, &mut go_on).unwrap();
    let losses: Vec<f64> = history.records.iter().map(|r| r.loss).collect();
    assert!(losses[2] < losses[0] * 0.8, "{losses:?}");
    let model = Model::open(&folder.path().join(RESULT)).unwrap();
    assert_eq!((model.network.scale, model.network.prompt_dim()), (2, Some(DIM)));
    assert_eq!(model.card.more["steps"], steps);
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_last_bit() {
    let task = task(pdn());
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let schedule = Schedule { evaluate: 3, ..schedule(6) };
    let in_one = train(&task, &schedule, whole.path(), &Begin::New, &mut go_on).unwrap();
    let stop_at = |step| train(&task, &schedule, parts.path(), &Begin::Resume, &mut |p| p.step.done < step).unwrap();
    stop_at(2);
    stop_at(5);
    let in_parts = stop_at(9);
    let recorded =
        |history: &History| history.records.iter().map(|r| (r.step, r.loss, r.figures.clone())).collect::<Vec<_>>();
    assert_eq!(recorded(&in_parts), recorded(&in_one));
    let weights = |folder: &Path| {
        let read = pdn_network::checkpoint::parse(&bytes(folder, STATE)).unwrap();
        (read.tensors, read.metadata["step"].clone())
    };
    assert!(weights(whole.path()) == weights(parts.path()));
}

#[test]
fn an_average_may_begin_as_a_run_goes_on() {
    let (task, folder) = (task(pdn()), tempfile::tempdir().unwrap());
    train(&task, &schedule(2), folder.path(), &Begin::New, &mut go_on).unwrap();
    let averaged = Schedule { average: 0.9, ..schedule(4) };
    train(&task, &averaged, folder.path(), &Begin::Resume, &mut go_on).unwrap();
    let state = pdn_network::checkpoint::parse(&bytes(folder.path(), STATE)).unwrap().tensors;
    assert_ne!(state["average/conv_first.weight"], state["parameters/conv_first.weight"]);
}

#[test]
fn a_run_whose_figures_are_no_numbers_goes_on() {
    let (mut task, folder) = (task(pdn()), tempfile::tempdir().unwrap());
    let gone = scene("gone", 6.0);
    std::fs::remove_file(&gone.place.0).unwrap();
    task.held_back.push(gone);
    let schedule = Schedule { evaluate: 1, ..schedule(2) };
    train(&task, &schedule, folder.path(), &Begin::New, &mut |p| p.step.done < 1).unwrap();
    let history = train(&task, &schedule, folder.path(), &Begin::Resume, &mut go_on).unwrap();
    assert!(history.records.len() == 2 && history.records.iter().all(|record| record.figures[0].1.is_nan()));
    for file in [STATE, WEIGHTS] {
        let state = pdn_network::checkpoint::parse(&bytes(folder.path(), file)).unwrap();
        assert!(state.metadata["history"].contains("null"), "JSON has no NaN: {:?}", state.metadata);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let begin = Begin::Restart(folder.path().join(WEIGHTS));
    train(&task, &Schedule { steps: 3, ..schedule }, elsewhere.path(), &begin, &mut go_on).unwrap();
    let model = Model::open(&elsewhere.path().join(RESULT)).unwrap();
    assert!(model.card.activity().is_some() && model.card.more["held_back"]["figures"][0][1].is_null());
}

#[test]
fn a_folder_is_one_run_s_at_a_time() {
    let (task, folder) = (task(pdn()), tempfile::tempdir().unwrap());
    let mut met = Vec::new();
    train(&task, &schedule(2), folder.path(), &Begin::New, &mut |_| {
        for begin in [Begin::New, Begin::Resume] {
            met.push(train(&task, &schedule(2), folder.path(), &begin, &mut go_on).unwrap_err());
        }
        met.push(pdn_train::run::lock::check(folder.path()).unwrap_err());
        true
    })
    .unwrap();
    assert!(met.len() == 6 && met.iter().all(|error| matches!(error, RunError::Busy(_))), "{met:?}");
    let said = met[0].to_string();
    assert!(said.contains(&folder.path().display().to_string()) && said.contains("in use by another run"), "{said}");
    assert!(folder.path().join(pdn_train::run::lock::LOCK).exists(), "a leftover file locks nothing");
    pdn_train::run::lock::check(folder.path()).unwrap();
    train(&task, &schedule(3), folder.path(), &Begin::Resume, &mut go_on).unwrap();
}

#[cfg(unix)]
#[test]
fn a_planted_lock_is_neither_followed_nor_waited_for() {
    let (task, folder) = (task(pdn()), tempfile::tempdir().unwrap());
    let lock = folder.path().join(pdn_train::run::lock::LOCK);
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &lock).unwrap();
    let error = train(&task, &schedule(1), folder.path(), &Begin::New, &mut go_on).unwrap_err().to_string();
    assert!(error.contains("lock: ") && error.contains("not a regular file"), "{error}");
    assert!(!folder.path().join("elsewhere").exists());
    std::fs::remove_file(&lock).unwrap();
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    assert!(train(&task, &schedule(1), folder.path(), &Begin::New, &mut go_on).is_err());
}

#[test]
fn a_folder_with_a_run_is_not_written_over() {
    let (task, folder) = (task(pdn()), tempfile::tempdir().unwrap());
    train(&task, &schedule(1), folder.path(), &Begin::New, &mut go_on).unwrap();
    let before = bytes(folder.path(), STATE);
    let error = train(&task, &schedule(1), folder.path(), &Begin::New, &mut go_on).unwrap_err();
    assert!(matches!(error, RunError::Exists(_)), "{error}");
    assert_eq!(bytes(folder.path(), STATE), before);
}

#[test]
fn another_recipe_s_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    train(&task(pdn()), &schedule(1), folder.path(), &Begin::New, &mut go_on).unwrap();
    let other = task(Edsr { features: 6, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
    let error = train(&other, &schedule(2), folder.path(), &Begin::Resume, &mut go_on).unwrap_err().to_string();
    assert!(error.contains("another recipe") && error.contains("state.safetensors"), "{error}");
    std::fs::write(folder.path().join(STATE), "damaged").unwrap();
    let error = train(&task(pdn()), &schedule(2), folder.path(), &Begin::Resume, &mut go_on).unwrap_err().to_string();
    assert!(error.contains("not a model file"), "{error}");
}

#[test]
fn a_state_whose_numbers_contradict_each_other_is_refused() {
    let (task, folder) = (task(pdn()), tempfile::tempdir().unwrap());
    train(&task, &schedule(2), folder.path(), &Begin::New, &mut go_on).unwrap();
    let state = pdn_network::checkpoint::parse(&bytes(folder.path(), STATE)).unwrap();
    for (key, number) in [("begun", "9"), ("loss_count", "18446744073709551615")] {
        let mut metadata: std::collections::HashMap<_, _> = state.metadata.clone().into_iter().collect();
        metadata.insert(key.to_owned(), number.to_owned());
        let changed = pdn_network::checkpoint::write(&state.tensors, metadata, Default::default());
        std::fs::write(folder.path().join(STATE), changed).unwrap();
        let error = train(&task, &schedule(4), folder.path(), &Begin::Resume, &mut go_on).unwrap_err().to_string();
        assert!(error.contains("is damaged") && error.contains("state.safetensors"), "{key}: {error}");
    }
}

#[test]
fn a_run_starts_from_another_s_weights() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut task = task(pdn());
    let first = train(&task, &schedule(20), before.path(), &Begin::New, &mut go_on).unwrap();
    let state = before.path().join(STATE);
    let start = parameters(&state, &task.network, &[], task.initial(1)).unwrap();
    assert_ne!(start, task.initial(7));
    task.start = Some(start);
    let second = train(&task, &Schedule { rate: 1e-9, ..schedule(1) }, after.path(), &Begin::New, &mut go_on).unwrap();
    let figure = |history: &History| history.records.last().unwrap().figures[0].1;
    assert!((figure(&first) - figure(&second)).abs() < 1e-3, "{first:?} {second:?}");
    let other = Edsr { features: 6, blocks: 1, ..Edsr::baseline(2) }.build().unwrap();
    let error = parameters(&state, &other, &[], task.initial(1)).unwrap_err().to_string();
    assert!(error.contains("state.safetensors") && error.contains("body.0.conv1"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let mut task = task(pdn());
    let mut start = task.initial(1);
    start[0][0] = f32::NAN;
    task.start = Some(start);
    let folder = tempfile::tempdir().unwrap();
    let error = train(&task, &schedule(3), folder.path(), &Begin::New, &mut go_on).unwrap_err();
    assert!(matches!(error, RunError::NotFinite { step: 0, .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("term l1") && said.contains("first after conv_first.weight"), "{said}");
}

#[test]
fn a_layer_that_overflows_is_named() {
    let mut task = task(Edsr { features: 6, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
    let mut start = task.initial(1);
    let at = task.network.params.iter().position(|p| p.name.contains("conv2")).unwrap();
    start[at].fill(f32::MAX);
    task.start = Some(start);
    let folder = tempfile::tempdir().unwrap();
    let error = train(&task, &schedule(3), folder.path(), &Begin::New, &mut go_on).unwrap_err().to_string();
    assert!(error.contains(&task.network.params[at].name), "{error}");
}

/// A task whose loss is its parameter times a batch's factor, which is a function of the batch's number.
struct Slope(fn(u32) -> f64, AtomicU32);

impl Task for Slope {
    type Batch = f64;

    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        vec![("slope".into(), vec![1])]
    }

    fn initial(&self, _seed: u64) -> Vec<Vec<f32>> {
        vec![vec![5.0]]
    }

    fn draw(&self, _random: &mut StdRng) -> Result<f64, DataError> {
        Ok(self.0(self.1.fetch_add(1, Ordering::Relaxed)))
    }

    fn loss(&self, parameters: &[Tensor<1>], _step: &Step, batch: &f64) -> Vec<(&'static str, Tensor<1>)> {
        vec![("height", parameters[0].clone() * *batch)]
    }

    fn evaluate(&self, _parameters: &[Vec<f32>], _step: &Step) -> Vec<(String, f64)> {
        Vec::new()
    }

    fn export(&self, _parameters: &[Vec<f32>], _history: &History) -> Vec<u8> {
        Vec::new()
    }
}

#[test]
fn gradients_of_several_batches_are_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = Schedule { accumulate: 2, clip: 0.0, ..schedule(1) };
    let slope = Slope(|batch| f64::from(1 + 2 * (batch % 2)), AtomicU32::new(0));
    let history = train(&slope, &schedule, folder.path(), &Begin::New, &mut go_on).unwrap();
    assert_eq!(history.records[0].loss, 10.0, "the mean of 5 and 15");
    let state = pdn_network::checkpoint::parse(&bytes(folder.path(), STATE)).unwrap().tensors;
    assert!((state["first/slope"].data()[0] - 0.1 * 2.0).abs() < 1e-6, "a tenth of the mean of 1 and 3");
}

#[test]
fn a_run_that_goes_astray_stops_and_keeps_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let run = |begin: &Begin, steep: fn(u32) -> f64| {
        let slope = Slope(steep, AtomicU32::new(0));
        train(&slope, &Schedule { rate: 1e-6, evaluate: 30, ..schedule(90) }, folder.path(), begin, &mut go_on)
    };
    let error = run(&Begin::New, |batch| if batch < 40 { 1.0 } else { 50.0 }).unwrap_err();
    assert!(matches!(error, RunError::Astray { step: 41..60, .. }), "{error}");
    assert!(error.to_string().contains("schedule.rate"), "{error}");
    let state = pdn_network::checkpoint::parse(&bytes(folder.path(), STATE)).unwrap();
    assert_eq!(state.metadata["step"], "30", "the last checkpoint");
    assert_eq!(run(&Begin::Resume, |_| 1.0).unwrap().records.last().unwrap().step, 90);
}

#[test]
fn averaged_weights_are_measured_and_exported() {
    let (plain, averaged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let task = task(pdn());
    let schedule = schedule(12);
    train(&task, &schedule, plain.path(), &Begin::New, &mut go_on).unwrap();
    train(&task, &Schedule { average: 0.9, ..schedule }, averaged.path(), &Begin::New, &mut go_on).unwrap();
    let state = |folder: &Path| pdn_network::checkpoint::parse(&bytes(folder, STATE)).unwrap().tensors;
    let (plain_state, averaged_state) = (state(plain.path()), state(averaged.path()));
    let name = "parameters/conv_first.weight";
    assert_eq!(plain_state[name], averaged_state[name], "averaging does not change the steps");
    assert_ne!(averaged_state[name], averaged_state["average/conv_first.weight"]);
    assert_ne!(bytes(plain.path(), RESULT), bytes(averaged.path(), RESULT));
    let start = parameters(&averaged.path().join(STATE), &task.network, &[], task.initial(1)).unwrap();
    assert_eq!(start[0], averaged_state["average/conv_first.weight"].data());
}

#[test]
fn a_run_goes_on_elsewhere_from_its_weights_alone() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let task = task(pdn());
    let first = train(&task, &schedule(20), here.path(), &Begin::New, &mut go_on).unwrap();
    let begin = Begin::Restart(here.path().join(WEIGHTS));
    let longer = Schedule { steps: 22, ..schedule(1) };
    let history = train(&task, &longer, there.path(), &begin, &mut go_on).unwrap();
    assert_eq!(history.restarts, [20]);
    assert_eq!(
        history.records.iter().map(|r| r.step).collect::<Vec<_>>(),
        [20, 21, 22],
        "earlier evaluations are kept"
    );
    let psnr = |history: &History| history.records.last().unwrap().figures[0].1;
    assert!(psnr(&history) > psnr(&first) - 1.0, "{history:?}");
    let card = Model::open(&there.path().join(RESULT)).unwrap().card;
    assert_eq!(card.more["restarted_from_weights_at_steps"], serde_json::json!([20]));
    let error = train(&task, &longer, there.path(), &begin, &mut go_on).unwrap_err();
    assert!(matches!(error, RunError::Exists(_)), "{error}");
}

#[test]
fn logs_hold_each_step_once_however_often_a_run_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let task = task(pdn());
    let run = |stop| {
        let schedule = Schedule { evaluate: 2, ..schedule(6) };
        train(&task, &schedule, folder.path(), &Begin::Resume, &mut |p| p.step.done < stop).unwrap();
    };
    run(3);
    // A killed process may leave rows beyond the state, with the last one cut off.
    let path = folder.path().join(LOSSES);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}4,1,1,1,1\n5,1,")).unwrap();
    run(6);
    let steps = |file: &str| {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        text.lines().map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(steps(LOSSES), ["step", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(steps(FIGURES), ["step", "2", "4", "6"]);
    assert!(folder.path().join("samples/d.png").exists());
}

#[test]
fn a_network_without_prompt_is_trained_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let task = task(Edsr { features: 6, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
    let history = train(&task, &schedule(2), folder.path(), &Begin::New, &mut go_on).unwrap();
    assert!(history.records[0].figures[0].1.is_finite());
}

#[test]
fn tensorboard_reads_what_a_run_writes() {
    let python = std::env::var("PDN_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        return pdn_testing::skip("tensorboard", "no python3 with the package tensorboard");
    }
    let folder = tempfile::tempdir().unwrap();
    // Two runs, of which the second starts before the step at which the first ended.
    let schedule = Schedule { evaluate: 2, ..schedule(6) };
    let run =
        |stop| train(&task(pdn()), &schedule, folder.path(), &Begin::Resume, &mut |p| p.step.done < stop).unwrap();
    run(3);
    run(6);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/events.py");
    let read = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&[read.stdout, read.stderr].concat()).into_owned();
    assert!(said.contains("4 curves, 1 pictures"), "{said}");
}
