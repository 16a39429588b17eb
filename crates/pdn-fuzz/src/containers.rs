//! WebP and JPEG containers around intact pictures, with chunks and segments of metadata. BMP and GIF, which are little
//! more than containers.

use crate::dice::Dice;
use crate::exif;
use crate::png::profile;
use crate::seeds;
use weezl::BitOrder;

/// Makes a RIFF chunk.
fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let pad: &[u8] = if content.len() % 2 == 1 { &[0] } else { &[] };
    [&kind[..], &(content.len() as u32).to_le_bytes(), content, pad].concat()
}

fn sides(width: usize, height: usize) -> Vec<u8> {
    let three = |side: usize| (side.saturating_sub(1) as u32).to_le_bytes()[..3].to_vec();
    [three(width), three(height)].concat()
}

/// Makes a WebP, extended or not (RFC 9649).
pub(crate) fn webp(dice: &mut Dice) -> Vec<u8> {
    let (width, height) = (1 + dice.below(24), 1 + dice.below(24));
    let whole = seeds::webp(dice, width, height);
    // After the RIFF header with the size, and the file type.
    let picture = whole.get(12..).unwrap_or_default().to_vec();
    let picture = dice.damaged(picture, 8);
    let mut chunks = Vec::new();
    let flags = if dice.once_in(4) { dice.byte() } else { 0b0011_1100 & dice.byte() };
    let (across, down) = (dice.right(width as u64, 10) as usize, dice.right(height as u64, 10) as usize);
    chunks.push(chunk(b"VP8X", &[vec![flags, 0, 0, 0], sides(across, down)].concat()));
    for _ in 0..dice.below(5) {
        chunks.push(match dice.byte() % 7 {
            0 => chunk(b"ICCP", &profile(dice)),
            1 => chunk(b"EXIF", &exif::block(dice)),
            2 => chunk(b"XMP ", &dice.bytes(40)),
            3 => chunk(b"ANIM", &dice.filled(6)),
            4 => {
                let place = [sides(1 + dice.below(4), 1 + dice.below(4)), sides(width, height)].concat();
                chunk(b"ANMF", &[place, vec![10, 0, 0, dice.byte() % 4], picture.clone()].concat())
            }
            5 => chunk(b"ALPH", &dice.bytes(40)),
            _ => picture.clone(),
        });
    }
    if !dice.once_in(8) {
        chunks.push(picture);
    }
    if dice.once_in(3) {
        chunks.push(chunk(b"EXIF", &exif::block(dice)));
    }
    let body = chunks.concat();
    let size = dice.right(body.len() as u64 + 4, 10) as u32;
    let file = [b"RIFF", &size.to_le_bytes()[..], b"WEBP", &body].concat();
    dice.damaged(file, 16)
}

/// Makes a JPEG segment.
fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, marker], &(content.len() as u16 + 2).to_be_bytes()[..], content].concat()
}

/// Makes a JPEG with segments before its picture.
pub(crate) fn jpeg(dice: &mut Dice) -> Vec<u8> {
    let (width, height) = (1 + dice.below(32), 1 + dice.below(32));
    let picture = seeds::jpeg(dice, width, height);
    let mut file = vec![0xff, 0xd8];
    for _ in 0..dice.below(6) {
        let content = match dice.byte() % 9 {
            0 => segment(0xe0, &[b"JFIF\0\x01\x02".to_vec(), dice.filled(7)].concat()),
            1 | 2 => segment(0xe1, &[b"Exif\0\0".to_vec(), exif::block(dice)].concat()),
            3 => segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0".to_vec(), dice.bytes(40)].concat()),
            4 => {
                let [number, of] = [dice.right(1, 4) as u8, dice.right(1, 4) as u8];
                segment(0xe2, &[b"ICC_PROFILE\0", &[number, of][..], &profile(dice)].concat())
            }
            5 => segment(0xed, &[b"Photoshop 3.0\08BIM\x04\x04".to_vec(), dice.bytes(40)].concat()),
            6 => segment(0xee, &[b"Adobe\0\x64\0\0\0\0", &[dice.byte() % 4][..]].concat()),
            7 => segment(0xdd, &(dice.number() as u16).to_be_bytes()),
            _ => segment(0xc0 + dice.byte() % 64, &dice.bytes(40)),
        };
        file.extend(content);
    }
    file.extend(picture.get(2..).unwrap_or_default());
    dice.damaged(file, 4)
}

/// Makes a BMP of any header, depth, compression and masks.
pub(crate) fn bmp(dice: &mut Dice) -> Vec<u8> {
    let (width, height) = (side(dice), side(dice));
    let bits = dice.of(&[24, 8, 32, 16, 4, 1, 2, 64]);
    let compression = dice.of(&[0, 0, 1, 2, 3, 6, 4, 13]);
    let size = dice.of(&[40, 124, 108, 12, 52, 56, 64, 16, 0]);
    let height = if dice.once_in(4) { (height as i64).wrapping_neg() } else { height as i64 };
    let mut head = (size as u32).to_le_bytes().to_vec();
    if size == 12 {
        head.extend([width as u16, height as u16, 1, bits].map(u16::to_le_bytes).concat());
    } else {
        head.extend([(width as u32).to_le_bytes(), (height as u32).to_le_bytes()].concat());
        head.extend([1, bits].map(u16::to_le_bytes).concat());
        let colours = dice.right(0, 4) as u32;
        head.extend([compression, 0, 2835, 2835, colours, 0].map(u32::to_le_bytes).concat());
        head.extend(
            [0x00ff_0000_u32, 0xff00, 0xff, 0xff00_0000]
                .map(|mask| (dice.right(mask.into(), 8) as u32).to_le_bytes())
                .concat(),
        );
        head.resize(size.max(40) as usize, 0);
    }
    let palette = if bits <= 8 { 4 << bits } else { 0 };
    let data = match dice.once_in(3) {
        true => dice.bytes(200),
        false => dice.filled(4096),
    };
    let begin = dice.right(14 + head.len() as u64 + palette, 12) as u32;
    let file = [b"BM\0\0\0\0\0\0\0\0", &begin.to_le_bytes()[..], &head, &dice.filled(palette as usize), &data].concat();
    dice.damaged(file, 16)
}

fn side(dice: &mut Dice) -> u64 {
    let side = 1 + u64::from(dice.byte() % 40);
    dice.right(side, 12)
}

/// Makes a GIF: pictures with and without colour tables, extensions, and comments.
pub(crate) fn gif(dice: &mut Dice) -> Vec<u8> {
    let short = |dice: &mut Dice, right: u8| (dice.right(right.into(), 12) as u16).to_le_bytes();
    let (width, height) = (1 + dice.byte() % 40, 1 + dice.byte() % 40);
    let mut file = dice.of(&[&b"GIF89a"[..], b"GIF87a"]).to_vec();
    file.extend([short(dice, width), short(dice, height)].concat());
    let table = dice.byte() % 8;
    let flags = if dice.once_in(6) { 0 } else { 0x80 | table };
    file.extend([flags, dice.byte(), 0]);
    if flags != 0 {
        file.extend(dice.filled(6 << table));
    }
    for _ in 0..=dice.below(3) {
        match dice.byte() % 4 {
            0 => file.extend([0x21, 0xf9, 4, dice.byte() % 32, 10, 0, dice.byte(), 0]),
            1 => file.extend([&[0x21, 0xfe, 5][..], b"words", &[0]].concat()),
            2 => file.extend([&[0x21, 0xff, 11][..], b"NETSCAPE2.0", &[3, 1, 0, 0, 0]].concat()),
            _ => {}
        }
        file.push(0x2c);
        let place = [short(dice, 0), short(dice, 0), short(dice, width), short(dice, height)].concat();
        file.extend(place);
        let local = dice.once_in(4);
        file.push(u8::from(local) << 7 | u8::from(dice.once_in(4)) << 6 | table);
        if local {
            file.extend(dice.filled(6 << table));
        }
        let bits = dice.right(u64::from(table.max(1)) + 1, 12) as u8;
        let mut indices = dice.filled(usize::from(width) * usize::from(height));
        indices.iter_mut().for_each(|index| *index &= (1_u8 << (table + 1).min(7)) - 1);
        let packed = match bits {
            2..=8 => weezl::encode::Encoder::new(BitOrder::Lsb, bits).encode(&indices).unwrap_or_default(),
            _ => dice.bytes(64),
        };
        file.push(bits);
        packed.chunks(255).for_each(|block| file.extend([&[block.len() as u8][..], block].concat()));
        file.push(0);
    }
    file.push(0x3b);
    dice.damaged(file, 12)
}
