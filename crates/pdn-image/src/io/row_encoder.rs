//! Encoding a picture in memory, row by row.

use crate::io::encoder::Encoder;
use crate::{AnyPicture, Depth, Fault, Format, Header, Picture, Sample, WriteOptions};
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Encodes a picture from its rows, top to bottom. This is [`RowWriter`](crate::RowWriter) for memory: it produces the
/// same bytes.
///
/// ```
/// use pdn_image::{Format, Header, RowEncoder, WriteOptions};
///
/// let header = Header { width: 256, height: 64, grey: true, ..Header::default() };
/// let mut encoder = RowEncoder::new(Format::Png, &header, &WriteOptions::default())?;
/// for _ in 0..64 {
///     encoder.write_rows(&std::array::from_fn::<u8, 256, _>(|x| x as u8))?;
/// }
/// assert!(encoder.finish()?.starts_with(b"\x89PNG"));
/// # Ok::<(), pdn_image::Fault>(())
/// ```
pub struct RowEncoder {
    encoder: Encoder<Shared>,
    bytes: Shared,
}

/// The bytes so far, shared with the encoder, which owns its writer.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Cursor<Vec<u8>>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cursor<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.lock().seek(to)
    }
}

impl RowEncoder {
    /// Begins a picture.
    ///
    /// # Errors
    /// Returns a [`Fault`] if the format cannot hold the size, the depth or the provenance.
    pub fn new(format: Format, header: &Header, options: &WriteOptions) -> Result<Self, Fault> {
        let bytes = Shared::default();
        let encoder = Encoder::new(format, header, options, || Ok(bytes.clone()))?;
        Ok(Self { encoder, bytes })
    }

    /// Encodes the next rows: any number of whole rows, interleaved, with as many samples as the header says. 16-bit
    /// samples are in native byte order.
    ///
    /// # Errors
    /// Returns a [`Fault`] if these are not whole rows or too many, or if JPEG gets transparency.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<(), Fault> {
        self.encoder.write_rows(rows)
    }

    /// Returns how many bytes are encoded so far. JPEG, WebP, AVIF and JPEG XL encode only at the end.
    pub fn encoded(&self) -> usize {
        self.bytes.lock().get_ref().len()
    }

    /// Finishes the picture and returns the bytes of its file.
    ///
    /// # Errors
    /// Returns a [`Fault`] if rows are missing or cannot be encoded.
    pub fn finish(self) -> Result<Vec<u8>, Fault> {
        Ok(match self.encoder.finish()? {
            Some(bytes) => bytes,
            None => std::mem::take(self.bytes.lock().get_mut()),
        })
    }
}

/// Encodes a picture with its ICC profile; a picture without colour is encoded as grey.
///
/// # Errors
/// Same as for [`RowEncoder`].
pub fn encode<S: Sample>(picture: &Picture<S>, format: Format, options: &WriteOptions) -> Result<Vec<u8>, Fault> {
    let header = picture.header();
    let mut encoder = RowEncoder::new(format, &header, options)?;
    for band in header.bands(0..header.height) {
        encoder.write_rows(&S::bytes(&picture.samples(band)))?;
    }
    encoder.finish()
}

/// Encodes a picture of either depth, as [`encode()`] does. 16 bits become 8 if the format has no more.
///
/// # Errors
/// Same as [`encode()`].
pub fn encode_any(picture: &AnyPicture, format: Format, options: &WriteOptions) -> Result<Vec<u8>, Fault> {
    match picture {
        AnyPicture::Sixteen(picture) if format.depth() == Depth::Sixteen => encode(picture, format, options),
        picture => encode(&picture.eight(), format, options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provenance, write, write_any};

    #[test]
    fn memory_gets_the_bytes_that_a_file_gets() {
        let folder = tempfile::tempdir().unwrap();
        let colour = Picture::from_rgb(37, 29, (0..37 * 29 * 3).map(|i| (i * 7 % 251) as u8).collect());
        let provenance = Provenance { software: "pdn".into(), facts: vec![("Prompt", "\"a <dog>\"".into())] };
        for provenance in [None, Some(provenance)] {
            let options = WriteOptions { provenance, ..WriteOptions::default() };
            for (format, ending) in
                [(Format::Png, "png"), (Format::Tiff, "tif"), (Format::Jpeg, "jpg"), (Format::WebP, "webp")]
            {
                let path = folder.path().join(format!("picture.{ending}"));
                write(&path, &colour, &options).unwrap();
                assert_eq!(encode(&colour, format, &options).unwrap(), std::fs::read(&path).unwrap(), "{ending}");
                let deep = AnyPicture::from(colour.converted::<u16>());
                write_any(&path, &deep, &options).unwrap();
                assert_eq!(encode_any(&deep, format, &options).unwrap(), std::fs::read(&path).unwrap(), "{ending}");
            }
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let header = Header { width: 5, height: 2, grey: true, ..Header::default() };
        let new = |format| RowEncoder::new(format, &header, &WriteOptions::default()).unwrap();
        for format in [Format::Png, Format::Tiff, Format::Jpeg, Format::WebP] {
            let mut encoder = new(format);
            assert!(matches!(encoder.write_rows(&[0; 4]), Err(Fault::PartOfRow { found: 4, row: 5 })));
            encoder.write_rows(&[0; 5]).unwrap();
            assert!(matches!(encoder.finish(), Err(Fault::Rows { found: 1, expected: 2 })));
            assert!(matches!(new(format).write_rows(&[0; 15]), Err(Fault::Rows { found: 3, expected: 2 })));
        }
        let wide = Header { width: 70_000, height: 1, grey: true, ..Header::default() };
        assert!(RowEncoder::new(Format::Jpeg, &wide, &WriteOptions::default()).is_err());
    }
}
