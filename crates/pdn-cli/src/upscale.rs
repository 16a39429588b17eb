//! `pdn upscale`, and the choice of model and engine that `pdn eval` shares.

use crate::args::{EngineChoice, ModelChoice, Upscale};
use crate::failure::Failure;
use crate::model::open_model;
use crate::progress::{Progress, Unfinished};
use crate::prompt::PromptSetter;
use pdn::{
    Error, FileError, Format, Header, Limits, Options, Prompt, Provenance, RowWriter, RunError, Upscaler, WriteOptions,
    check_target,
};
use std::path::Path;
use std::time::Instant;

/// What bicubic enlarges by when nothing is said.
const BICUBIC_SCALE: usize = 4;

pub(crate) fn run(args: &Upscale) -> Result<(), Failure> {
    if same_file(&args.input, &args.output) {
        return Err(Failure::usage(format_args!("{}: is the input, expected another OUT", args.output.display())));
    }
    let format = Format::from_path(&args.output)?;
    args.look.check(&args.model, format, args.quality)?;
    let picture = pdn::read_any(&args.input, &Limits { pixels: args.max_pixels })?;
    let mut upscaler = open_at_own_scale(&args.model, &args.engine)?;
    let setter = PromptSetter::new(&args.prompt, &upscaler)?;
    let prompt = match args.region.as_slice() {
        [] => setter.of(&args.input)?,
        parts => setter.within(setter.of(&args.input)?, parts, args.feather)?,
    };
    let target = args.look.target(&args.model, &args.input, &picture, format);
    let header = upscaler.header_for(&picture, &target).map_err(|error| failure(&args.input, error))?;
    let header = Header { exif: header.exif.filter(|_| !args.strip), ..header };
    let runs = upscaler.runs_network(&picture, &target).map_err(|error| failure(&args.input, error))?;
    let how = how(args, &upscaler, runs, (picture.width(), picture.height()), (header.width, header.height));
    let (width, height) = (header.width, header.height);
    let provenance =
        (!args.strip).then(|| provenance(args, &upscaler, runs, prompt.as_ref(), setter.encoder(prompt.as_ref())));
    let quality = args.quality.unwrap_or(WriteOptions::default().jpeg_quality);
    let written = WriteOptions { jpeg_quality: quality, provenance };
    check_target(&args.output, width, height, picture.has_transparency(), &written)?;
    for lost in picture.lost() {
        eprintln!("pdn: {}: {lost}", args.input.display());
    }
    let start = Instant::now();
    setter.set(&mut upscaler, prompt.as_ref(), &args.input, &picture.eight())?;
    let mut writer = RowWriter::create(&args.output, &header, &written)?;
    let _unfinished = Unfinished::new(writer.unfinished());
    let progress = Progress::new(1);
    let mut show = |done| progress.show(0, done);
    let mut give = |rows: &[u8]| Ok(writer.write_rows(rows)?);
    let options = options(&args.engine);
    enlarge(&args.engine, || upscaler.upscale_rows_to(&picture, &target, &options, &mut show, &mut give)).map_err(
        |stopped| match stopped {
            Stopped::Enlarging(error) => failure(&args.input, error),
            Stopped::Writing(error) => error.into(),
        },
    )?;
    drop(progress);
    writer.finish()?;
    println!(
        "{}: {}x{} to {width}x{height} by {how} in {:.2} s{}",
        args.output.display(),
        picture.width(),
        picture.height(),
        start.elapsed().as_secs_f64(),
        prompt.map_or(String::new(), |prompt| format!("; prompt {prompt}"))
    );
    Ok(())
}

/// By what a picture becomes so large.
fn how(args: &Upscale, upscaler: &Upscaler, runs: bool, from: (usize, usize), to: (usize, usize)) -> String {
    let (model, scale) = (args.model.model.display(), upscaler.scale());
    match (args.model.is_bicubic(), runs) {
        (true, _) => "bicubic".into(),
        (false, false) => format!("bicubic, as {model} makes pictures larger only"),
        (false, true) => {
            let resized = if to == (from.0 * scale, from.1 * scale) { "" } else { ", resized by bicubic" };
            format!("{model} x{scale}{}{resized}", args.look.extras.words())
        }
    }
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
fn provenance(
    args: &Upscale,
    upscaler: &Upscaler,
    runs: bool,
    prompt: Option<&Prompt>,
    encoder: Option<&str>,
) -> Provenance {
    let name = args.model.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut facts = vec![("Model", if runs { name } else { "bicubic".into() })];
    if runs {
        facts.push(("Scale", upscaler.scale().to_string()));
        facts.extend(prompt.map(|prompt| ("Prompt", prompt.to_string())));
        facts.extend(encoder.map(|id| ("Encoder", id.to_owned())));
        facts.extend(args.look.extras.self_ensemble.then(|| ("SelfEnsemble", "8".into())));
        facts.extend(args.look.extras.color_fix.then(|| ("ColorFix", "low frequencies".into())));
    }
    Provenance { software: concat!("pdn ", env!("CARGO_PKG_VERSION")).into(), facts }
}

/// The model that was chosen, which must be of the scale that was.
pub(crate) fn open(choice: &ModelChoice, engine: &EngineChoice) -> Result<Upscaler, Failure> {
    if choice.is_bicubic() {
        let scale = choice.scale.unwrap_or(BICUBIC_SCALE as f64);
        // What is no whole number becomes 0, which is refused.
        return Upscaler::bicubic(if scale.fract() == 0.0 { scale as usize } else { 0 }).map_err(Failure::usage);
    }
    let upscaler = open_at_own_scale(choice, engine)?;
    if let Some(scale) = choice.scale.filter(|scale| *scale != upscaler.scale() as f64) {
        let message = format!("{}: enlarges x{}, not x{scale}", choice.model.display(), upscaler.scale());
        return Err(Failure::usage(message));
    }
    Ok(upscaler)
}

/// The model that was chosen, at its own scale, whatever was.
fn open_at_own_scale(choice: &ModelChoice, engine: &EngineChoice) -> Result<Upscaler, Failure> {
    if choice.is_bicubic() {
        return Upscaler::bicubic(BICUBIC_SCALE).map_err(Failure::usage);
    }
    let model = open_model(&choice.model)?;
    let (isa, precision) = engine.target();
    Upscaler::with_precision(&model, isa, precision).map_err(|error| match error {
        Error::Run(RunError::Isa(_)) => Failure::usage(error),
        other => failure(&choice.model, other),
    })
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
        Error::Size(_) => Failure::usage(error),
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
