//! What a run is told: what is trained, for how long, and who watches.

use crate::data::DataError;
use crate::executor::convolution::Precision;
use crate::run::history::{History, Record};
use burn::tensor::Tensor;
use pdn_image::Picture;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

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
