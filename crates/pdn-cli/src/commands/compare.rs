//! `pdn compare`: PSNR and SSIM of two pictures, with their protocol.

use crate::args::Compare;
use crate::display::say::{out, say, tell, tell_lost};
use crate::display::table::table;
use crate::shared::failure::Failure;
use crate::shared::metrics::{Metrics, cell};
use crate::shared::scores::{Scores, heads, protocol};
use pdn::{Limits, Picture};
use serde_json::json;

pub(crate) fn run(args: &Compare) -> Result<(), Failure> {
    let metrics = Metrics::open(&args.metrics)?;
    let [reference, picture] = [&args.reference, &args.picture].map(|path| pdn::read(path, &Limits::default()));
    let (reference, picture) = (reference?, picture?);
    for (path, picture) in [(&args.reference, &reference), (&args.picture, &picture)] {
        tell_lost(path, picture);
        if picture.has_transparency() {
            tell!("pdn: {}: only colours are compared, transparency is ignored", path.display());
        }
    }
    if picture.width() > reference.width() || picture.height() > reference.height() {
        let size = |picture: &Picture| format!("{}x{}", picture.width(), picture.height());
        let why = format!(
            "is {}, larger than the reference of {}; expected the same size or smaller",
            size(&picture),
            size(&reference)
        );
        return Err(Failure::at(&args.picture, why));
    }
    // Crop like an evaluation: a result from a cropped picture is compared with the cropped picture.
    let whole = [reference.width(), reference.height()];
    let reference = reference.cropped(picture.width(), picture.height());
    let kept = [reference.width(), reference.height()];
    let scores = Scores::of(&reference, &picture, args.shave).map_err(|error| Failure::at(&args.picture, error))?;
    let more = |of: &Picture| metrics.score(of, &reference, args.shave);
    let (of_picture, of_reference) = more(&picture)
        .and_then(|one| Ok((one, more(&reference)?)))
        .map_err(|error| Failure::at(&args.picture, error))?;
    if args.json {
        let sizes = json!({"reference": whole, "compared": kept});
        let mut facts = json!({"scores": scores.as_json(), "sizes": sizes, "protocol": protocol(args.shave)});
        if !args.metrics.metrics.is_empty() {
            facts["metrics"] = metrics.object(of_picture.iter().map(|score| json!(score)));
            facts["metrics_of_reference"] = metrics.object(of_reference.iter().map(|score| json!(score)));
            facts["metrics_protocol"] = metrics.protocols();
        }
        out(&format!("{facts:#}"));
        return Ok(());
    }
    say!("{} with {}", args.picture.display(), args.reference.display());
    if whole != kept {
        say!("reference cropped from {}x{} to {}x{} at the right and bottom", whole[0], whole[1], kept[0], kept[1]);
    }
    say!("8-bit pictures, {} pixels shaved from each side; PSNR in dB and SSIM", args.shave);
    metrics.words().iter().for_each(|line| say!("{line}"));
    say!("");
    let mut rows: Vec<Vec<String>> =
        heads().into_iter().zip(scores.cells()).map(|(head, cell)| vec![head, cell]).collect();
    for (metric, (score, reference)) in metrics.iter().zip(of_picture.into_iter().zip(of_reference)) {
        let beside = if metric.compares() { String::new() } else { format!(" (reference {})", cell(reference)) };
        rows.push(vec![metric.name().into(), cell(score) + &beside]);
    }
    out(&table(&rows));
    Ok(())
}
