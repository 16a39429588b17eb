//! Notes about a job for its user, as sentences.

use crate::jobs::job::Order;
use pdn::{AnyPicture, Upscaler};

/// Note about a result that is not larger than the picture.
const RESIZED: &str = "The result is not larger than the picture, so it was resized without the network.";

/// Returns the notes on an order: whether the model suits the picture, whether the network runs at all, and which parts
/// of the picture's file the result lacks.
pub(crate) fn notes(order: &Order, upscaler: &Upscaler, picture: &AnyPicture) -> Vec<String> {
    let only_resized = order.is_network && !order.is_larger();
    let advice = (!only_resized).then(|| upscaler.advice(picture)).flatten();
    let lost = picture.lost().iter().map(|lost| (*lost).to_owned());
    let said = advice.into_iter().chain(only_resized.then(|| RESIZED.to_owned())).chain(lost);
    said.map(|words| sentence(&words)).collect()
}

/// Turns text into a sentence: a capital letter first, and a full stop last.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().filter(|_| !words.starts_with("pdn-"));
    let first = first.map_or_else(|| words.chars().take(1).collect(), |letter| letter.to_uppercase().to_string());
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_sentences() {
        for (words, expected) in [
            ("its XMP is left out", "Its XMP is left out."),
            ("It is so.", "It is so."),
            ("pdn-x4 is for benchmarks", "pdn-x4 is for benchmarks."),
            ("", "."),
        ] {
            assert_eq!(sentence(words), expected);
        }
    }
}
