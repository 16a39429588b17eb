//! What a recipe is prepared with, and what is said of its data.

use crate::data::training_images::TrainingImages;
use std::path::Path;

/// What a recipe needs to run.
#[expect(missing_debug_implementations, reason = "a closure has no Debug")]
pub struct Preparation<'a> {
    /// The recipe's file.
    pub recipe: &'a Path,
    /// The folder of all data.
    pub data: &'a Path,
    /// Bytes of pixels to cache.
    pub room: u64,
    /// Receives messages about the data being read, and about skipped files.
    pub told: &'a mut dyn FnMut(String),
}

impl Preparation<'_> {
    /// Reports that data is now being read, after the recipe itself has been checked.
    pub(super) fn reads(&mut self) {
        (self.told)(format!("reading data in {}", self.data.display()));
    }
}

/// How many skipped pictures are named; the rest are only counted.
const NAMED: usize = 10;

pub(super) fn tell(folder: &Path, scenes: &TrainingImages, told: &mut dyn FnMut(String)) {
    for (file, why) in scenes.skipped.iter().take(NAMED) {
        told(format!("skipped {}: {why}", file.display()));
    }
    let TrainingImages { train, held_back, skipped, small } = scenes;
    let folder = folder.display();
    let mut line = format!("{folder}: {} to train on, {} held back", train.len(), held_back.len());
    if !skipped.is_empty() {
        line += &format!(", {} skipped (cannot be read)", skipped.len());
    }
    if *small > 0 {
        line += &format!(", {small} skipped (too small)");
    }
    told(line);
}
