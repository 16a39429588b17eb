//! Winograd convolution F(4x4, 3x3) (Lavin and Gray, CVPR 2016): its transforms and products, and the convolution of
//! rows.
//!
//! A square of 4x4 results needs 144 products for each pair of channels; over squares of 6x6 numbers that are
//! transformed first, 36: `y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. The 36 places are independent, so each is a product of
//! matrices over channels, which is nearly all of the work. The price is rounding error: about twice that of direct
//! convolution.
//!
//! `nhwc` convolves whole maps with the same transforms, and computes the kernel's gradient.

mod few;
mod gemm;
pub(crate) mod operands;
mod product;
mod rows;
pub(crate) mod tile;
pub(crate) mod transform;

pub(crate) use few::FewOutputs;
pub(crate) use product::{Product, Sums};
pub(crate) use rows::WinogradRows;
pub(crate) use tile::STEP;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use transform::{input, kernel_side, output};
