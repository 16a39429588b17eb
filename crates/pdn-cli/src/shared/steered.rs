//! The faults that a model is steered by, in words.

use pdn::{Encoder, Error, KnownFaults, Picture, Prompt, Slot, Upscaler};
use std::fmt;

/// The faults that a model is steered by for one picture.
pub(crate) struct Steered {
    /// Those that the prompt tells.
    told: KnownFaults,
    /// The others, as the picture shows them.
    seen: KnownFaults,
}

impl Steered {
    /// Returns what a model is steered by; `None` if it is not steered by faults, and for regions, each of which has its
    /// own.
    pub(crate) fn of(
        upscaler: &Upscaler,
        prompt: &Prompt,
        encoder: &Encoder,
        picture: &Picture,
    ) -> Result<Option<Self>, Error> {
        let Some(all) = upscaler.faults(prompt, encoder, picture)? else { return Ok(None) };
        let blind = Prompt::Told { prompt: Box::new(prompt.clone()), faults: KnownFaults::default(), unseen: true };
        let told = upscaler.faults(&blind, encoder, picture)?.unwrap_or_default();
        Ok(Some(Self::new(&all, told)))
    }

    fn new(all: &KnownFaults, mut told: KnownFaults) -> Self {
        let mut seen = all.clone();
        Slot::ALL.into_iter().filter(|slot| told.is_told(*slot)).for_each(|slot| seen.forget(slot));
        // No noise has no grain, whoever tells the one or the other.
        if all.level(Slot::Noise) == Some(0) {
            [&mut told, &mut seen].into_iter().for_each(|known| known.forget(Slot::Grain));
        }
        Self { told, seen }
    }
}

impl fmt::Display for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(&self.told, "told"), (&self.seen, "seen")].into_iter().filter(|(known, _)| known.tells_any());
        let parts: Vec<String> = parts.map(|(known, how)| format!("{} ({how})", in_words(known))).collect();
        match parts.is_empty() {
            true => f.write_str("nothing known"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

/// Returns what is known in words. What goes without saying beside other faults is named if there are no others.
pub(crate) fn in_words(known: &KnownFaults) -> String {
    let words = known.to_string();
    if !known.tells_any() || words != KnownFaults::default().to_string() {
        return words;
    }
    let level = |slot: &Slot| Some(format!("{} {}", slot.name(), slot.levels()[known.level(*slot)?]));
    Slot::ALL.iter().filter_map(level).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(all: &str, told: &str) -> String {
        let [all, told]: [KnownFaults; 2] = [all, told].map(|text| text.parse().unwrap());
        Steered::new(&all, told).to_string()
    }

    #[test]
    fn whoever_says_it_is_named() {
        for (all, told, expected) in [
            ("blur=slight,noise=slight", "jpeg=unknown", "slightly blurred, some noise (seen)"),
            ("blur=heavy,jpeg=60", "blur=heavy", "heavily blurred (told), JPEG about 60 (seen)"),
            ("blur=heavy", "blur=heavy", "heavily blurred (told)"),
            ("blur=unknown", "blur=unknown", "nothing known"),
            ("resize=antialiased", "resize=antialiased", "resize antialiased (told)"),
            ("noise=none,grain=coarse", "grain=coarse", "no noise (seen)"),
        ] {
            assert_eq!(said(all, told), expected);
        }
    }
}
