//! Accounts for all bytes held for clients, from the first byte received to the last byte sent.
//!
//! Whatever is held has a [`Share`], which is returned when it is dropped. Later stages of a request may use more of
//! the account than earlier ones, so no upload can take the room that a job needs to finish.

use axum::body::Bytes;
use pdn::{AnyPicture, KnownFaults};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The limit on bytes held for clients, and the bytes now held.
#[derive(Clone, Debug)]
pub(crate) struct Account(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    held: AtomicUsize,
    /// The peak of bytes held.
    most: AtomicUsize,
    freed: Notify,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its body is being received and parsed.
    Receiving,
    /// Its pictures are decoded, and wait.
    Reading,
    /// Its job runs, or its response is being made.
    Working,
}

impl Stage {
    /// Returns how far requests of this stage may fill an account of `limit` bytes.
    pub(crate) fn part(self, limit: usize) -> usize {
        match self {
            Self::Receiving => limit / 2,
            Self::Reading => limit / 4 * 3,
            Self::Working => limit,
        }
    }
}

/// Bytes of the account, returned on drop.
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

    /// Takes bytes if the total stays within the stage's part.
    fn take(&self, bytes: usize, stage: Stage) -> bool {
        let part = stage.part(self.0.limit);
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= part);
        let before = self.0.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        before.map(|before| self.0.most.fetch_max(before + bytes, Ordering::Relaxed)).is_ok()
    }

    /// Waits until bytes are next returned.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.0.freed.notified()
    }

    fn give_back(&self, bytes: usize) {
        // Returning nothing notifies nobody: a waiting request returns an empty share after each failed attempt.
        if bytes > 0 {
            self.0.held.fetch_sub(bytes, Ordering::Relaxed);
            self.0.freed.notify_waiters();
        }
    }

    /// Returns an empty share, which can grow.
    pub(crate) fn nothing(&self) -> Share {
        Share { account: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Creates a share of an account of its own.
    #[cfg(test)]
    pub(crate) fn of(bytes: usize) -> Self {
        let account = Account::new(usize::MAX);
        assert!(account.take(bytes, Stage::Working));
        Self { account, bytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `more` bytes if the stage's part of the account has them.
    pub(crate) fn grow(&mut self, more: usize, stage: Stage) -> bool {
        let took = self.account.take(more, stage);
        self.bytes += if took { more } else { 0 };
        took
    }

    /// Returns everything beyond `bytes` to the account.
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
    /// What the picture shows of its faults, once it has been looked at.
    pub(crate) seen: Arc<OnceLock<KnownFaults>>,
}

impl HeldPicture {
    pub(crate) fn new(picture: AnyPicture, share: Share) -> Self {
        Self { picture: Arc::new(picture), share: Arc::new(share), seen: Arc::default() }
    }
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

/// Wraps bytes so that they keep their share while any slice of them is in use, for example in a response being sent.
pub(crate) fn held(bytes: Vec<u8>, mut share: Share) -> Bytes {
    share.shrink_to(bytes.len());
    Bytes::from_owner(Held { bytes, _share: share })
}
