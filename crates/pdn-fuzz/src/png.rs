//! PNG from its grammar (PNG, third edition): chunks with correct checksums, and metadata in them.

use crate::dice::Dice;
use crate::exif;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all bytes");
    encoder.finish().expect("memory takes all bytes")
}

/// Appends a chunk with its checksum.
fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    file.extend((content.len() as u32).to_be_bytes());
    let begin = file.len();
    file.extend(kind);
    file.extend(content);
    let sum = crc32fast::hash(&file[begin..]);
    file.extend(sum.to_be_bytes());
}

struct Head {
    width: u32,
    height: u32,
    depth: u8,
    colour: u8,
    interlaced: u8,
}

impl Head {
    fn new(dice: &mut Dice) -> Self {
        let mut side = || match dice.byte() {
            byte @ ..240 => u32::from(byte % 24) + 1,
            byte @ ..250 => u32::from(byte) * 8,
            _ => dice.number() as u32,
        };
        let (width, height) = (side(), side());
        let (colour, depth) = match dice.byte() % 8 {
            0 => (0, dice.of(&[8, 16, 1, 2, 4])),
            1 => (3, dice.of(&[8, 1, 2, 4])),
            2 => (4, dice.of(&[8, 16])),
            3 | 4 => (2, dice.of(&[8, 16])),
            5 | 6 => (6, dice.of(&[8, 16])),
            _ => (dice.byte() % 8, dice.byte() % 17),
        };
        Self { width, height, depth, colour, interlaced: dice.byte() % 16 / 12 }
    }

    fn written(&self) -> Vec<u8> {
        let sides = [self.width.to_be_bytes(), self.height.to_be_bytes()].concat();
        [&sides[..], &[self.depth, self.colour, 0, 0, self.interlaced]].concat()
    }

    /// Makes rows of a picture, each with its filter; at most 64 KiB.
    fn rows(&self, dice: &mut Dice, width: u32, height: u32) -> Vec<u8> {
        let samples = [1, 1, 3, 1, 2, 1, 4, 1][usize::from(self.colour % 8)];
        let row = |width: u64| (width * samples * u64::from(self.depth)).div_ceil(8) + 1;
        let (width, height) = (u64::from(width), u64::from(height));
        let passes = [(8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1)];
        let pass = |(across, down, left, top): (u64, u64, u64, u64)| {
            let (width, height) =
                (width.saturating_sub(left).div_ceil(across), height.saturating_sub(top).div_ceil(down));
            (width.min(1 << 20), if width == 0 { 0 } else { height.min(1 << 20) })
        };
        let all: Vec<_> = if self.interlaced == 1 { passes.map(pass).to_vec() } else { vec![pass((1, 1, 0, 0))] };
        let filter = dice.byte();
        let mut rows = Vec::new();
        for (width, height) in all {
            for y in 0..height {
                let row = row(width) as usize;
                if rows.len() + row > 64 << 10 {
                    return rows;
                }
                let begin = rows.len();
                rows.extend(dice.filled(row));
                rows[begin] = filter.wrapping_add(y as u8) % 5;
            }
        }
        rows
    }
}

/// Appends metadata chunks.
fn said(dice: &mut Dice, file: &mut Vec<u8>) {
    match dice.byte() % 20 {
        0 | 1 => {
            let profile = if dice.once_in(3) { dice.bytes(200) } else { profile(dice) };
            chunk(file, b"iCCP", &[b"name\0\0".to_vec(), packed(dice, &profile)].concat());
        }
        2 | 3 => chunk(file, b"eXIf", &exif::block(dice)),
        4 => {
            let text = dice.bytes(64);
            chunk(file, b"zTXt", &[keyword(dice), &[0, 0], &packed(dice, &text)].concat());
        }
        5 => {
            let (text, method) = (dice.bytes(64), dice.byte() % 3);
            let text = if method == 1 { packed(dice, &text) } else { text };
            chunk(file, b"iTXt", &[keyword(dice), &[0, method, 0], b"en\0word\0", &text].concat());
        }
        6 => chunk(file, b"tEXt", &[keyword(dice), &[0], &dice.bytes(64)].concat()),
        7 => chunk(file, b"cICP", &[dice.byte() % 16, dice.byte() % 20, 0, dice.byte() % 2]),
        8 => chunk(file, b"gAMA", &(dice.right(45455, 2) as u32).to_be_bytes()),
        9 => {
            let usual = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000];
            let points = usual.map(|usual| (dice.right(usual, 4) as u32).to_be_bytes());
            chunk(file, b"cHRM", &points.concat());
        }
        10 => chunk(file, b"sRGB", &[dice.byte() % 5]),
        11 => {
            let [x, y] = [2835, 2835].map(|usual| (dice.right(usual, 2) as u32).to_be_bytes());
            chunk(file, b"pHYs", &[&x[..], &y, &[1 - dice.byte() % 3 / 2]].concat());
        }
        12 | 13 => {
            let count = dice.of(&[2, 6, 1, 16]);
            chunk(file, b"tRNS", &dice.filled(count));
        }
        14 => {
            let count = dice.below(8);
            chunk(file, b"sBIT", &dice.filled(count));
        }
        15 => chunk(file, b"acTL", &[(dice.right(2, 4) as u32).to_be_bytes(), [0; 4]].concat()),
        16 => {
            let count = dice.below(8);
            chunk(file, b"bKGD", &dice.filled(count));
        }
        17 => chunk(file, b"mDCV", &dice.filled(24)),
        18 => chunk(file, b"cLLI", &dice.filled(8)),
        _ => {
            let kind =
                dice.of(&[b"tIME", b"hIST", b"sPLT", b"caBX", b"PLTE", b"IDAT", b"fdAT", b"ABCD", b"IEND", b"IHDR"]);
            chunk(file, kind, &dice.bytes(40));
        }
    }
}

fn keyword(dice: &mut Dice) -> &'static [u8] {
    dice.of(&[
        &b"Comment"[..],
        b"Raw profile type iptc",
        b"Raw profile type exif",
        b"XML:com.adobe.xmp",
        b"",
        &[b'k'; 90],
    ])
}

fn packed(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    dice.damaged(deflated(bytes), 8)
}

/// Makes a profile's header and tag table, around meaningless tags or numbers of a curve.
pub(crate) fn profile(dice: &mut Dice) -> Vec<u8> {
    let tags: Vec<&[u8; 4]> = (0..dice.below(10))
        .map(|_| {
            dice.of(&[
                b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"desc", b"A2B0", b"chad",
                b"cicp",
            ])
        })
        .collect();
    let mut table = (tags.len() as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    let begin = 132 + 12 * tags.len();
    for tag in tags {
        let content = tag_content(dice);
        let (at, length) = (dice.right((begin + data.len()) as u64, 10), dice.right(content.len() as u64, 10));
        table.extend([&tag[..], &(at as u32).to_be_bytes(), &(length as u32).to_be_bytes()].concat());
        data.extend(content);
    }
    let mut head = vec![0; 128];
    head[8] = 4;
    head[12..16].copy_from_slice(b"mntr");
    head[16..20].copy_from_slice(dice.of(&[b"RGB ", b"GRAY", b"CMYK", b"Lab "]));
    head[20..24].copy_from_slice(dice.of(&[b"XYZ ", b"Lab "]));
    head[36..40].copy_from_slice(b"acsp");
    let whole = [head, table, data].concat();
    let size = dice.right(whole.len() as u64, 10) as u32;
    [&size.to_be_bytes()[..], &whole[4..]].concat()
}

fn tag_content(dice: &mut Dice) -> Vec<u8> {
    match dice.byte() % 6 {
        0 => {
            let numbers = dice.bytes(32);
            let count = dice.right(numbers.len() as u64 / 2, 6) as u32;
            [b"curv\0\0\0\0", &count.to_be_bytes()[..], &numbers].concat()
        }
        1 => [b"para\0\0\0\0", &[0, dice.byte() % 6, 0, 0][..], &dice.filled(28)].concat(),
        2 => [b"XYZ \0\0\0\0".to_vec(), dice.filled(12)].concat(),
        3 => [dice.of(&[b"mft1\0\0\0\0", b"mft2\0\0\0\0", b"mAB \0\0\0\0", b"mBA \0\0\0\0"]).to_vec(), dice.bytes(120)]
            .concat(),
        4 => [b"cicp\0\0\0\0".to_vec(), dice.bytes(4)].concat(),
        _ => dice.bytes(40),
    }
}

/// Makes a file.
pub(crate) fn file(dice: &mut Dice) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let head = Head::new(dice);
    chunk(&mut file, b"IHDR", &head.written());
    for _ in 0..dice.below(6) {
        said(dice, &mut file);
    }
    if (head.colour == 3) != dice.once_in(10) {
        let colours = 3 * (1 + dice.below(16)) - usize::from(dice.once_in(10));
        chunk(&mut file, b"PLTE", &dice.filled(colours));
    }
    for _ in 0..dice.below(3) {
        said(dice, &mut file);
    }
    let moves = dice.once_in(6);
    if moves {
        frame(dice, &mut file, &head, 0);
    }
    let rows = head.rows(dice, head.width, head.height);
    let rows = cut(dice, rows);
    let data = packed(dice, &rows);
    let parts = 1 + dice.below(3);
    for part in data.chunks(data.len().div_ceil(parts).max(1)) {
        chunk(&mut file, b"IDAT", part);
    }
    if moves {
        frame(dice, &mut file, &head, 1);
        let rows = head.rows(dice, head.width, head.height);
        chunk(&mut file, b"fdAT", &[vec![0, 0, 0, 2], deflated(&rows)].concat());
    }
    for _ in 0..dice.below(3) {
        said(dice, &mut file);
    }
    chunk(&mut file, b"IEND", &[]);
    dice.damaged(file, 16)
}

/// Makes rows that are too few, or too many.
fn cut(dice: &mut Dice, mut rows: Vec<u8>) -> Vec<u8> {
    if dice.once_in(12) {
        let count = dice.below(2 * rows.len() + 2);
        rows.resize(count, 0);
    }
    rows
}

/// Appends the chunks of an animation frame.
fn frame(dice: &mut Dice, file: &mut Vec<u8>, head: &Head, number: u32) {
    if number == 0 {
        chunk(file, b"acTL", &[2_u32.to_be_bytes(), [0; 4]].concat());
    }
    let sides = [head.width, head.height, 0, 0].map(|side| (dice.right(side.into(), 8) as u32).to_be_bytes());
    let tail = [0, 1, 0, 10, dice.byte() % 4, dice.byte() % 3];
    chunk(file, b"fcTL", &[&number.to_be_bytes()[..], &sides.concat(), &tail].concat());
}
