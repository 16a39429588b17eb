//! The prompt that was asked for, set for each picture.

use crate::args::{EncoderChoice, PromptChoice};
use crate::failure::Failure;
#[cfg(feature = "hub")]
use crate::progress::Download;
use pdn::{Embedding, Encoder, Error, Limits, Picture, Prompt, Upscaler, read_embeddings};
#[cfg(feature = "hub")]
use pdn::{Hub, HubError};
use std::fmt;
use std::path::{Path, PathBuf};

/// A prompt and its encoder; nothing for a model that takes none.
pub(crate) struct PromptSetter(Option<(Prompt, Encoder)>);

impl PromptSetter {
    pub(crate) fn new(choice: &PromptChoice, upscaler: &Upscaler) -> Result<Self, Failure> {
        let prompt = read(choice)?;
        if !upscaler.takes_prompt() {
            return match prompt {
                Prompt::None => Ok(Self(None)),
                _ => Err(Failure::usage("the model takes no prompt: leave it out, or choose another --model")),
            };
        }
        let encoder = encoder(&choice.encoder)?;
        // What is wrong with a sentence is said before any work.
        if let Prompt::Text(text) = &prompt {
            encoder.tokens(text).map_err(Failure::usage)?;
        }
        Ok(Self(Some((prompt, encoder))))
    }

    /// Sets the prompt for a picture.
    pub(crate) fn set(&self, upscaler: &mut Upscaler, picture: &Picture) -> Result<(), Error> {
        match &self.0 {
            Some((prompt, encoder)) => upscaler.prompt(prompt, encoder, picture),
            None => Ok(()),
        }
    }

    /// What was used, in words.
    pub(crate) fn words(&self) -> String {
        self.0.as_ref().map_or_else(|| "the model takes none".into(), |(prompt, _)| prompt.to_string())
    }
}

/// What is added to a line about a picture.
impl fmt::Display for PromptSetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((prompt, _)) => write!(f, "; prompt {prompt}"),
            None => Ok(()),
        }
    }
}

/// The encoder of a file or of the hub, or the one that comes with the library.
pub(crate) fn encoder(choice: &EncoderChoice) -> Result<Encoder, Failure> {
    let opened = match (&choice.encoder, choice.encoder_activation) {
        (None, _) => pdn::bundled_encoder(),
        (Some(name), None) => Encoder::open(&located(name)?),
        (Some(name), Some(activation)) => Encoder::open_with(&located(name)?, activation),
    };
    let encoder = opened.map_err(Failure::failed)?;
    Ok(if choice.truncate_prompt { encoder.truncating() } else { encoder })
}

/// The file that is meant; a model's name, where no file is called so, is fetched from the hub.
#[cfg(feature = "hub")]
fn located(name: &Path) -> Result<PathBuf, Failure> {
    match name.to_str().filter(|name| Hub::is_name(name)) {
        Some(repo) if !name.exists() => {
            let progress = Download::new();
            let found = Hub::from_env().encoder(repo, &mut |file, done, size| progress.show(file, done, size));
            found.map_err(|error| match error {
                HubError::Interrupted => Failure { message: error.to_string(), ..Failure::interrupted() },
                _ => Failure::failed(error),
            })
        }
        _ => Ok(name.to_owned()),
    }
}

/// The file that is meant.
#[cfg(not(feature = "hub"))]
fn located(name: &Path) -> Result<PathBuf, Failure> {
    Ok(name.to_owned())
}

fn read(choice: &PromptChoice) -> Result<Prompt, Failure> {
    if let Some(text) = &choice.prompt {
        return Ok(Prompt::Text(text.clone()));
    }
    if let Some(path) = &choice.prompt_image {
        return Ok(Prompt::Picture(Box::new(pdn::read(path, &Limits::default())?)));
    }
    choice.prompt_embedding.as_deref().map_or(Ok(Prompt::None), |path| Ok(Prompt::Embedding(embedding(path)?)))
}

/// The one embedding of a file.
pub(crate) fn embedding(path: &Path) -> Result<Embedding, Failure> {
    match <[_; 1]>::try_from(read_embeddings(path).map_err(Failure::failed)?) {
        Ok([(_, embedding)]) => Ok(embedding),
        Err(many) => Err(Failure::at(path, format_args!("holds {} embeddings, expected one", many.len()))),
    }
}
