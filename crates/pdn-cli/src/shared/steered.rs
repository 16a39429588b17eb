//! The faults that a model is steered by, in words.

use pdn::{Encoder, Error, KnownFaults, Origin, Picture, Prompt, Slot, SteeringFaults, Upscaler};
use std::fmt;

/// The faults that a model is steered by for one picture.
pub(crate) struct Steered(SteeringFaults);

impl Steered {
    /// Returns what a model is steered by; `None` if it is not steered by faults, and for regions, each of which has its
    /// own.
    pub(crate) fn of(
        upscaler: &Upscaler,
        prompt: &Prompt,
        encoder: &Encoder,
        picture: &Picture,
    ) -> Result<Option<Self>, Error> {
        Ok(upscaler.faults(prompt, encoder, picture)?.map(Self::new))
    }

    fn new(mut faults: SteeringFaults) -> Self {
        // No noise has no grain, whoever tells the one or the other.
        if faults.all.level(Slot::Noise) == Some(0) {
            faults.all.forget(Slot::Grain);
        }
        Self(faults)
    }
}

impl fmt::Display for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (origin, how) in [(Origin::Told, "told"), (Origin::Weighed, "told and seen"), (Origin::Seen, "seen")] {
            let mut known = self.0.all.clone();
            let others = Slot::ALL.into_iter().filter(|slot| self.0.origin(*slot) != Some(origin));
            others.for_each(|slot| known.forget(slot));
            if known.tells_any() {
                parts.push(format!("{} ({how})", in_words(&known)));
            }
        }
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
        Steered::new(SteeringFaults { all, told }).to_string()
    }

    #[test]
    fn whoever_says_it_is_named() {
        for (all, told, expected) in [
            ("blur=slight,noise=slight", "jpeg=unknown", "slightly blurred, some noise (seen)"),
            ("blur=heavy,jpeg=60", "blur=heavy", "heavily blurred (told), JPEG about 60 (seen)"),
            ("blur=heavy", "blur=heavy", "heavily blurred (told)"),
            ("blur=slight,jpeg=60", "blur=heavy", "slightly blurred (told and seen), JPEG about 60 (seen)"),
            ("blur=unknown", "blur=unknown", "nothing known"),
            ("resize=antialiased", "resize=antialiased", "resize antialiased (told)"),
            ("noise=none,grain=coarse", "grain=coarse", "no noise (seen)"),
        ] {
            assert_eq!(said(all, told), expected);
        }
    }
}
