//! A failed command's message, and the exit code that tells whose fault it is.

use crate::display::progress::NOTHING_WRITTEN;
use std::fmt::Display;
use std::path::Path;

/// A line for the user and an exit code.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    /// The exit code of an interrupted command, as in shells.
    pub(crate) const INTERRUPTED: u8 = 130;

    /// Returns a failure with exit code 1.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { code: 1, message: in_words(message.to_string()) }
    }

    /// Returns a failure that names a file, with exit code 1.
    pub(crate) fn at(path: &Path, message: impl Display) -> Self {
        Self::failed(format_args!("{}: {message}", path.display()))
    }

    /// Returns a usage error, with exit code 2.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { code: 2, message: in_words(message.to_string()) }
    }

    /// Returns the failure for an interrupt, with exit code 130.
    pub(crate) fn interrupted() -> Self {
        Self { code: Self::INTERRUPTED, message: NOTHING_WRITTEN.into() }
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

/// Removes the system's error number from a message: the words beside it say the same.
fn in_words(message: String) -> String {
    let Some((before, after)) = message.split_once(" (os error ") else { return message };
    let after = after.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
    match after.strip_prefix(')') {
        Some(rest) => in_words(format!("{before}{rest}")),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_said_in_words() {
        let of = |message: &str| Failure::failed(message).message;
        assert_eq!(
            of("a: No such file or directory (os error 2); b: c (os error -9)"),
            "a: No such file or directory; b: c"
        );
        assert_eq!(of("a (os error"), "a (os error");
        assert_eq!(of("a (os error x)"), "a (os error x)");
    }
}
