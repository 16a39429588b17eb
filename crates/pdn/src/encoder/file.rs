//! The file format of this project's encoders.

use crate::encoder::error::EncoderError;
use crate::encoder::faults::PREFIX;
use crate::encoder::framing::Framing;
use pdn_engine::Map;
use pdn_image::Picture;
use pdn_network::checkpoint::{self, Checkpoint, Precision};
use pdn_network::zoo::Clip;
use pdn_network::{Card, Tensors, fingerprint};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The metadata key of an encoder's card.
pub(crate) const CARD: &str = "pdn.encoder";

/// An encoder as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderFile {
    /// Both towers.
    pub clip: Clip,
    /// The mean of each channel of a picture in 0..1, which is subtracted.
    pub mean: [f64; 3],
    /// The standard deviation of each channel, which divides the difference.
    pub deviation: [f64; 3],
    /// How a picture is fitted to the picture tower's square input.
    pub framing: Framing,
    /// The towers that hear and see faults, if it has them; both give logits of [`crate::KnownFaults`].
    pub faults: Option<Clip>,
    /// The encoder's card.
    pub card: Card,
    /// The tensors of all towers, by name; those of faults begin with `faults.`.
    pub tensors: Tensors,
}

#[derive(Serialize, Deserialize)]
struct FileCard {
    clip: Clip,
    mean: [f64; 3],
    deviation: [f64; 3],
    #[serde(default, skip_serializing_if = "Framing::is_squeeze")]
    framing: Framing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    faults: Option<Clip>,
    sha256: String,
    #[serde(flatten)]
    card: Card,
}

impl EncoderFile {
    /// Parses a file of one of this project's encoders; messages name `path`.
    ///
    /// # Errors
    /// [`EncoderError::Checkpoint`] or [`EncoderError::File`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, EncoderError> {
        let read = checkpoint::parse(bytes).map_err(|why| checkpoint::Error { path: path.to_owned(), why })?;
        Self::from_checkpoint(path, read)
    }

    pub(crate) fn from_checkpoint(path: &Path, read: Checkpoint) -> Result<Self, EncoderError> {
        let wrong = |why: String| EncoderError::File { path: path.to_owned(), why };
        let Some(card) = read.metadata.get(CARD) else {
            return Err(wrong("is not an encoder: its metadata has no `pdn.encoder`".into()));
        };
        let card: FileCard =
            serde_json::from_str(card).map_err(|e| wrong(format!("its encoder card cannot be read: {e}")))?;
        if fingerprint(&read.tensors) != card.sha256 {
            return Err(wrong("the sha256 of the weights differs from that in its card: the file is damaged".into()));
        }
        let FileCard { clip, mean, deviation, framing, faults, card, .. } = card;
        Ok(Self { clip, mean, deviation, framing, faults, card, tensors: read.tensors })
    }

    /// Returns the bytes of the encoder's file.
    pub fn to_bytes(&self, precision: Precision) -> Vec<u8> {
        let tensors = precision.round(&self.tensors);
        let Self { clip, mean, deviation, framing, faults, card, .. } = self;
        let (clip, mean, deviation, framing) = (clip.clone(), *mean, *deviation, *framing);
        let (faults, card, sha256) = (faults.clone(), card.clone(), fingerprint(&tensors));
        let card = FileCard { clip, mean, deviation, framing, faults, card, sha256 };
        let card = serde_json::to_string(&card).expect("a card is JSON");
        checkpoint::write(&tensors, HashMap::from([(CARD.to_owned(), card)]), precision)
    }

    /// Takes the tensors of the towers of faults, without their prefix.
    pub(crate) fn take_faults(&mut self) -> Tensors {
        let names: Vec<String> = self.tensors.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect();
        let take = |name: String| Some((name.strip_prefix(PREFIX)?.to_owned(), self.tensors.remove(&name)?));
        names.into_iter().filter_map(take).collect()
    }

    /// Returns the picture as the inputs of the picture tower: its squares, normalised. The embedding is the sum of the
    /// tower's outputs for these, each scaled to unit length.
    pub fn look(&self, picture: &Picture) -> Vec<Map<f32>> {
        let side = self.clip.side();
        let number = |v: u8, c: usize| ((f64::from(v) / 255.0 - self.mean[c]) / self.deviation[c]) as f32;
        let map = |square: Picture| {
            Map::new(3, side, side, (0..3).flat_map(|c| square.plane(c).map(move |v| number(v, c))).collect())
        };
        self.framing.squares(picture, side).into_iter().map(map).collect()
    }
}
