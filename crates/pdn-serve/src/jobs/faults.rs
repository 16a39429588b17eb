//! The faults that a picture shows and that a model is steered by, as clients see them.

use crate::jobs::account::HeldPicture;
use pdn::{Encoder, EncoderError, KnownFaults, Origin, Prompt, Slot, SteeringFaults, Upscaler};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Known faults of a picture.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Faults)]
pub(crate) struct FaultsView {
    /// All of them in words.
    #[schema(example = "slightly blurred, some noise, JPEG about 60")]
    words: String,
    /// Each by the name of its slot; what is not known is left out.
    slots: BTreeMap<&'static str, FaultView>,
}

/// A known fault.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Fault)]
pub(crate) struct FaultView {
    /// The likeliest of the slot's levels.
    #[schema(example = "slight")]
    level: &'static str,
    /// The amount in the slot's unit; null for kinds, and where there is no JPEG.
    amount: Option<f64>,
    from: OriginView,
}

/// Where a fault is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Origin)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OriginView {
    /// The request tells it.
    Told,
    /// The words of a prompt tell it, weighed with what the picture shows.
    Weighed,
    /// The picture shows it.
    Seen,
}

impl OriginView {
    fn new(origin: Origin) -> Self {
        match origin {
            Origin::Told => Self::Told,
            Origin::Weighed => Self::Weighed,
            Origin::Seen => Self::Seen,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Weighed => "weighed",
            Self::Seen => "seen",
        }
    }
}

impl FaultsView {
    /// Shows what is seen.
    pub(crate) fn seen(seen: &KnownFaults) -> Self {
        Self::of(SteeringFaults { all: seen.clone(), told: KnownFaults::default() })
    }

    fn of(mut faults: SteeringFaults) -> Self {
        // No noise has no grain, whoever tells the one or the other.
        if faults.all.level(Slot::Noise) == Some(0) {
            faults.all.forget(Slot::Grain);
        }
        let view = |slot: Slot| {
            let level = slot.levels()[faults.all.level(slot)?];
            let amount = faults.all.amount(slot).map(|amount| (amount * 1e3).round() / 1e3);
            Some((slot.name(), FaultView { level, amount, from: OriginView::new(faults.origin(slot)?) }))
        };
        Self { words: in_words(&faults.all), slots: Slot::ALL.into_iter().filter_map(view).collect() }
    }

    /// Returns the words, which are ASCII.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// Returns the faults as a dictionary of a header (RFC 9651), such as `blur=slight;amount=0.25;told`.
    pub(crate) fn header(&self) -> String {
        let entry = |(name, fault): (&&str, &FaultView)| {
            let amount = fault.amount.map_or_else(String::new, |amount| format!(";amount={amount}"));
            format!("{name}={}{amount};{}", fault.level, fault.from.word())
        };
        self.slots.iter().map(entry).collect::<Vec<_>>().join(", ")
    }
}

/// Says what is known. What goes without saying beside other faults is named if there are no others.
fn in_words(known: &KnownFaults) -> String {
    let words = known.to_string();
    if words != KnownFaults::default().to_string() {
        return words;
    }
    let named = |slot: &Slot| Some(format!("{} {}", slot.name(), slot.levels()[known.level(*slot)?]));
    let named: Vec<String> = Slot::ALL.iter().filter_map(named).collect();
    if named.is_empty() { words } else { named.join(", ") }
}

/// The faults that a model is steered by: those outside the regions, and those of each region.
#[derive(Clone, Debug)]
pub(crate) struct Steered {
    pub(crate) rest: FaultsView,
    pub(crate) regions: Vec<FaultsView>,
}

/// Returns the faults that a model is steered by; `None` if it is not steered by faults.
pub(crate) fn steered(
    upscaler: &Upscaler,
    prompt: &Prompt,
    encoder: &Encoder,
    held: &HeldPicture,
) -> Result<Option<Steered>, pdn::Error> {
    if !upscaler.hears_faults() {
        return Ok(None);
    }
    let picture = held.picture.eight();
    let view = |prompt: &Prompt| {
        let faults = upscaler.faults(prompt, encoder, &picture)?;
        Ok(faults.map_or_else(|| FaultsView::seen(&KnownFaults::default()), FaultsView::of))
    };
    match upscaler.used(prompt) {
        Prompt::Regions(regions) => {
            let parts = regions.parts.iter().map(|(_, prompt)| view(prompt)).collect::<Result<_, pdn::Error>>()?;
            Ok(Some(Steered { rest: view(&regions.rest)?, regions: parts }))
        }
        prompt => Ok(Some(Steered { rest: view(&prompt)?, regions: Vec::new() })),
    }
}

impl HeldPicture {
    /// Returns what the picture shows of its faults; it is looked at once.
    pub(crate) fn seen(&self, encoder: &Encoder) -> Result<KnownFaults, EncoderError> {
        if let Some(seen) = self.seen.get() {
            return Ok(seen.clone());
        }
        let seen = encoder.faults_of_picture(&self.picture.eight())?;
        // Whoever was first saw the same.
        Ok(self.seen.get_or_init(|| seen).clone())
    }
}

/// A slot of the faults that can be told and seen, with its levels.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Slot)]
pub(crate) struct SlotView {
    /// Its name in requests.
    #[schema(example = "jpeg")]
    name: &'static str,
    /// Its name for people.
    #[schema(example = "JPEG")]
    label: String,
    /// From nothing to much, or kinds.
    levels: &'static [&'static str],
    /// What amounts are in; null for kinds, which have none.
    unit: Option<UnitView>,
}

/// The unit of a slot's amounts, and their range.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Amount)]
pub(crate) struct UnitView {
    #[schema(example = "levels of 255")]
    name: &'static str,
    least: f64,
    most: f64,
}

impl SlotView {
    /// Returns all slots.
    pub(crate) fn all() -> Vec<Self> {
        Slot::ALL.map(Self::of).into()
    }

    fn of(slot: Slot) -> Self {
        let name = slot.name();
        let label = match slot {
            Slot::Jpeg => "JPEG".to_owned(),
            _ => name[..1].to_uppercase() + &name[1..],
        };
        let unit = slot.unit().map(|(name, [least, most])| UnitView { name, least, most });
        Self { name, label, levels: slot.levels(), unit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_told_apart_from_what_is_seen() {
        let known = |text: &str| text.parse::<KnownFaults>().unwrap();
        let view = |all, told| FaultsView::of(SteeringFaults { all: known(all), told: known(told) });
        let found = view("blur=0.25,noise=9,grain=coarse,jpeg=none", "blur=0.25,grain=coarse");
        assert_eq!(found.words(), "slightly blurred, noisy, coarse grain, no JPEG traces");
        assert_eq!(
            found.header(),
            "blur=slight;amount=0.25;told, grain=coarse;told, jpeg=none;seen, noise=strong;amount=9;seen"
        );
        let weighed = view("noise=9", "noise=20").header();
        assert_eq!(weighed, "noise=strong;amount=9;weighed");
        let found = view("noise=none,grain=coarse", "noise=none");
        assert_eq!((found.header().as_str(), found.words()), ("noise=none;amount=0;told", "no noise"));
        assert_eq!(FaultsView::seen(&known("resize=antialiased")).words(), "resize antialiased");
        let nothing = FaultsView::seen(&KnownFaults::default());
        assert_eq!((nothing.header().as_str(), nothing.words()), ("", "nothing known"));
    }
}
