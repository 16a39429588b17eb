//! The forms and the JSON that requests come as.

use crate::http::source::{FileFormat, Source};
use crate::problem::{Kind, Problem};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) const FEATHER: usize = 8;
pub(crate) const QUALITY: u8 = 95;

/// A picture to upscale, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with a `picture`")]
pub(crate) struct Ask {
    pub(crate) picture: PictureAsk,
    /// The model's name; by default the server's first.
    pub(crate) model: Option<String>,
    /// Prompts, which are mixed if there are several. Without any, the model uses its default.
    #[serde(default, deserialize_with = "some")]
    pub(crate) prompts: Vec<PromptAsk>,
    /// Faults of the picture, such as `blur=slight,noise=none`: for each slot one of its levels or an amount. They win over
    /// those in the prompts' words. What is not told is seen in the picture, or left unknown if `unseen` is in the list. With regions,
    /// they are of the rest. Only for models that hear faults.
    #[schema(example = "blur=slight,noise=none")]
    pub(crate) faults: Option<String>,
    /// Prompts for regions of the picture. Where regions overlap, the later one wins.
    #[serde(default, deserialize_with = "some")]
    pub(crate) regions: Vec<RegionAsk>,
    /// Width in pixels of the blend between regions.
    #[serde(default = "feather")]
    #[schema(default = 8)]
    pub(crate) feather: usize,
    /// Scale factor, such as 2 or 2.5; the output of the model is resized to it. Without any size, the model's scale is used.
    #[schema(exclusive_minimum = 0)]
    pub(crate) scale: Option<f64>,
    /// Width of the result in pixels, keeping the aspect ratio; with a height, the result fits within both.
    #[schema(minimum = 1)]
    pub(crate) width: Option<usize>,
    /// Height of the result in pixels, as for the width.
    #[schema(minimum = 1)]
    pub(crate) height: Option<usize>,
    /// Whether to stretch the result to exactly the width and height.
    #[serde(default)]
    #[schema(default = false)]
    pub(crate) exact: bool,
    /// Size of the result in megapixels.
    #[schema(exclusive_minimum = 0)]
    pub(crate) megapixels: Option<f64>,
    #[serde(default)]
    pub(crate) format: FileFormat,
    /// JPEG quality, 1 to 100.
    #[serde(default = "quality")]
    #[schema(default = 95, minimum = 1, maximum = 100)]
    pub(crate) quality: u8,
}

/// The most entries of a list in JSON: an empty one takes two bytes there, and many times that in memory.
const ENTRIES: usize = 1000;

/// Parses a list of at most that many entries.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "a list of at most {ENTRIES}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut found = Vec::new();
            while let Some(entry) = list.next_element()? {
                if found.len() == ENTRIES {
                    return Err(de::Error::invalid_length(ENTRIES + 1, &self));
                }
                found.push(entry);
            }
            Ok(found)
        }
    }
    deserializer.deserialize_seq(Few(PhantomData))
}

fn feather() -> usize {
    FEATHER
}

fn quality() -> u8 {
    QUALITY
}

/// A picture: the id of a kept one, or the bytes of a file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PictureAsk {
    /// Id of a kept picture.
    #[schema(format = "uuid")]
    Id(String),
    /// A PNG, JPEG, WebP, TIFF, BMP or GIF, in base64.
    #[schema(format = "byte")]
    Data(String),
}

/// A sentence or a picture, with its weight in a mix.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromptAsk {
    /// What the picture shows, in a sentence.
    pub(crate) text: Option<String>,
    /// A picture with similar content.
    pub(crate) picture: Option<PictureAsk>,
    /// Weight in the mix; a negative weight steers away.
    #[serde(default = "one")]
    #[schema(default = 1.0)]
    pub(crate) weight: f32,
}

fn one() -> f32 {
    1.0
}

/// A rectangle of the picture, in pixels, and what it shows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionAsk {
    pub(crate) left: usize,
    pub(crate) top: usize,
    #[schema(minimum = 1)]
    pub(crate) width: usize,
    #[schema(minimum = 1)]
    pub(crate) height: usize,
    /// What it shows; may be missing if its faults are told: then it has the prompt of the rest.
    #[serde(default)]
    pub(crate) text: String,
    /// Its faults, as those of the picture.
    pub(crate) faults: Option<String>,
}

/// The parts of a form; a file part holds the bytes of the file.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the description of what `of_form` reads")]
pub(crate) struct Form {
    /// The picture to upscale: PNG, JPEG, WebP, TIFF, BMP or GIF.
    #[schema(content_media_type = "application/octet-stream")]
    picture: Option<String>,
    /// The id of a kept picture, instead of `picture`.
    #[schema(format = "uuid")]
    picture_id: Option<String>,
    /// The model's name.
    model: Option<String>,
    /// A sentence; repeatable.
    prompt: Option<Vec<String>>,
    /// A picture with similar content, as a prompt; repeatable.
    #[schema(content_media_type = "application/octet-stream")]
    prompt_picture: Option<Vec<String>>,
    /// Weights of the prompts, in the same order, such as `0.7,0.3`.
    weights: Option<String>,
    /// Faults of the picture, such as `blur=slight,noise=none`; only for models that hear faults.
    faults: Option<String>,
    /// A prompt for a region of the picture, such as `0,0,80,60=a brick wall`; repeatable.
    region: Option<Vec<String>>,
    /// Faults of the region with these numbers, such as `0,0,80,60=blur=heavy`, which needs no prompt; repeatable.
    region_faults: Option<Vec<String>>,
    /// Width in pixels of the blend between regions.
    feather: Option<usize>,
    /// Scale factor, such as 2 or 2.5.
    scale: Option<f64>,
    /// Width of the result in pixels, keeping the aspect ratio; with a height, the result fits within both.
    width: Option<usize>,
    /// Height of the result in pixels, as for the width.
    height: Option<usize>,
    /// Whether to stretch the result to exactly the width and height: `true` or `false`.
    exact: Option<bool>,
    /// Size of the result in megapixels.
    megapixels: Option<f64>,
    format: Option<FileFormat>,
    /// JPEG quality, 1 to 100.
    quality: Option<u8>,
}

impl PictureAsk {
    pub(crate) fn source(self) -> Result<Source, Problem> {
        match self {
            Self::Id(text) => Ok(Source::Kept(id(&text)?)),
            Self::Data(text) => {
                let bytes = STANDARD.decode(text.trim_ascii());
                let bytes = bytes.map_err(|error| Kind::Option.because(format_args!("a picture's data: {error}")))?;
                Ok(Source::File(bytes.into()))
            }
        }
    }
}

pub(crate) fn id(text: &str) -> Result<Uuid, Problem> {
    text.trim().parse().map_err(|_| Kind::Option.because(format_args!("`{text}` is not a picture id")))
}
