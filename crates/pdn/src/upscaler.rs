//! A compiled model, ready to upscale pictures.

use crate::bundled::DEFAULT_MODEL;
use crate::encoder::{Embedding, Encoder};
use crate::enlarge::is_larger;
use crate::error::Error;
use crate::faults::FAULTS_ID;
use crate::prompt::Prompt;
use crate::steering::{Steering, SteeringFaults};
use crate::target::{Size, Target};
use pdn_engine::{Isa, Plan, Precision};
use pdn_image::{AnyPicture, Header, Picture, blur_likelihood};
use pdn_network::{Card, Model};
use std::path::Path;
use std::sync::Arc;

/// A compiled model, or MATLAB's bicubic interpolation. It is immutable and a clone refers to the same model, so
/// threads can share it. A [`Session`](crate::Session) holds a prompt and upscales pictures.
#[derive(Clone, Debug)]
pub struct Upscaler {
    engine: Engine,
    about: Arc<About>,
}

/// What a model's card says about its use.
#[derive(Debug)]
struct About {
    /// Id of the encoder that the model was trained with, if its card names one.
    encoder: Option<String>,
    /// The sentence that stands in for a missing prompt.
    without_prompt: Option<String>,
    /// The model's name, if it is for benchmarks only.
    for_benchmarks: Option<String>,
}

#[derive(Clone, Debug)]
enum Engine {
    Bicubic(usize),
    Network(Arc<Plan>),
}

impl Upscaler {
    /// Returns MATLAB's bicubic `imresize` by a whole factor, the baseline of super-resolution.
    ///
    /// # Errors
    /// [`Error::Scale`] for a factor of 0 or above 64.
    pub fn bicubic(scale: usize) -> Result<Self, Error> {
        match scale {
            1..=64 => Ok(Self::of_card(Engine::Bicubic(scale), None, &Card::default())),
            _ => Err(Error::Scale(scale)),
        }
    }

    /// Opens a model file and compiles it for this machine's fastest instruction set, with the finest precision that is
    /// fast there.
    ///
    /// # Errors
    /// [`Error::Model`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::new(&Model::open(path)?)
    }

    /// Compiles a model as [`Self::open`] does.
    ///
    /// # Errors
    /// Same as [`Self::with_precision`].
    pub fn new(model: &Model) -> Result<Self, Error> {
        let isa = Isa::best();
        Self::with_precision(model, isa, Precision::fast(isa))
    }

    /// Compiles a model for an instruction set and a precision.
    ///
    /// # Errors
    /// [`RunError::Isa`](pdn_engine::RunError::Isa) if the machine lacks the instruction set,
    /// [`RunError::Precision`](pdn_engine::RunError::Precision) if it lacks what the precision needs.
    pub fn with_precision(model: &Model, isa: Isa, precision: Precision) -> Result<Self, Error> {
        let plan = Plan::with_precision(&model.network, &model.weights, isa, precision)?;
        Ok(Self::of_card(Engine::Network(Arc::new(plan)), encoder_of(model), &model.card))
    }

    fn of_card(engine: Engine, encoder: Option<String>, card: &Card) -> Self {
        let without_prompt = card.without_prompt().map(str::to_owned);
        let for_benchmarks = card.is_for_benchmarks().then(|| card.name.clone());
        Self { engine, about: Arc::new(About { encoder, without_prompt, for_benchmarks }) }
    }

    /// Returns the id of the encoder that the model was trained with, if its card names one.
    pub(crate) fn encoder(&self) -> Option<&str> {
        self.about.encoder.as_deref()
    }

    /// Returns a one-sentence warning if the model does not suit the picture. A model that undoes a blur of 1.3 pixels
    /// draws patterns into pictures that do not seem to have that blur, judging by [`blur_likelihood`].
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

    /// Returns the prompt that the model actually uses: for [`Prompt::None`], the sentence of the model's card, or else
    /// [`Prompt::Mirror`].
    pub fn used(&self, prompt: &Prompt) -> Prompt {
        match (prompt, &self.about.without_prompt) {
            (prompt, Some(sentence)) => prompt.or_sentence(sentence),
            (Prompt::None, None) if !self.hears_faults() => Prompt::Mirror,
            (prompt, None) => prompt.clone(),
        }
    }

    /// Returns whether the model is steered by faults, too: told ones, or those that the picture shows.
    pub fn hears_faults(&self) -> bool {
        self.encoder().is_some_and(|id| id.ends_with(FAULTS_ID))
    }

    /// Returns whether a prompt's embedding depends on the picture to upscale, and so must be set again for each picture.
    pub fn reads_picture(&self, prompt: &Prompt) -> bool {
        let blind = matches!(prompt, Prompt::Told { unseen: true, .. });
        self.used(prompt).reads_picture() || (self.hears_faults() && !blind)
    }

    /// Returns the faults that the model is steered by for a picture: settings as they are, what sentences tell weighed
    /// with what the picture shows, and where nothing is told what the picture shows. `None` for a model that is not steered by faults, and for regions, each of
    /// which has its own.
    ///
    /// # Errors
    /// [`Error::Prompt`] if the prompt cannot be embedded.
    pub fn faults(
        &self,
        prompt: &Prompt,
        encoder: &Encoder,
        picture: &Picture,
    ) -> Result<Option<SteeringFaults>, Error> {
        match (self.hears_faults(), self.used(prompt)) {
            (false, _) | (true, Prompt::Regions(_)) => Ok(None),
            (true, prompt) => Ok(Some(Steering::new(encoder, picture).faults(&prompt)?)),
        }
    }

    /// Returns whether the model takes a prompt.
    pub fn takes_prompt(&self) -> bool {
        self.plan().is_some_and(|plan| plan.network().prompt_dim().is_some())
    }

    /// Returns the factor by which each side grows.
    pub fn scale(&self) -> usize {
        match &self.engine {
            Engine::Bicubic(scale) => *scale,
            Engine::Network(plan) => plan.network().scale,
        }
    }

    /// Returns the width and height of the upscaled picture.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond a thousand million pixels.
    pub fn output_size(&self, picture: &Picture) -> Result<(usize, usize), Error> {
        Size::Model.of((picture.width(), picture.height()), self.scale())
    }

    /// Returns the compiled model; `None` for bicubic.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        match &self.engine {
            Engine::Bicubic(_) => None,
            Engine::Network(plan) => Some(plan),
        }
    }

    /// Returns the header of the upscaled picture: its size, whether it has colour and transparency, and its profile.
    ///
    /// # Errors
    /// Same as [`Self::output_size`].
    pub fn header(&self, picture: &Picture) -> Result<Header, Error> {
        let (width, height) = self.output_size(picture)?;
        Ok(Header { width, height, ..picture.header() })
    }

    /// Returns the header of the picture that a target asks for.
    ///
    /// # Errors
    /// [`Error::Size`] if the target's size is invalid, [`Error::TooLarge`] beyond a thousand million pixels.
    pub fn header_for(&self, picture: &AnyPicture, target: &Target) -> Result<Header, Error> {
        let (width, height) = target.size.of((picture.width(), picture.height()), self.scale())?;
        let header = picture.header();
        Ok(Header { width, height, depth: target.depth.unwrap_or(header.depth), ..header })
    }

    /// Returns whether the target needs the network. Bicubic has none, and a picture that grows on no side is only
    /// resized.
    ///
    /// # Errors
    /// Same as [`Self::header_for`].
    pub fn runs_network(&self, picture: &AnyPicture, target: &Target) -> Result<bool, Error> {
        let size = (picture.width(), picture.height());
        Ok(self.plan().is_some() && is_larger(target.size.of(size, self.scale())?, size))
    }
}

/// Returns the id of the encoder that a model was trained with, if its card names one. `None` for a network without a
/// module that reads a prompt: any encoder will do.
pub(crate) fn encoder_of(model: &Model) -> Option<String> {
    model.network.dcms().next()?;
    model.card.more.get("encoder").and_then(|id| id.as_str()).map(str::to_owned)
}

/// Checks that an embedding comes from the model's encoder.
pub(crate) fn check_encoder(expected: Option<&str>, embedding: &Embedding) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != embedding.encoder => {
            Err(Error::EncoderMismatch { expected: expected.to_owned(), found: embedding.encoder.clone() })
        }
        _ => Ok(()),
    }
}
