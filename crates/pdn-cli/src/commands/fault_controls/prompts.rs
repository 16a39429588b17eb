//! The prompts that a picture's faults are told by.

use pdn::{Faults, KnownFaults, Language, Prompt, Slot, Wordings};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// The conditions. Sentences are weighed with what the picture shows, as everywhere, but for the words alone.
pub(super) const CONDITIONS: [&str; 10] = [
    "amounts",
    "right",
    "right, training wordings",
    "partly",
    "seen",
    "none",
    "wrong",
    "right, words alone",
    "wrong, words alone",
    "content only",
];

/// The places of those that others are compared with.
pub(super) const RIGHT: usize = 1;
pub(super) const TRAINING: usize = 2;
pub(super) const NONE: usize = 5;
pub(super) const WRONG: usize = 6;
pub(super) const RIGHT_ALONE: usize = 7;
pub(super) const WRONG_ALONE: usize = 8;

/// The conditions in words, for those who read the figures.
pub(super) const MEANINGS: [&str; CONDITIONS.len()] = [
    "the faults in numbers",
    "a sentence in wordings held back from training",
    "a sentence in wordings of the training",
    "a sentence in held-back wordings that tells half of the slots",
    "no prompt: the faults as the encoder sees them",
    "nothing told, nothing seen",
    "the right sentence of another degradation",
    "as `right`, and the picture is not looked at",
    "as `wrong`, and the picture is not looked at",
    "the picture's first caption; the picture is not looked at",
];

/// A picture to tell.
pub(super) struct Picture<'a> {
    /// Its number, from which all that is random follows.
    pub(super) number: usize,
    /// What each degradation does to it.
    pub(super) faults: &'a [Faults],
    /// Its caption's embedding, if it has a caption.
    pub(super) content: Option<Prompt>,
}

impl Picture<'_> {
    /// Returns the prompt of each condition for a degradation, by its place.
    pub(super) fn prompts(&self, at: usize) -> [Option<Prompt>; CONDITIONS.len()] {
        let exactly = KnownFaults::exactly(&self.faults[at]);
        let alone = |prompt: Prompt| blind(prompt, KnownFaults::default());
        let (right, wrong) = (self.right(at), self.right(self.other(at)));
        let prompts = [
            blind(Prompt::None, exactly.clone()),
            right.clone(),
            self.said(&exactly, at, Wordings::Training),
            self.said(&self.half(&exactly, at), at, Wordings::HeldBack),
            Prompt::None,
            alone(Prompt::None),
            wrong.clone(),
            alone(right),
            alone(wrong),
        ];
        let content = self.content.clone().map(alone);
        let mut all = prompts.into_iter().map(Some).chain([content]);
        std::array::from_fn(|_| all.next().flatten())
    }

    /// Returns the right sentence of a degradation.
    fn right(&self, at: usize) -> Prompt {
        self.said(&KnownFaults::exactly(&self.faults[at]), at, Wordings::HeldBack)
    }

    fn said(&self, known: &KnownFaults, at: usize, wordings: Wordings) -> Prompt {
        let mut random = self.random(at, 0);
        let sentence =
            Language::get().sentence(known, true, None, wordings, &mut |count| random.random_range(0..count));
        Prompt::Text(sentence.text)
    }

    /// Returns half of what is known: slots drawn at random, and one more than the others if their number is odd.
    fn half(&self, known: &KnownFaults, at: usize) -> KnownFaults {
        let mut told: Vec<Slot> = Slot::ALL.into_iter().filter(|slot| known.is_told(*slot)).collect();
        told.shuffle(&mut self.random(at, 1));
        let mut half = known.clone();
        told.iter().skip(told.len().div_ceil(2)).for_each(|slot| half.forget(*slot));
        half
    }

    /// Returns the degradation that one is mistaken for: a fixed offset away.
    fn other(&self, at: usize) -> usize {
        (at + self.faults.len() / 2) % self.faults.len()
    }

    fn random(&self, at: usize, purpose: u64) -> StdRng {
        StdRng::seed_from_u64(((self.number as u64) << 32) | ((at as u64) << 8) | purpose)
    }
}

/// Tells faults beside a prompt, and nothing is read from the picture.
fn blind(prompt: Prompt, faults: KnownFaults) -> Prompt {
    Prompt::Told { prompt: Box::new(prompt), faults, unseen: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(prompt: &Option<Prompt>) -> &str {
        match prompt {
            Some(Prompt::Text(text)) => text,
            Some(Prompt::Told { prompt, unseen: true, .. }) => match &**prompt {
                Prompt::Text(text) => text,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn prompts_repeat_and_differ_between_pictures() {
        let faults: [Faults; 2] = ["blur=0.3,noise=8,jpeg=60", "blur=0.7"].map(|text| text.parse().unwrap());
        let of = |number| Picture { number, faults: &faults, content: None }.prompts(0);
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        let prompts = of(3);
        let [right, training, alone] = [RIGHT, TRAINING, RIGHT_ALONE].map(|at| text(&prompts[at]));
        assert!(right != training && right == alone);
        assert!(prompts.last().unwrap().is_none() && prompts[4] == Some(Prompt::None));
    }

    #[test]
    fn wrong_is_the_right_sentence_of_another() {
        for count in 2..12 {
            let faults: Vec<Faults> = (0..count).map(|i| Faults { noise: i as f64, ..Faults::default() }).collect();
            let picture = Picture { number: 1, faults: &faults, content: None };
            for at in 0..count {
                let other = picture.other(at);
                assert_ne!(other, at);
                assert_eq!(text(&picture.prompts(at)[WRONG]), text(&picture.prompts(other)[RIGHT]));
            }
        }
    }

    #[test]
    fn half_is_half() {
        let faults = ["blur=0.3,noise=8,jpeg=60".parse().unwrap(), Faults::default()];
        let picture = Picture { number: 0, faults: &faults, content: None };
        for (at, expected) in [(0, 3), (1, 3)] {
            let half = picture.half(&KnownFaults::exactly(&faults[at]), at);
            assert_eq!(Slot::ALL.into_iter().filter(|slot| half.is_told(*slot)).count(), expected);
        }
    }
}
