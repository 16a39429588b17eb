//! Pictures to learn super-resolution from, with the prompts that go with each.

use crate::data::{DataError, read_picture};
use crate::embed::BatchEncoder;
use pdn_image::{Degradation, Picture};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A folder below the data folder: plain pictures, or pictures beside a `captions.json` or `captions.csv`.
    pub folder: PathBuf,
    /// How often a picture is drawn from here, beside the other sources.
    pub weight: f64,
    /// How many pictures, the last by name, are held back to measure on.
    #[serde(default)]
    pub held_back: usize,
}

/// A picture, its degraded form, and the embeddings of what may be said of it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The file's name.
    pub name: String,
    /// The picture, its sides multiples of the scale.
    pub high: Picture,
    /// The picture degraded.
    pub low: Picture,
    /// Embeddings of its captions, where it has any.
    pub captions: Vec<Vec<f32>>,
    /// Embedding of the degraded picture.
    pub view: Vec<f32>,
    /// Embedding of the degraded picture in a mirror: what is used where no prompt is given.
    pub mirrored: Vec<f32>,
}

/// A picture's file and its captions.
type Entry = (PathBuf, Vec<String>);

/// The pictures of a source that are for training, with their captions, by name.
///
/// # Errors
/// [`DataError`] names the file or folder and what was expected.
fn entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let wrong = |path: &Path, why: String| DataError { path: path.to_owned(), why };
    let mut found: Vec<Entry> = match pdn::read_captions(folder)? {
        // Flickr8k's `small` holds pictures of 112 pixels, too few for patches.
        Some(captioned) => (captioned.into_iter())
            .filter(|c| {
                c.split.as_deref().is_none_or(|split| split == "train") && !c.path.starts_with(folder.join("small"))
            })
            .map(|c| (c.path, c.captions))
            .collect(),
        None => std::fs::read_dir(folder)
            .map_err(|e| wrong(folder, format!("cannot be read: {e}")))?
            .map(|file| Ok((file.map_err(|e| wrong(folder, e.to_string()))?.path(), Vec::new())))
            .collect::<Result<_, DataError>>()?,
    };
    found.sort();
    match found.is_empty() {
        true => Err(wrong(folder, "holds no pictures".into())),
        false => Ok(found),
    }
}

/// Reads a source: its scenes to learn from, and those held back.
///
/// # Errors
/// [`DataError`] names the file or folder and what is wrong with it.
pub fn read(
    root: &Path,
    source: &Source,
    scale: usize,
    degradation: Degradation,
    encoder: &BatchEncoder,
) -> Result<(Vec<Scene>, Vec<Scene>), DataError> {
    let entries = entries(&root.join(&source.folder))?;
    let pictures: Vec<(Picture, Picture)> = entries
        .par_iter()
        .map(|(path, _)| {
            let high = read_picture(path)?.modcrop(scale);
            let low =
                degradation.apply(&high, scale).map_err(|e| DataError { path: path.clone(), why: e.to_string() })?;
            Ok((high, low))
        })
        .collect::<Result<_, DataError>>()?;
    let (high, low): (Vec<Picture>, Vec<Picture>) = pictures.into_iter().unzip();
    let mirrors: Vec<Picture> = low.par_iter().map(Picture::mirrored).collect();
    let (views, mirrored) = (encoder.pictures(&low), encoder.pictures(&mirrors));
    let sentences: Vec<String> = entries.iter().flat_map(|(_, captions)| captions).cloned().collect();
    let mut embedded = encoder.texts(&sentences).into_iter();
    let mut scenes = Vec::with_capacity(entries.len());
    let parts = high.into_iter().zip(low).zip(views.into_iter().zip(mirrored));
    for ((path, captions), ((high, low), (view, mirrored))) in entries.into_iter().zip(parts) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let captions = embedded.by_ref().take(captions.len()).collect();
        scenes.push(Scene { name, high, low, captions, view, mirrored });
    }
    let held_back = scenes.split_off(scenes.len() - source.held_back.min(scenes.len()));
    Ok((scenes, held_back))
}
