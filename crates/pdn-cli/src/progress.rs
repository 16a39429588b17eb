//! Progress with the time left, and interruption.

use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether the user asked to stop.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The file that is being written.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The first interrupt asks the work to stop at the next step, and to leave nothing behind; the second does not wait.
pub(crate) fn watch_for_interrupt() {
    // Without a handler an interrupt ends the program at once, which may leave a file of no name.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            if let Some(path) = unfinished().take() {
                let _ = std::fs::remove_file(path);
            }
            std::process::exit(130);
        }
    });
}

fn unfinished() -> MutexGuard<'static, Option<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this is there, an interrupt that does not wait removes the file.
pub(crate) struct Unfinished;

impl Unfinished {
    pub(crate) fn new(path: &Path) -> Self {
        *unfinished() = Some(path.to_owned());
        Self
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        *unfinished() = None;
    }
}

/// Whether to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A bar on the terminal; nothing where the error output is not one.
pub(crate) struct Progress(ProgressBar);

/// Steps of the bar for each picture.
const STEPS: u64 = 1000;

impl Progress {
    pub(crate) fn new(pictures: usize) -> Self {
        let bar = ProgressBar::new(pictures as u64 * STEPS);
        let template = "{wide_bar} {percent:>3} %, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows the part done of a picture, and says whether to go on.
    pub(crate) fn show(&self, picture: usize, done: f64) -> bool {
        self.0.set_position(picture as u64 * STEPS + (done * STEPS as f64) as u64);
        !interrupted()
    }
}

/// A bar of bytes on the terminal, for files that are fetched.
#[cfg(feature = "hub")]
pub(crate) struct Download(ProgressBar);

#[cfg(feature = "hub")]
impl Download {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows how much of a file is there, and says whether to go on.
    pub(crate) fn show(&self, file: &str, done: u64, size: u64) -> bool {
        if self.0.message() != file {
            self.0.set_message(file.to_owned());
        }
        self.0.set_length(size);
        self.0.set_position(done);
        !interrupted()
    }
}

#[cfg(feature = "hub")]
impl Drop for Download {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
