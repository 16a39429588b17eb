//! What a person should know about a job, in sentences: the one place where these are made.

use pdn::AnyPicture;

/// Of a result that is no larger.
const RESIZED: &str = "It becomes no larger than it is: it was resized without the network.";

/// What is to be said of enlarging a picture: what its file has and the result has not; and whether it is only resized, by a
/// model that is a network.
pub(crate) fn notes(picture: &AnyPicture, only_resized: bool) -> Vec<String> {
    let lost = picture.lost().iter().map(|lost| sentence(lost));
    lost.chain(only_resized.then(|| RESIZED.to_owned())).collect()
}

/// Words as a sentence.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_in_sentences() {
        let mut picture = pdn::Picture::from_rgb(1, 1, vec![0; 3]);
        assert_eq!(notes(&picture.clone().into(), false), Vec::<String>::new());
        picture.lost = vec!["its XMP is left out"];
        assert_eq!(notes(&picture.into(), true), ["Its XMP is left out.", RESIZED]);
    }
}
