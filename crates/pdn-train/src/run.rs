//! A run: steps, evaluations, checkpoints, and where it can go on.
//!
//! Everything random in a step comes from the seed and the step's number, and weights and moments are kept as they are: a
//! run that was stopped and resumed gives the same numbers, to the last bit, as one that was not, at one thread count and
//! on one instruction set.

use crate::convolution::Precision;
use crate::data::DataError;
pub use crate::history::{History, Record};
use crate::lock::Lock;
use crate::log::Log;
use crate::memory;
use crate::state::{self, STATE, State};
use crate::weights::{cosine, gradients, tensors};
use burn::tensor::{Device, FloatDType, Tensor};
use pdn_image::Picture;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// What is trained, and on what.
pub trait Task: Sync {
    /// What a step learns from.
    type Batch: Send;
    /// The parameters' names and shapes, in their order.
    fn parameters(&self) -> Vec<(String, Vec<usize>)>;
    /// What convolutions multiply, which the device must be able to.
    fn precision(&self) -> Precision {
        Precision::F32
    }
    /// How they start.
    fn initial(&self, seed: u64) -> Vec<Vec<f32>>;
    /// Draws a batch, and reads what it is of: while the steps before it are taken.
    ///
    /// # Errors
    /// [`DataError`] names the file that cannot be read.
    fn draw(&self, random: &mut StdRng) -> Result<Self::Batch, DataError>;
    /// The terms of a batch's loss, by name: what is made small is their sum.
    fn loss(&self, parameters: &[Tensor<1>], step: &Step, batch: &Self::Batch) -> Vec<(&'static str, Tensor<1>)>;
    /// Of a batch whose loss is no number: the first layer that gives none, where that can be told.
    fn blame(&self, _parameters: &[Tensor<1>], _step: &Step, _batch: &Self::Batch) -> Option<String> {
        None
    }
    /// Figures by name, from data that is held back.
    fn evaluate(&self, parameters: &[Vec<f32>], step: &Step) -> Vec<(String, f64)>;
    /// Pictures by name that show what it has come to.
    fn samples(&self, _parameters: &[Vec<f32>]) -> Vec<(String, Picture)> {
        Vec::new()
    }
    /// The bytes of the file that the run is for, with what it has come to.
    fn export(&self, parameters: &[Vec<f32>], history: &History) -> Vec<u8>;
}

/// A task of any kind, which can be run.
pub trait Run {
    /// [`train`] of it.
    ///
    /// # Errors
    /// As [`train`]'s.
    fn train(&self, schedule: &Schedule, place: &Place, begin: &Begin, watch: Watch) -> Result<History, RunError>;
}

impl<T: Task> Run for T {
    fn train(&self, schedule: &Schedule, place: &Place, begin: &Begin, watch: Watch) -> Result<History, RunError> {
        train(self, schedule, place.clone(), begin, watch)
    }
}

/// Who is told of every step, and says whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(&Progress) -> bool;

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
    /// Batches whose gradients are averaged for a step, 1 or more.
    #[serde(default = "one")]
    pub accumulate: u64,
    /// How much of the averaged weights a step keeps, such as 0.999: they are what is measured and exported. None where it is 0.
    #[serde(default)]
    pub average: f64,
    /// Everything random comes from it.
    #[serde(default)]
    pub seed: u64,
    /// Steps between two evaluations.
    pub evaluate: u64,
}

fn one() -> u64 {
    1
}

impl Schedule {
    /// Whether there can be such a run.
    ///
    /// # Errors
    /// Says which key is wrong, and what is expected.
    pub fn check(&self) -> Result<(), String> {
        let Self { steps, rate, decay, clip, average, accumulate, evaluate, .. } = *self;
        let wrong = |key: &str, found: &dyn std::fmt::Display, expected: &str| {
            Err(format!("schedule.{key} {found}: expected {expected}"))
        };
        let is_size = |number: f64| number.is_finite() && number >= 0.0;
        if steps == 0 {
            return wrong("steps", &steps, "1 or more");
        }
        if !(rate.is_finite() && rate > 0.0) {
            return wrong("rate", &rate, "a number above 0");
        }
        if !is_size(decay) {
            return wrong("decay", &decay, "0 or more");
        }
        if !is_size(clip) {
            return wrong("clip", &clip, "0 or more");
        }
        if !(0.0..1.0).contains(&average) {
            return wrong("average", &average, "0 or more, less than 1");
        }
        if accumulate == 0 {
            return wrong("accumulate", &accumulate, "1 or more");
        }
        match evaluate {
            0 => wrong("evaluate", &evaluate, "1 or more"),
            _ => Ok(()),
        }
    }
}

/// What a watcher is told after every step.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Where the run stands.
    pub step: Step,
    /// The step's loss.
    pub loss: f64,
    /// The terms that it is the sum of.
    pub terms: &'a [(&'static str, f64)],
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
    /// Data could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A term of the loss, or a gradient, is no number.
    #[error("{term} is no number at step {step}{at}: lower the rate, or look at the data")]
    NotFinite {
        /// The loss's first such term, or `the gradient`.
        term: String,
        /// The step.
        step: u64,
        /// The first layer or parameter of which that holds.
        at: String,
    },
    /// The loss has grown to many times what it was. The folder's state is of a minute before at most.
    #[error(
        "the loss of step {step} is {times:.0} times what it was before: the run went astray; go on with a lower rate, from its \
         last checkpoint: --resume --set schedule.rate=..."
    )]
    Astray {
        /// The step.
        step: u64,
        /// How many times.
        times: f64,
    },
    /// The device has no numbers of the precision that is asked for.
    #[error(
        "precision bf16: this device has no such numbers; expected precision = \"f32\" in the recipe, or another --device"
    )]
    Precision,
    /// The folder holds a run already.
    #[error("{0}: holds a run already: go on with --resume, or name another folder")]
    Exists(PathBuf),
    /// Another process runs in the folder.
    #[error("{0}: another run is at work there: wait for it or stop it, or name another folder")]
    Busy(PathBuf),
    /// Nothing is left to do for weights that a run should begin with.
    #[error("{path}: is of step {step}, expected one before the recipe's last, {last}: --set schedule.steps=...")]
    Done {
        /// The weights' file.
        path: PathBuf,
        /// Their step.
        step: u64,
        /// The recipe's last.
        last: u64,
    },
}

impl RunError {
    pub(crate) fn file(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), why: why.to_string() }
    }
}

/// Where a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At its first step, in a folder without a run.
    New,
    /// Where the folder's run stopped, or at its first step where there is none.
    Resume,
    /// At the step of these weights, which another run left ([`crate::state::WEIGHTS`]), in a folder without a run.
    Restart(PathBuf),
}

/// The file in a run's folder that it is for.
pub const RESULT: &str = "result.safetensors";
/// The folder in a run's folder of pictures that show what it has come to.
pub const SAMPLES: &str = "samples";

/// Time between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// Batches that are drawn ahead of the step that is taken.
const AHEAD: usize = 2;

/// Where a run lives, and where its steps are taken.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    /// The device of its steps. What is measured and exported is made by the engine, on the CPU.
    pub device: Device,
}

impl From<&Path> for Place {
    /// On the CPU.
    fn from(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), device: Device::flex() }
    }
}

/// Runs a task in a folder. `watch` is told of every step and says whether to go on; a run that is told to stop writes a
/// checkpoint first.
///
/// # Errors
/// [`RunError`].
pub fn train<T: Task>(
    task: &T,
    schedule: &Schedule,
    place: impl Into<Place>,
    begin: &Begin,
    watch: Watch,
) -> Result<History, RunError> {
    let place = place.into();
    let folder = place.folder.as_path();
    let path = folder.join(STATE);
    if task.precision() == Precision::Bf16 && !place.device.supports_dtype(FloatDType::BF16) {
        return Err(RunError::Precision);
    }
    // What cannot be begun leaves no folder.
    let restarted = match begin {
        Begin::Restart(weights) if !path.exists() => Some(restart(task, weights, schedule)?),
        _ => None,
    };
    std::fs::create_dir_all(folder).map_err(|e| RunError::file(folder, e))?;
    let _lock = Lock::of(folder)?;
    let state = match (begin, path.exists(), restarted) {
        (Begin::Resume, true, _) => State::read(task, &path, schedule)?,
        (_, true, _) => return Err(RunError::Exists(folder.to_owned())),
        (_, false, Some(state)) => state,
        (Begin::Restart(weights), false, None) => restart(task, weights, schedule)?,
        (_, false, None) => State::new(task, schedule),
    };
    let log = Log::open(folder, state.adam.steps)?;
    let first = state.adam.steps;
    let (ahead, batches) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for step in first..schedule.steps {
                for batch in 0..schedule.accumulate {
                    // Nobody waits for it any more where the run has stopped.
                    if ahead.send(task.draw(&mut random(schedule, step, batch))).is_err() {
                        return;
                    }
                }
            }
        });
        // Dropped as the steps end, before the scope waits for who draws.
        let batches = batches;
        steps(task, schedule, &place, (state, log), &batches, watch)
    })
}

/// The state that a run restarts from, whose steps are not all done.
fn restart(task: &impl Task, weights: &Path, schedule: &Schedule) -> Result<State, RunError> {
    let state = State::read(task, weights, schedule)?;
    match state.adam.steps >= schedule.steps {
        true => Err(RunError::Done { path: weights.to_owned(), step: state.adam.steps, last: schedule.steps }),
        false => Ok(state),
    }
}

/// Everything random in a batch of a step.
fn random(schedule: &Schedule, step: u64, batch: u64) -> StdRng {
    let step = schedule.seed.wrapping_mul(0x9e37_79b9).wrapping_add(step + 1);
    StdRng::seed_from_u64(step.wrapping_add(batch << 40))
}

/// Batches as they were drawn, in their order.
type Batches<T> = Receiver<Result<<T as Task>::Batch, DataError>>;

fn steps<T: Task>(
    task: &T,
    schedule: &Schedule,
    Place { folder, device }: &Place,
    (mut state, mut log): (State, Log),
    batches: &Batches<T>,
    watch: Watch,
) -> Result<History, RunError> {
    let device = device.clone().autodiff();
    let (mut saved, mut pace) = (Instant::now(), 0.0_f64);
    let mut heading = Heading::new();
    while state.adam.steps < schedule.steps {
        let begun = Instant::now();
        let step = Step { done: state.adam.steps, of: schedule.steps };
        let parameters = tensors(&state.parameters, &device);
        let (terms, mut gradients) = descent(task, schedule, &parameters, &step, batches)?;
        let loss = terms.iter().map(|(_, value)| value).sum::<f64>();
        heading.check(step.done, loss)?;
        clip(&mut gradients, schedule.clip);
        let rate = cosine(schedule.rate, step.done, schedule.steps, schedule.warmup);
        state.adam.step(rate as f32, &mut state.parameters, &gradients);
        state.averaged(schedule.average);
        state.losses.add(loss);
        let took = begun.elapsed().as_secs_f64();
        state.seconds += took;
        pace = if pace == 0.0 { took } else { 0.9 * pace + 0.1 * took };
        let step = Step { done: step.done + 1, of: step.of };
        let evaluated = step.done.is_multiple_of(schedule.evaluate.max(1)) || step.done == step.of;
        if evaluated {
            let mean = std::mem::take(&mut state.losses).mean();
            let figures = task.evaluate(state.best(), &step);
            state.history.records.push(Record { step: step.done, loss: mean, seconds: state.seconds, figures });
        }
        let (seconds, records) = (state.seconds, state.history.records.as_slice());
        let progress = Progress { step, loss, terms: &terms, rate, seconds, pace, records, evaluated };
        log.step(&progress)?;
        let go_on = watch(&progress);
        if evaluated {
            log.samples(step.done, &task.samples(state.best()))?;
            state::write(folder, RESULT, &task.export(state.best(), &state.history))?;
            state.write_weights(task, folder, schedule)?;
        }
        if evaluated || !go_on || saved.elapsed() > CHECKPOINT {
            // The state last: what the others hold beyond it is made again when the run goes on, and nothing that it counts as
            // done is missing.
            log.flush()?;
            state.write(task, folder, schedule)?;
            saved = Instant::now();
        }
        if !go_on {
            break;
        }
    }
    memory::clear();
    Ok(state.history)
}

/// Steps over which losses are averaged to tell a run that went astray, and how many times as large as before they are then.
const TOGETHER: usize = 20;
const TIMES: f64 = 5.0;

/// Tells when the loss has run away: what is learned then is lost, and must not be kept in the place of what was.
#[derive(Debug)]
struct Heading {
    recent: VecDeque<f64>,
    least: f64,
}

impl Heading {
    fn new() -> Self {
        Self { recent: VecDeque::new(), least: f64::INFINITY }
    }

    fn check(&mut self, step: u64, loss: f64) -> Result<(), RunError> {
        self.recent.push_back(loss);
        if self.recent.len() <= TOGETHER {
            return Ok(());
        }
        self.recent.pop_front();
        let mean = self.recent.iter().sum::<f64>() / TOGETHER as f64;
        self.least = self.least.min(mean);
        match self.least > 0.0 && mean > TIMES * self.least {
            true => Err(RunError::Astray { step, times: mean / self.least }),
            false => Ok(()),
        }
    }
}

/// What makes up a step's loss, and its gradient.
type Descent = (Vec<(&'static str, f64)>, Vec<Vec<f32>>);

/// The terms of a step's loss and their sum's gradient, averaged over its batches.
fn descent<T: Task>(
    task: &T,
    schedule: &Schedule,
    parameters: &[Tensor<1>],
    step: &Step,
    batches: &Batches<T>,
) -> Result<Descent, RunError> {
    let count = schedule.accumulate;
    let mut all: Option<Descent> = None;
    for _ in 0..count {
        memory::step();
        let batch = batches.recv().expect("one is drawn for each of the steps")?;
        let terms = task.loss(parameters, step, &batch);
        let whole = terms.iter().map(|(_, term)| term.clone()).reduce(|a, b| a + b).expect("a loss has a term");
        let gradients = gradients(&whole, parameters);
        let terms: Vec<_> =
            terms.into_iter().map(|(name, term)| (name, f64::from(term.into_scalar::<f32>()))).collect();
        check_finite(&terms, &gradients, step.done, task, || task.blame(parameters, step, &batch))?;
        match &mut all {
            None => all = Some((terms, gradients)),
            Some((terms_before, gradients_before)) => {
                terms_before.iter_mut().zip(terms).for_each(|(sum, (_, term))| sum.1 += term);
                let pairs = gradients_before.iter_mut().flatten().zip(gradients.iter().flatten());
                pairs.for_each(|(sum, g)| *sum += g);
            }
        }
    }
    let (mut terms, mut gradients) = all.expect("there is a batch");
    if count > 1 {
        terms.iter_mut().for_each(|(_, term)| *term /= count as f64);
        gradients.iter_mut().flatten().for_each(|g| *g /= count as f32);
    }
    Ok((terms, gradients))
}

fn check_finite<T: Task>(
    terms: &[(&'static str, f64)],
    gradients: &[Vec<f32>],
    step: u64,
    task: &T,
    blame: impl FnOnce() -> Option<String>,
) -> Result<(), RunError> {
    let term = terms.iter().find(|(_, value)| !value.is_finite());
    let bad = gradients.par_iter().position_first(|g| g.iter().any(|v| !v.is_finite()));
    let term = match (term, bad) {
        (None, None) => return Ok(()),
        (Some((name, _)), _) => format!("the loss's term {name}"),
        (None, Some(_)) => "the gradient".into(),
    };
    let of_gradient = |i: usize| format!(", first in the gradient of {}", task.parameters()[i].0);
    let at = blame().map(|layer| format!(", first after {layer}")).or_else(|| bad.map(of_gradient));
    Err(RunError::NotFinite { term, step, at: at.unwrap_or_default() })
}

/// Shortens the gradient, over all parameters, to at most `longest`.
fn clip(gradients: &mut [Vec<f32>], longest: f64) {
    // Each parameter's sum by itself, and these in their order: the same whatever the threads.
    let squares: Vec<f64> = gradients.par_iter().map(|g| g.iter().map(|v| f64::from(*v).powi(2)).sum()).collect();
    let length = squares.iter().sum::<f64>().sqrt();
    if longest > 0.0 && length > longest {
        let factor = (longest / length) as f32;
        gradients.par_iter_mut().for_each(|g| g.iter_mut().for_each(|v| *v *= factor));
    }
}
