//! Writing a picture row by row, so that it is never whole in memory.

use crate::io::atomic_file::AtomicFile;
use crate::io::encoder::Encoder;
use crate::{Error, Format, Header, WriteOptions};
use std::fs::File;
use std::path::Path;

/// Writes a picture from its rows, top to bottom, in the format of its file name's extension.
///
/// PNG and TIFF are compressed as the rows arrive, which takes memory for a few rows. The encoders of JPEG, WebP, AVIF
/// and JPEG XL need the whole picture: its samples are collected, and [`Self::finish`] encodes them.
///
/// The rows go to a temporary file, which is renamed over the target at the end. A writer that is dropped before that
/// leaves nothing behind.
///
/// ```
/// use pdn_image::{Header, RowWriter, WriteOptions};
///
/// let path = std::env::temp_dir().join("ramp.png");
/// let header = Header { width: 256, height: 64, grey: true, ..Header::default() };
/// let mut writer = RowWriter::create(&path, &header, &WriteOptions::default())?;
/// for _ in 0..64 {
///     writer.write_rows(&std::array::from_fn::<u8, 256, _>(|x| x as u8))?;
/// }
/// writer.finish()?;
/// # Ok::<(), pdn_image::Error>(())
/// ```
pub struct RowWriter {
    file: AtomicFile,
    encoder: Encoder<File>,
}

impl RowWriter {
    /// Begins a picture.
    ///
    /// # Errors
    /// [`Error`] names the file: its format is unknown or cannot hold the size, the depth or the provenance; its folder
    /// does not exist or is not writable; or what precedes the rows cannot be written.
    pub fn create(path: &Path, header: &Header, options: &WriteOptions) -> Result<Self, Error> {
        let format = Format::from_path(path)?;
        let create = || {
            let file = AtomicFile::new(path)?;
            let encoder = Encoder::new(format, header, options, || file.handle())?;
            Ok(Self { file, encoder })
        };
        create().map_err(Error::at(path))
    }

    /// Writes the next rows: any number of whole rows, interleaved, with as many samples as the header says. 16-bit
    /// samples are in native byte order.
    ///
    /// # Errors
    /// [`Error`] names the file: these are not whole rows or too many, JPEG gets transparency, or writing fails.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<(), Error> {
        self.encoder.write_rows(rows).map_err(Error::at(self.file.target()))
    }

    /// Returns the path of the temporary file that holds the rows until the picture is finished. Dropping the writer
    /// removes it; a program that ends without dropping the writer must remove it itself.
    pub fn unfinished(&self) -> &Path {
        self.file.path()
    }

    /// Finishes the picture and renames the file over its target.
    ///
    /// # Errors
    /// [`Error`] names the file: rows are missing, or writing fails. Nothing is left behind.
    pub fn finish(self) -> Result<(), Error> {
        let Self { mut file, encoder } = self;
        let target = file.target().to_owned();
        let finish = || {
            if let Some(bytes) = encoder.finish()? {
                file.write(&bytes)?;
            }
            file.persist()
        };
        finish().map_err(Error::at(&target))
    }
}
