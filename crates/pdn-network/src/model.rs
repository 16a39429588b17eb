//! Model files: a network with its weights and a card that describes them.
//!
//! A model file is safetensors. Its metadata entry `pdn.card` holds the card as JSON, including the architecture and
//! its configuration, from which the network is rebuilt: reading a file needs nothing else. Other projects' checkpoints
//! have no card; they are recognised by their keys and shapes ([`crate::zoo::recognise`]).

use crate::checkpoint::{self, Checkpoint, Kind, Precision};
use crate::zoo::{self, RecogniseError};
use crate::{Network, NetworkError, Tensors, Weights};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The metadata key of the card.
const CARD: &str = "pdn.card";

/// A network that can be run, with its weights and card.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The values of its parameters.
    pub weights: Weights,
    /// What the model is.
    pub card: Card,
    /// The file that the model was read from, if any.
    pub source: Option<Source>,
}

/// The file that a model was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The file type, such as `legacy PyTorch`.
    pub kind: &'static str,
    /// The project whose naming scheme the tensors use.
    pub layout: &'static str,
    /// The entry that held the weights, such as `params_ema`, if there was one.
    pub unwrapped: Option<String>,
    /// Tensors that are not parameters because they hold no floating-point numbers, such as batch counters.
    pub skipped: Vec<String>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The description of a model. Fields unknown to this version are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The model's name.
    pub name: String,
    /// What the model is for, in a sentence or two.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The licence of the weights, including the terms of the training data; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// All other entries of the card: training, measurements.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Card {
    /// Returns the sentence that serves as the default prompt, if the card has one. Otherwise the default prompt is the
    /// picture itself, mirrored.
    pub fn without_prompt(&self) -> Option<&str> {
        self.more.get("without_prompt")?.as_str()
    }

    /// Returns the degradations that produced the training inputs, as the recipe names them; empty if the card has no
    /// recipe.
    pub fn degradations(&self) -> Vec<&str> {
        match self.more.get("recipe").and_then(|recipe| recipe.get("degradation")) {
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            one => one.and_then(Value::as_str).into_iter().collect(),
        }
    }

    /// Returns whether the training used only the literature's pictures, blurred by a Gaussian of 1.3 pixels. Such a
    /// model undoes that blur, and draws patterns into pictures without it.
    pub fn is_for_benchmarks(&self) -> bool {
        let degradations = self.degradations();
        !degradations.is_empty() && degradations.iter().all(|name| name.starts_with("blur-bicubic"))
    }
}

/// The card as stored in a file, with what is needed to build the network.
#[derive(Serialize, Deserialize)]
struct FileCard {
    architecture: String,
    config: Value,
    form: Form,
    scale: usize,
    /// SHA-256 over every tensor's name, shape and numbers, in name order.
    sha256: String,
    #[serde(flatten)]
    card: Card,
}

/// The form of the file's DCMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Train,
    Deploy,
}

/// The reason why a file is not a model that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file is not a readable checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The checkpoint matches no known network.
    #[error("{path}: {error}")]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: RecogniseError,
    },
    /// A file of this project that is not a model.
    #[error("{path}: is {what}")]
    Other {
        /// The file.
        path: PathBuf,
        /// What the file is, and what was expected.
        what: &'static str,
    },
    /// The card is damaged or refers to something unknown.
    #[error("{path}: its model card {why}")]
    Card {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The weights do not fit the card's network.
    #[error("{path}: {error}")]
    Network {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        error: NetworkError,
    },
}

impl Model {
    /// Reads a model file, or a recognised checkpoint of another project.
    ///
    /// # Errors
    /// Returns a [`ModelError`]; every message names the file.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::from_checkpoint(path, checkpoint::read(path)?, None)
    }

    /// Reads a file as [`Self::open`] does, but picks the network for `scale` if the file holds several, as CARN's do.
    ///
    /// # Errors
    /// Same as [`Self::open`]; also if the file has no network for that scale.
    pub fn open_at(path: &Path, scale: usize) -> Result<Self, ModelError> {
        Self::from_checkpoint(path, checkpoint::read(path)?, Some(scale))
    }

    /// Reads a model file from memory. Messages name `path`.
    ///
    /// # Errors
    /// Same as [`Self::open`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ModelError> {
        let read = checkpoint::parse(bytes).map_err(|why| checkpoint::Error { path: path.to_owned(), why })?;
        Self::from_checkpoint(path, read, None)
    }

    fn from_checkpoint(path: &Path, checkpoint: Checkpoint, scale: Option<usize>) -> Result<Self, ModelError> {
        let unrecognised = |error| ModelError::Unrecognised { path: path.to_owned(), error };
        let (network, weights, card, layout) = match checkpoint.metadata.get(CARD) {
            Some(card) => {
                let (network, weights, card) = from_card(path, card, checkpoint.tensors)?;
                if let Some(wanted) = scale.filter(|wanted| *wanted != network.scale) {
                    return Err(unrecognised(RecogniseError::Scale { wanted, scales: vec![network.scale] }));
                }
                (network, weights, card, "pdn, with its card")
            }
            None => {
                if let Some(what) = other(&checkpoint) {
                    return Err(ModelError::Other { path: path.to_owned(), what });
                }
                let recognised = zoo::recognise(&checkpoint.tensors, scale).map_err(unrecognised)?;
                let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                (recognised.network, recognised.weights, Card { name, ..Card::default() }, recognised.layout)
            }
        };
        let kind = match checkpoint.kind {
            Kind::Safetensors => "safetensors",
            Kind::TorchZip => "PyTorch",
            Kind::TorchScript => "TorchScript",
            Kind::TorchLegacy => "legacy PyTorch",
        };
        let Checkpoint { unwrapped, skipped, sha256, .. } = checkpoint;
        let source = Some(Source { kind, layout, unwrapped, skipped, sha256 });
        Ok(Self { network, weights, card, source })
    }

    /// Returns the bytes of a model file.
    pub fn to_bytes(&self, precision: Precision) -> Vec<u8> {
        let tensors = precision.round(&self.network.name_weights(self.weights.clone()));
        let card = self.file_card(&tensors);
        checkpoint::write(&tensors, HashMap::from([(CARD.to_owned(), card)]), precision)
    }

    /// Returns the card as stored in a file: the metadata key, and JSON with the network's configuration and the
    /// fingerprint of its weights.
    pub fn card_entry(&self) -> (&'static str, String) {
        (CARD, self.file_card(&self.network.name_weights(self.weights.clone())))
    }

    fn file_card(&self, tensors: &Tensors) -> String {
        let card = FileCard {
            architecture: self.network.architecture.to_owned(),
            config: self.network.config.clone(),
            form: if self.network.is_deployed() { Form::Deploy } else { Form::Train },
            scale: self.network.scale,
            sha256: fingerprint(tensors),
            card: self.card.clone(),
        };
        serde_json::to_string(&card).expect("a card is JSON")
    }
}

/// Identifies a file of this project that is not a model.
fn other(checkpoint: &Checkpoint) -> Option<&'static str> {
    let has = |key: &str| checkpoint.metadata.contains_key(key);
    match () {
        () if has("pdn.encoder") => Some("a prompt encoder; expected a network"),
        () if has("encoder") && checkpoint.tensors.contains_key("embeddings") => {
            Some("a file of prompt embeddings; expected a network")
        }
        () if has("schedule") && has("history") => {
            Some("the state of a training run; expected a network, such as result.safetensors in the run's folder")
        }
        () => None,
    }
}

/// Builds the network that a card describes, with its weights.
fn from_card(path: &Path, card: &str, tensors: Tensors) -> Result<(Network, Weights, Card), ModelError> {
    let wrong = |why: String| ModelError::Card { path: path.to_owned(), why };
    let card: FileCard = serde_json::from_str(card).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let network = zoo::build(&card.architecture, &card.config).map_err(|e| wrong(format!("says {e}")))?;
    let network = match card.form {
        Form::Train => network,
        Form::Deploy => network.deployed(),
    };
    if network.scale != card.scale {
        return Err(wrong(format!("has scale {}, but its configuration {}", card.scale, network.scale)));
    }
    if fingerprint(&tensors) != card.sha256 {
        return Err(wrong("has a sha256 that differs from that of the weights: the file is damaged".into()));
    }
    let weights = network.bind(tensors).map_err(|error| ModelError::Network { path: path.to_owned(), error })?;
    Ok((network, weights, card.card))
}

/// Returns the SHA-256 over every tensor's name, shape and numbers, in name order, in hexadecimal.
pub fn fingerprint(tensors: &Tensors) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(format!("{name} {:?}\n", tensor.shape()));
        for v in tensor.data() {
            hash.update(v.to_le_bytes());
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::{Edsr, Pdn};
    use crate::{DcmOptions, hashed};

    fn model(network: Network) -> Model {
        let weights = hashed::weights(&network);
        let mut card = Card { name: "hashed".into(), license: "CC0-1.0".into(), ..Card::default() };
        card.more.insert("iterations".into(), 7.into());
        Model { network, weights, card, source: None }
    }

    fn reopened(bytes: &[u8]) -> Result<Model, ModelError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        Model::open(file.path())
    }

    #[test]
    fn other_files_of_this_project_are_named() {
        let tensors = Tensors::from([("embeddings".to_owned(), crate::Tensor::new(vec![1, 2], vec![0.6, 0.8]))]);
        for (keys, word) in [
            (&["pdn.encoder"][..], "prompt encoder"),
            (&["encoder", "names"], "prompt embeddings"),
            (&["schedule", "history"], "result.safetensors"),
        ] {
            let metadata = keys.iter().map(|key| ((*key).to_owned(), String::new())).collect();
            let error = reopened(&checkpoint::write(&tensors, metadata, Precision::F32)).unwrap_err();
            assert!(matches!(error, ModelError::Other { .. }) && error.to_string().contains(word), "{error}");
        }
        assert!(matches!(
            reopened(&checkpoint::write(&tensors, HashMap::new(), Precision::F32)),
            Err(ModelError::Unrecognised { .. })
        ));
    }

    #[test]
    fn both_forms_are_written_and_read_again() {
        let plus = Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(DcmOptions::default()).build().unwrap();
        let pdn = Pdn { features: 16, groups: 1, blocks: 2, modules: 1, ..Pdn::medium(3) }.build().unwrap();
        for network in [plus.deployed(), plus.clone(), pdn] {
            let written = model(network);
            let read = reopened(&written.to_bytes(Precision::F32)).unwrap();
            assert_eq!((&read.network, &read.weights, &read.card), (&written.network, &written.weights, &written.card));
            assert_eq!(read.source.unwrap().kind, "safetensors");
        }
        let written = model(plus);
        let half = reopened(&written.to_bytes(Precision::F16)).unwrap();
        assert!(half.weights != written.weights && half.to_bytes(Precision::F16) == written.to_bytes(Precision::F16));
    }

    #[test]
    fn numbers_of_a_card_are_read_to_the_last_bit() {
        // As a layer of CARN or EDSR stores it in float32.
        let mean = [0.448_799_997_568_130_5, 0.437_099_993_228_912_35, 0.404_000_014_066_696_17];
        let network = Edsr { features: 4, blocks: 1, mean, ..Edsr::baseline(2) }.build().unwrap();
        let read = reopened(&model(network.clone()).to_bytes(Precision::F32)).unwrap();
        assert_eq!(read.network, network);
    }

    #[test]
    fn a_card_that_does_not_fit_is_said() {
        let network = Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.build().unwrap();
        let bytes = model(network).to_bytes(Precision::F32);
        let with = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut changed = bytes.clone();
            changed[at..at + from.len()].copy_from_slice(to.as_bytes());
            reopened(&changed).unwrap_err().to_string()
        };
        // The card is JSON within JSON, so its quotes are escaped.
        for (from, to, word) in [
            (r#"\"architecture\":\"edsr\""#, r#"\"architecture\":\"vdsr\""#, "unknown architecture `vdsr`"),
            (r#"\"scale\":2,\"sha256\""#, r#"\"scale\":3,\"sha256\""#, "scale 3"),
            (r#"\"features\":16"#, r#"\"features\":32"#, "of the wrong shape"),
            (r#"\"blocks\":1"#, r#"\"blokcs\":1"#, "blokcs"),
            (r#"{\"architecture\""#, r#"(\"architecture\""#, "cannot be read"),
        ] {
            let said = with(from, to);
            assert!(said.contains(word), "{said}");
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(reopened(&flipped).unwrap_err().to_string().contains("damaged"));
    }
}
