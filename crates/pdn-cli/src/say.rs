//! Lines to the terminal, a file or another command.
//!
//! Whoever stops reading, as `head` does, is no fault: what is left unsaid is dropped, and the work goes on. `println!` would panic.

use pdn::Picture;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;

/// Writes a line to standard output, with the arguments of `println!`.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::out(format_args!($($text)*)) };
}

/// Writes a line to standard error, with the arguments of `eprintln!`.
macro_rules! tell {
    ($($text:tt)*) => { $crate::say::err(format_args!($($text)*)) };
}

pub(crate) use {say, tell};

/// As [`say`]. A full disk, and whatever else may hinder it, ends the command with 1.
pub(crate) fn out(text: Arguments) {
    match writeln!(stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            err(format_args!("pdn: standard output: {error}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Says what of a file's pixels is not in the picture that was read of it; what lies beside them is not measured.
pub(crate) fn tell_lost(path: &Path, picture: &Picture) {
    let of_pixels = picture.lost.iter().filter(|lost| !lost.ends_with("left out"));
    of_pixels.for_each(|lost| tell!("pdn: {}: {lost}", path.display()));
}

/// As [`tell`]. There is nowhere else to say that it did not work.
pub(crate) fn err(text: Arguments) {
    let _ = writeln!(stderr(), "{text}");
}
