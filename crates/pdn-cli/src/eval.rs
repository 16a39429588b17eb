//! `pdn eval`: degrade, enlarge, compare, with the protocol beside every figure.

use crate::args::{Eval, ModelChoice};
use crate::bootstrap::DRAWS;
use crate::failure::Failure;
use crate::folder::{pictures, report};
use crate::progress::Progress;
use crate::prompt::PromptSetter;
use crate::scores::{Difference, Scores, heads, protocol};
use crate::table::table;
use crate::upscale::{enlarge, failure, open, options};
use pdn::{Limits, Upscaler};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn run(args: &Eval) -> Result<(), Failure> {
    args.extras.check(&args.model)?;
    let mut upscaler = open(&args.model, &args.engine)?;
    let prompt = PromptSetter::new(&args.prompt, &upscaler)?;
    let mut against = args.against.as_ref().map(|other| rival(args, other, upscaler.scale())).transpose()?;
    let paths = pictures(&args.data)?;
    let progress = Progress::new(paths.len());
    let (mut scored, mut failed) = (Vec::<Scored>::new(), Vec::new());
    for (i, path) in paths.iter().enumerate() {
        match score(args, (&mut upscaler, against.as_mut()), &prompt, path, &mut |done| progress.show(i, done)) {
            Ok(one) => scored.push(one),
            Err(interrupted) if interrupted.code == 130 => return Err(interrupted),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    if !scored.is_empty() {
        let mean = Scores::mean(scored.iter().map(|one| &one.scores));
        let compared = args.against.as_deref().map(|model| Compared::new(model, &scored));
        match args.json {
            true => println!("{:#}", as_json(args, &upscaler, &prompt, &scored, &mean, compared.as_ref())),
            false => print_table(args, &upscaler, &prompt, &scored, &mean, compared.as_ref()),
        }
    }
    report(&failed, paths.len())
}

/// The model that the first is held against, with a setter of its prompts: the same, where it takes any.
fn rival(args: &Eval, model: &Path, scale: usize) -> Result<(Upscaler, PromptSetter), Failure> {
    let choice = ModelChoice { named: Some(model.to_owned()), scale: Some(scale as f64) };
    let upscaler = open(&choice, &args.engine)?;
    let setter = match upscaler.takes_prompt() {
        true => PromptSetter::new(&args.prompt, &upscaler)?,
        false => PromptSetter::none(),
    };
    Ok((upscaler, setter))
}

/// What came of another model on the same pictures.
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

/// A picture, its prompt in words, and how well it was enlarged.
struct Scored {
    name: String,
    prompt: Option<String>,
    scores: Scores,
    /// Another model's.
    against: Option<Scores>,
}

fn score(
    args: &Eval,
    (upscaler, against): (&mut Upscaler, Option<&mut (Upscaler, PromptSetter)>),
    prompt: &PromptSetter,
    path: &Path,
    progress: &mut (dyn FnMut(f64) -> bool + Send),
) -> Result<Scored, Failure> {
    let scale = upscaler.scale();
    let picture = pdn::read(path, &Limits::default())?;
    let picture = picture.with_alpha(None);
    let small = args.degradation.seeded(path).apply(&picture, scale).map_err(|error| Failure::at(path, error))?;
    let hr = picture.modcrop(scale);
    let used = prompt.of(path)?;
    let target = args.extras.target();
    let mut score = |upscaler: &mut Upscaler, prompt: &PromptSetter| {
        prompt.set(upscaler, used.as_ref(), path, &small)?;
        let small = small.clone().into();
        let enlarged = enlarge(&args.engine, || upscaler.upscale_to(&small, &target, &options(&args.engine), progress))
            .map_err(|error| failure(path, error))?
            .into_eight();
        Scores::of(&hr, &enlarged, scale).map_err(|error| Failure::at(path, error))
    };
    let scores = score(upscaler, prompt)?;
    let against = against.map(|(upscaler, prompt)| score(upscaler, prompt)).transpose()?;
    Ok(Scored { name: name(path), prompt: used.map(|prompt| prompt.to_string()), scores, against })
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn print_table(
    args: &Eval,
    upscaler: &Upscaler,
    prompt: &PromptSetter,
    scored: &[Scored],
    mean: &Scores,
    compared: Option<&Compared>,
) {
    let scale = upscaler.scale();
    println!("model        {} x{scale}{}", args.model.model().display(), args.extras.words());
    println!("prompt       {}", prompt.words());
    println!("pictures     {} of {}, cut to multiples of {scale}", scored.len(), args.data.display());
    println!("degradation  {}", degradation(args));
    println!("compared     8-bit pictures, {scale} pixels shaved a side; PSNR in dB and SSIM, mean over pictures");
    if compared.is_some() {
        println!("difference   mean over pictures, and the interval of 95 % of {DRAWS} draws of as many of them");
    }
    println!();
    let row = |name: &str, cells: [String; 3]| std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>();
    let mut rows = vec![row("picture", heads())];
    rows.extend(scored.iter().map(|one| row(&one.name, one.scores.cells())));
    rows.push(row("mean", mean.cells()));
    if let Some(Compared { model, mean, difference }) = compared {
        rows.push(row(&format!("mean of {}", model.display()), mean.cells()));
        rows.push(row("difference, PSNR", difference.cells(Difference::PSNR)));
        rows.push(row("difference, SSIM", difference.cells(Difference::SSIM)));
    }
    println!("{}", table(&rows));
}

fn degradation(args: &Eval) -> String {
    let how = match args.degradation {
        pdn::Degradation::Bicubic => "MATLAB's bicubic imresize",
        pdn::Degradation::BlurBicubic => "MATLAB's imgaussfilt of 1.3 pixels, then its bicubic imresize",
        pdn::Degradation::Practical { .. } => "random blur, noise, JPEG and resize, by the file's name",
    };
    format!("{}: {how}", args.degradation)
}

fn as_json(
    args: &Eval,
    upscaler: &Upscaler,
    prompt: &PromptSetter,
    scored: &[Scored],
    mean: &Scores,
    compared: Option<&Compared>,
) -> Value {
    let entry = |one: &Scored| {
        let mut entry = json!({"picture": one.name, "scores": one.scores.as_json()});
        if prompt.differs() {
            entry["prompt"] = json!(one.prompt);
        }
        if let Some(against) = &one.against {
            entry["against"] = against.as_json();
        }
        entry
    };
    let pictures: Vec<Value> = scored.iter().map(entry).collect();
    let mut facts = json!({
        "model": args.model.model().display().to_string(),
        "scale": upscaler.scale(),
        "self_ensemble": args.extras.self_ensemble,
        "color_fix": args.extras.color_fix,
        "prompt": prompt.words(),
        "data": args.data.display().to_string(),
        "cut_to_multiples_of": upscaler.scale(),
        "degradation": args.degradation.to_string(),
        "protocol": protocol(upscaler.scale()),
        "pictures": pictures,
        "mean": mean.as_json(),
    });
    if let Some(Compared { model, mean, difference }) = compared {
        facts["against"] = json!({
            "model": model.display().to_string(),
            "mean": mean.as_json(),
            "difference": difference.as_json(),
            "interval": format!("95 % of {DRAWS} means of as many pictures, drawn from these again"),
        });
    }
    facts
}
