//! `pdn upscale`, and the choice of model and engine that `pdn eval` shares.

use crate::args::{EngineChoice, ModelChoice, Upscale};
use crate::failure::Failure;
use crate::model::open_model;
use crate::progress::{Progress, Unfinished};
use crate::prompt::PromptSetter;
use pdn::{
    Error, FileError, Limits, Options, Prompt, Provenance, RowWriter, RunError, Upscaler, WriteOptions, check_target,
};
use std::path::Path;
use std::time::Instant;

/// What bicubic enlarges by when nothing is said.
const BICUBIC_SCALE: usize = 4;

pub(crate) fn run(args: &Upscale) -> Result<(), Failure> {
    if same_file(&args.input, &args.output) {
        return Err(Failure::usage(format_args!("{}: is the input, expected another OUT", args.output.display())));
    }
    let picture = pdn::read(&args.input, &Limits { pixels: args.max_pixels })?;
    let mut upscaler = open(&args.model, &args.engine)?;
    let setter = PromptSetter::new(&args.prompt, &upscaler)?;
    let prompt = match args.region.as_slice() {
        [] => setter.of(&args.input)?,
        parts => setter.within(setter.of(&args.input)?, parts, args.feather)?,
    };
    let header = upscaler.header(&picture).map_err(|error| failure(&args.input, error))?;
    let (width, height) = (header.width, header.height);
    let provenance =
        (!args.strip).then(|| provenance(&args.model, &upscaler, prompt.as_ref(), setter.encoder(prompt.as_ref())));
    let written = WriteOptions { jpeg_quality: args.quality, provenance };
    check_target(&args.output, width, height, picture.has_transparency(), &written)?;
    for lost in &picture.lost {
        eprintln!("pdn: {}: {lost}", args.input.display());
    }
    let start = Instant::now();
    setter.set(&mut upscaler, prompt.as_ref(), &args.input, &picture)?;
    let mut writer = RowWriter::create(&args.output, &header, &written)?;
    let _unfinished = Unfinished::new(writer.unfinished());
    let progress = Progress::new(1);
    let mut show = |done| progress.show(0, done);
    let mut give = |rows: &[u8]| Ok(writer.write_rows(rows)?);
    enlarge(&args.engine, || upscaler.upscale_rows(&picture, &options(&args.engine), &mut show, &mut give)).map_err(
        |stopped| match stopped {
            Stopped::Enlarging(error) => failure(&args.input, error),
            Stopped::Writing(error) => error.into(),
        },
    )?;
    drop(progress);
    writer.finish()?;
    println!(
        "{}: {}x{} to {width}x{height} by {} x{} in {:.2} s{}",
        args.output.display(),
        picture.width(),
        picture.height(),
        args.model.model.display(),
        upscaler.scale(),
        start.elapsed().as_secs_f64(),
        prompt.map_or(String::new(), |prompt| format!("; prompt {prompt}"))
    );
    Ok(())
}

/// Why there is no enlarged picture.
enum Stopped {
    Enlarging(Error),
    Writing(FileError),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Enlarging(error)
    }
}

impl From<FileError> for Stopped {
    fn from(error: FileError) -> Self {
        Self::Writing(error)
    }
}

/// How a picture was made, for its metadata. Of a model's path only the name: folders are nobody's business.
fn provenance(model: &ModelChoice, upscaler: &Upscaler, prompt: Option<&Prompt>, encoder: Option<&str>) -> Provenance {
    let name = model.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut facts = vec![("Model", name), ("Scale", upscaler.scale().to_string())];
    facts.extend(prompt.map(|prompt| ("Prompt", prompt.to_string())));
    facts.extend(encoder.map(|id| ("Encoder", id.to_owned())));
    Provenance { software: concat!("pdn ", env!("CARGO_PKG_VERSION")).into(), facts }
}

/// The model that was chosen.
pub(crate) fn open(choice: &ModelChoice, engine: &EngineChoice) -> Result<Upscaler, Failure> {
    if choice.model == Path::new("bicubic") {
        let scale = choice.scale.unwrap_or(BICUBIC_SCALE);
        return Upscaler::bicubic(scale).map_err(Failure::usage);
    }
    let model = open_model(&choice.model)?;
    let (isa, precision) = engine.target();
    let upscaler = Upscaler::with_precision(&model, isa, precision).map_err(|error| match error {
        Error::Run(RunError::Isa(_)) => Failure::usage(error),
        other => failure(&choice.model, other),
    })?;
    if let Some(scale) = choice.scale.filter(|scale| *scale != upscaler.scale()) {
        let message = format!("{}: enlarges x{}, not x{scale}", choice.model.display(), upscaler.scale());
        return Err(Failure::usage(message));
    }
    Ok(upscaler)
}

pub(crate) fn options(choice: &EngineChoice) -> Options {
    Options { memory: choice.memory.saturating_mul(1 << 20), tile: choice.tile }
}

/// Runs on as many threads as were asked for.
pub(crate) fn enlarge<T: Send>(choice: &EngineChoice, run: impl FnOnce() -> T + Send) -> T {
    let threads = choice.threads.map_or(0, usize::from);
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(run),
        Err(_) => run(),
    }
}

/// A failure with the picture, or the model, it was met at.
pub(crate) fn failure(path: &Path, error: Error) -> Failure {
    match error {
        Error::Run(RunError::Cancelled) => Failure::interrupted(),
        other => Failure::at(path, other),
    }
}

/// Whether both names are one file that is there.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Writes a picture, format and options by its name.
pub(crate) fn write(path: &Path, picture: &pdn::Picture) -> Result<(), FileError> {
    pdn::write(path, picture, &WriteOptions::default())
}
