//! Memory of maps that are done with, for the next of their size.
//!
//! A step makes and leaves the same maps as the one before. Memory from the allocator would be cleared first, on one core,
//! and large pieces go back to the system and are faulted in again; what is taken here is written over as it stands.

use burn::backend::TensorMetadata;
use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

static LEFT: Mutex<Option<HashMap<usize, Vec<Vec<f32>>>>> = Mutex::new(None);

/// Memory for so many numbers, whatever is there.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let found = left.as_mut().and_then(|left| left.get_mut(&len)?.pop());
    drop(left);
    found.unwrap_or_else(|| vec![0.0; len])
}

/// Leaves memory to the next that takes as much.
pub(crate) fn leave(numbers: Vec<f32>) {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.get_or_insert_default().entry(numbers.len()).or_default().push(numbers);
}

/// Leaves the memory of a tensor that nobody else holds.
pub(crate) fn leave_tensor(tensor: FlexTensor) {
    if tensor.is_unique()
        && tensor.bytes().len() == 4 * tensor.shape().num_elements()
        && let Ok(numbers) = tensor.into_data().try_into_vec()
    {
        leave(numbers);
    }
}

/// A tensor of these numbers.
pub(crate) fn tensor<const D: usize>(numbers: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, Shape::new(shape)))
}
