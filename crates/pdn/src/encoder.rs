//! Encoders: what turns a sentence or a picture into an embedding that steers a network.

use crate::tokenizer::Tokenizer;
use pdn_engine::{Map, RunError, reference};
use pdn_image::{Picture, resize_to};
use pdn_network::checkpoint::{self, Precision};
use pdn_network::zoo::Clip;
use pdn_network::{Card, Network, NetworkError, Tensors, Weights, fingerprint};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The metadata key of an encoder's card.
const CARD: &str = "pdn.encoder";

/// An embedding of unit length, and who made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Id of the encoder.
    pub encoder: String,
    /// The numbers.
    pub values: Vec<f32>,
}

/// A CLIP: a tower that reads sentences and one that looks at pictures.
#[derive(Debug)]
pub struct Encoder {
    id: String,
    file: EncoderFile,
    text: (Network, Weights),
    picture: (Network, Weights),
    tokenizer: Tokenizer,
}

/// An encoder as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderFile {
    /// Both towers.
    pub clip: Clip,
    /// What is taken off each channel of a picture in 0..1.
    pub mean: [f64; 3],
    /// By what it is then divided.
    pub deviation: [f64; 3],
    /// What it is.
    pub card: Card,
    /// Both towers' tensors, by name.
    pub tensors: Tensors,
}

#[derive(Serialize, Deserialize)]
struct FileCard {
    clip: Clip,
    mean: [f64; 3],
    deviation: [f64; 3],
    sha256: String,
    #[serde(flatten)]
    card: Card,
}

/// Why an encoder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// Its file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Its file is no encoder.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The sentence has no words.
    #[error("the prompt is empty: expected a sentence that says what the picture shows")]
    EmptyText,
    /// The sentence is longer than the encoder reads.
    #[error("the prompt has {found} tokens, more than the {limit} that the encoder reads: use a shorter sentence")]
    LongText {
        /// Its tokens, with its start and end.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// A tower could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl EncoderFile {
    /// Reads an encoder's file from memory; messages name `path`.
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`] or [`EncoderError::File`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, EncoderError> {
        let read = checkpoint::parse(bytes).map_err(|why| checkpoint::Error { path: path.to_owned(), why })?;
        let wrong = |why: String| EncoderError::File { path: path.to_owned(), why };
        let Some(card) = read.metadata.get(CARD) else {
            return Err(wrong("is no encoder: its metadata has no `pdn.encoder`".into()));
        };
        let card: FileCard =
            serde_json::from_str(card).map_err(|e| wrong(format!("its encoder card cannot be read: {e}")))?;
        if fingerprint(&read.tensors) != card.sha256 {
            return Err(wrong("the weights have another sha256 than its card says: the file is damaged".into()));
        }
        let FileCard { clip, mean, deviation, card, .. } = card;
        Ok(Self { clip, mean, deviation, card, tensors: read.tensors })
    }

    /// The bytes of its file.
    pub fn to_bytes(&self, precision: Precision) -> Vec<u8> {
        let tensors = precision.round(&self.tensors);
        let Self { clip, mean, deviation, card, .. } = self.clone();
        let card = FileCard { clip, mean, deviation, card, sha256: fingerprint(&tensors) };
        let card = serde_json::to_string(&card).expect("a card is JSON");
        checkpoint::write(&tensors, HashMap::from([(CARD.to_owned(), card)]), precision)
    }

    /// A picture as the picture tower looks at it: squeezed to its square, in its range.
    pub fn look(&self, picture: &Picture) -> Map<f32> {
        let side = self.clip.side();
        let square = resize_to(&picture.clone().with_alpha(None), side, side);
        let number = |v: u8, c: usize| ((f64::from(v) / 255.0 - self.mean[c]) / self.deviation[c]) as f32;
        let data = (0..3).flat_map(|c| square.plane(c).map(move |v| number(v, c))).collect();
        Map::new(3, side, side, data)
    }
}

impl Encoder {
    /// Reads an encoder's file.
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`] or [`EncoderError::File`], which name the file.
    pub fn open(path: &Path) -> Result<Self, EncoderError> {
        let file = |why: checkpoint::Fault| checkpoint::Error { path: path.to_owned(), why };
        let bytes = std::fs::read(path).map_err(|e| {
            file(match e.kind() {
                std::io::ErrorKind::NotFound => checkpoint::Fault::Missing,
                std::io::ErrorKind::IsADirectory => checkpoint::Fault::Folder,
                _ => checkpoint::Fault::Io(e),
            })
        })?;
        Self::new(path, EncoderFile::parse(path, &bytes)?)
    }

    /// An encoder from its file's contents; messages name `path`.
    ///
    /// # Errors
    /// [`EncoderError::File`] where the tensors are not the towers'.
    pub fn new(path: &Path, file: EncoderFile) -> Result<Self, EncoderError> {
        let wrong = |why: String| EncoderError::File { path: path.to_owned(), why };
        let network = |error: NetworkError| wrong(error.to_string());
        let tokenizer = Tokenizer::new(file.clip.text.vocabulary).ok_or_else(|| {
            wrong(format!("has a vocabulary of {}, expected 514 to 49408", file.clip.text.vocabulary))
        })?;
        let (text, picture) =
            (file.clip.text_network().map_err(network)?, file.clip.picture_network().map_err(network)?);
        let (of_picture, of_text) =
            file.tensors.clone().into_iter().partition(|(name, _): &(String, _)| name.starts_with("visual."));
        let text_weights = text.bind(of_text).map_err(network)?;
        let picture_weights = picture.bind(of_picture).map_err(network)?;
        let id = format!("{}@{}", file.card.name, &fingerprint(&file.tensors)[..12]);
        Ok(Self { id, text: (text, text_weights), picture: (picture, picture_weights), tokenizer, file })
    }

    /// Its name and the beginning of its weights' fingerprint: what embeddings and models name it by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Length of its embeddings.
    pub fn dim(&self) -> usize {
        self.file.clip.dim
    }

    /// What its file says of it.
    pub fn card(&self) -> &Card {
        &self.file.card
    }

    /// The embedding of a sentence.
    ///
    /// # Errors
    /// [`EncoderError::EmptyText`] or [`EncoderError::LongText`].
    pub fn embed_text(&self, text: &str) -> Result<Embedding, EncoderError> {
        let tokens = self.tokens(text)?;
        let (network, weights) = &self.text;
        self.embedding(reference::encode(network, weights, &tokens)?)
    }

    /// The tokens of a sentence, with its start and end.
    ///
    /// # Errors
    /// [`EncoderError::EmptyText`] or [`EncoderError::LongText`].
    pub fn tokens(&self, text: &str) -> Result<Vec<usize>, EncoderError> {
        let tokens = self.tokenizer.encode(text);
        match (tokens.len(), self.file.clip.text.context) {
            (..=2, _) => Err(EncoderError::EmptyText),
            (found, limit) if found > limit => Err(EncoderError::LongText { found, limit }),
            _ => Ok(tokens),
        }
    }

    /// The embedding of a picture.
    ///
    /// # Errors
    /// [`EncoderError::Run`] where the encoder gives nothing that has a direction.
    pub fn embed_picture(&self, picture: &Picture) -> Result<Embedding, EncoderError> {
        let (network, weights) = &self.picture;
        self.embedding(reference::run(network, weights, &self.file.look(picture), None)?.picture.data)
    }

    /// The embedding of a picture seen in a mirror: what steers a network that is given no prompt (the paper's section
    /// 4.1).
    ///
    /// # Errors
    /// As [`Self::embed_picture`].
    pub fn embed_mirrored(&self, picture: &Picture) -> Result<Embedding, EncoderError> {
        self.embed_picture(&picture.mirrored())
    }

    fn embedding(&self, raw: Vec<f32>) -> Result<Embedding, EncoderError> {
        let norm = raw.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm == 0.0 {
            return Err(RunError::NotFinite.into());
        }
        let values = raw.iter().map(|v| (f64::from(*v) / norm) as f32).collect();
        Ok(Embedding { encoder: self.id.clone(), values })
    }
}
