//! Numeric kernels on slices, one file per instruction set, selected at run time; the choice can be forced.
//!
//! # Layout
//!
//! A map is stored row by row. A row holds its channels in blocks of [`LANES`], and each block its pixels with `pad`
//! zero pixels on either side: `[block][pad + width + pad][16]`. Sixteen lanes are one AVX-512 register or two AVX2
//! registers, so one layout serves every instruction set. Rows are contiguous, so threads can share a map by rows. The
//! lanes of a pixel are its channels, so the result at a pixel does not depend on its position in the row. Training
//! keeps its maps in the order of autodiff frameworks: see [`PixelConv`].
//!
//! # Safety
//!
//! This is the only crate with `unsafe` code. Every public function is safe: before it passes pointers to a kernel it
//! checks the lengths of its slices, and panics if the caller broke its contract.

mod aligned;
mod conv;
mod elementwise;
mod isa;
mod lanes;
mod mask;
mod matmul;
mod nhwc;
mod peak;
mod precision;
mod row;
mod scratch;
mod sum;
mod transpose;

pub use aligned::Aligned;
pub use conv::Conv;
pub use conv::store::Store;
pub use elementwise::{add_scaled, gradient_channels, multiply_channels, prelu_channels, scale_and_add};
pub use isa::Isa;
pub use mask::{FoldedMask, MaskScale, mask_row};
pub use matmul::add_product;
pub use nhwc::{Factors, PixelConv, PixelKernel, PixelMap, PixelStore};
pub use peak::peak_flops;
pub use precision::Precision;
pub use row::{Format, Input, LANES, Row, RowShape, RowsMut};
pub use sum::sum_channels;
pub use transpose::transpose;

/// Emulates AMX from now on if the processor has none, so that tests run its kernels, slowly. Without AVX-512 and bf16,
/// or if AMX was queried before, there is still none. Returns whether AMX is now available.
#[cfg(feature = "emulation")]
pub fn emulate_amx() -> bool {
    conv::amx::emulate()
}
