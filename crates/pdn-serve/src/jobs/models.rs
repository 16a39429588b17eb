//! The models that a server has, and what is told of each.

use pdn::{Isa, Model, Precision, Upscaler};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use utoipa::ToSchema;

/// A model that a server has.
#[derive(Debug)]
pub enum Offered {
    /// MATLAB's bicubic, by a whole factor.
    Bicubic(usize),
    /// A network.
    Network(Box<Model>),
}

/// The models of a server, each compiled when it is first asked for, once for all workers.
pub(crate) struct Models {
    models: Vec<(Offered, Mutex<Option<Upscaler>>)>,
    target: (Isa, Precision),
}

impl Models {
    pub(crate) fn new(offered: Vec<Offered>, target: (Isa, Precision)) -> Self {
        Self { models: offered.into_iter().map(|model| (model, Mutex::default())).collect(), target }
    }

    /// Whether a model is a network.
    pub(crate) fn is_network(&self, model: usize) -> bool {
        matches!(self.models[model].0, Offered::Network(_))
    }

    /// A model, compiled.
    pub(crate) fn upscaler(&self, model: usize) -> Result<Upscaler, pdn::Error> {
        let (offered, compiled) = &self.models[model];
        // One that broke as it was compiled left nothing.
        let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upscaler) = &*compiled {
            return Ok(upscaler.clone());
        }
        let upscaler = offered.open(self.target)?;
        Ok(compiled.insert(upscaler).clone())
    }
}

/// What is said of bicubic, which has no card.
const BICUBIC: &str =
    "Smooth enlargement without a network, by MATLAB's bicubic rule: what networks are measured against.";

impl Offered {
    /// Compiles it.
    fn open(&self, (isa, precision): (Isa, Precision)) -> Result<Upscaler, pdn::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_model_is_compiled_once_for_all() {
        let network = pdn::zoo::build("imdn", &serde_json::json!({"scale": 2, "features": 16, "blocks": 1})).unwrap();
        let weights = pdn::hashed::weights(&network);
        let model = Model { network, weights, card: pdn::Card::default(), source: None };
        let target = (Isa::best(), Precision::F32);
        let models = Models::new(vec![Offered::Bicubic(3), Offered::Network(Box::new(model))], target);
        assert!(!models.is_network(0) && models.is_network(1));
        assert_eq!(models.upscaler(0).unwrap().scale(), 3);
        let plan = || models.upscaler(1).unwrap().plan().cloned().unwrap();
        assert!(Arc::ptr_eq(&plan(), &plan()));
    }
}
