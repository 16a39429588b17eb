//! One account of all bytes that are held for clients, from the first one received to the last one sent.
//!
//! What is held has a [`Share`], which goes back when it is dropped. What came far may take more than what has just come: so no
//! upload takes the room that a job needs to end.

use crate::app::App;
use crate::problem::{Kind, Problem, Unit};
use axum::body::Bytes;
use pdn::AnyPicture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// Bytes that may be held, and those that are.
#[derive(Clone, Debug)]
pub(crate) struct Account(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    held: AtomicUsize,
    /// The most that were held at a time.
    most: AtomicUsize,
    freed: Notify,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its body is received and parsed.
    Receiving,
    /// Its pictures are decoded, and wait.
    Reading,
    /// Its job runs, or its answer is made.
    Working,
}

impl Stage {
    /// Bytes up to which a request that came so far may fill the account.
    pub(crate) fn part(self, limit: usize) -> usize {
        match self {
            Self::Receiving => limit / 2,
            Self::Reading => limit / 4 * 3,
            Self::Working => limit,
        }
    }
}

/// Bytes of the account, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    account: Account,
    bytes: usize,
}

impl Account {
    pub(crate) fn new(limit: usize) -> Self {
        let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { limit, held, most, freed: Notify::new() }))
    }

    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }

    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    pub(crate) fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }

    /// Takes bytes, where all that are held stay within the stage's part.
    fn take(&self, bytes: usize, stage: Stage) -> bool {
        let part = stage.part(self.0.limit);
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= part);
        let before = self.0.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        before.map(|before| self.0.most.fetch_max(before + bytes, Ordering::Relaxed)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        // Of nothing, nobody is told: who waits gives nothing back each time there was no room.
        if bytes > 0 {
            self.0.held.fetch_sub(bytes, Ordering::Relaxed);
            self.0.freed.notify_waiters();
        }
    }

    /// A share of nothing, that may grow.
    pub(crate) fn nothing(&self) -> Share {
        Share { account: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// One of an account of its own.
    #[cfg(test)]
    pub(crate) fn of(bytes: usize) -> Self {
        let account = Account::new(usize::MAX);
        assert!(account.take(bytes, Stage::Working));
        Self { account, bytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let more = self.bytes.saturating_sub(bytes);
        self.bytes -= more;
        self.account.give_back(more);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

/// A picture and its share.
#[derive(Clone, Debug)]
pub(crate) struct HeldPicture {
    pub(crate) picture: Arc<AnyPicture>,
    pub(crate) share: Arc<Share>,
}

/// Bytes and their share.
struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that keep their share as long as anyone has a part of them, such as an answer that is being sent.
pub(crate) fn held(bytes: Vec<u8>, mut share: Share) -> Bytes {
    share.shrink_to(bytes.len());
    Bytes::from_owner(Held { bytes, _share: share })
}

/// How often is looked for room, on a thread that waits for it.
const LOOK: Duration = Duration::from_millis(20);

impl App {
    /// Makes a share so large at least. Where there is no room, what is kept goes, what was asked for the longest ago first.
    ///
    /// # Errors
    /// What needs more than its stage's part never has room; else others take it.
    pub(crate) fn grow(&self, share: &mut Share, bytes: usize, stage: Stage) -> Result<(), Problem> {
        let more = bytes.saturating_sub(share.bytes);
        let part = stage.part(self.account.limit());
        if bytes > part {
            let why = format_args!("the request needs {bytes} bytes of memory, but the limit for all requests together is {part}");
            return Err(Kind::MuchMemory.because(why).limited(Unit::Bytes, part as u64, Some(bytes as u64)));
        }
        while !self.account.take(more, stage) {
            if !self.kept.forget_oldest() {
                return Err(Kind::Busy.because("other requests are using all the memory; try again"));
            }
        }
        share.bytes += more;
        Ok(())
    }

    /// A share of so many bytes, at once.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub(crate) fn share(&self, bytes: usize, stage: Stage) -> Result<Share, Problem> {
        let mut share = self.account.nothing();
        self.grow(&mut share, bytes, stage).map(|()| share)
    }

    /// A share of so many bytes, as soon as there is room, within a client's patience.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub(crate) async fn share_soon(&self, bytes: usize, stage: Stage) -> Result<Share, Problem> {
        let end = tokio::time::Instant::now() + self.settings.patience;
        loop {
            let freed = self.account.0.freed.notified();
            match self.share(bytes, stage) {
                Err(problem) if problem.kind() == Kind::Busy => {
                    // Freed between the look and the wait, it is heard of all the same.
                    timeout_at(end, freed).await.map_err(|_| problem)?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Makes a share so large at least as soon as there is room, on a thread that works, while `goes_on`.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub(crate) fn grow_for_work(
        &self,
        share: &mut Share,
        bytes: usize,
        goes_on: impl Fn() -> bool,
    ) -> Result<(), Problem> {
        let end = Instant::now() + self.settings.patience;
        loop {
            match self.grow(share, bytes, Stage::Working) {
                Err(problem) if problem.kind() == Kind::Busy && Instant::now() < end && goes_on() => sleep(LOOK),
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Models;
    use crate::settings::Settings;
    use pdn::Picture;
    use uuid::Uuid;

    fn app(limit: usize) -> App {
        let patience = Duration::from_millis(50);
        let settings = Settings { request_memory: limit, keep_memory: limit, patience, ..Settings::default() };
        let models = Models::new(vec![], settings.target);
        App::new(settings, models, vec![], pdn::bundled_encoder().unwrap())
    }

    #[test]
    fn what_is_held_goes_back_and_never_passes_the_limit() {
        let app = app(1000);
        let first = app.share(400, Stage::Receiving).unwrap();
        let refused = app.share(200, Stage::Receiving).unwrap_err();
        assert_eq!(refused.kind(), Kind::Busy, "uploads have half");
        let mut second = app.share(300, Stage::Reading).unwrap();
        assert_eq!(app.share(100, Stage::Reading).unwrap_err().kind(), Kind::Busy, "pictures have three quarters");
        app.grow(&mut second, 600, Stage::Working).unwrap();
        assert_eq!((app.account.held(), second.bytes()), (1000, 600));
        assert_eq!(app.grow(&mut second, 601, Stage::Working).unwrap_err().kind(), Kind::Busy);
        assert_eq!(app.share(1001, Stage::Working).unwrap_err().kind(), Kind::MuchMemory);
        second.shrink_to(10);
        drop(first);
        let bytes = held(vec![0; 7], second);
        let part = bytes.slice(2..3);
        drop(bytes);
        assert_eq!(app.account.held(), 7, "a part holds the whole");
        drop(part);
        assert_eq!((app.account.held(), app.account.most()), (0, 1000));
    }

    #[test]
    fn what_is_kept_makes_room() {
        let app = app(1 << 20);
        let ids = [(); 2].map(|()| Uuid::new_v4());
        for id in ids {
            let share = app.share(300 << 10, Stage::Reading).unwrap();
            let picture = Arc::new(Picture::from_rgb(1, 1, vec![0; 3]).into());
            app.kept.put_picture(id, HeldPicture { picture, share: Arc::new(share) });
        }
        let third = app.share(300 << 10, Stage::Reading).unwrap();
        assert_eq!(ids.map(|id| app.kept.picture(id).is_some()), [false, true]);
        drop(third);
    }

    #[tokio::test]
    async fn room_is_waited_for() {
        let app = app(1000);
        let all = app.share(1000, Stage::Working).unwrap();
        assert_eq!(app.share_soon(1, Stage::Reading).await.unwrap_err().kind(), Kind::Busy);
        let mut nothing = app.account.nothing();
        assert_eq!(app.grow_for_work(&mut nothing, 1, || false).unwrap_err().kind(), Kind::Busy);
        let waits = app.share_soon(1, Stage::Reading);
        let (found, ()) = tokio::join!(waits, async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(all);
        });
        assert_eq!(found.unwrap().bytes(), 1);
    }
}
