//! The sizes of tiles and strips, and strided loads and stores of vectors.

use crate::lanes::Lanes;

/// The side of a tile's results.
pub(crate) const STEP: usize = 4;
/// The side of a tile's input.
pub(crate) const SIDE: usize = 6;
/// The places of a transformed tile.
pub(crate) const PLACES: usize = SIDE * SIDE;
/// Room for the tiles of a strip with any instruction set.
pub(crate) const STRIP: usize = 14;

/// Returns the tiles of a strip that are multiplied by a kernel, each a row of the product: as many as fill whole
/// registers, as few as make up [`STRIP`]. With AVX-512, strips of 28 and 42 took a twentieth longer to train with;
/// with AVX2, 12 are a tenth faster than 14.
pub(crate) const fn strip<V: Lanes>() -> usize {
    STRIP / V::PIXELS * V::PIXELS
}

/// Tiles of a strip that AMX's registers multiply: two tiles of rows, so that the kernel streams past half as often as
/// with one.
pub(crate) const TILED: usize = 32;

/// Outputs of one transformed kernel, so that it stays in the L2 cache together with a strip.
pub(crate) const OUTPUTS: usize = 64;

// Use loops instead of closures, here and in the callers: what is called from a closure is compiled without the
// instruction set.

/// Loads vectors at a stride.
///
/// # Safety
/// Same as for [`Lanes`]; `N` vectors may be read.
#[inline(always)]
pub(crate) unsafe fn load<V: Lanes, const N: usize>(from: *const f32, stride: usize) -> [V; N] {
    // SAFETY: this function's contract.
    unsafe {
        let mut vectors = [V::splat(0.0); N];
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = V::load(from.add(i * stride));
        }
        vectors
    }
}

/// Stores vectors at a stride.
///
/// # Safety
/// Same as for [`Lanes`]; `N` vectors may be written.
#[inline(always)]
pub(crate) unsafe fn store<V: Lanes, const N: usize>(vectors: [V; N], to: *mut f32, stride: usize) {
    for (i, vector) in vectors.iter().enumerate() {
        // SAFETY: this function's contract.
        unsafe { vector.store(to.add(i * stride)) }
    }
}
