//! Tensors, and tensors by name: what a checkpoint holds, and what a network's parameters are bound to.

use std::collections::BTreeMap;

/// A dense row-major array of `f32`. Files in other floating types are converted when read.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// An array of this shape over these numbers, last dimension fastest.
    ///
    /// # Panics
    /// When the shape does not hold exactly `data.len()` numbers; a reader checks its file before it calls this.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "a tensor of shape {shape:?}");
        Self { shape, data }
    }

    /// The length of each dimension; empty for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, last dimension fastest.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The numbers, last dimension fastest.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The same numbers under another shape.
    ///
    /// # Panics
    /// When the shape does not hold exactly as many numbers.
    pub fn reshaped(self, shape: Vec<usize>) -> Self {
        Self::new(shape, self.data)
    }
}

/// Tensors by name: a checkpoint as read, or the weights of a network.
pub type Tensors = BTreeMap<String, Tensor>;
