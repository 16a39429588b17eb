//! The requested prompt, set for each picture.

use crate::args::choices::{EncoderChoice, PromptChoice};
use crate::args::prompts::{PromptArgs, Source};
use crate::shared::engine::failure;
use crate::shared::failure::Failure;
use crate::shared::hub;
use pdn::{
    CaptionError, Captions, Embedding, Encoder, EncoderError, Limits, Picture, Prompt, Rectangle, Regions, Session,
    Upscaler, read_embeddings, sidecar,
};
use std::path::Path;
use std::sync::Arc;

/// The source of prompts and the encoder, or `None` for a model without prompts; then a description in words.
pub(crate) struct PromptSetter(Option<(Choice, Encoder)>, String);

/// Where each picture's prompt comes from.
enum Choice {
    /// One for all pictures.
    Same(Prompt),
    /// The picture's entry in a file.
    File(Captions, String),
    /// The text file next to the picture.
    Sidecar,
}

impl PromptSetter {
    pub(crate) fn new(choice: &PromptChoice, upscaler: &Upscaler) -> Result<Self, Failure> {
        let chosen = choose(choice)?;
        if !upscaler.takes_prompt() {
            return match chosen {
                Choice::Same(Prompt::None) => Ok(Self::none()),
                _ => Err(Failure::usage(
                    "the model takes no prompt: remove the prompt options, or choose another --model",
                )),
            };
        }
        let encoder = encoder(&choice.encoder)?;
        // Errors in a sentence are reported before any work.
        for source in &choice.given.prompts {
            if let Source::Text(text) = source {
                encoder.tokens(text).map_err(|error| Failure::usage(hinted(&error)))?;
            }
        }
        let used = match &chosen {
            Choice::Same(prompt) => words(upscaler, prompt),
            Choice::File(_, name) => format!("each picture's first caption in {name}"),
            Choice::Sidecar => "the first line of the text beside each picture".into(),
        };
        Ok(Self(Some((chosen, encoder)), used))
    }

    /// Returns the setter for a model without prompts.
    pub(crate) fn none() -> Self {
        Self(None, "the model takes none".into())
    }

    /// Returns the prompt for a picture's file; `None` for a model without prompts.
    pub(crate) fn of(&self, path: &Path) -> Result<Option<Prompt>, Failure> {
        let Some((choice, encoder)) = &self.0 else { return Ok(None) };
        let caption = match choice {
            Choice::Same(prompt) => return Ok(Some(prompt.clone())),
            Choice::File(captions, _) => captions.first(path).map(str::to_owned),
            Choice::Sidecar => sidecar(path),
        };
        let caption = caption.map_err(|error: CaptionError| Failure::failed(error))?;
        let wrong = |error| Failure::at(path, format_args!("\"{caption}\": {}", hinted(&error)));
        encoder.tokens(&caption).map_err(wrong)?;
        Ok(Some(Prompt::Text(caption)))
    }

    /// Returns the prompt of a picture with other prompts in some of its regions.
    pub(crate) fn within(
        &self,
        rest: Option<Prompt>,
        parts: &[(Rectangle, String)],
        feather: usize,
    ) -> Result<Option<Prompt>, Failure> {
        let (Some((_, encoder)), Some(rest)) = (&self.0, rest) else {
            return Err(Failure::usage("the model takes no prompt: remove --region, or choose another --model"));
        };
        for (_, sentence) in parts {
            encoder.tokens(sentence).map_err(|error| Failure::usage(hinted(&error)))?;
        }
        let parts = parts.iter().map(|(rectangle, text)| (*rectangle, Prompt::Text(text.clone()))).collect();
        Ok(Some(Prompt::Regions(Box::new(Regions { parts, rest, feather }))))
    }

    /// Sets the prompt of a picture.
    pub(crate) fn set(
        &self,
        session: &mut Session,
        prompt: Option<&Prompt>,
        path: &Path,
        picture: &Picture,
    ) -> Result<(), Failure> {
        match (&self.0, prompt) {
            (Some((_, encoder)), Some(prompt)) => {
                session.set_prompt(prompt, encoder, picture).map_err(|error| failure(path, error))
            }
            _ => Ok(()),
        }
    }

    /// Returns a description of the prompts.
    pub(crate) fn words(&self) -> &str {
        &self.1
    }

    /// Returns whether pictures have different prompts.
    pub(crate) fn differs(&self) -> bool {
        matches!(self.0, Some((Choice::File(..) | Choice::Sidecar, _)))
    }

    /// Returns the id of the encoder that computed a prompt's embedding.
    pub(crate) fn encoder<'a>(&'a self, prompt: Option<&'a Prompt>) -> Option<&'a str> {
        let (_, encoder) = self.0.as_ref()?;
        Some(prompt?.encoder(encoder))
    }
}

/// Returns a prompt in words: the default one if none was given.
pub(crate) fn words(upscaler: &Upscaler, prompt: &Prompt) -> String {
    match prompt {
        Prompt::None => format!("none given: {}", upscaler.used(prompt)),
        given => given.to_string(),
    }
}

fn choose(choice: &PromptChoice) -> Result<Choice, Failure> {
    match choice.captions.as_deref() {
        None => Ok(Choice::Same(mixed(&choice.given)?)),
        Some(_) if !choice.given.weights.is_empty() => {
            Err(Failure::usage("--prompt-weights cannot be used with --captions"))
        }
        Some(path) if path == Path::new("sidecar") => Ok(Choice::Sidecar),
        Some(path) => {
            let captions = Captions::read(path).map_err(Failure::failed)?;
            Ok(Choice::File(captions, path.display().to_string()))
        }
    }
}

/// Combines the given prompts into one.
fn mixed(given: &PromptArgs) -> Result<Prompt, Failure> {
    let PromptArgs { prompts, weights } = given;
    if !weights.is_empty() && weights.len() != prompts.len() {
        let (weights, prompts) = (weights.len(), prompts.len());
        return Err(Failure::usage(format_args!(
            "--prompt-weights: expected one weight per prompt, got {weights} for {prompts} prompts"
        )));
    }
    if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
        return Err(Failure::usage(format_args!("--prompt-weights: expected finite numbers, got {weight}")));
    }
    let mut read = prompts.iter().map(read_source).collect::<Result<Vec<_>, _>>()?;
    // A single prompt with a positive weight needs no mixing.
    if read.len() < 2 && weights.iter().all(|weight| *weight > 0.0) {
        return Ok(read.pop().unwrap_or_default());
    }
    let weights = weights.iter().copied().chain(std::iter::repeat(1.0));
    Ok(Prompt::Mix(weights.zip(read).collect()))
}

/// Opens the encoder of a file or of the hub, or the bundled one.
pub(crate) fn encoder(choice: &EncoderChoice) -> Result<Encoder, Failure> {
    let opened = match (&choice.encoder, choice.encoder_activation) {
        (None, _) => pdn::bundled_encoder(),
        (Some(name), None) => Encoder::open(&hub::encoder(name)?),
        (Some(name), Some(activation)) => Encoder::open_with(&hub::encoder(name)?, activation),
    };
    let encoder = opened.map_err(|error| Failure::failed(hinted(&error)))?;
    Ok(if choice.truncate_prompt { encoder.truncating() } else { encoder })
}

/// Returns an encoder or prompt error with the option that helps.
pub(crate) fn hinted(error: &EncoderError) -> String {
    match error {
        EncoderError::LongText { .. } => format!("{error}, or --truncate-prompt"),
        EncoderError::Activation { .. } => format!("{error} (option --encoder-activation)"),
        _ => error.to_string(),
    }
}

/// Reads the prompt that an option gives.
pub(crate) fn read_source(source: &Source) -> Result<Prompt, Failure> {
    // Leave out folders, which are private: the words are stored with the picture.
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match source {
        Source::Text(text) => Ok(Prompt::Text(text.clone())),
        Source::Picture(path) => {
            Ok(Prompt::Picture { picture: Arc::new(pdn::read(path, &Limits::default())?.into()), file: name(path) })
        }
        Source::Embedding(path) => Ok(Prompt::Embedding { embedding: embedding(path)?, file: name(path) }),
    }
}

/// Returns the single embedding of a file.
pub(crate) fn embedding(path: &Path) -> Result<Embedding, Failure> {
    match <[_; 1]>::try_from(read_embeddings(path).map_err(Failure::failed)?) {
        Ok([(_, embedding)]) => Ok(embedding),
        Err(many) => Err(Failure::at(path, format_args!("contains {} embeddings; expected one", many.len()))),
    }
}
