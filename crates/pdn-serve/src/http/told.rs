//! Faults that a request tells, of the whole picture and of its regions.

use crate::http::request::{EnlargeRequest, RegionSource};
use crate::jobs::models::ModelView;
use crate::problem::{Kind, Problem};
use pdn::{FaultsError, Prompt, Regions, ToldFaults};

/// The faults that a request tells: of the picture outside its regions, and of each region.
pub(crate) struct AllTold {
    rest: ToldFaults,
    regions: Vec<ToldFaults>,
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
            None => Ok(ToldFaults::default()),
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
        let part = |(region, told): (RegionSource, &ToldFaults)| {
            let prompt = if region.has_words() { Prompt::Text(region.text) } else { rest.clone() };
            (region.rectangle, told.around(prompt))
        };
        let parts = regions.into_iter().zip(&self.regions).map(part).collect();
        Prompt::Regions(Box::new(Regions { parts, rest: self.rest.around(rest), feather }))
    }
}
