//! Stops work, and records why.

use crate::problem::{Kind, Problem, Unit};
use std::sync::OnceLock;

/// A request to stop; the first reason counts.
#[derive(Debug, Default)]
pub(crate) struct Stop(OnceLock<Kind>);

impl Stop {
    /// Asks the work to stop.
    pub(crate) fn now(&self, why: Kind) {
        let _ = self.0.set(why);
    }

    /// Returns whether the work should go on.
    pub(crate) fn goes_on(&self) -> bool {
        self.0.get().is_none()
    }

    /// Returns the problem to report for stopped work.
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
