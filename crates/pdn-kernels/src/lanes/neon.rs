//! Sixteen numbers in four NEON registers.

use super::traits::{Kernel, Lanes};
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(super) struct Neon([float32x4_t; 4]);

/// Runs a kernel.
///
/// # Safety
/// Same as [`super::run`]; the machine has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run(kernel: impl Kernel) {
    // SAFETY: the caller's contract.
    unsafe { kernel.run::<Neon>() }
}

impl Neon {
    /// Builds four registers from their indices. NEON is part of every AArch64 target with a standard library, so
    /// closures have it too.
    #[inline(always)]
    fn each(register: impl Fn(usize) -> float32x4_t) -> Self {
        Self(std::array::from_fn(register))
    }
}

// SAFETY, for every block below: the trait's contract says that the machine has NEON, and that 16 numbers may be read or
// written where there is a pointer.
impl Lanes for Neon {
    // 24 registers of sums, 4 of a kernel and one input leave three of 32.
    const PIXELS: usize = 6;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: above.
        unsafe { Self::each(|i| vld1q_f32(from.add(4 * i))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (i, part) in self.0.into_iter().enumerate() {
            // SAFETY: above.
            unsafe { vst1q_f32(to.add(4 * i), part) }
        }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: above.
        Self([unsafe { vdupq_n_f32(value) }; 4])
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: above.
        unsafe { Self::each(|i| vfmaq_f32(sum.0[i], self.0[i], factor.0[i])) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self::each(|i| vaddq_f32(self.0[i], other.0[i])) }
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self::each(|i| vsubq_f32(self.0[i], other.0[i])) }
    }

    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self::each(|i| vmulq_f32(self.0[i], other.0[i])) }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        let mut columns = rows;
        // Sixteen 4x4 squares, each moved to the other side of the diagonal.
        for down in 0..4 {
            for right in 0..4 {
                let at = 4 * down;
                let square = [rows[at].0[right], rows[at + 1].0[right], rows[at + 2].0[right], rows[at + 3].0[right]];
                // SAFETY: above.
                for (i, column) in unsafe { four(square) }.into_iter().enumerate() {
                    columns[4 * right + i].0[down] = column;
                }
            }
        }
        columns
    }

    #[inline(always)]
    unsafe fn where_positive(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe {
            let zero = vdupq_n_f32(0.0);
            Self::each(|i| vbslq_f32(vcgtq_f32(other.0[i], zero), self.0[i], zero))
        }
    }

    // NEON's own maximum of a number and NaN is NaN, but here the second operand is wanted.
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self::each(|i| vbslq_f32(vcgtq_f32(self.0[i], other.0[i]), self.0[i], other.0[i])) }
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self::each(|i| vbslq_f32(vcltq_f32(self.0[i], other.0[i]), self.0[i], other.0[i])) }
    }
}

/// Transposes a 4x4 square.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn four([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: this function's contract.
    unsafe {
        // Two columns each, every second element: a0 b0 a2 b2, a1 b1 a3 b3.
        let upper = [vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(a, b))];
        let lower = [vreinterpretq_f64_f32(vtrn1q_f32(c, d)), vreinterpretq_f64_f32(vtrn2q_f32(c, d))];
        [
            vreinterpretq_f32_f64(vtrn1q_f64(upper[0], lower[0])),
            vreinterpretq_f32_f64(vtrn1q_f64(upper[1], lower[1])),
            vreinterpretq_f32_f64(vtrn2q_f64(upper[0], lower[0])),
            vreinterpretq_f32_f64(vtrn2q_f64(upper[1], lower[1])),
        ]
    }
}
