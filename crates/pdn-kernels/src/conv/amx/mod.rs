//! Convolution with the matrix unit of recent Intel processors (AMX), with bf16 operands and f32 sums.
//!
//! [`AmxConv`] is direct convolution. A row of a tile is a pixel, with 32 of its channels adjacent as bf16, so another
//! tap of the kernel is another address. A patch of 64 pixels by 16 outputs, or of 32 by 32, has its sums in four of
//! the eight tile registers; a step over 32 channels loads four tiles of pixels and one of the kernel, or two and two,
//! for four products, half the loads that would stall the products. As in [`Conv`](crate::Conv), the columns of a 3x3
//! kernel to five outputs or fewer share the lanes. [`AmxWinograd`] transforms 3x3 kernels along columns; `matrix.rs`
//! multiplies what training transforms.
//!
//! With [`Products::Three`] each number is a high and a low bf16 part, and `a b` becomes
//! `a_high b_high + (a_high b_low + a_low b_high)`: about 16 bits of the significand. The operands are used in the
//! order low by high, high by high, high by low, so that each is still loaded once per step.

mod depth;
mod detect;
mod direct;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod epilogue;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod gemm;
mod layout;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod matrix;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pack;
mod products;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tile;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod winograd;

#[cfg(all(any(test, feature = "emulation"), target_arch = "x86_64", target_os = "linux"))]
mod emulator;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod tests;

#[cfg(any(all(test, target_arch = "x86_64", target_os = "linux"), feature = "emulation"))]
pub(crate) use detect::emulate;
pub(crate) use detect::is_available;
pub(crate) use layout::AmxConv;
pub(crate) use products::Products;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use winograd::AmxWinograd;
