//! External programs: running them, and checking for them.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Returns a command for Cargo in the repository's root: the Cargo that runs this program, with space-separated
/// arguments.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace()).current_dir(root());
    command
}

/// Prints a command and runs it to completion.
pub(crate) fn done(command: &mut Command) -> Result<(), String> {
    println!("$ {}", shown(command));
    let status = command.status().map_err(|why| unstarted(command, &why))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command))) }
}

/// Returns what a program prints.
pub(crate) fn heard(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|why| unstarted(command, &why))?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{}: {}", shown(command), output.status)) }
}

/// Returns whether a program can be run, by asking for its version.
pub(crate) fn is_there(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.arg("--version").status().is_ok_and(|status| status.success())
}

/// Reports a skipped step. This is not a failure: whoever needs the step installs what it lacks.
pub(crate) fn skipped(step: &str, why: &str) {
    println!("{step}: skipped: {why}");
}

/// Rejects arguments to a task that takes none.
pub(crate) fn nothing_more(arguments: &[&str]) -> Result<(), String> {
    if arguments.is_empty() { Ok(()) } else { Err(format!("`{}` is not expected", arguments.join(" "))) }
}

fn unstarted(command: &Command, why: &std::io::Error) -> String {
    format!("{} cannot be run: {why}", shown(command))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
