//! BMP decoding, with `image`; the resolution is read from the header here.

use crate::codecs::decoded::Decoded;
use crate::limits::Budget;
use crate::{Fault, Resolution};
use image::ImageFormat;
use std::io::{BufRead, Seek};

/// Length of the header up to the end of the resolution.
const HEADER: usize = 46;

pub(crate) fn read(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let mut header = [0; HEADER];
    let resolution = file.read_exact(&mut header).ok().and_then(|()| resolution(&header));
    file.rewind().map_err(Fault::on_read)?;
    Decoded::by_image(file, ImageFormat::Bmp, resolution, budget)
}

/// Returns the resolution of a Windows header; OS/2's, which has 12 bytes, has none.
fn resolution(header: &[u8; HEADER]) -> Option<Resolution> {
    let number = |at: usize| header[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    number(14).filter(|size| *size >= 40).and_then(|_| Resolution::on_metre(number(38)?, number(42)?))
}
