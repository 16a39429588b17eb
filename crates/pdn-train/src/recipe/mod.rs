//! Recipes: what to train, on which data, and for how long. TOML, with every field checked.

mod error;
mod faults;
mod preparation;
mod table;

pub use error::RecipeError;
pub use faults::FaultsRecipe;
pub use preparation::Preparation;

use preparation::tell;

use crate::data::DataError;
use crate::data::batch_encoder::{BatchEncoder, open_eyes};
use crate::data::captions::{Answers, Captions};
use crate::data::degradations::Degradations;
use crate::data::nouns::Nouns;
use crate::data::patch_cache::PatchCache;
use crate::data::source::Source;
use crate::data::teacher::Teacher;
use crate::data::training_images::Reader;
use crate::executor::convolution::Precision;
use crate::executor::weights;
use crate::run::state;
use crate::run::{Run, Schedule};
use crate::tasks::pictures::Pictures;
use crate::tasks::sentences::{self, Sentences};
use crate::tasks::super_resolution::{self, LAST_TEMPERATURE, Loss, PromptMix, SuperResolution};
use pdn::{Encoder, FAULTS_ID, Tokenizer, composed_dim};
use pdn_network::zoo::{Clip, PictureTower};
use pdn_network::{Card, Network, NetworkError, checkpoint, zoo};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// A prompt encoder's text tower.
    Sentences(SentencesRecipe),
    /// A prompt encoder's picture tower.
    Pictures(PicturesRecipe),
    /// A prompt encoder's towers that hear and see faults.
    Faults(FaultsRecipe),
    /// A super-resolution network.
    SuperResolution(SuperResolutionRecipe),
}

/// The training of a super-resolution network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuperResolutionRecipe {
    /// Name of the model.
    pub name: String,
    /// What the model is for.
    pub description: String,
    /// The licence of its weights, with the terms of the data.
    pub license: String,
    /// The prompt encoder's file, beside the recipe; required if the network takes prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
    /// A run's state or weights, beside the recipe, to start from, at this scale or another; kernels are then mixed at
    /// the last temperature throughout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// Prefixes of parameter names that are not taken from `start`, such as `conv_last` at another scale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anew: Vec<String>,
    /// A folder beside the recipe to cache embeddings in, so that the next run on the same pictures starts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// The sentence that stands in for a missing prompt; without it, the mirrored picture does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_prompt: Option<String>,
    /// The degradations that make the small pictures.
    pub degradation: Degradations,
    /// The side of a small patch, in pixels.
    pub patch: usize,
    /// Patches per step.
    pub batch: usize,
    /// The architecture's key, or the name of a published size, such as `rcan+`.
    pub architecture: String,
    /// The architecture's configuration; for a published size, only the scale and what differs.
    pub config: serde_json::Value,
    /// The loss: l1, mse or charbonnier.
    #[serde(default)]
    pub loss: Loss,
    /// The precision of convolutions: f32 or bf16. The optimizer's weights are f32 either way.
    #[serde(default)]
    pub precision: Precision,
    /// How often a patch gets each kind of prompt; required if the network takes prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PromptMix>,
    /// The sources of pictures.
    pub sources: Vec<Source>,
    /// The schedule.
    pub schedule: Schedule,
}

/// The training of a prompt encoder's text tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentencesRecipe {
    /// Its pictures and their teacher.
    pub data: CaptionedData,
    /// The folder of real CLIP's embeddings of nouns, in the data folder, if they are used as anchors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nouns: Option<PathBuf>,
    /// Pictures per step.
    pub batch: usize,
    /// The dropout of words and of the teacher's numbers, 0 to 1.
    pub dropped: f64,
    /// Both towers.
    pub clip: Clip,
    /// The schedule.
    pub schedule: Schedule,
}

/// The training of a prompt encoder's picture tower, which completes the encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PicturesRecipe {
    /// The encoder's name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The licence of its weights, with the terms of the data.
    pub license: String,
    /// The trained text tower, beside the recipe.
    pub sentences: PathBuf,
    /// Its pictures and their teacher.
    pub data: CaptionedData,
    /// Pictures per step.
    pub batch: usize,
    /// Both towers.
    pub clip: Clip,
    /// The side of crops, in pixels, at the start of training; it is doubled at equal intervals up to the tower's own.
    /// Without it, crops have the tower's own size from the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<usize>,
    /// The schedule.
    pub schedule: Schedule,
}

/// Captioned pictures, and their teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionedData {
    /// Flickr8k's folder, in the data folder.
    pub flickr8k: PathBuf,
    /// The folder of SqueezeNet 1.1, in the data folder.
    pub teacher: PathBuf,
    /// Views per picture: the whole, and crops of it.
    pub views: usize,
    /// A file beside the recipe to cache the teacher's answers in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
}

impl Recipe {
    /// Opens a recipe and overrides some of its keys, each as `key=value`: keys are joined by dots, values are TOML, or
    /// else plain text. A recipe that names another file as its `base` gives only what differs from it.
    ///
    /// # Errors
    /// [`RecipeError::Recipe`] names the file, the key or the line, and what was expected.
    pub fn open(path: &Path, set: &[String]) -> Result<Self, RecipeError> {
        let mut table = table::read(path, set)?;
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        let said = |error: toml::de::Error| wrong(one_line(&error));
        // Not left to serde: it reads a tagged enum in two steps and loses the path of keys to an error in between.
        match table.remove("task").as_ref().and_then(toml::Value::as_str) {
            Some("sentences") => table.try_into().map(Self::Sentences).map_err(said),
            Some("pictures") => table.try_into().map(Self::Pictures).map_err(said),
            Some("faults") => table.try_into().map(Self::Faults).map_err(said),
            Some("restore") => table.try_into().map(Self::SuperResolution).map_err(said),
            Some(task) => Err(wrong(format!("unknown task `{task}`; expected sentences, pictures, faults or restore"))),
            None => Err(wrong("task: expected \"sentences\", \"pictures\", \"faults\" or \"restore\"".into())),
        }
    }

    /// Returns the schedule.
    pub fn schedule(&self) -> &Schedule {
        match self {
            Self::Sentences(recipe) => &recipe.schedule,
            Self::Pictures(recipe) => &recipe.schedule,
            Self::Faults(recipe) => &recipe.schedule,
            Self::SuperResolution(recipe) => &recipe.schedule,
        }
    }

    /// Loads the data and prepares the task.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn prepare(&self, preparation: &mut Preparation) -> Result<Box<dyn Run>, RecipeError> {
        self.schedule().check().map_err(|why| RecipeError::Recipe { path: preparation.recipe.to_owned(), why })?;
        match self {
            Self::Sentences(recipe) => recipe.prepare(preparation),
            Self::Pictures(recipe) => recipe.prepare(preparation),
            Self::Faults(recipe) => recipe.prepare(preparation),
            Self::SuperResolution(recipe) => recipe.prepare(preparation),
        }
    }
}

/// Joins an error and its path of keys, which toml reports on separate lines.
fn one_line(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', " ")
}

impl CaptionedData {
    fn read(&self, clip: &Clip, path: &Path, data: &Path) -> Result<(Captions, Tokenizer, Teacher), RecipeError> {
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        if self.views == 0 {
            return Err(wrong("views 0: expected at least 1, for the whole picture".into()));
        }
        // Before any data: pictures and sentences are cut to the network's side and context.
        clip.text_network().and(clip.picture_network()).map_err(|e| wrong(e.to_string()))?;
        let tokenizer = Tokenizer::new(clip.text.vocabulary)
            .ok_or_else(|| wrong(format!("vocabulary {}: expected 514 to 49408", clip.text.vocabulary)))?;
        let folder = data.join(&self.flickr8k);
        let teacher = Teacher::open(&data.join(&self.teacher))?;
        let cache = self.cache.as_ref().map(|cache| table::beside(path, cache));
        let answers = Answers { teacher: &teacher, cache, views: self.views };
        let captions = Captions::flickr8k(&folder, (&tokenizer, clip.text.context), &answers)?;
        if captions.train.len() < 2 || captions.held_back.is_empty() {
            let why = "expected at least two pictures in the split `train`, and one in another split".into();
            return Err(DataError { path: folder.join("captions.csv"), why }.into());
        }
        Ok((captions, tokenizer, teacher))
    }
}

impl SentencesRecipe {
    fn prepare(&self, preparation: &mut Preparation) -> Result<Box<dyn Run>, RecipeError> {
        let (path, data) = (preparation.recipe, preparation.data);
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        if self.batch < 2 {
            return Err(wrong(format!("batch {}: expected at least 2, to compare pairs", self.batch)));
        }
        if !(0.0..1.0).contains(&self.dropped) {
            return Err(wrong(format!("dropped {}: expected at least 0 and less than 1", self.dropped)));
        }
        preparation.reads();
        let (captions, tokenizer, _) = self.data.read(&self.clip, path, data)?;
        let nouns = self.nouns.as_ref().map(|folder| Nouns::open(&data.join(folder), &tokenizer)).transpose()?;
        let task = Sentences::new(self.clip.clone(), captions, nouns, self.batch, self.dropped);
        Ok(Box::new(task.map_err(|e| wrong(e.to_string()))?))
    }
}

impl PicturesRecipe {
    fn prepare(&self, preparation: &mut Preparation) -> Result<Box<dyn Run>, RecipeError> {
        let (path, data) = (preparation.recipe, preparation.data);
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        if self.batch == 0 {
            return Err(wrong("batch 0: expected at least 1".into()));
        }
        if !matches!(self.clip.picture, PictureTower::Convolutions { .. }) {
            return Err(wrong("clip.picture: expected `convolutions`, the only trainable tower".into()));
        }
        let begun = self.begun.unwrap_or(self.clip.side());
        self.clip.looking_at(begun).picture_network().map_err(|e| wrong(format!("begun: {e}")))?;
        if !(0..8).any(|doublings| begun << doublings == self.clip.side()) {
            let why = format!(
                "begun {begun}: expected {}, the tower's side, or that divided by a power of 2",
                self.clip.side()
            );
            return Err(wrong(why));
        }
        let beside = table::beside(path, &self.sentences);
        let sentences =
            checkpoint::read(&beside).map_err(|e| DataError { path: e.path.clone(), why: e.why.to_string() })?;
        preparation.reads();
        let (captions, _, teacher) = self.data.read(&self.clip, path, data)?;
        let mut card = Card {
            name: self.name.clone(),
            description: self.description.clone(),
            license: self.license.clone(),
            ..Card::default()
        };
        // Paths are private to this machine.
        let file = self.sentences.file_name().map(PathBuf::from).unwrap_or_default();
        let recipe = Self { sentences: file, data: CaptionedData { cache: None, ..self.data.clone() }, ..self.clone() };
        card.more.insert("recipe".into(), serde_json::to_value(recipe).map_err(|e| wrong(e.to_string()))?);
        let about = sentences.metadata.get(sentences::KEY).and_then(|about| serde_json::from_str(about).ok());
        card.more.insert("sentences".into(), about.unwrap_or_default());
        let task = Pictures::new(self.clip.clone(), begun, sentences.tensors, captions, teacher, self.batch, card);
        Ok(Box::new(task.map_err(|e| DataError { path: beside, why: e.to_string() })?))
    }
}

impl SuperResolutionRecipe {
    fn prepare(&self, preparation: &mut Preparation) -> Result<Box<dyn Run>, RecipeError> {
        let path = preparation.recipe;
        let beside = |file: &PathBuf| table::beside(path, file);
        let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
        let network = self.network().map_err(|e| wrong(e.to_string()))?;
        self.check(&network).map_err(wrong)?;
        let encoder = self.encoder.as_ref().map(|file| BatchEncoder::open(&beside(file))).transpose()?;
        let tells_faults = self.prompts.is_some_and(|prompts| prompts.faults.is_some());
        let eyes = self.eyes(path)?;
        let dim = |encoder: &BatchEncoder| if tells_faults { composed_dim(encoder.dim) } else { encoder.dim };
        let (takes, gives) = (network.prompt_dim(), encoder.as_ref().map(dim));
        if let (Some(takes), Some(gives)) = (takes, gives)
            && takes != gives
        {
            return Err(wrong(format!("the network takes prompts of length {takes}, but the encoder gives {gives}")));
        }
        let start = match &self.start {
            Some(start) => {
                let initial = weights::initial(&network, super_resolution::BRANCH, self.schedule.seed);
                Some(state::parameters(&beside(start), &network, &self.anew, initial)?)
            }
            None => None,
        };
        preparation.reads();
        let patches = PatchCache::new(self.degradation.clone(), network.scale, preparation.room);
        let cache = self.cache.as_ref().map(beside);
        // A network without a prompt needs no embeddings.
        let encoder = encoder.as_ref().filter(|_| takes.is_some());
        let reader =
            Reader { root: preparation.data, patches: &patches, patch: self.patch, encoder, cache: cache.as_deref() };
        let (mut sources, mut held_back, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for source in &self.sources {
            let scenes = reader.read(source)?;
            let folder = preparation.data.join(&source.folder);
            tell(&folder, &scenes, preparation.told);
            if scenes.train.is_empty() {
                let why = format!("has no pictures left to train on ({} held back)", scenes.held_back.len());
                return Err(DataError { path: folder, why }.into());
            }
            data.push(serde_json::json!({
                "folder": source.folder,
                "learned_from": scenes.train.len(),
                "held_back": scenes.held_back.len(),
                "unreadable": scenes.skipped.len(),
                "too_small": scenes.small,
            }));
            sources.push((source.weight, scenes.train));
            held_back.extend(scenes.held_back);
        }
        if held_back.is_empty() {
            return Err(wrong("held_back: expected at least one source to hold back pictures for evaluation".into()));
        }
        let mut card = Card {
            name: self.name.clone(),
            description: self.description.clone(),
            license: self.license.clone(),
            ..Card::default()
        };
        let id = |encoder: &BatchEncoder| encoder.id.clone() + if tells_faults { FAULTS_ID } else { "" };
        card.more.extend(encoder.map(|encoder| ("encoder".to_owned(), id(encoder).into())));
        card.more
            .extend(self.without_prompt.iter().map(|prompt| ("without_prompt".to_owned(), prompt.as_str().into())));
        card.more.insert("data".into(), data.into());
        card.more
            .insert("recipe".into(), serde_json::to_value(self.without_places()).map_err(|e| wrong(e.to_string()))?);
        Ok(Box::new(SuperResolution {
            network,
            patches,
            sources,
            held_back,
            prompts: self.prompts.unwrap_or(PromptMix { caption: 0.0, view: 0.0, mirrored: 0.0, faults: None }),
            patch: self.patch,
            batch: self.batch,
            card,
            loss: self.loss,
            precision: self.precision,
            start,
            eyes,
        }))
    }

    /// Opens the encoder that sees faults in patches, if prompts are what it sees.
    fn eyes(&self, path: &Path) -> Result<Option<Encoder>, DataError> {
        let looks = self.prompts.and_then(|prompts| prompts.faults).is_some_and(|mix| mix.seen > 0.0);
        let file = self.encoder.as_ref().filter(|_| looks).map(|file| table::beside(path, file));
        file.map(|file| open_eyes(&file)).transpose()
    }

    /// Builds the network that the recipe trains.
    ///
    /// # Errors
    /// [`NetworkError`] if there is none of that name and configuration.
    pub fn network(&self) -> Result<Network, NetworkError> {
        let scale = self.config.get("scale").and_then(serde_json::Value::as_u64).unwrap_or(0);
        match zoo::preset_config(&self.architecture, scale as usize) {
            Some((architecture, mut config)) => {
                differ(&mut config, &self.config);
                (architecture.build)(&config)
            }
            None => zoo::build(&self.architecture, &self.config),
        }
    }

    /// Checks everything that does not depend on the data.
    fn check(&self, network: &Network) -> Result<(), String> {
        if self.patch == 0 || self.batch == 0 {
            return Err(format!("patch {}, batch {}: expected at least 1 each", self.patch, self.batch));
        }
        if !self.sources.iter().any(|source| source.weight > 0.0) {
            return Err("sources: expected at least one with a weight above 0".into());
        }
        self.sources.iter().try_for_each(|source| source.check(network.scale, self.patch))?;
        if let Some(dcm) = network.dcms().find(|dcm| dcm.options.temperature != LAST_TEMPERATURE) {
            let found = dcm.options.temperature;
            return Err(format!("temperature {found}: training always ends at {LAST_TEMPERATURE}; remove the key"));
        }
        if network.prompt_dim().is_some() && (self.encoder.is_none() || self.prompts.is_none()) {
            return Err("the network takes prompts; set `encoder` and `prompts`".into());
        }
        if let Some(PromptMix { caption, view, mirrored, faults }) = self.prompts {
            faults.map_or(Ok(()), |faults| faults.check())?;
            let parts = [caption, view, mirrored];
            if let Some(part) = parts.iter().find(|part| !part.is_finite() || **part < 0.0) {
                return Err(format!("prompts: {part}: expected a number of at least 0"));
            }
        }
        if self.start.is_none() && !self.anew.is_empty() {
            return Err("anew: needs `start`, which gives the other weights".into());
        }
        Ok(())
    }

    /// Strips folders, which are private to this machine; for the start of a run, its folder's name is kept.
    fn without_places(&self) -> Self {
        let name = |file: &PathBuf| Some(PathBuf::from(file.file_name()?));
        let of_run = |start: &PathBuf| Some(Path::new(start.parent()?.file_name()?).join(start.file_name()?));
        Self {
            encoder: self.encoder.as_ref().and_then(name),
            start: self.start.as_ref().and_then(of_run),
            cache: None,
            ..self.clone()
        }
    }
}

/// Overrides values of one configuration with those of another, adding new ones.
fn differ(config: &mut serde_json::Value, other: &serde_json::Value) {
    match (config, other) {
        (serde_json::Value::Object(config), serde_json::Value::Object(other)) => {
            for (key, value) in other {
                differ(config.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (config, other) => *config = other.clone(),
    }
}
