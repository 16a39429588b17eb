//! `pdn degrade`.

use crate::args::Degrade;
use crate::display::progress::interrupted;
use crate::display::say::{say, tell_lost};
use crate::shared::atomic_file;
use crate::shared::failure::Failure;
use crate::shared::folder::{make_folder, pictures, report};
use crate::shared::outputs::{Task, keep_inputs, keep_other};
use pdn::{AnyPicture, Depth, Format, Limits, Picture, WriteOptions, check_target, write_any};
use std::path::Path;

pub(crate) fn run(args: &Degrade) -> Result<(), Failure> {
    if args.scale == 0 {
        return Err(Failure::usage("--scale 0: expected at least 1"));
    }
    if !args.input.is_dir() {
        let task = Task { input: args.input.clone(), output: args.output.clone() };
        let picture = pdn::read(&task.input, &Limits::default())?;
        check_target(&task.output, 1, 1, false, &Default::default())?;
        keep_inputs(std::slice::from_ref(&task))?;
        keep_other(&task.output, args.force)?;
        return degrade(args, &task, &picture);
    }
    let output = |input: &Path| args.output.join(input.file_name().unwrap_or_default()).with_extension("png");
    let inputs = pictures(&args.input)?.into_iter();
    let tasks: Vec<Task> = inputs.map(|input| Task { output: output(&input), input }).collect();
    keep_inputs(&tasks)?;
    tasks.iter().try_for_each(|task| keep_other(&task.output, args.force))?;
    make_folder(&args.output)?;
    let mut failed = Vec::new();
    for task in &tasks {
        if interrupted() {
            return Err(Failure::interrupted());
        }
        let read = pdn::read(&task.input, &Limits::default()).map_err(Failure::from);
        failed.extend(read.and_then(|picture| degrade(args, task, &picture)).err());
    }
    report(&failed, tasks.len())
}

fn degrade(args: &Degrade, Task { input, output }: &Task, picture: &Picture) -> Result<(), Failure> {
    tell_lost(input, picture);
    let small =
        args.small.degradation.seeded(input).apply(picture, args.scale).map_err(|error| Failure::at(input, error))?;
    // Never round silently if 16 bits were requested.
    if matches!(small, AnyPicture::Sixteen(_)) && Format::from_path(output)?.depth() == Depth::Eight {
        let why =
            format_args!("the format has 8 bits per sample, but {} makes 16; use .png or .tif", args.small.degradation);
        return Err(Failure::at(output, why));
    }
    atomic_file::write(output, args.force, |path| write_any(path, &small, &WriteOptions::default()))?;
    let (width, height) = (small.width(), small.height());
    say!("{}: {width}x{height}, {} by {}", output.display(), args.small.degradation, args.scale);
    Ok(())
}
