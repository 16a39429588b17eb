//! Reading and writing files: detects the format, checks it, and calls the codec.

pub(crate) mod atomic_file;
mod encoder;
pub(crate) mod options;
pub(crate) mod read;
pub(crate) mod row_encoder;
pub(crate) mod row_writer;
pub(crate) mod write;
