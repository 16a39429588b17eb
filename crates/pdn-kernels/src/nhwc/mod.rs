//! Convolution of whole maps in NHWC order, forward and backward, for training.
//!
//! Maps are `[image][row][pixel][channel]`, and lanes are channels. What follows a convolution happens in registers:
//! the sum with another map, ReLU and pixel shuffle. In the backward pass, the gradients of ReLU and shuffle are
//! applied as the gradients are read.

mod conv;
mod direct;
mod gradient;
mod shape;
mod view;
mod winograd;

pub use conv::{Factors, PixelKernel};
pub use shape::{PixelConv, PixelMap, PixelStore};
