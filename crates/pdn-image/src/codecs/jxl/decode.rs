//! JPEG XL decoding, with jxl-oxide.

use crate::Fault;
use crate::codecs::decoded::{Decoded, image_fault, image_limits};
use crate::codecs::jxl::boxes;
use crate::limits::Budget;
use image::ImageDecoder;
use image::metadata::Orientation;
use jxl_oxide::integration::JxlDecoder;
use std::io::{BufRead, Cursor};

pub(crate) fn read(file: impl BufRead, budget: &mut Budget) -> Result<Decoded, Fault> {
    let (file, large) = boxes::read(file, budget)?;
    let mut decoder = JxlDecoder::new(Cursor::new(file)).map_err(image_fault)?;
    decoder.set_limits(image_limits(budget)).map_err(image_fault)?;
    // The decoder returns pictures already upright.
    let mut decoded = Decoded::from_decoder(decoder, Orientation::NoTransforms, budget)?;
    decoded.notes.extend(large);
    Ok(decoded)
}
