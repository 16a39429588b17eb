//! Degradations during training: a single one, or several drawn at random.

use pdn_image::Degradation;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// In a recipe, a name or a list of names: each patch gets one of them, drawn with equal chance. The first is used for
/// held-out pictures and for the embeddings of views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Names", into = "Names")]
pub struct Degradations {
    first: Degradation,
    others: Vec<Degradation>,
}

impl Degradations {
    /// Returns the degradation of held-out pictures.
    pub fn first(&self) -> Degradation {
        self.first
    }

    /// Draws a degradation. A single one needs no draw and leaves `random` unchanged.
    pub(crate) fn draw(&self, random: &mut StdRng) -> Degradation {
        match self.others.len() {
            0 => self.first,
            others => self.others.get(random.random_range(0..=others)).copied().unwrap_or(self.first),
        }
    }
}

impl From<Degradation> for Degradations {
    fn from(first: Degradation) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// The names as written.
#[derive(Deserialize, Serialize)]
#[serde(untagged, expecting = "degradation: expected a name or a list of names")]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl TryFrom<Names> for Degradations {
    type Error = String;

    fn try_from(names: Names) -> Result<Self, String> {
        let names = match names {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        };
        let mut all = names.iter().map(|name| name.parse());
        let first = all.next().ok_or("degradation: the list is empty; expected at least one name")??;
        Ok(Self { first, others: all.collect::<Result<_, _>>()? })
    }
}

impl From<Degradations> for Names {
    fn from(Degradations { first, others }: Degradations) -> Self {
        match others.is_empty() {
            true => Self::One(first.to_string()),
            false => Self::Several(std::iter::once(first).chain(others).map(|one| one.to_string()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_name_or_a_list_is_read_and_written_as_it_was() {
        for written in [r#""practical""#, r#"["blur-bicubic-16","bicubic"]"#] {
            let read: Degradations = serde_json::from_str(written).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), written);
        }
        for (written, said) in [
            (r#""blur-bicubc""#, "unknown degradation `blur-bicubc`"),
            (r#"["bicubic", "blur"]"#, "unknown degradation `blur`"),
            ("[]", "the list is empty"),
            ("4", "expected a name or a list of names"),
        ] {
            let error = serde_json::from_str::<Degradations>(written).unwrap_err().to_string();
            assert!(error.contains(said), "{written}: {error}");
        }
    }

    #[test]
    fn each_is_drawn_as_often_and_one_alone_without_chance() {
        let random = &mut StdRng::seed_from_u64(1);
        let three: Degradations = serde_json::from_str(r#"["blur-bicubic", "bicubic", "blur-bicubic-16"]"#).unwrap();
        let drawn: Vec<Degradation> = (0..3000).map(|_| three.draw(random)).collect();
        for one in [Degradation::BlurBicubic, Degradation::Bicubic, Degradation::BlurBicubic16] {
            let count = drawn.iter().filter(|drawn| **drawn == one).count();
            assert!((900..1100).contains(&count), "{one}: {count}");
        }
        let [mut drawn, mut untouched] = [(); 2].map(|()| StdRng::seed_from_u64(2));
        assert_eq!(Degradations::from(Degradation::Bicubic).draw(&mut drawn), Degradation::Bicubic);
        assert_eq!(drawn.random_range(0..u64::MAX), untouched.random_range(0..u64::MAX));
    }
}
