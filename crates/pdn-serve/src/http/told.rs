//! Faults that a request tells, of the whole picture and of its regions.

use crate::http::request::{EnlargeRequest, RegionSource};
use crate::jobs::models::ModelView;
use crate::problem::{Kind, Problem};
use pdn::{FaultsError, KnownFaults, Prompt, Regions};
use std::str::FromStr;

/// The word for not seeing in the picture what is not told.
const UNSEEN: &str = "unseen";

/// Faults that are told, and whether the others are left unknown instead of seen in the picture.
#[derive(Debug, Default, PartialEq)]
struct Told {
    faults: KnownFaults,
    unseen: bool,
}

impl Told {
    /// Returns the prompt with these faults told beside it.
    fn around(&self, prompt: Prompt) -> Prompt {
        match self.unseen || self.faults.tells_any() {
            true => Prompt::Told { prompt: Box::new(prompt), faults: self.faults.clone(), unseen: self.unseen },
            false => prompt,
        }
    }
}

impl FromStr for Told {
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

/// The faults that a request tells: of the picture outside its regions, and of each region.
pub(crate) struct AllTold {
    rest: Told,
    regions: Vec<Told>,
}

impl AllTold {
    /// Parses the faults of a request for a model.
    pub(crate) fn of(view: &ModelView, request: &EnlargeRequest) -> Result<Self, Problem> {
        let given = request.faults.is_some() || request.regions.iter().any(|region| region.faults.is_some());
        if given && !view.hears_faults {
            let why = format_args!("the model {} is not steered by faults; leave them out", view.name);
            return Err(Kind::Prompt.because(why).of("faults", "faults"));
        }
        let parsed = |text: &Option<String>, of: &str| match text {
            Some(text) => text.parse().map_err(|error: FaultsError| Kind::Option.because(error).of("faults", of)),
            None => Ok(Told::default()),
        };
        let regions = request.regions.iter().map(|region| parsed(&region.faults, "a region's faults"));
        Ok(Self { rest: parsed(&request.faults, "faults")?, regions: regions.collect::<Result<_, _>>()? })
    }

    /// Adds to the prompt of the rest those of the regions, and to each of them its faults. A region without words has
    /// the prompt of the rest.
    pub(crate) fn around(&self, rest: Prompt, regions: Vec<RegionSource>, feather: usize) -> Prompt {
        if regions.is_empty() {
            return self.rest.around(rest);
        }
        let part = |(region, told): (RegionSource, &Told)| {
            let prompt = if region.has_words() { Prompt::Text(region.text) } else { rest.clone() };
            (region.rectangle, told.around(prompt))
        };
        let parts = regions.into_iter().zip(&self.regions).map(part).collect();
        Prompt::Regions(Box::new(Regions { parts, rest: self.rest.around(rest), feather }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_turns_seeing_off() {
        let told = |text: &str| text.parse::<Told>().unwrap();
        assert_eq!(told("unseen"), Told { faults: KnownFaults::default(), unseen: true });
        assert_eq!(told("blur=none, unseen"), Told { faults: "blur=none".parse().unwrap(), unseen: true });
        assert!(!told("blur=none").unseen && "unseen,".parse::<Told>().is_err());
    }
}
