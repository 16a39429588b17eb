//! Pictures written row by row, so that the whole of one need never be in memory.

use crate::aside::Aside;
use crate::encoding::Encoding;
use crate::write::{Format, WriteOptions};
use crate::{Depth, Error, Resolution};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// What is said of a picture before its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether a pixel is one sample of grey, and not red, green and blue.
    pub grey: bool,
    /// Whether alpha follows as the last sample of each pixel: 0 is transparent, the largest opaque.
    pub alpha: bool,
    /// Bits of a sample.
    pub depth: Depth,
    /// The ICC profile that the numbers are in.
    pub icc: Option<Vec<u8>>,
    /// EXIF, as [`Picture::exif`](crate::Picture::exif) has it; its size is made to agree.
    pub exif: Option<Vec<u8>>,
    /// How large it is printed. WebP, AVIF and JPEG XL have no place for it but EXIF, which is made to hold it where there is none.
    pub resolution: Option<Resolution>,
}

/// Rows of about this many bytes are a band.
const BAND: usize = 1 << 20;

impl Header {
    /// Samples of a pixel, 1 to 4.
    pub fn samples(&self) -> usize {
        let colours = if self.grey { 1 } else { 3 };
        colours + usize::from(self.alpha)
    }

    /// Whether it is grey of 16 bits with alpha, which JPEG XL's encoder takes as colour only.
    pub(crate) fn is_deep_grey_alpha(&self) -> bool {
        self.grey && self.alpha && self.depth == Depth::Sixteen
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.width * self.samples() * self.depth.bytes()
    }

    /// Cuts rows into bands of about a mebibyte, from the first on.
    pub fn bands(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let tall = (BAND / self.row_bytes().max(1)).max(1);
        let end = rows.end;
        rows.step_by(tall).map(move |first| first..(first + tall).min(end))
    }
}

/// Writes a picture whose rows come one after the other, from the top, into the format that its file's name ends in.
///
/// PNG and TIFF are compressed as the rows come, which takes a few rows of memory. The encoders of JPEG, WebP, AVIF and
/// JPEG XL want the whole: its samples are gathered, and encoded by [`Self::finish`].
///
/// The file is written aside, and renamed into its place when it is finished; a writer that is dropped before leaves
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
    aside: Aside,
    encoding: Encoding<File>,
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
            let aside = Aside::new(path)?;
            let encoding = Encoding::begin(format, header, options, || aside.handle())?;
            Ok(Self { aside, encoding })
        };
        create().map_err(Error::at(path))
    }

    /// Writes the next rows: any number of whole ones, interleaved, of as many samples as the header says, those of 16 bits in
    /// the machine's own order of bytes.
    ///
    /// # Errors
    /// [`Error`] names the file: these are no whole rows or too many, JPEG is given transparency, or writing fails.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<(), Error> {
        self.encoding.write_rows(rows).map_err(Error::at(self.aside.target()))
    }

    /// Where the rows are until the picture is finished: a file that this writer removes when it is dropped, and that a
    /// program which ends without dropping it must remove itself.
    pub fn unfinished(&self) -> &Path {
        self.aside.path()
    }

    /// Ends the picture and brings it to its place.
    ///
    /// # Errors
    /// [`Error`] names the file: rows are missing, or writing fails; nothing is left behind then.
    pub fn finish(self) -> Result<(), Error> {
        let Self { mut aside, encoding } = self;
        let target = aside.target().to_owned();
        let finish = || {
            if let Some(bytes) = encoding.end()? {
                aside.write(&bytes)?;
            }
            aside.persist()
        };
        finish().map_err(Error::at(&target))
    }
}
