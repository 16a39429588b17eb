//! Faults that someone tells beside a prompt.

use crate::faults::{FaultsError, KnownFaults};
use crate::prompt::Prompt;
use std::str::FromStr;

/// The word for not seeing in the picture what is not told.
const UNSEEN: &str = "unseen";

/// Faults that are told, and whether the others are left unknown instead of seen in the picture. Parses from settings as
/// [`KnownFaults`] does, among which may be the word `unseen`: `blur=slight,unseen`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToldFaults {
    /// What is told.
    pub faults: KnownFaults,
    /// Whether what is not told is left unknown.
    pub unseen: bool,
}

impl ToldFaults {
    /// Returns the prompt with these faults told beside it; the same prompt if there are none.
    pub fn around(&self, prompt: Prompt) -> Prompt {
        match self.unseen || self.faults.tells_any() {
            true => Prompt::Told { prompt: Box::new(prompt), faults: self.faults.clone(), unseen: self.unseen },
            false => prompt,
        }
    }
}

impl FromStr for ToldFaults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let settings: Vec<&str> = parts.iter().copied().filter(|part| *part != UNSEEN).collect();
        let faults = match settings.is_empty() {
            true => KnownFaults::default(),
            false => settings.join(",").parse()?,
        };
        Ok(Self { faults, unseen: settings.len() < parts.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_is_a_word_among_the_settings() {
        for (text, faults, unseen) in [
            ("blur=slight,noise=none", "blur=slight,noise=none", false),
            ("blur=slight, unseen", "blur=slight", true),
            ("unseen,jpeg=60", "jpeg=60", true),
            ("unseen", "blur=unknown", true),
        ] {
            let faults = faults.parse().unwrap();
            assert_eq!(text.parse(), Ok(ToldFaults { faults, unseen }), "{text}");
        }
        for text in ["", "blur", "focus=bad", "blur=much", "unseen=1", "unseen,", "jpeg=0"] {
            assert!(text.parse::<ToldFaults>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prompt_that_is_told_nothing_stays_as_it_is() {
        assert!(matches!(ToldFaults::default().around(Prompt::None), Prompt::None));
        let unseen = ToldFaults { unseen: true, ..ToldFaults::default() };
        assert!(matches!(unseen.around(Prompt::None), Prompt::Told { unseen: true, .. }));
    }
}
