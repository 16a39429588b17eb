//! What people write: sentences, captions, parts of pictures.

use pdn::{Captions, Rectangle, Tokenizer, read_captions, read_lines, sidecar};
use std::path::Path;
use std::sync::LazyLock;

/// CLIP's vocabulary, and a smaller one as the encoder that comes along has.
static TOKENIZERS: LazyLock<[(usize, Tokenizer); 2]> = LazyLock::new(|| {
    [49_408, 8192].map(|vocabulary| (vocabulary, Tokenizer::new(vocabulary).expect("a vocabulary that there is")))
});

/// Cuts text into tokens, in both vocabularies.
///
/// # Panics
/// Where a token is none of the vocabulary, or they are more than the text can have.
pub fn tokenizer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (vocabulary, tokenizer) in &*TOKENIZERS {
        let tokens = tokenizer.encode(&text);
        assert_eq!((tokens.first(), tokens.last()), (Some(&(vocabulary - 2)), Some(&(vocabulary - 1))));
        assert!(tokens.iter().all(|token| token < vocabulary), "a token beyond {vocabulary}");
        // The longest that a character is spelled out, of 18, has three bytes in each.
        assert!(tokens.len() <= 2 + 54 * text.chars().count(), "{} tokens of {} bytes", tokens.len(), text.len());
    }
}

/// Reads captions in every kind of file, and asks for one; and the rectangle of a region.
///
/// # Panics
/// Where a rectangle is not read as it is shown.
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
