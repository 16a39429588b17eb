//! A model, ready to enlarge pictures.

use crate::bundled::DEFAULT_MODEL;
use crate::encoder::Embedding;
use crate::enlarge::is_larger;
use crate::error::Error;
use crate::prompt::Prompt;
use crate::target::{Size, Target};
use pdn_engine::{Isa, Plan, Precision};
use pdn_image::{AnyPicture, Header, Picture, blur_likelihood};
use pdn_network::{Card, Model};
use std::path::Path;
use std::sync::Arc;

/// A model, compiled, or MATLAB's bicubic interpolation. It never changes and a clone is the same model, so threads share one;
/// a [`Session`](crate::Session) holds a prompt and enlarges pictures.
#[derive(Clone, Debug)]
pub struct Upscaler {
    engine: Engine,
    about: Arc<About>,
}

/// What a model's card says of how it is used.
#[derive(Debug)]
struct About {
    /// Id of the encoder that the model was trained with, where its card names one.
    encoder: Option<String>,
    /// The sentence that stands for no prompt.
    without_prompt: Option<String>,
    /// Its name, where it is for benchmarks alone.
    for_benchmarks: Option<String>,
}

#[derive(Clone, Debug)]
enum Engine {
    Bicubic(usize),
    Network(Arc<Plan>),
}

impl Upscaler {
    /// MATLAB's bicubic `imresize` by a whole factor: what super-resolution is measured against.
    ///
    /// # Errors
    /// [`Error::Scale`] for a factor of 0 or above 64.
    pub fn bicubic(scale: usize) -> Result<Self, Error> {
        match scale {
            1..=64 => Ok(Self::of_card(Engine::Bicubic(scale), None, &Card::default())),
            _ => Err(Error::Scale(scale)),
        }
    }

    /// A model file, compiled for this machine's fastest instruction set, with the finest precision that is fast there.
    ///
    /// # Errors
    /// [`Error::Model`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::new(&Model::open(path)?)
    }

    /// A model, compiled as [`Self::open`] does.
    ///
    /// # Errors
    /// As [`Self::with_precision`].
    pub fn new(model: &Model) -> Result<Self, Error> {
        let isa = Isa::best();
        Self::with_precision(model, isa, Precision::fast(isa))
    }

    /// A model, compiled for an instruction set and with some precision.
    ///
    /// # Errors
    /// [`RunError::Isa`] where the machine lacks the instruction set, [`RunError::Precision`] what the precision needs.
    pub fn with_precision(model: &Model, isa: Isa, precision: Precision) -> Result<Self, Error> {
        let plan = Plan::with_precision(&model.network, &model.weights, isa, precision)?;
        Ok(Self::of_card(Engine::Network(Arc::new(plan)), encoder_of(model), &model.card))
    }

    fn of_card(engine: Engine, encoder: Option<String>, card: &Card) -> Self {
        let without_prompt = card.without_prompt().map(str::to_owned);
        let for_benchmarks = card.is_for_benchmarks().then(|| card.name.clone());
        Self { engine, about: Arc::new(About { encoder, without_prompt, for_benchmarks }) }
    }

    /// Id of the encoder that the model was trained with, where its card names one.
    pub(crate) fn encoder(&self) -> Option<&str> {
        self.about.encoder.as_deref()
    }

    /// What a person should hear before the model is used on a picture, in a sentence; nothing where both fit. A model that undoes
    /// a blur of 1.3 pixels draws patterns into pictures that do not seem to have it, as [`blur_likelihood`] tells.
    pub fn advice(&self, picture: &AnyPicture) -> Option<String> {
        let name = self.about.for_benchmarks.as_ref()?;
        let likelihood = match picture {
            AnyPicture::Eight(picture) => blur_likelihood(picture, self.scale()),
            AnyPicture::Sixteen(picture) => blur_likelihood(picture, self.scale()),
        };
        likelihood.filter(|likelihood| *likelihood < 0.5).map(|_| {
            format!(
                "{name} is for benchmarks: it undoes a Gaussian blur of 1.3 px, which this picture does not seem to have, and may \
                 add patterns to it; use {DEFAULT_MODEL} for photographs"
            )
        })
    }

    /// What steers the model under a prompt: where nothing is said, what its card has for that, or else the picture in a mirror.
    pub fn used(&self, prompt: &Prompt) -> Prompt {
        match (prompt, &self.about.without_prompt) {
            (prompt, Some(sentence)) => prompt.or_sentence(sentence),
            (Prompt::None, None) => Prompt::Mirror,
            (prompt, None) => prompt.clone(),
        }
    }

    /// Whether the model takes a prompt.
    pub fn takes_prompt(&self) -> bool {
        self.plan().is_some_and(|plan| plan.network().prompt_dim().is_some())
    }

    /// How many times larger a side becomes.
    pub fn scale(&self) -> usize {
        match &self.engine {
            Engine::Bicubic(scale) => *scale,
            Engine::Network(plan) => plan.network().scale,
        }
    }

    /// Width and height of a picture, enlarged.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond a thousand million pixels.
    pub fn output_size(&self, picture: &Picture) -> Result<(usize, usize), Error> {
        Size::Model.of((picture.width(), picture.height()), self.scale())
    }

    /// The compiled model; `None` for bicubic.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        match &self.engine {
            Engine::Bicubic(_) => None,
            Engine::Network(plan) => Some(plan),
        }
    }

    /// What is said of a picture, enlarged: its size, whether it has colour and transparency, its profile.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn header(&self, picture: &Picture) -> Result<Header, Error> {
        let (width, height) = self.output_size(picture)?;
        Ok(Header { width, height, ..picture.header() })
    }

    /// What is said of a picture, made as a target says.
    ///
    /// # Errors
    /// [`Error::Size`] where the target is no size, [`Error::TooLarge`] beyond a thousand million pixels.
    pub fn header_for(&self, picture: &AnyPicture, target: &Target) -> Result<Header, Error> {
        let (width, height) = target.size.of((picture.width(), picture.height()), self.scale())?;
        let header = picture.header();
        Ok(Header { width, height, depth: target.depth.unwrap_or(header.depth), ..header })
    }

    /// Whether the network is run on a picture for a target: not for bicubic, nor where it becomes larger on no side.
    ///
    /// # Errors
    /// As [`Self::header_for`].
    pub fn runs_network(&self, picture: &AnyPicture, target: &Target) -> Result<bool, Error> {
        let size = (picture.width(), picture.height());
        Ok(self.plan().is_some() && is_larger(target.size.of(size, self.scale())?, size))
    }
}

/// Id of the encoder that a model was trained with, where its card names one. To a network no module of which reads a prompt it is all the same.
pub(crate) fn encoder_of(model: &Model) -> Option<String> {
    model.network.dcms().next()?;
    model.card.more.get("encoder").and_then(|id| id.as_str()).map(str::to_owned)
}

/// Whether an embedding is by the model's encoder.
pub(crate) fn check_encoder(expected: Option<&str>, embedding: &Embedding) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != embedding.encoder => {
            Err(Error::EncoderMismatch { expected: expected.to_owned(), found: embedding.encoder.clone() })
        }
        _ => Ok(()),
    }
}
