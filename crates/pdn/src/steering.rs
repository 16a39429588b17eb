//! The embedding of a prompt for a network that is steered by content and faults.
//!
//! Settings are taken at their word. What a sentence tells is weighed with what the picture shows, and what nobody tells
//! is read from the picture itself, as the paper's section 4.1 takes the picture's own view where there is no prompt.

use crate::encoder::{Embedding, Encoder};
use crate::faults::{FAULTS_ID, KnownFaults, Slot, compose, composed_dim, decompose};
use crate::prompt::{Prompt, PromptError, mix};
use pdn_image::Picture;
use std::cell::OnceCell;

/// The faults that a network is steered by for a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct SteeringFaults {
    /// All of them.
    pub all: KnownFaults,
    /// What the prompt tells of them by itself.
    pub told: KnownFaults,
}

/// Where a fault is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The prompt tells it.
    Told,
    /// A sentence tells it, weighed with what the picture shows.
    Weighed,
    /// The picture shows it.
    Seen,
}

impl SteeringFaults {
    /// Returns where a slot is known from; `None` if it is not known.
    pub fn origin(&self, slot: Slot) -> Option<Origin> {
        let Self { all, told } = self;
        match (all.is_told(slot), told.is_told(slot)) {
            (false, _) => None,
            (true, false) => Some(Origin::Seen),
            (true, true) if all.same(slot, told) => Some(Origin::Told),
            (true, true) => Some(Origin::Weighed),
        }
    }
}

/// What a prompt says.
struct Said {
    /// Content of unit length, if any is told.
    content: Option<Vec<f32>>,
    told: KnownFaults,
    /// Whether faults that are not told stay so.
    unseen: bool,
}

/// Embeds prompts for one picture, which is looked at once at most.
pub(crate) struct Steering<'a> {
    pub(crate) encoder: &'a Encoder,
    pub(crate) picture: &'a Picture,
    seen: OnceCell<KnownFaults>,
}

impl<'a> Steering<'a> {
    pub(crate) fn new(encoder: &'a Encoder, picture: &'a Picture) -> Self {
        Self { encoder, picture, seen: OnceCell::new() }
    }

    /// Embeds a prompt.
    pub(crate) fn embed(&self, prompt: &Prompt) -> Result<Embedding, PromptError> {
        let said = self.said(prompt, false)?;
        let known = self.known(&said)?;
        let values = compose(said.content.as_deref(), self.encoder.dim(), &known);
        Ok(Embedding { encoder: self.encoder.id().to_owned() + FAULTS_ID, values })
    }

    /// Returns the faults that a prompt steers by.
    pub(crate) fn faults(&self, prompt: &Prompt) -> Result<SteeringFaults, PromptError> {
        let (all, told) = (self.known(&self.said(prompt, false)?)?, self.said(prompt, true)?.told);
        Ok(SteeringFaults { all, told })
    }

    fn known(&self, said: &Said) -> Result<KnownFaults, PromptError> {
        match said.unseen || Slot::ALL.iter().all(|slot| said.told.is_told(*slot)) {
            true => Ok(said.told.clone()),
            false => Ok(said.told.or(self.seen()?)),
        }
    }

    fn seen(&self) -> Result<&KnownFaults, PromptError> {
        if self.seen.get().is_none() {
            let _ = self.seen.set(self.encoder.faults_of_picture(self.picture)?);
        }
        Ok(self.seen.get_or_init(KnownFaults::default))
    }

    /// Returns what a prompt says. If `unseen`, words are not weighed with what the picture shows.
    fn said(&self, prompt: &Prompt, unseen: bool) -> Result<Said, PromptError> {
        let of_content = |embedding: Embedding| Said::of(Some(embedding.values), KnownFaults::default());
        match prompt {
            Prompt::None => Ok(Said::of(None, KnownFaults::default())),
            Prompt::Mirror | Prompt::Picture { .. } => Ok(of_content(prompt.embed(self.encoder, self.picture)?)),
            Prompt::Text(text) => {
                let embedding = self.encoder.embed_text(text)?;
                // What is hardly heard is not told: networks know slots as told or not.
                let heard = self.encoder.faults_of_text(text)?.or(&KnownFaults::default());
                let told = match unseen || !heard.tells_any() {
                    true => heard,
                    false => heard.weighed(self.seen()?),
                };
                Ok(Said::of(Some(embedding.values), told))
            }
            Prompt::Embedding { embedding, .. } => self.of_embedding(embedding),
            Prompt::Told { prompt, faults, unseen: blind } => {
                let said = self.said(prompt, unseen || *blind)?;
                Ok(Said { told: faults.or(&said.told), unseen: *blind || said.unseen, ..said })
            }
            Prompt::Mix(prompts) => self.of_mix(prompts, unseen),
            Prompt::Regions(_) => Err(PromptError::Regions),
        }
    }

    /// Takes an embedding of content, or one of content and faults.
    fn of_embedding(&self, embedding: &Embedding) -> Result<Said, PromptError> {
        let (found, own) = (&embedding.encoder, self.encoder.id());
        if found == own && embedding.values.len() == self.encoder.dim() {
            return Ok(Said::of(Some(embedding.values.clone()), KnownFaults::default()));
        }
        let known = found.strip_suffix(FAULTS_ID).is_some_and(|id| id == own);
        if !known || embedding.values.len() != composed_dim(self.encoder.dim()) {
            return Err(PromptError::Encoders(own.to_owned() + FAULTS_ID, found.clone()));
        }
        let (content, told) = decompose(&embedding.values, self.encoder.dim()).ok_or(PromptError::NoDirection)?;
        Ok(Said { content, told, unseen: true })
    }

    /// Mixes contents as directions. Of the faults, each slot is the mean of what the prompts with positive weights
    /// tell.
    fn of_mix(&self, prompts: &[(f32, Prompt)], unseen: bool) -> Result<Said, PromptError> {
        if prompts.is_empty() {
            return Err(PromptError::Empty);
        }
        if let Some((weight, _)) = prompts.iter().find(|(weight, _)| !weight.is_finite()) {
            return Err(PromptError::Weight(*weight));
        }
        let parts = prompts.iter().map(|(weight, prompt)| Ok((*weight, self.said(prompt, unseen)?)));
        let parts: Vec<(f32, Said)> = parts.collect::<Result<_, PromptError>>()?;
        let contents: Vec<(f32, Embedding)> = parts
            .iter()
            .filter_map(|(weight, said)| {
                let values = said.content.clone()?;
                Some((*weight, Embedding { encoder: self.encoder.id().to_owned(), values }))
            })
            .collect();
        let content = match contents.is_empty() {
            true => None,
            false => Some(mix(&contents)?.values),
        };
        let told: Vec<(f32, &KnownFaults)> = parts.iter().map(|(weight, said)| (*weight, &said.told)).collect();
        let unseen = parts.iter().all(|(_, said)| said.unseen);
        Ok(Said { content, told: KnownFaults::mean(&told), unseen })
    }
}

impl Said {
    fn of(content: Option<Vec<f32>>, told: KnownFaults) -> Self {
        Self { content, told, unseen: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled_encoder;

    fn picture() -> Picture {
        Picture::from_rgb(80, 70, (0..80 * 70 * 3).map(|i| (i / 7 % 256) as u8).collect())
    }

    fn told(prompt: Prompt, faults: &str, unseen: bool) -> Prompt {
        Prompt::Told { prompt: Box::new(prompt), faults: faults.parse().unwrap(), unseen }
    }

    #[test]
    fn what_is_told_is_kept_and_the_rest_is_seen() {
        let (encoder, picture) = (bundled_encoder().unwrap(), picture());
        let steering = Steering::new(&encoder, &picture);
        let seen = encoder.faults_of_picture(&picture).unwrap();
        let found = |prompt: &Prompt| steering.faults(prompt).unwrap();
        assert_eq!(found(&Prompt::None).all, seen);
        let known = found(&told(Prompt::None, "blur=heavy", false));
        assert_eq!(known.all, "blur=heavy".parse::<KnownFaults>().unwrap().or(&seen));
        assert_eq!((known.origin(Slot::Blur), known.origin(Slot::Noise)), (Some(Origin::Told), Some(Origin::Seen)));
        let known = found(&told(Prompt::None, "blur=heavy", true));
        assert_eq!((known.all.level(Slot::Noise), known.origin(Slot::Noise)), (None, None));
    }

    #[test]
    fn words_are_weighed_and_settings_are_not() {
        let (encoder, picture) = (bundled_encoder().unwrap(), picture());
        let steering = Steering::new(&encoder, &picture);
        let sentence = Prompt::Text("a very noisy photo".into());
        let heard = encoder.faults_of_text("a very noisy photo").unwrap();
        assert_eq!(heard.level(Slot::Noise), Some(3));
        let found = |prompt: &Prompt| steering.faults(prompt).unwrap();
        let weighed = found(&sentence);
        assert_eq!(weighed.origin(Slot::Noise), Some(Origin::Weighed));
        assert!(weighed.all.same(Slot::Noise, &heard.weighed(steering.seen().unwrap())));
        let word = found(&told(sentence.clone(), "blur=unknown", true));
        assert_eq!(word.origin(Slot::Noise), Some(Origin::Told));
        let mixed = Prompt::Mix(vec![(1.0, sentence.clone()), (2.0, Prompt::Text("a dog".into()))]);
        assert!(found(&mixed).all.same(Slot::Noise, &weighed.all));
        let set = found(&told(sentence, "noise=none", false));
        assert_eq!((set.all.level(Slot::Noise), set.origin(Slot::Noise)), (Some(0), Some(Origin::Told)));
    }

    #[test]
    fn embeddings_come_back_as_they_were() {
        let (encoder, picture) = (bundled_encoder().unwrap(), picture());
        let steering = Steering::new(&encoder, &picture);
        let prompt = told(Prompt::Text("a brown dog".into()), "blur=slight,noise=9", true);
        let first = steering.embed(&prompt).unwrap();
        let again = steering.embed(&first.clone().into()).unwrap();
        let apart = first.values.iter().zip(&again.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5 && first.encoder == again.encoder, "{apart}");
        // One of content alone is content, and the faults are seen.
        let content = encoder.embed_text("a brown dog").unwrap();
        let text = steering.embed(&told(content.into(), "blur=slight,noise=9", true)).unwrap();
        let apart = first.values.iter().zip(&text.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart}");
        let other = Embedding { encoder: "other@1".into(), values: vec![1.0] };
        assert!(steering.embed(&other.into()).unwrap_err().to_string().contains("other@1"));
    }

    #[test]
    fn a_mix_tells_the_mean() {
        let (encoder, picture) = (bundled_encoder().unwrap(), picture());
        let steering = Steering::new(&encoder, &picture);
        let one = |weight, faults: &str| (weight, told(Prompt::None, faults, true));
        let mixed = Prompt::Mix(vec![one(1.0, "noise=0"), one(1.0, "noise=2,blur=strong"), one(-1.0, "jpeg=30")]);
        let known = steering.faults(&mixed).unwrap().all;
        assert!((known.amount(Slot::Noise).unwrap() - 1.0).abs() < 1e-5);
        assert_eq!((known.level(Slot::Blur), known.level(Slot::Jpeg)), (Some(2), None));
        assert!(steering.faults(&Prompt::Mix(vec![])).is_err());
    }
}
