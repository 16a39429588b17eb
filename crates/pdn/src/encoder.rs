//! Encoders: what turns a sentence or a picture into an embedding that steers a network.

use crate::clip_file::{self, Activation};
use crate::tokenizer::Tokenizer;
use pdn_engine::{Map, RunError, reference};
use pdn_image::{Picture, bleed, centre_square, resize_to};
use pdn_network::checkpoint::{self, Checkpoint, Precision};
use pdn_network::zoo::{Clip, ClipLayout};
use pdn_network::{Card, Network, NetworkError, Tensors, Weights, fingerprint};
use rayon::prelude::*;
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
    truncates: bool,
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
    /// How a picture is brought to the picture tower's square.
    pub framing: Framing,
    /// What it is.
    pub card: Card,
    /// Both towers' tensors, by name.
    pub tensors: Tensors,
}

/// How a picture is brought to squares that a picture tower looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// One square: all of the picture, squeezed to it by MATLAB's bicubic.
    #[default]
    Squeeze,
    /// One square: its shorter side resized by Pillow's bicubic, the middle of the longer one. CLIP's.
    CentreCrop,
    /// Two squares: five sixths of the picture's width and height from its upper left corner, and as much from its lower
    /// right one in a mirror, both squeezed by MATLAB's bicubic. What this project's own encoders are trained for: parts of
    /// pictures are what they learn from.
    Corners,
}

impl Framing {
    fn is_squeeze(&self) -> bool {
        *self == Self::Squeeze
    }

    /// A picture's squares, of so many pixels a side. Colours under full transparency, which nobody sees, give way to those
    /// around them.
    pub fn squares(self, picture: &Picture, side: usize) -> Vec<Picture> {
        let picture = bleed(picture).into_owned().with_alpha(None);
        let squeezed = |picture: &Picture| resize_to(picture, side, side);
        match self {
            Self::Squeeze => vec![squeezed(&picture)],
            Self::CentreCrop => vec![centre_square(&picture, side)],
            Self::Corners => {
                let [width, height] = [picture.width(), picture.height()].map(|length| (5 * length).div_ceil(6));
                let part = |left, top| squeezed(&picture.part((left, top), width, height));
                vec![part(0, 0), part(picture.width() - width, picture.height() - height).mirrored()]
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct FileCard {
    clip: Clip,
    mean: [f64; 3],
    deviation: [f64; 3],
    #[serde(default, skip_serializing_if = "Framing::is_squeeze")]
    framing: Framing,
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
    /// Which GELU its towers have is said nowhere.
    #[error(
        "{path}: CLIP weights in the layout of {layout} do not say whether their activation is quick GELU; put the {} \
         that came with them next to the file, or choose the activation: quick-gelu (OpenAI's weights) or gelu (most \
         others). The wrong one gives embeddings that look right",
        .layout.config()
    )]
    Activation {
        /// The file.
        path: PathBuf,
        /// Whose names its tensors have.
        layout: ClipLayout,
    },
    /// The sentence has no words.
    #[error("the prompt is empty: expected a sentence that describes the picture")]
    EmptyText,
    /// The sentence is longer than the encoder reads.
    #[error(
        "the prompt has {found} tokens, more than the {limit} that the encoder reads; use a shorter sentence"
    )]
    LongText {
        /// Its tokens, with its start and end.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// More text than is looked at: no sentence is as long.
    #[error("the prompt has {found} bytes, more than the limit of {limit}; use a shorter sentence")]
    ManyBytes {
        /// Its bytes.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// A tower could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The most bytes of a sentence: a hundred times those of one that has as many tokens as CLIP reads.
const LONGEST: usize = 16 << 10;

impl EncoderFile {
    /// Reads an encoder's file: one of this project's, or CLIP's weights by OpenAI, open_clip or Hugging Face transformers.
    /// Of those `activation` says which GELU they have; without it the file, or the configuration beside it, must.
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`], [`EncoderError::File`] or [`EncoderError::Activation`].
    pub fn read(path: &Path, activation: Option<Activation>) -> Result<Self, EncoderError> {
        let read = checkpoint::read(path)?;
        match read.metadata.contains_key(CARD) {
            false => clip_file::read(path, read, activation),
            true if activation.is_some() => {
                let why = "its card already names the activation; leave it out".into();
                Err(EncoderError::File { path: path.to_owned(), why })
            }
            true => Self::from_checkpoint(path, read),
        }
    }

    /// Reads a file of one of this project's encoders from memory; messages name `path`.
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`] or [`EncoderError::File`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, EncoderError> {
        let read = checkpoint::parse(bytes).map_err(|why| checkpoint::Error { path: path.to_owned(), why })?;
        Self::from_checkpoint(path, read)
    }

    fn from_checkpoint(path: &Path, read: Checkpoint) -> Result<Self, EncoderError> {
        let wrong = |why: String| EncoderError::File { path: path.to_owned(), why };
        let Some(card) = read.metadata.get(CARD) else {
            return Err(wrong("is not an encoder: its metadata has no `pdn.encoder`".into()));
        };
        let card: FileCard =
            serde_json::from_str(card).map_err(|e| wrong(format!("its encoder card cannot be read: {e}")))?;
        if fingerprint(&read.tensors) != card.sha256 {
            return Err(wrong("the sha256 of the weights differs from that in its card: the file is damaged".into()));
        }
        let FileCard { clip, mean, deviation, framing, card, .. } = card;
        Ok(Self { clip, mean, deviation, framing, card, tensors: read.tensors })
    }

    /// The bytes of its file.
    pub fn to_bytes(&self, precision: Precision) -> Vec<u8> {
        let tensors = precision.round(&self.tensors);
        let Self { clip, mean, deviation, framing, card, .. } = self;
        let (clip, mean, deviation, framing) = (clip.clone(), *mean, *deviation, *framing);
        let card = FileCard { clip, mean, deviation, framing, card: card.clone(), sha256: fingerprint(&tensors) };
        let card = serde_json::to_string(&card).expect("a card is JSON");
        checkpoint::write(&tensors, HashMap::from([(CARD.to_owned(), card)]), precision)
    }

    /// A picture as the picture tower looks at it: its squares, in its range. What the tower says of them, each of unit length,
    /// is added up.
    pub fn look(&self, picture: &Picture) -> Vec<Map<f32>> {
        let side = self.clip.side();
        let number = |v: u8, c: usize| ((f64::from(v) / 255.0 - self.mean[c]) / self.deviation[c]) as f32;
        let map = |square: Picture| {
            Map::new(3, side, side, (0..3).flat_map(|c| square.plane(c).map(move |v| number(v, c))).collect())
        };
        self.framing.squares(picture, side).into_iter().map(map).collect()
    }
}

impl Encoder {
    /// Reads an encoder's file: one of this project's, or CLIP's weights ([`EncoderFile::read`]).
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`], [`EncoderError::File`] or [`EncoderError::Activation`], which name the file.
    pub fn open(path: &Path) -> Result<Self, EncoderError> {
        Self::new(path, EncoderFile::read(path, None)?)
    }

    /// As [`Self::open`], of CLIP's weights with this activation, whatever is said beside them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, activation: Activation) -> Result<Self, EncoderError> {
        Self::new(path, EncoderFile::read(path, Some(activation))?)
    }

    /// The same encoder, which reads of a sentence that is too long as much as it can, as OpenAI's `truncate` does.
    pub fn truncating(self) -> Self {
        Self { truncates: true, ..self }
    }

    /// An encoder from its file's contents; messages name `path`.
    ///
    /// # Errors
    /// [`EncoderError::File`] where the tensors are not the towers'.
    pub fn new(path: &Path, mut file: EncoderFile) -> Result<Self, EncoderError> {
        let wrong = |why: String| EncoderError::File { path: path.to_owned(), why };
        let network = |error: NetworkError| wrong(error.to_string());
        let tokenizer = Tokenizer::new(file.clip.text.vocabulary).ok_or_else(|| {
            wrong(format!("has a vocabulary of {}, expected 514 to 49408", file.clip.text.vocabulary))
        })?;
        let (text, picture) =
            (file.clip.text_network().map_err(network)?, file.clip.picture_network().map_err(network)?);
        let id = format!("{}@{}", file.card.name, &fingerprint(&file.tensors)[..12]);
        let tensors = std::mem::take(&mut file.tensors);
        let (of_picture, of_text) =
            tensors.into_iter().partition(|(name, _): &(String, _)| name.starts_with("visual."));
        let text_weights = text.bind(of_text).map_err(network)?;
        let picture_weights = picture.bind(of_picture).map_err(network)?;
        let (text, picture) = ((text, text_weights), (picture, picture_weights));
        Ok(Self { id, text, picture, tokenizer, truncates: false, file })
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
    /// [`EncoderError::EmptyText`], [`EncoderError::LongText`] or [`EncoderError::ManyBytes`].
    pub fn embed_text(&self, text: &str) -> Result<Embedding, EncoderError> {
        let tokens = self.tokens(text)?;
        let (network, weights) = &self.text;
        Ok(self.embedding(unit(&reference::encode(network, weights, &tokens)?)?))
    }

    /// The tokens of a sentence, with its start and end.
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
        // A sentence may spell the end token out, and its vector is then taken there.
        let first = tokens.iter().position(|token| *token == end).unwrap_or_default();
        tokens.truncate(first + 1);
        match tokens.len() {
            ..=2 => Err(EncoderError::EmptyText),
            _ => Ok(tokens),
        }
    }

    /// The embedding of a picture.
    ///
    /// # Errors
    /// [`EncoderError::Run`] where the encoder gives nothing that has a direction.
    pub fn embed_picture(&self, picture: &Picture) -> Result<Embedding, EncoderError> {
        let (network, weights) = &self.picture;
        let squares = self.file.look(picture);
        let said: Vec<Vec<f32>> = (squares.par_iter())
            .map(|square| unit(&reference::run(network, weights, square, None)?.picture.data))
            .collect::<Result<_, EncoderError>>()?;
        let sum: Vec<f32> = (0..self.dim()).map(|i| said.iter().map(|one| one[i]).sum()).collect();
        Ok(self.embedding(unit(&sum)?))
    }

    /// The embedding of a picture seen in a mirror: what steers a network that is given no prompt (the paper's section
    /// 4.1).
    ///
    /// # Errors
    /// As [`Self::embed_picture`].
    pub fn embed_mirrored(&self, picture: &Picture) -> Result<Embedding, EncoderError> {
        self.embed_picture(&picture.mirrored())
    }

    fn embedding(&self, values: Vec<f32>) -> Embedding {
        Embedding { encoder: self.id.clone(), values }
    }
}

/// The direction of a vector.
fn unit(raw: &[f32]) -> Result<Vec<f32>, EncoderError> {
    let norm = raw.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    match norm.is_finite() && norm > 0.0 {
        true => Ok(raw.iter().map(|v| (f64::from(*v) / norm) as f32).collect()),
        false => Err(RunError::NotFinite { layer: "the embedding".into() }.into()),
    }
}
