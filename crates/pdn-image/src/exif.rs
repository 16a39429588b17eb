//! EXIF (CIPA DC-008), carried from a picture to what is made of it: a block of a TIFF's structure, changed where it stands.
//!
//! What is said of the pixels is made true: the orientation becomes 1, as the pixels are turned, sizes those of the new
//! picture, and the thumbnail is dropped. All else keeps its place, byte for byte: notes of camera makers hold places that
//! nobody else knows, and a block that is written anew, as crates for EXIF do, breaks them.

use crate::Header;

/// A block that can be followed to its end.
pub(crate) struct Exif(Vec<u8>);

/// Where an entry of a directory is, and what it says.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its first byte.
    at: usize,
    tag: u16,
    kind: u16,
    count: usize,
    /// Where its value is.
    value: usize,
}

const ORIENTATION: u16 = 0x0112;
/// Width and height: of the picture in the first directory, and in EXIF's own.
const SIZES: [(u16, bool); 4] = [(0x0100, true), (0x0101, false), (0xa002, true), (0xa003, false)];
/// The directories that an entry leads to: EXIF, GPS, interoperability.
const DIRECTORIES: [u16; 3] = [0x8769, 0x8825, 0xa005];
/// The thumbnail's place and length in its directory.
const THUMBNAIL: [u16; 2] = [0x0201, 0x0202];
const SHORT: u16 = 3;
const LONG: u16 = 4;
/// The most entries that are followed: a directory that leads to itself ends there.
const MOST: usize = 4096;

impl Exif {
    /// A block as PNG, WebP and JPEG have it, changed for pixels that are turned as they are shown; `None` where it is damaged.
    pub(crate) fn of_shown(block: &[u8]) -> Option<Vec<u8>> {
        // WebP and some writers of PNG put JPEG's name before it.
        let mut exif = Self(block.strip_prefix(b"Exif\0\0").unwrap_or(block).to_vec());
        let (entries, next) = exif.entries()?;
        for entry in entries.iter().filter(|entry| entry.tag == ORIENTATION) {
            exif.set(*entry, 1)?;
        }
        exif.drop_thumbnail(next)?;
        Some(exif.0)
    }

    /// The block with the size of another picture.
    pub(crate) fn sized(block: &[u8], header: &Header) -> Vec<u8> {
        let mut exif = Self(block.to_vec());
        let entries = exif.entries().map_or_else(Vec::new, |(entries, _)| entries);
        for entry in entries {
            let of_width = SIZES.iter().find(|(tag, _)| *tag == entry.tag).map(|(_, of_width)| *of_width);
            let size = of_width.map(|of_width| if of_width { header.width } else { header.height });
            // Of another type than it should be, it stays as it is.
            let _ = size.and_then(|size| exif.set(entry, u32::try_from(size).ok()?));
        }
        exif.0
    }

    /// The entries of all directories but the thumbnail's, and where the place of that one is written.
    fn entries(&self) -> Option<(Vec<Entry>, usize)> {
        let first = match self.0.get(..4)? {
            b"II*\0" | b"MM\0*" => self.long(4)? as usize,
            _ => return None,
        };
        let (mut entries, next) = self.directory(first)?;
        let mut followed = 0;
        while followed < entries.len() {
            let Entry { tag, value, .. } = entries[followed];
            if DIRECTORIES.contains(&tag) {
                let (more, _) = self.directory(self.long(value)? as usize)?;
                entries.extend(more);
            }
            followed += 1;
            if entries.len() > MOST {
                return None;
            }
        }
        Some((entries, next))
    }

    /// A directory's entries, and where the place of the next one is written.
    fn directory(&self, at: usize) -> Option<(Vec<Entry>, usize)> {
        let count = usize::from(self.short(at)?);
        let entries = (0..count).map(|i| self.entry(at + 2 + 12 * i)).collect::<Option<Vec<_>>>()?;
        let next = at + 2 + 12 * count;
        self.long(next).map(|_| (entries, next))
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let (tag, kind, count) = (self.short(at)?, self.short(at + 2)?, self.long(at + 4)? as usize);
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            SHORT | 8 => 2,
            LONG | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        let bytes = count.checked_mul(size)?;
        let value = if bytes <= 4 { at + 8 } else { self.long(at + 8)? as usize };
        self.0.get(value..value.checked_add(bytes)?)?;
        Some(Entry { at, tag, kind, count, value })
    }

    /// Changes a number in its place; one that is too large for its type becomes one of 32 bits.
    fn set(&mut self, entry: Entry, number: u32) -> Option<()> {
        if entry.count != 1 || ![SHORT, LONG].contains(&entry.kind) {
            return None;
        }
        match u16::try_from(number) {
            Ok(short) if entry.kind == SHORT => self.put(entry.value, short.to_le_bytes()),
            _ => {
                self.put(entry.at + 2, LONG.to_le_bytes())?;
                self.put(entry.value, number.to_le_bytes())
            }
        }
    }

    /// Forgets the second directory, that of the thumbnail, whose bytes become 0: who crops a picture does not want the rest seen.
    fn drop_thumbnail(&mut self, next: usize) -> Option<()> {
        let at = self.long(next)? as usize;
        self.put(next, [0; 4])?;
        if at == 0 {
            return Some(());
        }
        // One that is damaged is forgotten all the same, with nothing of it to find.
        let Some((entries, end)) = self.directory(at) else { return Some(()) };
        let number = |tag: u16| entries.iter().find(|e| e.tag == tag).and_then(|e| self.long(e.value));
        if let (Some(start), Some(length)) = (number(THUMBNAIL[0]), number(THUMBNAIL[1])) {
            let (start, length) = (start as usize, length as usize);
            if let Some(bytes) = start.checked_add(length).and_then(|end| self.0.get_mut(start..end)) {
                bytes.fill(0);
            }
            if start.checked_add(length) == Some(self.0.len()) && start > end {
                self.0.truncate(start);
            }
        }
        Some(())
    }

    fn is_little(&self) -> bool {
        self.0.starts_with(b"II")
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.0.get(at..)?.first_chunk()?;
        Some(if self.is_little() { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.0.get(at..)?.first_chunk()?;
        Some(if self.is_little() { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Puts the bytes of a number, given from its low one on.
    fn put<const N: usize>(&mut self, at: usize, mut bytes: [u8; N]) -> Option<()> {
        if !self.is_little() {
            bytes.reverse();
        }
        self.0.get_mut(at..at + N)?.copy_from_slice(&bytes);
        Some(())
    }
}

/// A value of a tag, as bytes in a TIFF's order, for those that write directories of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) tag: u16,
    pub(crate) kind: u16,
    pub(crate) count: usize,
    /// In the machine's own order.
    pub(crate) bytes: Vec<u8>,
}

/// What a block says, directory by directory: the picture's, EXIF's, GPS's. Notes of camera makers, which hold places of
/// their own, and links are left out.
pub(crate) fn fields(block: &[u8]) -> Option<[Vec<Field>; 3]> {
    let exif = Exif(block.to_vec());
    let first = exif.long(4)? as usize;
    let main = exif.directory(first)?.0;
    let linked = |tag: u16| {
        let link = main.iter().find(|entry| entry.tag == tag).and_then(|entry| exif.long(entry.value));
        link.and_then(|at| exif.directory(at as usize)).map_or_else(Vec::new, |(entries, _)| entries)
    };
    let all = [main.clone(), linked(DIRECTORIES[0]), linked(DIRECTORIES[1])];
    Some(all.map(|entries| entries.into_iter().filter_map(|entry| exif.field(entry)).collect()))
}

const MAKER_NOTE: u16 = 0x927c;

impl Exif {
    fn field(&self, Entry { tag, kind, count, value, .. }: Entry) -> Option<Field> {
        if DIRECTORIES.contains(&tag) || tag == MAKER_NOTE {
            return None;
        }
        let unit = match kind {
            SHORT | 8 => 2,
            LONG | 9 | 11 | 13 | 5 | 10 => 4,
            12 => 8,
            _ => 1,
        };
        let total = count * match kind { 5 | 10 => 8, _ => unit };
        let mut bytes = self.0.get(value..value + total)?.to_vec();
        if self.is_little() != cfg!(target_endian = "little") {
            bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        Some(Field { tag, kind, count, bytes })
    }
}
