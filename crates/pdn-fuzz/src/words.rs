//! Text that people write: sentences, captions, regions of pictures.

use pdn::{Captions, Rectangle, Tokenizer, read_captions, read_lines, sidecar};
use std::path::Path;
use std::sync::LazyLock;

/// CLIP's vocabulary, and a smaller one, as the bundled encoder has.
static TOKENIZERS: LazyLock<[(usize, Tokenizer); 2]> = LazyLock::new(|| {
    [49_408, 8192].map(|vocabulary| (vocabulary, Tokenizer::new(vocabulary).expect("a vocabulary that there is")))
});

/// Tokenizes text with both vocabularies.
///
/// # Panics
/// If a token is outside the vocabulary, or there are more than the text can have.
pub fn tokenizer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (vocabulary, tokenizer) in &*TOKENIZERS {
        let tokens = tokenizer.encode(&text);
        assert_eq!((tokens.first(), tokens.last()), (Some(&(vocabulary - 2)), Some(&(vocabulary - 1))));
        assert!(tokens.iter().all(|token| token < vocabulary), "a token beyond {vocabulary}");
        // The longest expansion of a character, to 18 characters, has three bytes for each.
        assert!(tokens.len() <= 2 + 54 * text.chars().count(), "{} tokens of {} bytes", tokens.len(), text.len());
    }
}

/// Reads captions in every kind of file, and looks one up; also reads the rectangle of a region.
///
/// # Panics
/// If a rectangle does not survive a round trip through text.
pub fn captions(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for files");
    for name in ["captions.csv", "captions.json", "photo.txt"] {
        std::fs::write(folder.path().join(name), data).expect("a file is written");
    }
    for name in ["captions.csv", "captions.json"] {
        let Ok(captions) = Captions::read(&folder.path().join(name)) else { continue };
        for entry in captions.entries() {
            let _ = captions.first(&entry.path);
            let _ = captions.first(Path::new(entry.path.file_name().unwrap_or_default()));
        }
    }
    let _ = (read_captions(folder.path()), sidecar(&folder.path().join("photo.jpg")));
    let _ = read_lines(&folder.path().join("photo.txt"));
    let text = String::from_utf8_lossy(data);
    if let Ok(rectangle) = text.parse::<Rectangle>() {
        assert_eq!(rectangle.to_string().parse(), Ok(rectangle));
    }
}
