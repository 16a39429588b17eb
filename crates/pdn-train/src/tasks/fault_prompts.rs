//! Prompts that tell a patch's faults: rightly, in part, or not at all, in numbers, in levels, or as an encoder sees
//! them.

use pdn::{Encoder, EncoderError, Faults, KnownFaults, Picture, Slot, compose};
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// How often faults are told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultMix {
    /// How often nothing is told.
    pub nothing: f64,
    /// How often, of the rest, each slot is dropped singly.
    pub dropped: f64,
    /// How often the content is told, which the other kinds of prompts then give.
    pub content: f64,
    /// How often, of the rest, faults are those that the encoder sees, as they are in use without a prompt. With any,
    /// so are faults that cannot be told.
    #[serde(default)]
    pub seen: f64,
}

/// What is known of a patch's faults.
pub(crate) struct Patch<'a> {
    /// Its faults, if they can be told.
    pub faults: Option<&'a Faults>,
    /// What an encoder sees in the patch and around it.
    pub view: &'a Picture,
    /// The encoder that sees.
    pub eyes: Option<&'a Encoder>,
}

impl FaultMix {
    /// Checks the probabilities.
    ///
    /// # Errors
    /// A message that names the key.
    pub fn check(&self) -> Result<(), String> {
        let all =
            [("nothing", self.nothing), ("dropped", self.dropped), ("content", self.content), ("seen", self.seen)];
        match all.iter().find(|(_, part)| !(0.0..=1.0).contains(part)) {
            Some((key, found)) => Err(format!("prompts.faults.{key} {found}: expected 0 to 1")),
            None => Ok(()),
        }
    }

    /// Draws the prompt of a patch.
    ///
    /// # Errors
    /// If the encoder cannot look at it.
    pub(crate) fn prompt(
        self,
        content: &[f32],
        patch: &Patch<'_>,
        random: &mut StdRng,
    ) -> Result<Vec<f32>, EncoderError> {
        let known = match random.random_bool(self.nothing) {
            true => KnownFaults::default(),
            false => self.looked_or_told(patch, random)?,
        };
        let told = random.random_bool(self.content).then_some(content);
        Ok(compose(told, content.len(), &known))
    }

    fn looked_or_told(self, patch: &Patch<'_>, random: &mut StdRng) -> Result<KnownFaults, EncoderError> {
        let looks = patch.eyes.filter(|_| random.random_bool(self.seen) || patch.faults.is_none());
        match (looks, patch.faults) {
            (Some(eyes), _) => eyes.faults_of_picture(patch.view),
            (None, Some(faults)) => Ok(self.known(faults, random)),
            (None, None) => Ok(KnownFaults::default()),
        }
    }

    fn known(self, faults: &Faults, random: &mut StdRng) -> KnownFaults {
        let mut known = told(faults, random);
        // Half of the time in whole.
        if random.random_bool(0.5) {
            Slot::ALL.into_iter().filter(|_| random.random_bool(self.dropped)).for_each(|slot| known.forget(slot));
        }
        known
    }
}

/// Tells all faults in one of three ways: by amounts, by levels, or as seen, more or less surely.
fn told(faults: &Faults, random: &mut StdRng) -> KnownFaults {
    let exact = KnownFaults::exactly(faults);
    let mut known = exact.clone();
    match random.random_range(0..3) {
        0 => {}
        1 => {
            let levels = Slot::ALL.into_iter().filter_map(|slot| Some((slot, exact.level(slot)?)));
            levels.for_each(|(slot, level)| known.set_level(slot, level));
        }
        _ => {
            for slot in Slot::ALL {
                if let Some(index) = exact.index(slot) {
                    // The surer, the nearer: a distribution that says what is likely is right that often.
                    let spread = random.random_range(0.25..1.5);
                    let off: f64 = random.sample(StandardNormal);
                    known.set_seen(slot, index + spread * off, spread);
                }
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdn::composed_dim;
    use rand::SeedableRng;

    #[test]
    fn prompts_are_drawn_as_often_as_the_mix_says() {
        let mix = FaultMix { nothing: 0.25, dropped: 0.4, content: 0.5, seen: 0.0 };
        let faults: Faults = "blur=0.3,noise=8,jpeg=60".parse().unwrap();
        let random = &mut StdRng::seed_from_u64(1);
        let unknown = 3 + Slot::ALL.len();
        let view = Picture::from_rgb(8, 8, vec![9; 192]);
        let patch = |faults| Patch { faults, view: &view, eyes: None };
        let all: Vec<Vec<f32>> =
            (0..4000).map(|_| mix.prompt(&[0.6, 0.8], &patch(Some(&faults)), random).unwrap()).collect();
        assert!(all.iter().all(|prompt| prompt.len() == composed_dim(2)));
        let share = |is: &dyn Fn(&Vec<f32>) -> bool| all.iter().filter(|one| is(one)).count() as f64 / 4000.0;
        assert!((share(&|prompt| prompt[0] > 0.0) - 0.5).abs() < 0.03);
        let nothing = compose(None, 2, &KnownFaults::default());
        let blank = share(&|prompt| prompt[3..] == nothing[3..]);
        assert!((0.24..0.28).contains(&blank), "{blank}");
        // The blur's own number for not being told.
        let untold = share(&|prompt| prompt[2 + unknown] > 0.3);
        assert!((untold - (0.25 + 0.75 * 0.2)).abs() < 0.03, "{untold}");
        let none = mix.prompt(&[0.6, 0.8], &patch(None), random).unwrap();
        assert_eq!(none[3..], nothing[3..]);
    }

    #[test]
    fn what_cannot_be_told_is_seen() {
        let encoder = pdn::bundled_encoder().unwrap();
        let view = Picture::from_rgb(70, 66, (0..70 * 66 * 3).map(|i| (i * 37 % 251) as u8).collect());
        let seen = compose(None, 2, &encoder.faults_of_picture(&view).unwrap());
        let faults: Faults = "blur=0.3,noise=8,jpeg=60".parse().unwrap();
        let random = &mut StdRng::seed_from_u64(1);
        let mix = FaultMix { nothing: 0.0, dropped: 0.0, content: 0.0, seen: 0.5 };
        let mut share = |faults| {
            let patch = Patch { faults, view: &view, eyes: Some(&encoder) };
            (0..400).filter(|_| mix.prompt(&[0.6, 0.8], &patch, random).unwrap() == seen).count()
        };
        assert_eq!(share(None), 400);
        assert!((160..240).contains(&share(Some(&faults))));
    }

    #[test]
    fn a_mix_beyond_its_range_is_refused() {
        let error = FaultMix { nothing: 1.2, dropped: 0.0, content: 0.0, seen: 0.0 }.check().unwrap_err();
        assert!(error.contains("prompts.faults.nothing 1.2"), "{error}");
    }
}
