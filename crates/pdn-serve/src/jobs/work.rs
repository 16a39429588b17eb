//! Workers: threads that take jobs off the queue and run networks on a shared thread pool.

use crate::app::App;
use crate::jobs::account::{HeldPicture, Stage, held};
use crate::jobs::bytes::encoded_bytes;
use crate::jobs::faults::steered;
use crate::jobs::job::{Enlarged, Job, Mask, Shown};
use crate::jobs::notes::notes;
use crate::jobs::preview::{Preview, is_shown};
use crate::jobs::queue::Task;
use crate::jobs::stop::Stop;
use crate::problem::{Kind, Problem, Unit};
use pdn::{
    AnyPicture, FileFault, Format, Header, Map, Options, Picture, Provenance, RowEncoder, Session, Target, Upscaler,
    WriteOptions, encode,
};
use rayon::ThreadPool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// Takes jobs off the queue, one after the other. Workers share the compiled models and the threads.
pub(crate) struct Worker {
    app: Arc<App>,
    pool: Arc<ThreadPool>,
    /// The model of the last job and its session, whose memory serves the next job of the same model. A session that
    /// panicked is not used again.
    session: Option<(usize, Session)>,
}

/// Watches over the time limit and cancellation of some work.
struct Watch<'a> {
    stop: &'a Stop,
    begun: Instant,
    app: &'a App,
}

impl Watch<'_> {
    /// Returns whether to go on.
    fn goes_on(&self) -> bool {
        if self.begun.elapsed() > self.app.settings.time {
            self.stop.now(Kind::TooSlow);
        }
        self.stop.goes_on()
    }

    /// Converts an error to a problem, or says why the work was stopped.
    fn problem(&self, error: Stopped) -> Problem {
        match error {
            Stopped::Enlarging(pdn::Error::Run(pdn::RunError::Cancelled)) => {
                self.stop.problem(self.app.settings.time.as_secs())
            }
            Stopped::Enlarging(error) => error.into(),
            Stopped::Encoding(fault) => fault.into(),
            Stopped::Refused(problem) => problem,
            Stopped::Large => {
                let limit = self.app.settings.keep_memory;
                let why = format_args!("the result has more than {limit} bytes, the limit for kept files");
                Kind::LargeResult.because(why).limited(Unit::Bytes, limit as u64, None)
            }
        }
    }
}

/// Why there is no upscaled picture.
enum Stopped {
    Enlarging(pdn::Error),
    Encoding(FileFault),
    Refused(Problem),
    Large,
}

impl From<pdn::Error> for Stopped {
    fn from(error: pdn::Error) -> Self {
        Self::Enlarging(error)
    }
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<FileFault> for Stopped {
    fn from(fault: FileFault) -> Self {
        Self::Encoding(fault)
    }
}

impl Worker {
    pub(crate) fn new(app: Arc<App>, pool: Arc<ThreadPool>) -> Self {
        Self { app, pool, session: None }
    }

    /// Works until the queue is closed.
    pub(crate) fn run(mut self) {
        while let Some(task) = self.app.clone().queue.take() {
            match task {
                Task::Enlarge(job, held) => self.enlarge(&job, &held),
                Task::Masks { job, picture, stop, answer } => {
                    let picture = &picture.picture;
                    let masks =
                        self.guarded(job.order.model, |worker, session| worker.masks(&job, picture, session, &stop));
                    self.app.queue.finished(&job);
                    let _ = answer.send(masks);
                }
            }
        }
    }

    fn enlarge(&mut self, job: &Job, held: &HeldPicture) {
        let begun = job.begin();
        let outcome = self.guarded(job.order.model, |worker, session| {
            let watch = Watch { stop: &job.stop, begun, app: &worker.app };
            worker.enlarged(job, held, session, &watch).map_err(|error| watch.problem(error))
        });
        job.finish(outcome);
        let status = job.status();
        let pixels = status.result.as_ref().map_or(0, |_| job.order.output.0 * job.order.output.1);
        self.app.metrics.ended(status.state.word(), pixels);
        self.app.queue.finished(job);
        self.app.store.tidy();
        let (job, state, seconds) = (job.id, status.state.word(), begun.elapsed().as_secs_f64());
        tracing::info!(%job, state, seconds, pixels, "job");
    }

    /// Runs work with a model; a panic becomes an error and does not end the worker.
    fn guarded<T>(
        &mut self,
        model: usize,
        work: impl FnOnce(&Self, &mut Session) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let ready = self.session.take().filter(|(of, _)| *of == model).map(|(_, session)| session);
        let guarded = catch_unwind(AssertUnwindSafe(|| {
            let mut session = match ready {
                Some(session) => session,
                None => self.app.models.upscaler(model)?.session(),
            };
            let outcome = work(self, &mut session);
            Ok((session, outcome))
        }));
        match guarded {
            Ok(Ok((session, outcome))) => {
                self.session = Some((model, session));
                outcome
            }
            Ok(Err::<_, pdn::Error>(error)) => Err(error.into()),
            Err(_) => Err(Kind::Internal.because("the job crashed; see the server's log")),
        }
    }

    /// Returns the bytes needed to upscale a picture, beside the picture, the network's maps and the file.
    fn beside(
        &self,
        picture: &AnyPicture,
        (upscaler, target): (&Upscaler, &Target),
        header: &Header,
        format: Format,
    ) -> Result<usize, pdn::Error> {
        let pixels = header.width.saturating_mul(header.height);
        let samples = header.row_bytes().saturating_mul(header.height);
        let gathered = match format {
            Format::Png | Format::Tiff => 0,
            // These encoders need the whole picture, hold it as four samples per pixel, and their output is not much
            // larger.
            _ => encoded_bytes(samples).saturating_mul(2).saturating_add(pixels.saturating_mul(4)),
        };
        let preview = if is_shown(header.width, header.height) { 0 } else { Preview::MEMORY };
        let enlarging = upscaler.memory_beside_maps(picture, target, &self.options())?;
        Ok(enlarging.saturating_add(gathered).saturating_add(preview))
    }

    fn options(&self) -> Options {
        Options { memory: self.app.settings.memory, tile: None }
    }

    fn enlarged(&self, job: &Job, of: &HeldPicture, session: &mut Session, watch: &Watch) -> Result<Enlarged, Stopped> {
        let picture = &*of.picture;
        job.note(self.pool.install(|| notes(&job.order, session.upscaler(), picture)));
        let encoder = &self.app.encoder;
        let prompting = Instant::now();
        self.pool.install(|| session.set_prompt(&job.order.prompt, encoder, &picture.eight()))?;
        let steered = self.pool.install(|| steered(session.upscaler(), &job.order.prompt, encoder, of))?;
        job.prompted(prompting.elapsed(), steered);
        let (format, quality) = (job.order.format, job.order.quality);
        let provenance = Some(provenance(job, encoder.id()));
        let written = WriteOptions { quality: format.quality(quality), provenance };
        let target = target(job, picture, format.format());
        let header = session.upscaler().header_for(picture, &target)?;
        let mut share = self.app.account.nothing();
        let beside = self.beside(picture, (session.upscaler(), &target), &header, format.format())?;
        self.app.grow_for_work(&mut share, beside, || watch.goes_on())?;
        let mut file = RowEncoder::new(format.format(), &header, &written)?;
        let mut preview = Preview::of(&header)?;
        let mut progress = |done| {
            job.progress(done);
            watch.goes_on()
        };
        let limit = self.app.settings.keep_memory;
        let mut give = |rows: &[u8]| match file.encoded() {
            size if size > limit => Err(Stopped::Large),
            size => {
                // Two copies exist while the file grows.
                let needed = beside.saturating_add(size.saturating_mul(2)).saturating_add(rows.len());
                self.app.grow_for_work(&mut share, needed, || watch.goes_on())?;
                preview.as_mut().map_or(Ok(()), |preview| preview.rows(rows))?;
                Ok(file.write_rows(rows)?)
            }
        };
        self.pool.install(|| session.upscale_rows_to(picture, &target, &self.options(), &mut progress, &mut give))?;
        let preview = preview.map(Preview::finish).transpose()?;
        let preview = preview.map(|(width, height, file)| -> Result<Shown, Stopped> {
            let share = self.app.share(file.len(), Stage::Working)?;
            Ok(Shown { width, height, file: held(file, share) })
        });
        let (preview, file) = (preview.transpose()?, file.finish()?);
        if file.len() > limit {
            return Err(Stopped::Large);
        }
        self.app.grow(&mut share, file.len(), Stage::Working)?;
        Ok(Enlarged { file: held(file, share), preview })
    }

    fn masks(&self, job: &Job, picture: &AnyPicture, session: &mut Session, stop: &Stop) -> Result<Vec<Mask>, Problem> {
        let watch = Watch { stop, begun: Instant::now(), app: &self.app };
        let picture = picture.eight();
        let mut masks = || -> Result<Vec<Mask>, Stopped> {
            // The numbers of each mask, and one of them as a picture.
            let pixels = picture.width().saturating_mul(picture.height());
            let numbers = session.upscaler().mask_count().saturating_mul(4).saturating_add(8);
            let mut room = self.app.account.nothing();
            self.app.grow_for_work(&mut room, pixels.saturating_mul(numbers), || watch.goes_on())?;
            self.pool.install(|| session.set_prompt(&job.order.prompt, &self.app.encoder, &picture))?;
            let found = self.pool.install(|| session.masks(&picture, &self.options(), &mut |_| watch.goes_on()))?;
            found.into_iter().map(|(name, map)| self.mask(&name, &map)).collect()
        };
        masks().map_err(|error| watch.problem(error))
    }

    /// Converts a mask to a grey picture: black is its least value, white its largest.
    fn mask(&self, name: &str, map: &Map<f32>) -> Result<Mask, Stopped> {
        let (low, high) = map.data.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let level = |v: &f32| if high > low { ((v - low) / (high - low) * 255.0).round() as u8 } else { 128 };
        let mut picture =
            Picture::from_rgb(map.width, map.height, map.data.iter().flat_map(|v| [level(v); 3]).collect());
        picture.grey = true;
        let mean = map.data.iter().map(|v| f64::from(*v)).sum::<f64>() / map.data.len() as f64;
        let png = encode(&picture, Format::Png, &WriteOptions::default())?;
        let share = self.app.share(png.len(), Stage::Working)?;
        Ok(Mask {
            name: name.strip_suffix(".mask").unwrap_or(name).to_owned(),
            width: map.width,
            height: map.height,
            range: (low, high),
            mean: mean as f32,
            png: held(png, share),
        })
    }
}

/// Returns the target of a job. 16 bits stay 16 if the format has them.
fn target(job: &Job, picture: &AnyPicture, format: Format) -> Target {
    let depth = Some(picture.header().depth.min(format.depth()));
    Target { size: job.order.sizing, depth, ..Target::default() }
}

/// Returns how a job's picture is made, for its metadata.
pub(crate) fn provenance(job: &Job, encoder: &str) -> Provenance {
    let order = &job.order;
    let mut facts = Vec::new();
    let runs_network = order.is_network && order.is_larger();
    match runs_network {
        true => facts.extend([("Model", order.model_name.clone()), ("Scale", order.scale.to_string())]),
        false => facts.push(("Model", "bicubic".into())),
    }
    if runs_network && order.takes_prompt {
        facts.extend([("Prompt", order.prompt.to_string()), ("Encoder", encoder.to_owned())]);
        let steered = job.status().steered.filter(|steered| steered.regions.is_empty());
        facts.extend(steered.map(|steered| ("Faults", steered.rest.words().to_owned())));
    }
    Provenance { software: concat!("pdn ", env!("CARGO_PKG_VERSION")).into(), facts }
}
