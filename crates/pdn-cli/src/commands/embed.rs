//! `pdn embed`.

use crate::args::Embed;
use crate::display::progress::Progress;
use crate::display::say::{say, tell};
use crate::shared::atomic_file;
use crate::shared::failure::Failure;
use crate::shared::folder::report_of;
use crate::shared::inputs::{Found, longest};
use crate::shared::outputs::{Task, keep_inputs, keep_other};
use crate::shared::prompt::{encoder, hinted};
use pdn::{
    Captions, Content, Embedding, EmbeddingCache, Encoder, FileError, Limits, check_writable, embeddings_to_bytes,
    read_bytes, read_lines,
};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Something to embed.
enum Wanted {
    /// A sentence, and where it comes from.
    Text(String, String),
    Picture(PathBuf),
}

pub(crate) fn run(args: &Embed) -> Result<(), Failure> {
    let encoder = encoder(&args.encoder)?;
    let (wanted, mut failed) = wanted(args, &encoder)?;
    if wanted.is_empty() && failed.is_empty() {
        return Err(Failure::usage("nothing to embed; give pictures, --text or --texts"));
    }
    check_output(args, &wanted)?;
    let cache = if args.no_cache { None } else { open_cache() };
    let progress = Progress::new(wanted.len());
    let begun = AtomicUsize::new(0);
    let embedded = wanted.par_iter().map(|wanted| {
        let go_on = progress.show(begun.fetch_add(1, Ordering::Relaxed), 0.0);
        go_on.then(|| embed(&encoder, cache.as_ref(), wanted))
    });
    let embedded: Vec<Option<Result<_, Failure>>> = embedded.collect();
    drop(progress);
    let (mut named, all) = (Vec::new(), wanted.len() + failed.len());
    for result in embedded {
        match result {
            Some(Ok(one)) => named.push(one),
            Some(Err(failure)) => failed.push(failure),
            None => return Err(Failure::interrupted()),
        }
    }
    if !named.is_empty() {
        let bytes = embeddings_to_bytes(&named);
        atomic_file::write(&args.output, args.force, |path| pdn::write_atomically(path, &bytes))?;
        let cached = match cache.map_or(0, |cache| cache.hits()) {
            0 => String::new(),
            hits => format!(", {hits} of them from the cache"),
        };
        let (path, count) = (args.output.display(), named.len());
        say!("{path}: {count} embeddings of {} by {}{cached}", encoder.dim(), encoder.id());
    }
    report_of(&failed, all, "inputs")
}

/// Rejects an output name with a picture's extension: it is a typo, and overwriting would lose the picture.
fn check_output(args: &Embed, wanted: &[Wanted]) -> Result<(), Failure> {
    let ending = args.output.extension().unwrap_or_default();
    if !ending.eq_ignore_ascii_case("safetensors") {
        let why = format!("{}: expected a file name ending in .safetensors", args.output.display());
        return Err(Failure::usage(why));
    }
    let input = |wanted: &Wanted| match wanted {
        Wanted::Picture(path) => Some(Task { input: path.clone(), output: args.output.clone() }),
        Wanted::Text(..) => None,
    };
    wanted.iter().filter_map(input).try_for_each(|task| keep_inputs(&[task]))?;
    keep_other(&args.output, args.force)?;
    check_writable(&args.output)?;
    Ok(())
}

/// Returns sentences first, then pictures, and the inputs that could not be read. Errors in a typed sentence are
/// reported before any work.
fn wanted(args: &Embed, encoder: &Encoder) -> Result<(Vec<Wanted>, Vec<Failure>), Failure> {
    let mut wanted = Vec::new();
    for text in &args.text {
        encoder.tokens(text).map_err(|error| Failure::usage(hinted(&error)))?;
        wanted.push(Wanted::Text(text.clone(), "--text".into()));
    }
    if let Some(path) = &args.texts {
        wanted.extend(texts(path)?);
    }
    if args.pictures.is_empty() && args.listed.files_from.is_none() {
        return Ok((wanted, Vec::new()));
    }
    let found = Found::named(&args.pictures, &args.listed, None)?;
    found.skipped_files.tell();
    wanted.extend(found.pictures.into_iter().map(|picture| Wanted::Picture(picture.path)));
    Ok((wanted, found.failed))
}

/// Returns the sentences of a text file, or of a file of captions.
fn texts(path: &Path) -> Result<Vec<Wanted>, Failure> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let place = |place: String| format!("{}: {place}", path.display());
    let found: Vec<Wanted> = match ending.as_str() {
        "csv" | "json" => {
            let captions = Captions::read(path).map_err(Failure::failed)?;
            let of = |picture: &pdn::Captioned| {
                let name = place(picture.path.display().to_string());
                picture.captions.iter().map(|text| Wanted::Text(text.clone(), name.clone())).collect::<Vec<_>>()
            };
            captions.entries().iter().flat_map(of).collect()
        }
        _ => {
            let lines = read_lines(path).map_err(Failure::failed)?.into_iter();
            lines.map(|(line, text)| Wanted::Text(text, place(format!("line {line}")))).collect()
        }
    };
    match found.is_empty() {
        true => Err(Failure::at(path, "contains no sentences; expected one per line")),
        false => Ok(found),
    }
}

/// Opens the cache; without one, warns and embeds everything.
fn open_cache() -> Option<EmbeddingCache> {
    let folder = EmbeddingCache::default_folder()?;
    let opened = EmbeddingCache::open(&folder);
    opened.inspect_err(|error| tell!("pdn: {}: cannot use this cache folder: {error}", folder.display())).ok()
}

fn embed(encoder: &Encoder, cache: Option<&EmbeddingCache>, wanted: &Wanted) -> Result<(String, Embedding), Failure> {
    match wanted {
        Wanted::Text(text, place) => {
            let make = || encoder.embed_text(text);
            let made = cached(cache, encoder, Content::Text(text), make);
            let made = made.map_err(|error| Failure::failed(format_args!("{place}: {}", hinted(&error))))?;
            Ok((text.clone(), made))
        }
        Wanted::Picture(path) => Ok((path.display().to_string(), embed_picture(encoder, cache, path)?)),
    }
}

fn embed_picture(encoder: &Encoder, cache: Option<&EmbeddingCache>, path: &Path) -> Result<Embedding, Failure> {
    let look = |picture| encoder.embed_picture(&picture).map_err(|error| Failure::at(path, error));
    // The reader of pictures reports what is wrong with a file that cannot be read.
    let Ok(bytes) = pdn::file::read(path, longest(&Limits::default())) else {
        return look(pdn::read(path, &Limits::default())?);
    };
    cached(cache, encoder, Content::Picture(&bytes), || {
        look(read_bytes(&bytes, &Limits::default()).map_err(|why| FileError { path: path.to_owned(), why })?)
    })
}

fn cached<E>(
    cache: Option<&EmbeddingCache>,
    encoder: &Encoder,
    content: Content<'_>,
    make: impl FnOnce() -> Result<Embedding, E>,
) -> Result<Embedding, E> {
    match cache {
        Some(cache) => cache.get_or(encoder.id(), content, make),
        None => make(),
    }
}
