//! Limits on reading a picture: one budget of bytes and time that everything in the file draws on.

use crate::Fault;
use std::cell::Cell;
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::time::Instant;

/// The largest picture to read, and how long reading may take.
///
/// The file's length and the pixel limit bound memory, whatever numbers the file contains. On top of 64 MiB and a few
/// times the file's length, reading takes at its peak:
///
/// | format | bytes per pixel | what they hold |
/// |---|---|---|
/// | PNG | 16 | 8 for the decoded samples (16 bits with alpha), and as much again for the conversion |
/// | JPEG | 14 | 8 for the coefficients of a progressive JPEG with four components, and the whole of the file's data |
/// | WebP | 20 | 4 for the decoded samples, 8 for planes and alpha, 8 for the canvas and frame of an animation |
/// | GIF | 12 | 4 for the canvas, 4 for the first frame, which must fit the limit as well |
/// | BMP | 8 | 4 for the decoded samples |
/// | TIFF | 32 | 16 for the decoded samples, and as much again for the conversion; a file with more bytes per pixel may have fewer pixels |
/// | AVIF | 64 | eight frames that the decoder may keep, of 6 bytes at most, and 16 for the conversion |
/// | JPEG XL | 64 | as its decoder counts them, which is not strict |
///
/// All metadata together takes at most the file's length plus 16 MiB. The rest is dropped, with a warning.
///
/// The same limits bound time: no byte is decoded for more than one part of the picture, and none for parts that do not
/// exist. At most fifty scans of a JPEG and eight frames of an AVIF are read. JPEG XL is the exception: its decoder
/// draws every frame that the first one is made of.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest width times height.
    pub pixels: u64,
    /// When to give up: reading fails with [`Fault::TooSlow`] soon after. The decoder receives the file in pieces of 64
    /// KiB, and the clock is checked before each. JPEG, AVIF and JPEG XL decoders do not take pieces, so for them the
    /// clock is checked only before and after decoding.
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    /// Returns a limit of a hundred million pixels, with no deadline.
    fn default() -> Self {
        Self { pixels: 100_000_000, deadline: None }
    }
}

/// Bytes per pixel, at most: 32 bits for each of four channels.
const PIXEL: u64 = 16;
/// Memory that a decoder may use on top of the picture's own samples.
const DECODER_OVERHEAD: u64 = 64 << 20;
/// Memory for metadata, inflated or copied, beyond the file's own length. Profiles reach 5 MB at most.
const METADATA: u64 = 16 << 20;

/// What is left of the limits while a file is read.
pub(crate) struct Budget {
    limits: Limits,
    /// Length of the file.
    length: u64,
    metadata: u64,
    late: Rc<Cell<bool>>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits, length: u64) -> Self {
        Self { limits: *limits, length, metadata: length.saturating_add(METADATA), late: Rc::default() }
    }

    /// Returns the length of the file in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns the pixel limit.
    pub(crate) fn pixels(&self) -> u64 {
        self.limits.pixels
    }

    /// Returns how many bytes a decoder may use.
    pub(crate) fn decoder(&self) -> u64 {
        self.limits.pixels.saturating_mul(PIXEL).saturating_add(DECODER_OVERHEAD)
    }

    pub(crate) fn check_pixels(&self, width: u64, height: u64) -> Result<(), Fault> {
        let limit = self.limits.pixels;
        match width.saturating_mul(height) {
            pixels if pixels > limit => Err(Fault::TooLarge { width, height, pixels, limit }),
            _ => Ok(()),
        }
    }

    /// Returns how many bytes are left for metadata.
    pub(crate) fn metadata(&self) -> u64 {
        self.metadata
    }

    /// Reserves bytes for metadata, or returns `None` if too few are left.
    pub(crate) fn take(&mut self, bytes: u64) -> Option<()> {
        self.metadata = self.metadata.checked_sub(bytes)?;
        Some(())
    }

    /// Checks the deadline. Call it before anything that takes long.
    pub(crate) fn in_time(&self) -> Result<(), Fault> {
        match self.late.get() || self.limits.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            true => Err(Fault::TooSlow),
            false => Ok(()),
        }
    }
}

/// Bytes to hand out between two checks of the clock.
const PIECE: usize = 64 << 10;
/// The cost of a seek: a file can consist of nothing else.
const JUMP: usize = 64;

/// A reader that hands out a file in pieces until the deadline.
pub(crate) struct Timed<R> {
    file: R,
    deadline: Option<Instant>,
    late: Rc<Cell<bool>>,
    left: usize,
}

impl<R> Timed<R> {
    pub(crate) fn new(file: R, budget: &Budget) -> Self {
        Self { file, deadline: budget.limits.deadline, late: Rc::clone(&budget.late), left: 0 }
    }

    /// Returns how many bytes to hand out next.
    fn piece(&mut self) -> io::Result<usize> {
        if self.left == 0 {
            // A decoder may ignore an error in a part that it can do without, so remember it.
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.late.set(true);
                return Err(io::Error::new(ErrorKind::TimedOut, "the time limit has passed"));
            }
            self.left = PIECE;
        }
        Ok(self.left)
    }
}

impl<R: Read> Read for Timed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let piece = bytes.len().min(self.piece()?);
        let count = self.file.read(&mut bytes[..piece])?;
        self.left -= count.min(self.left);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Timed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let piece = self.piece()?;
        let bytes = self.file.fill_buf()?;
        Ok(&bytes[..bytes.len().min(piece)])
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.file.consume(count);
    }
}

impl<R: Seek> Seek for Timed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.piece()?;
        self.left = self.left.saturating_sub(JUMP);
        self.file.seek(to)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        self.file.stream_position()
    }

    fn seek_relative(&mut self, offset: i64) -> io::Result<()> {
        self.piece()?;
        self.left = self.left.saturating_sub(JUMP);
        self.file.seek_relative(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::time::Duration;

    #[test]
    fn a_file_is_handed_out_in_pieces_and_not_after_its_time() {
        let bytes: Vec<u8> = (0..3 * PIECE as u32 + 5).map(|i| (i % 251) as u8).collect();
        let soon = Limits { deadline: Some(Instant::now() + Duration::from_secs(600)), ..Limits::default() };
        let budget = Budget::new(&soon, bytes.len() as u64);
        let mut file = Timed::new(Cursor::new(&bytes), &budget);
        assert_eq!(file.fill_buf().unwrap().len(), PIECE);
        let mut found = Vec::new();
        file.read_to_end(&mut found).unwrap();
        assert!(found == bytes && budget.in_time().is_ok());
        let past = Budget::new(&Limits { deadline: Some(Instant::now()), ..soon }, 1);
        let mut file = Timed::new(Cursor::new(&bytes), &past);
        assert!(file.fill_buf().is_err() && file.seek(SeekFrom::Start(1)).is_err() && file.read(&mut [0]).is_err());
        assert!(matches!(past.in_time(), Err(Fault::TooSlow)));
    }

    #[test]
    fn a_file_of_jumps_looks_at_the_clock_as_well() {
        let mut budget = Budget::new(&Limits::default(), 4);
        budget.limits.deadline = Some(Instant::now() + Duration::from_millis(20));
        let mut file = Timed::new(Cursor::new([0; 4]), &budget);
        while file.seek(SeekFrom::Start(2)).is_ok() {}
        assert!(budget.in_time().is_err());
    }

    #[test]
    fn metadata_is_taken_once() {
        let mut budget = Budget::new(&Limits::default(), 10);
        assert_eq!(budget.take(METADATA), Some(()));
        assert_eq!((budget.take(11), budget.take(10), budget.take(1)), (None, Some(()), None));
    }
}
