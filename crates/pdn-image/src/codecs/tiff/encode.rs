//! TIFF encoding, compressed strip by strip: Deflate with horizontal differencing (Adobe's supplement 2 and section
//! 14). A strip's length is known only once it is compressed, so the directories follow the strips, and the file's
//! header is written last. Beyond 4 GiB the file is a BigTIFF.

use crate::codecs::tiff::XMP;
use crate::metadata::exif::{self, Field};
use crate::{Depth, Fault, Header, Provenance, Resolution};
use std::io::{Error, Seek, Write};
use tiff::encoder::compression::{CompressionAlgorithm, Deflate};
use tiff::encoder::{DeflateLevel, DirectoryEncoder, Rational, TiffEncoder, TiffKind};
use tiff::tags::{CompressionMethod, ExtraSamples, PhotometricInterpretation, Predictor, Tag, Type};
use tiff::{Directory, TiffError, TiffResult};

/// Bytes of a strip before compression: whole rows, at least one.
const STRIP: usize = 256 << 10;

/// At the next level, files are smaller by a quarter and take nine times as long: `docs/formats.md`.
const LEVEL: DeflateLevel = DeflateLevel::Fast;

/// Room for what comes in addition to samples, profile, EXIF and packet: directories, and a thousandth for what does
/// not compress.
const REST: u64 = 16 << 20;

/// Returns whether a picture is written as a BigTIFF because its offsets may not fit in 32 bits.
pub(crate) fn is_big(header: &Header, provenance: Option<&Provenance>) -> bool {
    let optional = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let packet = provenance.map_or(0, |provenance| provenance.packet().len());
    let beside = (optional(&header.icc) + optional(&header.exif) + packet) as u64;
    beside + header.row_bytes() as u64 * header.height as u64 + REST > u64::from(u32::MAX)
}

/// A TIFF while it is written; holds one strip.
pub(crate) struct StripEncoder<W: Write + Seek, K: TiffKind> {
    encoder: TiffEncoder<W, K>,
    header: Header,
    packet: Option<String>,
    /// Samples of the incomplete strip.
    strip: Vec<u8>,
    /// Offsets of the strips, and their lengths.
    offsets: Vec<K::OffsetType>,
    lengths: Vec<K::OffsetType>,
}

impl<W: Write + Seek, K: TiffKind> StripEncoder<W, K> {
    /// Begins a file with a picture whose size is already checked.
    pub(crate) fn new(file: W, header: &Header, provenance: Option<&Provenance>) -> Result<Self, Fault> {
        Ok(Self {
            encoder: TiffEncoder::new_generic(file).map_err(fault)?,
            header: header.clone(),
            packet: provenance.map(Provenance::packet),
            strip: Vec::new(),
            offsets: Vec::new(),
            lengths: Vec::new(),
        })
    }

    /// Writes whole rows.
    pub(crate) fn write(&mut self, mut rows: &[u8]) -> Result<(), Fault> {
        let full = self.tall() * self.header.row_bytes();
        while !rows.is_empty() {
            let (taken, rest) = rows.split_at(rows.len().min(full - self.strip.len()));
            self.strip.extend_from_slice(taken);
            rows = rest;
            if self.strip.len() == full {
                self.put_strip().map_err(fault)?;
            }
        }
        Ok(())
    }

    /// Writes the last strip and what follows the rows, which must be complete.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        if !self.strip.is_empty() {
            self.put_strip().map_err(fault)?;
        }
        self.put_directories().map_err(fault)
    }

    /// Returns the rows per strip.
    fn tall(&self) -> usize {
        (STRIP / self.header.row_bytes()).clamp(1, self.header.height)
    }

    fn put_strip(&mut self) -> TiffResult<()> {
        for row in self.strip.chunks_exact_mut(self.header.row_bytes()) {
            match self.header.depth {
                Depth::Eight => differences(row, self.header.samples()),
                Depth::Sixteen => differences_of_16(row, self.header.samples()),
            }
        }
        let mut compressed = Vec::new();
        Deflate::with_level(LEVEL).write_to(&mut compressed, &self.strip)?;
        self.strip.clear();
        let mut place = self.encoder.extra_directory()?;
        self.offsets.push(K::convert_offset(place.write_data(&compressed[..])?)?);
        self.lengths.push(K::convert_offset(compressed.len() as u64)?);
        // Dropping it would write a directory without entries: it only reserved a place in the file.
        std::mem::forget(place);
        Ok(())
    }

    fn put_directories(&mut self) -> TiffResult<()> {
        let tall = self.tall();
        let [taken, exif, gps] = self.header.exif.as_deref().and_then(exif::fields).unwrap_or_default();
        let mut links = Vec::new();
        for (tag, fields) in [(Tag::ExifDirectory, exif), (Tag::GpsDirectory, gps)] {
            if !fields.is_empty() {
                let mut directory = self.encoder.extra_directory()?;
                fields.iter().try_for_each(|field| put_field(&mut directory, field))?;
                links.push((tag, directory.finish_with_offsets()?.offset));
            }
        }
        let mut directory = self.encoder.image_directory()?;
        let colours =
            if self.header.grey { PhotometricInterpretation::BlackIsZero } else { PhotometricInterpretation::RGB };
        directory.write_tag(Tag::ImageWidth, self.header.width as u32)?;
        directory.write_tag(Tag::ImageLength, self.header.height as u32)?;
        directory.write_tag(Tag::BitsPerSample, &vec![self.header.depth.bits() as u16; self.header.samples()][..])?;
        directory.write_tag(Tag::Compression, CompressionMethod::Deflate)?;
        directory.write_tag(Tag::Predictor, Predictor::Horizontal)?;
        directory.write_tag(Tag::PhotometricInterpretation, colours)?;
        directory.write_tag(Tag::SamplesPerPixel, self.header.samples() as u16)?;
        if self.header.alpha {
            directory.write_tag(Tag::ExtraSamples, &[ExtraSamples::UnassociatedAlpha][..])?;
        }
        let resolution = self.header.resolution;
        // If the resolution is unknown, write 1 to 1 without a unit: readers expect the tags.
        let [x, y] = resolution.map_or([(1, 1); 2], Resolution::tiff).map(|(n, d)| Rational { n, d });
        directory.write_tag(Tag::XResolution, x)?;
        directory.write_tag(Tag::YResolution, y)?;
        directory.write_tag(Tag::ResolutionUnit, resolution.map_or(1, Resolution::tiff_unit))?;
        if let Some(icc) = &self.header.icc {
            put_bytes(&mut directory, Tag::IccProfile, Type::UNDEFINED, icc)?;
        }
        if let Some(packet) = &self.packet {
            put_bytes(&mut directory, XMP, Type::BYTE, packet.as_bytes())?;
        }
        taken.iter().try_for_each(|field| put_field(&mut directory, field))?;
        for (tag, place) in links {
            directory.write_tag(tag, place)?;
        }
        directory.write_tag(Tag::RowsPerStrip, tall as u32)?;
        directory.write_tag(Tag::StripOffsets, K::convert_slice(&self.offsets))?;
        directory.write_tag(Tag::StripByteCounts, K::convert_slice(&self.lengths))?;
        directory.finish()
    }
}

/// Replaces each sample of a row by its difference from the previous pixel's; the first pixel stays.
fn differences(row: &mut [u8], samples: usize) {
    for i in (samples..row.len()).rev() {
        row[i] = row[i].wrapping_sub(row[i - samples]);
    }
}

/// Does the same for 16-bit samples in native byte order, which is the file's.
fn differences_of_16(row: &mut [u8], samples: usize) {
    let row = row.as_chunks_mut().0;
    for i in (samples..row.len()).rev() {
        row[i] = u16::from_ne_bytes(row[i]).wrapping_sub(u16::from_ne_bytes(row[i - samples])).to_ne_bytes();
    }
}

/// Keeps the system's error, so that a full disk is distinguishable from an encoder error.
fn fault(error: TiffError) -> Fault {
    match error {
        TiffError::IoError(error) => Fault::on_write(error),
        other => Fault::on_write(Error::other(other.to_string())),
    }
}

/// Writes an EXIF field; skips one of a type unknown to TIFF.
fn put_field<W: Write + Seek, K: TiffKind>(
    directory: &mut DirectoryEncoder<'_, W, K>,
    field: &Field,
) -> TiffResult<()> {
    match Type::from_u16(field.kind) {
        Some(kind) => put_bytes(directory, Tag::from_u16_exhaustive(field.tag), kind, &field.bytes),
        None => Ok(()),
    }
}

/// Writes a tag of bytes, padded to an even length, as what follows must begin at an even offset.
fn put_bytes<W: Write + Seek, K: TiffKind>(
    directory: &mut DirectoryEncoder<'_, W, K>,
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
    use std::io::Cursor;
    use tiff::decoder::{Decoder, DecodingResult};
    use tiff::encoder::{TiffKindBig, TiffKindStandard};

    #[test]
    fn directories_follow_the_strips_and_lead_to_them() {
        check::<TiffKindStandard>(42);
        check::<TiffKindBig>(43);
    }

    fn check<K: TiffKind>(version: u8) {
        for (width, height, grey, alpha, strips) in
            [(1, 1, true, false, 1), (7, 5, false, true, 1), (300_000, 3, false, false, 3), (1000, 1001, true, true, 8)]
        {
            let header = Header { width, height, grey, alpha, icc: Some(vec![7; 131]), ..Header::default() };
            let provenance = Provenance { software: "pdn".into(), facts: vec![] };
            let samples: Vec<u8> = (0..header.row_bytes() * height).map(|i| (i * i / 7 % 256) as u8).collect();
            let mut file = Cursor::new(Vec::new());
            let mut rows = StripEncoder::<_, K>::new(&mut file, &header, Some(&provenance)).unwrap();
            rows.write(&samples).unwrap();
            rows.finish().unwrap();
            let file = file.into_inner();
            assert_eq!(file[2], version, "{width}x{height}");
            let mut decoder = Decoder::new(Cursor::new(file)).unwrap();
            assert_eq!(decoder.dimensions().unwrap(), (width as u32, height as u32));
            assert_eq!(decoder.get_tag_u8_vec(Tag::IccProfile).unwrap(), [7; 131]);
            assert_eq!(decoder.get_tag_u8_vec(XMP).unwrap(), provenance.packet().as_bytes());
            assert_eq!(decoder.strip_count().unwrap(), strips, "{width}x{height}");
            let DecodingResult::U8(read) = decoder.read_image().unwrap() else { panic!("8 bits") };
            assert!(read == samples, "{width}x{height}");
        }
    }

    #[test]
    fn places_beyond_32_bits_make_a_big_file() {
        for (width, height, expected) in [(40_000, 35_000, false), (40_000, 40_000, true)] {
            assert_eq!(is_big(&Header { width, height, ..Header::default() }, None), expected, "{width}x{height}");
        }
    }

    #[test]
    fn differences_wrap_and_end_with_the_row() {
        let mut row = [200, 10, 3, 250];
        differences(&mut row, 2);
        assert_eq!(row, [200, 10, 59, 240]);
        let mut row: Vec<u8> = [65_535_u16, 1, 300].into_iter().flat_map(u16::to_ne_bytes).collect();
        differences_of_16(&mut row, 1);
        assert_eq!(row, [65_535_u16, 2, 299].map(u16::to_ne_bytes).concat());
    }

    #[test]
    fn a_full_disk_is_an_error_wherever_it_is_met() {
        let header = Header { width: 5, height: 7, ..Header::default() };
        let write = |file: &mut [u8]| {
            let mut rows = StripEncoder::<_, TiffKindStandard>::new(Cursor::new(file), &header, None)?;
            rows.write(&[9; 105])?;
            rows.finish()
        };
        let mut disk = [0; 1 << 10];
        write(&mut disk).unwrap();
        let length = disk.iter().rposition(|&byte| byte != 0).unwrap();
        for holds in 0..length {
            match write(&mut disk[..holds]) {
                Err(Fault::Io { error, .. }) if error.kind() == std::io::ErrorKind::WriteZero => {}
                other => panic!("a disk of {holds} bytes: {other:?}"),
            }
        }
    }
}
