//! What can be wrong with a model of the hub.

use std::io;
use std::path::PathBuf;

/// Why a model could not be had from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It is not in the cache, and the hub is not asked or cannot be reached.
    #[error("{repo}: not in the cache {}, and {why}; {instead}", .cache.display())]
    Offline {
        /// The model.
        repo: String,
        /// The folder of the cache.
        cache: PathBuf,
        /// Why it is not fetched.
        why: String,
        /// What to do without the hub.
        instead: String,
    },
    /// The hub has no such file.
    #[error("{repo}: {endpoint} has no such model, or the model has none of {files}")]
    NotFound {
        /// The model.
        repo: String,
        /// The hub.
        endpoint: String,
        /// The files that were looked for.
        files: String,
    },
    /// Which of its files is meant is not known.
    #[error("{repo}: contains {files}; choose one with {repo}:FILE")]
    Several {
        /// The model.
        repo: String,
        /// Its files of weights.
        files: String,
    },
    /// The hub does not give it to just anyone.
    #[error(
        "{repo}: the Hub denied access ({status}): there is no such model, or HF_TOKEN must be set to a token with access"
    )]
    Refused {
        /// The model.
        repo: String,
        /// The hub's answer.
        status: u16,
    },
    /// The hub's answer is none that is understood.
    #[error("{url}: {why}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The download stopped before its end.
    #[error("{url}: the download stopped after {done} of {size} bytes ({why}); run the command again to continue")]
    Cut {
        /// What was asked for.
        url: String,
        /// The bytes that are there.
        done: u64,
        /// The bytes of all of it.
        size: u64,
        /// What happened.
        why: String,
    },
    /// What came is not what the hub says it has.
    #[error("{url}: checksum mismatch: expected {expected}, got {found}; nothing was kept, run the command again")]
    Checksum {
        /// What was asked for.
        url: String,
        /// What it should be.
        expected: String,
        /// What it is.
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
    /// Whoever watched the download asked to stop.
    #[error("interrupted; the partial download is kept and continues next time")]
    Interrupted,
}
