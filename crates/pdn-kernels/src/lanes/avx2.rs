//! Sixteen numbers in two AVX2 registers.

use super::traits::{Kernel, Lanes};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256, __m256);

/// Runs a kernel.
///
/// # Safety
/// Same as [`super::run`]; the machine has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run(kernel: impl Kernel) {
    // SAFETY: the caller's contract.
    unsafe { kernel.run::<Avx2>() }
}

// SAFETY, for every block below: the trait's contract says that the machine has AVX2 and FMA, and that 16 numbers may
// be read or written where there is a pointer.
impl Lanes for Avx2 {
    // 12 sums, 2 kernels and 1 or 2 inputs fill the 16 registers.
    const PIXELS: usize = 6;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: above.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: above.
        let v = unsafe { _mm256_set1_ps(value) };
        Self(v, v)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, sum.0), _mm256_fmadd_ps(self.1, factor.1, sum.1)) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        // SAFETY: above.
        unsafe {
            // Four 8x8 squares; the off-diagonal ones swap places.
            let mut columns = rows;
            for half in [0, 8] {
                let (mut left, mut right) = ([rows[0].0; 8], [rows[0].0; 8]);
                for i in 0..8 {
                    (left[i], right[i]) = (rows[half + i].0, rows[half + i].1);
                }
                let (left, right) = (eight(left), eight(right));
                for i in 0..8 {
                    if half == 0 {
                        (columns[i].0, columns[8 + i].0) = (left[i], right[i]);
                    } else {
                        (columns[i].1, columns[8 + i].1) = (left[i], right[i]);
                    }
                }
            }
            columns
        }
    }

    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn where_positive(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe {
            let zero = _mm256_setzero_ps();
            let (a, b) = (_mm256_cmp_ps::<_CMP_GT_OQ>(other.0, zero), _mm256_cmp_ps::<_CMP_GT_OQ>(other.1, zero));
            Self(_mm256_and_ps(self.0, a), _mm256_and_ps(self.1, b))
        }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
    }
}

/// Transposes an 8x8 square.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn eight(r: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: this function's contract.
    unsafe {
        // Use loops and not closures, which would be compiled without the instruction set.
        let (mut pairs, mut fours, mut columns) = (r, r, r);
        for i in 0..4 {
            let (a, b) = (r[2 * i], r[2 * i + 1]);
            (pairs[2 * i], pairs[2 * i + 1]) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        }
        // `fours[4 h + c]` has rows 4 h to 4 h + 3 of column c, and of column 4 + c in its upper half.
        for i in 0..4 {
            let at = i / 2 * 4 + i % 2;
            let (a, b) = (pairs[at], pairs[at + 2]);
            let to = i / 2 * 4 + i % 2 * 2;
            (fours[to], fours[to + 1]) = (_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
        }
        for c in 0..4 {
            let (a, b) = (fours[c], fours[4 + c]);
            columns[c] = _mm256_permute2f128_ps(a, b, 0x20);
            columns[4 + c] = _mm256_permute2f128_ps(a, b, 0x31);
        }
        columns
    }
}
