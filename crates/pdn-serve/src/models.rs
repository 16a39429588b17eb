//! The models that a server has, and what is told of each.

use pdn::{Isa, Model, Precision, Upscaler};
use serde::Serialize;
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
const BICUBIC: &str =
    "Smooth enlargement without a network, by MATLAB's bicubic rule: what networks are measured against.";

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
                benchmark: model.card.is_for_benchmarks(),
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
