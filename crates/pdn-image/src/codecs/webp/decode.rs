//! WebP decoding, with the crate `image-webp`, which `image` also uses: used directly, it accepts a limit for metadata.

use crate::Fault;
use crate::codecs::decoded::{DAMAGED_EXIF, Decoded, FIRST, LARGE_PROFILE, XMP, eight};
use crate::limits::Budget;
use image::metadata::Orientation;
use image_webp::{DecodingError, WebPDecoder};
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

pub(crate) fn read(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    // Skip the signature and the total length.
    check_frames(&mut file, 12..u64::MAX, budget)?;
    file.rewind().map_err(Fault::on_read)?;
    let mut decoder = WebPDecoder::new(file).map_err(fault)?;
    let (width, height) = decoder.dimensions();
    budget.check_pixels(width.into(), height.into())?;
    // A chunk can state any length.
    decoder.set_memory_limit(usize::try_from(budget.length()).unwrap_or(usize::MAX));
    let (icc, block) = (decoder.icc_profile(), decoder.exif_metadata());
    let has_xmp = decoder.xmp_metadata().is_ok_and(|packet| packet.is_some());
    let mut samples = vec![0; decoder.output_buffer_size().ok_or_else(Fault::truncated)?];
    decoder.read_image(&mut samples).map_err(fault)?;
    budget.in_time()?;
    let mut notes = Vec::new();
    notes.extend(icc.is_err().then_some(LARGE_PROFILE));
    notes.extend(block.is_err().then_some(DAMAGED_EXIF));
    notes.extend(has_xmp.then_some(XMP));
    notes.extend(decoder.is_animated().then_some(FIRST));
    let (icc, block) = (icc.unwrap_or(None), block.unwrap_or(None));
    let orientation = block.as_deref().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let picture = eight(false, decoder.has_alpha(), (width, height), samples)?;
    let mut found = Decoded::new(picture, orientation, icc.as_deref(), block.as_deref(), budget);
    found.notes.extend(notes);
    Ok(found)
}

/// Bytes of a chunk before its data.
const HEAD: u64 = 8;
/// Bytes of an animation frame before its chunks.
const FRAME: u64 = 16;

/// Checks every picture in the chunks, including frames, against the limit: the decoder compares it with the canvas
/// only when it decodes it.
fn check_frames(file: &mut (impl Read + Seek), within: std::ops::Range<u64>, budget: &Budget) -> Result<(), Fault> {
    let mut at = within.start;
    while at < within.end {
        file.seek(SeekFrom::Start(at)).map_err(Fault::on_read)?;
        let mut head = [0; 18];
        let found = filled(file, &mut head).map_err(Fault::on_read)?;
        let [_, _, _, _, a, b, c, d, data @ ..] = head;
        let Some(length) = (found >= HEAD as usize).then(|| u64::from(u32::from_le_bytes([a, b, c, d]))) else { break };
        match (&head[..4], data) {
            (b"VP8 ", [_, _, _, _, _, _, a, b, c, d]) => {
                // The upper bits are the scale.
                let side = |low: u8, high: u8| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
                budget.check_pixels(side(a, b), side(c, d))?;
            }
            (b"VP8L", [_, a, b, c, d, ..]) => {
                let sides = u64::from(u32::from_le_bytes([a, b, c, d]));
                budget.check_pixels(1 + (sides & 0x3fff), 1 + (sides >> 14 & 0x3fff))?;
            }
            (b"ANMF", _) if within.end == u64::MAX => {
                check_frames(file, at + HEAD + FRAME..at + HEAD + length, budget)?;
            }
            _ => {}
        }
        at += HEAD + length.next_multiple_of(2);
    }
    Ok(())
}

/// Fills as much of the buffer as possible, and returns how much that is.
fn filled(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match file.read(&mut bytes[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) => Fault::on_decode(error),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}
