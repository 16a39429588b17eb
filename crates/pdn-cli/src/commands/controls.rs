//! `pdn controls`: how much a prompt helps a model, against control prompts: another picture's sentences, one sentence
//! for all pictures, the picture itself, and none. The paper reports none of these. Networks that are steered by faults
//! are measured by `fault_controls`.

use crate::args::controls::Controls;
use crate::commands::fault_controls;
use crate::display::progress::Progress;
use crate::display::say::{out, say};
use crate::display::table::table;
use crate::shared::bootstrap::{DRAWS, ahead, mean_with_interval};
use crate::shared::engine::{enlarge, failure, open, options};
use crate::shared::failure::Failure;
use crate::shared::folder::report;
use crate::shared::prompt::{encoder, hinted};
use crate::shared::scores::decibels;
use pdn::{Captioned, Degradation, Depth, Encoder, Limits, Prompt, Session, Target, Upscaler, read_captions};
use serde_json::json;

/// A sentence that describes no picture in particular.
const FIXED: &str = "a photo";

/// The conditions; the others are compared with the first.
const CONDITIONS: [&str; 5] =
    ["its own captions", "another picture's captions", "\"a photo\" for all", "the small picture", "its mirror image"];

pub(crate) fn run(args: &Controls) -> Result<(), Failure> {
    let upscaler = open(&args.model, &args.engine)?;
    if !upscaler.takes_prompt() {
        return Err(Failure::usage("the model takes no prompt; choose another --model"));
    }
    if upscaler.hears_faults() {
        return fault_controls::run(args, &upscaler);
    }
    let degradation = match args.degradation[..] {
        [] => Degradation::BlurBicubic,
        [one] => one,
        _ => return Err(Failure::usage("--degradation: the model is not steered by faults, so expected only one")),
    };
    let encoder = encoder(&args.encoder)?;
    let pictures = captioned(args, &encoder)?;
    let measure = Measure { args, degradation, encoder: &encoder };
    let (mut scored, mut failed) = (Vec::new(), Vec::new());
    let progress = Progress::new(pictures.len());
    let mut session = upscaler.session();
    for (i, picture) in pictures.iter().enumerate() {
        let other = &pictures[(i + 1) % pictures.len()];
        match measure.score(&mut session, picture, other, &mut |done| progress.show(i, done)) {
            Ok(scores) => scored.push(scores),
            Err(interrupted) if interrupted.code == 130 => return Err(interrupted),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    // A single picture has no interval.
    if scored.len() > 1 {
        measure.print(&upscaler, &scored);
    }
    report(&failed, pictures.len())
}

/// Returns the pictures with captions, except those of the split `train`. Errors in a caption are reported before any
/// work.
fn captioned(args: &Controls, encoder: &Encoder) -> Result<Vec<Captioned>, Failure> {
    let folder = &args.data;
    let Some(mut all) = read_captions(folder).map_err(Failure::failed)? else {
        return Err(Failure::at(folder, "no captions found: expected a folder with captions.json or captions.csv"));
    };
    all.retain(|picture| picture.split.as_deref() != Some("train") && !picture.captions.is_empty());
    all.truncate(args.limited(all.len()));
    if all.len() < 2 {
        let why = format!("contains {} captioned pictures outside the split `train`; expected at least two", all.len());
        return Err(Failure::at(folder, why));
    }
    for picture in &all {
        for caption in &picture.captions {
            encoder
                .tokens(caption)
                .map_err(|error| Failure::at(&picture.path, format_args!("\"{caption}\": {}", hinted(&error))))?;
        }
    }
    Ok(all)
}

/// What every picture is measured with.
struct Measure<'a> {
    args: &'a Controls,
    degradation: Degradation,
    encoder: &'a Encoder,
}

impl Measure<'_> {
    /// Returns a picture's PSNR under each condition, the mean over its prompts.
    fn score(
        &self,
        session: &mut Session,
        captioned: &Captioned,
        other: &Captioned,
        progress: &mut (dyn FnMut(f64) -> bool + Send),
    ) -> Result<[f64; CONDITIONS.len()], Failure> {
        let Self { args, degradation, encoder } = *self;
        let path = &captioned.path;
        let scale = session.upscaler().scale();
        let picture = pdn::read(path, &Limits::default())?.with_alpha(None);
        let low = degradation.seeded(path).apply(&picture, scale).map_err(|error| Failure::at(path, error))?;
        let high = picture.modcrop(scale);
        let sentences = |of: &[String]| of.iter().cloned().map(Prompt::Text).collect();
        let prompts: [Vec<Prompt>; CONDITIONS.len()] = [
            sentences(&captioned.captions),
            sentences(&other.captions),
            sentences(&[FIXED.to_owned()]),
            vec![low.eight().into_owned().into()],
            vec![Prompt::Mirror],
        ];
        let target = Target { depth: Some(Depth::Eight), ..Target::default() };
        let runs = prompts.iter().map(Vec::len).sum::<usize>() as f64;
        let (mut done, mut scores) = (0.0, [0.0; CONDITIONS.len()]);
        for (prompts, score) in prompts.iter().zip(&mut scores) {
            for prompt in prompts {
                session.set_prompt(prompt, encoder, &low.eight()).map_err(|error| failure(path, error))?;
                let mut part = |part: f64| progress((done + part) / runs);
                let large =
                    enlarge(&args.engine, || session.upscale_to(&low, &target, &options(&args.engine), &mut part))
                        .map_err(|error| failure(path, error))?
                        .into_eight();
                *score +=
                    decibels(&high, &large, scale).map_err(|error| Failure::at(path, error))? / prompts.len() as f64;
                done += 1.0;
            }
        }
        Ok(scores)
    }

    fn print(&self, upscaler: &Upscaler, scored: &[[f64; CONDITIONS.len()]]) {
        let Self { args, degradation, encoder } = *self;
        let scale = upscaler.scale();
        let figures = (0..CONDITIONS.len()).map(|at| {
            let psnr = scored.iter().map(|scores| scores[at]).sum::<f64>() / scored.len() as f64;
            let differences: Vec<f64> = scored.iter().map(|scores| ahead(scores[at], scores[0])).collect();
            (CONDITIONS[at], psnr, mean_with_interval(&differences))
        });
        let protocol = format!(
            "PSNR in dB, MATLAB's Y, {scale} pixels shaved a side, 8-bit pictures, mean over a picture's prompts, then over \
             pictures; differences from its own captions with their 95 % intervals, {DRAWS} draws of the pictures"
        );
        if args.json {
            let conditions: Vec<_> = figures
                .map(|(name, psnr, (difference, interval))| {
                    json!({"prompt": name, "psnr": psnr, "difference": difference, "interval": interval})
                })
                .collect();
            let facts = json!({
                "model": args.model.model().display().to_string(),
                "encoder": encoder.id(),
                "data": args.data.display().to_string(),
                "pictures": scored.len(),
                "degradation": degradation.to_string(),
                "protocol": protocol,
                "conditions": conditions,
            });
            out(&format!("{facts:#}"));
            return;
        }
        say!("model        {} x{scale}, prompts by {}", args.model.model().display(), encoder.id());
        say!("pictures     {} of {}, degraded by {}", scored.len(), args.data.display(), degradation);
        say!("protocol     {protocol}");
        say!("");
        let mut rows = vec![["prompt", "PSNR", "difference", "interval"].map(str::to_owned).to_vec()];
        rows.extend(figures.enumerate().map(|(at, (name, psnr, (difference, [low, high])))| {
            let mut row = vec![name.to_owned(), format!("{psnr:.3}")];
            if at > 0 {
                row.extend([format!("{difference:+.4}"), format!("{low:+.4} to {high:+.4}")]);
            }
            row
        }));
        out(&table(&rows));
    }
}
