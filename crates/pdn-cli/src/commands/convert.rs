//! `pdn convert`: converts a model to safetensors in either form, or to ONNX.

use crate::args::{Convert, Form};
use crate::display::progress::interrupted;
use crate::display::say::say;
use crate::display::table::count;
use crate::shared::atomic_file;
use crate::shared::engine::{failure, same_file};
use crate::shared::failure::Failure;
use crate::shared::model::{HASHED, open_or_make};
use crate::shared::outputs::keep_other;
use crate::shared::prompt::{embedding, encoder, hinted};
use pdn::{Embedding, FAULTS_ID, KnownFaults, Model, PromptError, compose, composed_dim, write_atomically};

/// The word that requests an input instead of a sentence.
const INPUT: &str = "input";

pub(crate) fn run(args: &Convert) -> Result<(), Failure> {
    let ending = args.output.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let write = match ending.as_str() {
        "safetensors" => safetensors,
        "onnx" => onnx,
        _ => {
            let message = format!("{}: expected a file name ending in .safetensors or .onnx", args.output.display());
            return Err(Failure::usage(message));
        }
    };
    if same_file(&args.input, &args.output) {
        return Err(Failure::usage(format_args!(
            "{}: would overwrite its own input; choose another output",
            args.output.display()
        )));
    }
    keep_other(&args.output, args.force)?;
    let (bytes, said) = write(args, open_or_make(&args.input, args.scale)?)?;
    if interrupted() {
        return Err(Failure::interrupted());
    }
    atomic_file::write(&args.output, args.force, |path| write_atomically(path, &bytes))?;
    say!("{}: {said}, {} bytes", args.output.display(), count(bytes.len()));
    Ok(())
}

/// Returns the bytes of a model file, and a description.
fn safetensors(args: &Convert, model: Model) -> Result<(Vec<u8>, String), Failure> {
    if args.prompt.is_some() || args.prompt_embedding.is_some() || args.faults.is_some() {
        return Err(Failure::usage("a prompt can only be built into .onnx; remove it"));
    }
    let model = formed(args, model, Form::Train)?;
    let precision = args.precision.unwrap_or_default();
    let rounded = precision.round(&model.network.name_weights(model.weights.clone()));
    if let Some((name, _)) = rounded.iter().find(|(_, tensor)| tensor.data().iter().any(|v| !v.is_finite())) {
        return Err(Failure::at(
            &args.input,
            format_args!("{name} has a value out of range for {precision}; use f32 or bf16"),
        ));
    }
    let form = if model.network.is_deployed() { "modules folded" } else { "as trained" };
    Ok((model.to_bytes(precision), format!("{}, {form}, {precision}", about(&model))))
}

/// Returns the bytes of an ONNX file, and a description.
fn onnx(args: &Convert, model: Model) -> Result<(Vec<u8>, String), Failure> {
    if args.precision.is_some() {
        return Err(Failure::usage("--precision: only .safetensors supports it; ONNX files are written in f32"));
    }
    let prompt = prompt(args, &model)?;
    let model = formed(args, model, Form::Deploy)?;
    let bytes = pdn::onnx(&model, prompt.as_ref()).map_err(|error| failure(&args.input, error))?;
    let inputs = match (model.network.prompt_dim(), prompt) {
        (None, _) => "takes `picture`".to_owned(),
        (Some(dim), None) => format!("takes `picture` and `prompt` of {dim} numbers"),
        (Some(_), Some(embedding)) => format!("takes `picture`, with a prompt by {} built in", embedding.encoder),
    };
    Ok((bytes, format!("{}, {inputs}", about(&model))))
}

/// Returns the model in the requested form, or else in `default`; a folded model stays folded.
fn formed(args: &Convert, model: Model, default: Form) -> Result<Model, Failure> {
    match args.form.unwrap_or(default) {
        Form::Deploy => pdn::deployed(&model).map_err(|error| failure(&args.input, error)),
        Form::Train if args.form.is_some() && model.network.is_deployed() => Err(Failure::at(
            &args.input,
            "its modules are already folded, which cannot be undone; expected the file as trained",
        )),
        Form::Train => Ok(model),
    }
}

/// Returns the prompt to fold in.
fn prompt(args: &Convert, model: &Model) -> Result<Option<Embedding>, Failure> {
    if args.encoder.encoder.is_some() && args.prompt.is_none() {
        return Err(Failure::usage("--encoder: needs a --prompt to build in; add one, or remove --encoder"));
    }
    let given = args.prompt.is_some() || args.prompt_embedding.is_some() || args.faults.is_some();
    if given && model.network.prompt_dim().is_none() {
        return Err(Failure::usage(format_args!("{}: the network takes no prompt; remove it", args.input.display())));
    }
    let composed_by = model.card.more.get("encoder").and_then(|id| id.as_str()).filter(|id| id.ends_with(FAULTS_ID));
    match (&args.prompt, composed_by) {
        (_, None) if args.faults.is_some() => Err(Failure::usage(format_args!("--faults: {}", PromptError::Faults))),
        (Some(text), _) if text == INPUT && args.faults.is_some() => {
            Err(Failure::usage("--faults: can be built in only with a prompt or alone; remove --prompt input"))
        }
        (Some(text), _) if text == INPUT => Ok(None),
        _ if !given => Ok(None),
        (_, Some(id)) => composed(args, id, model.network.prompt_dim().unwrap_or_default()).map(Some),
        (Some(text), None) => {
            let embedded = encoder(&args.encoder)?.embed_text(text);
            embedded.map(Some).map_err(|error| Failure::usage(hinted(&error)))
        }
        (None, None) => args.prompt_embedding.as_deref().map(embedding).transpose(),
    }
}

/// Returns the prompt for a network that is steered by content and faults, whose card names this encoder. There is no
/// picture, so what is not told stays unknown. `dim` is the whole embedding's length.
fn composed(args: &Convert, id: &str, dim: usize) -> Result<Embedding, Failure> {
    let told = args.faults.as_ref().map(|told| told.faults.clone()).unwrap_or_default();
    if let Some(text) = &args.prompt {
        let encoder = encoder(&args.encoder)?;
        let wrong = |error| Failure::usage(hinted(&error));
        let content = encoder.embed_text(text).map_err(wrong)?;
        return Ok(beside(content, &told.or(&encoder.faults_of_text(text).map_err(wrong)?)));
    }
    match args.prompt_embedding.as_deref().map(embedding).transpose()? {
        Some(whole) if whole.encoder.ends_with(FAULTS_ID) && args.faults.is_none() => Ok(whole),
        Some(whole) if whole.encoder.ends_with(FAULTS_ID) => {
            Err(Failure::usage("--faults: the embedding tells faults already; remove the one or the other"))
        }
        Some(content) => Ok(beside(content, &told)),
        None => {
            let content = dim.saturating_sub(composed_dim(0));
            Ok(Embedding { encoder: id.to_owned(), values: compose(None, content, &told) })
        }
    }
}

/// Composes content and faults.
fn beside(content: Embedding, known: &KnownFaults) -> Embedding {
    let Embedding { encoder, values } = content;
    Embedding { encoder: encoder + FAULTS_ID, values: compose(Some(&values), values.len(), known) }
}

fn about(model: &Model) -> String {
    let parameters: usize = model.network.params.iter().map(|param| param.len()).sum();
    let hashed = if model.card.description == HASHED { " with pseudo-random values, not trained" } else { "" };
    format!("{} x{}, {} parameters{hashed}", model.network.architecture, model.network.scale, count(parameters))
}
