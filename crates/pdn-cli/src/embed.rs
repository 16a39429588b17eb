//! `pdn embed`.

use crate::args::Embed;
use crate::failure::Failure;
use crate::folder::report;
use crate::progress::Progress;
use crate::prompt::encoder;
use pdn::{Limits, embeddings_to_bytes};
use std::path::Path;

pub(crate) fn run(args: &Embed) -> Result<(), Failure> {
    if args.text.is_empty() && args.pictures.is_empty() {
        return Err(Failure::usage("nothing to embed: expected pictures, or --text"));
    }
    let encoder = encoder(&args.encoder)?;
    let mut named = Vec::new();
    for text in &args.text {
        named.push((text.clone(), encoder.embed_text(text).map_err(Failure::usage)?));
    }
    let progress = Progress::new(args.pictures.len());
    let mut failed = Vec::new();
    for (i, path) in args.pictures.iter().enumerate() {
        if !progress.show(i, 0.0) {
            return Err(Failure::interrupted());
        }
        match embed(&encoder, path) {
            Ok(embedding) => named.push((path.display().to_string(), embedding)),
            Err(error) => failed.push(error),
        }
    }
    drop(progress);
    if !named.is_empty() {
        pdn::write_atomically(&args.output, &embeddings_to_bytes(&named))?;
        println!("{}: {} embeddings of {} by {}", args.output.display(), named.len(), encoder.dim(), encoder.id());
    }
    report(&failed, args.pictures.len())
}

fn embed(encoder: &pdn::Encoder, path: &Path) -> Result<pdn::Embedding, Failure> {
    let picture = pdn::read(path, &Limits::default())?;
    encoder.embed_picture(&picture).map_err(|error| Failure::at(path, error))
}
