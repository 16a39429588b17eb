//! `pdn controls` of a network that is steered by faults: a matrix of degradations and of ways to tell them.

mod prompts;
mod results;

use crate::args::controls::Controls;
use crate::display::progress::Progress;
use crate::display::say::tell;
use crate::shared::engine::{enlarge, failure, options};
use crate::shared::failure::Failure;
use crate::shared::folder::{report, set};
use crate::shared::prompt::{encoder, hinted};
use crate::shared::scores::decibels;
use pdn::{Degradation, Depth, Encoder, Faults, Limits, Prompt, Session, Target, Upscaler, read_captions};
use prompts::{CONDITIONS, Picture};
use results::{Measured, Scores};
use std::path::{Path, PathBuf};

/// What is measured without `--degradation`.
const DEGRADATIONS: [&str; 11] = [
    "bicubic",
    "blur=0.1",
    "blur=0.25",
    "blur=0.325",
    "blur=0.55",
    "blur=0.7",
    "blur=0.325,noise=5",
    "blur=0.2,noise=15",
    "blur=0.2,jpeg=60",
    "noise=8,jpeg=40",
    "blur=0.3,resize=sharp",
];

pub(crate) fn run(args: &Controls, upscaler: &Upscaler) -> Result<(), Failure> {
    let degradations = degradations(args)?;
    let encoder = encoder(&args.encoder)?;
    let pictures = pictures(args, &encoder)?;
    if !encoder.tells_faults() {
        tell!("pdn: {} does not tell faults: sentences and pictures tell nothing", encoder.id());
    }
    let (mut scored, mut failed) = (Vec::new(), Vec::new());
    let progress = Progress::new(pictures.len());
    let mut session = upscaler.session();
    for (number, (path, caption)) in pictures.iter().enumerate() {
        let content = caption.as_deref().map(|caption| encoder.embed_text(caption)).transpose();
        let content = content.map_err(|error| Failure::at(path, hinted(&error)))?.map(Prompt::from);
        let mut all = Matrix { args, session: &mut session, encoder: &encoder, degradations: &degradations };
        match all.score(path, number, content, &mut |done| progress.show(number, done)) {
            Ok(scores) => scored.push(scores),
            Err(interrupted) if interrupted.code == Failure::INTERRUPTED => return Err(interrupted),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    // A single picture has no interval.
    if scored.len() > 1 {
        Measured { args, scale: upscaler.scale(), encoder: encoder.id(), degradations: &degradations, scored: &scored }
            .print();
    }
    report(&failed, pictures.len())
}

/// Returns the degradations to measure. Each must be one that can be told in faults.
fn degradations(args: &Controls) -> Result<Vec<Degradation>, Failure> {
    let given = args.degradation.clone();
    let default = || DEGRADATIONS.iter().map(|name| name.parse().expect("a degradation of this list"));
    let all: Vec<Degradation> = if given.is_empty() { default().collect() } else { given };
    if let Some(untold) = all.iter().find(|one| matches!(one, Degradation::Practical { .. })) {
        return Err(Failure::usage(format_args!(
            "--degradation {untold}: cannot be told in faults; use mixed, or faults such as blur=0.3,noise=10"
        )));
    }
    match all.len() {
        1 => Err(Failure::usage("--degradation: expected at least two, as each is told wrongly as another")),
        _ => Ok(all),
    }
}

/// Returns the pictures, each with its first caption if there are any. Errors in a caption are reported before any work.
fn pictures(args: &Controls, encoder: &Encoder) -> Result<Vec<(PathBuf, Option<String>)>, Failure> {
    let mut all: Vec<(PathBuf, Option<String>)> = match read_captions(&args.data).map_err(Failure::failed)? {
        Some(captioned) => {
            let held_back = captioned.into_iter().filter(|picture| picture.split.as_deref() != Some("train"));
            held_back.map(|picture| (picture.path, picture.captions.into_iter().next())).collect()
        }
        None => set(&args.data)?.into_iter().map(|path| (path, None)).collect(),
    };
    all.truncate(args.limited(all.len()));
    if all.len() < 2 {
        let why = format!("contains {} pictures outside the split `train`; expected at least two", all.len());
        return Err(Failure::at(&args.data, why));
    }
    for (path, caption) in &all {
        if let Some(caption) = caption {
            let wrong = |error| Failure::at(path, format_args!("\"{caption}\": {}", hinted(&error)));
            encoder.tokens(caption).map_err(wrong)?;
        }
    }
    Ok(all)
}

/// What every picture is measured with.
struct Matrix<'a> {
    args: &'a Controls,
    session: &'a mut Session,
    encoder: &'a Encoder,
    degradations: &'a [Degradation],
}

impl Matrix<'_> {
    /// Returns a picture's decibels under every degradation and condition.
    fn score(
        &mut self,
        path: &Path,
        number: usize,
        content: Option<Prompt>,
        progress: &mut (dyn FnMut(f64) -> bool + Send),
    ) -> Result<Scores, Failure> {
        let scale = self.session.upscaler().scale();
        let picture = pdn::read(path, &Limits::default())?.with_alpha(None);
        let high = picture.modcrop(scale);
        let seeded: Vec<Degradation> = self.degradations.iter().map(|degradation| degradation.seeded(path)).collect();
        let faults: Vec<Faults> = seeded.iter().filter_map(|degradation| degradation.faults(scale)).collect();
        let asked = Picture { number, faults: &faults, content };
        let target = Target { depth: Some(Depth::Eight), ..Target::default() };
        let (runs, mut done) = ((seeded.len() * CONDITIONS.len()) as f64, 0.0);
        let mut scores = Scores::new();
        for (at, degradation) in seeded.iter().enumerate() {
            let low = degradation.apply(&picture, scale).map_err(|error| Failure::at(path, error))?;
            let mut row = [None; CONDITIONS.len()];
            for (prompt, score) in asked.prompts(at).iter().zip(&mut row) {
                if let Some(prompt) = prompt {
                    let set = self.session.set_prompt(prompt, self.encoder, &low.eight());
                    set.map_err(|error| failure(path, error))?;
                    let mut part = |part: f64| progress((done + part) / runs);
                    let run = || self.session.upscale_to(&low, &target, &options(&self.args.engine), &mut part);
                    let large = enlarge(&self.args.engine, run).map_err(|error| failure(path, error))?.into_eight();
                    *score = Some(decibels(&high, &large, scale).map_err(|error| Failure::at(path, error))?);
                }
                done += 1.0;
            }
            scores.push(row);
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_told() {
        for name in DEGRADATIONS {
            let degradation: Degradation = name.parse().unwrap();
            assert!(degradation.faults(4).is_some(), "{name}");
        }
    }
}
