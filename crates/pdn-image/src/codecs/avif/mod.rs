//! AVIF (AV1 Image File Format 1.1, in the boxes of ISO 14496-12 and 23008-12).

mod decode;
mod encode;
mod parse;
mod serialize;

pub(crate) use decode::read;
pub(crate) use encode::encode;
