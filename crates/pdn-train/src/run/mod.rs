//! Runs: steps, evaluations, checkpoints, and resuming.
//!
//! All randomness in a step derives from the seed and the step's number, and weights and moments are stored exactly: a
//! run that was stopped and resumed is bit-identical to one that was not, at the same thread count and instruction set.

mod error;
mod history;
pub mod lock;
pub mod log;
pub mod state;
mod task;

pub use error::RunError;
pub use history::{History, Record};
pub use log::SAMPLES;
pub use task::{Progress, Schedule, Step, Task, Watch};

use crate::data::DataError;
use crate::executor::convolution::Precision;
use crate::executor::memory;
use crate::executor::weights::{cosine, gradients, tensors};
use crate::run::lock::Lock;
use crate::run::log::Log;
use crate::run::state::{STATE, State};
use burn::tensor::{Device, FloatDType, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// A task of any kind that can be run.
pub trait Run {
    /// Calls [`train`] on it.
    ///
    /// # Errors
    /// Same as [`train`].
    fn train(&self, schedule: &Schedule, place: &Place, begin: &Begin, watch: Watch) -> Result<History, RunError>;
}

impl<T: Task> Run for T {
    fn train(&self, schedule: &Schedule, place: &Place, begin: &Begin, watch: Watch) -> Result<History, RunError> {
        train(self, schedule, place.clone(), begin, watch)
    }
}

/// Where a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At its first step, in a folder without a run.
    New,
    /// Where the folder's run stopped, or at the first step if there is none.
    Resume,
    /// At the step of these weights from another run ([`crate::run::state::WEIGHTS`]), in a folder without a run.
    Restart(PathBuf),
}

/// The result file in a run's folder.
pub const RESULT: &str = "result.safetensors";
/// Time between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// Batches drawn ahead of the current step.
const AHEAD: usize = 2;

/// Where a run is stored, and where its steps are computed.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    /// The device of its steps. Evaluation and export use the engine, on the CPU.
    pub device: Device,
}

impl From<&Path> for Place {
    /// Runs on the CPU.
    fn from(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), device: Device::flex() }
    }
}

/// Runs a task in a folder. `watch` is called after every step and returns whether to go on; a run that is stopped
/// writes a checkpoint first.
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
    // A run that cannot start leaves no folder behind.
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
                    // The receiver is gone if the run has stopped.
                    if ahead.send(task.draw(&mut random(schedule, step, batch))).is_err() {
                        return;
                    }
                }
            }
        });
        // Dropped when the steps end, before the scope waits for the drawing thread.
        let batches = batches;
        steps(task, schedule, &place, (state, log), &batches, watch)
    })
}

/// Reads the weights that a run restarts from, which must have steps left.
fn restart(task: &impl Task, weights: &Path, schedule: &Schedule) -> Result<State, RunError> {
    let state = State::read(task, weights, schedule)?;
    match state.adam.steps >= schedule.steps {
        true => Err(RunError::Done { path: weights.to_owned(), step: state.adam.steps, last: schedule.steps }),
        false => Ok(state),
    }
}

/// Returns the random generator of a batch of a step.
fn random(schedule: &Schedule, step: u64, batch: u64) -> StdRng {
    let step = schedule.seed.wrapping_mul(0x9e37_79b9).wrapping_add(step + 1);
    StdRng::seed_from_u64(step.wrapping_add(batch << 40))
}

/// Batches in the order in which they were drawn.
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
            // The state last: when the run continues, it makes log entries beyond the state again, and none before it
            // is missing.
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

/// Steps over which losses are averaged to detect divergence, and the factor that counts as such.
const TOGETHER: usize = 20;
const TIMES: f64 = 5.0;

/// Detects a diverging loss, so that the run stops before it overwrites a good state with a bad one.
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

/// The terms of a step's loss, and its gradient.
type Descent = (Vec<(&'static str, f64)>, Vec<Vec<f32>>);

/// Computes the terms of a step's loss and the gradient of their sum, averaged over its batches.
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
        let batch = batches.recv().expect("a batch is drawn for every step")?;
        let terms = task.loss(parameters, step, &batch);
        let whole =
            terms.iter().map(|(_, term)| term.clone()).reduce(|a, b| a + b).expect("a loss has at least one term");
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
    let (mut terms, mut gradients) = all.expect("at least one batch");
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
        (Some((name, _)), _) => format!("the loss term {name}"),
        (None, Some(_)) => "the gradient".into(),
    };
    let of_gradient = |i: usize| format!(", first in the gradient of {}", task.parameters()[i].0);
    let at = blame().map(|layer| format!(", first after {layer}")).or_else(|| bad.map(of_gradient));
    Err(RunError::NotFinite { term, step, at: at.unwrap_or_default() })
}

/// Clips the gradient, over all parameters, to a norm of at most `longest`.
fn clip(gradients: &mut [Vec<f32>], longest: f64) {
    // Sum each parameter on its own, then add the sums in order: the result is the same for any number of threads.
    let squares: Vec<f64> = gradients.par_iter().map(|g| g.iter().map(|v| f64::from(*v).powi(2)).sum()).collect();
    let length = squares.iter().sum::<f64>().sqrt();
    if longest > 0.0 && length > longest {
        let factor = (longest / length) as f32;
        gradients.par_iter_mut().for_each(|g| g.iter_mut().for_each(|v| *v *= factor));
    }
}
