//! Lines to the terminal, a file or another command.
//!
//! A reader that stops early, as `head` does, is not an error: the rest of the output is dropped, and the work goes on.
//! `println!` would panic.
//!
//! Output contains file names, model cards and messages of other programs, and a terminal obeys control characters:
//! here they are always [`shown`] escaped.

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

/// Writes text to standard output that is already safe: JSON, a table, a script. A full disk, and any other error, ends
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

/// Warns about what of a file's pixels is not in the picture; other data in the file is not measured.
pub(crate) fn tell_lost(path: &Path, picture: &Picture) {
    let of_pixels = picture.lost.iter().filter(|lost| !lost.ends_with("left out"));
    of_pixels.for_each(|lost| tell!("pdn: {}: {lost}", path.display()));
}

/// Does the work of [`tell`]. There is nowhere else to report an error.
pub(crate) fn err(text: Arguments) {
    let _ = writeln!(stderr(), "{}", message(&text.to_string()));
}

/// Formats a message. A recipe's errors have several lines: those after the first are indented, so that none looks like
/// another message.
fn message(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n    ")
}

/// Returns a text on one line, with everything that a terminal would obey, or show in another order, escaped as in
/// Rust: `\u{1b}`, `\n`.
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

/// Returns whether a character is a control character, separates lines, or changes the direction of what follows
/// (Unicode's `Bidi_Control`).
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
        // Letters of any script and composed characters stay as they are.
        let plain = "été 日本 עברית 👨\u{200d}👩\u{200d}👧 C:\\a";
        assert_eq!(shown(plain), plain);
        assert_eq!(message("a\npdn: b\u{7}"), "a\n    pdn: b\\u{7}");
    }
}
