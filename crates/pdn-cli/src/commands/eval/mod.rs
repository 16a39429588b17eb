//! `pdn eval`: degrades, upscales, compares, and prints the protocol with every figure.

mod crops;
mod found;
mod html;

use crate::args::Eval;
use crate::args::choices::ModelChoice;
use crate::display::progress::Progress;
use crate::display::say::{out, tell_lost};
use crate::shared::atomic_file;
use crate::shared::engine::{enlarge, failure, open, options};
use crate::shared::failure::Failure;
use crate::shared::folder::{report, set};
use crate::shared::metrics::Metrics;
use crate::shared::outputs::keep_other;
use crate::shared::prompt::{PromptSetter, content};
use crate::shared::scores::Scores;
use crops::{Crop, is_shown};
use found::{Compared, Found, Measured, Scored};
use pdn::{Limits, Picture, Session, Target, Upscaler};
use std::path::Path;

pub(crate) fn run(args: &Eval) -> Result<(), Failure> {
    args.extras.check(&args.model)?;
    args.report.iter().try_for_each(|path| keep_other(path, args.force))?;
    let upscaler = open(&args.model, &args.engine)?;
    let mut session = upscaler.session();
    let prompt = PromptSetter::new(&args.prompt, &upscaler)?;
    let metrics = Metrics::open(&args.metrics)?;
    let rivals = args.against.iter().map(|other| rival(args, other, upscaler.scale()));
    let mut rivals = rivals.collect::<Result<Vec<_>, _>>()?;
    let paths = set(&args.data)?;
    let progress = Progress::new(paths.len());
    let (mut scored, mut failed) = (Vec::<Scored>::new(), Vec::new());
    for (i, path) in paths.iter().enumerate() {
        let models = (&mut session, &mut rivals[..]);
        let cropped = args.report.is_some() && is_shown(i, paths.len());
        match score(args, models, &prompt, &metrics, (path, cropped), &mut |done| progress.show(i, done)) {
            Ok(one) => scored.push(one),
            Err(interrupted) if interrupted.code == 130 => return Err(interrupted),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    if !scored.is_empty() {
        let mean = Measured::mean(scored.iter().map(|one| &one.measured));
        let compared = args.against.iter().enumerate().map(|(at, model)| Compared::new(model, at, &scored)).collect();
        let scale = upscaler.scale();
        let found = Found { args, scale, prompt: &prompt, metrics: &metrics, scored: &scored, mean, compared };
        if let Some(path) = &args.report {
            let page = html::page(&found);
            atomic_file::write(path, args.force, |path| pdn::write_atomically(path, page.as_bytes()))?;
        }
        match args.json {
            true => out(&format!("{:#}", found.as_json())),
            false => found.print(),
        }
    }
    report(&failed, paths.len())
}

/// Opens the model to compare with, and a setter for its prompts: the same, if it takes any.
fn rival(args: &Eval, model: &Path, scale: usize) -> Result<(Session, PromptSetter), Failure> {
    let choice = ModelChoice { named: Some(model.to_owned()), scale: Some(scale as f64) };
    let upscaler = open(&choice, &args.engine)?;
    let setter = PromptSetter::of_rival(&args.prompt, &upscaler)?;
    Ok((upscaler.session(), setter))
}

/// Scores a picture, and keeps a crop of it if `cropped` is set.
fn score(
    args: &Eval,
    (session, rivals): (&mut Session, &mut [(Session, PromptSetter)]),
    prompt: &PromptSetter,
    metrics: &Metrics,
    (path, cropped): (&Path, bool),
    progress: &mut (dyn FnMut(f64) -> bool + Send),
) -> Result<Scored, Failure> {
    let scale = session.upscaler().scale();
    let picture = pdn::read(path, &Limits::default())?;
    tell_lost(path, &picture);
    let picture = picture.with_alpha(None);
    let small = args.small.degradation.seeded(path).apply(&picture, scale).map_err(|error| Failure::at(path, error))?;
    let hr = picture.modcrop(scale);
    let target = args.extras.target();
    let share = 1.0 / (1 + rivals.len()) as f64;
    let mut score = |session: &mut Session, prompt: &PromptSetter, before: f64| {
        // Set each model's own prompt: one may take none.
        prompt.set(session, prompt.of(path)?.as_ref(), path, &small.eight())?;
        let mut progress = |done| progress(before + share * done);
        let enlarged =
            enlarge(&args.engine, || session.upscale_to(&small, &target, &options(&args.engine), &mut progress))
                .map_err(|error| failure(path, error))?
                .into_eight();
        let scores = Scores::of(&hr, &enlarged, scale).map_err(|error| Failure::at(path, error))?;
        let more = metrics.score(&enlarged, &hr, scale).map_err(|error| Failure::at(path, error))?;
        Ok::<_, Failure>((Measured { scores, more }, enlarged))
    };
    let (measured, result) = score(session, prompt, 0.0)?;
    let used = prompt.of(path)?;
    let faults = prompt.faults(session.upscaler(), used.as_ref(), path, &small.eight())?;
    let against = rivals.iter_mut().zip(1..);
    let against = against.map(|((session, prompt), before)| score(session, prompt, share * f64::from(before)));
    let (against, results): (Vec<Measured>, Vec<Picture>) = against.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let used = used.as_ref().map(|prompt| content(prompt).to_string());
    let others = args.against.iter().map(|model| model.as_path()).zip(&results);
    let models = std::iter::once((args.model.model(), &result)).chain(others);
    let crop = match cropped {
        true => {
            let bicubic = Upscaler::bicubic(scale).and_then(|upscaler| {
                upscaler.session().upscale_to(&small, &Target::default(), &options(&args.engine), &mut |_| true)
            });
            let bicubic = bicubic.map_err(|error| failure(path, error))?.into_eight();
            Some(Crop::new((&hr, &small, scale), &bicubic, models).map_err(|error| Failure::at(path, error))?)
        }
        false => None,
    };
    Ok(Scored { name: name(path), prompt: used, faults, measured, against, crop })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
