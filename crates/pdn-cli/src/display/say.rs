//! Lines to the terminal, a file or another command.
//!
//! Whoever stops reading, as `head` does, is no fault: what is left unsaid is dropped, and the work goes on. `println!` would panic.
//!
//! What is said holds names of files, cards of models and words of others' programs, and a terminal does what control characters
//! tell it: here they are [`shown`], whoever they are from.

use pdn::Picture;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;

/// Writes a line to standard output, with the arguments of `println!`.
macro_rules! say {
    ($($text:tt)*) => { $crate::display::say::out(&$crate::display::say::shown(&format!($($text)*))) };
}

/// Writes a message to standard error, with the arguments of `eprintln!`.
macro_rules! tell {
    ($($text:tt)*) => { $crate::display::say::err(format_args!($($text)*)) };
}

pub(crate) use {say, tell};

/// Writes to standard output what is safe as it is: JSON, a table, a script. A full disk, and whatever else may hinder it, ends
/// the command with 1.
pub(crate) fn out(text: &str) {
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
    let _ = writeln!(stderr(), "{}", message(&text.to_string()));
}

/// A message as it is shown. A recipe's faults have several lines: those after the first are set in, so that none looks like
/// another message.
fn message(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n    ")
}

/// A text on one line, in which what a terminal would obey, or show in another order, is written as Rust does: `\u{1b}`, `\n`.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_order(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// Whether a character is a control one, parts lines, or turns the direction of what follows (Unicode's `Bidi_Control`).
pub(crate) fn is_order(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(shown("a\u{1b}[31mb\r\n\u{7f}\u{9b}"), "a\\u{1b}[31mb\\r\\n\\u{7f}\\u{9b}");
        assert_eq!(shown("gpj.\u{202e}evil\u{2066}\u{200f}"), "gpj.\\u{202e}evil\\u{2066}\\u{200f}");
        // Letters of any script and what is put together of several are left as they are.
        let plain = "été 日本 עברית 👨\u{200d}👩\u{200d}👧 C:\\a";
        assert_eq!(shown(plain), plain);
        assert_eq!(message("a\npdn: b\u{7}"), "a\n    pdn: b\\u{7}");
    }
}
