//! A super-resolution network as a value.
#![forbid(unsafe_code)]
mod tensor;
pub use tensor::{Tensor, Tensors};
