//! The first directory (IFD) of a TIFF, checked before its decoder reads it.
//!
//! The decoder allocates what a directory asks for before its limits apply, so no value may be longer than the file. It
//! also drops samples whose meaning it does not know, which misplaces their neighbours and breaks the predictor's
//! differences. So the decoder sees a picture with more samples than its colours need as bands of grey, which it leaves
//! unchanged.

use crate::Fault;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

/// The tags that the decoder reads at the start; each number of theirs takes 32 bytes.
const READ: [u16; 19] = [256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 347, 530];
const MEANING: u16 = 262;
const SAMPLES: u16 = 277;
const SHORT: u16 = 3;
/// The photometric interpretation of grey samples.
const GREY: u16 = 1;

/// What a directory says of a picture's samples.
#[derive(Default)]
pub(crate) struct FirstIfd {
    /// For a picture with more samples than its colours need: the photometric interpretation, and its offset in the
    /// file.
    pub(crate) bands: Option<(u16, u64)>,
    is_little: bool,
    is_big: bool,
}

impl FirstIfd {
    /// Reads the directory. Reports nothing about what cannot be followed: the decoder reports what is wrong with it.
    pub(crate) fn read(file: &mut (impl Read + Seek), length: u64) -> Result<Self, Fault> {
        let mut head = Self::default();
        match head.follow(file, length) {
            Ok(None) => Err(Fault::Damaged("its directory has values that are longer than the file".into())),
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(Fault::on_read(error)),
            _ => Ok(head),
        }
    }

    /// Follows the directory; returns `None` if values are too long.
    fn follow(&mut self, file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<()>> {
        let mut begin = [0; 8];
        file.read_exact(&mut begin)?;
        self.is_little = begin.starts_with(b"I");
        self.is_big = self.number(&begin[2..4]) == 43;
        let at = if self.is_big { self.next(file, 8)? } else { self.number(&begin[4..]) };
        file.seek(SeekFrom::Start(at))?;
        let count = self.next(file, if self.is_big { 8 } else { 2 })?;
        let (mut taken, mut at) = (0_u64, file.stream_position()?);
        let (mut meaning, mut samples) = (None, 1);
        let mut entry = [0; 20];
        let entry = &mut entry[..if self.is_big { 20 } else { 12 }];
        for _ in 0..count {
            file.read_exact(entry)?;
            let (tag, kind) = (self.number(&entry[..2]) as u16, self.number(&entry[2..4]) as u16);
            let (count, value) = entry[4..].split_at((entry.len() - 4) / 2);
            let (count, inside) = (self.number(count), value.len() as u64);
            if READ.contains(&tag) {
                let Some(bytes) = size_of(kind).and_then(|size| count.checked_mul(size)) else { return Ok(None) };
                taken = taken.saturating_add(if bytes > inside { bytes } else { 0 });
                let number = (kind == SHORT && count == 1).then(|| self.number(&value[..2]) as u16);
                match tag {
                    MEANING => meaning = number.zip(Some(at + entry.len() as u64 - inside)),
                    SAMPLES => samples = number.unwrap_or(1),
                    _ => {}
                }
            } else if self.is_big && size_of(kind).is_none() {
                // The decoder takes it to be shorter, and reads what follows as other entries.
                return Ok(None);
            }
            at += entry.len() as u64;
        }
        self.bands = meaning.filter(|(meaning, _)| colours(*meaning).is_some_and(|count| samples > count));
        Ok((taken <= length).then_some(()))
    }

    /// Returns what the decoder must find instead, and where.
    pub(crate) fn grey(&self) -> Option<(u64, [u8; 2])> {
        let bytes = if self.is_little { GREY.to_le_bytes() } else { GREY.to_be_bytes() };
        self.bands.map(|(_, at)| (at, bytes))
    }

    fn next(&self, file: &mut impl Read, count: usize) -> io::Result<u64> {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes[..count])?;
        Ok(self.number(&bytes[..count]))
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}

/// Returns the number of colour samples of RGB or CMYK.
fn colours(meaning: u16) -> Option<u16> {
    match meaning {
        2 => Some(3),
        5 => Some(4),
        _ => None,
    }
}

/// Returns the size in bytes of a value of this type.
pub(crate) fn size_of(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        SHORT | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

/// A file as its decoder sees it: with another photometric interpretation, and no longer than the chunk to decode.
pub(crate) struct TiffFile<R> {
    file: R,
    at: u64,
    grey: Option<(u64, [u8; 2])>,
    /// Bytes left in the chunk.
    pub(crate) left: u64,
}

impl<R> TiffFile<R> {
    pub(crate) fn new(file: R, head: &FirstIfd) -> Self {
        Self { file, at: 0, grey: head.grey(), left: u64::MAX }
    }
}

impl<R: Read> Read for TiffFile<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let count = self.file.read(&mut bytes[..length])?;
        if let Some((at, grey)) = self.grey {
            for (place, byte) in (at..).zip(grey) {
                let place = place.checked_sub(self.at).and_then(|place| usize::try_from(place).ok());
                if let Some(found) = place.and_then(|place| bytes[..count].get_mut(place)) {
                    *found = byte;
                }
            }
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for TiffFile<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}
