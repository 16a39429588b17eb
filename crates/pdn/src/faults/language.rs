//! How people say what befell a picture: the wordings of `faults.toml`.

use crate::faults::composed::{Grade, Pairs, Words, composed};
use crate::faults::known::KnownFaults;
use crate::faults::sentence::{self, Chance, Clause, Form};
use crate::faults::slot::Slot;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Which wordings to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wordings {
    /// Those to train on: two thirds.
    Training,
    /// Those held back from training, to measure how wordings are understood that training never saw.
    HeldBack,
    /// All.
    All,
}

/// A sentence, and what it tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// The sentence, as someone types it.
    pub text: String,
    /// What it tells, and nothing else.
    pub told: KnownFaults,
}

/// The wordings of every level, of amounts, and of kinds of pictures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// By a slot's name and a level's.
    levels: BTreeMap<String, BTreeMap<String, Level>>,
    /// Words that training composes with a grade, by a slot's name.
    words: BTreeMap<String, Words>,
    /// Templates for words, by a level's name.
    grades: BTreeMap<String, Grade>,
    /// Words and things of a level, which training puts together, by a slot's name and a level's.
    pairs: BTreeMap<String, BTreeMap<String, Pairs>>,
    /// Templates with `{}` for the number, by a slot's name.
    amounts: BTreeMap<String, Vec<String>>,
    kinds: Vec<Kind>,
    /// What training hears beside the wordings of a level.
    #[serde(skip)]
    composed: BTreeMap<(Slot, usize), Vec<Clause>>,
}

/// The wordings of one level.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    adjectives: Vec<String>,
    things: Vec<String>,
    phrases: Vec<String>,
}

/// Pictures of a kind that tells several slots.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    /// For readers of the file.
    #[serde(rename = "name")]
    _name: String,
    /// Settings that [`KnownFaults`] parses.
    sets: String,
    wordings: Vec<String>,
}

impl Wordings {
    fn has(self, wording: &str) -> bool {
        match self {
            Self::Training => !is_held_back(wording),
            Self::HeldBack => is_held_back(wording),
            Self::All => true,
        }
    }

    fn of(self, all: &[String]) -> impl Iterator<Item = &str> {
        all.iter().map(String::as_str).filter(move |wording| self.has(wording))
    }
}

/// Returns every level of every slot.
fn all_levels() -> impl Iterator<Item = (Slot, usize)> {
    Slot::ALL.into_iter().flat_map(|slot| (0..slot.levels().len()).map(move |level| (slot, level)))
}

/// Whether a text has a wording in it, word by word, in any letter case.
fn has(text: &str, wording: &str) -> bool {
    format!(" {text} ").to_lowercase().contains(&format!(" {wording} ").to_lowercase())
}

/// Nobody chooses what is held back: the 64-bit FNV-1a hash of the text does.
fn is_held_back(wording: &str) -> bool {
    let hash = wording
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash.is_multiple_of(3)
}

impl Level {
    fn by_form(&self) -> [(Form, &[String]); 3] {
        [(Form::Adjective, &self.adjectives), (Form::Thing, &self.things), (Form::Phrase, &self.phrases)]
    }
}

impl Language {
    /// Returns the language, which is read once.
    pub fn get() -> &'static Self {
        static LANGUAGE: LazyLock<Language> = LazyLock::new(|| {
            let mut language: Language = toml::from_str(include_str!("faults.toml")).expect("tests read this file");
            language.composed = language.compose();
            language
        });
        &LANGUAGE
    }

    /// Returns all wordings of one level, by its index in [`Slot::levels`].
    ///
    /// # Panics
    /// If the slot has no such level.
    pub fn of_level(&self, slot: Slot, level: usize, wordings: Wordings) -> Vec<&str> {
        self.level(slot, level).by_form().into_iter().flat_map(|(_, all)| wordings.of(all)).collect()
    }

    /// Returns a sentence that tells those slots that `tell` tells, in any order: by wordings of their levels, or, if
    /// `exact`, by numbers where there is a blur, noise, sharpening or a JPEG to tell in numbers. `tell` then knows
    /// amounts, as [`KnownFaults::exactly`] does. What the sentence tells is rounded as its numbers are.
    ///
    /// The sentence is about `content`, a caption, if there is any; if there is nothing to tell, it is the caption.
    /// `pick` is the source of chance: it returns a number below the one it is given, which is never 0.
    pub fn sentence(
        &self,
        tell: &KnownFaults,
        exact: bool,
        content: Option<&str>,
        wordings: Wordings,
        pick: &mut dyn FnMut(usize) -> usize,
    ) -> Sentence {
        let mut chance = Chance(pick);
        let mut told = KnownFaults::default();
        let mut clauses = Vec::new();
        for slot in Slot::ALL {
            let Some(level) = tell.level(slot) else { continue };
            let amount = tell.amount(slot).filter(|_| exact);
            match amount.and_then(|amount| self.amount_clause(slot, amount, wordings, &mut chance)) {
                Some((clause, amount)) => {
                    told.set_amount(slot, amount);
                    clauses.push(clause);
                }
                None => {
                    told.set_level(slot, level);
                    clauses.push(self.level_clause(slot, level, wordings, &mut chance));
                }
            }
        }
        chance.shuffle(&mut clauses);
        Sentence { text: sentence::about(clauses, content, &mut chance), told }
    }

    /// Returns a sentence about a picture of some kind, such as an old scan, and what that implies. `content` and
    /// `pick` are those of [`Language::sentence`].
    pub fn kind(&self, content: Option<&str>, wordings: Wordings, pick: &mut dyn FnMut(usize) -> usize) -> Sentence {
        let mut chance = Chance(pick);
        let some = |kind: &&Kind| wordings.of(&kind.wordings).next().is_some();
        let kinds: Vec<&Kind> = self.kinds.iter().filter(some).collect();
        let kind = chance.of(&kinds);
        let all: Vec<&str> = wordings.of(&kind.wordings).collect();
        let text = sentence::of_kind(chance.of(&all), content, &mut chance);
        Sentence { text, told: kind.sets.parse().expect("tests parse this") }
    }

    fn level(&self, slot: Slot, level: usize) -> &Level {
        &self.levels[slot.name()][slot.levels()[level]]
    }

    fn level_clause(&self, slot: Slot, level: usize, wordings: Wordings, chance: &mut Chance) -> Clause {
        let composed = self.composed.get(&(slot, level)).filter(|composed| !composed.is_empty());
        if let (Wordings::Training, Some(composed)) = (wordings, composed)
            && chance.below(2) == 0
        {
            return composed[chance.below(composed.len())].clone();
        }
        let level = self.level(slot, level).by_form();
        let all: Vec<(Form, &str)> =
            level.into_iter().flat_map(|(form, all)| wordings.of(all).map(move |text| (form, text))).collect();
        let (form, text) = chance.of(&all);
        Clause { form, text: text.to_owned() }
    }

    /// Composes what people make of each slot's words and each level's grades, but nothing that has a wording of the same
    /// level in it that is held back: with "blurry", "it is blurry" is held back, too, and "a bit blurry" is not.
    fn compose(&self) -> BTreeMap<(Slot, usize), Vec<Clause>> {
        let of_level = |of: (Slot, usize)| {
            let held_back = self.of_level(of.0, of.1, Wordings::HeldBack);
            let is_free = |clause: &Clause| {
                !is_held_back(&clause.text) && !held_back.iter().any(|wording| has(&clause.text, wording))
            };
            let clauses = self.graded(of).into_iter().chain(self.paired(of));
            (of, clauses.filter(is_free).collect())
        };
        all_levels().map(of_level).collect()
    }

    fn graded(&self, (slot, level): (Slot, usize)) -> Vec<Clause> {
        let last = level > 0 && level + 1 == slot.levels().len();
        let grade = if last { "heavy" } else { slot.levels()[level] };
        match (self.words.get(slot.name()), self.grades.get(grade)) {
            (Some(words), Some(grade)) => composed(words, grade),
            _ => Vec::new(),
        }
    }

    fn paired(&self, (slot, level): (Slot, usize)) -> Vec<Clause> {
        let Some(levels) = self.pairs.get(slot.name()) else { return Vec::new() };
        let name = slot.levels()[level];
        let told = levels.get(name).into_iter().flat_map(Pairs::told);
        let denied = levels.values().filter(|pairs| pairs.denied.as_deref() == Some(name)).flat_map(Pairs::denials);
        told.chain(denied).collect()
    }

    /// Says an amount in numbers, and returns the number said; `None` where there is nothing to say in numbers.
    fn amount_clause(&self, slot: Slot, amount: f64, wordings: Wordings, chance: &mut Chance) -> Option<(Clause, f64)> {
        let templates: Vec<&str> = wordings.of(self.amounts.get(slot.name())?).collect();
        if templates.is_empty() {
            return None;
        }
        let number = rounded(slot, alike(slot, amount, chance), chance);
        let said: f64 = number.parse().ok().filter(|said| *said > 0.0)?;
        let text = sentence::with_number(chance.of(&templates), &number, chance);
        Some((Clause { form: Form::Phrase, text }, said))
    }
}

/// Returns an amount that is told as this one is. What lies beyond a slot's last point is told as that point, so its
/// number may be any of those.
fn alike(slot: Slot, amount: f64, chance: &mut Chance) -> f64 {
    let [edge, far] = match slot {
        Slot::Blur if amount >= 1.2 => [1.2, 4.0],
        Slot::Sharpening if amount >= 1.2 => [1.2, 3.0],
        Slot::Noise if amount >= 24.0 => [24.0, 60.0],
        Slot::Jpeg if amount <= 35.0 => [35.0, 5.0],
        Slot::Jpeg if amount >= 95.0 => [95.0, 100.0],
        _ => return amount,
    };
    edge + (far - edge) * chance.below(101) as f64 / 100.0
}

/// Writes an amount with as many decimals as people do.
fn rounded(slot: Slot, amount: f64, chance: &mut Chance) -> String {
    let decimals = match slot {
        Slot::Blur | Slot::Sharpening if amount < 0.1 => 2,
        Slot::Blur | Slot::Sharpening => 1 + chance.below(2),
        _ => 0,
    };
    let number = format!("{amount:.decimals$}");
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::sentence::tests::source;
    use std::collections::BTreeSet;

    #[test]
    fn every_level_has_wordings_to_train_on_and_to_hold_back() {
        let language = Language::get();
        for (slot, level) in all_levels() {
            let count = |wordings| language.of_level(slot, level, wordings).len();
            let [training, held_back, all] = [Wordings::Training, Wordings::HeldBack, Wordings::All].map(count);
            let counts = format!("{slot:?} {level}: {training} and {held_back} of {all}");
            assert!(training >= 10 && held_back >= 3 && all >= 18 && training + held_back == all, "{counts}");
            let mut forms = language.level(slot, level).by_form().into_iter();
            assert!(forms.all(|(_, all)| Wordings::Training.of(all).next().is_some()), "{counts}");
        }
        for (slot, least) in [("blur", 12), ("noise", 12), ("jpeg", 12), ("sharpening", 6)] {
            let templates = &language.amounts[slot];
            assert!(templates.len() >= least && templates.iter().all(|text| text.matches("{}").count() == 1));
            assert!(Wordings::Training.of(templates).count() >= 6 && Wordings::HeldBack.of(templates).count() >= 3);
        }
        assert!(language.kinds.len() >= 12);
        for kind in &language.kinds {
            assert!(kind.wordings.len() >= 6 && Wordings::Training.of(&kind.wordings).count() >= 3, "{kind:?}");
            assert!(Wordings::HeldBack.of(&kind.wordings).next().is_some(), "{kind:?}");
        }
    }

    #[test]
    fn no_wording_stands_twice() {
        let language = Language::get();
        let mut seen = BTreeSet::new();
        let levels = all_levels().flat_map(|(slot, level)| language.of_level(slot, level, Wordings::All));
        let amounts = language.amounts.values().flatten().map(String::as_str);
        let kinds = language.kinds.iter().flat_map(|kind| &kind.wordings).map(String::as_str);
        for wording in levels.chain(amounts).chain(kinds) {
            assert!(seen.insert(wording.to_lowercase()), "{wording}");
            assert_eq!(wording.split_whitespace().collect::<Vec<_>>().join(" "), wording);
        }
    }

    #[test]
    fn every_name_in_the_file_is_known() {
        let language = Language::get();
        let slot = |name: &str| Slot::ALL.into_iter().find(|slot| slot.name() == name).unwrap();
        for (name, levels) in &language.levels {
            assert!(levels.keys().all(|level| slot(name).levels().contains(&level.as_str())), "{name}");
        }
        assert!(language.amounts.keys().all(|name| slot(name).unit().is_some()));
        for kind in &language.kinds {
            assert!(kind.sets.parse::<KnownFaults>().unwrap().tells_any(), "{kind:?}");
        }
    }

    #[test]
    fn what_is_held_back_is_not_trained_on() {
        let language = Language::get();
        for (slot, level) in all_levels() {
            let training = language.of_level(slot, level, Wordings::Training);
            assert!(language.of_level(slot, level, Wordings::HeldBack).iter().all(|text| !training.contains(text)));
        }
        // By the hash's definition, for readers in other languages.
        assert!(is_held_back("sharp") && !is_held_back("crisp"));
    }

    #[test]
    fn composed_wordings_are_not_held_back_and_contradict_none() {
        let language = Language::get();
        let listed: Vec<(String, (Slot, usize))> = all_levels()
            .flat_map(|of| language.of_level(of.0, of.1, Wordings::All).into_iter().map(move |text| (text, of)))
            .map(|(text, of)| (text.to_lowercase(), of))
            .collect();
        let mut composed: BTreeMap<String, (Slot, usize)> = BTreeMap::new();
        for (of, clauses) in &language.composed {
            assert!(clauses.len() > 15, "{of:?}: {}", clauses.len());
            assert_eq!(clauses.iter().filter(|clause| clause.text == "it is blurry").count(), 0);
            for clause in clauses {
                let text = clause.text.to_lowercase();
                let twice = composed.insert(text.clone(), *of).filter(|before| before != of);
                assert_eq!(twice, None, "{text}");
                for (_, listed) in listed.iter().filter(|(listed, _)| *listed == text) {
                    assert_eq!(listed, of, "{text}");
                }
                let held_back = language.of_level(of.0, of.1, Wordings::HeldBack);
                assert!(held_back.iter().all(|held_back| !has(&text, held_back)), "{text}");
            }
        }
    }

    #[test]
    fn sentences_contain_what_they_tell() {
        let language = Language::get();
        let mut pick = source(3);
        for _ in 0..1000 {
            let mut tell = KnownFaults::default();
            for slot in Slot::ALL {
                if pick(2) == 0 {
                    tell.set_level(slot, pick(slot.levels().len()));
                }
            }
            let wordings = [Wordings::Training, Wordings::HeldBack][pick(2)];
            let sentence = language.sentence(&tell, false, None, wordings, &mut pick);
            assert_eq!(sentence.told, tell, "{sentence:?}");
            let text = sentence.text.to_lowercase();
            for slot in Slot::ALL {
                let Some(level) = tell.level(slot) else { continue };
                let listed = language.of_level(slot, level, wordings).into_iter();
                let composed = language.composed.get(&(slot, level)).into_iter().flatten();
                let mut all = listed.chain(composed.map(|clause| clause.text.as_str()));
                assert!(all.any(|wording| text.contains(&wording.to_lowercase())), "{slot:?}: {text}");
            }
        }
    }

    #[test]
    fn numbers_parse_back() {
        let language = Language::get();
        let mut pick = source(4);
        let mut words = 0;
        for i in 0..2000 {
            let slot = [Slot::Blur, Slot::Noise, Slot::Jpeg, Slot::Sharpening][i % 4];
            let (_, [least, most]) = slot.unit().unwrap();
            let amount = least + (most - least) * pick(1000) as f64 / 1000.0;
            let mut tell = KnownFaults::default();
            tell.set_amount(slot, amount);
            let content = [None, Some("A brown dog runs on the beach .")][pick(2)];
            let sentence = language.sentence(&tell, true, content, Wordings::All, &mut pick);
            let Some(said) = number_in(&sentence.text) else {
                assert!(amount <= 0.5, "{sentence:?}");
                continue;
            };
            words += usize::from(!sentence.text.contains(|c: char| c.is_ascii_digit()));
            let mut told = KnownFaults::default();
            told.set_amount(slot, said);
            let step = if matches!(slot, Slot::Blur | Slot::Sharpening) { 0.05 } else { 0.5 };
            let [meant, heard] = [&tell, &told].map(|known| known.amount(slot).unwrap());
            assert!((heard - meant).abs() <= step + 1e-4, "{meant} {sentence:?}");
            assert_eq!(sentence.told, told, "{sentence:?}");
        }
        assert!(words > 0);
    }

    /// Returns the number that a sentence says, in figures or in words.
    fn number_in(text: &str) -> Option<f64> {
        let text = text.to_lowercase().replace("255", "");
        let figures = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|part| part.trim_end_matches('.'));
        let word = |word: &str| sentence::NUMBERS.iter().position(|known| *known == word).map(|i| i as f64 + 1.0);
        let mut words = text.split(|c: char| !c.is_alphabetic());
        figures.filter(|part| !part.is_empty()).find_map(|part| part.parse().ok()).or_else(|| words.find_map(word))
    }

    #[test]
    fn kinds_tell_what_they_imply() {
        let language = Language::get();
        let mut pick = source(5);
        for i in 0..500 {
            let wordings = [Wordings::Training, Wordings::HeldBack][i % 2];
            let sentence = language.kind(None, wordings, &mut pick);
            let text = sentence.text.to_lowercase();
            let bare = |wording: &str| sentence::without_article(wording).to_lowercase();
            let said = |kind: &&Kind| wordings.of(&kind.wordings).any(|wording| text.contains(&bare(wording)));
            let of: Vec<KnownFaults> =
                language.kinds.iter().filter(said).map(|kind| kind.sets.parse().unwrap()).collect();
            assert!(of.contains(&sentence.told), "{sentence:?}");
        }
    }
}
