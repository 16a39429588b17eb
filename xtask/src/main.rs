//! `cargo xtask`: what is done with this repository beside building and testing it.

mod circles;
mod dist;

use std::process::ExitCode;

const TASKS: &str = "\
cargo xtask TASK

dist   build the command, and pack it with its manual pages, completions and licences for others";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] | ["help" | "-h" | "--help"] => {
            println!("{TASKS}");
            Ok(())
        }
        ["circles"] => circles::run(),
        ["dist"] => dist::run(),
        _ => Err(format!("there is no task `{}`, expected one of these:\n\n{TASKS}", arguments.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
