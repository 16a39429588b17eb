//! Recycles the memory of maps for later maps of the same size.
//!
//! Every step allocates and frees the same maps as the one before. The allocator would clear memory first, on one core,
//! and return large blocks to the system, to be faulted in again; recycled memory is overwritten as it is.

use burn::backend::TensorMetadata;
use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Maps of one size.
#[derive(Debug, Default)]
struct Size {
    left: Vec<Vec<f32>>,
    /// How many were taken in this step and in the previous one: no more than that are kept.
    taken: [usize; 2],
}

static SIZES: Mutex<BTreeMap<usize, Size>> = Mutex::new(BTreeMap::new());

fn sizes() -> MutexGuard<'static, BTreeMap<usize, Size>> {
    SIZES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes memory for this many numbers, with arbitrary contents.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let found = {
        let mut sizes = sizes();
        let size = sizes.entry(len).or_default();
        size.taken[0] += 1;
        size.left.pop()
    };
    found.unwrap_or_else(|| vec![0.0; len])
}

/// Returns memory for reuse at the same size.
pub(crate) fn leave(numbers: Vec<f32>) {
    if let Some(size) = sizes().get_mut(&numbers.len())
        && size.left.len() < size.taken[0].max(size.taken[1])
    {
        size.left.push(numbers);
    }
}

/// Returns the memory of a tensor, if it has no other owner.
pub(crate) fn leave_tensor(tensor: FlexTensor) {
    let whole = tensor.bytes().len() == size_of::<f32>() * tensor.shape().num_elements();
    if tensor.is_unique()
        && whole
        && let Ok(numbers) = tensor.into_data().try_into_vec()
    {
        leave(numbers);
    }
}

/// Creates a tensor of these numbers.
pub(crate) fn tensor<const D: usize>(numbers: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, Shape::new(shape)))
}

/// Starts a step: sizes that the last step did not take go back to the allocator.
pub(crate) fn step() {
    sizes().retain(|_, size| {
        size.taken = [0, size.taken[0]];
        size.taken[1] > 0
    });
}

/// Returns everything to the allocator.
pub(crate) fn clear() {
    sizes().clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_while_it_is_used_and_no_more_than_that() {
        const LEN: usize = 12_347;
        let count = || sizes().get(&LEN).map(|size| size.left.len());
        let taken = [take(LEN), take(LEN)];
        let place = taken[1].as_ptr();
        taken.into_iter().for_each(leave);
        leave(vec![0.0; LEN]);
        assert_eq!(count(), Some(2), "as many as were taken");
        let again = take(LEN);
        assert_eq!(again.as_ptr(), place);
        step();
        assert_eq!(count(), Some(1));
        step();
        assert_eq!(count(), None, "a step took none");
    }
}
