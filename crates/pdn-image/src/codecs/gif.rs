//! GIF decoding, with `image`: the first frame, on its canvas.

use crate::Fault;
use crate::codecs::decoded::{Decoded, FIRST};
use crate::limits::Budget;
use gif::DecodeOptions;
use image::{DynamicImage, ImageFormat};
use std::io::{BufRead, Read, Seek};

pub(crate) fn read(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let moves = has_more(&mut file, budget)?;
    file.rewind().map_err(Fault::on_read)?;
    let mut found = Decoded::by_image(file, ImageFormat::Gif, None, budget)?;
    if found.picture.width() == 0 || found.picture.height() == 0 {
        return Err(Fault::Damaged("its canvas has no pixels".into()));
    }
    // The decoder adds an alpha channel to every picture.
    if let DynamicImage::ImageRgba8(picture) = &found.picture
        && picture.pixels().all(|pixel| pixel[3] == u8::MAX)
    {
        found.picture = found.picture.into_rgb8().into();
    }
    found.notes.extend(moves.then_some(FIRST));
    Ok(found)
}

/// Returns whether a second frame follows the first. Neither is decoded here; the decoder reports what is wrong with
/// them.
///
/// A frame may be larger than the canvas and is still decoded whole, so it must fit the limit as well.
fn has_more(file: impl Read, budget: &Budget) -> Result<bool, Fault> {
    let mut options = DecodeOptions::new();
    options.skip_frame_decoding(true);
    let Ok(mut decoder) = options.read_info(file) else { return Ok(false) };
    let Ok(Some(first)) = decoder.next_frame_info() else { return Ok(false) };
    budget.check_pixels(first.width.into(), first.height.into())?;
    Ok(decoder.next_frame_info().is_ok_and(|frame| frame.is_some()))
}
