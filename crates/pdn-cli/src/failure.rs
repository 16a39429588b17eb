//! What went wrong, and the exit code that says whose fault it is.

use std::fmt::Display;
use std::path::Path;

/// A line for the user and an exit code.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    /// The exit code of what was interrupted, as shells have it.
    pub(crate) const INTERRUPTED: u8 = 130;

    /// Something failed: 1.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// Something failed with a file: 1.
    pub(crate) fn at(path: &Path, message: impl Display) -> Self {
        Self::failed(format_args!("{}: {message}", path.display()))
    }

    /// The command was used wrongly: 2.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// Interrupted: 130.
    pub(crate) fn interrupted() -> Self {
        Self { code: Self::INTERRUPTED, message: "interrupted; nothing was written".into() }
    }
}

impl From<pdn::FileError> for Failure {
    fn from(error: pdn::FileError) -> Self {
        match error.why {
            pdn::FileFault::UnknownFormat | pdn::FileFault::LeftOut { .. } => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}
