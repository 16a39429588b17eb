//! `pdn train`.

use crate::args::Train;
use crate::display::dashboard::Dashboard;
use crate::display::progress::{Patience, interrupted};
use crate::display::say::say;
use crate::shared::failure::Failure;
use pdn_train::device::Kind;
use pdn_train::recipe::{Preparation, Recipe, RecipeError};
use pdn_train::run::lock;
use pdn_train::run::state::STATE;
use pdn_train::run::{Begin, Place, Progress, RESULT, RunError};
use std::path::Path;

pub(crate) fn run(args: &Train) -> Result<(), Failure> {
    let recipe = Recipe::open(&args.recipe, &args.set).map_err(recipe_failure)?;
    let begin = match &args.restart {
        Some(weights) => Begin::Restart(weights.clone()),
        None if args.resume => Begin::Resume,
        None => Begin::New,
    };
    look_at(&args.out, &begin)?;
    let device = args.device.device().map_err(Failure::usage)?;
    let mut told = |what: String| say!("{what}");
    let room = args.room << 20;
    let mut preparation = Preparation { recipe: &args.recipe, data: &args.data, room, told: &mut told };
    let task = recipe.prepare(&mut preparation).map_err(recipe_failure)?;
    if args.device != Kind::Cpu {
        say!("the first step may take minutes while kernels for {} are compiled and timed", args.device);
    }
    let mut dashboard = Dashboard::new();
    let place = Place { folder: args.out.clone(), device };
    let mut watch = |progress: &Progress| {
        dashboard.show(progress);
        !interrupted()
    };
    // On a stop, wait for the step and write the state.
    let _patience = Patience::new();
    let history = task.train(recipe.schedule(), &place, &begin, &mut watch).map_err(run_failure)?;
    if interrupted() {
        say!("stopped; continue with --resume");
        return Err(Failure { code: 130, message: "interrupted; the run can be resumed".into() });
    }
    if !history.records.is_empty() {
        say!("{}", args.out.join(RESULT).display());
    }
    Ok(())
}

/// Checks the run's folder before reading the data, which may take long.
fn look_at(folder: &Path, begin: &Begin) -> Result<(), Failure> {
    if folder.is_file() {
        return Err(Failure::usage(format_args!("{}: is a file; expected a folder for the run", folder.display())));
    }
    lock::check(folder).map_err(run_failure)?;
    match (begin, folder.join(STATE).exists()) {
        (Begin::Resume, false) => say!("{}: no run to resume; starting a new one", folder.display()),
        (Begin::Restart(weights), false) if !weights.is_file() => {
            return Err(Failure::at(
                weights,
                "no such file; expected a run's weights.safetensors or state.safetensors",
            ));
        }
        (Begin::Resume, true) | (_, false) => {}
        (_, true) => return Err(run_failure(RunError::Exists(folder.to_owned()))),
    }
    Ok(())
}

fn recipe_failure(error: RecipeError) -> Failure {
    match error {
        RecipeError::Recipe { .. } => Failure::usage(error),
        RecipeError::Data(_) => Failure::failed(error),
    }
}

/// Returns the failure for an error of the run, with the options that help.
fn run_failure(error: RunError) -> Failure {
    match error {
        RunError::Exists(_) => Failure::usage(format_args!("{error} with --resume")),
        RunError::Astray { .. } => Failure::failed(format_args!("{error} (--resume --set schedule.rate=...)")),
        RunError::Busy(_) | RunError::Done { .. } => Failure::usage(error),
        _ => Failure::failed(error),
    }
}
