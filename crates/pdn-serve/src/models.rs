//! The models that a server has, and what is told of each.

use pdn::{Card, Isa, Model, Precision, Upscaler};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A model that a server has.
#[derive(Debug)]
pub enum Offered {
    /// MATLAB's bicubic, by a whole factor.
    Bicubic(usize),
    /// A network.
    Network(Box<Model>),
}

/// What is said of bicubic, which has no card.
const BICUBIC: &str = "Smooth enlargement without a network, by MATLAB's bicubic rule: what networks are measured against.";

impl Offered {
    /// Compiles it.
    pub(crate) fn open(&self, (isa, precision): (Isa, Precision)) -> Result<Upscaler, pdn::Error> {
        match self {
            Self::Bicubic(scale) => Upscaler::bicubic(*scale),
            Self::Network(model) => Upscaler::with_precision(model, isa, precision),
        }
    }

    /// What is told of it, which needs no compiling; `default` where it is used when none is named.
    pub(crate) fn view(&self, name: &str, default: bool) -> ModelView {
        let name = name.to_owned();
        match self {
            Self::Bicubic(scale) => ModelView {
                name,
                default,
                benchmark: false,
                architecture: "bicubic".into(),
                scale: *scale,
                parameters: None,
                takes_prompt: false,
                description: BICUBIC.into(),
                license: String::new(),
            },
            Self::Network(model) => ModelView {
                name,
                default,
                benchmark: is_for_benchmarks(&model.card),
                architecture: model.network.architecture.to_owned(),
                scale: model.network.scale,
                parameters: Some(model.network.summary().parameters),
                takes_prompt: model.network.prompt_dim().is_some(),
                description: model.card.description.clone(),
                license: model.card.license.clone(),
            },
        }
    }
}

/// Whether a model learned from pictures made small as in benchmarks, by a blur and bicubic, and from no others: of other pictures
/// it sharpens what is no blur.
fn is_for_benchmarks(card: &Card) -> bool {
    let blurs = |name: &Value| name.as_str().is_some_and(|name| name.starts_with("blur-bicubic"));
    match card.more.get("recipe").and_then(|recipe| recipe.get("degradation")) {
        Some(Value::Array(names)) => !names.is_empty() && names.iter().all(blurs),
        Some(name) => blurs(name),
        None => false,
    }
}

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Model)]
pub(crate) struct ModelView {
    /// What requests name it by.
    pub(crate) name: String,
    /// Whether it is used where none is named.
    pub(crate) default: bool,
    /// Whether it undoes what pictures of benchmarks were made small by, and is for no others.
    benchmark: bool,
    architecture: String,
    /// How many times larger a side becomes, where a request says no size.
    pub(crate) scale: usize,
    /// Numbers that were trained; null for bicubic.
    parameters: Option<usize>,
    /// Whether it is steered by a prompt, and has masks.
    pub(crate) takes_prompt: bool,
    /// What it is for.
    description: String,
    license: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn models_of_benchmarks_are_told_by_their_recipe() {
        for (degradation, expected) in [
            (json!("blur-bicubic"), true),
            (json!(["blur-bicubic-float", "blur-bicubic-16"]), true),
            (json!(["blur-bicubic", "practical"]), false),
            (json!([]), false),
            (json!("practical"), false),
            (json!(null), false),
        ] {
            let mut card = Card::default();
            card.more.insert("recipe".into(), json!({"degradation": degradation}));
            assert_eq!(is_for_benchmarks(&card), expected, "{degradation}");
        }
        assert!(!is_for_benchmarks(&Card::default()));
    }
}
