//! TIFF from its grammar (revision 6.0, its supplements, BigTIFF): strips and tiles that may share their bytes, every
//! compression and sample format, and metadata.

use crate::dice::Dice;
use crate::exif::{self, ASCII, BYTE, Directories, Entry, LONG, LONG8, SHORT, UNDEFINED, Value};
use crate::png::{deflated, profile};
use crate::seeds;
use weezl::BitOrder;

struct Layout {
    width: u64,
    height: u64,
    samples: u64,
    bits: u64,
    meaning: u64,
    compression: u64,
    planar: bool,
    /// Width and height of a tile; `None` for strips.
    tile: Option<[u64; 2]>,
    /// Rows per strip.
    rows: u64,
}

impl Layout {
    fn new(dice: &mut Dice) -> Self {
        let mut side = || match dice.byte() {
            byte @ ..240 => u64::from(byte % 32) + 1,
            byte @ ..250 => u64::from(byte) * 4,
            _ => dice.number(),
        };
        let (width, height) = (side(), side());
        let (meaning, samples) =
            dice.of(&[(2, 3), (1, 1), (0, 1), (2, 4), (1, 2), (3, 1), (5, 4), (6, 3), (2, 5), (5, 5), (8, 3)]);
        let samples = if dice.once_in(16) { dice.number() } else { samples };
        let bits = dice.of(&[8, 16, 8, 1, 2, 4, 32, 64, 12, 24, 0]);
        let compression = dice.of(&[1, 8, 5, 32773, 1, 32946, 7, 1, 2, 3, 4, 6, 50000, 34925]);
        let tile = dice.once_in(3).then(|| [0; 2].map(|_| dice.of(&[16, 32, 8, 64, 1, 0, 4096, 65536])));
        let rows = if dice.once_in(4) { dice.number() } else { height };
        Self { width, height, samples, bits, meaning, compression, planar: dice.once_in(5), tile, rows }
    }

    /// Returns the bytes of a strip or tile, at most 64 KiB, and the number of them, at most 64.
    fn parts(&self) -> (usize, usize) {
        let [width, height] = self.tile.unwrap_or([self.width, self.rows.min(self.height)]);
        let samples = if self.planar { 1 } else { self.samples };
        let row = width.saturating_mul(samples).saturating_mul(self.bits).div_ceil(8);
        let across = if self.tile.is_some() { self.width.div_ceil(width.max(1)) } else { 1 };
        let down = self.height.div_ceil(height.max(1));
        let planes = if self.planar { self.samples } else { 1 };
        let count = across.saturating_mul(down).saturating_mul(planes).min(64);
        (row.saturating_mul(height).min(64 << 10) as usize, count as usize)
    }

    fn part(&self, dice: &mut Dice, bytes: usize) -> Vec<u8> {
        let plain = dice.filled(bytes);
        let written = match self.compression {
            8 | 32946 => deflated(&plain),
            5 => weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&plain).unwrap_or_default(),
            32773 => packed(&plain),
            6 | 7 => seeds::jpeg(dice, self.width.min(32) as usize, self.rows.min(32) as usize),
            2..=4 | 50000 | 34925 => dice.bytes(64),
            _ => plain,
        };
        dice.damaged(written, 16)
    }
}

/// Encodes Apple's PackBits, in literal runs only.
fn packed(plain: &[u8]) -> Vec<u8> {
    plain.chunks(128).flat_map(|run| [&[run.len() as u8 - 1], run].concat()).collect()
}

/// Makes a file.
pub(crate) fn file(dice: &mut Dice) -> Vec<u8> {
    let big = dice.once_in(6);
    let mut file = Directories::new(!dice.once_in(3), big);
    let mut places = vec![8];
    let mut first = 0;
    let count = 1 + dice.below(2);
    for _ in 0..count {
        let layout = Layout::new(dice);
        let mut entries = picture(dice, &mut file, &layout);
        said(dice, &mut file, &mut entries, &mut places);
        if dice.once_in(4) && !entries.is_empty() {
            changed(dice, &file, &mut entries, &places);
        }
        entries.sort_by_key(|entry| entry.tag);
        let next = if dice.once_in(4) { dice.of(&places) } else { first };
        first = file.directory(entries, next);
        places.push(first);
    }
    let bytes = file.finished(first);
    dice.damaged(bytes, 16)
}

/// Makes the required entries, and the samples.
fn picture(dice: &mut Dice, file: &mut Directories, layout: &Layout) -> Vec<Entry> {
    let (bytes, count) = layout.parts();
    // All parts may share a single one.
    let shared = dice.once_in(6);
    let (mut at, mut length): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    for i in 0..count {
        if i == 0 || !shared {
            let part = layout.part(dice, bytes);
            let place = file.blob(&part);
            at.push(dice.right(place, 24));
            length.push(dice.right(part.len() as u64, 24));
        } else {
            at.push(at[0]);
            length.push(length[0]);
        }
    }
    let width = if dice.once_in(12) { LONG8 } else { LONG };
    let bits = vec![layout.bits; layout.samples.min(16) as usize];
    let format = vec![dice.of(&[1, 1, 1, 3, 2, 4, 5]); layout.samples.min(16) as usize];
    let mut entries = vec![
        file.numbers(256, LONG, &[layout.width]),
        file.numbers(257, LONG, &[layout.height]),
        file.numbers(258, SHORT, &bits),
        file.numbers(259, SHORT, &[layout.compression]),
        file.numbers(262, SHORT, &[layout.meaning]),
        file.numbers(277, SHORT, &[layout.samples]),
        file.numbers(284, SHORT, &[if layout.planar { 2 } else { 1 }]),
        file.numbers(339, SHORT, &format),
    ];
    match layout.tile {
        Some([across, down]) => entries.extend([
            file.numbers(322, LONG, &[across]),
            file.numbers(323, LONG, &[down]),
            file.numbers(324, width, &at),
            file.numbers(325, width, &length),
        ]),
        None => entries.extend([
            file.numbers(278, LONG, &[layout.rows]),
            file.numbers(273, width, &at),
            file.numbers(279, width, &length),
        ]),
    }
    if dice.once_in(3) {
        let predictor = dice.of(&[2, 1, 3, 34892]);
        entries.push(file.numbers(317, SHORT, &[predictor]));
    }
    if layout.samples > 3 || layout.samples == 2 || dice.once_in(8) {
        let extra = dice.of(&[2, 1, 0, 9]);
        entries.push(file.numbers(338, SHORT, &vec![extra; 1 + dice.below(3)]));
    }
    if layout.meaning == 3 {
        let colours: Vec<u64> = (0..3_u64 << layout.bits.min(8)).map(|i| i * 257 % 65536).collect();
        entries.push(file.numbers(320, SHORT, &colours));
    }
    if layout.meaning == 6 && dice.once_in(2) {
        entries.push(file.numbers(530, SHORT, &[1 + u64::from(dice.byte() % 4), 1 + u64::from(dice.byte() % 4)]));
    }
    entries
}

/// Adds metadata entries.
fn said(dice: &mut Dice, file: &mut Directories, entries: &mut Vec<Entry>, places: &mut Vec<u64>) {
    let bytes = |tag, kind, bytes: Vec<u8>| Entry { tag, kind, count: bytes.len() as u64, value: Value::Bytes(bytes) };
    for _ in 0..dice.below(6) {
        match dice.byte() % 12 {
            0 => entries.push(file.numbers(274, SHORT, &[u64::from(dice.byte() % 10)])),
            1 => entries.extend([
                file.rational(282, [dice.right(300, 3), dice.right(1, 3)]),
                file.rational(283, [dice.right(300, 3), dice.right(1, 3)]),
                file.numbers(296, SHORT, &[u64::from(dice.byte() % 5)]),
            ]),
            2 => entries.push(bytes(34675, UNDEFINED, profile(dice))),
            3 => entries.push(bytes(700, BYTE, dice.bytes(64))),
            4 => entries.push(bytes(33723, UNDEFINED, dice.bytes(64))),
            5 => entries.push(file.numbers(254, LONG, &[u64::from(dice.byte() % 8)])),
            6 => {
                let tag = dice.of(&[330, 50706, 347, 34377]);
                entries.push(bytes(tag, dice.of(&[LONG, BYTE, UNDEFINED]), dice.bytes(16)));
            }
            7 => entries.push(bytes(dice.of(&[270, 271, 272, 305, 306, 315, 33432]), ASCII, dice.bytes(40))),
            8 | 9 => {
                let fields = (0..dice.below(8)).map(|_| exif::entry(dice, file, places)).collect();
                let at = file.directory(fields, 0);
                places.push(at);
                let tag = dice.of(&[34665, 34853, 40965]);
                entries.push(file.numbers(tag, dice.of(&[LONG, 13, LONG8]), &[dice.right(at, 8)]));
            }
            10 => entries.push(exif::entry(dice, file, places)),
            _ => places.push(file.blob(&dice.bytes(64))),
        }
    }
}

/// Drops an entry, or gives it another type, count or offset.
fn changed(dice: &mut Dice, file: &Directories, entries: &mut Vec<Entry>, places: &[u64]) {
    let at = dice.below(entries.len());
    let tag = entries[at].tag;
    match dice.byte() % 6 {
        0 => drop(entries.remove(at)),
        1 => entries[at] = file.numbers(tag, dice.of(&[SHORT, LONG, BYTE, LONG8, 9]), &[dice.number()]),
        2 => entries[at].count = dice.number(),
        3 => entries[at].kind = dice.short() % 20,
        4 => entries[at].value = Value::At(dice.right(last(places), 2)),
        _ => {
            let numbers: Vec<u64> = (0..dice.below(8)).map(|_| dice.number()).collect();
            entries[at] = file.numbers(tag, dice.of(&[SHORT, LONG]), &numbers);
        }
    }
}

fn last(places: &[u64]) -> u64 {
    places.last().copied().unwrap_or_default()
}
