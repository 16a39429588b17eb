//! The figures of the matrix, and how they are printed.

use super::prompts::{CONDITIONS, MEANINGS, NONE, RIGHT, RIGHT_ALONE, TRAINING, WRONG, WRONG_ALONE};
use crate::args::controls::Controls;
use crate::display::say::{out, say};
use crate::display::table::table;
use crate::shared::bootstrap::{DRAWS, ahead, mean_with_interval, ratio_with_interval};
use pdn::Degradation;
use serde_json::{Value, json};

/// A figure, and its interval.
type Figure = (f64, [f64; 2]);

/// The decibels of one picture under each condition.
type Row = [Option<f64>; CONDITIONS.len()];

/// The decibels of a picture, for each degradation under each condition; `None` where the picture lacks what it needs.
pub(super) type Scores = Vec<[Option<f64>; CONDITIONS.len()]>;

/// What was measured, of more than one picture.
pub(super) struct Measured<'a> {
    pub(super) args: &'a Controls,
    pub(super) scale: usize,
    pub(super) encoder: &'a str,
    pub(super) degradations: &'a [Degradation],
    pub(super) scored: &'a [Scores],
}

/// The figures of one degradation, or of their mean.
struct Block {
    name: String,
    conditions: Vec<Condition>,
    /// By how much what is told rightly is ahead of what is told wrongly.
    right_minus_wrong: Option<Figure>,
    /// The same of the words alone.
    alone: Option<Figure>,
    /// What part of the gain by the wordings of the training those held back from it have.
    held_back_share: Option<Figure>,
}

struct Condition {
    name: &'static str,
    psnr: Option<f64>,
    /// By how much it is ahead of telling nothing.
    gain: Option<Figure>,
}

impl Block {
    fn new(name: String, rows: &[Row]) -> Self {
        let conditions = (0..CONDITIONS.len()).map(|at| Condition {
            name: CONDITIONS[at],
            psnr: mean(&rows.iter().filter_map(|row| row[at]).collect::<Vec<_>>()),
            gain: difference(rows, at, NONE).filter(|_| at != NONE),
        });
        let gains = |row: &Row| {
            let of = |at: usize| Some(ahead(row[at]?, row[NONE]?));
            Some((of(RIGHT)?, of(TRAINING)?))
        };
        let gains: Vec<(f64, f64)> = rows.iter().filter_map(gains).collect();
        let share = (!gains.is_empty()).then(|| ratio_with_interval(&gains));
        Self {
            name,
            conditions: conditions.collect(),
            right_minus_wrong: difference(rows, RIGHT, WRONG),
            alone: difference(rows, RIGHT_ALONE, WRONG_ALONE),
            held_back_share: share.filter(|(share, _)| share.is_finite()),
        }
    }

    fn as_json(&self) -> Value {
        let of = |figure: &Option<Figure>| figure.map(|(mean, interval)| json!({"mean": mean, "interval": interval}));
        let condition = |one: &Condition| json!({"prompt": one.name, "psnr": one.psnr, "over_none": of(&one.gain)});
        json!({
            "degradation": self.name,
            "conditions": self.conditions.iter().map(condition).collect::<Vec<_>>(),
            "right_minus_wrong": of(&self.right_minus_wrong),
            "right_minus_wrong_words_alone": of(&self.alone),
            "held_back_share": of(&self.held_back_share),
        })
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![[self.name.as_str(), "PSNR", "over none", "interval"].map(str::to_owned).to_vec()];
        rows.extend(self.conditions.iter().filter(|one| one.psnr.is_some()).map(|one| {
            let psnr = one.psnr.map_or(String::new(), |psnr| format!("{psnr:.3}"));
            let mut row = vec![format!("  {}", one.name), psnr];
            row.extend(one.gain.map(|gain| cells(gain, 4)).into_iter().flatten());
            row
        }));
        let extra = [
            ("right minus wrong", self.right_minus_wrong),
            ("  words alone", self.alone),
            ("held-back share", self.held_back_share),
        ];
        rows.extend(extra.into_iter().filter_map(|(name, figure)| {
            let mut row = vec![format!("  {name}"), String::new()];
            row.extend(cells(figure?, if name == "held-back share" { 2 } else { 4 }));
            Some(row)
        }));
        rows
    }
}

impl Measured<'_> {
    pub(super) fn print(&self) {
        match self.args.json {
            true => out(&format!("{:#}", self.as_json())),
            false => self.print_tables(),
        }
    }

    /// Returns a block for each degradation, and last that of their mean for each picture.
    fn blocks(&self) -> Vec<Block> {
        let each = self.degradations.iter().enumerate().map(|(at, degradation)| {
            Block::new(degradation.to_string(), &self.scored.iter().map(|scores| scores[at]).collect::<Vec<_>>())
        });
        let means: Vec<Row> = self.scored.iter().map(|scores| mean_row(scores)).collect();
        each.chain([Block::new("mean over degradations".into(), &means)]).collect()
    }

    fn protocol(&self) -> String {
        format!(
            "PSNR in dB, MATLAB's Y, {} pixels shaved a side, 8-bit pictures, mean over pictures; differences with \
             their 95 % intervals, {DRAWS} draws of the pictures; the held-back share is the gain of `right` over that \
             of `right, training wordings`",
            self.scale
        )
    }

    fn as_json(&self) -> Value {
        let mut blocks: Vec<Value> = self.blocks().iter().map(Block::as_json).collect();
        let mean = blocks.pop();
        let meanings = CONDITIONS.iter().zip(MEANINGS).map(|(name, meaning)| json!({"prompt": name, "is": meaning}));
        json!({
            "model": self.args.model.model().display().to_string(),
            "encoder": self.encoder,
            "data": self.args.data.display().to_string(),
            "pictures": self.scored.len(),
            "protocol": self.protocol(),
            "prompts": meanings.collect::<Vec<_>>(),
            "degradations": blocks,
            "mean": mean,
        })
    }

    fn print_tables(&self) {
        let Self { args, scale, encoder, scored, .. } = self;
        say!("model        {} x{scale}, prompts by {encoder}", args.model.model().display());
        say!("pictures     {} of {}", scored.len(), args.data.display());
        say!("protocol     {}", self.protocol());
        say!("");
        let meanings = CONDITIONS.iter().zip(MEANINGS).map(|(name, meaning)| format!("{name:<26}{meaning}"));
        meanings.for_each(|line| say!("{line}"));
        // One table, so that the columns of all blocks line up.
        let mut rows = Vec::new();
        for block in self.blocks() {
            rows.push(Vec::new());
            rows.extend(block.rows());
        }
        out(&table(&rows));
    }
}

/// Returns a figure's cells: its value with a sign, and its interval.
fn cells((mean, [low, high]): Figure, digits: usize) -> [String; 2] {
    [format!("{mean:+.digits$}"), format!("{low:+.digits$} to {high:+.digits$}")]
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns by how much one condition is ahead of another, over the pictures that have both.
fn difference(rows: &[Row], one: usize, other: usize) -> Option<Figure> {
    let values: Vec<f64> = rows.iter().filter_map(|row| Some(ahead(row[one]?, row[other]?))).collect();
    (!values.is_empty()).then(|| mean_with_interval(&values))
}

/// Returns a picture's mean over degradations under each condition.
fn mean_row(scores: &[Row]) -> Row {
    std::array::from_fn(|at| mean(&scores.iter().map(|row| row[at]).collect::<Option<Vec<f64>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(right: f64, training: f64, wrong: f64) -> Row {
        let [amounts, partly, seen, none] = [31.0, 30.1, 30.3, 30.0].map(Some);
        let [right, training, wrong] = [right, training, wrong].map(Some);
        [amounts, right, training, partly, seen, none, wrong, right, wrong, None]
    }

    #[test]
    fn a_block_compares_with_nothing_told() {
        let block = Block::new("one".into(), &[row(30.4, 30.8, 29.4), row(30.8, 31.6, 29.8)]);
        let near = |figure: Option<Figure>, expected: f64| (figure.unwrap().0 - expected).abs() < 1e-9;
        assert!(near(block.conditions[0].gain, 1.0) && near(block.conditions[RIGHT].gain, 0.6));
        assert!(near(block.right_minus_wrong, 1.0) && near(block.held_back_share, 0.5));
        assert!(block.conditions[NONE].gain.is_none() && block.conditions[9].psnr.is_none());
        assert_eq!(block.rows().len(), 1 + 9 + 3);
        let silent = Block::new("one".into(), &[row(30.0, 30.0, 30.0); 2]);
        assert!(silent.held_back_share.is_none() && silent.as_json()["held_back_share"].is_null());
    }

    #[test]
    fn the_mean_needs_every_degradation() {
        let mut lacking = row(30.8, 31.6, 29.8);
        lacking[0] = None;
        let mean = mean_row(&[row(30.4, 30.8, 29.4), lacking]);
        assert!(mean[0].is_none() && (mean[RIGHT].unwrap() - 30.6).abs() < 1e-9);
    }
}
