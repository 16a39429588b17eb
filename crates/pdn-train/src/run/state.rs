//! Files in a run's folder: the state, which resumes bit-identically, and the weights, which resume almost so.

use crate::data::DataError;
use crate::executor::weights::Adam;
use crate::run::error::RunError;
use crate::run::history::History;
use crate::run::task::{Schedule, Task};
use pdn_network::checkpoint::{self, Precision};
use pdn_network::{Network, Param, Tensor, Tensors};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// The state file in a run's folder.
pub const STATE: &str = "state.safetensors";
/// The weights file in a run's folder, from which another machine can continue: weights in f16, without the optimizer's
/// moments.
pub const WEIGHTS: &str = "weights.safetensors";

/// Names of the arrays in a state.
const PARAMETERS: &str = "parameters";
const AVERAGE: &str = "average";

/// Everything that a run needs to continue.
pub(crate) struct State {
    pub(crate) parameters: Vec<Vec<f32>>,
    /// The parameters averaged over steps, if the schedule asks for it.
    pub(crate) average: Option<Vec<Vec<f32>>>,
    pub(crate) adam: Adam,
    pub(crate) history: History,
    pub(crate) seconds: f64,
    pub(crate) losses: Losses,
}

/// The losses since the last evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    sum: f64,
    count: u64,
}

impl Losses {
    pub(crate) fn add(&mut self, loss: f64) {
        self.sum += loss;
        self.count += 1;
    }

    pub(crate) fn mean(self) -> f64 {
        self.sum / self.count as f64
    }
}

impl State {
    pub(crate) fn new(task: &impl Task, schedule: &Schedule) -> Self {
        let parameters = task.initial(schedule.seed);
        let adam = Adam::new(&parameters, schedule.decay as f32);
        let average = (schedule.average > 0.0).then(|| parameters.clone());
        Self { parameters, average, adam, history: History::default(), seconds: 0.0, losses: Losses::default() }
    }

    /// Returns the parameters to evaluate and export: the averaged ones, if any.
    pub(crate) fn best(&self) -> &[Vec<f32>] {
        self.average.as_ref().unwrap_or(&self.parameters)
    }

    /// Moves the average towards the parameters, faster in the first steps.
    pub(crate) fn averaged(&mut self, keep: f64) {
        let Some(average) = &mut self.average else { return };
        let since = (self.adam.steps - self.adam.begun) as f64;
        let keep = keep.min((1.0 + since) / (10.0 + since)) as f32;
        average.par_iter_mut().zip(&self.parameters).for_each(|(average, parameters)| {
            average.iter_mut().zip(parameters).for_each(|(a, p)| *a = keep * *a + (1.0 - keep) * p);
        });
    }

    /// Writes [`STATE`].
    pub(crate) fn write(&self, task: &impl Task, folder: &Path, schedule: &Schedule) -> Result<(), RunError> {
        let parts = [(PARAMETERS, &self.parameters), ("first", &self.adam.first), ("second", &self.adam.second)];
        let parts = parts.into_iter().chain(self.average.as_ref().map(|average| (AVERAGE, average)));
        write(folder, STATE, &self.file(task, schedule, parts, Precision::F32))
    }

    /// Writes [`WEIGHTS`]: the averaged ones, if any.
    pub(crate) fn write_weights(&self, task: &impl Task, folder: &Path, schedule: &Schedule) -> Result<(), RunError> {
        let best = self.average.as_ref().unwrap_or(&self.parameters);
        write(folder, WEIGHTS, &self.file(task, schedule, std::iter::once((PARAMETERS, best)), Precision::F16))
    }

    fn file<'a>(
        &self,
        task: &impl Task,
        schedule: &Schedule,
        parts: impl Iterator<Item = (&'static str, &'a Vec<Vec<f32>>)>,
        precision: Precision,
    ) -> Vec<u8> {
        let mut all = Tensors::new();
        for (part, arrays) in parts {
            for ((name, shape), array) in task.parameters().into_iter().zip(arrays) {
                all.insert(format!("{part}/{name}"), Tensor::new(shape, array.clone()));
            }
        }
        let json = |value: serde_json::Value| value.to_string();
        let metadata = HashMap::from([
            ("step".to_owned(), self.adam.steps.to_string()),
            ("begun".to_owned(), self.adam.begun.to_string()),
            ("seconds".to_owned(), self.seconds.to_string()),
            ("loss_sum".to_owned(), self.losses.sum.to_string()),
            ("loss_count".to_owned(), self.losses.count.to_string()),
            ("history".to_owned(), json(serde_json::json!(self.history))),
            ("schedule".to_owned(), json(serde_json::json!(schedule))),
        ]);
        checkpoint::write(&all, metadata, precision)
    }

    /// Reads a folder's [`STATE`], or another run's [`WEIGHTS`]: the moments then start anew, and the history records
    /// it.
    pub(crate) fn read(task: &impl Task, path: &Path, schedule: &Schedule) -> Result<Self, RunError> {
        let mut read = checkpoint::read(path).map_err(|e| RunError::file(path, e.why))?;
        let mut state = Self::new(task, schedule);
        let text = |key: &str| {
            read.metadata
                .get(key)
                .cloned()
                .ok_or_else(|| RunError::file(path, format!("has no `{key}`; expected a run's state or weights")))
        };
        let number = |key: &str| text(key)?.parse().map_err(|e| RunError::file(path, format!("invalid {key}: {e}")));
        (state.adam.steps, state.adam.begun) = (number("step")?, number("begun")?);
        state.seconds = text("seconds")?.parse().map_err(|e| RunError::file(path, format!("invalid seconds: {e}")))?;
        state.history = serde_json::from_str(&text("history")?)
            .map_err(|e| RunError::file(path, format!("invalid history: {e}")))?;
        // Older states do not have these.
        let of_losses = |key: &str| read.metadata.get(key).map_or("0", String::as_str);
        state.losses.sum =
            of_losses("loss_sum").parse().map_err(|e| RunError::file(path, format!("invalid loss_sum: {e}")))?;
        state.losses.count =
            of_losses("loss_count").parse().map_err(|e| RunError::file(path, format!("invalid loss_count: {e}")))?;
        // The fields that are used in arithmetic below.
        let Adam { steps, begun, .. } = state.adam;
        if begun > steps || state.losses.count > steps {
            let why = format!(
                "is damaged: it is at step {steps}, but has moments from step {begun}, or more losses than steps"
            );
            return Err(RunError::file(path, why));
        }
        let whole = read.tensors.keys().any(|name| name.starts_with("first/"));
        if !whole {
            state.adam.begun = state.adam.steps;
            state.history.restarts.push(state.adam.steps);
        }
        let moments = [("first", &mut state.adam.first), ("second", &mut state.adam.second)];
        let arrays = [(PARAMETERS, &mut state.parameters)].into_iter();
        // If the schedule asks for an average only now, it starts at the parameters.
        let averaged = read.tensors.keys().any(|name| name.starts_with("average/"));
        let arrays = arrays.chain(state.average.as_mut().filter(|_| averaged).map(|average| (AVERAGE, average)));
        for (part, arrays) in arrays.chain(moments.into_iter().filter(|_| whole)) {
            for ((name, shape), array) in task.parameters().into_iter().zip(arrays) {
                let key = format!("{part}/{name}");
                match read.tensors.remove(&key) {
                    Some(tensor) if tensor.shape() == shape => *array = tensor.into_data(),
                    _ => {
                        let why = format!("has no {key} of shape {shape:?}; it may belong to another recipe");
                        return Err(RunError::file(path, why));
                    }
                }
            }
        }
        if !averaged && let Some(average) = &mut state.average {
            average.clone_from(&state.parameters);
        }
        Ok(state)
    }
}

/// Checks that a run of this task could resume from a state; for fuzzing.
///
/// # Errors
/// Same as for resuming.
#[doc(hidden)]
pub fn check(task: &impl Task, path: &Path, schedule: &Schedule) -> Result<(), RunError> {
    State::read(task, path, schedule).map(drop)
}

/// Writes a file under a temporary name and renames it, so that a kill leaves either the old one or the new one.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), RunError> {
    let path = folder.join(name);
    pdn_image::write_atomically(&path, bytes).map_err(|e| RunError::file(&path, e.why))
}

/// Reads the weights to start a network from: those of a run's state, averaged if it has them, or those of a model file
/// in the train form. Parameters whose names begin with one of `anew` are those of `initial`.
///
/// # Errors
/// [`DataError`] names the file and what it lacks.
pub fn parameters(
    path: &Path,
    network: &Network,
    anew: &[String],
    initial: Vec<Vec<f32>>,
) -> Result<Vec<Vec<f32>>, DataError> {
    let wrong = |why: String| DataError { path: path.to_owned(), why };
    let mut read = checkpoint::read(path).map_err(|e| wrong(e.why.to_string()))?;
    let prefix = [AVERAGE, PARAMETERS].into_iter().map(|part| format!("{part}/"));
    let prefix =
        prefix.into_iter().find(|part| read.tensors.keys().any(|name| name.starts_with(part))).unwrap_or_default();
    if let Some(none) = anew.iter().find(|part| !network.params.iter().any(|p| p.name.starts_with(part.as_str()))) {
        return Err(wrong(format!("`anew` lists `{none}`, but no parameter's name begins with it")));
    }
    let parameter = |(param, initial): (&Param, Vec<f32>)| {
        if anew.iter().any(|part| param.name.starts_with(part.as_str())) {
            return Ok(initial);
        }
        match read.tensors.remove(&format!("{prefix}{}", param.name)) {
            Some(tensor) if tensor.shape() == param.shape => Ok(tensor.into_data()),
            found => {
                let found = found.map_or("none".to_owned(), |tensor| format!("{:?}", tensor.shape()));
                let hint = "list it in `anew` to start it afresh";
                Err(wrong(format!("expected {} of shape {:?}, found {found}; {hint}", param.name, param.shape)))
            }
        }
    };
    network.params.iter().zip(initial).map(parameter).collect()
}
