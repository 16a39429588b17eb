//! The recipe of the towers that hear and see faults.

use crate::data::DataError;
use crate::data::patch_cache::PatchCache;
use crate::data::source::Source;
use crate::data::training_images::Reader;
use crate::recipe::error::RecipeError;
use crate::recipe::preparation::{Preparation, tell};
use crate::recipe::table;
use crate::run::{Run, Schedule};
use crate::tasks::faults::{FaultTowers, Views};
use pdn::{EncoderFile, KnownFaults, Tokenizer, read_captions};
use pdn_image::Degradation;
use pdn_network::zoo::Clip;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The training of the towers that hear and see faults, for an encoder that has its other towers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsRecipe {
    /// The encoder's file, beside the recipe.
    pub encoder: PathBuf,
    /// A folder of captions, in the data folder: what sentences are about beside faults.
    pub captions: PathBuf,
    /// Both towers; `dim` is the count of [`KnownFaults`]'s numbers.
    pub towers: Clip,
    /// The factors by which pictures become smaller.
    pub scales: Vec<usize>,
    /// The sources of pictures.
    pub sources: Vec<Source>,
    /// Sentences per step; 0 leaves the tower that hears as the encoder has it.
    pub sentences: usize,
    /// Squares of pictures per step; 0 leaves the tower that sees as the encoder has it.
    pub squares: usize,
    /// The schedule.
    pub schedule: Schedule,
}

impl FaultsRecipe {
    pub(super) fn prepare(&self, preparation: &mut Preparation) -> Result<Box<dyn Run>, RecipeError> {
        let path = preparation.recipe;
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        self.check().map_err(wrong)?;
        let file = table::beside(path, &self.encoder);
        let encoder =
            EncoderFile::read(&file, None).map_err(|e| DataError { path: file.clone(), why: e.to_string() })?;
        let vocabulary = self.towers.text.vocabulary;
        let tokenizer = Tokenizer::new(vocabulary).filter(|_| vocabulary == encoder.clip.text.vocabulary);
        let tokenizer = tokenizer.ok_or_else(|| {
            wrong(format!("vocabulary {vocabulary}: expected the encoder's, {}", encoder.clip.text.vocabulary))
        })?;
        preparation.reads();
        let folder = preparation.data.join(&self.captions);
        let captioned = read_captions(&folder).map_err(|e| DataError { path: folder.clone(), why: e.to_string() })?;
        let captions: Vec<String> =
            captioned.unwrap_or_default().into_iter().flat_map(|picture| picture.captions).collect();
        if captions.is_empty() {
            return Err(DataError { path: folder, why: "has no captions".into() }.into());
        }
        let views = self.scales.iter().map(|scale| self.views(*scale, preparation)).collect::<Result<_, _>>()?;
        let mut recipe = self.clone();
        recipe.encoder = self.encoder.file_name().map(PathBuf::from).unwrap_or_default();
        let about = serde_json::to_value(recipe).map_err(|e| wrong(e.to_string()))?;
        let sizes = [self.sentences, self.squares];
        let task = FaultTowers::new(self.towers.clone(), encoder, tokenizer, captions, views, sizes, about);
        Ok(Box::new(task.map_err(|e| wrong(e.to_string()))?))
    }

    fn views(&self, scale: usize, preparation: &mut Preparation) -> Result<Views, RecipeError> {
        let room = preparation.room / self.scales.len() as u64;
        let patches = PatchCache::new(Degradation::Mixed { seed: 0 }, scale, room);
        let side = self.towers.side();
        let reader = Reader { root: preparation.data, patches: &patches, patch: side, encoder: None, cache: None };
        let (mut sources, mut held_back) = (Vec::new(), Vec::new());
        for source in &self.sources {
            let images = reader.read(source)?;
            let folder = preparation.data.join(&source.folder);
            tell(&folder, &images, preparation.told);
            if images.train.is_empty() {
                let why = format!("has no picture of {} pixels a side or more", side * scale);
                return Err(DataError { path: folder, why }.into());
            }
            sources.push((source.weight, images.train));
            held_back.extend(images.held_back);
        }
        Ok(Views { patches, sources, held_back })
    }

    fn check(&self) -> Result<(), String> {
        if self.towers.dim != KnownFaults::LEN {
            return Err(format!("towers.dim {}: expected {}", self.towers.dim, KnownFaults::LEN));
        }
        if self.sentences + self.squares == 0 {
            return Err("sentences 0, squares 0: expected at least 1 of either".into());
        }
        if self.scales.is_empty() || self.scales.iter().any(|scale| !(1..=16).contains(scale)) {
            return Err(format!("scales {:?}: expected one or more from 1 to 16", self.scales));
        }
        if !self.sources.iter().any(|source| source.weight > 0.0 && source.held_back > 0) {
            return Err("sources: expected one with a weight above 0 and pictures held back".into());
        }
        self.towers.text_network().and(self.towers.picture_network()).map_err(|e| e.to_string())?;
        let scales = self.scales.iter();
        scales.flat_map(|scale| self.sources.iter().map(|s| s.check(*scale, self.towers.side()))).collect()
    }
}
