//! State shared by all requests.

use crate::jobs::account::{Account, HeldPicture};
use crate::jobs::job::{Job, Prepared, State};
use crate::jobs::models::{ModelView, Models};
use crate::jobs::queue::{Queue, Task};
use crate::jobs::store::Store;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::settings::Settings;
use pdn::Encoder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// State shared by all requests.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) models: Models,
    pub(crate) views: Vec<ModelView>,
    pub(crate) encoder: Encoder,
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    /// Bytes held for clients.
    pub(crate) account: Account,
    /// Limits how many pictures are decoded at a time.
    pub(crate) decoders: Arc<Semaphore>,
    /// Whether the server has stopped accepting work.
    stopping: AtomicBool,
}

/// The most pictures decoded at a time.
const DECODERS: usize = 2;

impl App {
    pub(crate) fn new(settings: Settings, models: Models, views: Vec<ModelView>, encoder: Encoder) -> Self {
        Self {
            queue: Queue::new(settings.queue, settings.keep_memory),
            store: Store::new(settings.keep_memory, settings.keep),
            metrics: Metrics::new(),
            account: Account::new(settings.request_memory),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            stopping: AtomicBool::new(false),
            settings,
            models,
            views,
            encoder,
        }
    }

    /// Stops accepting work.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn kept_picture(&self, id: Uuid) -> Result<HeldPicture, Problem> {
        let expired =
            || Kind::NotFound.because(format_args!("no picture {id}: it never existed or has expired; send it again"));
        self.store.picture(id).ok_or_else(expired)
    }

    pub(crate) fn kept_job(&self, id: Uuid) -> Result<Arc<Job>, Problem> {
        let expired = || Kind::NotFound.because(format_args!("no job {id}: it never existed or has expired"));
        self.store.job(id).ok_or_else(expired)
    }

    /// Cancels a job. A running job is counted by its worker.
    pub(crate) fn cancel(&self, job: &Job) {
        if self.queue.cancel(job) {
            self.metrics.ended(State::Cancelled.word(), 0);
            tracing::info!(job = %job.id, state = State::Cancelled.word(), "job");
        }
    }

    /// Accepts a job.
    pub(crate) fn submit(&self, prepared: Prepared) -> Result<Arc<Job>, Problem> {
        let job = Job::new(prepared.order);
        self.queue.offer(Task::Enlarge(Arc::clone(&job), prepared.picture))?;
        Ok(job)
    }

    /// Accepts a job and keeps its picture and result.
    pub(crate) fn submit_kept(&self, prepared: Prepared) -> Result<Arc<Job>, Problem> {
        let picture = prepared.picture.clone();
        let job = self.submit(prepared)?;
        self.store.put_picture(job.order.picture, picture);
        self.store.put_job(Arc::clone(&job));
        Ok(job)
    }
}
