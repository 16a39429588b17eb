//! Errors of the model hub.

use std::io;
use std::path::PathBuf;

/// Why a model could not be obtained from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It is not in the cache, and the hub is disabled or unreachable.
    #[error("{repo}: not in the cache {}, and {why}; {instead}", .cache.display())]
    Offline {
        /// The model.
        repo: String,
        /// The cache folder.
        cache: PathBuf,
        /// Why it was not downloaded.
        why: String,
        /// What to do without the hub.
        instead: String,
    },
    /// The hub does not have the file.
    #[error("{repo}: {endpoint} has no such model, or the model has none of {files}")]
    NotFound {
        /// The model.
        repo: String,
        /// The hub.
        endpoint: String,
        /// The files that were looked for.
        files: String,
    },
    /// The model has several files of weights, and none was chosen.
    #[error("{repo}: contains {files}; choose one with {repo}:FILE")]
    Several {
        /// The model.
        repo: String,
        /// Its files of weights.
        files: String,
    },
    /// The hub refuses access.
    #[error(
        "{repo}: the Hub denied access ({status}); check the name, or set HF_TOKEN to a token with access to the model"
    )]
    Refused {
        /// The model.
        repo: String,
        /// The HTTP status.
        status: u16,
    },
    /// The hub's answer is not understood.
    #[error("{url}: {why}")]
    Answer {
        /// The URL that was requested.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The download was cut off.
    #[error("{url}: the download stopped after {done} of {size} bytes ({why}); try again to continue")]
    Cut {
        /// The URL that was requested.
        url: String,
        /// Bytes downloaded so far.
        done: u64,
        /// Total bytes.
        size: u64,
        /// What happened.
        why: String,
    },
    /// The downloaded file does not match the hub's checksum.
    #[error("{url}: checksum mismatch: expected {expected}, got {found}; the download was discarded, try again")]
    Checksum {
        /// The URL that was requested.
        url: String,
        /// The expected checksum.
        expected: String,
        /// The actual checksum.
        found: String,
    },
    /// The cache cannot be written.
    #[error("{path}: {error}")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted; the partial download is kept and continues next time")]
    Interrupted,
}
