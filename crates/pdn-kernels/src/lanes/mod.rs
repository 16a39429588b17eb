//! Vectors of sixteen numbers, with one file per instruction set, and the dispatch of a kernel to one of them.
//!
//! A kernel is a generic function, always inlined, over [`Lanes`]. Each instruction set runs it from a function that
//! has the target features, so that the compiler may use them in the whole body.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod traits;

use crate::Isa;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use traits::{Kernel, Lanes, PairKernel, Pairs};

/// Returns whether this machine multiplies pairs of bf16 numbers.
pub(crate) fn has_pairs() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Runs a kernel that multiplies pairs.
///
/// # Safety
/// What the kernel's fields point to may be used as its file says.
///
/// # Panics
/// Panics if the machine does not multiply pairs.
pub(crate) unsafe fn run_pairs(kernel: impl PairKernel) {
    assert!(has_pairs(), "this machine does not multiply bf16 numbers");
    // SAFETY: the instructions were detected above; the rest is the caller's contract.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        avx512::run_pairs(kernel);
    }
    #[cfg(not(target_arch = "x86_64"))]
    drop(kernel);
}

/// Runs a kernel with an instruction set.
///
/// # Safety
/// What the kernel's fields point to may be used as its file says.
///
/// # Panics
/// Panics if the machine lacks the instruction set.
pub(crate) unsafe fn run(isa: Isa, kernel: impl Kernel) {
    assert!(isa.is_available(), "this machine has no {isa}");
    // SAFETY: the instruction set was detected above; the rest is the caller's contract.
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
