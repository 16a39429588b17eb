//! `pdn degrade`.

use crate::args::Degrade;
use crate::failure::Failure;
use crate::folder::{pictures, report};
use crate::progress::interrupted;
use crate::upscale::write;
use pdn::{Limits, check_target};
use std::path::Path;

pub(crate) fn run(args: &Degrade) -> Result<(), Failure> {
    if args.scale == 0 {
        return Err(Failure::usage("--scale 0: expected 1 or more"));
    }
    if !args.input.is_dir() {
        check_target(&args.output, 1, 1, false, &Default::default())?;
        return degrade(args, &args.input, &args.output);
    }
    let inputs = pictures(&args.input)?;
    std::fs::create_dir_all(&args.output).map_err(|error| Failure::at(&args.output, error))?;
    let mut failed = Vec::new();
    for input in &inputs {
        if interrupted() {
            return Err(Failure::interrupted());
        }
        let output = args.output.join(input.file_name().unwrap_or_default()).with_extension("png");
        failed.extend(degrade(args, input, &output).err());
    }
    report(&failed, inputs.len())
}

fn degrade(args: &Degrade, input: &Path, output: &Path) -> Result<(), Failure> {
    let picture = pdn::read(input, &Limits::default())?;
    let small =
        args.degradation.seeded(input).apply(&picture, args.scale).map_err(|error| Failure::at(input, error))?;
    write(output, &small)?;
    let (width, height) = (small.width(), small.height());
    println!("{}: {width}x{height}, {} by {}", output.display(), args.degradation, args.scale);
    Ok(())
}
