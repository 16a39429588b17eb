//! Whether some work is to go on, and why not.

use crate::problem::{Kind, Problem, Unit};
use std::sync::OnceLock;

/// Whether some work is to go on: the first reason to stop is the one that counts.
#[derive(Debug, Default)]
pub(crate) struct Stop(OnceLock<Kind>);

impl Stop {
    /// Asks to stop.
    pub(crate) fn now(&self, why: Kind) {
        let _ = self.0.set(why);
    }

    /// Whether to go on.
    pub(crate) fn goes_on(&self) -> bool {
        self.0.get().is_none()
    }

    /// What is said of work that was stopped.
    pub(crate) fn problem(&self, seconds: u64) -> Problem {
        match self.0.get() {
            Some(Kind::TooSlow) => Kind::TooSlow
                .because(format_args!("it ran for {seconds} s, the limit: send a smaller picture"))
                .limited(Unit::Seconds, seconds, None),
            Some(Kind::Stopping) => Kind::Stopping.because("the server stopped before the job was done"),
            _ => Kind::Cancelled.because("it was cancelled, or its client went away"),
        }
    }
}
