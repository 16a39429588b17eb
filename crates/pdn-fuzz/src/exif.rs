//! Directories of TIFF and EXIF: links that lead anywhere, values that share their bytes.

use crate::dice::Dice;

/// A file of directories, written from its header on.
pub(crate) struct Directories {
    little: bool,
    /// Whether offsets have 64 bits, as in BigTIFF.
    big: bool,
    pub(crate) out: Vec<u8>,
}

/// An entry of a directory.
pub(crate) struct Entry {
    pub(crate) tag: u16,
    pub(crate) kind: u16,
    pub(crate) count: u64,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    Bytes(Vec<u8>),
    /// The offset of the value.
    At(u64),
}

pub(crate) const BYTE: u16 = 1;
pub(crate) const ASCII: u16 = 2;
pub(crate) const SHORT: u16 = 3;
pub(crate) const LONG: u16 = 4;
pub(crate) const RATIONAL: u16 = 5;
pub(crate) const UNDEFINED: u16 = 7;
pub(crate) const LONG8: u16 = 16;

impl Directories {
    pub(crate) fn new(little: bool, big: bool) -> Self {
        let mut new = Self { little, big, out: if little { b"II".to_vec() } else { b"MM".to_vec() } };
        new.put(if big { 43 } else { 42 }, 2);
        if big {
            new.put(8, 2);
            new.put(0, 2);
        }
        // The offset of the first directory is written last.
        new.put(0, new.place());
        new
    }

    fn place(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    pub(crate) fn ordered(&self, number: u64, bytes: usize) -> Vec<u8> {
        match self.little {
            true => number.to_le_bytes()[..bytes].to_vec(),
            false => number.to_be_bytes()[8 - bytes..].to_vec(),
        }
    }

    fn put(&mut self, number: u64, bytes: usize) {
        let bytes = self.ordered(number, bytes);
        self.out.extend(bytes);
    }

    pub(crate) fn numbers(&self, tag: u16, kind: u16, numbers: &[u64]) -> Entry {
        let value = numbers.iter().flat_map(|number| self.ordered(*number, size_of(kind))).collect();
        Entry { tag, kind, count: numbers.len() as u64, value: Value::Bytes(value) }
    }

    pub(crate) fn rational(&self, tag: u16, [over, under]: [u64; 2]) -> Entry {
        let value = [self.ordered(over, 4), self.ordered(under, 4)].concat();
        Entry { tag, kind: RATIONAL, count: 1, value: Value::Bytes(value) }
    }

    /// Appends bytes and returns their offset.
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> u64 {
        let at = self.out.len() as u64;
        self.out.extend(bytes);
        at
    }

    /// Appends a directory with its values before it, and returns its offset.
    pub(crate) fn directory(&mut self, entries: Vec<Entry>, next: u64) -> u64 {
        let place = self.place();
        let mut body = self.ordered(entries.len() as u64, if self.big { 8 } else { 2 });
        for Entry { tag, kind, count, value } in entries {
            body.extend(self.ordered(tag.into(), 2));
            body.extend(self.ordered(kind.into(), 2));
            body.extend(self.ordered(count, place));
            match value {
                Value::Bytes(mut bytes) if bytes.len() <= place => {
                    bytes.resize(place, 0);
                    body.extend(bytes);
                }
                Value::Bytes(bytes) => {
                    let at = self.blob(&bytes);
                    body.extend(self.ordered(at, place));
                }
                Value::At(at) => body.extend(self.ordered(at, place)),
            }
        }
        body.extend(self.ordered(next, place));
        if self.out.len() % 2 == 1 {
            self.out.push(0);
        }
        self.blob(&body)
    }

    /// Returns the file, given the offset of its first directory.
    pub(crate) fn finished(mut self, first: u64) -> Vec<u8> {
        let (at, place) = if self.big { (8, 8) } else { (4, 4) };
        let first = self.ordered(first, place);
        self.out[at..at + place].copy_from_slice(&first);
        self.out
    }
}

pub(crate) fn size_of(kind: u16) -> usize {
    match kind {
        SHORT | 8 => 2,
        LONG | 9 | 11 | 13 => 4,
        RATIONAL | 10 | 12 | LONG8 | 17 | 18 => 8,
        _ => 1,
    }
}

/// Tags of EXIF, of GPS, and of pictures: sizes, orientation, dates, a maker note, thumbnails, links.
const TAGS: [u16; 26] = [
    0x0100, 0x0101, 0x010e, 0x010f, 0x0110, 0x0112, 0x011a, 0x011b, 0x0128, 0x0131, 0x0132, 0x013b, 0x0201, 0x0202,
    0x8298, 0x8769, 0x8825, 0xa005, 0x927c, 0x9003, 0xa002, 0xa003, 0x0001, 0x0002, 0x9286, 0xc4a5,
];
const LINKS: [u16; 3] = [0x8769, 0x8825, 0xa005];

/// Makes a block of EXIF: usually valid, sometimes with links to itself or beyond its end.
pub(crate) fn block(dice: &mut Dice) -> Vec<u8> {
    let mut file = Directories::new(!dice.once_in(3), false);
    let mut places = vec![8];
    for _ in 0..dice.below(4) {
        let bytes = dice.bytes(64);
        places.push(file.blob(&bytes));
    }
    let mut first = 0;
    for _ in 0..=dice.below(4) {
        let entries = (0..dice.below(12)).map(|_| entry(dice, &file, &places)).collect();
        let next = if dice.once_in(3) { dice.of(&places) } else { 0 };
        first = file.directory(entries, next);
        places.push(first);
    }
    let first = dice.right(first, 16);
    let bytes = file.finished(first);
    let name: &[u8] = if dice.once_in(4) { b"Exif\0\0" } else { b"" };
    dice.damaged([name, &bytes].concat(), 8)
}

/// Makes an entry whose value is its own, at one of the offsets, or nowhere.
pub(crate) fn entry(dice: &mut Dice, file: &Directories, places: &[u64]) -> Entry {
    let tag = if dice.once_in(8) { dice.short() } else { dice.of(&TAGS) };
    if LINKS.contains(&tag) {
        let at = dice.of(places);
        return file.numbers(tag, LONG, &[dice.right(at, 8)]);
    }
    let kind = dice.of(&[SHORT, LONG, ASCII, RATIONAL, UNDEFINED, BYTE, 9, 10, 6, 8, 11, 12, 13, 0, 99]);
    match dice.byte() % 6 {
        0 => Entry { tag, kind, count: dice.number(), value: Value::At(dice.of(places)) },
        1 => Entry { tag, kind, count: dice.number(), value: Value::At(dice.number()) },
        2 => {
            let bytes = dice.bytes(40);
            Entry { tag, kind, count: (bytes.len() / size_of(kind)) as u64, value: Value::Bytes(bytes) }
        }
        3 => file.rational(tag, [dice.number(), dice.number()]),
        _ => file.numbers(tag, dice.of(&[SHORT, LONG]), &[u64::from(dice.byte())]),
    }
}
