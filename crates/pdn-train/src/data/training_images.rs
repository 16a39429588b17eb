//! An index of the training pictures, built before the first step: the place of each, and the embeddings of its
//! prompts.
//!
//! Each file is read once for this. The index can be cached in a file, so that the next run on the same pictures with
//! the same encoder starts at once. A file that cannot be read is skipped and named.

use crate::data::batch_encoder::BatchEncoder;
use crate::data::patch_cache::{Cut, PatchCache, Place};
use crate::data::source::{Entry, Source};
use crate::data::{DataError, hex, read_picture};
use pdn_image::Picture;
use pdn_network::checkpoint::{self, Precision};
use pdn_network::{Tensor, Tensors, file};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The most bytes of an index.
const MOST_LISTED: u64 = 1 << 30;

/// A training picture, and the embeddings of its possible prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingImage {
    /// Its file, and the part of it to use.
    pub place: Place,
    /// Embeddings of its captions; empty if it has none, or if the network takes no prompt.
    pub captions: Vec<Vec<f32>>,
    /// Embedding of the degraded picture.
    pub view: Vec<f32>,
    /// Embedding of the degraded picture, mirrored: used if there is no prompt.
    pub mirrored: Vec<f32>,
}

/// The pictures of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingImages {
    /// Training pictures.
    pub train: Vec<TrainingImage>,
    /// Held-out pictures, whole.
    pub held_back: Vec<TrainingImage>,
    /// Files that cannot be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// How many pictures are too small.
    pub small: usize,
}

/// How sources are read.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The data folder.
    pub root: &'a Path,
    /// Degrades and caches pictures.
    pub patches: &'a PatchCache,
    /// The shortest side of a degraded picture, in pixels.
    pub patch: usize,
    /// Embeds prompts, if the network takes any.
    pub encoder: Option<&'a BatchEncoder>,
    /// A folder to cache the index in: a list in JSON, with the embeddings beside it.
    pub cache: Option<&'a Path>,
}

/// Files that are read at once.
const TOGETHER: usize = 64;

/// A file in the data folder, the part of it to use, and how many captions it has.
type About = (PathBuf, Cut, usize);

/// The embeddings of a view, and of its mirror image.
type Views = (Vec<f32>, Vec<f32>);

/// The part of a cached index beside the embeddings.
#[derive(Serialize, Deserialize)]
struct Index {
    train: Vec<About>,
    held_back: Vec<About>,
    skipped: Vec<(PathBuf, String)>,
    small: usize,
}

impl Reader<'_> {
    /// Reads a source.
    ///
    /// # Errors
    /// [`DataError`] names the file or folder and what is wrong with it.
    pub fn read(&self, source: &Source) -> Result<TrainingImages, DataError> {
        let mut entries = source.entries(self.root)?;
        if source.one_caption {
            entries.iter_mut().for_each(|(file, captions)| keep_one(file, captions));
        }
        let kept = self.cache.map(|folder| folder.join(format!("{}.json", self.key(source, &entries))));
        if let Some(kept) = kept.as_ref().filter(|kept| kept.exists()) {
            return self.load(kept);
        }
        let mut scenes = TrainingImages::default();
        // Hold back the last readable files.
        let whole = Source { part: 0, sizes: vec![1.0], ..source.clone() };
        while scenes.held_back.len() < source.held_back
            && let Some(last) = entries.pop()
        {
            let found = self.scenes(&whole, &[last], &mut scenes);
            scenes.held_back.splice(0..0, found);
        }
        scenes.train = self.scenes(source, &entries, &mut scenes);
        if let Some(kept) = kept {
            self.save(&kept, &scenes)?;
        }
        Ok(scenes)
    }

    /// Returns a key of everything that the index depends on.
    fn key(&self, source: &Source, entries: &[Entry]) -> String {
        let about = |(file, captions): &Entry| {
            let size = std::fs::metadata(file).map(|about| about.len()).ok();
            json!([file.strip_prefix(self.root).unwrap_or(file), size, captions])
        };
        let entries: Vec<_> = entries.iter().map(about).collect();
        let encoder = self.encoder.map(|encoder| &encoder.id);
        let degradation = (self.patches.degradations.first().to_string(), self.patches.scale, self.patch);
        let source = Source { weight: 1.0, ..source.clone() };
        hex(&Sha256::digest(json!([encoder, degradation, source, entries]).to_string()))
    }

    fn scenes(&self, source: &Source, entries: &[Entry], found: &mut TrainingImages) -> Vec<TrainingImage> {
        let mut scenes = Vec::new();
        for entries in entries.chunks(TOGETHER) {
            let read: Vec<_> = entries.par_iter().map(|(file, _)| self.cuts(source, file)).collect();
            let (mut places, mut captions, mut lows) = (Vec::new(), Vec::new(), Vec::new());
            for ((file, said), read) in entries.iter().zip(read) {
                match read {
                    Err(error) => found.skipped.push((error.path, error.why)),
                    Ok(cuts) if cuts.is_empty() => found.small += 1,
                    Ok(cuts) => {
                        for (cut, low) in cuts {
                            places.push((file.clone(), cut));
                            captions.push(said.as_slice());
                            lows.push(low);
                        }
                    }
                }
            }
            scenes.extend(self.embedded(places, &captions, &lows));
        }
        scenes
    }

    /// Returns the parts of a file to learn from, degraded; empty if the picture is too small.
    fn cuts(&self, source: &Source, file: &Path) -> Result<Vec<(Cut, Picture)>, DataError> {
        let picture = read_picture(file)?;
        if picture.width().max(picture.height()) < source.longest {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for &size in &source.sizes {
            let sized = Cut::sized(size, &picture);
            let part = source.part;
            let parts: Vec<Option<[usize; 3]>> = match part {
                0 => vec![None],
                _ => (0..sized.height() / part)
                    .flat_map(|y| (0..sized.width() / part).map(move |x| Some([x * part, y * part, part])))
                    .collect(),
            };
            for cut in parts.into_iter().map(|part| Cut { size, part }) {
                if let Ok(pair) = self.patches.degraded(self.patches.degradations.first(), (file, cut), &picture)
                    && pair.low.width().min(pair.low.height()) >= self.patch
                {
                    found.push((cut, pair.low.into_eight()));
                }
            }
        }
        Ok(found)
    }

    fn embedded(&self, places: Vec<Place>, captions: &[&[String]], lows: &[Picture]) -> Vec<TrainingImage> {
        let Some(encoder) = self.encoder else {
            let plain = |place| TrainingImage { place, captions: vec![], view: vec![], mirrored: vec![] };
            return places.into_iter().map(plain).collect();
        };
        let mirrors: Vec<Picture> = lows.par_iter().map(Picture::mirrored).collect();
        let (views, mirrored) = (encoder.pictures(lows), encoder.pictures(&mirrors));
        // All parts of a picture share its captions.
        let mut sentences: Vec<String> = captions.iter().flat_map(|captions| captions.iter().cloned()).collect();
        sentences.sort();
        sentences.dedup();
        let known: HashMap<&str, Vec<f32>> =
            sentences.iter().map(String::as_str).zip(encoder.texts(&sentences)).collect();
        let parts = places.into_iter().zip(captions).zip(views.into_iter().zip(mirrored));
        let scene = |((place, captions), (view, mirrored)): ((Place, &&[String]), Views)| TrainingImage {
            place,
            captions: captions.iter().map(|caption| known[caption.as_str()].clone()).collect(),
            view,
            mirrored,
        };
        parts.map(scene).collect()
    }

    fn save(&self, path: &Path, scenes: &TrainingImages) -> Result<(), DataError> {
        let wrong = |why: String| DataError { path: path.to_owned(), why };
        let below = |file: &Path| file.strip_prefix(self.root).unwrap_or(file).to_owned();
        let about = |scenes: &[TrainingImage]| {
            scenes.iter().map(|s| (below(&s.place.0), s.place.1, s.captions.len())).collect::<Vec<_>>()
        };
        let index = Index {
            train: about(&scenes.train),
            held_back: about(&scenes.held_back),
            skipped: scenes.skipped.iter().map(|(file, why)| (below(file), why.clone())).collect(),
            small: scenes.small,
        };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(|e| wrong(e.to_string()))?;
        let write =
            |path: &Path, bytes: &[u8]| pdn_image::write_atomically(path, bytes).map_err(|e| wrong(e.why.to_string()));
        if let Some(encoder) = self.encoder {
            let all = || scenes.train.iter().chain(&scenes.held_back);
            let matrix = |vectors: Vec<&Vec<f32>>| {
                let numbers: Vec<f32> = vectors.iter().flat_map(|vector| vector.iter()).copied().collect();
                Tensor::new(vec![vectors.len(), encoder.dim], numbers)
            };
            let tensors = Tensors::from([
                ("views".to_owned(), matrix(all().map(|scene| &scene.view).collect())),
                ("mirrored".to_owned(), matrix(all().map(|scene| &scene.mirrored).collect())),
                ("captions".to_owned(), matrix(all().flat_map(|scene| &scene.captions).collect())),
            ]);
            write(&path.with_extension("safetensors"), &checkpoint::write(&tensors, HashMap::new(), Precision::F32))?;
        }
        // Written last: its presence means that everything is there.
        write(path, &serde_json::to_vec(&index).map_err(|e| wrong(e.to_string()))?)
    }

    fn load(&self, path: &Path) -> Result<TrainingImages, DataError> {
        let wrong =
            |why: String| DataError { path: path.to_owned(), why: format!("{why}; delete it to build it again") };
        let text = file::read(path, MOST_LISTED).map_err(|e| wrong(e.to_string()))?;
        let index: Index = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
        let embeddings = match self.encoder {
            Some(_) => {
                let read = checkpoint::read(&path.with_extension("safetensors"));
                read.map_err(|e| wrong(e.why.to_string()))?.tensors
            }
            None => Tensors::new(),
        };
        let dim = self.encoder.map_or(0, |encoder| encoder.dim);
        let rows = |name: &str, count: usize| -> Result<Vec<Vec<f32>>, DataError> {
            match embeddings.get(name) {
                _ if dim == 0 => Ok(vec![Vec::new(); count]),
                Some(tensor) if tensor.shape() == [count, dim] => {
                    Ok(tensor.data().chunks_exact(dim).map(<[f32]>::to_vec).collect())
                }
                _ => Err(wrong(format!("its embeddings have no {name} of shape {count}x{dim}"))),
            }
        };
        let all = || index.train.iter().chain(&index.held_back);
        let count = all().count();
        let captions = if dim == 0 { 0 } else { all().map(|(_, _, captions)| captions).sum() };
        let mut views = rows("views", count)?.into_iter().zip(rows("mirrored", count)?);
        let mut captions = rows("captions", captions)?.into_iter();
        let mut scenes = |about: &[About]| {
            let scene = |((file, cut, said), (view, mirrored)): (&About, Views)| TrainingImage {
                place: (self.root.join(file), *cut),
                captions: captions.by_ref().take(if dim == 0 { 0 } else { *said }).collect(),
                view,
                mirrored,
            };
            about.iter().zip(views.by_ref()).map(scene).collect::<Vec<_>>()
        };
        let (train, held_back) = (scenes(&index.train), scenes(&index.held_back));
        let skipped = index.skipped.into_iter().map(|(file, why)| (self.root.join(file), why)).collect();
        Ok(TrainingImages { train, held_back, skipped, small: index.small })
    }
}

/// Keeps one of a picture's captions, chosen by its file name.
fn keep_one(file: &Path, captions: &mut Vec<String>) {
    if captions.len() > 1 {
        let hash = Sha256::digest(file.file_name().unwrap_or_default().as_encoded_bytes());
        let at = usize::from(hash[0]) * 256 + usize::from(hash[1]);
        let at = at % captions.len();
        captions.swap(0, at);
        captions.truncate(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdn_image::Degradation;

    fn preparation() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, width) in [("a.png", 70), ("b.png", 20), ("c.png", 64), ("d.png", 64)] {
            let picture = Picture::from_rgb(width, 40, (0..width * 40 * 3).map(|i| i as u8).collect());
            pdn_image::write(&folder.path().join(name), &picture, &Default::default()).unwrap();
        }
        std::fs::write(folder.path().join("broken.jpg"), "no picture").unwrap();
        folder
    }

    #[test]
    fn broken_and_small_pictures_are_left_out_and_told_of() {
        let folder = preparation();
        let patches = PatchCache::new(Degradation::BlurBicubic, 2, 1 << 20);
        let reader = Reader { root: folder.path(), patches: &patches, patch: 8, encoder: None, cache: None };
        let source = Source { longest: 50, held_back: 1, ..Source::of("") };
        let scenes = reader.read(&source).unwrap();
        let names = |scenes: &[TrainingImage]| -> Vec<String> {
            scenes.iter().map(|s| s.place.0.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(
            (names(&scenes.train), names(&scenes.held_back)),
            (vec!["a.png".into(), "c.png".into()], vec!["d.png".into()])
        );
        assert_eq!((scenes.skipped.len(), scenes.small), (1, 1));
        assert!(scenes.skipped[0].0.ends_with("broken.jpg"), "{:?}", scenes.skipped);
    }

    #[test]
    fn sub_images_and_sizes_are_scenes_of_their_own() {
        let folder = preparation();
        let patches = PatchCache::new(Degradation::BlurBicubic, 2, 1 << 20);
        let reader = Reader { root: folder.path(), patches: &patches, patch: 8, encoder: None, cache: None };
        let source = Source { part: 30, sizes: vec![1.0, 0.8], ..Source::of("") };
        let scenes = reader.read(&source).unwrap();
        // 70x40 has two parts of 30, 56x32 one; 64x40 two, 51x32 one; 20x40 none.
        assert_eq!((scenes.train.len(), scenes.small), (9, 1));
        let pair = patches.pair(&scenes.train[1].place).unwrap();
        assert_eq!((pair.high.width(), pair.high.height()), (30, 30));
    }

    #[test]
    fn what_was_found_is_kept() {
        let (folder, cache) = (preparation(), tempfile::tempdir().unwrap());
        let patches = PatchCache::new(Degradation::BlurBicubic, 2, 1 << 20);
        let cache_folder = cache.path().join("scenes");
        let reader =
            Reader { root: folder.path(), patches: &patches, patch: 8, encoder: None, cache: Some(&cache_folder) };
        let source = Source { held_back: 1, ..Source::of("") };
        let first = reader.read(&source).unwrap();
        assert_eq!(reader.read(&source).unwrap(), first);
        assert_eq!(std::fs::read_dir(&cache_folder).unwrap().count(), 1);
        // Other pictures or other cuts make a new index.
        std::fs::remove_file(folder.path().join("broken.jpg")).unwrap();
        assert!(reader.read(&source).unwrap().skipped.is_empty());
        for file in std::fs::read_dir(&cache_folder).unwrap() {
            std::fs::write(file.unwrap().path(), "damaged").unwrap();
        }
        let error = reader.read(&source).unwrap_err().to_string();
        assert!(error.contains("delete it"), "{error}");
    }

    #[test]
    fn one_caption_is_drawn_by_the_name() {
        let all: Vec<String> = ["one", "two", "three"].map(String::from).to_vec();
        let drawn = |name: &str| {
            let mut captions = all.clone();
            keep_one(Path::new(name), &mut captions);
            assert_eq!(captions.len(), 1);
            captions.remove(0)
        };
        assert_eq!(drawn("a/x.png"), drawn("b/x.png"));
        let all: std::collections::HashSet<String> = (0..20).map(|i| drawn(&format!("{i}.png"))).collect();
        assert_eq!(all.len(), 3);
    }
}
