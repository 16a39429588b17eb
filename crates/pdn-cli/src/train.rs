//! `pdn train`.

use crate::args::Train;
use crate::failure::Failure;
use crate::progress::interrupted;
use pdn_train::recipe::{Recipe, RecipeError};
use pdn_train::run::{Progress, RESULT, RunError, train};
use std::time::{Duration, Instant};

/// Time between two lines where nothing else happens.
const LINE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &Train) -> Result<(), Failure> {
    let recipe = Recipe::open(&args.recipe).map_err(recipe_failure)?;
    println!("reading data in {}", args.data.display());
    let task = recipe.prepare(&args.recipe, &args.data).map_err(recipe_failure)?;
    let mut last = Instant::now();
    let mut watch = |progress: &Progress| {
        if progress.evaluated || last.elapsed() > LINE || progress.step.done <= 1 {
            last = Instant::now();
            println!("{}", line(progress));
        }
        !interrupted()
    };
    let records = train(task.as_ref(), recipe.schedule(), &args.out, args.resume, &mut watch).map_err(run_failure)?;
    if interrupted() {
        println!("stopped; go on with --resume");
        return Err(Failure { code: 130, message: "interrupted; the run can be resumed".into() });
    }
    if records.last().is_some() {
        println!("{}", args.out.join(RESULT).display());
    }
    Ok(())
}

fn line(progress: &Progress) -> String {
    let Progress { step, loss, rate, seconds, pace, records, evaluated } = progress;
    let left = Duration::from_secs_f64(pace * (step.of - step.done) as f64);
    let minutes = left.as_secs() / 60;
    let mut line = format!(
        "step {} of {}, {seconds:.0} s: loss {loss:.4}, rate {rate:.2e}, {pace:.2} s a step, {minutes} min left",
        step.done, step.of
    );
    if let Some(record) = records.last().filter(|_| *evaluated) {
        line += &format!("; mean loss {:.4}", record.loss);
        for (name, value) in &record.figures {
            line += &format!(", {name} {value:.3}");
        }
    }
    line
}

fn recipe_failure(error: RecipeError) -> Failure {
    match error {
        RecipeError::Recipe { .. } => Failure::usage(error),
        RecipeError::Data(_) => Failure::failed(error),
    }
}

fn run_failure(error: RunError) -> Failure {
    match error {
        RunError::Exists(_) => Failure::usage(error),
        _ => Failure::failed(error),
    }
}
