//! Recipes: what is trained, on what, for how long. TOML, every field checked.

use crate::captions::Captions;
use crate::contrastive::Contrastive;
use crate::data::DataError;
use crate::run::{Schedule, Task};
use pdn::Tokenizer;
use pdn_network::zoo::Clip;
use pdn_network::{Card, NetworkError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Recipe {
    /// A prompt encoder.
    Encoder(EncoderRecipe),
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
        }
    }

    /// Loads the data and prepares the task; `path` is the recipe's, for messages.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        match self {
            Self::Encoder(recipe) => recipe.prepare(path, data),
        }
    }
}

impl EncoderRecipe {
    fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        let network = |error: NetworkError| wrong(error.to_string());
        if self.side < self.clip.side() {
            return Err(wrong(format!("side {}: expected at least the tower's {}", self.side, self.clip.side())));
        }
        let tokenizer = Tokenizer::new(self.clip.text.vocabulary)
            .ok_or_else(|| wrong(format!("vocabulary {}: expected 514 to 49408", self.clip.text.vocabulary)))?;
        let captions = Captions::flickr8k(&data.join(&self.flickr8k), self.side, &tokenizer, self.clip.text.context)?;
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
