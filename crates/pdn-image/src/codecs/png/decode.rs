//! PNG decoding, with the crate `png`, which `image` also uses: it gives more of the metadata than `image` passes on.

use crate::codecs::decoded::{Decoded, FIRST, LARGE_PROFILE, XMP, eight, sixteen};
use crate::limits::Budget;
use crate::metadata::{icc, iptc};
use crate::{Fault, Resolution};
use image::DynamicImage;
use image::metadata::Orientation;
use png::{BitDepth, ColorType, DecodingError, Info, Transformations, Unit};
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

pub(crate) fn read(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let has_profile = has_profile(&mut file).map_err(Fault::on_read)?;
    file.rewind().map_err(Fault::on_read)?;
    // The decoder holds a chunk as read and again as parsed, in a buffer that grows by doubling. What is left is for
    // the inflated profile; a longer one is skipped.
    let bytes = budget.length().saturating_mul(3).saturating_add(budget.metadata());
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes });
    decoder.set_transformations(Transformations::EXPAND);
    let info = decoder.read_header_info().map_err(fault)?;
    budget.check_pixels(info.width.into(), info.height.into())?;
    let mut reader = decoder.read_info().map_err(fault)?;
    let too_large = || Fault::Damaged("its size exceeds the address space".into());
    let mut samples = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
    reader.next_frame(&mut samples).map_err(fault)?;
    budget.in_time()?;
    let picture = picture(reader.info(), reader.output_color_type(), samples)?;
    Ok(decoded(reader.info(), has_profile, picture, budget))
}

/// Returns whether a profile precedes the data; the decoder skips one that is damaged or too long.
fn has_profile(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    file.seek(SeekFrom::Start(8))?;
    let mut head = [0; 8];
    loop {
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let [a, b, c, d, name @ ..] = head;
        match &name {
            b"iCCP" => return Ok(true),
            b"IDAT" | b"IEND" => return Ok(false),
            // A checksum follows the data.
            _ => file.seek_relative(i64::from(u32::from_be_bytes([a, b, c, d])) + 4)?,
        }
    }
}

fn decoded(info: &Info, has_profile: bool, picture: DynamicImage, budget: &mut Budget) -> Decoded {
    let block = info.exif_metadata.as_deref();
    let orientation = block.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let mut found = Decoded::new(picture, orientation, info.icc_profile.as_deref(), block, budget);
    let grey = matches!(info.color_type, ColorType::Grayscale | ColorType::GrayscaleAlpha);
    let metre = info.pixel_dims.filter(|found| found.unit == Unit::Meter);
    let resolution = metre.and_then(|found| Resolution::on_metre(found.xppu, found.yppu));
    found.resolution = resolution.map(|resolution| resolution.turned(orientation));
    let plain = info.uncompressed_latin1_text.iter().map(|text| &text.keyword);
    let mut texts = plain.chain(info.compressed_latin1_text.iter().map(|text| &text.keyword));
    let has_xmp = info.utf8_text.iter().any(|text| text.keyword.contains("XML:com.adobe.xmp"));
    found.notes.extend((has_profile && info.icc_profile.is_none()).then_some(LARGE_PROFILE));
    found.notes.extend(has_xmp.then_some(XMP));
    found.notes.extend(texts.any(|keyword| keyword == "Raw profile type iptc").then_some(iptc::NOTE));
    found.notes.extend(info.animation_control.is_some_and(|found| found.num_frames > 1).then_some(FIRST));
    found.icc = found.icc.or_else(|| icc::of_png(info, grey));
    found
}

/// Builds the decoded picture from its samples; 16-bit ones are big-endian.
fn picture(info: &Info, (color, depth): (ColorType, BitDepth), samples: Vec<u8>) -> Result<DynamicImage, Fault> {
    let grey = matches!(color, ColorType::Grayscale | ColorType::GrayscaleAlpha);
    let alpha = matches!(color, ColorType::GrayscaleAlpha | ColorType::Rgba);
    match depth {
        BitDepth::Eight => eight(grey, alpha, info.size(), samples),
        BitDepth::Sixteen => {
            let samples = samples.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            sixteen(grey, alpha, info.size(), samples)
        }
        // Lower depths are expanded to 8.
        depth => Err(Fault::Unsupported(format!("a PNG of {color:?} with {depth:?} bits"))),
    }
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) => Fault::on_decode(error),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}
