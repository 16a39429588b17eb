//! The interface between a run and its task, schedule and watcher.

use crate::data::DataError;
use crate::executor::convolution::Precision;
use crate::run::history::{History, Record};
use burn::tensor::Tensor;
use pdn_image::Picture;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// What to train, and on what.
pub trait Task: Sync {
    /// The data of a step.
    type Batch: Send;
    /// Returns the parameters' names and shapes, in order.
    fn parameters(&self) -> Vec<(String, Vec<usize>)>;
    /// Returns the precision of convolutions, which the device must support.
    fn precision(&self) -> Precision {
        Precision::F32
    }
    /// Initialises the parameters.
    fn initial(&self, seed: u64) -> Vec<Vec<f32>>;
    /// Draws a batch and reads its data, while earlier steps run.
    ///
    /// # Errors
    /// [`DataError`] names the file that cannot be read.
    fn draw(&self, random: &mut StdRng) -> Result<Self::Batch, DataError>;
    /// Computes the terms of a batch's loss, by name; the loss is their sum.
    fn loss(&self, parameters: &[Tensor<1>], step: &Step, batch: &Self::Batch) -> Vec<(&'static str, Tensor<1>)>;
    /// Returns the first layer whose output is not finite, if it can be found, after a loss that is not.
    fn blame(&self, _parameters: &[Tensor<1>], _step: &Step, _batch: &Self::Batch) -> Option<String> {
        None
    }
    /// Computes metrics by name, on held-out data.
    fn evaluate(&self, parameters: &[Vec<f32>], step: &Step) -> Vec<(String, f64)>;
    /// Returns sample pictures by name.
    fn samples(&self, _parameters: &[Vec<f32>]) -> Vec<(String, Picture)> {
        Vec::new()
    }
    /// Returns the bytes of the run's result file, including its history.
    fn export(&self, parameters: &[Vec<f32>], history: &History) -> Vec<u8>;
}

/// Called after every step; returns whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(&Progress) -> bool;

/// The progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Steps done.
    pub done: u64,
    /// Steps in all.
    pub of: u64,
}

/// The length and learning rate of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps in all.
    pub steps: u64,
    /// Learning rate, which falls to zero along half a cosine.
    pub rate: f64,
    /// Steps over which the rate rises first.
    #[serde(default)]
    pub warmup: u64,
    /// AdamW's weight decay.
    #[serde(default)]
    pub decay: f64,
    /// The largest norm of the gradient, which is clipped to it; 0 for no clipping.
    #[serde(default)]
    pub clip: f64,
    /// Batches whose gradients are averaged per step, 1 or more.
    #[serde(default = "one")]
    pub accumulate: u64,
    /// The decay of the moving average of the weights per step, such as 0.999; the average is evaluated and exported. 0
    /// for no average.
    #[serde(default)]
    pub average: f64,
    /// The random seed.
    #[serde(default)]
    pub seed: u64,
    /// Steps between two evaluations.
    pub evaluate: u64,
}

fn one() -> u64 {
    1
}

impl Schedule {
    /// Checks the schedule.
    ///
    /// # Errors
    /// A message that names the wrong key and what is expected.
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

/// The report after every step.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The progress of the run.
    pub step: Step,
    /// The step's loss.
    pub loss: f64,
    /// The terms of the loss, which is their sum.
    pub terms: &'a [(&'static str, f64)],
    /// Its learning rate.
    pub rate: f64,
    /// Seconds of training, over all sessions.
    pub seconds: f64,
    /// Recent seconds per step.
    pub pace: f64,
    /// All evaluations; the last is new if `evaluated`.
    pub records: &'a [Record],
    /// Whether this step ended with an evaluation.
    pub evaluated: bool,
}
