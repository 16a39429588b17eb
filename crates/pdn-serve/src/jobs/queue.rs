//! Jobs that wait for their turn: so many and no more.

use crate::jobs::account::HeldPicture;
use crate::jobs::job::{Job, Mask};
use crate::jobs::stop::Stop;
use crate::problem::{Kind, Problem, Unit};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

/// Something to do for a job.
#[derive(Debug)]
pub(crate) enum Task {
    /// Enlarge its picture.
    Enlarge(Arc<Job>, HeldPicture),
    /// Look at the network's masks.
    Masks { job: Arc<Job>, picture: HeldPicture, stop: Arc<Stop>, answer: oneshot::Sender<Result<Vec<Mask>, Problem>> },
}

impl Task {
    /// Whose it is, and what stops it.
    fn stop(&self) -> (Uuid, Arc<Stop>) {
        match self {
            Self::Enlarge(job, _) => (job.id, Arc::clone(&job.stop)),
            Self::Masks { job, stop, .. } => (job.id, Arc::clone(stop)),
        }
    }

    /// Bytes of the pictures that wait with it.
    fn bytes(&self) -> usize {
        let (Self::Enlarge(job, picture) | Self::Masks { job, picture, .. }) = self;
        picture.share.bytes() + job.order.bytes()
    }

    /// Ends it before its turn.
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

/// Tasks that wait, and how many are in hand.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    room: usize,
    /// Bytes that the pictures of those that wait may take; one may wait however large it is.
    memory: usize,
    /// Tasks that wait or run.
    load: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Task>,
    /// Whose tasks run, and what stops them.
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

    /// Takes a task on.
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

    /// The next task, when there is one; nothing when there will be none.
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

    /// Says that a job's task is out of hand.
    pub(crate) fn finished(&self, job: &Job) {
        let mut inner = self.lock();
        let at = inner.running.iter().position(|(id, _)| *id == job.id);
        at.map(|at| inner.running.swap_remove(at));
        self.tell(&inner);
    }

    /// How many tasks come before a job that waits.
    pub(crate) fn ahead_of(&self, job: Uuid) -> usize {
        let inner = self.lock();
        let is_it = |task: &Task| matches!(task, Task::Enlarge(other, _) if other.id == job);
        inner.waiting.iter().position(is_it).map_or(0, |at| at + inner.running.len())
    }

    /// Cancels a job: one that waits leaves its place at once, which is said, and one that runs stops at its next step.
    pub(crate) fn cancel(&self, job: &Job) -> bool {
        let mut inner = self.lock();
        let is_it = |task: &Task| matches!(task, Task::Enlarge(other, _) if other.id == job.id);
        let task = inner.waiting.iter().position(is_it).and_then(|at| inner.waiting.remove(at));
        self.tell(&inner);
        drop(inner);
        job.stop.now(Kind::Cancelled);
        task.map(|task| task.refuse(Kind::Cancelled)).is_some()
    }

    /// Takes nothing on any more; ends what waits, and asks what runs to stop.
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

    /// Tasks that wait, and those that run.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.waiting.len(), inner.running.len())
    }

    /// Comes back when nothing waits and nothing runs.
    pub(crate) async fn idle(&self) {
        // The sender is here: the channel does not close.
        let _ = self.load.subscribe().wait_for(|load| *load == 0).await;
    }
}
