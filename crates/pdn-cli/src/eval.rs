//! `pdn eval`: degrade, enlarge, compare, with the protocol beside every figure.

use crate::args::Eval;
use crate::failure::Failure;
use crate::folder::{pictures, report};
use crate::progress::Progress;
use crate::prompt::PromptSetter;
use crate::scores::{Scores, heads, protocol};
use crate::table::table;
use crate::upscale::{enlarge, failure, open, options};
use pdn::{Limits, Upscaler};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn run(args: &Eval) -> Result<(), Failure> {
    args.extras.check(&args.model)?;
    let mut upscaler = open(&args.model, &args.engine)?;
    let prompt = PromptSetter::new(&args.prompt, &upscaler)?;
    let paths = pictures(&args.data)?;
    let progress = Progress::new(paths.len());
    let (mut scored, mut failed) = (Vec::<Scored>::new(), Vec::new());
    for (i, path) in paths.iter().enumerate() {
        match score(args, &mut upscaler, &prompt, path, &mut |done| progress.show(i, done)) {
            Ok(one) => scored.push(one),
            Err(interrupted) if interrupted.code == 130 => return Err(interrupted),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    if !scored.is_empty() {
        let mean = Scores::mean(scored.iter().map(|one| &one.scores));
        match args.json {
            true => println!("{:#}", as_json(args, &upscaler, &prompt, &scored, &mean)),
            false => print_table(args, &upscaler, &prompt, &scored, &mean),
        }
    }
    report(&failed, paths.len())
}

/// A picture, its prompt in words, and how well it was enlarged.
struct Scored {
    name: String,
    prompt: Option<String>,
    scores: Scores,
}

fn score(
    args: &Eval,
    upscaler: &mut Upscaler,
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
    prompt.set(upscaler, used.as_ref(), path, &small)?;
    let (small, target) = (small.into(), args.extras.target());
    let enlarged = enlarge(&args.engine, || upscaler.upscale_to(&small, &target, &options(&args.engine), progress))
        .map_err(|error| failure(path, error))?
        .into_eight();
    let scores = Scores::of(&hr, &enlarged, scale).map_err(|error| Failure::at(path, error))?;
    Ok(Scored { name: name(path), prompt: used.map(|prompt| prompt.to_string()), scores })
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn print_table(args: &Eval, upscaler: &Upscaler, prompt: &PromptSetter, scored: &[Scored], mean: &Scores) {
    let scale = upscaler.scale();
    println!("model        {} x{scale}{}", args.model.model().display(), args.extras.words());
    println!("prompt       {}", prompt.words());
    println!("pictures     {} of {}, cut to multiples of {scale}", scored.len(), args.data.display());
    println!("degradation  {}", degradation(args));
    println!("compared     8-bit pictures, {scale} pixels shaved a side; PSNR in dB and SSIM, mean over pictures\n");
    let row = |name: &str, cells: [String; 3]| std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>();
    let mut rows = vec![row("picture", heads())];
    rows.extend(scored.iter().map(|one| row(&one.name, one.scores.cells())));
    rows.push(row("mean", mean.cells()));
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

fn as_json(args: &Eval, upscaler: &Upscaler, prompt: &PromptSetter, scored: &[Scored], mean: &Scores) -> Value {
    let entry = |one: &Scored| {
        let mut entry = json!({"picture": one.name, "scores": one.scores.as_json()});
        if prompt.differs() {
            entry["prompt"] = json!(one.prompt);
        }
        entry
    };
    let pictures: Vec<Value> = scored.iter().map(entry).collect();
    json!({
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
    })
}
