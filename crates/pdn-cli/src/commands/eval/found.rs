//! What was measured, and how: as a table and for programs.

use super::crops::Crop;
use crate::args::Eval;
use crate::display::say::{out, say};
use crate::display::table::table;
use crate::shared::bootstrap::DRAWS;
use crate::shared::metrics::{Metrics, cell, differences, means};
use crate::shared::prompt::PromptSetter;
use crate::shared::scores::{Difference, Scores, heads, protocol};
use serde_json::{Value, json};
use std::path::Path;

/// PSNR and SSIM, and the scores of `--metrics`.
pub(super) struct Measured {
    pub(super) scores: Scores,
    pub(super) more: Vec<f64>,
}

impl Measured {
    pub(super) fn mean<'a>(all: impl ExactSizeIterator<Item = &'a Self> + Clone) -> Self {
        let more: Vec<&[f64]> = all.clone().map(|one| one.more.as_slice()).collect();
        Self { scores: Scores::mean(all.map(|one| &one.scores)), more: means(&more) }
    }

    pub(super) fn cells(&self) -> Vec<String> {
        self.scores.cells().into_iter().chain(self.more.iter().map(|score| cell(*score))).collect()
    }
}

/// The results of another model on the same pictures.
pub(super) struct Compared<'a> {
    pub(super) model: &'a Path,
    pub(super) mean: Measured,
    pub(super) difference: Difference,
    /// The mean difference of each further metric, and its interval.
    pub(super) more: Vec<(f64, [f64; 2])>,
}

impl<'a> Compared<'a> {
    /// Compares with the rival of this number.
    pub(super) fn new(model: &'a Path, rival: usize, scored: &[Scored]) -> Self {
        let pairs: Vec<(&Measured, &Measured)> =
            scored.iter().map(|one| (&one.measured, &one.against[rival])).collect();
        let more: Vec<(&[f64], &[f64])> = pairs.iter().map(|(one, other)| (&one.more[..], &other.more[..])).collect();
        let scores: Vec<(Scores, Scores)> = pairs.iter().map(|(one, other)| (one.scores, other.scores)).collect();
        let mean = Measured::mean(pairs.iter().map(|(_, other)| *other));
        Self { model, mean, difference: Difference::of(&scores), more: differences(&more) }
    }

    /// Returns the rows of the table.
    fn rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, cells: [String; 3]| std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>();
        let mut rows = vec![
            std::iter::once(format!("mean of {}", self.model.display())).chain(self.mean.cells()).collect(),
            row("difference, PSNR", self.difference.cells(Difference::PSNR)),
            row("difference, SSIM", self.difference.cells(Difference::SSIM)),
        ];
        if !self.more.is_empty() {
            let cells = self.more.iter().map(|(mean, [low, high])| format!("{mean:+.4} ({low:+.4} to {high:+.4})"));
            rows.push(row("difference, others", Default::default()).into_iter().chain(cells).collect());
        }
        rows
    }
}

/// A picture, its prompt and faults in words, and its scores.
pub(super) struct Scored {
    pub(super) name: String,
    pub(super) prompt: Option<String>,
    /// The faults that the model was steered by.
    pub(super) faults: Option<String>,
    pub(super) measured: Measured,
    /// The scores of each model to compare with.
    pub(super) against: Vec<Measured>,
    /// A crop, for the report.
    pub(super) crop: Option<Crop>,
}

impl Scored {
    /// Converts to JSON, with the prompt if pictures have different ones.
    fn as_json(&self, prompted: bool, metrics: &Metrics) -> Value {
        let mut entry = json!({"picture": self.name, "scores": self.measured.scores.as_json()});
        if !self.measured.more.is_empty() {
            entry["metrics"] = metrics.object(self.measured.more.iter().map(|score| json!(score)));
        }
        if prompted {
            entry["prompt"] = json!(self.prompt);
        }
        if let Some(faults) = &self.faults {
            entry["faults"] = json!(faults);
        }
        let of_rival = |rival: &Measured| {
            let more = rival.more.iter().map(|score| json!(score));
            json!({"scores": rival.scores.as_json(), "metrics": metrics.object(more)})
        };
        if !self.against.is_empty() {
            entry["against"] = self.against.iter().map(of_rival).collect();
        }
        entry
    }
}

/// The measurements, and how they were made.
pub(super) struct Found<'a> {
    pub(super) args: &'a Eval,
    pub(super) scale: usize,
    pub(super) prompt: &'a PromptSetter,
    pub(super) metrics: &'a Metrics,
    pub(super) scored: &'a [Scored],
    pub(super) mean: Measured,
    pub(super) compared: Vec<Compared<'a>>,
}

impl Found<'_> {
    pub(super) fn print(&self) {
        self.protocol().iter().for_each(|(what, words)| say!("{what:<12} {words}"));
        say!("");
        out(&table(&self.rows()));
    }

    /// Returns how the figures were made, by name.
    pub(super) fn protocol(&self) -> Vec<(&'static str, String)> {
        let Self { args, scale, scored, metrics, .. } = self;
        let mut lines = vec![
            ("model", format!("{} x{scale}{}", args.model.model().display(), args.extras.words())),
            ("prompt", self.prompt.words().to_string()),
        ];
        lines.extend(self.prompt.faults_words().map(|faults| ("faults", faults.to_string())));
        let pictures = format!("{} of {}, cropped to multiples of {scale}", scored.len(), args.data.display());
        let protocol =
            format!("8-bit pictures, {scale} pixels shaved from each side; PSNR in dB and SSIM, mean over pictures");
        lines.extend([("pictures", pictures), ("degradation", degradation(args)), ("protocol", protocol)]);
        lines.extend(metrics.words().into_iter().map(|words| ("metric", words)));
        if !self.compared.is_empty() {
            let words = format!("mean over pictures, with 95 % bootstrap intervals ({DRAWS} resamples)");
            lines.push(("difference", words));
        }
        lines
    }

    /// Returns the table: the headers, a row for each picture, the means, and differences.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, cells: Vec<String>| std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>();
        let mut rows = vec![row("picture", heads().into_iter().chain(self.metrics.heads()).collect())];
        rows.extend(self.scored.iter().map(|one| row(&one.name, one.measured.cells())));
        rows.push(row("mean", self.mean.cells()));
        rows.extend(self.compared.iter().flat_map(Compared::rows));
        rows
    }

    pub(super) fn as_json(&self) -> Value {
        let Self { args, scale, prompt, metrics, .. } = self;
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
            "pictures": self.scored.iter().map(|one| one.as_json(prompt.differs(), metrics)).collect::<Vec<_>>(),
            "mean": self.mean.scores.as_json(),
        });
        let scores = |more: &[f64]| metrics.object(more.iter().map(|score| json!(score)));
        if !self.mean.more.is_empty() {
            facts["mean_metrics"] = scores(&self.mean.more);
            facts["metrics_protocol"] = metrics.protocols();
        }
        if let Some(faults) = prompt.faults_words() {
            facts["faults"] = json!(faults);
        }
        let compared = |Compared { model, mean, difference, more }: &Compared| {
            let differences = more.iter().map(|(mean, interval)| json!({"mean": mean, "interval": interval}));
            json!({
                "model": model.display().to_string(),
                "mean": mean.scores.as_json(),
                "mean_metrics": scores(&mean.more),
                "difference": difference.as_json(),
                "difference_metrics": metrics.object(differences),
                "interval": format!("95 % of {DRAWS} means of as many pictures, drawn from these again"),
            })
        };
        if !self.compared.is_empty() {
            facts["against"] = self.compared.iter().map(compared).collect();
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
