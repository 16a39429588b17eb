//! Sixteen numbers at once: what a kernel is written over, and one file per instruction set.
//!
//! A kernel is a generic function, always inlined, over [`Lanes`]. Each instruction set runs it from a function that has
//! the target features, so that the compiler may use them in the whole body.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use crate::{Isa, LANES};

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

    /// `self + a * b`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn plus_product(self, a: Self, b: Self) -> Self;

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

/// A kernel, to be run with some instruction set.
pub(crate) trait Kernel {
    /// Runs it.
    ///
    /// # Safety
    /// The machine has the instruction set of `V`, and what the kernel's fields point to may be used as its file says.
    unsafe fn run<V: Lanes>(self);
}

/// Runs a kernel with an instruction set.
///
/// # Safety
/// What the kernel's fields point to may be used as its file says.
///
/// # Panics
/// When the machine lacks the instruction set.
pub(crate) unsafe fn run(isa: Isa, kernel: impl Kernel) {
    assert!(isa.is_available(), "this machine has no {isa}");
    // SAFETY: the instruction set was found above; the rest is the caller's.
    unsafe {
        match isa {
            Isa::Portable => kernel.run::<portable::Portable>(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::run(kernel),
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon => unreachable!("not available"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::run(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::run(kernel),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("not available"),
        }
    }
}
