//! `pdn upscale`.

use crate::args::Upscale;
use crate::commands::batch::Batch;
use crate::display::say::tell;
use crate::shared::engine::compile;
use crate::shared::failure::Failure;
use crate::shared::inputs::{Found, Input, STANDARD};
use crate::shared::outputs::{Naming, Plan, format_of};
use crate::shared::prompt::{PromptSetter, check_faults};
use crate::shared::results::without_results;
use crate::shared::sink::check_standard_output;
use pdn::Format;
use std::path::Path;

pub(crate) fn run(args: &Upscale) -> Result<(), Failure> {
    check_second_name(args)?;
    let Found { pictures, failed, skipped_files, .. } = Found::new(&args.inputs, args.outputs.out_dir.as_deref())?;
    let (pictures, results) = without_results(pictures);
    check_standard_input(&pictures)?;
    if !args.parts.is_empty() && pictures.len() > 1 {
        let option = if args.parts.region.is_empty() { "--region-faults" } else { "--region" };
        let why = format!("{option}: expected one picture, got {}", pictures.len());
        return Err(Failure::usage(why));
    }
    let upscaler = compile(&args.model, &args.engine)?;
    let size = args.look.size_in_names(&args.model, upscaler.scale());
    let Plan { tasks, skipped } =
        Naming::new(&args.outputs, args.model.model(), upscaler.scale(), size)?.plan(pictures)?;
    if tasks.iter().any(|task| task.output == Path::new(STANDARD)) {
        check_standard_output()?;
        if args.batch.json {
            return Err(Failure::usage("--json: standard output is used for the picture; use -o OUT"));
        }
    }
    let formats: Vec<Format> = tasks.iter().filter_map(|task| format_of(&task.output, &args.outputs).ok()).collect();
    args.look.check(&args.model, &formats, args.writing.quality)?;
    let setter = PromptSetter::new(&args.prompt, &upscaler)?;
    check_faults("--region-faults", upscaler.takes_prompt() && !args.parts.region_faults.is_empty(), &upscaler)?;
    skipped_files.tell();
    results.iter().for_each(|note| tell!("pdn: {note}"));
    Batch { args, upscaler: &upscaler, setter: &setter, tasks, skipped }.run(failed)
}

/// Catches a second file name: in other programs that is the name of the result.
fn check_second_name(args: &Upscale) -> Result<(), Failure> {
    let [_, second] = args.inputs.names.as_slice() else { return Ok(()) };
    let says_where = args.outputs.output.is_some() || args.outputs.out_dir.is_some();
    match says_where || second.symlink_metadata().is_ok() || Format::from_path(second).is_err() {
        true => Ok(()),
        false => Err(Failure::at(
            second,
            format_args!("no such file; to write the result there, use -o {}", second.display()),
        )),
    }
}

/// Checks that standard input is read only once.
fn check_standard_input(pictures: &[Input]) -> Result<(), Failure> {
    match pictures.iter().filter(|input| input.path == Path::new(STANDARD)).count() {
        0 | 1 => Ok(()),
        n => Err(Failure::usage(format_args!("- was given {n} times; standard input holds one picture"))),
    }
}
