//! Prompts: what steers a network, and where its embedding comes from.

use crate::encoder::{Embedding, Encoder, EncoderError};
use pdn_image::Picture;

/// What steers a network. Absence is a kind of its own, never an empty sentence.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Prompt {
    /// Nothing said: the picture itself, in a mirror (the paper's section 4.1).
    #[default]
    None,
    /// A sentence that says what the picture shows.
    Text(String),
    /// Another picture, of the like.
    Picture(Box<Picture>),
    /// An embedding made before.
    Embedding(Embedding),
}

impl Prompt {
    /// The embedding of the prompt, for the picture that is to be enlarged.
    ///
    /// # Errors
    /// [`EncoderError`] where the encoder cannot read the prompt.
    pub fn embed(&self, encoder: &Encoder, picture: &Picture) -> Result<Embedding, EncoderError> {
        match self {
            Self::None => encoder.embed_mirrored(picture),
            Self::Text(text) => encoder.embed_text(text),
            Self::Picture(other) => encoder.embed_picture(other),
            Self::Embedding(embedding) => Ok(embedding.clone()),
        }
    }
}

impl std::fmt::Display for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none given: the picture itself, in a mirror"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Picture(picture) => write!(f, "a picture of {}x{}", picture.width(), picture.height()),
            Self::Embedding(embedding) => write!(f, "an embedding by {}", embedding.encoder),
        }
    }
}
