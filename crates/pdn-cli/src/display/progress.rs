//! Progress with the remaining time, and interruption.

#[cfg(feature = "hub")]
use crate::display::say::shown;
use crate::display::say::tell;
use indicatif::{ProgressBar, ProgressStyle};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

/// Whether the user asked to stop.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether to wait for the work to stop, however long it takes.
static PATIENT: AtomicBool = AtomicBool::new(false);

/// The folders with unfinished work.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The message of a stop that does not wait.
static LAST_WORDS: Mutex<String> = Mutex::new(String::new());

/// How long the work has to stop by itself: with what comes after it, less than two seconds.
const GRACE: Duration = Duration::from_millis(1700);

/// How long to try what must not be waited for.
const MOMENT: Duration = Duration::from_millis(100);

/// Installs the interrupt handler. The first interrupt asks the work to stop at the next step, and to leave nothing
/// behind. If that takes too long, in a decoder or in a read that delivers nothing, the program ends without it, as it
/// does at the second interrupt.
pub(crate) fn watch_for_interrupt() {
    // Without a handler an interrupt ends the program at once, which may leave a temporary folder.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            end();
        }
        let _ = thread::Builder::new().spawn(|| {
            thread::sleep(GRACE);
            if !PATIENT.load(Ordering::Relaxed) {
                end();
            }
        });
    });
}

/// Ends the program, and leaves nothing unfinished behind.
fn end() -> ! {
    // Hold the lock to the end, so that nothing more begins.
    let folders = begun();
    for folder in folders.iter().flat_map(|folders| folders.iter()) {
        // A file created there at the same moment makes the folder not empty.
        let _ = (0..3).find(|_| std::fs::remove_dir_all(folder).is_ok() || !folder.exists());
    }
    // Nobody may read the message.
    let (said, hears) = sync_channel(1);
    let _ = thread::Builder::new().spawn(move || {
        let words = LAST_WORDS.try_lock().map(|words| words.clone()).unwrap_or_default();
        tell!("pdn: {}", if words.is_empty() { NOTHING_WRITTEN } else { &words });
        said.send(())
    });
    let _ = hears.recv_timeout(MOMENT);
    std::process::exit(130);
}

/// The default message.
pub(crate) const NOTHING_WRITTEN: &str = "interrupted; nothing was written";

/// Returns the folders, or `None` if another thread holds them because it is stuck while creating one.
fn begun() -> Option<MutexGuard<'static, Vec<PathBuf>>> {
    for _ in 0..10 {
        match UNFINISHED.try_lock() {
            Ok(folders) => return Some(folders),
            Err(TryLockError::Poisoned(folders)) => return Some(folders.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(MOMENT / 10),
        }
    }
    None
}

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the message of an interrupt that does not wait.
pub(crate) fn last_words(words: String) {
    *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner) = words;
}

/// While this value lives, the first interrupt waits for the work, which has its own way to stop.
#[cfg(any(feature = "serve", feature = "train"))]
pub(crate) struct Patience(());

#[cfg(any(feature = "serve", feature = "train"))]
impl Patience {
    pub(crate) fn new() -> Self {
        PATIENT.store(true, Ordering::Relaxed);
        Self(())
    }
}

#[cfg(any(feature = "serve", feature = "train"))]
impl Drop for Patience {
    fn drop(&mut self) {
        PATIENT.store(false, Ordering::Relaxed);
    }
}

/// While this value lives, an interrupt that does not wait removes the folder.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// Creates a folder, or something with one; no interrupt ends the program between its creation and its registration
    /// here.
    pub(crate) fn begin<T>(
        make: impl FnOnce() -> io::Result<T>,
        folder: impl FnOnce(&T) -> &Path,
    ) -> io::Result<(T, Self)> {
        let mut all = unfinished();
        let made = make()?;
        let path = folder(&made).to_owned();
        all.push(path.clone());
        Ok((made, Self(path)))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished().retain(|folder| *folder != self.0);
    }
}

/// Returns whether to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A progress bar on the terminal; nothing if standard error is not one.
pub(crate) struct Progress(ProgressBar);

/// Steps of the bar per picture.
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

    /// Shows the completed fraction of a picture, and returns whether to continue.
    pub(crate) fn show(&self, picture: usize, done: f64) -> bool {
        self.0.set_position(picture as u64 * STEPS + (done * STEPS as f64) as u64);
        !interrupted()
    }
}

/// A progress bar of pixels on the terminal, over pictures of any sizes that run at the same time.
pub(crate) struct Pixels(ProgressBar);

impl Pixels {
    /// Creates a bar for an estimated total of `pixels`.
    pub(crate) fn new(pixels: u64) -> Self {
        let bar = ProgressBar::new(pixels);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %, {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn say(&self, message: String) {
        self.0.set_message(message);
    }

    /// Hides the bar while `write` writes to the terminal.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    /// Adds a picture with an estimated number of pixels.
    pub(crate) fn picture(&self, pixels: u64) -> Share<'_> {
        Share { bar: &self.0, pixels, shown: 0 }
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// One picture's part of a bar. If it is dropped early, the rest no longer counts.
pub(crate) struct Share<'a> {
    bar: &'a ProgressBar,
    pixels: u64,
    shown: u64,
}

impl Share<'_> {
    /// Corrects the number of pixels.
    pub(crate) fn has(&mut self, pixels: u64) {
        self.bar.inc_length(pixels);
        self.bar.dec_length(self.pixels);
        self.pixels = pixels;
    }

    /// Shows the completed fraction, and returns whether to continue.
    pub(crate) fn show(&mut self, done: f64) -> bool {
        let shown = ((done * self.pixels as f64) as u64).clamp(self.shown, self.pixels.max(self.shown));
        self.bar.inc(shown - self.shown);
        self.shown = shown;
        !interrupted()
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.bar.dec_length(self.pixels.saturating_sub(self.shown));
    }
}

/// A progress bar of bytes on the terminal, for downloads.
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

    /// Shows how much of a file is downloaded, and returns whether to continue.
    pub(crate) fn show(&self, file: &str, done: u64, size: u64) -> bool {
        if self.0.message() != shown(file) {
            self.0.set_message(shown(file));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_of_the_pixels_there_are() {
        let all = Pixels::new(300);
        let at = || (all.0.position(), all.0.length());
        let (mut one, mut other, unread) = (all.picture(100), all.picture(200), all.picture(0));
        assert!(one.show(0.5) && other.show(0.25));
        assert_eq!(at(), (100, Some(300)));
        other.has(80);
        assert!(other.show(0.1) && other.show(1.0), "never back");
        assert_eq!(at(), (130, Some(180)));
        drop((one, other, unread));
        assert_eq!(at(), (130, Some(130)), "what is not done is not to do");
    }
}
