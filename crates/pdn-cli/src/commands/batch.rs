//! Upscaling of one picture or thousands: each is read, prompted, run and written, several at a time.
//!
//! All pictures in progress share one thread pool: while one is read or written its threads help the others, and the
//! last picture has them all. Memory is divided between them.

use crate::args::Upscale;
use crate::display::progress::{Pixels, Share, interrupted, last_words};
use crate::display::say::{shown, tell};
use crate::shared::atomic_file::{Placed, folder_of, remove_abandoned, taken};
use crate::shared::engine::{failure, options, threads};
use crate::shared::failure::Failure;
use crate::shared::folder::{make_folder, report};
use crate::shared::inputs::{STANDARD, read};
use crate::shared::outputs::{Task, format_of};
use crate::shared::prompt::{PromptSetter, content, words};
use crate::shared::sink::Sink;
use pdn::{AnyPicture, Error, Header, Limits, Options, Prompt, Provenance, Session, Upscaler, WriteOptions};
use rayon::ThreadPool;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The default limit of pictures at a time: each has its share of the memory.
const JOBS: usize = 4;

/// Pictures to upscale with one model.
pub(crate) struct Batch<'a> {
    pub(crate) args: &'a Upscale,
    pub(crate) upscaler: &'a Upscaler,
    pub(crate) setter: &'a PromptSetter,
    pub(crate) tasks: Vec<Task>,
    pub(crate) skipped: Vec<Task>,
}

/// An upscaled picture.
struct Enlarged {
    from: (usize, usize),
    to: (usize, usize),
    /// Whether the network ran.
    runs: bool,
    /// What upscaled it: the model, and the extra steps.
    how: String,
    /// The network's scale if it ran, or bicubic's if it is a whole number.
    scale: Option<usize>,
    seconds: f64,
    /// The prompt in words.
    prompt: Option<String>,
    /// The faults that the model was steered by.
    faults: Option<String>,
    /// What the file has and the result does not.
    notes: Vec<String>,
}

/// The outcome for one picture.
enum Outcome {
    Made(Enlarged),
    /// Another command created the result meanwhile, and `--skip-existing` leaves it.
    WasThere,
}

/// The state that all pictures in progress share.
struct Shared<'a> {
    pool: ThreadPool,
    options: Options,
    progress: &'a Pixels,
    /// The estimated pixels of each picture.
    pixels: Vec<u64>,
    /// The number of pictures named in all.
    of: usize,
    next: AtomicUsize,
    done: AtomicUsize,
    /// Results that others created meanwhile.
    there: AtomicUsize,
    failed: Mutex<Vec<(usize, Failure)>>,
    /// Whether to start nothing more, because nobody reads the output any more.
    stopped: AtomicBool,
    unheard: Mutex<Option<Failure>>,
    /// Whether the warning that the model does not suit such pictures was printed: once is enough.
    advised: AtomicBool,
}

impl Batch<'_> {
    /// Upscales all pictures; `failed` holds earlier failures. All failures are listed at the end.
    pub(crate) fn run(&self, failed: Vec<Failure>) -> Result<(), Failure> {
        let of = self.tasks.len() + self.skipped.len() + failed.len();
        for failure in &failed {
            self.say_json(|| json!({"error": failure.message}))?;
        }
        for task in &self.skipped {
            self.say_json(|| skipped(task))?;
        }
        self.prepare_folders()?;
        let start = Instant::now();
        let pixels: Vec<u64> = self.tasks.iter().map(|task| pixels(&task.input, self.args.inputs.max_pixels)).collect();
        let pool = threads(&self.args.engine)?;
        let jobs = self.args.batch.jobs.map_or(pool.current_num_threads().min(JOBS), usize::from);
        let jobs = jobs.min(self.tasks.len()).max(1);
        let Options { memory, tile } = options(&self.args.engine);
        let progress = Pixels::new(pixels.iter().sum());
        let shared = Shared {
            pool,
            options: Options { memory: memory / jobs, tile },
            progress: &progress,
            pixels,
            of,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            there: AtomicUsize::new(self.skipped.len()),
            failed: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
            unheard: Mutex::new(None),
            advised: AtomicBool::new(false),
        };
        prepare_last_words(&shared);
        std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(|| self.work(&shared)))));
        let Shared { done, there, failed: mut late, mut unheard, .. } = shared;
        drop(progress);
        let (done, there) = (done.into_inner(), there.into_inner());
        let late = late.get_mut().unwrap_or_else(PoisonError::into_inner);
        late.sort_by_key(|(at, _)| *at);
        let failed: Vec<Failure> = failed.into_iter().chain(late.drain(..).map(|(_, failure)| failure)).collect();
        match unheard.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) if !interrupted() => {
                let _ = report(&failed, of);
                Err(Failure::failed(format_args!("{}; {}", failure.message, so_far(done + there, of))))
            }
            _ => self.end((done, there), of, failed, start),
        }
    }

    /// Prints the summary: how many results there are, or why some are missing.
    fn end(
        &self,
        (done, there): (usize, usize),
        of: usize,
        mut failed: Vec<Failure>,
        start: Instant,
    ) -> Result<(), Failure> {
        if interrupted() {
            failed.retain(|failure| failure.code != Failure::INTERRUPTED);
            let _ = report(&failed, of);
            return Err(match (done, of) {
                (0, 1) => Failure::interrupted(),
                _ => {
                    Failure { message: format!("interrupted; {}", so_far(done + there, of)), ..Failure::interrupted() }
                }
            });
        }
        match (of, failed.pop()) {
            (1, Some(failure)) => Err(failure),
            (_, last) => {
                failed.extend(last);
                if !self.args.batch.json && (of > 1 || there > 0) {
                    let seconds = start.elapsed().as_secs_f64();
                    let there = if there > 0 { format!(", {there} skipped") } else { String::new() };
                    self.say(&format!("{done} of {of} pictures upscaled in {seconds:.1} s{there}"))?;
                }
                report(&failed, of)
            }
        }
    }

    /// Creates the output folder, and cleans existing ones of what a killed run left.
    fn prepare_folders(&self) -> Result<(), Failure> {
        if let Some(folder) = &self.args.outputs.out_dir {
            make_folder(folder)?;
        }
        let folders: BTreeSet<_> = self.tasks.iter().map(|task| folder_of(&task.output)).collect();
        folders.iter().for_each(|folder| remove_abandoned(folder));
        Ok(())
    }

    /// Upscales one picture after the other until none is left.
    fn work(&self, shared: &Shared) {
        let mut session = None;
        // The current prompt, if it is the same for all pictures.
        let mut set = None;
        loop {
            let at = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = self.tasks.get(at) else { return };
            if interrupted() || shared.stopped.load(Ordering::Relaxed) {
                return;
            }
            shared.progress.say(format!("{}/{}", at + 1, self.tasks.len()));
            let mut share = shared.progress.picture(shared.pixels[at]);
            // What a panic leaves half done is discarded: the session, its prompt, the temporary file.
            let (mut ready, mut before) = (session.take().unwrap_or_else(|| self.upscaler.session()), set.take());
            let found = guarded(&task.input, || {
                let found = self.enlarge(&mut ready, &mut before, task, shared, &mut share);
                (found, ready, before)
            });
            let found = found.and_then(|(found, ready, prompt)| {
                (session, set) = (Some(ready), prompt);
                found
            });
            drop(share);
            let said = shared.progress.suspend(|| self.tell(task, &found));
            match found {
                Ok(outcome) => {
                    let count = if matches!(outcome, Outcome::Made(_)) { &shared.done } else { &shared.there };
                    count.fetch_add(1, Ordering::Relaxed);
                    prepare_last_words(shared);
                }
                Err(failure) => lock(&shared.failed).push((at, failure)),
            }
            // If nobody reads the output any more, stop.
            if let Err(failure) = said {
                lock(&shared.unheard).get_or_insert(failure);
                shared.stopped.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Upscales one picture, from its file to its target.
    fn enlarge(
        &self,
        session: &mut Session,
        set: &mut Option<Prompt>,
        task: &Task,
        shared: &Shared,
        share: &mut Share,
    ) -> Result<Outcome, Failure> {
        let (args, setter, Task { input, output }) = (self.args, self.setter, task);
        let upscaler = self.upscaler;
        let skips = args.outputs.skip_existing;
        if skips && output != Path::new(STANDARD) && output.symlink_metadata().is_ok() {
            return Ok(Outcome::WasThere);
        }
        let picture = read(input, &Limits { pixels: args.inputs.max_pixels, ..Limits::default() })?;
        share.has((picture.width() * picture.height()) as u64);
        let prompt = match args.parts.is_empty() {
            true => setter.of(input)?,
            false => setter.within(setter.of(input)?, &args.parts)?,
        };
        let format = format_of(output, &args.outputs)?;
        // Printed with the result: before an error they would be beside the point.
        let mut notes: Vec<String> = picture.lost().iter().map(|lost| (*lost).to_owned()).collect();
        let target = args.look.target(&args.model, &picture, format, &mut |what| notes.push(what.to_owned()));
        let header = upscaler.header_for(&picture, &target).map_err(|error| failure(input, error))?;
        let header = Header { exif: header.exif.filter(|_| !args.writing.strip), ..header };
        let runs = upscaler.runs_network(&picture, &target).map_err(|error| failure(input, error))?;
        // Without the network, no prompt is used.
        let prompt = prompt.filter(|_| runs);
        let faults = match upscaler.hears_faults() {
            true => setter.faults(upscaler, prompt.as_ref(), input, &picture.eight())?,
            false => None,
        };
        let provenance = (!args.writing.strip).then(|| self.provenance(runs, prompt.as_ref(), faults.as_deref()));
        let written = WriteOptions { quality: args.writing.quality, provenance };
        if args.outputs.out_dir.is_some() {
            make_folder(&folder_of(output))?;
        }
        let (from, to) = ((picture.width(), picture.height()), (header.width, header.height));
        let mut sink = Sink::create(output, format, &header, picture.has_transparency(), &written)?;
        let start = Instant::now();
        if runs && (set.is_none() || *set != prompt) {
            setter.set(session, prompt.as_ref(), input, &picture.eight())?;
            *set = prompt.clone().filter(|prompt| !upscaler.reads_picture(prompt));
        }
        if runs {
            self.advise(&picture, shared, input);
        }
        let mut show = |done| share.show(done);
        let mut give = |rows: &[u8]| Ok(sink.write_rows(rows)?);
        let run = || session.upscale_rows_to(&picture, &target, &shared.options, &mut show, &mut give);
        shared.pool.install(run).map_err(|stopped| match stopped {
            Stopped::Enlarging(error) => failure(input, error),
            Stopped::Writing(failure) => failure,
        })?;
        match sink.finish(args.outputs.force)? {
            Placed::There => {}
            Placed::Taken if skips => return Ok(Outcome::WasThere),
            Placed::Taken => return Err(taken(output)),
        }
        share.show(1.0);
        let how = self.how(runs, from, to);
        let prompt = prompt.as_ref().map(content).filter(|prompt| **prompt != Prompt::None).map(Prompt::to_string);
        let seconds = start.elapsed().as_secs_f64();
        let scale = upscaler.scale();
        let scale = (runs || to == (from.0 * scale, from.1 * scale)).then_some(scale);
        Ok(Outcome::Made(Enlarged { from, to, runs, how, scale, seconds, prompt, faults, notes }))
    }

    /// Warns once if the model does not seem to suit such pictures.
    fn advise(&self, picture: &AnyPicture, shared: &Shared, input: &Path) {
        if shared.advised.load(Ordering::Relaxed) {
            return;
        }
        if let Some(advice) = self.upscaler.advice(picture)
            && !shared.advised.swap(true, Ordering::Relaxed)
        {
            shared.progress.suspend(|| tell!("pdn: {}: {advice}", input.display()));
        }
    }

    /// Returns what turns a picture of one size into the other.
    fn how(&self, runs: bool, from: (usize, usize), to: (usize, usize)) -> String {
        let (model, scale) = (called(self.args.model.model()), self.upscaler.scale());
        match (self.args.model.is_bicubic(), runs) {
            (true, _) => "bicubic".into(),
            (false, false) => format!("bicubic ({model} only upscales)"),
            (false, true) => {
                let resized = if to == (from.0 * scale, from.1 * scale) { "" } else { " and resized" };
                format!("{model}{}{resized}", self.args.look.extras.words())
            }
        }
    }

    /// Returns how a picture was made, for its metadata. Only the file name of the model's path is stored: folders are
    /// private.
    fn provenance(&self, runs: bool, prompt: Option<&Prompt>, faults: Option<&str>) -> Provenance {
        let name = called(self.args.model.model());
        let mut facts = vec![("Model", if runs { name } else { "bicubic".into() })];
        if runs {
            let extras = self.args.look.extras;
            facts.push(("Scale", self.upscaler.scale().to_string()));
            facts.extend(prompt.map(|prompt| ("Prompt", words(self.upscaler, prompt))));
            facts.extend(faults.map(|faults| ("Faults", faults.to_owned())));
            facts.extend(self.setter.encoder(prompt).map(|id| ("Encoder", id.to_owned())));
            facts.extend(extras.self_ensemble.then(|| ("SelfEnsemble", "8".into())));
            facts.extend(extras.color_fix.then(|| ("ColorFix", "low frequencies".into())));
        }
        Provenance { software: concat!("pdn ", env!("CARGO_PKG_VERSION")).into(), facts }
    }

    /// Reports the outcome for one picture; people see failures at the end.
    fn tell(&self, task: &Task, found: &Result<Outcome, Failure>) -> Result<(), Failure> {
        let Task { input, output } = task;
        if let Ok(Outcome::Made(made)) = found {
            made.notes.iter().for_each(|note| tell!("pdn: {}: {note}", input.display()));
        }
        match found {
            Ok(Outcome::WasThere) => self.say_json(|| skipped(task)),
            Ok(Outcome::Made(made)) if !self.args.batch.json => self.say(&format!(
                "{}: {}x{} to {}x{} by {} in {:.2} s{}{}",
                if output == Path::new(STANDARD) { "standard output".into() } else { output.to_string_lossy() },
                made.from.0,
                made.from.1,
                made.to.0,
                made.to.1,
                made.how,
                made.seconds,
                made.prompt.as_ref().map_or(String::new(), |prompt| format!("; prompt {prompt}")),
                made.faults.as_ref().map_or(String::new(), |faults| format!("; faults {faults}"))
            )),
            Ok(Outcome::Made(made)) => self.say_json(|| {
                json!({
                    "input": name(input),
                    "output": name(output),
                    "width": made.from.0,
                    "height": made.from.1,
                    "output_width": made.to.0,
                    "output_height": made.to.1,
                    "model": if made.runs { self.args.model.model() } else { Path::new("bicubic") }.display().to_string(),
                    "scale": made.scale,
                    "seconds": made.seconds,
                    "prompt": made.prompt,
                    "faults": made.faults,
                })
            }),
            Err(failure) => {
                self.say_json(|| json!({"input": name(input), "output": name(output), "error": failure.message}))
            }
        }
    }

    fn say_json(&self, line: impl FnOnce() -> Value) -> Result<(), Failure> {
        match self.args.batch.json {
            true => self.say_safe(&line().to_string()),
            false => Ok(()),
        }
    }

    fn say(&self, line: &str) -> Result<(), Failure> {
        self.say_safe(&shown(line))
    }

    /// Writes a line to standard output, or to standard error if standard output receives the picture.
    fn say_safe(&self, line: &str) -> Result<(), Failure> {
        if self.tasks.iter().any(|task| task.output == Path::new(STANDARD)) {
            tell!("{line}");
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let said = writeln!(out, "{line}").and_then(|()| out.flush());
        said.map_err(|error| Failure::failed(format_args!("standard output: {error}")))
    }
}

/// The reason why there is no result.
enum Stopped {
    Enlarging(Error),
    Writing(Failure),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Enlarging(error)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Writing(failure)
    }
}

/// The message for a picture that makes the program panic.
const BROKE: &str = "pdn crashed on this picture, which is a bug: please report it and attach the picture";

/// Runs the work on a picture and turns a panic into a failure that names the picture, so that it does not end the
/// others.
fn guarded<T>(input: &Path, work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Failure::at(input, BROKE))
}

/// Sets the message of an interrupt that cannot wait for the end.
fn prepare_last_words(shared: &Shared) {
    if shared.of > 1 {
        let whole = shared.done.load(Ordering::Relaxed) + shared.there.load(Ordering::Relaxed);
        last_words(format!("interrupted; {}", so_far(whole, shared.of)));
    }
}

/// Returns how many pictures are complete, and how to get the others.
fn so_far(whole: usize, of: usize) -> String {
    format!("{whole} of {of} pictures are complete; to continue, run the same command with --skip-existing")
}

/// Returns the output line for a picture whose result exists.
fn skipped(Task { input, output }: &Task) -> Value {
    json!({"input": name(input), "output": name(output), "skipped": true})
}

/// Returns the name of a model: only the file name of a path.
fn called(model: &Path) -> String {
    model.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// How many bytes of a file to search for its header.
const HEAD: u64 = 1 << 20;

/// Returns the pixels that a picture's header states, or 0 if it states none or more than the limit.
fn pixels(path: &Path, limit: u64) -> u64 {
    let mut head = Vec::new();
    // A pipe's header cannot be read in advance. Read a file's in one go: many pieces of metadata may precede it.
    let file = pdn::file::open(path).ok();
    let read = file.and_then(|file| file.take(HEAD).read_to_end(&mut head).ok());
    let size = read.and_then(|_| imagesize::blob_size(&head).ok());
    let size = size.map_or(0, |size| (size.width as u64).saturating_mul(size.height as u64));
    if size > limit { 0 } else { size }
}

fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_names_its_picture_and_ends_nothing() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let path = Path::new("in/broken.png");
        let failure = guarded(path, || pool.install(|| [1][std::hint::black_box(2)])).unwrap_err();
        assert!(failure.code == 1 && failure.message.starts_with("in/broken.png: pdn crashed"), "{failure:?}");
        assert_eq!(guarded(path, || pool.install(|| 3)).unwrap(), 3);
    }
}
