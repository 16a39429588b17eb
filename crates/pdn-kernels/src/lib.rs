//! Numeric primitives on slices, one file per instruction set, chosen at run time and forceable.
//!
//! # Layout
//!
//! A map is stored row by row. A row holds its channels in blocks of [`LANES`], and each block its pixels with `pad`
//! zero pixels on either side: `[block][pad + width + pad][16]`. Sixteen lanes are one AVX-512 register or two AVX2
//! registers, so one layout serves every instruction set; rows are contiguous, so threads can share a map by rows; and
//! the lanes of a pixel are its channels, so what a pixel becomes does not depend on where in a row it stands. Training
//! keeps its maps as autodiff frameworks do: see [`PixelConv`].
//!
//! # Safety
//!
//! This is the one crate with `unsafe` code. Every public function is safe: it checks the lengths of its slices, and
//! panics where the caller broke its contract, before it hands pointers to a kernel.

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
pub use elementwise::{add_scaled, multiply_channels, prelu_channels, scale_and_add};
pub use isa::Isa;
pub use mask::{FoldedMask, MaskScale, mask_row};
pub use matmul::add_product;
pub use nhwc::{Factors, PixelConv, PixelKernel, PixelMap, PixelStore};
pub use peak::peak_flops;
pub use precision::Precision;
pub use row::{Format, Input, LANES, RowShape};
pub use sum::sum_channels;
pub use transpose::transpose;

/// Emulates AMX from here on where the processor has none, so that tests run its kernels, slowly. A machine without AVX-512
/// and bf16, or that has been asked for AMX before, still has none. Gives whether there is AMX now.
#[cfg(feature = "emulation")]
pub fn emulate_amx() -> bool {
    conv::amx::emulate()
}
