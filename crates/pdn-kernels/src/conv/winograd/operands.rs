//! The operands of Winograd's products: float32 numbers one by one, or rounded to bf16 and multiplied in pairs of
//! inputs.
//!
//! Pairs need AVX-512's bf16 products; if there is AMX too, its tiles multiply them. The transforms and the sums stay
//! in float32.

use super::product::Product;
use super::tile::{STRIP, TILED, strip};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::conv::amx::{self, matrix};
use crate::lanes::{self, Kernel, Lanes, PairKernel, Pairs};
use crate::{Isa, LANES};
use half::bf16;

/// The type of an operand.
pub(crate) trait Number: Copy {
    const ZERO: Self;
    /// Inputs that are multiplied at once.
    const AT_ONCE: usize;

    fn of(value: f32) -> Self;

    /// Rounds numbers of each of the inputs that are multiplied at once, and stores one input's next to the other's. If
    /// inputs are multiplied one by one, the second is not read.
    fn beside(inputs: [&[f32; LANES]; 2], to: &mut [Self]);

    /// Runs a kernel with an instruction set. Pairs use the one instruction set that multiplies them, whatever is
    /// requested.
    ///
    /// # Safety
    /// Same as [`lanes::run`].
    ///
    /// # Panics
    /// Panics if the machine lacks the instructions.
    unsafe fn run(isa: Isa, kernel: impl OperandKernel<Self>);
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    const AT_ONCE: usize = 1;

    fn of(value: f32) -> Self {
        value
    }

    fn beside([numbers, _]: [&[f32; LANES]; 2], to: &mut [Self]) {
        to.copy_from_slice(numbers);
    }

    unsafe fn run(isa: Isa, kernel: impl OperandKernel<f32>) {
        // SAFETY: this function's contract.
        unsafe { lanes::run(isa, With(kernel)) }
    }
}

impl Number for bf16 {
    const ZERO: Self = bf16::ZERO;
    const AT_ONCE: usize = 2;

    fn of(value: f32) -> Self {
        // The same as `from_f32`, without a branch, so that the compiler vectorises it.
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        Self::from_bits(if value.is_nan() { Self::NAN.to_bits() } else { rounded as u16 })
    }

    fn beside([first, second]: [&[f32; LANES]; 2], to: &mut [Self]) {
        for (i, to) in to.as_chunks_mut::<2>().0.iter_mut().enumerate().take(LANES) {
            *to = [Self::of(first[i]), Self::of(second[i])];
        }
    }

    unsafe fn run(_: Isa, kernel: impl OperandKernel<bf16>) {
        // SAFETY: this function's contract.
        unsafe {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            if amx::is_available() {
                return lanes::run_pairs(WithTiles(kernel));
            }
            lanes::run_pairs(With(kernel));
        }
    }
}

/// How to multiply operands.
pub(crate) trait Operands<V: Lanes> {
    type Number: Number;
    /// 16 numbers of each of the inputs that are multiplied at once.
    type Vector: Copy;

    /// A strip: the tiles whose places are multiplied together.
    const STRIP: usize;
    /// Room for the tiles of a strip, including those that fill up a register, and one more if all places would
    /// otherwise begin at the same set of the L1 cache.
    const ROOM: usize;
    /// The strip for the gradient of a kernel, which sums over tiles, and the multiple of tiles to which a strip is
    /// filled up with zeros.
    const GRADIENT_STRIP: usize = STRIP * Self::Number::AT_ONCE;
    const GRADIENT_ROOM: usize = Self::GRADIENT_STRIP;
    const GRADIENT_STEPS: usize = 1;

    /// Computes a product with matrix registers if there are any and they support it. Returns whether it did.
    ///
    /// # Safety
    /// Same as [`Product::run`].
    #[inline(always)]
    unsafe fn multiply_by_tiles(_: &Product<Self::Number>) -> bool {
        false
    }

    /// Rounds and writes 16 numbers.
    ///
    /// # Safety
    /// Same as [`Lanes::store`].
    unsafe fn store(vector: V, to: *mut Self::Number);

    /// Rounds and writes 16 numbers of each of the rows that are multiplied at once, one row's next to the other's. If
    /// rows are multiplied one by one, the second is not read.
    ///
    /// # Safety
    /// Same as [`Lanes::load`] and [`Lanes::store`], for as many numbers.
    unsafe fn store_beside(rows: [*const f32; 2], to: *mut Self::Number);

    /// Reads 16 numbers of each of the inputs that are multiplied at once, one input's next to the other's.
    ///
    /// # Safety
    /// Same as [`Lanes::load`], for as many numbers.
    unsafe fn load(from: *const Self::Number) -> Self::Vector;

    /// Copies one number of each of those inputs to all 16 lanes.
    ///
    /// # Safety
    /// Same as [`Lanes::splat`]; as many numbers may be read.
    unsafe fn splat(from: *const Self::Number) -> Self::Vector;

    /// Computes `Σ a b + sum` over those inputs.
    ///
    /// # Safety
    /// Same as [`Lanes::mul_add`].
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, sum: V) -> V;
}

/// Float32 numbers, one by one.
pub(crate) struct Singles;

impl<V: Lanes> Operands<V> for Singles {
    type Number = f32;
    type Vector = V;
    const STRIP: usize = strip::<V>();
    const ROOM: usize = STRIP;

    #[inline(always)]
    unsafe fn store(vector: V, to: *mut f32) {
        // SAFETY: this function's contract.
        unsafe { vector.store(to) }
    }

    #[inline(always)]
    unsafe fn store_beside([row, _]: [*const f32; 2], to: *mut f32) {
        // SAFETY: this function's contract.
        unsafe { V::load(row).store(to) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> V {
        // SAFETY: this function's contract.
        unsafe { V::load(from) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> V {
        // SAFETY: this function's contract.
        unsafe { V::splat(*from) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: V, b: V, sum: V) -> V {
        // SAFETY: this function's contract.
        unsafe { a.mul_add(b, sum) }
    }
}

/// bf16 numbers in pairs; with `TILES` in matrix registers where those support it.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "written over, and only there run"))]
pub(crate) struct Doubles<const TILES: bool>;

impl<V: Pairs, const TILES: bool> Operands<V> for Doubles<TILES> {
    type Number = bf16;
    type Vector = V::Pairs;
    const STRIP: usize = if TILES { TILED } else { strip::<V>() };
    const ROOM: usize = if TILES { TILED + 1 } else { STRIP };
    // With tiles the gradient's sums stream past once per strip, so the strip is long.
    const GRADIENT_STRIP: usize = 2 * if TILES { TILED } else { STRIP };
    const GRADIENT_ROOM: usize = 2 * if TILES { TILED + 1 } else { STRIP };
    const GRADIENT_STEPS: usize = if TILES { 16 } else { 1 };

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[inline(always)]
    unsafe fn multiply_by_tiles(product: &Product<bf16>) -> bool {
        let can = TILES && matrix::can(product);
        if can {
            // SAFETY: this function's contract.
            unsafe { matrix::multiply(product) };
        }
        can
    }

    #[inline(always)]
    unsafe fn store(vector: V, to: *mut bf16) {
        // SAFETY: this function's contract.
        unsafe { vector.store_rounded(to) }
    }

    #[inline(always)]
    unsafe fn store_beside([first, second]: [*const f32; 2], to: *mut bf16) {
        // SAFETY: this function's contract.
        unsafe { V::load(first).store_pairs(V::load(second), to) }
    }

    #[inline(always)]
    unsafe fn load(from: *const bf16) -> V::Pairs {
        // SAFETY: this function's contract.
        unsafe { V::load_pairs(from) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const bf16) -> V::Pairs {
        // SAFETY: this function's contract.
        unsafe { V::splat_pair(from) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: V::Pairs, b: V::Pairs, sum: V) -> V {
        // SAFETY: this function's contract.
        unsafe { sum.plus_pairs(a, b) }
    }
}

/// The lanes of a block that are channels. The others may hold anything: next to a channel their values would be
/// multiplied by zero, and NaN would remain NaN.
pub(crate) struct Channels {
    used: [f32; LANES],
    /// Whether a channel has such a lane next to it.
    beside: bool,
}

impl Channels {
    /// Selects the first `channels` lanes.
    pub(crate) fn new<N: Number>(channels: usize) -> Self {
        let used = std::array::from_fn(|lane| if lane < channels { 1.0 } else { 0.0 });
        Self { used, beside: N::AT_ONCE > 1 && channels < LANES }
    }

    /// Writes 16 numbers in the form of an operand.
    ///
    /// # Safety
    /// Same as [`Operands::store`].
    #[inline(always)]
    pub(crate) unsafe fn store<V: Lanes, O: Operands<V>>(&self, vector: V, to: *mut O::Number) {
        // SAFETY: this function's contract; a number per lane is read.
        unsafe {
            let vector = if self.beside { vector.where_positive(V::load(self.used.as_ptr())) } else { vector };
            O::store(vector, to);
        }
    }
}

/// A kernel that is generic over how operands are multiplied.
pub(crate) trait OperandKernel<N: Number> {
    /// Runs the kernel.
    ///
    /// # Safety
    /// Same as [`Kernel::run`].
    unsafe fn go<V: Lanes, O: Operands<V, Number = N>>(self);
}

/// A kernel to run with vector registers.
struct With<K>(K);

impl<K: OperandKernel<f32>> Kernel for With<K> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: this function's contract.
        unsafe { self.0.go::<V, Singles>() }
    }
}

impl<K: OperandKernel<bf16>> PairKernel for With<K> {
    #[inline(always)]
    unsafe fn run<V: Pairs>(self) {
        // SAFETY: this function's contract.
        unsafe { self.0.go::<V, Doubles<false>>() }
    }
}

/// A kernel to run with vector registers, and with tiles where they support it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
struct WithTiles<K>(K);

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
impl<K: OperandKernel<bf16>> PairKernel for WithTiles<K> {
    #[inline(always)]
    unsafe fn run<V: Pairs>(self) {
        // SAFETY: this function's contract.
        unsafe { self.0.go::<V, Doubles<true>>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_rounded_as_everywhere(bits: u32) {
            let value = f32::from_bits(bits);
            let (found, expected) = (<bf16 as Number>::of(value), bf16::from_f32(value));
            prop_assert!(found == expected || found.is_nan() && expected.is_nan(), "{value:e}: {found:e}");
        }
    }
}
