//! Tensors, and tensors by name: the content of a checkpoint, and the values bound to a network's parameters.

use std::collections::BTreeMap;

/// A dense row-major array of `f32`. Other floating-point types are converted when a file is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// Creates an array of this shape, last dimension fastest.
    ///
    /// # Panics
    /// Panics if the shape does not hold exactly `data.len()` numbers; a reader checks its file before it calls this.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "a tensor of shape {shape:?}");
        Self { shape, data }
    }

    /// Returns the length of each dimension; empty for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the numbers, last dimension fastest.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Converts into the numbers, last dimension fastest.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Returns the same numbers with another shape.
    ///
    /// # Panics
    /// Panics if the shape does not hold exactly as many numbers.
    pub fn reshaped(self, shape: Vec<usize>) -> Self {
        Self::new(shape, self.data)
    }
}

/// Tensors by name: a checkpoint as read, or the weights of a network.
pub type Tensors = BTreeMap<String, Tensor>;
