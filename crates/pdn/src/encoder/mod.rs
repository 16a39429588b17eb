//! Encoders: turn a sentence or a picture into an embedding that steers a network.

mod cache;
mod clip_file;
mod embedding;
mod embedding_file;
mod error;
mod faults;
mod file;
mod framing;
mod tokenizer;

pub use cache::{Content, EmbeddingCache};
pub use clip_file::Activation;
pub use embedding::Embedding;
pub use embedding_file::{EmbeddingError, embeddings_to_bytes, read_embeddings};
pub use error::EncoderError;
pub use faults::{numbers as fault_numbers, squares as fault_squares};
pub use file::EncoderFile;
pub use framing::Framing;
pub use tokenizer::Tokenizer;

use crate::faults::KnownFaults;
use faults::FaultTowers;
use pdn_engine::{RunError, dense};
use pdn_image::Picture;
use pdn_network::{Card, Network, NetworkError, Weights, checkpoint, fingerprint};
use rayon::prelude::*;
use std::path::Path;

/// A CLIP encoder: one tower for sentences, one for pictures. It may have two more, which hear and see faults.
#[derive(Debug)]
pub struct Encoder {
    id: String,
    file: EncoderFile,
    text: (Network, Weights),
    picture: (Network, Weights),
    faults: Option<FaultTowers>,
    tokenizer: Tokenizer,
    truncates: bool,
}

/// The most bytes of a sentence: a hundred times those of a sentence that fills CLIP's context.
const LONGEST: usize = 16 << 10;

impl EncoderFile {
    /// Reads an encoder's file: one of this project's, or CLIP weights by OpenAI, open_clip or Hugging Face
    /// transformers. For CLIP weights, `activation` selects the GELU; without it, the file or the configuration beside
    /// it must say.
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`], [`EncoderError::File`] or [`EncoderError::Activation`].
    pub fn read(path: &Path, activation: Option<Activation>) -> Result<Self, EncoderError> {
        let read = checkpoint::read(path)?;
        match read.metadata.contains_key(file::CARD) {
            false => clip_file::read(path, read, activation),
            true if activation.is_some() => {
                let why = "its card already names the activation; leave it out".into();
                Err(EncoderError::File { path: path.to_owned(), why })
            }
            true => Self::from_checkpoint(path, read),
        }
    }
}

impl Encoder {
    /// Opens an encoder's file: one of this project's, or CLIP weights ([`EncoderFile::read`]).
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`], [`EncoderError::File`] or [`EncoderError::Activation`], which name the file.
    pub fn open(path: &Path) -> Result<Self, EncoderError> {
        Self::new(path, EncoderFile::read(path, None)?)
    }

    /// Opens CLIP weights as [`Self::open`] does, with this activation whatever the files say.
    ///
    /// # Errors
    /// Same as [`Self::open`].
    pub fn open_with(path: &Path, activation: Activation) -> Result<Self, EncoderError> {
        Self::new(path, EncoderFile::read(path, Some(activation))?)
    }

    /// Returns the encoder with truncation enabled: it reads as much of a long sentence as fits, as OpenAI's `truncate`
    /// does.
    pub fn truncating(self) -> Self {
        Self { truncates: true, ..self }
    }

    /// Creates an encoder from its file's contents; messages name `path`.
    ///
    /// # Errors
    /// [`EncoderError::File`] if the tensors do not match the towers.
    pub fn new(path: &Path, mut file: EncoderFile) -> Result<Self, EncoderError> {
        let wrong = |why: String| EncoderError::File { path: path.to_owned(), why };
        let network = |error: NetworkError| wrong(error.to_string());
        let tokenizer = Tokenizer::new(file.clip.text.vocabulary).ok_or_else(|| {
            wrong(format!("has a vocabulary of {}, expected 514 to 49408", file.clip.text.vocabulary))
        })?;
        let (text, picture) =
            (file.clip.text_network().map_err(network)?, file.clip.picture_network().map_err(network)?);
        let faults = match file.faults.clone() {
            Some(clip) => Some(FaultTowers::new(&clip, file.take_faults()).map_err(network)?),
            None => None,
        };
        let id = format!("{}@{}", file.card.name, &fingerprint(&file.tensors)[..12]);
        let tensors = std::mem::take(&mut file.tensors);
        let (of_picture, of_text) =
            tensors.into_iter().partition(|(name, _): &(String, _)| name.starts_with("visual."));
        let text_weights = text.bind(of_text).map_err(network)?;
        let picture_weights = picture.bind(of_picture).map_err(network)?;
        let (text, picture) = ((text, text_weights), (picture, picture_weights));
        Ok(Self { id, text, picture, faults, tokenizer, truncates: false, file })
    }

    /// Returns the encoder's id: its name and the first digits of its weights' fingerprint. Embeddings and models refer
    /// to it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns whether the encoder hears and sees faults.
    pub fn tells_faults(&self) -> bool {
        self.faults.is_some()
    }

    /// Returns what a sentence tells of a picture's faults; nothing if the encoder does not hear them.
    ///
    /// # Errors
    /// Same as [`Self::embed_text`].
    pub fn faults_of_text(&self, text: &str) -> Result<KnownFaults, EncoderError> {
        let tokens = self.tokens(text)?;
        self.faults.as_ref().map_or_else(|| Ok(KnownFaults::default()), |towers| towers.heard(&tokens))
    }

    /// Returns what a picture shows of its faults; nothing if the encoder does not see them. It looks at eight squares
    /// at most, so large pictures take no longer.
    ///
    /// # Errors
    /// [`EncoderError::Run`] if a tower's output is not finite.
    pub fn faults_of_picture(&self, picture: &Picture) -> Result<KnownFaults, EncoderError> {
        self.faults.as_ref().map_or_else(|| Ok(KnownFaults::default()), |towers| towers.seen(picture))
    }

    /// Returns the length of the embeddings of content.
    pub fn dim(&self) -> usize {
        self.file.clip.dim
    }

    /// Returns the encoder's card.
    pub fn card(&self) -> &Card {
        &self.file.card
    }

    /// Embeds a sentence.
    ///
    /// # Errors
    /// [`EncoderError::EmptyText`], [`EncoderError::LongText`] or [`EncoderError::ManyBytes`].
    pub fn embed_text(&self, text: &str) -> Result<Embedding, EncoderError> {
        let tokens = self.tokens(text)?;
        let (network, weights) = &self.text;
        Ok(self.embedding(unit(&dense::encode(network, weights, &tokens)?)?))
    }

    /// Tokenizes a sentence, including its start and end tokens.
    ///
    /// # Errors
    /// [`EncoderError::EmptyText`], [`EncoderError::LongText`] or [`EncoderError::ManyBytes`].
    pub fn tokens(&self, text: &str) -> Result<Vec<usize>, EncoderError> {
        let text = match text.len() {
            ..=LONGEST => text,
            _ if self.truncates => &text[..(0..=LONGEST).rfind(|at| text.is_char_boundary(*at)).unwrap_or_default()],
            found => return Err(EncoderError::ManyBytes { found, limit: LONGEST }),
        };
        let (mut tokens, end) = (self.tokenizer.encode(text), self.file.clip.text.vocabulary - 1);
        match (tokens.len(), self.file.clip.text.context) {
            (found, limit) if found > limit && self.truncates => {
                tokens.truncate(limit);
                tokens[limit - 1] = end;
            }
            (found, limit) if found > limit => return Err(EncoderError::LongText { found, limit }),
            _ => {}
        }
        // A sentence may spell out the end token; the embedding is then read there.
        let first = tokens.iter().position(|token| *token == end).unwrap_or_default();
        tokens.truncate(first + 1);
        match tokens.len() {
            ..=2 => Err(EncoderError::EmptyText),
            _ => Ok(tokens),
        }
    }

    /// Embeds a picture.
    ///
    /// # Errors
    /// [`EncoderError::Run`] if the encoder's output has no direction.
    pub fn embed_picture(&self, picture: &Picture) -> Result<Embedding, EncoderError> {
        let (network, weights) = &self.picture;
        let squares = self.file.look(picture);
        let said: Vec<Vec<f32>> = (squares.par_iter())
            .map(|square| unit(&dense::run(network, weights, square, None)?.picture.data))
            .collect::<Result<_, EncoderError>>()?;
        let sum: Vec<f32> = (0..self.dim()).map(|i| said.iter().map(|one| one[i]).sum()).collect();
        Ok(self.embedding(unit(&sum)?))
    }

    /// Embeds a picture flipped horizontally: what steers a network without a prompt (the paper's section 4.1).
    ///
    /// # Errors
    /// Same as [`Self::embed_picture`].
    pub fn embed_mirrored(&self, picture: &Picture) -> Result<Embedding, EncoderError> {
        self.embed_picture(&picture.mirrored())
    }

    fn embedding(&self, values: Vec<f32>) -> Embedding {
        Embedding { encoder: self.id.clone(), values }
    }
}

/// Scales a vector to unit length.
fn unit(raw: &[f32]) -> Result<Vec<f32>, EncoderError> {
    let norm = raw.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    match norm.is_finite() && norm > 0.0 {
        true => Ok(raw.iter().map(|v| (f64::from(*v) / norm) as f32).collect()),
        false => Err(RunError::NotFinite { layer: "the embedding".into() }.into()),
    }
}
