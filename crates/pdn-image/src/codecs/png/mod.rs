//! PNG (third edition).

mod decode;
mod encode;

pub(crate) use decode::read;
pub(crate) use encode::PngEncoder;
