//! The bounded queue of jobs.

use crate::jobs::account::HeldPicture;
use crate::jobs::job::{Job, Mask};
use crate::jobs::stop::Stop;
use crate::problem::{Kind, Problem, Unit};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

/// Work for a job.
#[derive(Debug)]
pub(crate) enum Task {
    /// Upscale its picture.
    Enlarge(Arc<Job>, HeldPicture),
    /// Compute the network's masks.
    Masks { job: Arc<Job>, picture: HeldPicture, stop: Arc<Stop>, answer: oneshot::Sender<Result<Vec<Mask>, Problem>> },
}

impl Task {
    /// Returns the job's id and what stops the task.
    fn stop(&self) -> (Uuid, Arc<Stop>) {
        match self {
            Self::Enlarge(job, _) => (job.id, Arc::clone(&job.stop)),
            Self::Masks { job, stop, .. } => (job.id, Arc::clone(stop)),
        }
    }

    /// Returns the bytes of the pictures that wait with the task.
    fn bytes(&self) -> usize {
        let (Self::Enlarge(job, picture) | Self::Masks { job, picture, .. }) = self;
        picture.share.bytes() + job.order.bytes()
    }

    /// Ends the task before its turn.
    fn refuse(self, why: Kind) {
        match self {
            Self::Enlarge(job, _) => {
                job.stop.now(why);
                job.finish(Err(job.stop.problem(0)));
            }
            Self::Masks { stop, answer, .. } => {
                stop.now(why);
                let _ = answer.send(Err(stop.problem(0)));
            }
        }
    }
}

/// Waiting tasks, and the count of waiting and running ones.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    room: usize,
    /// The limit on the bytes of waiting pictures; a single one may wait whatever its size.
    memory: usize,
    /// The number of waiting and running tasks.
    load: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Task>,
    /// The jobs of running tasks, and what stops each.
    running: Vec<(Uuid, Arc<Stop>)>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(room: usize, memory: usize) -> Self {
        Self { inner: Mutex::default(), wake: Condvar::new(), room, memory, load: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, inner: &Inner) {
        self.load.send_replace(inner.waiting.len() + inner.running.len());
    }

    /// Adds a task to the queue.
    pub(crate) fn offer(&self, task: Task) -> Result<(), Problem> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Kind::Stopping.because("the server accepts no new jobs"));
        }
        if inner.waiting.len() >= self.room {
            let why = format_args!("{} jobs are waiting, the limit; try again later", self.room);
            return Err(Kind::QueueFull.because(why).limited(Unit::Jobs, self.room as u64, None));
        }
        let bytes = inner.waiting.iter().map(Task::bytes).fold(task.bytes(), usize::saturating_add);
        if bytes > self.memory && !inner.waiting.is_empty() {
            let why = format_args!("pictures of {} bytes are waiting, the limit; try again later", self.memory);
            return Err(Kind::QueueFull.because(why).limited(Unit::Bytes, self.memory as u64, Some(bytes as u64)));
        }
        inner.waiting.push_back(task);
        self.tell(&inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for the next task; `None` once the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Task> {
        let mut inner = self.lock();
        loop {
            match inner.waiting.pop_front() {
                Some(task) => {
                    inner.running.push(task.stop());
                    return Some(task);
                }
                None if inner.closed => return None,
                None => inner = self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Marks a job's task as finished.
    pub(crate) fn finished(&self, job: &Job) {
        let mut inner = self.lock();
        let at = inner.running.iter().position(|(id, _)| *id == job.id);
        at.map(|at| inner.running.swap_remove(at));
        self.tell(&inner);
    }

    /// Returns how many tasks come before a waiting job.
    pub(crate) fn ahead_of(&self, job: Uuid) -> usize {
        let inner = self.lock();
        let is_it = |task: &Task| matches!(task, Task::Enlarge(other, _) if other.id == job);
        inner.waiting.iter().position(is_it).map_or(0, |at| at + inner.running.len())
    }

    /// Cancels a job: a waiting job leaves the queue at once, and a running one stops at its next step. Returns whether
    /// it was waiting.
    pub(crate) fn cancel(&self, job: &Job) -> bool {
        let mut inner = self.lock();
        let is_it = |task: &Task| matches!(task, Task::Enlarge(other, _) if other.id == job.id);
        let task = inner.waiting.iter().position(is_it).and_then(|at| inner.waiting.remove(at));
        self.tell(&inner);
        drop(inner);
        job.stop.now(Kind::Cancelled);
        task.map(|task| task.refuse(Kind::Cancelled)).is_some()
    }

    /// Closes the queue: refuses waiting tasks and asks running ones to stop.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waiting = std::mem::take(&mut inner.waiting);
        inner.running.iter().for_each(|(_, stop)| stop.now(Kind::Stopping));
        self.tell(&inner);
        drop(inner);
        self.wake.notify_all();
        waiting.into_iter().for_each(|task| task.refuse(Kind::Stopping));
    }

    /// Returns the numbers of waiting and running tasks.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.waiting.len(), inner.running.len())
    }

    /// Waits until nothing waits or runs.
    pub(crate) async fn idle(&self) {
        // The sender is alive, so the channel does not close.
        let _ = self.load.subscribe().wait_for(|load| *load == 0).await;
    }
}
