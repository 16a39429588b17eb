//! The traits that kernels are generic over.

use crate::LANES;
use half::bf16;

/// A vector of sixteen numbers.
pub(crate) trait Lanes: Copy {
    /// Pixels in a convolution's tile.
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

    /// Copies one number to all 16 lanes.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn splat(value: f32) -> Self;

    /// Computes `self * factor + sum`, rounded once if the instruction set fuses them.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;

    /// Computes `self + other`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn plus(self, other: Self) -> Self;

    /// Computes `self - other`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn minus(self, other: Self) -> Self;

    /// Computes `self * other`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn times(self, other: Self) -> Self;

    /// Transposes a square whose rows are sixteen vectors.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn transpose(rows: [Self; LANES]) -> [Self; LANES];

    /// Keeps the lanes of `self` where `other` is above zero, and clears the rest.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn where_positive(self, other: Self) -> Self;

    /// Returns the greater of each pair, and `other` if one is NaN.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn max(self, other: Self) -> Self;

    /// Returns the lesser of each pair, and `other` if one is NaN.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn min(self, other: Self) -> Self;
}

/// A vector of sixteen numbers that can accumulate products of bf16 pairs.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "written over, and only there run"))]
pub(crate) trait Pairs: Lanes {
    /// Sixteen pairs of bf16 numbers.
    type Pairs: Copy;

    /// Rounds to bf16 and writes 16 numbers.
    ///
    /// # Safety
    /// The machine has the instruction set and 16 numbers may be written to `to`.
    unsafe fn store_rounded(self, to: *mut bf16);

    /// Rounds to bf16 and writes 16 pairs, whose second numbers come from `second`.
    ///
    /// # Safety
    /// The machine has the instruction set and 32 numbers may be written to `to`.
    unsafe fn store_pairs(self, second: Self, to: *mut bf16);

    /// Reads 16 pairs.
    ///
    /// # Safety
    /// The machine has the instruction set and 32 numbers may be read from `from`.
    unsafe fn load_pairs(from: *const bf16) -> Self::Pairs;

    /// Copies one pair to all 16 lanes.
    ///
    /// # Safety
    /// The machine has the instruction set and two numbers may be read from `from`.
    unsafe fn splat_pair(from: *const bf16) -> Self::Pairs;

    /// Computes `self + a[0] * b[0] + a[1] * b[1]` for every pair.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn plus_pairs(self, a: Self::Pairs, b: Self::Pairs) -> Self;
}

/// A kernel that multiplies pairs.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "written over, and only there run"))]
pub(crate) trait PairKernel {
    /// Runs the kernel.
    ///
    /// # Safety
    /// Same as [`Kernel::run`].
    unsafe fn run<V: Pairs>(self);
}

/// A kernel that is generic over the instruction set.
pub(crate) trait Kernel {
    /// Runs the kernel.
    ///
    /// # Safety
    /// The machine has the instruction set of `V`, and what the kernel's fields point to may be used as its file says.
    unsafe fn run<V: Lanes>(self);
}
