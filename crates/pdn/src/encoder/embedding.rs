//! What an encoder gives.

/// An embedding of unit length, and who made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Id of the encoder.
    pub encoder: String,
    /// The numbers.
    pub values: Vec<f32>,
}
