//! Opens the model and the engine that the options select.

use crate::args::choices::{EngineChoice, ModelChoice};
use crate::shared::failure::Failure;
use crate::shared::model::open_model;
use pdn::{Error, Options, RunError, Upscaler};
use std::path::Path;

/// The default scale of bicubic.
const BICUBIC_SCALE: usize = 4;

/// Opens the chosen model at its own scale, whatever scale was chosen: any other size is resized to.
pub(crate) fn compile(choice: &ModelChoice, engine: &EngineChoice) -> Result<Upscaler, Failure> {
    if choice.is_bicubic() {
        let whole = choice.scale.filter(|scale| scale.fract() == 0.0 && (1.0..=64.0).contains(scale));
        return Upscaler::bicubic(whole.map_or(BICUBIC_SCALE, |scale| scale as usize)).map_err(Failure::usage);
    }
    let model = open_model(choice.model())?;
    let (isa, precision) = engine.target();
    Upscaler::with_precision(&model, isa, precision).map_err(|error| match error {
        Error::Run(RunError::Isa(_)) => Failure::usage(error),
        other => failure(choice.model(), other),
    })
}

/// Opens the chosen model, which must have the chosen scale.
pub(crate) fn open(choice: &ModelChoice, engine: &EngineChoice) -> Result<Upscaler, Failure> {
    if choice.is_bicubic() {
        let scale = choice.scale.unwrap_or(BICUBIC_SCALE as f64);
        if scale.fract() != 0.0 {
            return Err(Failure::usage(format_args!("--scale {scale}: expected a whole number")));
        }
        return Upscaler::bicubic(scale as usize).map_err(Failure::usage);
    }
    let upscaler = compile(choice, engine)?;
    if let Some(scale) = choice.scale.filter(|scale| *scale != upscaler.scale() as f64) {
        let message = format!("{}: the model has scale x{}, not x{scale}", choice.model().display(), upscaler.scale());
        return Err(Failure::usage(message));
    }
    Ok(upscaler)
}

pub(crate) fn options(choice: &EngineChoice) -> Options {
    Options { memory: choice.memory.saturating_mul(1 << 20), tile: choice.tile.map(usize::from) }
}

/// Creates a pool with the requested number of threads.
pub(crate) fn threads(choice: &EngineChoice) -> Result<rayon::ThreadPool, Failure> {
    let count = choice.threads.map_or(0, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(count).build().map_err(Failure::failed)
}

/// Runs on the requested number of threads.
pub(crate) fn enlarge<T: Send>(choice: &EngineChoice, run: impl FnOnce() -> T + Send) -> T {
    match threads(choice) {
        Ok(pool) => pool.install(run),
        Err(_) => run(),
    }
}

/// Returns a failure that names the picture or the model.
pub(crate) fn failure(path: &Path, error: Error) -> Failure {
    match error {
        Error::Run(RunError::Cancelled) => Failure::interrupted(),
        Error::Size(_) => Failure::usage(error),
        other => Failure::at(path, other),
    }
}

/// Returns whether both names refer to the same existing file.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
