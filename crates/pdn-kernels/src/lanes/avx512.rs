//! Sixteen numbers in one AVX-512 register.

use super::traits::{Kernel, Lanes, PairKernel, Pairs};
use half::bf16;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx512(pub(crate) __m512);

/// Runs a kernel.
///
/// # Safety
/// Same as [`super::run`]; the machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn run(kernel: impl Kernel) {
    // SAFETY: the caller's contract.
    unsafe { kernel.run::<Avx512>() }
}

/// Runs a kernel that multiplies pairs.
///
/// # Safety
/// Same as [`super::run_pairs`]; the machine has AVX-512 F and BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn run_pairs(kernel: impl PairKernel) {
    // SAFETY: the caller's contract.
    unsafe { kernel.run::<Avx512>() }
}

// SAFETY, for every block below: the trait's contract says that the machine has AVX-512 F, and that 16 numbers may be
// read or written where there is a pointer.
impl Lanes for Avx512 {
    // With two blocks, 28 sums, 2 kernels and 1 input fill the 32 registers.
    const PIXELS: usize = 14;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, sum.0) })
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        // SAFETY: above.
        unsafe {
            // Use loops and not closures, which would be compiled without the instruction set.
            let (mut pairs, mut fours, mut eights, mut columns) =
                ([rows[0].0; 16], [rows[0].0; 16], [rows[0].0; 16], rows);
            for i in 0..8 {
                let (a, b) = (rows[2 * i].0, rows[2 * i + 1].0);
                (pairs[2 * i], pairs[2 * i + 1]) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            }
            // `fours[4 g + c]` has rows 4 g to 4 g + 3 of columns c, 4 + c, 8 + c and 12 + c, one in each quarter.
            for i in 0..8 {
                let at = i / 2 * 4 + i % 2;
                let (a, b) = (pairs[at], pairs[at + 2]);
                let to = i / 2 * 4 + i % 2 * 2;
                (fours[to], fours[to + 1]) = (_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
            }
            // `eights[8 h + c]` has rows 8 h to 8 h + 7 of columns c and 8 + c, `eights[8 h + 4 + c]` of 4 + c and 12 + c.
            for i in 0..8 {
                let (a, b) = (fours[i / 4 * 8 + i % 4], fours[i / 4 * 8 + 4 + i % 4]);
                let to = i / 4 * 8 + i % 4;
                (eights[to], eights[to + 4]) = (_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
            }
            for i in 0..8 {
                let (a, b) = (eights[i], eights[8 + i]);
                columns[i].0 = _mm512_shuffle_f32x4(a, b, 0x88);
                columns[8 + i].0 = _mm512_shuffle_f32x4(a, b, 0xdd);
            }
            columns
        }
    }

    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn where_positive(self, other: Self) -> Self {
        // SAFETY: above.
        unsafe { Self(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(other.0, _mm512_setzero_ps()), self.0)) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }
}

// SAFETY, for every block below: the trait's contract says that the machine has AVX-512 F and BF16, and that as many
// numbers may be read or written as the method states where there is a pointer.
impl Pairs for Avx512 {
    type Pairs = __m512bh;

    #[inline(always)]
    unsafe fn store_rounded(self, to: *mut bf16) {
        // SAFETY: above; both types are 32 bytes, and every value of one is valid for the other.
        unsafe { _mm256_storeu_si256(to.cast(), std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0))) }
    }

    #[inline(always)]
    unsafe fn store_pairs(self, second: Self, to: *mut bf16) {
        // SAFETY: above; same as for [`Self::store_rounded`].
        unsafe {
            let low = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0)));
            let high = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(second.0)));
            _mm512_storeu_si512(to.cast(), _mm512_or_si512(low, _mm512_slli_epi32::<16>(high)));
        }
    }

    #[inline(always)]
    unsafe fn load_pairs(from: *const bf16) -> __m512bh {
        // SAFETY: above; both types are 64 bytes, and every value of one is valid for the other.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn splat_pair(from: *const bf16) -> __m512bh {
        // SAFETY: above; same as for [`Self::load_pairs`].
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn plus_pairs(self, a: __m512bh, b: __m512bh) -> Self {
        // SAFETY: above.
        Self(unsafe { _mm512_dpbf16_ps(self.0, a, b) })
    }
}
