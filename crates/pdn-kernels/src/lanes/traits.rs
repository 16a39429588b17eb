//! The traits that kernels are generic over.

use crate::LANES;
use half::bf16;

/// Sixteen numbers.
pub(crate) trait Lanes: Copy {
    /// Pixels of a convolution's tile.
    const PIXELS: usize;

    /// Reads 16 numbers.
    ///
    /// # Safety
    /// The machine has the instruction set and 16 numbers may be read from `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes 16 numbers.
    ///
    /// # Safety
    /// The machine has the instruction set and 16 numbers may be written to `to`.
    unsafe fn store(self, to: *mut f32);

    /// One number, 16 times.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn splat(value: f32) -> Self;

    /// `self * factor + sum`; rounded once where the instruction set fuses them.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;

    /// `self + other`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn plus(self, other: Self) -> Self;

    /// `self - other`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn minus(self, other: Self) -> Self;

    /// `self * other`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn times(self, other: Self) -> Self;

    /// Sixteen vectors as the rows of a square, exchanged with its columns.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn transpose(rows: [Self; LANES]) -> [Self; LANES];

    /// Where `other` is above zero the number, elsewhere zero.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn where_positive(self, other: Self) -> Self;

    /// The greater of each pair; `other` where one is not a number.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn max(self, other: Self) -> Self;

    /// The lesser of each pair; `other` where one is not a number.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn min(self, other: Self) -> Self;
}

/// Sixteen numbers, and products of pairs of bf16 numbers that are added to them.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "written over, and only there run"))]
pub(crate) trait Pairs: Lanes {
    /// Sixteen pairs of bf16 numbers.
    type Pairs: Copy;

    /// Rounds to bf16, and writes 16 numbers.
    ///
    /// # Safety
    /// The machine has the instruction set and 16 numbers may be written to `to`.
    unsafe fn store_rounded(self, to: *mut bf16);

    /// Rounds to bf16, and writes 16 pairs of which the second numbers are those of `second`.
    ///
    /// # Safety
    /// The machine has the instruction set and 32 numbers may be written to `to`.
    unsafe fn store_pairs(self, second: Self, to: *mut bf16);

    /// Reads 16 pairs.
    ///
    /// # Safety
    /// The machine has the instruction set and 32 numbers may be read from `from`.
    unsafe fn load_pairs(from: *const bf16) -> Self::Pairs;

    /// One pair, 16 times.
    ///
    /// # Safety
    /// The machine has the instruction set and two numbers may be read from `from`.
    unsafe fn splat_pair(from: *const bf16) -> Self::Pairs;

    /// `self + a[0] * b[0] + a[1] * b[1]` of every pair.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn plus_pairs(self, a: Self::Pairs, b: Self::Pairs) -> Self;
}

/// A kernel that multiplies pairs.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "written over, and only there run"))]
pub(crate) trait PairKernel {
    /// Runs it.
    ///
    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn run<V: Pairs>(self);
}

/// A kernel, to be run with some instruction set.
pub(crate) trait Kernel {
    /// Runs it.
    ///
    /// # Safety
    /// The machine has the instruction set of `V`, and what the kernel's fields point to may be used as its file says.
    unsafe fn run<V: Lanes>(self);
}
