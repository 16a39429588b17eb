//! Files of embeddings: safetensors with one tensor `embeddings` `[n, dim]`; the metadata holds the encoder's id and
//! the names of what was embedded.

use crate::encoder::embedding::Embedding;
use pdn_network::checkpoint::{self, Precision};
use pdn_network::{Tensor, Tensors};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Why a file of embeddings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingError {
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The file holds something else.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Returns the bytes of a file of embeddings, which must all come from one encoder.
///
/// # Panics
/// If there are no embeddings, or their lengths differ.
pub fn embeddings_to_bytes(named: &[(String, Embedding)]) -> Vec<u8> {
    let (_, first) = named.first().expect("at least one embedding");
    let data = named.iter().flat_map(|(_, embedding)| &embedding.values).copied().collect();
    let tensor = Tensor::new(vec![named.len(), first.values.len()], data);
    let names: Vec<&String> = named.iter().map(|(name, _)| name).collect();
    let metadata = HashMap::from([
        ("encoder".to_owned(), first.encoder.clone()),
        ("names".to_owned(), serde_json::json!(names).to_string()),
    ]);
    checkpoint::write(&Tensors::from([("embeddings".to_owned(), tensor)]), metadata, Precision::F32)
}

/// Reads a file of embeddings, each with its name.
///
/// # Errors
/// [`EmbeddingError`] names the file and what was expected.
pub fn read_embeddings(path: &Path) -> Result<Vec<(String, Embedding)>, EmbeddingError> {
    let mut read = checkpoint::read(path)?;
    let wrong = |why: &str| EmbeddingError::File { path: path.to_owned(), why: why.to_owned() };
    let encoder = read.metadata.remove("encoder").ok_or_else(|| wrong("its metadata names no `encoder`"))?;
    let names = read.metadata.remove("names").ok_or_else(|| wrong("its metadata has no `names`"))?;
    let names: Vec<String> = serde_json::from_str(&names).map_err(|_| wrong("its `names` are not a list of names"))?;
    let tensor = read.tensors.remove("embeddings").ok_or_else(|| wrong("holds no tensor `embeddings`"))?;
    match *tensor.shape() {
        [n, dim] if n == names.len() && dim > 0 => {
            let rows = tensor.data().chunks_exact(dim);
            let embedding = |row: &[f32]| Embedding { encoder: encoder.clone(), values: row.to_vec() };
            Ok(names.into_iter().zip(rows.map(embedding)).collect())
        }
        _ => Err(wrong("its `embeddings` are not [as many as names, length]")),
    }
}
