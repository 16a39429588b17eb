//! What comes with the library: a prompt encoder, trained by this project.

use crate::encoder::{Encoder, EncoderError, EncoderFile};
use std::path::Path;

/// The prompt encoder.
///
/// # Errors
/// None with the weights that come with the library, which its tests open.
pub fn bundled_encoder() -> Result<Encoder, EncoderError> {
    // How messages name what is no file.
    let path = Path::new("(bundled)/pdn-clip");
    Encoder::new(path, EncoderFile::parse(path, pdn_weights::ENCODER)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
