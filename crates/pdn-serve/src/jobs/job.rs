//! A job: a picture to upscale, its progress, and its result.

use crate::http::request::FileFormat;
use crate::jobs::account::{HeldPicture, Share};
use crate::jobs::faults::{FaultsView, Steered};
use crate::jobs::sizing;
use crate::jobs::stop::Stop;
use crate::problem::{Kind, Problem};
use axum::body::Bytes;
use pdn::Prompt;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, watch};
use utoipa::ToSchema;
use uuid::Uuid;

/// A validated request.
#[derive(Debug)]
pub(crate) struct Order {
    /// The model's index.
    pub(crate) model: usize,
    pub(crate) model_name: String,
    /// The model's scale, and whether it takes a prompt.
    pub(crate) scale: usize,
    pub(crate) takes_prompt: bool,
    /// Whether it is a network, not bicubic.
    pub(crate) is_network: bool,
    /// The id under which the picture is kept, if it is.
    pub(crate) picture: Uuid,
    /// Width and height of the picture.
    pub(crate) size: (usize, usize),
    /// The requested size.
    pub(crate) sizing: pdn::Size,
    /// Width and height of the result, and its bytes per pixel.
    pub(crate) output: (usize, usize),
    pub(crate) sample_bytes: usize,
    pub(crate) prompt: Prompt,
    pub(crate) format: FileFormat,
    pub(crate) quality: u8,
    /// The shares of its texts and of its prompts' pictures.
    pub(crate) shares: Vec<Arc<Share>>,
}

impl Order {
    /// Returns the bytes held for the order, beside its picture.
    pub(crate) fn bytes(&self) -> usize {
        self.shares.iter().map(|share| share.bytes()).sum()
    }

    /// Returns whether the picture grows on a side; otherwise it is resized without the network.
    pub(crate) fn is_larger(&self) -> bool {
        self.output.0 > self.size.0 || self.output.1 > self.size.1
    }

    /// Returns the requested size as a word, for file names.
    pub(crate) fn size_word(&self) -> String {
        sizing::word(self.sizing, self.scale, self.output)
    }
}

/// An order that is ready to become a job, and its picture.
pub(crate) struct Prepared {
    pub(crate) order: Order,
    pub(crate) picture: HeldPicture,
}

/// A picture to upscale, its progress, and its result.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) order: Order,
    pub(crate) stop: Arc<Stop>,
    /// The masks, once requested.
    pub(crate) masks: OnceCell<Vec<Mask>>,
    made: Instant,
    /// Whether the result has been requested.
    fetched: AtomicBool,
    status: watch::Sender<Status>,
}

/// The mask of a module, as a grey picture.
#[derive(Debug)]
pub(crate) struct Mask {
    pub(crate) name: String,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// The mask values of black and white.
    pub(crate) range: (f32, f32),
    pub(crate) mean: f32,
    /// The PNG file.
    pub(crate) png: Bytes,
}

/// The status of a job.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// The fraction done, 0 to 1.
    pub(crate) done: f64,
    started: Option<Instant>,
    ended: Option<Instant>,
    /// How long setting the prompt took.
    prompt: Option<Duration>,
    /// The faults that the model is steered by, if it is, available once the prompt is set.
    pub(crate) steered: Option<Steered>,
    /// Notes for the user, available once the job runs.
    notes: Vec<String>,
    /// The upscaled picture's file.
    pub(crate) result: Option<Bytes>,
    /// A smaller picture, if browsers cannot show the result.
    pub(crate) preview: Option<Shown>,
    pub(crate) problem: Option<Problem>,
}

/// A picture for browsers.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) file: Bytes,
}

/// The result of a job.
#[derive(Debug)]
pub(crate) struct Enlarged {
    pub(crate) file: Bytes,
    pub(crate) preview: Option<Shown>,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It waits for its turn.
    Queued,
    /// It is running.
    Running,
    /// The upscaled picture is ready.
    Done,
    /// It failed: `problem` says why.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl State {
    /// Returns whether the state can no longer change.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Returns the state as a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The number of progress steps that are reported; networks report thousands.
const STEPS: f64 = 200.0;

impl Job {
    pub(crate) fn new(order: Order) -> Arc<Self> {
        let (state, done) = (State::Queued, 0.0);
        let status = Status {
            state,
            done,
            started: None,
            ended: None,
            prompt: None,
            steered: None,
            notes: Vec::new(),
            result: None,
            preview: None,
            problem: None,
        };
        Arc::new(Self {
            id: Uuid::new_v4(),
            order,
            stop: Arc::default(),
            masks: OnceCell::new(),
            made: Instant::now(),
            fetched: AtomicBool::new(false),
            status: watch::Sender::new(status),
        })
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Subscribes to changes of the status.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Waits for the final status.
    pub(crate) async fn end(&self) -> Status {
        match self.watch().wait_for(|status| status.state.is_final()).await {
            Ok(status) => status.clone(),
            Err(_) => self.status(),
        }
    }

    pub(crate) fn begin(&self) -> Instant {
        let now = Instant::now();
        self.status.send_modify(|status| (status.state, status.started) = (State::Running, Some(now)));
        now
    }

    pub(crate) fn prompted(&self, took: Duration, steered: Option<Steered>) {
        self.status.send_modify(|status| (status.prompt, status.steered) = (Some(took), steered));
    }

    pub(crate) fn note(&self, notes: Vec<String>) {
        self.status.send_modify(|status| status.notes = notes);
    }

    pub(crate) fn progress(&self, done: f64) {
        self.status.send_if_modified(|status| {
            let moved = done - status.done >= 1.0 / STEPS;
            status.done = if moved { done } else { status.done };
            moved
        });
    }

    /// Ends the job; the first outcome counts.
    pub(crate) fn finish(&self, outcome: Result<Enlarged, Problem>) {
        self.status.send_if_modified(|status| {
            if status.state.is_final() {
                return false;
            }
            status.ended = Some(Instant::now());
            match outcome {
                Ok(Enlarged { file, preview }) => {
                    (status.state, status.done, status.result) = (State::Done, 1.0, Some(file));
                    status.preview = preview;
                }
                Err(problem) => {
                    let cancelled = problem.kind() == Kind::Cancelled;
                    status.state = if cancelled { State::Cancelled } else { State::Failed };
                    status.problem = Some(problem);
                }
            }
            true
        });
    }

    /// Records that the result has been requested.
    pub(crate) fn fetch(&self) {
        self.fetched.store(true, Ordering::Relaxed);
    }

    /// Returns whether there is a result that nobody has requested yet.
    pub(crate) fn is_wanted(&self) -> bool {
        self.status.borrow().result.is_some() && !self.fetched.load(Ordering::Relaxed)
    }

    /// Returns the bytes kept for the job.
    pub(crate) fn bytes(&self) -> usize {
        let (result, preview) = {
            let status = self.status.borrow();
            let preview = status.preview.as_ref().map_or(0, |preview| preview.file.len());
            (status.result.as_ref().map_or(0, Bytes::len), preview)
        };
        let masks = self.masks.get().map_or(0, |masks| masks.iter().map(|mask| mask.png.len()).sum());
        result + preview + masks + self.order.bytes()
    }

    /// Returns the job as shown to clients; `ahead` jobs come before it.
    pub(crate) fn view(&self, status: &Status, ahead: usize) -> JobView {
        let order = &self.order;
        let total = order.output.0 * order.output.1;
        let waited = status.started.or(status.ended).unwrap_or_else(Instant::now) - self.made;
        let running = status.started.map(|started| (status.ended.unwrap_or_else(Instant::now) - started).as_secs_f64());
        // The first hundredth is a poor estimate of the rest.
        let left = running
            .filter(|_| status.state == State::Running && status.done > 0.01)
            .map(|running| running * (1.0 - status.done) / status.done);
        let (faults, region_faults) = match &status.steered {
            Some(Steered { rest, regions }) => (Some(rest.clone()), regions.clone()),
            None => (None, Vec::new()),
        };
        JobView {
            id: self.id.to_string(),
            state: status.state,
            model: order.model_name.clone(),
            prompt: (order.prompt != Prompt::None).then(|| order.prompt.to_string()),
            faults,
            region_faults,
            picture: PictureView { id: order.picture.to_string(), width: order.size.0, height: order.size.1 },
            output: Size { width: order.output.0, height: order.output.1 },
            format: order.format,
            ahead,
            progress: status.done,
            pixels: Pixels { done: (status.done * total as f64) as usize, total },
            seconds: Seconds {
                waited: waited.as_secs_f64(),
                prompt: status.prompt.map(|took| took.as_secs_f64()),
                running,
                left,
            },
            bytes: status.result.as_ref().map(Bytes::len),
            notes: status.notes.clone(),
            problem: status.problem.clone(),
            preview: status.preview.as_ref().map(|shown| Size { width: shown.width, height: shown.height }),
            links: Links::of(self.id),
        }
    }
}

/// A job: its state, its progress, and links to its parts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobView {
    #[schema(format = "uuid")]
    id: String,
    state: State,
    /// The model's name.
    model: String,
    /// The prompt in words; null if there is none.
    prompt: Option<String>,
    /// The faults that the model is steered by, outside the regions; null for a model that hears none, and until the job
    /// runs.
    faults: Option<FaultsView>,
    /// Those of each region.
    region_faults: Vec<FaultsView>,
    picture: PictureView,
    output: Size,
    format: FileFormat,
    /// How many jobs come before it.
    ahead: usize,
    /// The fraction done, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    pixels: Pixels,
    seconds: Seconds,
    /// Bytes of the result.
    bytes: Option<usize>,
    /// Notes for the user, in sentences; available once the job runs.
    notes: Vec<String>,
    /// Why it failed.
    problem: Option<Problem>,
    /// The size of the smaller picture at `links.preview`; null if browsers can show the result itself.
    preview: Option<Size>,
    links: Links,
}

/// A kept picture: requests can use its id until it expires.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Picture)]
pub(crate) struct PictureView {
    #[schema(format = "uuid")]
    pub(crate) id: String,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A picture's size, in pixels.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Size {
    width: usize,
    height: usize,
}

/// Progress as pixels of the upscaled picture.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pixels {
    done: usize,
    total: usize,
}

/// How long each part took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Seconds {
    /// Waiting in the queue.
    waited: f64,
    /// Embedding the prompt and folding it into the network, a part of `running`.
    prompt: Option<f64>,
    /// Running, from its turn to its end.
    running: Option<f64>,
    /// Estimate of the time left, from the fraction done.
    left: Option<f64>,
}

/// Links to the parts of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Links {
    events: String,
    result: String,
    preview: String,
    masks: String,
}

impl Links {
    fn of(id: Uuid) -> Self {
        let at = |part: &str| format!("/v1/jobs/{id}/{part}");
        Self { events: at("events"), result: at("result"), preview: at("preview"), masks: at("masks") }
    }
}

impl JobView {
    /// Returns the value of the header `Server-Timing`, in milliseconds.
    pub(crate) fn timing(&self) -> String {
        let Seconds { waited, prompt, running, .. } = &self.seconds;
        let parts = [("waited", Some(*waited)), ("prompt", *prompt), ("running", *running)];
        let parts = parts.into_iter().filter_map(|(name, part)| Some(format!("{name};dur={:.1}", part? * 1e3)));
        parts.collect::<Vec<_>>().join(", ")
    }
}
