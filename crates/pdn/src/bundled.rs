//! Bundled models: the networks and the prompt encoder that this project trained.

use crate::encoder::{Encoder, EncoderError, EncoderFile};
use pdn_network::{Model, ModelError};
use std::path::Path;

/// The default network, at any scale, as its result is resized. It is made for photographs as they come, clean or
/// blurred, noisy and compressed, and steered by what is told or seen of that. The other networks undo a blur of 1.3
/// pixels, which few pictures have, and ring without it.
pub const DEFAULT_MODEL: &str = "pdn-photo-x4";

/// Returns the names of the bundled networks.
pub fn bundled_models() -> impl Iterator<Item = &'static str> {
    pdn_weights::MODELS.iter().map(|(name, _)| *name)
}

/// Loads a bundled network by name; `None` if there is none of that name.
///
/// # Errors
/// None with the bundled weights, which the tests load.
pub fn bundled_model(name: &str) -> Option<Result<Model, ModelError>> {
    let (_, bytes) = pdn_weights::MODELS.iter().find(|(known, _)| *known == name)?;
    Some(Model::from_bytes(&Path::new("(bundled)").join(name), bytes))
}

/// Loads the bundled prompt encoder.
///
/// # Errors
/// None with the bundled weights, which the tests load.
pub fn bundled_encoder() -> Result<Encoder, EncoderError> {
    // Shown in messages, as there is no file.
    let path = Path::new("(bundled)/pdn-clip");
    Encoder::new(path, EncoderFile::parse(path, pdn_weights::ENCODER)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{FAULTS_ID, composed_dim};

    #[test]
    fn every_network_opens_and_names_the_encoder() {
        assert!(bundled_models().any(|name| name == DEFAULT_MODEL) && bundled_model("other").is_none());
        let encoder = bundled_encoder().unwrap();
        for name in bundled_models() {
            let model = bundled_model(name).unwrap().unwrap();
            assert!(model.card.name == name && !model.card.license.is_empty(), "{name}");
            let id = model.card.more["encoder"].as_str().unwrap();
            let faults = id.strip_suffix(FAULTS_ID);
            let dim = if faults.is_some() { composed_dim(encoder.dim()) } else { encoder.dim() };
            assert_eq!((model.network.prompt_dim(), faults.unwrap_or(id)), (Some(dim), encoder.id()), "{name}");
            assert_eq!(faults.is_some(), name == DEFAULT_MODEL, "the default is steered by faults");
            let recipe = &model.card.more["recipe"];
            assert_eq!(model.card.more["steps"], recipe["schedule"]["steps"], "{name}: trained to its end");
            assert!(Path::new(recipe["encoder"].as_str().unwrap()).is_relative(), "{name}");
        }
    }

    #[test]
    fn no_module_of_a_network_is_without_effect() {
        for name in bundled_models() {
            let model = bundled_model(name).unwrap().unwrap();
            let activity = model.card.activity().unwrap();
            assert!(activity.prompts >= 300 && activity.modules.len() == model.network.dcms().count(), "{name}");
            for (module, dcm) in activity.modules.iter().zip(model.network.dcms()) {
                let measured = [module.mixture, module.mask, module.bank].map(|figure| figure.is_some());
                let (mixes, masks) = (dcm.mlp.is_some(), dcm.zeta.is_some());
                assert_eq!(measured, [mixes, masks, mixes], "{name}: {module:?}");
                assert!(module.inactive().is_empty(), "{name}: {module:?}");
            }
        }
    }

    #[test]
    fn the_encoder_opens_and_tells_sentences_apart() {
        let encoder = bundled_encoder().unwrap();
        assert!(!encoder.card().license.is_empty() && encoder.id().starts_with("pdn-clip@"));
        let embed = |text: &str| encoder.embed_text(text).unwrap().values;
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let dog = embed("a brown dog running on the beach");
        assert!((cosine(&dog, &dog) - 1.0).abs() < 1e-5);
        let (near, far) = (embed("a dog runs in the sand"), embed("a man climbs a rock wall"));
        assert!(cosine(&dog, &near) > cosine(&dog, &far) + 0.2);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let encoder = bundled_encoder().unwrap();
        assert!(matches!(encoder.embed_text(" \t"), Err(EncoderError::EmptyText)));
        let error = encoder.embed_text(&"dog ".repeat(76)).unwrap_err();
        assert!(matches!(error, EncoderError::LongText { found: 78, limit: 77 }), "{error}");
        assert!(encoder.embed_text(&"dog ".repeat(75)).is_ok());
        // Refused before it is read, whatever its length.
        let endless = "in".repeat(50_000_000);
        assert!(matches!(encoder.embed_text(&endless), Err(EncoderError::ManyBytes { found: 100_000_000, .. })));
        assert!(encoder.truncating().embed_text(&endless).is_ok());
    }
}
