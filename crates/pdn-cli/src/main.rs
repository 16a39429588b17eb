//! `pdn`: super-resolution from the command line.
//!
//! Exit codes: 0 success, 1 failure, 2 usage error, 130 interrupted.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod display;
mod shared;

use crate::args::{Args, Command};
#[cfg(feature = "serve")]
use crate::commands::serve;
#[cfg(feature = "train")]
use crate::commands::train;
use crate::commands::{bench, compare, controls, convert, degrade, embed, eval, info, masks, models, pages, upscale};
use crate::display::progress;
use crate::display::say::{is_order, tell};
use crate::shared::failure::Failure;
use clap::Parser;
use std::process::ExitCode;

/// Training allocates and frees maps of megabytes thousands of times a second; this allocator keeps their pages.
#[cfg(feature = "train")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| refuse(&error));
    progress::watch_for_interrupt();
    let done = match &args.command {
        Command::Upscale(args) => upscale::run(args),
        Command::Info(args) => info::run(args),
        Command::Models(args) => models::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Degrade(args) => degrade::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Controls(args) => controls::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Masks(args) => masks::run(args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(args),
        #[cfg(not(feature = "train"))]
        Command::Train(_) => Err(not_built("train")),
        Command::Convert(args) => convert::run(args),
        Command::Bench(args) => bench::run(args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(args),
        #[cfg(not(feature = "serve"))]
        Command::Serve(_) => Err(not_built("serve")),
        Command::Completions(args) => pages::completions(args),
        Command::Man(args) => pages::man(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            tell!("pdn: {message}");
            ExitCode::from(code)
        }
    }
}

/// Prints a usage error, or the requested help, and exits.
fn refuse(error: &clap::Error) -> ! {
    let typed = std::env::args_os().any(|argument| argument.to_string_lossy().contains(is_order));
    if error.use_stderr() && typed {
        // The message may contain user input or a file name that matched a pattern: without colours it can be made safe
        // to print.
        let said = error.render().to_string();
        said.trim_end().split('\n').for_each(|line| tell!("{line}"));
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// Returns the error for a command that this build lacks, with a hint on how to get it.
#[cfg(not(all(feature = "train", feature = "serve")))]
fn not_built(feature: &str) -> Failure {
    let build = format_args!("cargo install --path crates/pdn-cli --locked --features {feature}");
    Failure::usage(format_args!(
        "{feature}: not included in this build; to add it, run `{build}` in pdn's source folder"
    ))
}
