//! Pictures encoded in memory, as their rows come: what is sent and never stored.

use crate::png_rows::PngRows;
use crate::whole::Whole;
use crate::write::{Format, WriteOptions};
use crate::{Fault, Header, Picture, tiff_head};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Encodes a picture whose rows come one after the other, from the top. What [`RowWriter`](crate::RowWriter) is for files,
/// this is for memory: the same bytes.
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
    body: Body,
    bytes: Shared,
    row_bytes: usize,
    /// Rows that were given, and that there will be.
    given: usize,
    height: usize,
}

/// What becomes of rows.
enum Body {
    Png(Box<PngRows<Shared>>),
    Tiff,
    Whole(Whole),
}

/// The bytes so far, which PNG's encoder wants to own as well.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn push(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RowEncoder {
    /// Begins a picture.
    ///
    /// # Errors
    /// [`Fault`] where the format cannot hold the size or the provenance.
    pub fn new(format: Format, header: &Header, options: &WriteOptions) -> Result<Self, Fault> {
        format.check_size(header.width, header.height)?;
        let provenance = options.provenance.as_ref();
        provenance.map_or(Ok(()), |provenance| provenance.check(format))?;
        let bytes = Shared::default();
        let body = match format {
            Format::Png => Body::Png(Box::new(PngRows::begin(bytes.clone(), header, provenance)?)),
            Format::Tiff => {
                bytes.push(&tiff_head::head(header, provenance)?);
                Body::Tiff
            }
            Format::Jpeg | Format::WebP => Body::Whole(Whole::new(format, header, options)),
        };
        Ok(Self { body, bytes, row_bytes: header.row_bytes(), given: 0, height: header.height })
    }

    /// Takes the next rows: any number of whole ones, interleaved, of as many samples as the header says.
    ///
    /// # Errors
    /// [`Fault`]: these are no whole rows or too many, or JPEG is given transparency.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<(), Fault> {
        if !rows.len().is_multiple_of(self.row_bytes) {
            return Err(Fault::PartOfRow { found: rows.len(), row: self.row_bytes });
        }
        self.given += rows.len() / self.row_bytes;
        if self.given > self.height {
            return Err(Fault::Rows { found: self.given, expected: self.height });
        }
        match &mut self.body {
            Body::Png(png) => png.write(rows),
            Body::Tiff => {
                self.bytes.push(rows);
                Ok(())
            }
            Body::Whole(whole) => whole.push(rows),
        }
    }

    /// Bytes that are encoded so far; those of JPEG and WebP are encoded at the end.
    pub fn encoded(&self) -> usize {
        self.bytes.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Ends the picture and gives its file's bytes.
    ///
    /// # Errors
    /// [`Fault`]: rows are missing, or they cannot be encoded.
    pub fn finish(self) -> Result<Vec<u8>, Fault> {
        if self.given != self.height {
            return Err(Fault::Rows { found: self.given, expected: self.height });
        }
        match self.body {
            Body::Png(png) => png.end()?,
            Body::Tiff => {}
            Body::Whole(whole) => return whole.encoded(),
        }
        Ok(std::mem::take(&mut *self.bytes.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Encodes a picture, with its ICC profile; one without colour as grey.
///
/// # Errors
/// As [`RowEncoder`]'s.
pub fn encode(picture: &Picture, format: Format, options: &WriteOptions) -> Result<Vec<u8>, Fault> {
    let header = picture.header();
    let mut encoder = RowEncoder::new(format, &header, options)?;
    for band in header.bands(0..header.height) {
        encoder.write_rows(&picture.samples(band))?;
    }
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provenance, write};

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
