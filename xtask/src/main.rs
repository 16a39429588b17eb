//! `cargo xtask`: tasks for this repository, the same on any machine and in continuous integration.

mod build;
mod circles;
mod dist;
mod features;
mod lint;
mod release;
mod tools;

use std::process::ExitCode;

/// A task: its name, its description, and its function, which receives the arguments after the name.
type Task = (&'static str, &'static str, fn(&[&str]) -> Result<(), String>);

const TASKS: [Task; 12] = [
    ("check", "what compiles, without the trainer: seconds after a change", build::check),
    ("test", "all tests; what follows goes to cargo test", build::test),
    ("lint", "format, import circles, spelling, licences and duplicates of what we depend on, clippy", lint::lint),
    ("circles", "files of a crate that import each other in a circle", circles::circles),
    ("docs", "the documentation, without a warning", lint::docs),
    ("features", "each feature alone, and all together", features::features),
    ("msrv", "the oldest compiler that Cargo.toml names", features::msrv),
    ("aarch64", "kernels of AArch64 under emulation", features::aarch64),
    ("bench", "the kernels, then a network; what follows goes to pdn bench", build::bench),
    ("package", "the crates as they would be published, and their sizes", release::package),
    ("dist", "an archive of the command, its manual pages and completions; a target may follow", dist::run),
    ("release", "every step of RELEASE.md that a machine can do; nothing is published", release::release),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] | ["help" | "-h" | "--help"] => {
            println!("{}", help());
            Ok(())
        }
        [name, ref rest @ ..] => match TASKS.iter().find(|(known, ..)| *known == name) {
            Some((.., task)) => task(rest),
            None => Err(format!("there is no task `{name}`, expected one of these:\n\n{}", help())),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let tasks = TASKS.iter().map(|(name, what, _)| format!("\n  {name:<10}{what}"));
    format!("cargo xtask TASK\n{}", tasks.collect::<String>())
}
