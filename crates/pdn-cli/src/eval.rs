//! `pdn eval`: degrade, enlarge, compare, with the protocol beside every figure.

use crate::args::Eval;
use crate::failure::Failure;
use crate::folder::{pictures, report};
use crate::progress::Progress;
use crate::table::table;
use crate::upscale::{enlarge, failure, open, options};
use pdn::{ColourSpace, Limits, Picture, Protocol, Upscaler, psnr, ssim};
use serde_json::{Value, json};
use std::path::Path;

/// What is compared, in the order of the columns.
const SPACES: [(ColourSpace, &str); 3] =
    [(ColourSpace::YMatlab, "y_matlab"), (ColourSpace::YFull, "y_full"), (ColourSpace::Rgb, "rgb")];

/// PSNR and SSIM in each space.
type Scores = [(f64, f64); SPACES.len()];

pub(crate) fn run(args: &Eval) -> Result<(), Failure> {
    let upscaler = open(&args.model, &args.engine)?;
    let paths = pictures(&args.data)?;
    let progress = Progress::new(paths.len());
    let (mut scored, mut failed) = (Vec::new(), Vec::new());
    for (i, path) in paths.iter().enumerate() {
        match score(args, &upscaler, path, &mut |done| progress.show(i, done)) {
            Ok(scores) => scored.push((name(path), scores)),
            Err(interrupted) if interrupted.code == 130 => return Err(interrupted),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    if !scored.is_empty() {
        let mean = mean(&scored);
        match args.json {
            true => println!("{:#}", as_json(args, &upscaler, &scored, &mean)),
            false => print_table(args, &upscaler, &scored, &mean),
        }
    }
    report(&failed, paths.len())
}

fn score(
    args: &Eval,
    upscaler: &Upscaler,
    path: &Path,
    progress: &mut (dyn FnMut(f64) -> bool + Send),
) -> Result<Scores, Failure> {
    let scale = upscaler.scale();
    let picture = pdn::read(path, &Limits::default())?;
    let hr = Picture::with_alpha(picture, None).modcrop(scale);
    let small = args.degradation.apply(&hr, scale).map_err(|error| Failure::at(path, error))?;
    let enlarged = enlarge(&args.engine, || upscaler.upscale(&small, &options(&args.engine), progress))
        .map_err(|error| failure(path, error))?;
    let mut scores = Scores::default();
    for ((space, _), score) in SPACES.iter().zip(&mut scores) {
        let protocol = Protocol { space: *space, shave: scale };
        let both = psnr(&hr, &enlarged, protocol).and_then(|p| Ok((p, ssim(&hr, &enlarged, protocol)?)));
        *score = both.map_err(|error| Failure::at(path, error))?;
    }
    Ok(scores)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn mean(scored: &[(String, Scores)]) -> Scores {
    let count = scored.len() as f64;
    let sum = |f: &dyn Fn(&Scores) -> f64| scored.iter().map(|(_, scores)| f(scores)).sum::<f64>() / count;
    std::array::from_fn(|i| (sum(&|scores| scores[i].0), sum(&|scores| scores[i].1)))
}

fn print_table(args: &Eval, upscaler: &Upscaler, scored: &[(String, Scores)], mean: &Scores) {
    let scale = upscaler.scale();
    println!("model        {} x{scale}", args.model.model.display());
    println!("pictures     {} of {}, cut to multiples of {scale}", scored.len(), args.data.display());
    println!("degradation  {}", degradation(args));
    println!("compared     8-bit pictures, {scale} pixels shaved a side; PSNR in dB and SSIM, mean over pictures\n");
    let mut rows = vec![std::iter::once("picture".into()).chain(SPACES.map(|(space, _)| space.to_string())).collect()];
    let mean = ("mean".to_owned(), *mean);
    for (name, scores) in scored.iter().chain([&mean]) {
        let cells = scores.iter().map(|(psnr, ssim)| format!("{psnr:.3} / {ssim:.4}"));
        rows.push(std::iter::once(name.clone()).chain(cells).collect());
    }
    println!("{}", table(&rows));
}

fn degradation(args: &Eval) -> String {
    let how = match args.degradation {
        pdn::Degradation::Bicubic => "MATLAB's bicubic imresize",
        pdn::Degradation::BlurBicubic => "MATLAB's imgaussfilt of 1.3 pixels, then its bicubic imresize",
    };
    format!("{}: {how}", args.degradation)
}

fn as_json(args: &Eval, upscaler: &Upscaler, scored: &[(String, Scores)], mean: &Scores) -> Value {
    let scores = |scores: &Scores| {
        let entries = SPACES.iter().zip(scores);
        Value::Object(entries.map(|((_, key), (p, s))| ((*key).into(), json!({"psnr": p, "ssim": s}))).collect())
    };
    let pictures: Vec<Value> =
        scored.iter().map(|(name, found)| json!({"picture": name, "scores": scores(found)})).collect();
    json!({
        "model": args.model.model.display().to_string(),
        "scale": upscaler.scale(),
        "data": args.data.display().to_string(),
        "degradation": args.degradation.to_string(),
        "protocol": {
            "cut_to_multiples_of": upscaler.scale(),
            "shave": upscaler.scale(),
            "rounded_to_bits": 8,
            "y_matlab": "luma 16 to 235, not rounded",
            "y_full": "luma 0 to 255, not rounded",
            "ssim": "Wang 2004, 11x11 Gaussian of 1.5, valid windows; in RGB the mean over channels",
        },
        "pictures": pictures,
        "mean": scores(mean),
    })
}
