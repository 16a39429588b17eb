//! A run: steps, evaluations, checkpoints, and where it can go on.
//!
//! Everything random in a step comes from the seed and the step's number, and weights and moments are kept as they are: a
//! run that was stopped and resumed gives the same numbers, to the last bit, as one that was not, at one thread count and
//! on one instruction set.

use crate::data::DataError;
use crate::memory;
use crate::weights::{Adam, cosine, gradients, tensors};
use burn::tensor::{Device, Tensor};
use pdn_network::checkpoint::{self, Precision};
use pdn_network::{Network, Param, Tensors};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is trained, and on what.
pub trait Task {
    /// The parameters' names and shapes, in their order.
    fn parameters(&self) -> Vec<(String, Vec<usize>)>;
    /// How they start.
    fn initial(&self, seed: u64) -> Vec<Vec<f32>>;
    /// The loss of one step's batch.
    fn loss(&self, parameters: &[Tensor<1>], step: &Step, random: &mut StdRng) -> Tensor<1>;
    /// Figures by name, from data that is held back.
    fn evaluate(&self, parameters: &[Vec<f32>], step: &Step) -> Vec<(String, f64)>;
    /// The bytes of the file that the run is for, with what it has come to.
    fn export(&self, parameters: &[Vec<f32>], progress: &[Record]) -> Vec<u8>;
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Steps done.
    pub done: u64,
    /// Of so many.
    pub of: u64,
}

/// How long a run is and how fast it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps in all.
    pub steps: u64,
    /// Learning rate, which falls to nothing by half a cosine.
    pub rate: f64,
    /// Steps over which the rate rises first.
    #[serde(default)]
    pub warmup: u64,
    /// AdamW's weight decay.
    #[serde(default)]
    pub decay: f64,
    /// Longest gradient; longer ones are shortened to it. None where it is 0.
    #[serde(default)]
    pub clip: f64,
    /// Everything random comes from it.
    #[serde(default)]
    pub seed: u64,
    /// Steps between two evaluations.
    pub evaluate: u64,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps done.
    pub step: u64,
    /// Mean loss since the last.
    pub loss: f64,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
    /// Figures by name.
    pub figures: Vec<(String, f64)>,
}

/// What a watcher is told after every step.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Where the run stands.
    pub step: Step,
    /// The step's loss.
    pub loss: f64,
    /// Its learning rate.
    pub rate: f64,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
    /// Seconds that a step takes, lately.
    pub pace: f64,
    /// All evaluations; the last is new where `evaluated`.
    pub records: &'a [Record],
    /// Whether this step ended with an evaluation.
    pub evaluated: bool,
}

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file could not be written or read.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The loss is no number.
    #[error("the loss is {loss} at step {step}{at}: lower the rate, or look at the data")]
    NotFinite {
        /// The loss.
        loss: f64,
        /// The step.
        step: u64,
        /// The first parameter that is not finite.
        at: String,
    },
    /// The folder holds a run already.
    #[error("{0}: holds a run already: go on with --resume, or name another folder")]
    Exists(PathBuf),
}

/// The file in a run's folder from which it goes on.
pub const STATE: &str = "state.safetensors";
/// The file in a run's folder that it is for.
pub const RESULT: &str = "result.safetensors";

/// Time between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(60);

struct State {
    parameters: Vec<Vec<f32>>,
    adam: Adam,
    records: Vec<Record>,
    seconds: f64,
}

/// Runs a task in a folder, from its start or from where the folder's run stopped. `watch` is told of every step and says
/// whether to go on; a run that is told to stop writes a checkpoint first.
///
/// # Errors
/// [`RunError`].
pub fn train(
    task: &dyn Task,
    schedule: &Schedule,
    folder: &Path,
    resume: bool,
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Vec<Record>, RunError> {
    let device = Device::flex().autodiff();
    let mut state = match (resume, folder.join(STATE).exists()) {
        (true, true) => State::read(task, folder, schedule)?,
        (false, true) => return Err(RunError::Exists(folder.to_owned())),
        (_, false) => State::new(task, schedule),
    };
    std::fs::create_dir_all(folder).map_err(|e| file(folder, e))?;
    let (mut saved, mut losses, mut pace) = (Instant::now(), Vec::new(), 0.0_f64);
    while state.adam.steps < schedule.steps {
        let begun = Instant::now();
        memory::step();
        let step = Step { done: state.adam.steps, of: schedule.steps };
        let mut random = StdRng::seed_from_u64(schedule.seed.wrapping_mul(0x9e37_79b9).wrapping_add(step.done + 1));
        let parameters = tensors(&state.parameters, &device);
        let loss = task.loss(&parameters, &step, &mut random);
        let mut gradients = gradients(&loss, &parameters);
        let loss = f64::from(loss.into_scalar::<f32>());
        check_finite(loss, step.done, task, &gradients)?;
        clip(&mut gradients, schedule.clip);
        let rate = cosine(schedule.rate, step.done, schedule.steps, schedule.warmup);
        state.adam.step(rate as f32, &mut state.parameters, &gradients);
        losses.push(loss);
        let took = begun.elapsed().as_secs_f64();
        state.seconds += took;
        pace = if pace == 0.0 { took } else { 0.9 * pace + 0.1 * took };
        let step = Step { done: step.done + 1, of: step.of };
        let evaluated = step.done.is_multiple_of(schedule.evaluate.max(1)) || step.done == step.of;
        if evaluated {
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            losses.clear();
            let figures = task.evaluate(&state.parameters, &step);
            state.records.push(Record { step: step.done, loss: mean, seconds: state.seconds, figures });
        }
        let (seconds, records) = (state.seconds, state.records.as_slice());
        let go_on = watch(&Progress { step, loss, rate, seconds, pace, records, evaluated });
        if evaluated || !go_on || saved.elapsed() > CHECKPOINT {
            state.write(task, folder, schedule)?;
            saved = Instant::now();
        }
        if evaluated {
            write(&folder.join(RESULT), &task.export(&state.parameters, &state.records))?;
        }
        if !go_on {
            break;
        }
    }
    memory::clear();
    Ok(state.records)
}

fn check_finite(loss: f64, step: u64, task: &dyn Task, gradients: &[Vec<f32>]) -> Result<(), RunError> {
    let bad = gradients.iter().position(|g| g.iter().any(|v| !v.is_finite()));
    if loss.is_finite() && bad.is_none() {
        return Ok(());
    }
    let at = bad.map_or_else(String::new, |i| format!(", first in the gradient of {}", task.parameters()[i].0));
    Err(RunError::NotFinite { loss, step, at })
}

/// Shortens the gradient, over all parameters, to at most `longest`.
fn clip(gradients: &mut [Vec<f32>], longest: f64) {
    let squares: f64 = gradients.iter().map(|g| g.iter().map(|v| f64::from(v * v)).sum::<f64>()).sum();
    let length = squares.sqrt();
    if longest > 0.0 && length > longest {
        let factor = (longest / length) as f32;
        gradients.iter_mut().flatten().for_each(|v| *v *= factor);
    }
}

fn file(path: &Path, why: impl std::fmt::Display) -> RunError {
    RunError::File { path: path.to_owned(), why: why.to_string() }
}

/// Writes a file aside and renames it, so that a kill leaves the old one or the new one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    pdn_image::write_atomically(path, bytes).map_err(|e| file(path, e))
}

impl State {
    fn new(task: &dyn Task, schedule: &Schedule) -> Self {
        let parameters = task.initial(schedule.seed);
        let adam = Adam::new(&parameters, schedule.decay as f32);
        Self { parameters, adam, records: Vec::new(), seconds: 0.0 }
    }

    fn write(&self, task: &dyn Task, folder: &Path, schedule: &Schedule) -> Result<(), RunError> {
        let mut all = Tensors::new();
        let parts = [("parameters", &self.parameters), ("first", &self.adam.first), ("second", &self.adam.second)];
        for (part, arrays) in parts {
            for ((name, shape), array) in task.parameters().into_iter().zip(arrays) {
                all.insert(format!("{part}/{name}"), pdn_network::Tensor::new(shape, array.clone()));
            }
        }
        let json = |value: serde_json::Value| value.to_string();
        let metadata = HashMap::from([
            ("step".to_owned(), self.adam.steps.to_string()),
            ("seconds".to_owned(), self.seconds.to_string()),
            ("records".to_owned(), json(serde_json::json!(self.records))),
            ("schedule".to_owned(), json(serde_json::json!(schedule))),
        ]);
        write(&folder.join(STATE), &checkpoint::write(&all, metadata, Precision::F32))
    }

    fn read(task: &dyn Task, folder: &Path, schedule: &Schedule) -> Result<Self, RunError> {
        let path = folder.join(STATE);
        let mut read = checkpoint::read(&path).map_err(|e| file(&path, e.why))?;
        let mut state = Self::new(task, schedule);
        let text = |key: &str| read.metadata.get(key).cloned().ok_or_else(|| file(&path, format!("lacks `{key}`")));
        state.adam.steps = text("step")?.parse().map_err(|e| file(&path, format!("its step: {e}")))?;
        state.seconds = text("seconds")?.parse().map_err(|e| file(&path, format!("its seconds: {e}")))?;
        state.records =
            serde_json::from_str(&text("records")?).map_err(|e| file(&path, format!("its records: {e}")))?;
        let arrays = [
            ("parameters", &mut state.parameters),
            ("first", &mut state.adam.first),
            ("second", &mut state.adam.second),
        ];
        for (part, arrays) in arrays {
            for ((name, shape), array) in task.parameters().into_iter().zip(arrays) {
                let key = format!("{part}/{name}");
                match read.tensors.remove(&key) {
                    Some(tensor) if tensor.shape() == shape => *array = tensor.into_data(),
                    _ => return Err(file(&path, format!("has no {key} of shape {shape:?}: another recipe's run?"))),
                }
            }
        }
        Ok(state)
    }
}

/// The weights of a run's state, for a network to start from.
///
/// # Errors
/// [`DataError`] names the file and what of the network it lacks.
pub fn parameters(path: &Path, network: &Network) -> Result<Vec<Vec<f32>>, DataError> {
    let wrong = |why: String| DataError { path: path.to_owned(), why };
    let mut read = checkpoint::read(path).map_err(|e| wrong(e.why.to_string()))?;
    let parameter = |param: &Param| match read.tensors.remove(&format!("parameters/{}", param.name)) {
        Some(tensor) if tensor.shape() == param.shape => Ok(tensor.into_data()),
        found => {
            let found = found.map_or("none".to_owned(), |tensor| format!("{:?}", tensor.shape()));
            Err(wrong(format!("expected {} of {:?} to start from, found {found}", param.name, param.shape)))
        }
    };
    network.params.iter().map(parameter).collect()
}
