//! JPEG decoding, with `image`, after a check of the markers.

use crate::Fault;
use crate::codecs::decoded::{CMYK, Decoded};
use crate::codecs::jpeg::header::JpegHeader;
use crate::limits::Budget;
use crate::metadata::iptc;
use image::ImageFormat;
use std::io::{BufRead, Seek};

pub(crate) fn read(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let header = JpegHeader::read(&mut file)?;
    budget.check_pixels(header.width.into(), header.height.into())?;
    if header.components == 4 && !header.adobe {
        return Err(Fault::Unsupported(
            "a four-channel JPEG without an Adobe marker that says how the inks are stored".into(),
        ));
    }
    file.rewind().map_err(Fault::on_read)?;
    let mut decoded = Decoded::by_image(file, ImageFormat::Jpeg, header.resolution, budget)?;
    decoded.notes.extend(header.iptc.then_some(iptc::NOTE));
    decoded.notes.extend((header.components == 4).then_some(CMYK));
    Ok(decoded)
}
