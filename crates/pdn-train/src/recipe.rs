//! Recipes: what is trained, on what, for how long. TOML, every field checked.

use crate::captions::{Answers, Captions};
use crate::data::DataError;
use crate::embed::BatchEncoder;
use crate::nouns::Nouns;
use crate::pictures::Pictures;
use crate::restore::{LAST_TEMPERATURE, Loss, PromptMix, Restore};
use crate::run::{Schedule, Task};
use crate::scenes::{self, Source};
use crate::sentences::{self, Sentences};
use crate::state;
use crate::teacher::Teacher;
use pdn::Tokenizer;
use pdn_image::Degradation;
use pdn_network::zoo::{Clip, PictureTower};
use pdn_network::{Card, checkpoint, zoo};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Recipe {
    /// A prompt encoder's tower of sentences.
    Sentences(SentencesRecipe),
    /// A prompt encoder's tower of pictures.
    Pictures(PicturesRecipe),
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
    /// A run's state, beside the recipe, whose weights this run starts from; kernels are then mixed at the last temperature
    /// throughout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
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
    /// How what is enlarged is compared with what it was: l1, mse or charbonnier.
    #[serde(default)]
    pub loss: Loss,
    /// How often each kind of prompt goes with a patch.
    pub prompts: PromptMix,
    /// Where pictures come from.
    pub sources: Vec<Source>,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// How a prompt encoder's tower of sentences is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentencesRecipe {
    /// Its pictures and their teacher.
    pub data: CaptionedData,
    /// The folder of real CLIP's embeddings of nouns, below the data folder, where they are to be anchors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nouns: Option<PathBuf>,
    /// Pictures in a step.
    pub batch: usize,
    /// How often a word is left out, and a number that the teacher says: 0 to 1.
    pub dropped: f64,
    /// Both towers.
    pub clip: Clip,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// How a prompt encoder's tower of pictures is trained, and with it the encoder finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PicturesRecipe {
    /// The encoder's name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The licence of its weights, with the terms of the data.
    pub license: String,
    /// The trained tower of sentences, beside the recipe.
    pub sentences: PathBuf,
    /// Its pictures and their teacher.
    pub data: CaptionedData,
    /// Pictures in a step.
    pub batch: usize,
    /// Both towers.
    pub clip: Clip,
    /// Pixels a side at which the finished tower looks at whole pictures; where nothing is said as many as in training. More
    /// are better: of parts, which it learns from, things look larger than of the whole (Touvron et al. 2019).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<usize>,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// Captioned pictures, and the teacher that sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionedData {
    /// Flickr8k's folder, below the data folder.
    pub flickr8k: PathBuf,
    /// The folder of SqueezeNet 1.1, below the data folder.
    pub teacher: PathBuf,
    /// Views of each picture: the whole, and parts of it.
    pub views: usize,
    /// A file beside the recipe in which the teacher's answers are kept, so that they are asked for once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
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
    /// Reads a recipe, with other values for some of its keys, each `key=value`: keys are joined by dots, values are TOML, or
    /// text where they are none.
    ///
    /// # Errors
    /// [`RecipeError::Recipe`] names the file, the line and what was expected.
    pub fn open(path: &Path, set: &[String]) -> Result<Self, RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let said = |e: toml::de::Error| wrong(e.to_string().trim_end().to_owned());
        // First as it stands, so that what is wrong with it is said with its line.
        let recipe = toml::from_str(&text).map_err(said)?;
        if set.is_empty() {
            return Ok(recipe);
        }
        let mut table: toml::Table = toml::from_str(&text).map_err(said)?;
        for setting in set {
            put(&mut table, setting).map_err(|why| wrong(format!("--set {setting}: {why}")))?;
        }
        table.try_into().map_err(|e: toml::de::Error| wrong(format!("with --set: {}", e.to_string().trim_end())))
    }

    /// How long and how fast.
    pub fn schedule(&self) -> &Schedule {
        match self {
            Self::Sentences(recipe) => &recipe.schedule,
            Self::Pictures(recipe) => &recipe.schedule,
            Self::Restore(recipe) => &recipe.schedule,
        }
    }

    /// Loads the data and prepares the task; `path` is the recipe's, for messages.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        match self {
            Self::Sentences(recipe) => recipe.prepare(path, data),
            Self::Pictures(recipe) => recipe.prepare(path, data),
            Self::Restore(recipe) => recipe.prepare(path, data),
        }
    }
}

/// Puts a value at a key of a table.
fn put(table: &mut toml::Table, setting: &str) -> Result<(), String> {
    let (keys, value) = setting.split_once('=').ok_or("expected key=value")?;
    let (value, mut keys) = (value.trim(), keys.trim().split('.').peekable());
    // Text need not be quoted.
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    let parsed = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut table = table;
    while let Some(key) = keys.next() {
        if keys.peek().is_none() {
            table.insert(key.to_owned(), parsed);
            break;
        }
        let inner = table.entry(key.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = inner.as_table_mut().ok_or_else(|| format!("`{key}` is no table"))?;
    }
    Ok(())
}

impl CaptionedData {
    fn read(&self, clip: &Clip, path: &Path, data: &Path) -> Result<(Captions, Tokenizer, Teacher), RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        if self.views == 0 {
            return Err(wrong("views 0: expected at least 1, the whole picture".into()));
        }
        // Before any data: its sides and its context are what pictures and sentences are cut to.
        clip.text_network().and(clip.picture_network()).map_err(|e| wrong(e.to_string()))?;
        let tokenizer = Tokenizer::new(clip.text.vocabulary)
            .ok_or_else(|| wrong(format!("vocabulary {}: expected 514 to 49408", clip.text.vocabulary)))?;
        let folder = data.join(&self.flickr8k);
        let teacher = Teacher::open(&data.join(&self.teacher))?;
        let cache = self.cache.as_ref().map(|cache| path.parent().unwrap_or(Path::new(".")).join(cache));
        let answers = Answers { teacher: &teacher, cache, views: self.views };
        let captions = Captions::flickr8k(&folder, (&tokenizer, clip.text.context), &answers)?;
        if captions.train.len() < 2 || captions.held_back.is_empty() {
            let why = "expected at least two pictures of the split `train`, and one that is held back".into();
            return Err(DataError { path: folder.join("captions.csv"), why }.into());
        }
        Ok((captions, tokenizer, teacher))
    }
}

impl SentencesRecipe {
    fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        if self.batch < 2 {
            return Err(wrong(format!("batch {}: expected at least 2, to tell pairs apart", self.batch)));
        }
        if !(0.0..1.0).contains(&self.dropped) {
            return Err(wrong(format!("dropped {}: expected 0 or more, less than 1", self.dropped)));
        }
        let (captions, tokenizer, _) = self.data.read(&self.clip, path, data)?;
        let nouns = self.nouns.as_ref().map(|folder| Nouns::open(&data.join(folder), &tokenizer)).transpose()?;
        let task = Sentences::new(self.clip.clone(), captions, nouns, self.batch, self.dropped);
        Ok(Box::new(task.map_err(|e| wrong(e.to_string()))?))
    }
}

impl PicturesRecipe {
    fn prepare(&self, path: &Path, data: &Path) -> Result<Box<dyn Task>, RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        if self.batch == 0 {
            return Err(wrong("batch 0: expected at least 1".into()));
        }
        if !matches!(self.clip.picture, PictureTower::Convolutions { .. }) {
            return Err(wrong("clip.picture: expected convolutions, of which a map is taught".into()));
        }
        let shown = self.shown.unwrap_or(self.clip.side());
        self.clip.looking_at(shown).picture_network().map_err(|e| wrong(format!("shown: {e}")))?;
        let beside = path.parent().unwrap_or(Path::new(".")).join(&self.sentences);
        let sentences =
            checkpoint::read(&beside).map_err(|e| DataError { path: e.path.clone(), why: e.why.to_string() })?;
        let (captions, _, teacher) = self.data.read(&self.clip, path, data)?;
        let mut card = Card {
            name: self.name.clone(),
            description: self.description.clone(),
            license: self.license.clone(),
            ..Card::default()
        };
        // Where the file lay is nobody's business but this machine's.
        let file = self.sentences.file_name().map(PathBuf::from).unwrap_or_default();
        let recipe = Self { sentences: file, ..self.clone() };
        card.more.insert("recipe".into(), serde_json::to_value(recipe).map_err(|e| wrong(e.to_string()))?);
        let about = sentences.metadata.get(sentences::KEY).and_then(|about| serde_json::from_str(about).ok());
        card.more.insert("sentences".into(), about.unwrap_or_default());
        let task = Pictures::new(self.clip.clone(), shown, sentences.tensors, captions, teacher, self.batch, card);
        Ok(Box::new(task.map_err(|e| DataError { path: beside, why: e.to_string() })?))
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
        let start = match &self.start {
            Some(start) => Some(state::parameters(&path.parent().unwrap_or(Path::new(".")).join(start), &network)?),
            None => None,
        };
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
        // Where files lay is nobody's business but this machine's: of a run's state, its folder's name is kept.
        let encoder = self.encoder.file_name().map(PathBuf::from).unwrap_or_default();
        let of_run = |start: &PathBuf| Some(PathBuf::from(start.parent()?.file_name()?));
        let recipe = Self { encoder, start: self.start.as_ref().and_then(of_run), ..self.clone() };
        card.more.insert("recipe".into(), serde_json::to_value(recipe).map_err(|e| wrong(e.to_string()))?);
        Ok(Box::new(Restore {
            network,
            sources,
            held_back,
            prompts: self.prompts,
            patch: self.patch,
            batch: self.batch,
            card,
            loss: self.loss,
            start,
        }))
    }
}
