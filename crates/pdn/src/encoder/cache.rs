//! A cache of embeddings in a folder: one file each, named by the sha256 of the content and the encoder.
//!
//! A file holds the sha256 of its numbers, then the numbers as little-endian float32. Files are written under a
//! temporary name and renamed, so any number of threads and programs can share a folder. A damaged file is made again.

use crate::encoder::embedding::Embedding;
use pdn_network::file;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder of cached embeddings.
#[derive(Debug)]
pub struct EmbeddingCache {
    folder: PathBuf,
    hits: AtomicUsize,
}

/// What was embedded.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A sentence.
    Text(&'a str),
    /// The bytes of a picture's file.
    Picture(&'a [u8]),
}

/// The most bytes of an entry: encoders return about a thousand numbers.
const MOST: u64 = 1 << 20;

/// Bytes of a sha256.
const DIGEST: usize = 32;

impl EmbeddingCache {
    /// Returns the folder named by `PDN_CACHE`, or `pdn` in the user's cache folder; `None` if the system has no such
    /// folder.
    pub fn default_folder() -> Option<PathBuf> {
        let named = std::env::var_os("PDN_CACHE").filter(|name| !name.is_empty()).map(PathBuf::from);
        named.or_else(|| Some(dirs::cache_dir()?.join("pdn")))
    }

    /// Opens a cache folder, and creates it if needed.
    ///
    /// # Errors
    /// An I/O error if the folder cannot be created.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("embeddings");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, hits: AtomicUsize::new(0) })
    }

    /// Returns the cached embedding of `content` by `encoder`, or calls `make` and caches its result. If the result
    /// cannot be stored, for example on a full disk, it is made each time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get_or<E>(
        &self,
        encoder: &str,
        content: Content<'_>,
        make: impl FnOnce() -> Result<Embedding, E>,
    ) -> Result<Embedding, E> {
        let path = self.folder.join(key(encoder, content));
        if let Some(values) = file::read(&path, MOST).ok().and_then(|bytes| parse(&bytes)) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Embedding { encoder: encoder.to_owned(), values });
        }
        let embedding = make()?;
        let _ = self.keep(&path, &embedding.values);
        Ok(embedding)
    }

    /// Returns how many embeddings came from the folder.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }

    /// Writes an entry. Unlike outputs it is not synced to disk: its sha256 reveals an entry damaged by a crash.
    fn keep(&self, path: &Path, values: &[f32]) -> io::Result<()> {
        let numbers: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        // Keep only the kind of the error: the message names a temporary file that the user has never heard of.
        let plain = |error: io::Error| io::Error::from(error.kind());
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(plain)?;
        file.write_all(&Sha256::digest(&numbers)).and_then(|()| file.write_all(&numbers)).map_err(plain)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

/// Version of how pictures are preprocessed within a release: 2 drops the colours that transparency hides.
const LOOK: &str = "2";

/// Returns the key of an entry. It includes the library's version, as another version may preprocess pictures
/// differently.
fn key(encoder: &str, content: Content<'_>) -> String {
    let (kind, content) = match content {
        Content::Text(text) => ("text", text.as_bytes()),
        Content::Picture(bytes) => ("picture", bytes),
    };
    let mut hash = Sha256::new();
    for part in [env!("CARGO_PKG_VERSION"), LOOK, encoder, kind] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(content);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(bytes: &[u8]) -> Option<Vec<f32>> {
    let (digest, numbers) = bytes.split_at_checked(DIGEST)?;
    let (numbers, rest) = numbers.as_chunks::<4>();
    let whole = !numbers.is_empty() && rest.is_empty() && Sha256::digest(&bytes[DIGEST..])[..] == *digest;
    whole.then(|| numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn made(seed: usize) -> Embedding {
        Embedding { encoder: "e".into(), values: (0..64).map(|i| (i * seed) as f32).collect() }
    }

    fn get(cache: &EmbeddingCache, seed: usize) -> Embedding {
        let make = || Ok::<_, Infallible>(made(seed));
        cache.get_or("e", Content::Text(&format!("sentence {seed}")), make).unwrap()
    }

    #[test]
    fn what_was_made_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::open(folder.path()).unwrap();
        assert_eq!(get(&cache, 3), made(3));
        let never = || -> Result<Embedding, &str> { Err("made") };
        assert_eq!(cache.get_or("e", Content::Text("sentence 3"), never), Ok(made(3)));
        assert_eq!(cache.hits(), 1);
        for (encoder, content) in [
            ("f", Content::Text("sentence 3")),
            ("e", Content::Text("sentence 4")),
            ("e", Content::Picture(b"sentence 3")),
        ] {
            assert_eq!(cache.get_or(encoder, content, never), Err("made"), "{encoder} {content:?} is another");
        }
    }

    #[test]
    fn damage_is_found_out_and_mended() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::open(folder.path()).unwrap();
        get(&cache, 3);
        let path = cache.folder.join(key("e", Content::Text("sentence 3")));
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        for damaged in [&b""[..], &whole[..20], &whole[..DIGEST], &whole[..whole.len() - 1], &flipped] {
            std::fs::write(&path, damaged).unwrap();
            let hits = cache.hits();
            assert_eq!(get(&cache, 3), made(3));
            assert_eq!((cache.hits(), std::fs::read(&path).unwrap()), (hits, whole.clone()));
        }
        std::fs::remove_dir_all(folder.path()).unwrap();
        let said = cache.keep(&path, &[0.0]).unwrap_err().to_string();
        assert!(!said.contains(".tmp"), "{said}");
        assert_eq!(get(&cache, 3), made(3), "where nothing can be kept it is made");
    }

    #[test]
    fn threads_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let caches = [(); 4].map(|()| EmbeddingCache::open(folder.path()).unwrap());
        std::thread::scope(|scope| {
            for i in 0..16 {
                let cache = &caches[i % 4];
                scope.spawn(move || {
                    (0..200).for_each(|j| assert_eq!(get(cache, (j * 7 + i) % 20), made((j * 7 + i) % 20)))
                });
            }
        });
        let left: Vec<_> = std::fs::read_dir(folder.path().join("embeddings")).unwrap().collect();
        assert_eq!(left.len(), 20, "an entry each, and nothing left aside");
    }
}
