//! PNG encoding, compressed row by row.

use crate::{Depth, Fault, Header, Provenance};
use png::{BitDepth, ColorType, Compression, Encoder, Filter, Info, PixelDimensions, StreamWriter, Unit};
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

/// A PNG while it is written; holds a few rows and a chunk.
pub(crate) struct PngEncoder<W: Write + 'static> {
    stream: StreamWriter<'static, Deferred<W>>,
    failed: FirstError,
    depth: Depth,
}

/// Size of a chunk of compressed data.
const CHUNK: usize = 128 << 10;

impl<W: Write + 'static> PngEncoder<W> {
    /// Writes what precedes the rows. The size must be checked already.
    pub(crate) fn new(file: W, header: &Header, provenance: Option<&Provenance>) -> Result<Self, Fault> {
        let failed = FirstError::default();
        let mut info = Info::with_size(header.width as u32, header.height as u32);
        info.icc_profile = header.icc.clone().map(Into::into);
        info.exif_metadata = header.exif.clone().map(Into::into);
        info.pixel_dims = header.resolution.map(|resolution| {
            let [xppu, yppu] = resolution.metre();
            PixelDimensions { xppu, yppu, unit: Unit::Meter }
        });
        let begin = || {
            let mut encoder = Encoder::with_info(Deferred { file, failed: failed.clone() }, info)?;
            encoder.set_color(match (header.grey, header.alpha) {
                (true, false) => ColorType::Grayscale,
                (true, true) => ColorType::GrayscaleAlpha,
                (false, false) => ColorType::Rgb,
                (false, true) => ColorType::Rgba,
            });
            encoder.set_depth(match header.depth {
                Depth::Eight => BitDepth::Eight,
                Depth::Sixteen => BitDepth::Sixteen,
            });
            // The default of `image`.
            encoder.set_compression(Compression::Fast);
            encoder.set_filter(Filter::Adaptive);
            if let Some(provenance) = provenance {
                encoder.add_itxt_chunk("XML:com.adobe.xmp".into(), provenance.packet())?;
            }
            encoder.write_header()?.into_stream_writer_with_size(CHUNK)
        };
        let stream = begin();
        failed.check(&stream)?;
        Ok(Self { stream: stream.map_err(Fault::on_encode)?, failed, depth: header.depth })
    }

    pub(crate) fn write(&mut self, rows: &[u8]) -> Result<(), Fault> {
        let written = match self.depth {
            Depth::Eight => self.stream.write_all(rows),
            // PNG samples are big-endian.
            Depth::Sixteen => self.stream.write_all(&big_endian(rows)),
        };
        self.failed.check(&written)
    }

    /// Writes what follows the rows, which must be complete.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        let ended = self.stream.finish();
        self.failed.check(&ended)
    }
}

/// Converts 16-bit samples from native to big-endian order.
fn big_endian(rows: &[u8]) -> Vec<u8> {
    rows.as_chunks().0.iter().flat_map(|pair| u16::from_ne_bytes(*pair).to_be_bytes()).collect()
}

/// A file that accepts every write and keeps its first error for later: the encoder writes its last data when it is
/// dropped, where it cannot return an error, and assumes that the last checksum can be written.
struct Deferred<W> {
    file: W,
    failed: FirstError,
}

impl<W: Write> Write for Deferred<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.0.get().is_none() {
            self.file.write_all(bytes).unwrap_or_else(|error| drop(self.failed.0.set(error)));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first error of a file.
#[derive(Clone, Default)]
struct FirstError(Arc<OnceLock<io::Error>>);

impl FirstError {
    /// Returns the file's error, or otherwise the encoder's own.
    fn check<T, E: Display>(&self, encoded: &Result<T, E>) -> Result<(), Fault> {
        match (self.0.get(), encoded) {
            (Some(error), _) => Err(Fault::on_write(io::Error::new(error.kind(), error.to_string()))),
            (None, Err(error)) => Err(Fault::on_encode(error)),
            (None, Ok(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A disk that is full after some bytes.
    #[derive(Clone, Default)]
    struct Disk {
        holds: usize,
        file: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut file = self.file.lock().unwrap();
            match bytes.len().min(self.holds - file.len()) {
                0 => Err(io::ErrorKind::StorageFull.into()),
                n => file.write(&bytes[..n]),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_an_error_wherever_it_is_met() {
        let header = Header { width: 5, height: 7, ..Header::default() };
        let rows: Vec<u8> = (0..105).map(|i| (i * 37 % 256) as u8).collect();
        let write = |holds| {
            let disk = Disk { holds, ..Disk::default() };
            let mut png = PngEncoder::new(disk.clone(), &header, None)?;
            png.write(&rows[..30])?;
            png.write(&rows[30..])?;
            png.finish()?;
            Ok(disk.file.lock().unwrap().clone())
        };
        let whole = write(1 << 20).unwrap();
        assert!(whole.ends_with(b"IEND\xae\x42\x60\x82"));
        for holds in 0..whole.len() {
            match write(holds) {
                Err(Fault::Io { error, .. }) if error.kind() == io::ErrorKind::StorageFull => {}
                other => panic!("a disk of {holds} bytes: {other:?}"),
            }
        }
        assert_eq!(write(whole.len()).unwrap(), whole);
    }
}
