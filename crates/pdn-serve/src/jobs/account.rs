//! One account of all bytes that are held for clients, from the first one received to the last one sent.
//!
//! What is held has a [`Share`], which goes back when it is dropped. What came far may take more than what has just come: so no
//! upload takes the room that a job needs to end.

use axum::body::Bytes;
use pdn::AnyPicture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

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

    /// Comes when bytes are given back the next time.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.0.freed.notified()
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

    /// Takes so many bytes more, where the stage's part of the account has them.
    pub(crate) fn grow(&mut self, more: usize, stage: Stage) -> bool {
        let took = self.account.take(more, stage);
        self.bytes += if took { more } else { 0 };
        took
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
