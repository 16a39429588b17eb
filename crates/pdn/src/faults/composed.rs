//! Wordings that are composed: of a word and a grade, as "a bit grainy", or of two words, as "coarse grain".

use crate::faults::sentence::{Clause, Form};
use serde::Deserialize;

/// The words of a slot that has grades.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    adjectives: Vec<String>,
    things: Vec<String>,
    plurals: Vec<String>,
    /// Adjectives for the absence of it all.
    #[serde(default)]
    opposites: Vec<String>,
}

/// Templates with `{}` for a word, all of one grade.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grade {
    #[serde(default)]
    adjectives: Vec<String>,
    predicates: Vec<String>,
    things: Vec<String>,
    #[serde(default)]
    mass: Vec<String>,
    phrases: Vec<String>,
    opposites: Vec<String>,
}

/// Composes every word with every template that it fits.
pub(super) fn composed(words: &Words, grade: &Grade) -> Vec<Clause> {
    [
        filled(Form::Adjective, &grade.adjectives, &words.adjectives),
        filled(Form::Phrase, &grade.predicates, &words.adjectives),
        filled(Form::Thing, &grade.things, &words.things),
        filled(Form::Thing, &grade.things, &words.plurals),
        filled(Form::Thing, &grade.mass, &words.things),
        filled(Form::Phrase, &grade.phrases, &words.things),
        filled(Form::Phrase, &grade.phrases, &words.plurals),
        filled(Form::Phrase, &grade.opposites, &words.opposites),
    ]
    .concat()
}

fn filled(form: Form, templates: &[String], words: &[String]) -> Vec<Clause> {
    let fill = |word: &String| templates.iter().map(|text| text.replace("{}", word)).collect::<Vec<_>>();
    words.iter().flat_map(fill).map(|text| Clause { form, text }).collect()
}

/// The words of one level, to be put together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pairs {
    /// Words before a thing, as "coarse" before "grain".
    words: Vec<String>,
    things: Vec<String>,
    /// Adjectives of the picture, as "jagged".
    #[serde(default)]
    adjectives: Vec<String>,
    /// Things that need no word, as "aliasing".
    #[serde(default)]
    alone: Vec<String>,
    /// What comes before a word in a sentence, as "the grain is".
    #[serde(default)]
    subjects: Vec<String>,
    /// The level that the absence of it all means.
    pub denied: Option<String>,
}

impl Pairs {
    /// Tells each.
    pub(super) fn told(&self) -> impl Iterator<Item = Clause> {
        let things = self.all_things().map(|text| (Form::Thing, text));
        let adjectives = self.adjectives.iter().map(|text| (Form::Adjective, text.clone()));
        let sentences = self.said("").map(|text| (Form::Phrase, text));
        things.chain(adjectives).chain(sentences).map(|(form, text)| Clause { form, text })
    }

    /// Denies each.
    pub(super) fn denials(&self) -> impl Iterator<Item = Clause> {
        let no = |text: String| {
            [
                (Form::Thing, "no "),
                (Form::Phrase, "without "),
                (Form::Phrase, "without any "),
                (Form::Phrase, "free of "),
            ]
            .map(|(form, no)| Clause { form, text: format!("{no}{text}") })
        };
        let not = |text: &String| {
            ["not ", "isn't ", "not at all "].map(|no| Clause { form: Form::Phrase, text: format!("{no}{text}") })
        };
        let sentences = self.said("not ").map(|text| Clause { form: Form::Phrase, text });
        self.all_things().flat_map(no).chain(self.adjectives.iter().flat_map(not)).chain(sentences)
    }

    fn all_things(&self) -> impl Iterator<Item = String> {
        let pairs = self.words.iter().flat_map(|word| self.things.iter().map(move |thing| format!("{word} {thing}")));
        pairs.chain(self.alone.iter().cloned())
    }

    fn said(&self, no: &'static str) -> impl Iterator<Item = String> {
        self.subjects.iter().flat_map(move |subject| self.words.iter().map(move |word| format!("{subject} {no}{word}")))
    }
}
