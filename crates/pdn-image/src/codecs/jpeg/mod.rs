//! JPEG (ITU-T T.81).

mod decode;
mod encode;
pub(crate) mod header;

pub(crate) use decode::read;
pub(crate) use encode::encode;
