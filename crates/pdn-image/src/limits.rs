//! Limits of reading a picture: one budget of bytes and time, which everything that its file asks for draws on.

use crate::Fault;
use std::cell::Cell;
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::time::Instant;

/// How large a picture may be, and how long reading it may take.
///
/// Memory is bounded by both of them and by the length of the file, whatever numbers are in it. A picture of so many
/// pixels takes at its peak, beside 64 MiB and a few times the file's length:
///
/// | format | bytes a pixel | of which |
/// |---|---|---|
/// | PNG | 16 | 8 as decoded, where there are 16 bits and alpha, and as much as they are converted |
/// | JPEG | 14 | 8 for a progressive one's coefficients of four components, the file's whole data beside |
/// | WebP | 20 | 4 as decoded, 8 for its planes and alpha, 8 for the canvas and the frame of one that moves |
/// | GIF | 12 | 4 for its canvas, 4 for its first frame, which is held to the limit as well |
/// | BMP | 8 | 4 as decoded |
/// | TIFF | 32 | 16 as decoded and as much as they are converted; one of more bytes a pixel has fewer pixels |
/// | AVIF | 64 | eight frames that its decoder may keep, of 6 bytes at most, and 16 as it is converted |
/// | JPEG XL | 64 | as its decoder counts them, which is not strict |
///
/// Metadata takes no more than the file's length and 16 MiB, all together; what is beyond is left out and said.
///
/// Time is bounded by the same: no byte is decoded for more than one part of the picture, and nothing for parts that are not
/// in it. Of a JPEG at most fifty scans are read, of an AVIF at most eight frames. JPEG XL is not bounded so: its decoder
/// draws every frame that the first one is made of.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Width times height.
    pub pixels: u64,
    /// When to give up: reading fails with [`Fault::TooSlow`] soon after. A file is handed to its decoder in pieces of 64 KiB,
    /// and the clock is looked at before each. JPEG, AVIF and JPEG XL are decoded at once, as their decoders take no pieces: they
    /// give up before or after that only.
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    /// A hundred million pixels, however long it takes.
    fn default() -> Self {
        Self { pixels: 100_000_000, deadline: None }
    }
}

/// Bytes of the samples of a pixel, at most: 32 bits for each of four channels.
const PIXEL: u64 = 16;
/// What decoders may take beside a picture's own samples.
const DECODER_OVERHEAD: u64 = 64 << 20;
/// What metadata may take beyond the file's own length, inflated or copied: profiles have 5 MB at most.
const METADATA: u64 = 16 << 20;

/// What is left of what a file may ask for.
pub(crate) struct Budget {
    limits: Limits,
    /// Of the file.
    length: u64,
    metadata: u64,
    late: Rc<Cell<bool>>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits, length: u64) -> Self {
        Self { limits: *limits, length, metadata: length.saturating_add(METADATA), late: Rc::default() }
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Pixels of a picture.
    pub(crate) fn pixels(&self) -> u64 {
        self.limits.pixels
    }

    /// Bytes that a decoder may take.
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

    /// Bytes of metadata that are left.
    pub(crate) fn metadata(&self) -> u64 {
        self.metadata
    }

    /// Takes bytes for metadata; nothing where they are more than are left.
    pub(crate) fn take(&mut self, bytes: u64) -> Option<()> {
        self.metadata = self.metadata.checked_sub(bytes)?;
        Some(())
    }

    /// Whether there is time left, as anything that takes long asks before it begins.
    pub(crate) fn in_time(&self) -> Result<(), Fault> {
        match self.late.get() || self.limits.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            true => Err(Fault::TooSlow),
            false => Ok(()),
        }
    }
}

/// Bytes that are handed out before the clock is looked at again.
const PIECE: usize = 64 << 10;
/// What a jump in the file counts as: a file can be made of nothing else.
const JUMP: usize = 64;

/// A file that is handed out in pieces, as long as there is time.
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

    /// How much may be handed out next.
    fn piece(&mut self) -> io::Result<usize> {
        if self.left == 0 {
            // Decoders may take an error of what they can do without for none: it is remembered.
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
