//! TIFF (revision 6.0), its rows laid down as they come: they are not compressed, so that the place of each is known
//! beforehand, and all that is not a row stands before them. Beyond 4 GiB it is a BigTIFF.

use crate::exif::{self, Field};
use crate::{Fault, Header, Provenance};
use std::io::{Cursor, Error};
use tiff::encoder::{DirectoryEncoder, Rational, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard};
use tiff::tags::{CompressionMethod, ExtraSamples, PhotometricInterpretation, ResolutionUnit, Tag, Type};
use tiff::{Directory, TiffResult};

/// The tag of an XMP packet (XMP specification, part 3).
pub(crate) const XMP: Tag = Tag::Unknown(700);

/// Bytes of a strip: whole rows, at least one.
const STRIP: usize = 256 << 10;

/// What may stand before the rows beside a profile and a packet.
const HEAD: u64 = 16 << 20;

/// The bytes before the rows of a picture, whose size was checked.
pub(crate) fn head(header: &Header, provenance: Option<&Provenance>) -> Result<Vec<u8>, Fault> {
    let packet = provenance.map(Provenance::packet);
    let optional = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let lengths = [optional(&header.icc), optional(&header.exif), packet.as_ref().map_or(0, String::len)];
    let total = lengths.into_iter().map(|n| n as u64).sum::<u64>() + header.row_bytes() as u64 * header.height as u64;
    let head = match total + HEAD <= u64::from(u32::MAX) {
        true => placed::<TiffKindStandard>(header, packet.as_deref()),
        false => placed::<TiffKindBig>(header, packet.as_deref()),
    };
    head.map_err(|error| Fault::written(Error::other(error.to_string())))
}

/// The head with the rows behind it: its length does not depend on where they are.
fn placed<K: TiffKind>(header: &Header, packet: Option<&str>) -> TiffResult<Vec<u8>> {
    let length = written::<K>(header, packet, 0)?.len();
    written::<K>(header, packet, length)
}

/// The head of a file whose rows begin at byte `rows`.
fn written<K: TiffKind>(header: &Header, packet: Option<&str>, rows: usize) -> TiffResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::<_, K>::new_generic(&mut bytes)?;
    let [taken, exif, gps] = header.exif.as_deref().and_then(exif::fields).unwrap_or_default();
    let mut links = Vec::new();
    for (tag, fields) in [(Tag::ExifDirectory, exif), (Tag::GpsDirectory, gps)] {
        if !fields.is_empty() {
            let mut directory = encoder.extra_directory()?;
            fields.iter().try_for_each(|field| put_field(&mut directory, field))?;
            links.push((tag, directory.finish_with_offsets()?.offset));
        }
    }
    let mut directory = encoder.image_directory()?;
    let colours = if header.grey { PhotometricInterpretation::BlackIsZero } else { PhotometricInterpretation::RGB };
    directory.write_tag(Tag::ImageWidth, header.width as u32)?;
    directory.write_tag(Tag::ImageLength, header.height as u32)?;
    directory.write_tag(Tag::BitsPerSample, &vec![header.depth.bits() as u16; header.samples()][..])?;
    directory.write_tag(Tag::Compression, CompressionMethod::None)?;
    directory.write_tag(Tag::PhotometricInterpretation, colours)?;
    directory.write_tag(Tag::SamplesPerPixel, header.samples() as u16)?;
    if header.alpha {
        directory.write_tag(Tag::ExtraSamples, &[ExtraSamples::UnassociatedAlpha][..])?;
    }
    // Of no unit: pictures have none here.
    directory.write_tag(Tag::XResolution, Rational { n: 1, d: 1 })?;
    directory.write_tag(Tag::YResolution, Rational { n: 1, d: 1 })?;
    directory.write_tag(Tag::ResolutionUnit, ResolutionUnit::None)?;
    if let Some(icc) = &header.icc {
        put_bytes(&mut directory, Tag::IccProfile, Type::UNDEFINED, icc)?;
    }
    if let Some(packet) = packet {
        put_bytes(&mut directory, XMP, Type::BYTE, packet.as_bytes())?;
    }
    taken.iter().try_for_each(|field| put_field(&mut directory, field))?;
    for (tag, place) in links {
        directory.write_tag(tag, place)?;
    }
    let tall = (STRIP / header.row_bytes()).clamp(1, header.height);
    let starts = (0..header.height).step_by(tall);
    let offsets = starts.clone().map(|y| K::convert_offset((rows + y * header.row_bytes()) as u64));
    let lengths = starts.map(|y| K::convert_offset((tall.min(header.height - y) * header.row_bytes()) as u64));
    directory.write_tag(Tag::RowsPerStrip, tall as u32)?;
    directory.write_tag(Tag::StripOffsets, K::convert_slice(&offsets.collect::<TiffResult<Vec<_>>>()?))?;
    directory.write_tag(Tag::StripByteCounts, K::convert_slice(&lengths.collect::<TiffResult<Vec<_>>>()?))?;
    directory.finish()?;
    Ok(bytes.into_inner())
}

/// Writes a field of EXIF; one of a type that is not known to TIFF is left out.
fn put_field<K: TiffKind>(
    directory: &mut DirectoryEncoder<'_, &mut Cursor<Vec<u8>>, K>,
    field: &Field,
) -> TiffResult<()> {
    match Type::from_u16(field.kind) {
        Some(kind) => put_bytes(directory, Tag::from_u16_exhaustive(field.tag), kind, &field.bytes),
        None => Ok(()),
    }
}

/// Writes a tag of bytes, and one more where they are odd, as what follows begins at an even byte.
fn put_bytes<K: TiffKind>(
    directory: &mut DirectoryEncoder<'_, &mut Cursor<Vec<u8>>, K>,
    tag: Tag,
    kind: Type,
    bytes: &[u8],
) -> TiffResult<()> {
    let entry = directory.write_entry_bytes(kind, bytes)?;
    directory.extend_from(&Directory::from_iter([(tag, entry)]));
    if bytes.len() % 2 == 1 {
        directory.write_data(0_u8)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiff::decoder::Decoder;

    #[test]
    fn strips_follow_the_head_and_end_with_the_picture() {
        for (width, height, grey, alpha, big) in [
            (1, 1, true, false, false),
            (7, 5, false, true, false),
            (300_000, 3, false, false, false),
            (1000, 1001, true, true, false),
            (40_000, 35_000, false, false, false),
            (40_000, 40_000, false, false, true),
        ] {
            let header = Header { width, height, grey, alpha, icc: Some(vec![7; 131]), ..Header::default() };
            let provenance = Provenance { software: "pdn".into(), facts: vec![] };
            let head = head(&header, Some(&provenance)).unwrap();
            assert_eq!(head[2], if big { 43 } else { 42 }, "{width}x{height}");
            let length = head.len() as u64;
            let mut decoder = Decoder::new(Cursor::new(head)).unwrap();
            assert_eq!(decoder.dimensions().unwrap(), (width as u32, height as u32));
            assert_eq!(decoder.get_tag_u8_vec(Tag::IccProfile).unwrap(), [7; 131]);
            assert_eq!(decoder.get_tag_u8_vec(XMP).unwrap(), provenance.packet().as_bytes());
            let offsets = decoder.get_tag_u64_vec(Tag::StripOffsets).unwrap();
            let lengths = decoder.get_tag_u64_vec(Tag::StripByteCounts).unwrap();
            let mut at = length;
            for (offset, length) in offsets.iter().zip(&lengths) {
                assert_eq!(*offset, at, "{width}x{height}");
                at += length;
            }
            assert_eq!(at - length, (header.row_bytes() * height) as u64);
        }
    }
}
