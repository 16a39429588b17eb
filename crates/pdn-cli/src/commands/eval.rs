//! `pdn eval`: degrades, upscales, compares, and prints the protocol with every figure.

use crate::args::Eval;
use crate::args::choices::ModelChoice;
use crate::display::progress::Progress;
use crate::display::say::{out, say, tell_lost};
use crate::display::table::table;
use crate::shared::bootstrap::DRAWS;
use crate::shared::engine::{enlarge, failure, open, options};
use crate::shared::failure::Failure;
use crate::shared::folder::{report, set};
use crate::shared::prompt::{PromptSetter, content};
use crate::shared::scores::{Difference, Scores, heads, protocol};
use pdn::{Limits, Session};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn run(args: &Eval) -> Result<(), Failure> {
    args.extras.check(&args.model)?;
    let upscaler = open(&args.model, &args.engine)?;
    let mut session = upscaler.session();
    let prompt = PromptSetter::new(&args.prompt, &upscaler)?;
    let mut against = args.against.as_ref().map(|other| rival(args, other, upscaler.scale())).transpose()?;
    let paths = set(&args.data)?;
    let progress = Progress::new(paths.len());
    let (mut scored, mut failed) = (Vec::<Scored>::new(), Vec::new());
    for (i, path) in paths.iter().enumerate() {
        match score(args, (&mut session, against.as_mut()), &prompt, path, &mut |done| progress.show(i, done)) {
            Ok(one) => scored.push(one),
            Err(interrupted) if interrupted.code == 130 => return Err(interrupted),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    if !scored.is_empty() {
        let mean = Scores::mean(scored.iter().map(|one| &one.scores));
        let compared = args.against.as_deref().map(|model| Compared::new(model, &scored));
        let found = Found { args, scale: upscaler.scale(), prompt: &prompt, scored: &scored, mean, compared };
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

/// The results of another model on the same pictures.
struct Compared<'a> {
    model: &'a Path,
    mean: Scores,
    difference: Difference,
}

impl<'a> Compared<'a> {
    fn new(model: &'a Path, scored: &[Scored]) -> Self {
        let pairs: Vec<(Scores, Scores)> = scored.iter().filter_map(|one| Some((one.scores, one.against?))).collect();
        Self { model, mean: Scores::mean(pairs.iter().map(|(_, other)| other)), difference: Difference::of(&pairs) }
    }
}

/// A picture, its prompt and faults in words, and its scores.
struct Scored {
    name: String,
    prompt: Option<String>,
    /// The faults that the model was steered by.
    faults: Option<String>,
    scores: Scores,
    /// Another model's scores.
    against: Option<Scores>,
}

impl Scored {
    /// Converts to JSON, with the prompt if pictures have different ones.
    fn as_json(&self, prompted: bool) -> Value {
        let mut entry = json!({"picture": self.name, "scores": self.scores.as_json()});
        if prompted {
            entry["prompt"] = json!(self.prompt);
        }
        if let Some(faults) = &self.faults {
            entry["faults"] = json!(faults);
        }
        if let Some(against) = &self.against {
            entry["against"] = against.as_json();
        }
        entry
    }
}

fn score(
    args: &Eval,
    (session, against): (&mut Session, Option<&mut (Session, PromptSetter)>),
    prompt: &PromptSetter,
    path: &Path,
    progress: &mut (dyn FnMut(f64) -> bool + Send),
) -> Result<Scored, Failure> {
    let scale = session.upscaler().scale();
    let picture = pdn::read(path, &Limits::default())?;
    tell_lost(path, &picture);
    let picture = picture.with_alpha(None);
    let small = args.small.degradation.seeded(path).apply(&picture, scale).map_err(|error| Failure::at(path, error))?;
    let hr = picture.modcrop(scale);
    let target = args.extras.target();
    let share = 1.0 / (1 + usize::from(against.is_some())) as f64;
    let mut score = |session: &mut Session, prompt: &PromptSetter, before: f64| {
        // Set each model's own prompt: one may take none.
        prompt.set(session, prompt.of(path)?.as_ref(), path, &small.eight())?;
        let mut progress = |done| progress(before + share * done);
        let enlarged =
            enlarge(&args.engine, || session.upscale_to(&small, &target, &options(&args.engine), &mut progress))
                .map_err(|error| failure(path, error))?
                .into_eight();
        Scores::of(&hr, &enlarged, scale).map_err(|error| Failure::at(path, error))
    };
    let scores = score(session, prompt, 0.0)?;
    let used = prompt.of(path)?;
    let faults = prompt.faults(session.upscaler(), used.as_ref(), path, &small.eight())?;
    let against = against.map(|(session, prompt)| score(session, prompt, share)).transpose()?;
    let used = used.as_ref().map(|prompt| content(prompt).to_string());
    Ok(Scored { name: name(path), prompt: used, faults, scores, against })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The measurements, and how they were made.
struct Found<'a> {
    args: &'a Eval,
    scale: usize,
    prompt: &'a PromptSetter,
    scored: &'a [Scored],
    mean: Scores,
    compared: Option<Compared<'a>>,
}

impl Found<'_> {
    fn print(&self) {
        let Self { args, scale, scored, .. } = self;
        say!("model        {} x{scale}{}", args.model.model().display(), args.extras.words());
        say!("prompt       {}", self.prompt.words());
        self.prompt.faults_words().into_iter().for_each(|faults| say!("faults       {faults}"));
        say!("pictures     {} of {}, cropped to multiples of {scale}", scored.len(), args.data.display());
        say!("degradation  {}", degradation(args));
        say!(
            "protocol     8-bit pictures, {scale} pixels shaved from each side; PSNR in dB and SSIM, mean over pictures"
        );
        if self.compared.is_some() {
            say!("difference   mean over pictures, with 95 % bootstrap intervals ({DRAWS} resamples)");
        }
        say!("");
        let row = |name: &str, cells: [String; 3]| std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>();
        let mut rows = vec![row("picture", heads())];
        rows.extend(scored.iter().map(|one| row(&one.name, one.scores.cells())));
        rows.push(row("mean", self.mean.cells()));
        if let Some(Compared { model, mean, difference }) = &self.compared {
            rows.push(row(&format!("mean of {}", model.display()), mean.cells()));
            rows.push(row("difference, PSNR", difference.cells(Difference::PSNR)));
            rows.push(row("difference, SSIM", difference.cells(Difference::SSIM)));
        }
        out(&table(&rows));
    }

    fn as_json(&self) -> Value {
        let Self { args, scale, prompt, .. } = self;
        let mut facts = json!({
            "model": args.model.model().display().to_string(),
            "scale": scale,
            "self_ensemble": args.extras.self_ensemble,
            "color_fix": args.extras.color_fix,
            "prompt": prompt.words(),
            "data": args.data.display().to_string(),
            "cut_to_multiples_of": scale,
            "degradation": args.small.degradation.to_string(),
            "protocol": protocol(*scale),
            "pictures": self.scored.iter().map(|one| one.as_json(prompt.differs())).collect::<Vec<_>>(),
            "mean": self.mean.as_json(),
        });
        if let Some(faults) = prompt.faults_words() {
            facts["faults"] = json!(faults);
        }
        if let Some(Compared { model, mean, difference }) = &self.compared {
            facts["against"] = json!({
                "model": model.display().to_string(),
                "mean": mean.as_json(),
                "difference": difference.as_json(),
                "interval": format!("95 % of {DRAWS} means of as many pictures, drawn from these again"),
            });
        }
        facts
    }
}

fn degradation(args: &Eval) -> String {
    let how = match args.small.degradation {
        pdn::Degradation::Bicubic => "MATLAB's bicubic imresize",
        pdn::Degradation::BlurBicubic => "MATLAB's imgaussfilt of 1.3 pixels, then its bicubic imresize",
        pdn::Degradation::BlurBicubicFloat => "Gaussian of 1.3 pixels, then bicubic, rounded to 8 bits once",
        pdn::Degradation::BlurBicubic16 => "Gaussian of 1.3 pixels, then bicubic, 16 bits per sample",
        pdn::Degradation::Practical { .. } => "random blur, noise, JPEG and resize, seeded by the file name",
        pdn::Degradation::Mixed { .. } => "known faults by random amounts, seeded by the file name",
        pdn::Degradation::Known(_) => "blurs in pixels of the small picture, then bicubic, rounded to 8 bits once",
    };
    format!("{}: {how}", args.small.degradation)
}
