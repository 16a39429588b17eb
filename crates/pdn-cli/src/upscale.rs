//! `pdn upscale`, and the choice of model and engine that other commands share.

use crate::args::Upscale;
use crate::batch::Batch;
use crate::choices::{EngineChoice, ModelChoice};
use crate::failure::Failure;
use crate::inputs::{Found, Input, STANDARD};
use crate::model::open_model;
use crate::outputs::{Naming, Plan, format_of};
use crate::prompt::PromptSetter;
use crate::results::without_results;
use crate::say::tell;
use crate::sink::check_standard_output;
use pdn::{Error, Format, Options, RunError, Upscaler};
use std::path::Path;

/// What bicubic enlarges by when nothing is said.
const BICUBIC_SCALE: usize = 4;

pub(crate) fn run(args: &Upscale) -> Result<(), Failure> {
    check_second_name(args)?;
    let Found { pictures, failed, left_out, .. } = Found::new(&args.inputs, args.outputs.out_dir.as_deref())?;
    let (pictures, results) = without_results(pictures);
    check_standard_input(&pictures)?;
    if !args.parts.region.is_empty() && pictures.len() > 1 {
        let why = format_args!("--region: expected one picture, got {}", pictures.len());
        return Err(Failure::usage(why));
    }
    let upscaler = compile(&args.model, &args.engine)?;
    let size = args.look.size_in_names(&args.model, upscaler.scale());
    let Plan { tasks, skipped } =
        Naming::new(&args.outputs, args.model.model(), upscaler.scale(), size)?.plan(pictures)?;
    if tasks.iter().any(|task| task.output == Path::new(STANDARD)) {
        check_standard_output()?;
        if args.batch.json {
            return Err(Failure::usage("--json: standard output is used for the picture; use -o OUT"));
        }
    }
    let formats: Vec<Format> = tasks.iter().filter_map(|task| format_of(&task.output, &args.outputs).ok()).collect();
    args.look.check(&args.model, &formats, args.writing.quality)?;
    let setter = PromptSetter::new(&args.prompt, &upscaler)?;
    left_out.tell();
    results.iter().for_each(|note| tell!("pdn: {note}"));
    Batch { args, upscaler: &upscaler, setter: &setter, tasks, skipped }.run(failed)
}

/// Other programs take the result's name as a second one.
fn check_second_name(args: &Upscale) -> Result<(), Failure> {
    let [_, second] = args.inputs.names.as_slice() else { return Ok(()) };
    let says_where = args.outputs.output.is_some() || args.outputs.out_dir.is_some();
    match says_where || second.symlink_metadata().is_ok() || Format::from_path(second).is_err() {
        true => Ok(()),
        false => Err(Failure::at(
            second,
            format_args!("no such file; to write the result there, use -o {}", second.display()),
        )),
    }
}

/// The standard input is read once.
fn check_standard_input(pictures: &[Input]) -> Result<(), Failure> {
    match pictures.iter().filter(|input| input.path == Path::new(STANDARD)).count() {
        0 | 1 => Ok(()),
        n => Err(Failure::usage(format_args!("- was given {n} times; standard input holds one picture"))),
    }
}

/// The model that was chosen, at its own scale, whatever was chosen: any other size is resized to.
fn compile(choice: &ModelChoice, engine: &EngineChoice) -> Result<Upscaler, Failure> {
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

/// The model that was chosen, which must be of the scale that was.
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

/// As many threads as were asked for.
pub(crate) fn threads(choice: &EngineChoice) -> Result<rayon::ThreadPool, Failure> {
    let count = choice.threads.map_or(0, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(count).build().map_err(Failure::failed)
}

/// Runs on as many threads as were asked for.
pub(crate) fn enlarge<T: Send>(choice: &EngineChoice, run: impl FnOnce() -> T + Send) -> T {
    match threads(choice) {
        Ok(pool) => pool.install(run),
        Err(_) => run(),
    }
}

/// A failure with the picture, or the model, it was met at.
pub(crate) fn failure(path: &Path, error: Error) -> Failure {
    match error {
        Error::Run(RunError::Cancelled) => Failure::interrupted(),
        Error::Size(_) => Failure::usage(error),
        other => Failure::at(path, other),
    }
}

/// Whether both names are one file that is there.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
