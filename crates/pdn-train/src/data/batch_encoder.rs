//! Batched embedding of sentences and pictures with burn: the same numbers as `pdn::Encoder`.

use crate::data::DataError;
use crate::executor::weights::{flat, tensors};
use crate::executor::{self, Batch};
use crate::tasks::retrieval::words;
use burn::tensor::{Device, Tensor, TensorData};
use pdn::{Encoder, EncoderError, EncoderFile, Map, Tokenizer};
use pdn_image::Picture;
use pdn_network::{Network, NetworkError};
use rayon::prelude::*;
use std::path::Path;

/// An encoder whose towers run in batches.
#[derive(Debug)]
pub struct BatchEncoder {
    /// The encoder's id, as in embeddings and model cards.
    pub id: String,
    /// Length of its embeddings.
    pub dim: usize,
    file: EncoderFile,
    tokenizer: Tokenizer,
    text: (Network, Vec<Tensor<1>>),
    picture: (Network, Vec<Tensor<1>>),
    device: Device,
}

/// Opens an encoder that sees faults.
///
/// # Errors
/// [`DataError`] names the file, and says if its encoder sees none.
pub(crate) fn open_eyes(path: &Path) -> Result<Encoder, DataError> {
    let encoder = Encoder::open(path).map_err(|e| of_file(path, &e))?;
    match encoder.tells_faults() {
        true => Ok(encoder),
        false => {
            Err(DataError { path: path.to_owned(), why: "sees no faults, which prompts.faults.seen asks for".into() })
        }
    }
}

/// Returns an encoder's error, which names the file itself.
fn of_file(path: &Path, error: &EncoderError) -> DataError {
    let (said, name) = (error.to_string(), format!("{}: ", path.display()));
    DataError { path: path.to_owned(), why: said.strip_prefix(&name).unwrap_or(&said).to_owned() }
}

/// Sentences or pictures per batch.
const BATCH: usize = 128;

impl BatchEncoder {
    /// Opens an encoder's file; CLIP weights are accepted, too.
    ///
    /// # Errors
    /// [`DataError`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let wrong = |why: String| DataError { path: path.to_owned(), why };
        let file = EncoderFile::read(path, None).map_err(|e| of_file(path, &e))?;
        let id = Encoder::new(path, file.clone()).map_err(|e| of_file(path, &e))?.id().to_owned();
        let network = |e: NetworkError| wrong(e.to_string());
        let tokenizer = Tokenizer::new(file.clip.text.vocabulary)
            .ok_or_else(|| wrong("its vocabulary is not supported; expected 514 to 49408 tokens".into()))?;
        let device = Device::flex();
        let bound = |tower: Network, of_picture: bool| {
            let of_content = |name: &str| !name.starts_with("faults.");
            let own =
                (file.tensors.iter()).filter(|(name, _)| of_content(name) && name.starts_with("visual.") == of_picture);
            let weights = tower.bind(own.map(|(name, tensor)| (name.clone(), tensor.clone())).collect())?;
            let parameters = tensors(&flat(&tower, &weights), &device);
            Ok((tower, parameters))
        };
        let text = file.clip.text_network().and_then(|tower| bound(tower, false)).map_err(network)?;
        let picture = file.clip.picture_network().and_then(|tower| bound(tower, true)).map_err(network)?;
        Ok(Self { id, dim: file.clip.dim, tokenizer, text, picture, device, file })
    }

    /// Embeds sentences as unit vectors. Sentences that are too long are truncated before their end token.
    pub fn texts(&self, sentences: &[String]) -> Vec<Vec<f32>> {
        let context = self.file.clip.text.context;
        let tokens = |sentence: &String| {
            let mut tokens = self.tokenizer.encode(sentence);
            if tokens.len() > context {
                tokens.drain(context - 1..tokens.len() - 1);
            }
            tokens
        };
        let tokens: Vec<Vec<usize>> = sentences.par_iter().map(tokens).collect();
        let mut all = Vec::with_capacity(tokens.len());
        for tokens in tokens.chunks(BATCH) {
            let sentences: Vec<&[usize]> = tokens.iter().map(Vec::as_slice).collect();
            let batch = Batch { words: Some(words(&sentences, &self.device)), ..Batch::default() };
            all.extend(self.vectors(executor::run(&self.text.0, &self.text.1, &batch).output));
        }
        all
    }

    /// Embeds pictures as unit vectors.
    pub fn pictures(&self, pictures: &[Picture]) -> Vec<Vec<f32>> {
        let side = self.file.clip.side();
        let mut all = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(BATCH) {
            let squares: Vec<Vec<Map<f32>>> = pictures.par_iter().map(|picture| self.file.look(picture)).collect();
            let pixels: Vec<f32> = squares.iter().flatten().flat_map(|square| &square.data).copied().collect();
            let shape = [pixels.len() / (3 * side * side), 3, side, side];
            let picture = Tensor::from_data(TensorData::new(pixels, shape), &self.device);
            let batch = Batch { picture: Some(picture), ..Batch::default() };
            let said = self.vectors(executor::run(&self.picture.0, &self.picture.1, &batch).output);
            all.extend(said.chunks(squares[0].len()).map(together));
        }
        all
    }

    fn vectors(&self, output: Tensor<4>) -> Vec<Vec<f32>> {
        let data: Vec<f32> = output.into_data().try_into_vec().expect("embeddings are f32");
        data.chunks(self.dim).map(unit).collect()
    }
}

/// Returns the sum of vectors, scaled to unit length: the embedding of a picture from those of its squares.
pub(crate) fn together(said: &[Vec<f32>]) -> Vec<f32> {
    let sum: Vec<f32> = (0..said[0].len()).map(|i| said.iter().map(|one| one[i]).sum()).collect();
    unit(&sum)
}

fn unit(raw: &[f32]) -> Vec<f32> {
    let norm = raw.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1e-12);
    raw.iter().map(|v| (f64::from(*v) / norm) as f32).collect()
}
