//! Prompts: what steers a network, and how it becomes an embedding.

use crate::encoder::{Embedding, Encoder, EncoderError};
use crate::faults::KnownFaults;
use crate::regions::{Rectangle, RegionError};
use pdn_image::{AnyPicture, Picture};
use std::fmt;
use std::sync::Arc;

/// What steers a network. Absence is a variant of its own, never an empty sentence.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Prompt {
    /// No prompt: the sentence that the model's card has for this case, or else [`Self::Mirror`].
    #[default]
    None,
    /// The picture itself, flipped horizontally (the paper's section 4.1).
    Mirror,
    /// A sentence that describes the picture.
    Text(String),
    /// Another picture with similar content.
    Picture {
        /// The picture; only 8 bits per sample are used.
        picture: Arc<AnyPicture>,
        /// The name of its file, if any, for messages.
        file: Option<String>,
    },
    /// A precomputed embedding.
    Embedding {
        /// The embedding.
        embedding: Embedding,
        /// The name of its file, if any, for messages.
        file: Option<String>,
    },
    /// A prompt, and faults that are told beside it, which win over those in its words. Only for networks that are
    /// steered by faults.
    Told {
        /// The prompt.
        prompt: Box<Prompt>,
        /// The faults.
        faults: KnownFaults,
        /// Whether the network is not to see in the picture what nobody tells.
        unseen: bool,
    },
    /// A weighted mix: the weighted sum of the prompts' embeddings, scaled to unit length. A negative weight steers
    /// away.
    Mix(Vec<(f32, Prompt)>),
    /// Separate prompts for parts of the picture. Regions cannot nest.
    Regions(Box<Regions>),
}

/// Prompts for parts of a picture. Later parts cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Regions {
    /// Rectangles of the input picture, and the prompt of each.
    pub parts: Vec<(Rectangle, Prompt)>,
    /// The prompt for everything outside the rectangles.
    pub rest: Prompt,
    /// Width in pixels of the transition between prompts, half of it outside the rectangle.
    pub feather: usize,
}

/// Why a prompt has no embedding.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The encoder cannot read it.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A region is invalid.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// Regions were given where a single embedding is needed.
    #[error("each region has its own embedding: expected a single prompt")]
    Regions,
    /// Faults were told to a network that is not steered by them.
    #[error("the model is not steered by faults; use one that is, or leave the faults out")]
    Faults,
    /// The mix is empty.
    #[error("no prompts to mix: expected at least one")]
    Empty,
    /// A weight is not finite.
    #[error("prompt weight {0}: expected a finite number")]
    Weight(f32),
    /// Embeddings from different encoders cannot be mixed.
    #[error("prompts by the encoders {0} and {1} cannot be mixed; embed them again with the same encoder")]
    Encoders(String, String),
    /// The mix cancels out.
    #[error("the weighted prompts cancel each other out; choose other weights")]
    NoDirection,
}

/// The sum's length, relative to the weights, below which only rounding error is left.
const ROUNDING: f64 = 1e-6;

impl Prompt {
    /// Embeds the prompt for the picture to upscale. An encoder does not see the model's card, so [`Self::None`] is
    /// embedded as [`Self::Mirror`].
    ///
    /// # Errors
    /// [`PromptError`] if the encoder cannot read the prompt, or prompts cannot be mixed.
    pub fn embed(&self, encoder: &Encoder, picture: &Picture) -> Result<Embedding, PromptError> {
        match self {
            Self::None | Self::Mirror => Ok(encoder.embed_mirrored(picture)?),
            Self::Text(text) => Ok(encoder.embed_text(text)?),
            Self::Picture { picture: other, .. } => Ok(encoder.embed_picture(&other.eight())?),
            Self::Embedding { embedding, .. } => Ok(embedding.clone()),
            Self::Regions(_) => Err(PromptError::Regions),
            Self::Told { .. } => Err(PromptError::Faults),
            Self::Mix(prompts) => {
                let embedded = prompts.iter().map(|(weight, prompt)| Ok((*weight, prompt.embed(encoder, picture)?)));
                mix(&embedded.collect::<Result<Vec<_>, PromptError>>()?)
            }
        }
    }

    /// Returns whether the embedding depends on the picture to upscale, and so must be set again for each picture. For a
    /// network that is steered by faults see [`Upscaler::reads_picture`](crate::Upscaler::reads_picture).
    pub fn reads_picture(&self) -> bool {
        match self {
            Self::None | Self::Mirror | Self::Regions(_) => true,
            Self::Text(_) | Self::Picture { .. } | Self::Embedding { .. } => false,
            Self::Told { prompt, unseen, .. } => !unseen || prompt.reads_picture(),
            Self::Mix(prompts) => prompts.iter().any(|(_, prompt)| prompt.reads_picture()),
        }
    }

    /// Returns the id of the encoder behind the embedding, given that `encoder` embeds whatever is not embedded yet.
    pub fn encoder<'a>(&'a self, encoder: &'a Encoder) -> &'a str {
        match self {
            Self::Embedding { embedding, .. } => &embedding.encoder,
            // All prompts of a mix share one encoder, and so do all regions.
            Self::Mix(prompts) => prompts.first().map_or(encoder.id(), |(_, prompt)| prompt.encoder(encoder)),
            Self::Regions(regions) => regions.rest.encoder(encoder),
            Self::Told { prompt, .. } => prompt.encoder(encoder),
            Self::None | Self::Mirror | Self::Text(_) | Self::Picture { .. } => encoder.id(),
        }
    }

    /// Returns the prompt with every [`Self::None`] replaced by `sentence`.
    pub(crate) fn or_sentence(&self, sentence: &str) -> Self {
        match self {
            Self::None => Self::Text(sentence.to_owned()),
            Self::Told { prompt, faults, unseen } => {
                Self::Told { prompt: Box::new(prompt.or_sentence(sentence)), faults: faults.clone(), unseen: *unseen }
            }
            Self::Mix(prompts) => {
                Self::Mix(prompts.iter().map(|(weight, prompt)| (*weight, prompt.or_sentence(sentence))).collect())
            }
            Self::Regions(regions) => Self::Regions(Box::new(Regions {
                parts: regions.parts.iter().map(|(part, prompt)| (*part, prompt.or_sentence(sentence))).collect(),
                rest: regions.rest.or_sentence(sentence),
                feather: regions.feather,
            })),
            said => said.clone(),
        }
    }
}

/// Returns the weighted sum of unit vectors, scaled to unit length.
pub(crate) fn mix(embedded: &[(f32, Embedding)]) -> Result<Embedding, PromptError> {
    let (_, first) = embedded.first().ok_or(PromptError::Empty)?;
    if let Some((weight, _)) = embedded.iter().find(|(weight, _)| !weight.is_finite()) {
        return Err(PromptError::Weight(*weight));
    }
    let same = |other: &Embedding| other.encoder == first.encoder && other.values.len() == first.values.len();
    if let Some((_, other)) = embedded.iter().find(|(_, other)| !same(other)) {
        return Err(PromptError::Encoders(first.encoder.clone(), other.encoder.clone()));
    }
    let mut sum = vec![0.0; first.values.len()];
    for (weight, embedding) in embedded {
        let part = f64::from(*weight) / length(embedding.values.iter().map(|v| f64::from(*v)));
        for (sum, value) in sum.iter_mut().zip(&embedding.values) {
            *sum += part * f64::from(*value);
        }
    }
    let (norm, weights) = (length(sum.iter().copied()), embedded.iter().map(|(w, _)| f64::from(w.abs())).sum::<f64>());
    // NaN, from a vector without length, is refused as well.
    if norm.is_nan() || norm <= ROUNDING * weights {
        return Err(PromptError::NoDirection);
    }
    let values = sum.iter().map(|v| (v / norm) as f32).collect();
    Ok(Embedding { encoder: first.encoder.clone(), values })
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

impl From<Picture> for Prompt {
    fn from(picture: Picture) -> Self {
        Self::Picture { picture: Arc::new(picture.into()), file: None }
    }
}

impl From<Embedding> for Prompt {
    fn from(embedding: Embedding) -> Self {
        Self::Embedding { embedding, file: None }
    }
}

/// The prompt in words, for messages and for the metadata of the result.
impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none given"),
            Self::Mirror => f.write_str("the picture itself, in a mirror"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Picture { picture, file } => {
                let (width, height) = (picture.width(), picture.height());
                match file {
                    Some(file) => write!(f, "the picture {file} of {width}x{height}"),
                    None => write!(f, "a picture of {width}x{height}"),
                }
            }
            Self::Embedding { embedding, file: Some(file) } => {
                write!(f, "the embedding {file} by {}", embedding.encoder)
            }
            Self::Embedding { embedding, file: None } => write!(f, "an embedding by {}", embedding.encoder),
            Self::Told { prompt, faults, .. } if **prompt == Self::None => write!(f, "faults: {faults}"),
            Self::Told { prompt, faults, .. } => write!(f, "{prompt}, faults: {faults}"),
            Self::Mix(prompts) => write_mix(prompts, f),
            Self::Regions(regions) => {
                regions.parts.iter().try_for_each(|(rectangle, prompt)| write!(f, "in {rectangle} {prompt}, "))?;
                write!(f, "elsewhere {}", regions.rest)
            }
        }
    }
}

fn write_mix(prompts: &[(f32, Prompt)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let equal =
        prompts.windows(2).all(|pair| pair[0].0 == pair[1].0) && prompts.iter().all(|(weight, _)| *weight > 0.0);
    f.write_str(if equal { "equal parts of " } else { "" })?;
    for (i, (weight, prompt)) in prompts.iter().enumerate() {
        f.write_str(if i > 0 { " and " } else { "" })?;
        match equal {
            true => write!(f, "{prompt}")?,
            false => write!(f, "{weight} of {prompt}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedding(encoder: &str, values: &[f32]) -> Prompt {
        Embedding { encoder: encoder.into(), values: values.to_vec() }.into()
    }

    fn mixed(prompts: &[(f32, Prompt)]) -> Result<Embedding, PromptError> {
        let encoder = crate::bundled_encoder().unwrap();
        Prompt::Mix(prompts.to_vec()).embed(&encoder, &Picture::from_rgb(1, 1, vec![0; 3]))
    }

    #[test]
    fn a_mix_is_of_directions() {
        let (x, y) = (embedding("e", &[1.0, 0.0]), embedding("e", &[0.0, 5.0]));
        for (weights, expected) in [
            ([1.0, 1.0], [0.5_f32.sqrt(), 0.5_f32.sqrt()]),
            ([3.0, 4.0], [0.6, 0.8]),
            ([0.003, 0.004], [0.6, 0.8]),
            ([3e38, 3e38], [0.5_f32.sqrt(), 0.5_f32.sqrt()]),
            ([0.0, 0.2], [0.0, 1.0]),
            ([3.0, -4.0], [0.6, -0.8]),
        ] {
            let found = mixed(&[(weights[0], x.clone()), (weights[1], y.clone())]).unwrap();
            let apart = found.values.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-6 && found.encoder == "e", "{weights:?}: {found:?}");
        }
    }

    #[test]
    fn every_kind_can_be_mixed() {
        let encoder = crate::bundled_encoder().unwrap();
        let picture = Picture::from_rgb(8, 8, (0..192).collect());
        let other = Picture::from_rgb(8, 8, (0..192).map(|i| i / 8 * 8).collect());
        let embed = |prompt: &Prompt| prompt.embed(&encoder, &picture).unwrap().values;
        let text = Prompt::Text("a brown dog".into());
        let parts = [(0.5, Prompt::None), (2.0, text), (-0.25, other.into())];
        let mut expected = vec![0.0; encoder.dim()];
        for (weight, part) in &parts {
            expected.iter_mut().zip(embed(part)).for_each(|(sum, v)| *sum += weight * v);
        }
        let norm = expected.iter().map(|v| v * v).sum::<f32>().sqrt();
        for (found, expected) in embed(&Prompt::Mix(parts.to_vec())).iter().zip(expected) {
            assert!((found - expected / norm).abs() < 1e-6);
        }
    }

    #[test]
    fn what_cannot_be_mixed_is_said() {
        let x = embedding("e", &[0.6, 0.8]);
        for (prompts, word) in [
            (vec![], "no prompts"),
            (
                vec![(1.0, Prompt::Regions(Box::new(Regions { parts: vec![], rest: x.clone(), feather: 0 })))],
                "its own embedding",
            ),
            (vec![(1.0, x.clone()), (f32::NAN, x.clone())], "weight NaN"),
            (vec![(1.0, x.clone()), (f32::INFINITY, x.clone())], "weight inf"),
            (vec![(1.0, x.clone()), (-1.0, x.clone())], "cancel each other out"),
            (vec![(1.0, x.clone()), (-1.0, embedding("e", &[3.0, 4.0]))], "cancel each other out"),
            (vec![(0.0, x.clone())], "cancel each other out"),
            (vec![(1.0, x.clone()), (1.0, embedding("e", &[0.0, 0.0]))], "cancel each other out"),
            (vec![(1.0, x.clone()), (1.0, embedding("other", &[1.0, 0.0]))], "e and other"),
            (vec![(1.0, x), (1.0, Prompt::Text(" ".into()))], "the prompt is empty"),
        ] {
            let error = mixed(&prompts).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn prompts_are_said_in_words() {
        let text = |text: &str| Prompt::Text(text.into());
        let picture = Prompt::Picture {
            picture: Arc::new(Picture::from_rgb(2, 1, vec![0; 6]).into()),
            file: Some("a.png".into()),
        };
        let Prompt::Embedding { embedding, .. } = embedding("e@1", &[1.0]) else { unreachable!() };
        let embedding = Prompt::Embedding { embedding, file: Some("b.safetensors".into()) };
        let encoder = crate::bundled_encoder().unwrap();
        let mixed = Prompt::Mix(vec![(1.0, embedding.clone()), (1.0, embedding.clone())]);
        assert_eq!([mixed.encoder(&encoder), text("a").encoder(&encoder)], ["e@1", encoder.id()]);
        for (prompt, words) in [
            (text("a dog"), "\"a dog\""),
            (
                Prompt::Mix(vec![(0.5, text("a dog")), (0.5, picture.clone())]),
                "equal parts of \"a dog\" and the picture a.png of 2x1",
            ),
            (
                Prompt::Mix(vec![(0.7, embedding), (-0.3, text("fog"))]),
                "0.7 of the embedding b.safetensors by e@1 and -0.3 of \"fog\"",
            ),
            (
                Prompt::Regions(Box::new(Regions {
                    parts: vec![("1,2,3,4".parse().unwrap(), text("a wall"))],
                    rest: Prompt::None,
                    feather: 8,
                })),
                "in 1,2,3,4 \"a wall\", elsewhere none given",
            ),
            (Prompt::Mix(vec![(-1.0, text("a")), (-1.0, text("b"))]), "-1 of \"a\" and -1 of \"b\""),
        ] {
            assert_eq!(prompt.to_string(), words);
        }
    }
}
