//! Arrays aligned to a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes in a cache line, and in the widest vector.
const LINE: usize = 64;

/// A fixed-length array whose first element is at a cache line, so that no vector of 64 bytes straddles two. A [`Vec`]
/// guarantees only the alignment of its elements.
#[derive(Debug, Default)]
pub struct Aligned<T> {
    numbers: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Clone> Aligned<T> {
    /// Creates an array of `len` copies of a number.
    pub fn new(number: T, len: usize) -> Self {
        let spare = LINE / size_of::<T>().max(1);
        let numbers = vec![number; len + spare];
        // If no aligned position is known, use any.
        let first = Some(numbers.as_ptr().align_offset(LINE)).filter(|first| *first <= spare).unwrap_or(0);
        Self { numbers, first, len }
    }
}

impl<T: Clone> From<&[T]> for Aligned<T> {
    fn from(numbers: &[T]) -> Self {
        let Some(number) = numbers.first() else { return Self { numbers: Vec::new(), first: 0, len: 0 } };
        let mut aligned = Self::new(number.clone(), numbers.len());
        aligned.clone_from_slice(numbers);
        aligned
    }
}

impl<T: Clone> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.numbers[self.first..][..self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.first..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    #[test]
    fn numbers_begin_at_a_line_and_stay_there() {
        for len in [1, 15, 16, 1000, 100_000] {
            let (singles, halves) = (Aligned::new(0.5_f32, len), Aligned::new(bf16::ONE, len).clone());
            let at_line = |address: usize| address.is_multiple_of(LINE);
            assert!(at_line(singles.as_ptr().addr()) && at_line(halves.as_ptr().addr()), "{len}");
            assert_eq!((singles.len(), halves.len()), (len, len));
            assert!(singles.iter().all(|v| *v == 0.5) && halves.iter().all(|v| *v == bf16::ONE));
        }
        assert!(Aligned::<f32>::default().is_empty());
    }
}
