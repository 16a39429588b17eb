//! The server's models and their descriptions.

use pdn::{FAULTS_ID, Isa, Model, Precision, Upscaler};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use utoipa::ToSchema;

/// A model to serve.
#[derive(Debug)]
pub enum Offered {
    /// MATLAB's bicubic, by a whole factor.
    Bicubic(usize),
    /// A network.
    Network(Box<Model>),
}

/// The models of a server, each compiled on first use and shared by all workers.
pub(crate) struct Models {
    models: Vec<(Offered, Mutex<Option<Upscaler>>)>,
    target: (Isa, Precision),
}

impl Models {
    pub(crate) fn new(offered: Vec<Offered>, target: (Isa, Precision)) -> Self {
        Self { models: offered.into_iter().map(|model| (model, Mutex::default())).collect(), target }
    }

    /// Returns whether a model is a network.
    pub(crate) fn is_network(&self, model: usize) -> bool {
        matches!(self.models[model].0, Offered::Network(_))
    }

    /// Returns a compiled model.
    pub(crate) fn upscaler(&self, model: usize) -> Result<Upscaler, pdn::Error> {
        let (offered, compiled) = &self.models[model];
        // A panic while compiling leaves nothing behind.
        let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upscaler) = &*compiled {
            return Ok(upscaler.clone());
        }
        let upscaler = offered.open(self.target)?;
        Ok(compiled.insert(upscaler).clone())
    }
}

/// The description of bicubic, which has no card.
const BICUBIC: &str =
    "Smooth upscaling without a network, by MATLAB's bicubic rule: what networks are measured against.";

impl Offered {
    /// Compiles the model.
    fn open(&self, (isa, precision): (Isa, Precision)) -> Result<Upscaler, pdn::Error> {
        match self {
            Self::Bicubic(scale) => Upscaler::bicubic(*scale),
            Self::Network(model) => Upscaler::with_precision(model, isa, precision),
        }
    }

    /// Returns the model's description, which needs no compiling; `default` if requests that name no model use it.
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
                hears_faults: false,
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
                hears_faults: hears_faults(model),
                description: model.card.description.clone(),
                license: model.card.license.clone(),
            },
        }
    }
}

/// Returns whether a network is steered by faults, as [`Upscaler::hears_faults`] does, without compiling it.
fn hears_faults(model: &Model) -> bool {
    let encoder = model.card.more.get("encoder").and_then(|id| id.as_str());
    model.network.dcms().next().is_some() && encoder.is_some_and(|id| id.ends_with(FAULTS_ID))
}

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Model)]
pub(crate) struct ModelView {
    /// The name that requests use.
    pub(crate) name: String,
    /// Whether requests that name no model use it.
    pub(crate) default: bool,
    /// Whether it undoes the degradation of benchmark pictures, and is not for others.
    benchmark: bool,
    architecture: String,
    /// Scale factor if a request gives no size.
    pub(crate) scale: usize,
    /// Number of trained parameters; null for bicubic.
    parameters: Option<usize>,
    /// Whether it takes a prompt and has masks.
    pub(crate) takes_prompt: bool,
    /// Whether it is steered by faults, too: told ones, and those that the picture shows.
    pub(crate) hears_faults: bool,
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
