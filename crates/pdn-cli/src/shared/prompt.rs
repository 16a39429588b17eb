//! The prompt that was asked for, set for each picture.

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

/// What steers a model that takes prompts, and the encoder; nothing for one that takes none. Beside it what that is, in words.
pub(crate) struct PromptSetter(Option<(Choice, Encoder)>, String);

/// Where each picture's prompt comes from.
enum Choice {
    /// One for all.
    Same(Prompt),
    /// Its entry in a file.
    File(Captions, String),
    /// The text beside it.
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
        // What is wrong with a sentence is said before any work.
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

    /// Of a model that takes no prompt.
    pub(crate) fn none() -> Self {
        Self(None, "the model takes none".into())
    }

    /// The prompt of a picture, by its file; none for a model that takes none.
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

    /// The prompt of a picture that has others in some of its parts.
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

    /// What was used, in words.
    pub(crate) fn words(&self) -> &str {
        &self.1
    }

    /// Whether each picture has another.
    pub(crate) fn differs(&self) -> bool {
        matches!(self.0, Some((Choice::File(..) | Choice::Sidecar, _)))
    }

    /// Id of the encoder that a prompt's embedding is by.
    pub(crate) fn encoder<'a>(&'a self, prompt: Option<&'a Prompt>) -> Option<&'a str> {
        let (_, encoder) = self.0.as_ref()?;
        Some(prompt?.encoder(encoder))
    }
}

/// A prompt in words: where none was given, what is used for it.
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

/// The prompts that were given, as one.
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
    // One prompt of a positive weight is that prompt.
    if read.len() < 2 && weights.iter().all(|weight| *weight > 0.0) {
        return Ok(read.pop().unwrap_or_default());
    }
    let weights = weights.iter().copied().chain(std::iter::repeat(1.0));
    Ok(Prompt::Mix(weights.zip(read).collect()))
}

/// The encoder of a file or of the hub, or the one that comes with the library.
pub(crate) fn encoder(choice: &EncoderChoice) -> Result<Encoder, Failure> {
    let opened = match (&choice.encoder, choice.encoder_activation) {
        (None, _) => pdn::bundled_encoder(),
        (Some(name), None) => Encoder::open(&hub::encoder(name)?),
        (Some(name), Some(activation)) => Encoder::open_with(&hub::encoder(name)?, activation),
    };
    let encoder = opened.map_err(|error| Failure::failed(hinted(&error)))?;
    Ok(if choice.truncate_prompt { encoder.truncating() } else { encoder })
}

/// What is wrong with an encoder or a prompt, and the option that helps.
pub(crate) fn hinted(error: &EncoderError) -> String {
    match error {
        EncoderError::LongText { .. } => format!("{error}, or --truncate-prompt"),
        EncoderError::Activation { .. } => format!("{error} (option --encoder-activation)"),
        _ => error.to_string(),
    }
}

/// The prompt that an option gives.
pub(crate) fn read_source(source: &Source) -> Result<Prompt, Failure> {
    // Folders are nobody's business: words are stored with the picture.
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match source {
        Source::Text(text) => Ok(Prompt::Text(text.clone())),
        Source::Picture(path) => {
            Ok(Prompt::Picture { picture: Arc::new(pdn::read(path, &Limits::default())?.into()), file: name(path) })
        }
        Source::Embedding(path) => Ok(Prompt::Embedding { embedding: embedding(path)?, file: name(path) }),
    }
}

/// The one embedding of a file.
pub(crate) fn embedding(path: &Path) -> Result<Embedding, Failure> {
    match <[_; 1]>::try_from(read_embeddings(path).map_err(Failure::failed)?) {
        Ok([(_, embedding)]) => Ok(embedding),
        Err(many) => Err(Failure::at(path, format_args!("contains {} embeddings; expected one", many.len()))),
    }
}
