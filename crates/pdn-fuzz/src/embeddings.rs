//! Files of embeddings and of encoders.

use crate::MADE;
use crate::checkpoints::header_changed;
use crate::dice::Dice;
use pdn::{Activation, Embedding, EncoderFile, embeddings_to_bytes, read_embeddings};

/// Reads a file of embeddings, writes it and reads it again; also reads it as an encoder's file.
///
/// # Panics
/// If embeddings are not read back unchanged.
pub fn embeddings(data: &[u8]) {
    match data {
        [MADE, choices @ ..] => read(&made(choices)),
        _ => read(data),
    }
}

fn made(choices: &[u8]) -> Vec<u8> {
    let mut dice = Dice::new(choices);
    let dim = 1 + dice.below(8);
    let embedding = |dice: &mut Dice| {
        let values = (0..dim).map(|_| f32::from(dice.byte()) / 16.0).collect();
        Embedding { encoder: "a@0123456789ab".into(), values }
    };
    let named: Vec<_> = (0..=dice.below(3)).map(|i| (i.to_string(), embedding(&mut dice))).collect();
    let file = embeddings_to_bytes(&named);
    header_changed(&mut dice, file, &["names"])
}

fn read(file: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let path = folder.path().join("file");
    std::fs::write(&path, file).expect("a file is written");
    let _ = EncoderFile::read(&path, None);
    let _ = EncoderFile::read(&path, Some(Activation::Gelu));
    let Ok(read) = read_embeddings(&path) else { return };
    if read.is_empty() {
        return;
    }
    std::fs::write(&path, embeddings_to_bytes(&read)).expect("a file is written");
    let again = read_embeddings(&path).expect("what was written is read");
    let bits = |named: &[(String, Embedding)]| -> Vec<_> {
        let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|v| v.to_bits()).collect() };
        named.iter().map(|(name, e)| (name.clone(), e.encoder.clone(), bits(&e.values))).collect()
    };
    assert_eq!(bits(&again), bits(&read));
}
