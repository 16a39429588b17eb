//! The output of an encoder.

/// An embedding of unit length, and the encoder that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Id of the encoder.
    pub encoder: String,
    /// The values.
    pub values: Vec<f32>,
}
