//! The requested prompt, set for each picture.

use crate::args::choices::{EncoderChoice, PromptChoice};
use crate::args::faults::Parts;
use crate::args::prompts::{PromptArgs, Source};
use crate::shared::engine::failure;
use crate::shared::failure::Failure;
use crate::shared::hub;
use crate::shared::steered::{Steered, in_words};
use pdn::{
    CaptionError, Captions, Embedding, Encoder, EncoderError, Limits, Picture, Prompt, PromptError, Rectangle, Regions,
    Session, ToldFaults, Upscaler, read_embeddings, sidecar,
};
use std::path::Path;
use std::sync::Arc;

/// The source of prompts, faults and the encoder, or `None` for a model without prompts; with a description in words.
pub(crate) struct PromptSetter {
    given: Option<Given>,
    words: String,
    /// What says the faults, if the model is steered by them.
    faults_words: Option<String>,
}

/// What was given for a model with prompts.
struct Given {
    choice: Choice,
    faults: Option<ToldFaults>,
    encoder: Encoder,
}

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
        Self::telling(choice, choice.given.faults.as_ref(), upscaler)
    }

    /// Returns the setter for a model that is compared with another: faults are told only if it is steered by them.
    pub(crate) fn of_rival(choice: &PromptChoice, upscaler: &Upscaler) -> Result<Self, Failure> {
        let told = choice.given.faults.as_ref().filter(|_| upscaler.hears_faults());
        match upscaler.takes_prompt() {
            true => Self::telling(choice, told, upscaler),
            false => Ok(Self::none()),
        }
    }

    fn telling(choice: &PromptChoice, faults: Option<&ToldFaults>, upscaler: &Upscaler) -> Result<Self, Failure> {
        let chosen = choose(choice)?;
        if !upscaler.takes_prompt() {
            return match chosen {
                Choice::Same(Prompt::None) if faults.is_none() => Ok(Self::none()),
                _ => Err(Failure::usage(
                    "the model takes no prompt: remove the prompt options, or choose another --model",
                )),
            };
        }
        check_faults("--faults", faults.is_some(), upscaler)?;
        let encoder = encoder(&choice.encoder)?;
        // Errors in a sentence are reported before any work.
        for source in &choice.given.prompts {
            if let Source::Text(text) = source {
                encoder.tokens(text).map_err(|error| Failure::usage(hinted(&error)))?;
            }
        }
        let words = match &chosen {
            Choice::Same(prompt) => words(upscaler, prompt),
            Choice::File(_, name) => format!("each picture's first caption in {name}"),
            Choice::Sidecar => "the first line of the text beside each picture".into(),
        };
        let silent = matches!(chosen, Choice::Same(Prompt::None));
        let faults_words = upscaler.hears_faults().then(|| sources(faults, silent));
        Ok(Self { given: Some(Given { choice: chosen, faults: faults.cloned(), encoder }), words, faults_words })
    }

    /// Returns the setter for a model without prompts.
    fn none() -> Self {
        Self { given: None, words: "the model takes none".into(), faults_words: None }
    }

    /// Returns the prompt for a picture's file; `None` for a model without prompts.
    pub(crate) fn of(&self, path: &Path) -> Result<Option<Prompt>, Failure> {
        let Some(given) = &self.given else { return Ok(None) };
        let prompt = given.prompt(path)?;
        Ok(Some(match &given.faults {
            Some(told) => told.around(prompt),
            None => prompt,
        }))
    }

    /// Returns the prompt of a picture with other prompts or faults in some of its regions.
    pub(crate) fn within(&self, rest: Option<Prompt>, parts: &Parts) -> Result<Option<Prompt>, Failure> {
        let (Some(Given { encoder, .. }), Some(rest)) = (&self.given, rest) else {
            return Err(Failure::usage("the model takes no prompt: remove --region, or choose another --model"));
        };
        for (_, sentence) in &parts.region {
            encoder.tokens(sentence).map_err(|error| Failure::usage(hinted(&error)))?;
        }
        let sentence = |(rectangle, text): &(Rectangle, String)| {
            let prompt = Prompt::Text(text.clone());
            let prompt = match parts.faults(rectangle) {
                Some(told) => told.around(prompt),
                None => prompt,
            };
            (*rectangle, prompt)
        };
        let bare = |(rectangle, told): &(Rectangle, ToldFaults)| (*rectangle, told.around(content(&rest).clone()));
        let all = parts.region.iter().map(sentence).chain(parts.without_sentence().map(bare)).collect();
        Ok(Some(Prompt::Regions(Box::new(Regions { parts: all, rest, feather: parts.feather }))))
    }

    /// Sets the prompt of a picture.
    pub(crate) fn set(
        &self,
        session: &mut Session,
        prompt: Option<&Prompt>,
        path: &Path,
        picture: &Picture,
    ) -> Result<(), Failure> {
        match (&self.given, prompt) {
            (Some(Given { encoder, .. }), Some(prompt)) => {
                session.set_prompt(prompt, encoder, picture).map_err(|error| failure(path, error))
            }
            _ => Ok(()),
        }
    }

    /// Returns the faults that the model is steered by for a picture, in words; `None` if it is steered by none.
    pub(crate) fn faults(
        &self,
        upscaler: &Upscaler,
        prompt: Option<&Prompt>,
        path: &Path,
        picture: &Picture,
    ) -> Result<Option<String>, Failure> {
        let (Some(Given { encoder, .. }), Some(prompt)) = (&self.given, prompt) else { return Ok(None) };
        let steered = Steered::of(upscaler, prompt, encoder, picture).map_err(|error| failure(path, error))?;
        Ok(steered.map(|steered| steered.to_string()))
    }

    /// Returns a description of the prompts.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// Returns a description of where faults come from; `None` if the model is not steered by them.
    pub(crate) fn faults_words(&self) -> Option<&str> {
        self.faults_words.as_deref()
    }

    /// Returns whether pictures have different prompts.
    pub(crate) fn differs(&self) -> bool {
        matches!(&self.given, Some(Given { choice: Choice::File(..) | Choice::Sidecar, .. }))
    }

    /// Returns the id of the encoder that computed a prompt's embedding.
    pub(crate) fn encoder<'a>(&'a self, prompt: Option<&'a Prompt>) -> Option<&'a str> {
        Some(prompt?.encoder(&self.given.as_ref()?.encoder))
    }
}

impl Given {
    /// Returns the prompt for a picture's file, without faults.
    fn prompt(&self, path: &Path) -> Result<Prompt, Failure> {
        let caption = match &self.choice {
            Choice::Same(prompt) => return Ok(prompt.clone()),
            Choice::File(captions, _) => captions.first(path).map(str::to_owned),
            Choice::Sidecar => sidecar(path),
        };
        let caption = caption.map_err(|error: CaptionError| Failure::failed(error))?;
        let wrong = |error| Failure::at(path, format_args!("\"{caption}\": {}", hinted(&error)));
        self.encoder.tokens(&caption).map_err(wrong)?;
        Ok(Prompt::Text(caption))
    }
}

/// Refuses an option that tells faults to a model that is not steered by them.
pub(crate) fn check_faults(option: &str, is_given: bool, upscaler: &Upscaler) -> Result<(), Failure> {
    match is_given && !upscaler.hears_faults() {
        true => Err(Failure::usage(format_args!("{option}: {}", PromptError::Faults))),
        false => Ok(()),
    }
}

/// Says where the faults come from, for all pictures together.
fn sources(told: Option<&ToldFaults>, silent: bool) -> String {
    let mut all = Vec::new();
    all.extend(told.filter(|told| told.faults.tells_any()).map(|told| format!("{} (told)", in_words(&told.faults))));
    all.extend((!silent).then(|| "what the prompt tells".to_owned()));
    let rest = match (told.is_some_and(|told| told.unseen), all.is_empty()) {
        (true, true) => "nothing told",
        (true, false) => "the rest unknown",
        (false, true) => "seen in each picture",
        (false, false) => "the rest seen in each picture",
    };
    all.push(rest.to_owned());
    all.join(", ")
}

/// Returns a prompt without the faults that are told beside it.
pub(crate) fn content(prompt: &Prompt) -> &Prompt {
    match prompt {
        Prompt::Told { prompt, .. } => content(prompt),
        other => other,
    }
}

/// Returns a prompt in words: the default one if none was given. Faults that are told beside it are left out.
pub(crate) fn words(upscaler: &Upscaler, prompt: &Prompt) -> String {
    match content(prompt) {
        none @ Prompt::None => match upscaler.used(none) {
            Prompt::None => none.to_string(),
            used => format!("{none}: {used}"),
        },
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
    let PromptArgs { prompts, weights, .. } = given;
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
