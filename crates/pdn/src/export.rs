//! Exports of a model: folded for deployment, or as ONNX for other runtimes.

use crate::encoder::Embedding;
use crate::error::Error;
use crate::session::unit;
use crate::upscaler::{check_encoder, encoder_of};
use pdn_engine::fold::{fold, fold_prompt};
use pdn_network::{Model, onnx};

/// Returns the model with its modules folded where that pays: smaller and faster, with the same pixels up to rounding.
/// The engine folds what it runs by itself.
///
/// # Errors
/// [`pdn_engine::RunError::Fold`] if folding yields a number beyond float32.
pub fn deployed(model: &Model) -> Result<Model, Error> {
    let (network, weights) = fold(&model.network, &model.weights)?;
    Ok(Model { network, weights, ..model.clone() })
}

/// Returns the bytes of an ONNX file ([`pdn_network::onnx`] describes its inputs and outputs), with modules in their
/// current form. With an embedding, the network is specialised to that prompt: kernels mixed and constants computed.
/// Without one, a network that takes a prompt has an input for it.
///
/// # Errors
/// [`Error::EncoderMismatch`] if the embedding comes from another encoder than the model's,
/// [`pdn_engine::RunError::Prompt`] if the model takes no prompt, [`Error::Onnx`] beyond 2 GB.
pub fn onnx(model: &Model, prompt: Option<&Embedding>) -> Result<Vec<u8>, Error> {
    let mut metadata = vec![model.card_entry()];
    let Some(embedding) = prompt else { return Ok(onnx::write(&model.network, &model.weights, &metadata)?) };
    check_encoder(encoder_of(model).as_deref(), embedding)?;
    let (network, weights) = fold_prompt(&model.network, &model.weights, &unit(&embedding.values)?)?;
    metadata.push(("prompt", format!("folded in, an embedding by {}", embedding.encoder)));
    Ok(onnx::write(&network, &weights, &metadata)?)
}
