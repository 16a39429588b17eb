//! How wordings of faults and a caption become a sentence.

/// Chance, from a function that returns a number below the one it is given.
pub(super) struct Chance<'a>(pub &'a mut dyn FnMut(usize) -> usize);

impl Chance<'_> {
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.0)(count)
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }

    fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Where a wording fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Into "a ___ photo", and after "it is ___".
    Adjective,
    /// After "with ___", "it has ___" and a comma.
    Thing,
    /// After a comma.
    Phrase,
}

/// A wording of one slot.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub form: Form,
    pub text: String,
}

/// Whole numbers from 1, as words.
pub(super) const NUMBERS: [&str; 12] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

const NOUNS: [&str; 7] = ["photo", "photo", "picture", "image", "shot", "snapshot", "photograph"];

impl Clause {
    fn denies(&self) -> bool {
        const STARTS: [&str; 8] = ["no ", "not ", "without ", "zero ", "never", "isn't ", "free of ", "nothing "];
        STARTS.iter().any(|start| self.text.starts_with(start)) || self.text.contains("n't ")
    }

    /// Whether "and" between the two leaves their meaning: "slightly blurry and noisy" says that both are slight, and
    /// "no noise and halos" that there is neither.
    fn joins(&self, next: &Self) -> bool {
        let words = |clause: &Self| clause.text.split(' ').count();
        self.form == next.form && !self.denies() && (words(self) == 1 || words(next) > 1)
    }
}

/// A caption, made ready to be part of a sentence.
struct Content {
    /// Without an end, as it begins a sentence.
    text: String,
    /// The same within a sentence.
    inner: String,
    /// Whether it has a verb, so that "a photo of" does not fit before it.
    is_clause: bool,
}

impl Content {
    /// Returns `None` for a caption without words.
    fn new(caption: &str) -> Option<Self> {
        let mut text = caption.split_whitespace().collect::<Vec<_>>().join(" ");
        for mark in [",", ".", ";", ":", "!", "?", "'s"] {
            text = text.replace(&format!(" {mark}"), mark);
        }
        let text = text.trim_end_matches(['.', ' ', ',', ';', ':', '!', '?']).to_owned();
        let first = text.split(' ').next().filter(|first| !first.is_empty())?;
        let inner = match is_common(&first.to_lowercase()) {
            true => text.replacen(first, &first.to_lowercase(), 1),
            false => text.clone(),
        };
        let is_clause = is_clause(&inner);
        Some(Self { text, inner, is_clause })
    }
}

/// Whether a caption's first word is no name, so that it is written small within a sentence.
fn is_common(word: &str) -> bool {
    const WORDS: &str = "a an the one two three four five six several some many few people men women children kids \
                         man woman boy girl dog cat person someone group young old little small large big there this \
                         that these those his her our their my in on at close inside overhead";
    WORDS.split(' ').any(|common| common == word)
}

/// Whether a caption has a verb, as far as a short look finds it: "a dog runs on grass" has one, "a dog on grass" none.
fn is_clause(caption: &str) -> bool {
    let words: Vec<&str> = caption.split(' ').collect();
    if words.iter().any(|word| ["is", "are", "was", "were", "has", "have", "there"].contains(word)) {
        return true;
    }
    let ends = ["of", "in", "on", "at", "with", "by", "and", "from", "to", "near", "over", "under", "for", "while"];
    let singular = ["a", "an", "the", "one"].contains(&words[0]);
    let before = words.iter().take_while(|word| !ends.contains(word) && !word.ends_with("ing"));
    singular && before.skip(2).any(|word| word.ends_with('s') && !word.ends_with("ss"))
}

/// Returns a sentence about a caption with these clauses, one of each slot told.
pub(super) fn about(clauses: Vec<Clause>, caption: Option<&str>, chance: &mut Chance) -> String {
    let content = caption.and_then(Content::new);
    if clauses.is_empty() {
        return if content.is_some() { caption.unwrap_or_default().to_owned() } else { "a photo".to_owned() };
    }
    let text = match (chance.below(8), &content) {
        (0..3, _) => picture(clauses, content.as_ref(), chance),
        (3, None) => statement(clauses, chance),
        (3, Some(content)) => match chance.once_in(3) {
            true => format!("{}: {}", statement(clauses, chance), content.inner),
            false => format!("{}. {}", content.text, capital(&statement(clauses, chance))),
        },
        (_, None) => list(&clauses, chance),
        (4 | 5, Some(content)) => after(&clauses, content, chance),
        (_, Some(content)) => before(&list(&clauses, chance), content, chance),
    };
    finish(&filled(text, chance), chance)
}

/// Returns a sentence about a caption with a kind of picture, such as "an old scan".
pub(super) fn of_kind(wording: &str, caption: Option<&str>, chance: &mut Chance) -> String {
    let wording = if chance.once_in(3) { without_article(wording) } else { wording };
    let text = match (caption.and_then(Content::new), chance.below(4)) {
        (None, _) => wording.to_owned(),
        (Some(content), 0) => format!("{}, {wording}", content.text),
        (Some(content), 1) => format!("{}. {}", content.text, capital(wording)),
        (Some(content), 2) if !content.is_clause && wording.split(' ').count() < 5 => {
            format!("{wording} of {}", content.inner)
        }
        (Some(content), _) => format!("{wording}: {}", content.inner),
    };
    finish(&filled(text, chance), chance)
}

/// Fills a template's `{}` with a number, now and then in words.
pub(super) fn with_number(template: &str, number: &str, chance: &mut Chance) -> String {
    let alone = template.split(' ').any(|word| word == "{}");
    let word = number.parse::<usize>().ok().and_then(|number| NUMBERS.get(number.checked_sub(1)?));
    let said = match word {
        Some(word) if alone && chance.once_in(4) => word,
        _ => number,
    };
    let template = match number {
        "1" => template.replace("{} pixels", "{} pixel").replace("{} levels", "{} level"),
        _ => template.to_owned(),
    };
    template.replace("{}", said)
}

/// "a slightly blurry photo of a dog, some noise".
fn picture(mut clauses: Vec<Clause>, content: Option<&Content>, chance: &mut Chance) -> String {
    let most = if chance.once_in(4) { 2 } else { 1 };
    let mut adjectives = Vec::new();
    while let Some(at) = clauses.iter().position(|clause| clause.form == Form::Adjective) {
        if adjectives.len() == most {
            break;
        }
        adjectives.push(clauses.remove(at).text);
    }
    let noun = chance.of(&NOUNS);
    let mut text = match adjectives.is_empty() {
        true => noun.to_owned(),
        false => format!("{} {noun}", adjectives.join(", ")),
    };
    if !chance.once_in(3) {
        text = format!("{} {text}", article(&text));
    }
    match content {
        Some(content) if content.is_clause => text += &format!(": {}", content.inner),
        Some(content) => text += &format!(" of {}", content.inner),
        None => {}
    }
    attach(text, &clauses, chance)
}

/// "a photo of a dog" + " with some noise" + ", slightly blurry".
fn attach(mut text: String, clauses: &[Clause], chance: &mut Chance) -> String {
    for (i, clause) in clauses.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| &clauses[i]);
        text += match (clause.form, before) {
            (Form::Thing, None) if !chance.once_in(3) => " with ",
            (_, Some(before)) if i + 1 == clauses.len() && before.joins(clause) => " and ",
            _ => ", ",
        };
        text += &clause.text;
    }
    text
}

/// "the picture is slightly blurry and has some noise"; a list where that does not fit.
fn statement(clauses: Vec<Clause>, chance: &mut Chance) -> String {
    let of = |form| clauses.iter().filter(move |clause| clause.form == form).collect::<Vec<_>>();
    let [adjectives, things, phrases] = [Form::Adjective, Form::Thing, Form::Phrase].map(of);
    if adjectives.is_empty() && things.is_empty() {
        return list(&clauses, chance);
    }
    let noun = chance.of(&NOUNS);
    let (subject, verb) = match chance.below(6) {
        0 | 1 => (format!("the {noun} "), "is"),
        2 => (format!("the {noun} "), "looks"),
        3 => (format!("this {noun} "), "is"),
        4 => ("it ".to_owned(), "is"),
        _ => (String::new(), "looks"),
    };
    let mut parts = Vec::new();
    if !adjectives.is_empty() {
        parts.push(format!("{verb} {}", series(&adjectives)));
    }
    if !things.is_empty() {
        parts.push(format!("has {}", series(&things)));
    }
    let mut text = subject + &parts.join(" and ");
    phrases.iter().for_each(|phrase| text += &format!(", {}", phrase.text));
    text
}

/// "slightly blurry, very noisy and heavily compressed".
fn series(clauses: &[&Clause]) -> String {
    let mut text = String::new();
    for (i, clause) in clauses.iter().enumerate() {
        if i > 0 {
            text += if i + 1 == clauses.len() && clauses[i - 1].joins(clause) { " and " } else { ", " };
        }
        text += &clause.text;
    }
    text
}

/// Returns the clauses alone, between commas, semicolons or full stops.
fn list(clauses: &[Clause], chance: &mut Chance) -> String {
    let between = chance.of(&[", ", ", ", ", ", ", ", "; ", ". "]);
    let mut text = String::new();
    for (i, clause) in clauses.iter().enumerate() {
        let joins = |before: &Clause| i + 1 == clauses.len() && before.joins(clause);
        match i.checked_sub(1).map(|before| joins(&clauses[before])) {
            None => {}
            Some(true) if chance.once_in(2) => text += " and ",
            Some(_) => text += between,
        }
        text += &if text.ends_with(". ") { capital(&clause.text) } else { clause.text.clone() };
    }
    text
}

/// The caption, then the clauses.
fn after(clauses: &[Clause], content: &Content, chance: &mut Chance) -> String {
    if chance.once_in(3) {
        return attach(content.text.clone(), clauses, chance);
    }
    match chance.of(&[", ", ", ", ", ", "; ", ". ", " - "]) {
        ". " => format!("{}. {}", content.text, capital(&list(clauses, chance))),
        between => format!("{}{between}{}", content.text, list(clauses, chance)),
    }
}

/// The clauses, then the caption.
fn before(clauses: &str, content: &Content, chance: &mut Chance) -> String {
    match chance.of(&[": ", ", ", ". ", " - ", "; "]) {
        ". " => format!("{clauses}. {}", content.text),
        between => format!("{clauses}{between}{}", content.inner),
    }
}

/// Puts before some sentences what people put there.
fn filled(text: String, chance: &mut Chance) -> String {
    const FILLERS: [&str; 7] =
        ["please fix: ", "please restore: ", "upscale this: ", "upscale: ", "my picture: ", "input: ", "prompt: "];
    let begins = ["a ", "an "].iter().any(|article| text.starts_with(article));
    if begins && chance.once_in(4) {
        return format!("{}{text}", chance.of(&["this is ", "it is ", "it's ", "here is "]));
    }
    match chance.once_in(12) {
        true => format!("{}{text}", chance.of(&FILLERS)),
        false => text,
    }
}

/// Varies letter case and the end.
fn finish(text: &str, chance: &mut Chance) -> String {
    let end = match chance.below(12) {
        0..7 => "",
        7..11 => ".",
        _ => "!",
    };
    let text = format!("{text}{end}");
    match chance.below(40) {
        0..18 => text,
        18..34 => capital(&text),
        34..39 => text.to_lowercase(),
        _ => text.to_uppercase(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

fn article(text: &str) -> &'static str {
    if text.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O']) { "an" } else { "a" }
}

/// "old scan" of "an old scan".
pub(super) fn without_article(text: &str) -> &str {
    text.strip_prefix("a ").or_else(|| text.strip_prefix("an ")).unwrap_or(text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::faults::{KnownFaults, Language, Slot, Wordings};

    /// Returns a source of chance.
    pub(in crate::faults) fn source(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed;
        move |count| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % count as u64) as usize
        }
    }

    const CAPTIONS: [Option<&str>; 7] = [
        None,
        None,
        Some("A brown dog runs on the beach ."),
        Some("two men , one in a hat , playing chess"),
        Some("The Eiffel Tower at night."),
        Some("Eiffel Tower at night"),
        Some("A man 's  hat\nis on fire !"),
    ];

    #[test]
    fn sentences_read_well() {
        let mut pick = source(1);
        for _ in 0..1000 {
            let mut tell = KnownFaults::default();
            while !tell.tells_any() {
                let tells = |slot: &Slot| tell_some(*slot, &mut tell, &mut pick);
                Slot::ALL.iter().for_each(tells);
            }
            let content = CAPTIONS[pick(CAPTIONS.len())];
            let sentence = match pick(6) {
                0 => Language::get().kind(content, Wordings::All, &mut pick),
                _ => Language::get().sentence(&tell, pick(2) == 0, content, Wordings::All, &mut pick),
            };
            let text = &sentence.text;
            assert!(!text.is_empty() && text.trim() == text, "{text:?}");
            for wrong in
                ["  ", " ,", " .", ",,", "..", ".,", ",.", ":,", "!,", "!.", "{", "\n", " a a", " an a ", "with with"]
            {
                assert!(!text.to_lowercase().contains(wrong), "{text:?} has {wrong:?}");
            }
        }
    }

    fn tell_some(slot: Slot, tell: &mut KnownFaults, pick: &mut impl FnMut(usize) -> usize) {
        if pick(2) == 0 {
            tell.set_level(slot, pick(slot.levels().len()));
        }
    }

    #[test]
    fn nothing_told_is_the_caption_alone() {
        let language = Language::get();
        let say = |content| language.sentence(&KnownFaults::default(), true, content, Wordings::All, &mut source(2));
        assert_eq!(say(Some("A dog .")).text, "A dog .");
        assert_eq!(say(None).text, "a photo");
        assert_eq!(say(Some(" . ")).text, "a photo");
        assert!(!say(None).told.tells_any());
    }

    #[test]
    fn captions_with_a_verb_are_told_from_those_without() {
        for clause in ["a brown dog runs on the beach", "two men are here", "the cat sits in a box"] {
            assert!(is_clause(clause), "{clause}");
        }
        for noun in ["a group of dogs", "two dogs", "a man wearing glasses", "Eiffel Tower at night", "a glass"] {
            assert!(!is_clause(noun), "{noun}");
        }
    }

    #[test]
    fn and_keeps_the_meaning() {
        let clause = |text: &str| Clause { form: Form::Adjective, text: text.to_owned() };
        for (first, second, joins) in [
            ("blurry", "noisy", true),
            ("slightly blurry", "noisy", false),
            ("slightly blurry", "very noisy", true),
            ("not blurry", "very noisy", false),
        ] {
            assert_eq!(clause(first).joins(&clause(second)), joins, "{first} and {second}");
        }
    }

    #[test]
    fn numbers_fit_their_templates() {
        let mut never = |count: usize| count - 1;
        let mut chance = Chance(&mut never);
        assert_eq!(with_number("blurred by {} pixels", "1", &mut chance), "blurred by 1 pixel");
        assert_eq!(with_number("blurred by {} pixels", "0.4", &mut chance), "blurred by 0.4 pixels");
        let mut always = |_: usize| 0;
        let mut chance = Chance(&mut always);
        assert_eq!(with_number("{} px blur", "2", &mut chance), "two px blur");
        assert_eq!(with_number("jpeg q{}", "2", &mut chance), "jpeg q2");
    }
}
