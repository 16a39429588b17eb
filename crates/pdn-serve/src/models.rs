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

impl Offered {
    /// Compiles it.
    pub(crate) fn open(&self, (isa, precision): (Isa, Precision)) -> Result<Upscaler, pdn::Error> {
        match self {
            Self::Bicubic(scale) => Upscaler::bicubic(*scale),
            Self::Network(model) => Upscaler::with_precision(model, isa, precision),
        }
    }

    /// What is told of it.
    pub(crate) fn view(&self, name: &str, upscaler: &Upscaler) -> ModelView {
        let (architecture, card) = match self {
            Self::Bicubic(_) => ("bicubic", None),
            Self::Network(model) => (model.network.architecture, Some(&model.card)),
        };
        let text = |part: Option<&String>| part.cloned().unwrap_or_default();
        ModelView {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            scale: upscaler.scale(),
            parameters: upscaler.plan().map(|plan| plan.summary().parameters),
            takes_prompt: upscaler.takes_prompt(),
            description: text(card.map(|card| &card.description)),
            license: text(card.map(|card| &card.license)),
        }
    }
}

/// A model: the first of the list is used where none is named.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Model)]
pub(crate) struct ModelView {
    /// What requests name it by.
    pub(crate) name: String,
    architecture: String,
    /// How many times larger a side becomes.
    pub(crate) scale: usize,
    /// Numbers that were trained; null for bicubic.
    parameters: Option<usize>,
    /// Whether it is steered by a prompt, and has masks.
    pub(crate) takes_prompt: bool,
    description: String,
    license: String,
}
