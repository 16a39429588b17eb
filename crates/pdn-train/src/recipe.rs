//! Recipes: what is trained, on what, for how long. TOML, every field checked.

use crate::captions::Captions;
use crate::contrastive::Contrastive;
use crate::data::DataError;
use crate::embed::BatchEncoder;
use crate::restore::{LAST_TEMPERATURE, PromptMix, Restore};
use crate::run::{Schedule, Task};
use crate::scenes::{self, Source};
use crate::teacher::Teacher;
use pdn::Tokenizer;
use pdn_image::Degradation;
use pdn_network::zoo::Clip;
use pdn_network::{Card, NetworkError, zoo};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Recipe {
    /// A prompt encoder.
    Encoder(EncoderRecipe),
    /// A super-resolution network.
    Restore(RestoreRecipe),
}

/// How a super-resolution network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRecipe {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The licence of its weights, with the terms of the data.
    pub license: String,
    /// The prompt encoder's file, beside the recipe.
    pub encoder: PathBuf,
    /// What makes small pictures of large ones.
    pub degradation: String,
    /// Pixels a side of a small patch.
    pub patch: usize,
    /// Patches in a step.
    pub batch: usize,
    /// The architecture's key.
    pub architecture: String,
    /// The architecture's configuration.
    pub config: serde_json::Value,
    /// How often each kind of prompt goes with a patch.
    pub prompts: PromptMix,
    /// Where pictures come from.
    pub sources: Vec<Source>,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// How a prompt encoder is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderRecipe {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The licence of its weights, with the terms of the data.
    pub license: String,
    /// Flickr8k's folder, below the data folder.
    pub flickr8k: PathBuf,
    /// The folder of SqueezeNet 1.1, below the data folder, where it is to teach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// Pixels a side of the pictures that are kept; the tower looks at a part of them.
    pub side: usize,
    /// Pairs in a step.
    pub batch: usize,
    /// Both towers.
    pub clip: Clip,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// Why a recipe cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The recipe itself.
    #[error("{path}: {why}")]
    Recipe {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its data.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// [`RecipeError::Recipe`] names the file, the line and what was expected.
    pub fn open(path: &Path) -> Result<Self, RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        toml::from_str(&text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))
    }

    /// How long and how fast.
    pub fn schedule(&self) -> &Schedule {
        match self {
            Self::Encoder(recipe) => &recipe.schedule,
            Self::Restore(recipe) => &recipe.schedule,
        }
    }

    /// Loads the data and prepares the task; `path` is the recipe's, for messages.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        match self {
            Self::Encoder(recipe) => recipe.prepare(path, data),
            Self::Restore(recipe) => recipe.prepare(path, data),
        }
    }
}

impl EncoderRecipe {
    fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        let network = |error: NetworkError| wrong(error.to_string());
        if self.batch < 2 {
            return Err(wrong(format!("batch {}: expected at least 2, to tell pairs apart", self.batch)));
        }
        if self.side < self.clip.side() {
            return Err(wrong(format!("side {}: expected at least the tower's {}", self.side, self.clip.side())));
        }
        let tokenizer = Tokenizer::new(self.clip.text.vocabulary)
            .ok_or_else(|| wrong(format!("vocabulary {}: expected 514 to 49408", self.clip.text.vocabulary)))?;
        let folder = data.join(&self.flickr8k);
        let mut captions = Captions::flickr8k(&folder, self.side, &tokenizer, self.clip.text.context)?;
        if captions.train.len() < 2 || captions.held_back.is_empty() {
            let why = "expected at least two pictures of the split `train`, and one that is held back".into();
            return Err(DataError { path: folder.join("captions.csv"), why }.into());
        }
        if let Some(teacher) = &self.teacher {
            captions.ask(&Teacher::open(&data.join(teacher))?);
        }
        let mut card = Card {
            name: self.name.clone(),
            description: self.description.clone(),
            license: self.license.clone(),
            ..Card::default()
        };
        card.more.insert("recipe".into(), serde_json::to_value(self).map_err(|e| wrong(e.to_string()))?);
        let task = Contrastive::new(self.clip.clone(), captions, self.batch, card).map_err(network)?;
        Ok(Box::new(task))
    }
}

impl RestoreRecipe {
    fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        if self.patch == 0 || self.batch == 0 {
            return Err(wrong(format!("patch {}, batch {}: expected at least 1", self.patch, self.batch)));
        }
        let PromptMix { caption, view, mirrored } = self.prompts;
        let parts = [caption, view, mirrored].into_iter().chain(self.sources.iter().map(|source| source.weight));
        if let Some(part) = parts.into_iter().find(|part| !part.is_finite() || *part < 0.0) {
            return Err(wrong(format!("weight {part}: expected a number that is not negative")));
        }
        if !self.sources.iter().any(|source| source.weight > 0.0) {
            return Err(wrong("sources: expected at least one with a weight above 0".into()));
        }
        let network = zoo::build(&self.architecture, &self.config).map_err(|e| wrong(e.to_string()))?;
        if let Some(dcm) = network.dcms().find(|dcm| dcm.options.temperature != LAST_TEMPERATURE) {
            let found = dcm.options.temperature;
            return Err(wrong(format!("temperature {found}: training ends at {LAST_TEMPERATURE}, leave it out")));
        }
        let degradation: Degradation = self.degradation.parse().map_err(wrong)?;
        let encoder = BatchEncoder::open(&path.parent().unwrap_or(Path::new(".")).join(&self.encoder))?;
        if let Some(dim) = network.prompt_dim().filter(|dim| *dim != encoder.dim) {
            return Err(wrong(format!("the network takes a prompt of {dim}, the encoder gives {}", encoder.dim)));
        }
        let (mut sources, mut held_back) = (Vec::new(), Vec::new());
        for source in &self.sources {
            let (scenes, held) = scenes::read(data, source, network.scale, degradation, &encoder)?;
            // Prompt activity is measured on the middle of the pictures held back, half a patch a side.
            let sides = [(&scenes, self.patch), (&held, self.patch.div_ceil(2))];
            for (scenes, side) in sides {
                if let Some(small) = scenes.iter().find(|s| s.low.width().min(s.low.height()) < side) {
                    let why = format!("{}: degraded, it is smaller than {side} pixels a side", small.name);
                    return Err(DataError { path: data.join(&source.folder), why }.into());
                }
            }
            if scenes.is_empty() {
                let why = format!("has no pictures left to learn from, {} being held back", held.len());
                return Err(DataError { path: data.join(&source.folder), why }.into());
            }
            sources.push((source.weight, scenes));
            held_back.extend(held);
        }
        if held_back.is_empty() {
            return Err(wrong("held_back: expected pictures of some source, to measure on".into()));
        }
        let mut card = Card {
            name: self.name.clone(),
            description: self.description.clone(),
            license: self.license.clone(),
            ..Card::default()
        };
        card.more.insert("encoder".into(), encoder.id.clone().into());
        // Where the encoder's file lay is nobody's business but this machine's.
        let encoder = self.encoder.file_name().map(PathBuf::from).unwrap_or_default();
        let recipe = Self { encoder, ..self.clone() };
        card.more.insert("recipe".into(), serde_json::to_value(recipe).map_err(|e| wrong(e.to_string()))?);
        Ok(Box::new(Restore {
            network,
            sources,
            held_back,
            prompts: self.prompts,
            patch: self.patch,
            batch: self.batch,
            card,
            start: None,
        }))
    }
}
