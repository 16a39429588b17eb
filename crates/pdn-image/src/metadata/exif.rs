//! EXIF (CIPA DC-008), carried over from a picture to its result: a TIFF-structured block, edited in place.
//!
//! Statements about the pixels are corrected: the orientation becomes 1, as the pixels are already upright, the sizes
//! become the new picture's, and the thumbnail is dropped. Everything else stays at its offset, byte for byte: maker
//! notes hold offsets of their own, which rewriting the block, as EXIF crates do, would break.

use crate::{Fault, Header, Resolution};

/// A block whose structure is complete.
struct Exif(Vec<u8>);

/// The location and content of a directory entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Offset of its first byte.
    at: usize,
    tag: u16,
    kind: u16,
    count: usize,
    /// Offset of its value.
    value: usize,
}

const ORIENTATION: u16 = 0x0112;
/// Width and height: of the picture in the first directory, and in EXIF's own.
const SIZES: [(u16, bool); 4] = [(0x0100, true), (0x0101, false), (0xa002, true), (0xa003, false)];
/// The entries that point to a directory: EXIF, GPS, interoperability.
const DIRECTORIES: [u16; 3] = [0x8769, 0x8825, 0xa005];
/// The thumbnail's offset and length in its directory.
const THUMBNAIL: [u16; 2] = [0x0201, 0x0202];
/// Horizontal and vertical resolution, then their unit.
const PRINTED: [u16; 2] = [0x011a, 0x011b];
const PRINTED_UNIT: u16 = 0x0128;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
/// The most entries to follow: ends a directory that points to itself.
const MOST: usize = 4096;

/// Adapts a block from PNG, WebP or JPEG to pixels that are already upright; returns `None` if it is damaged.
pub(crate) fn of_shown(block: &[u8]) -> Option<Vec<u8>> {
    // WebP and some PNG writers prefix it with JPEG's name.
    let mut exif = Exif(block.strip_prefix(b"Exif\0\0").unwrap_or(block).to_vec());
    let (entries, next) = exif.entries()?;
    exif.holds(&entries).then_some(())?;
    for entry in entries.iter().filter(|entry| entry.tag == ORIENTATION) {
        exif.set(*entry, 1)?;
    }
    exif.drop_thumbnail(next)?;
    Some(exif.0)
}

/// Returns the block with the size of another picture.
pub(crate) fn sized(block: &[u8], header: &Header) -> Vec<u8> {
    let mut exif = Exif(block.to_vec());
    let entries = exif.entries().map_or_else(Vec::new, |(entries, _)| entries);
    for entry in entries {
        let of_width = SIZES.iter().find(|(tag, _)| *tag == entry.tag).map(|(_, of_width)| *of_width);
        let size = of_width.map(|of_width| if of_width { header.width } else { header.height });
        // An entry of an unexpected type stays as it is.
        let _ = size.and_then(|size| exif.set(entry, u32::try_from(size).ok()?));
    }
    exif.0
}

/// Returns the print resolution that a block states.
pub(crate) fn resolution(block: &[u8]) -> Option<Resolution> {
    let exif = Exif(block.to_vec());
    let entries = exif.directory(exif.long(4)? as usize)?.0;
    let find =
        |tag: u16, kind: u16| entries.iter().find(|entry| (entry.tag, entry.kind, entry.count) == (tag, kind, 1));
    let [x, y] = PRINTED.map(|tag| {
        let at = find(tag, RATIONAL)?.value;
        Some((exif.long(at)?, exif.long(at + 4)?))
    });
    Resolution::of_tiff(find(PRINTED_UNIT, SHORT).and_then(|entry| exif.short(entry.value)), x?, y?)
}

/// Returns the block, or a new one, with the print resolution, for formats with no other field for it.
pub(crate) fn printed(block: Option<Vec<u8>>, resolution: Resolution) -> Option<Vec<u8>> {
    match block {
        None => of_resolution(resolution),
        Some(block) if self::resolution(&block) == Some(resolution) => Some(block),
        Some(block) => Exif(block.clone()).printed(resolution).or(Some(block)),
    }
}

/// Builds a block that states only the resolution.
fn of_resolution(resolution: Resolution) -> Option<Vec<u8>> {
    let number = |tag, (over, under): (u32, u32)| Field {
        tag,
        kind: RATIONAL,
        count: 1,
        bytes: [over.to_ne_bytes(), under.to_ne_bytes()].concat(),
    };
    let [x, y] = resolution.tiff();
    let unit = resolution.tiff_unit().to_ne_bytes().to_vec();
    let unit = Field { tag: PRINTED_UNIT, kind: SHORT, count: 1, bytes: unit };
    block([vec![number(PRINTED[0], x), number(PRINTED[1], y), unit], Vec::new(), Vec::new()])
}

impl Exif {
    /// Returns the entries of all directories except the thumbnail's, and the position of the thumbnail directory's
    /// offset.
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

    /// Checks that the values of the entries together are no longer than the block. If they are longer, they share
    /// bytes, and writing each to a place of its own could take any length.
    fn holds(&self, entries: &[Entry]) -> bool {
        let bytes = entries.iter().filter_map(|entry| entry.count.checked_mul(size_of(entry.kind)?));
        bytes.fold(0, usize::saturating_add) <= self.0.len()
    }

    /// Returns a directory's entries, and the position of the next directory's offset.
    fn directory(&self, at: usize) -> Option<(Vec<Entry>, usize)> {
        let count = usize::from(self.short(at)?);
        let entries = (0..count).map(|i| self.entry(at + 2 + 12 * i)).collect::<Option<Vec<_>>>()?;
        let next = at + 2 + 12 * count;
        self.long(next).map(|_| (entries, next))
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let (tag, kind, count) = (self.short(at)?, self.short(at + 2)?, self.long(at + 4)? as usize);
        let bytes = count.checked_mul(size_of(kind)?)?;
        let value = if bytes <= 4 { at + 8 } else { self.long(at + 8)? as usize };
        self.0.get(value..value.checked_add(bytes)?)?;
        Some(Entry { at, tag, kind, count, value })
    }

    /// Changes a number in place; one too large for its type becomes a 32-bit number.
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

    /// Removes the second directory, the thumbnail's, and zeroes its bytes: whoever crops a picture does not want the
    /// rest seen.
    fn drop_thumbnail(&mut self, next: usize) -> Option<()> {
        let at = self.long(next)? as usize;
        self.put(next, [0; 4])?;
        if at == 0 {
            return Some(());
        }
        // A damaged directory is unlinked all the same, although nothing of it can be found.
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

    /// Rewrites the first directory at the end, where there is room for more entries; what they point to stays in
    /// place.
    fn printed(mut self, resolution: Resolution) -> Option<Vec<u8>> {
        let (entries, next) = self.directory(self.long(4)? as usize)?;
        let is_other = |entry: &&Entry| entry.tag != PRINTED_UNIT && !PRINTED.contains(&entry.tag);
        let others = entries.iter().filter(is_other);
        let mut written: Vec<_> = others.map(|entry| (entry.tag, self.0[entry.at..entry.at + 12].to_vec())).collect();
        let begin = self.0.len().next_multiple_of(2);
        let values = begin + 2 + 12 * (written.len() + 3) + 4;
        let [x, y] = [values, values + 8].map(|at| u32::try_from(at).ok());
        written.push((PRINTED[0], self.entry_of(PRINTED[0], RATIONAL, self.ordered(x?.to_le_bytes()))));
        written.push((PRINTED[1], self.entry_of(PRINTED[1], RATIONAL, self.ordered(y?.to_le_bytes()))));
        let [low, high] = self.ordered(resolution.tiff_unit().to_le_bytes());
        written.push((PRINTED_UNIT, self.entry_of(PRINTED_UNIT, SHORT, [low, high, 0, 0])));
        written.sort_by_key(|(tag, _)| *tag);
        let (count, next) = (u16::try_from(written.len()).ok()?, self.0.get(next..next + 4)?.to_vec());
        self.0.resize(begin, 0);
        self.0.extend(self.ordered(count.to_le_bytes()));
        self.0.extend(written.into_iter().flat_map(|(_, bytes)| bytes));
        self.0.extend(next);
        for number in resolution.tiff().into_iter().flat_map(|(over, under)| [over, under]) {
            self.0.extend(self.ordered(number.to_le_bytes()));
        }
        self.put(4, u32::try_from(begin).ok()?.to_le_bytes())?;
        Some(self.0)
    }

    /// Builds an entry with one value, given in its stored form.
    fn entry_of(&self, tag: u16, kind: u16, value: [u8; 4]) -> Vec<u8> {
        let (tag, kind) = (self.ordered(tag.to_le_bytes()), self.ordered(kind.to_le_bytes()));
        [&tag[..], &kind, &self.ordered(1_u32.to_le_bytes()), &value].concat()
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

    /// Stores a number, given in little-endian order.
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Option<()> {
        let bytes = self.ordered(bytes);
        self.0.get_mut(at..at + N)?.copy_from_slice(&bytes);
        Some(())
    }

    /// Converts a number from little-endian to the block's byte order.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if !self.is_little() {
            bytes.reverse();
        }
        bytes
    }
}

/// The value of a tag, for files that keep EXIF in directories of their own, as TIFF does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) tag: u16,
    pub(crate) kind: u16,
    pub(crate) count: usize,
    /// The value in native byte order.
    pub(crate) bytes: Vec<u8>,
}

/// The fields of the picture's own directory, of EXIF's and of GPS's.
pub(crate) type Fields = [Vec<Field>; 3];

/// The tags of the picture's own directory that say how it was taken, and by whom: description, make, model, software,
/// date, artist and copyright.
pub(crate) const TAKEN: [u16; 7] = [0x010e, 0x010f, 0x0110, 0x0131, 0x0132, 0x013b, 0x8298];
const MAKER_NOTE: u16 = 0x927c;

/// Returns whether a field can be moved: links are written anew, and a maker note holds offsets of its own.
pub(crate) fn is_movable(tag: u16) -> bool {
    !DIRECTORIES.contains(&tag) && tag != MAKER_NOTE
}

/// Returns the fields of a block that can be written elsewhere.
pub(crate) fn fields(block: &[u8]) -> Option<Fields> {
    let exif = Exif(block.to_vec());
    let main = exif.directory(exif.long(4)? as usize)?.0;
    let linked = |tag: u16| {
        let link = main.iter().find(|entry| entry.tag == tag).and_then(|entry| exif.long(entry.value));
        link.and_then(|at| exif.directory(at as usize)).map_or_else(Vec::new, |(entries, _)| entries)
    };
    let taken = main.iter().copied().filter(|entry| TAKEN.contains(&entry.tag)).collect();
    let all: [Vec<Entry>; 3] = [taken, linked(DIRECTORIES[0]), linked(DIRECTORIES[1])];
    exif.holds(&all.concat()).then_some(())?;
    Some(all.map(|entries| entries.into_iter().filter_map(|entry| exif.field(entry)).collect()))
}

/// Builds a block from these fields; returns `None` if there are none.
pub(crate) fn block([mut main, exif, gps]: Fields) -> Option<Vec<u8>> {
    let mut out = if cfg!(target_endian = "little") { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
    out.extend([0; 4]);
    for (tag, fields) in DIRECTORIES.into_iter().zip([exif, gps]).filter(|(_, fields)| !fields.is_empty()) {
        let at = u32::try_from(out.len()).ok()?;
        main.push(Field { tag, kind: LONG, count: 1, bytes: at.to_ne_bytes().to_vec() });
        append(&mut out, fields)?;
    }
    let at = u32::try_from(out.len()).ok()?;
    out[4..8].copy_from_slice(&at.to_ne_bytes());
    (!main.is_empty()).then_some(())?;
    append(&mut out, main)?;
    Some(out)
}

/// Appends a directory, followed by its values.
fn append(out: &mut Vec<u8>, mut fields: Vec<Field>) -> Option<()> {
    fields.sort_by_key(|field| field.tag);
    let behind = out.len() + 2 + 12 * fields.len() + 4;
    let mut values = Vec::new();
    out.extend(u16::try_from(fields.len()).ok()?.to_ne_bytes());
    for Field { tag, kind, count, bytes } in fields {
        out.extend(tag.to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(u32::try_from(count).ok()?.to_ne_bytes());
        if bytes.len() <= 4 {
            out.extend(&bytes);
            out.extend(std::iter::repeat_n(0, 4 - bytes.len()));
            continue;
        }
        out.extend(u32::try_from(behind + values.len()).ok()?.to_ne_bytes());
        values.extend(&bytes);
        values.extend(std::iter::repeat_n(0, bytes.len() % 2));
    }
    out.extend([0; 4]);
    out.extend(values);
    Some(())
}

/// What a JPEG segment holds in addition to its own length and the block's name.
const JPEG_LIMIT: usize = 65_533 - 6;

/// Checks that the block fits in a JPEG.
pub(crate) fn check_jpeg(block: &[u8]) -> Result<(), Fault> {
    match block.len() {
        found if found > JPEG_LIMIT => Err(Fault::LongExif { found, limit: JPEG_LIMIT }),
        _ => Ok(()),
    }
}

impl Exif {
    fn field(&self, Entry { tag, kind, count, value, .. }: Entry) -> Option<Field> {
        let unit = match kind {
            SHORT | 8 => 2,
            RATIONAL | 10 => 4,
            kind => size_of(kind)?,
        };
        let mut bytes = self.0.get(value..value + count * size_of(kind)?)?.to_vec();
        if self.is_little() != cfg!(target_endian = "little") {
            bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        is_movable(tag).then_some(Field { tag, kind, count, bytes })
    }
}

/// Returns the size in bytes of a value of this type.
fn size_of(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        SHORT | 8 => Some(2),
        LONG | 9 | 11 | 13 => Some(4),
        RATIONAL | 10 | 12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(tag: u16, kind: u16, bytes: &[u8]) -> Field {
        Field { tag, kind, count: bytes.len() / size_of(kind).unwrap(), bytes: bytes.to_vec() }
    }

    fn sample() -> Fields {
        let short = |v: u16| v.to_ne_bytes();
        let main = vec![field(0x010f, 2, b"Maker\0"), field(0x0132, 2, b"2020:01:02 03:04:05\0")];
        let exif = vec![field(0x9003, 2, b"2019:01:02 03:04:05\0"), field(0xa002, SHORT, &short(70))];
        [main, exif, vec![field(0x0001, 2, b"N\0")]]
    }

    #[test]
    fn fields_are_those_that_were_written() {
        let block = block(sample()).unwrap();
        assert_eq!(fields(&block).unwrap(), sample());
        assert_eq!(super::block([vec![], vec![], vec![]]), None);
    }

    #[test]
    fn a_size_that_is_too_large_for_its_type_gets_another() {
        let header = Header { width: 70_000, height: 5, ..Header::default() };
        let sized = fields(&sized(&block(sample()).unwrap(), &header)).unwrap();
        assert_eq!(sized[1][1], field(0xa002, LONG, &70_000_u32.to_ne_bytes()));
        assert_eq!(sized[0], sample()[0]);
    }

    #[test]
    fn a_block_says_how_large_it_is_printed_and_keeps_the_rest() {
        let resolution = Resolution { x: 300_000, y: 72_500, unit: crate::ResolutionUnit::Inch };
        let of_big_end: &[u8] =
            b"MM\0*\0\0\0\x08\0\x02\x01\x0f\0\x02\0\0\0\x02A\0\0\0\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0?";
        for before in [block(sample()).unwrap(), of_big_end.to_vec()] {
            assert_eq!(super::resolution(&before), None);
            let after = printed(Some(before.clone()), resolution).unwrap();
            assert_eq!((super::resolution(&after), fields(&after)), (Some(resolution), fields(&before)));
            assert_eq!(after[8..before.len()], before[8..], "all else keeps its place");
            assert_eq!(printed(Some(after.clone()), resolution).unwrap(), after);
            let coarse = Resolution { x: 72_000, ..resolution };
            let again = printed(Some(after), coarse).unwrap();
            assert_eq!((super::resolution(&again), fields(&again)), (Some(coarse), fields(&before)));
        }
        assert_eq!(super::resolution(&printed(None, resolution).unwrap()), Some(resolution));
        assert_eq!(printed(Some(vec![1]), resolution).unwrap(), [1], "one that cannot be followed stays");
    }

    #[test]
    fn a_block_that_is_cut_or_leads_to_itself_is_refused() {
        let whole = block(sample()).unwrap();
        assert_eq!(of_shown(&whole).as_deref(), Some(&whole[..]));
        assert_eq!(of_shown(&[b"Exif\0\0", &whole[..]].concat()).as_deref(), Some(&whole[..]));
        for length in 0..whole.len() {
            assert_eq!(of_shown(&whole[..length]), None, "{length} bytes");
        }
        // A value may occur twice if there is room for it, but not all of the block.
        let mut shared = block(sample()).unwrap();
        let entry = shared.windows(2).rposition(|tag| tag == 0x0132_u16.to_ne_bytes()).unwrap();
        let length = shared.len() as u32;
        shared[entry + 4..entry + 8].copy_from_slice(&length.to_ne_bytes());
        shared[entry + 8..entry + 12].fill(0);
        assert_eq!((of_shown(&shared), fields(&shared)), (None, None));
        let mut round = block([sample()[0].clone(), vec![field(0x9003, 2, b"0\0")], vec![]]).unwrap();
        let main = round[4..8].to_vec();
        let link = round.windows(2).rposition(|tag| tag == DIRECTORIES[0].to_ne_bytes()).unwrap();
        round[link + 8..link + 12].copy_from_slice(&main);
        assert_eq!(of_shown(&round), None);
    }
}
