//! Pictures written row by row, so that the whole of one need never be in memory.

use crate::io::atomic_file::AtomicFile;
use crate::io::encoder::Encoder;
use crate::{Error, Format, Header, WriteOptions};
use std::fs::File;
use std::path::Path;

/// Writes a picture whose rows come one after the other, from the top, into the format that its file's name ends in.
///
/// PNG and TIFF are compressed as the rows come, which takes a few rows of memory. The encoders of JPEG, WebP, AVIF and
/// JPEG XL want the whole: its samples are gathered, and encoded by [`Self::finish`].
///
/// The file is written file, and renamed into its place when it is finished; a writer that is dropped before leaves
/// nothing behind.
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
    /// [`Error`] names the file: its format is not known, cannot hold the size, the depth or the provenance, its folder does not exist
    /// or cannot be written in, or what comes before the rows cannot be written.
    pub fn create(path: &Path, header: &Header, options: &WriteOptions) -> Result<Self, Error> {
        let format = Format::from_path(path)?;
        let create = || {
            let file = AtomicFile::new(path)?;
            let encoder = Encoder::new(format, header, options, || file.handle())?;
            Ok(Self { file, encoder })
        };
        create().map_err(Error::at(path))
    }

    /// Writes the next rows: any number of whole ones, interleaved, of as many samples as the header says, those of 16 bits in
    /// the machine's own order of bytes.
    ///
    /// # Errors
    /// [`Error`] names the file: these are no whole rows or too many, JPEG is given transparency, or writing fails.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<(), Error> {
        self.encoder.write_rows(rows).map_err(Error::at(self.file.target()))
    }

    /// Where the rows are until the picture is finished: a file that this writer removes when it is dropped, and that a
    /// program which ends without dropping it must remove itself.
    pub fn unfinished(&self) -> &Path {
        self.file.path()
    }

    /// Ends the picture and brings it to its place.
    ///
    /// # Errors
    /// [`Error`] names the file: rows are missing, or writing fails; nothing is left behind then.
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
