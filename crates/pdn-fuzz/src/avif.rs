//! AVIF from the grammar of its boxes (ISO 14496-12, 23008-12): items with locations, kinds, references and properties,
//! around AV1 from the project's own writer.

use crate::MADE;
use crate::dice::Dice;
use crate::exif;
use crate::pictures::read;
use crate::png::profile;
use pdn_image::{Format, Picture, WriteOptions, encode};
use std::sync::LazyLock;

/// Reads an AVIF, either the input itself or one that the grammar makes of it, and writes the result in every other
/// format.
///
/// # Panics
/// If what was read cannot be written, or is not read back unchanged.
pub fn avif(data: &[u8]) {
    match data {
        [MADE, choices @ ..] => read(&made_avif(choices)),
        _ => read(data),
    }
}

/// Encoded AV1 pictures with their sizes, made once, as encoding is slow.
static CODED: LazyLock<Vec<(u32, u32, Vec<u8>)>> = LazyLock::new(|| {
    let sides = [(8, 8, false), (5, 3, false), (16, 9, true), (1, 1, true)];
    sides
        .into_iter()
        .filter_map(|(width, height, grey)| Some((width as u32, height as u32, coded(width, height, grey)?)))
        .collect()
});

fn coded(width: usize, height: usize, grey: bool) -> Option<Vec<u8>> {
    let rgb = (0..width * height)
        .flat_map(|i| [i, if grey { i } else { 2 * i }, if grey { i } else { 3 * i }].map(|v| v as u8));
    let mut picture = Picture::from_rgb(width, height, rgb.collect());
    picture.grey = grey;
    let file = encode(&picture, Format::Avif, &WriteOptions::default()).ok()?;
    // The data is the file's last box.
    let at = file.windows(4).position(|bytes| bytes == b"mdat")?;
    Some(file[at + 4..].to_vec())
}

fn boxed(dice: &mut Dice, kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = dice.right(content.len() as u64 + 8, 40);
    match dice.once_in(40) {
        // A 64-bit size.
        true => [&1_u32.to_be_bytes(), &kind[..], &(size.wrapping_add(8)).to_be_bytes(), content].concat(),
        false => [&(size as u32).to_be_bytes(), &kind[..], content].concat(),
    }
}

fn full(dice: &mut Dice, kind: &[u8; 4], version: u8, content: &[u8]) -> Vec<u8> {
    let version = dice.right(version.into(), 40) as u8;
    boxed(dice, kind, &[&[version, 0, 0, 0], content].concat())
}

/// An item: its id, kind, data, property indices, and references.
struct Item {
    id: u16,
    kind: [u8; 4],
    data: Vec<u8>,
    properties: Vec<u8>,
    reference: Option<[u8; 4]>,
}

fn items(dice: &mut Dice, properties: &mut Vec<Vec<u8>>) -> Vec<Item> {
    let mut items = Vec::new();
    let count = 1 + dice.below(5);
    for id in 1..=count as u16 {
        let (mut kind, reference) = match dice.byte() % 8 {
            _ if id == 1 => (*b"av01", None),
            0..=2 => (*b"av01", Some(*b"auxl")),
            3 | 4 => (*b"Exif", Some(*b"cdsc")),
            5 => (*b"mime", Some(*b"cdsc")),
            6 => (*b"av01", Some(*b"prem")),
            _ => (*b"grid", Some(*b"dimg")),
        };
        if dice.once_in(16) {
            kind = *dice.of(&[b"av01", b"Exif", b"mime", b"grid", b"hvc1", b"iovl"]);
        }
        let (data, own) = match &kind {
            b"Exif" => ([(dice.right(0, 8) as u32).to_be_bytes().to_vec(), exif::block(dice)].concat(), Vec::new()),
            b"mime" => (dice.bytes(40), Vec::new()),
            _ => picture(dice, properties, id > 1),
        };
        items.push(Item { id, kind, data, properties: own, reference });
    }
    items
}

/// Makes AV1 data, and the indices of its properties.
fn picture(dice: &mut Dice, properties: &mut Vec<Vec<u8>>, aux: bool) -> (Vec<u8>, Vec<u8>) {
    let which = dice.below(CODED.len());
    let Some((width, height, data)) = CODED.get(which) else { return (Vec::new(), Vec::new()) };
    let begin = properties.len();
    let sides = [*width, *height].map(|side| (dice.right(side.into(), 16) as u32).to_be_bytes()).concat();
    properties.push(full(dice, b"ispe", 0, &sides));
    if aux {
        properties.push(full(dice, b"auxC", 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"));
    }
    for _ in 0..dice.below(5) {
        let property = match dice.byte() % 9 {
            0 => {
                let points = [1, 13, 1].map(|usual| (dice.right(usual, 3) as u16).to_be_bytes()).concat();
                boxed(dice, b"colr", &[b"nclx", &points[..], &[0x80]].concat())
            }
            1 => {
                let icc = profile(dice);
                boxed(dice, b"colr", &[b"prof", &icc[..]].concat())
            }
            2 => {
                let turns = dice.byte();
                boxed(dice, b"irot", &[turns])
            }
            3 => {
                let axis = dice.byte();
                boxed(dice, b"imir", &[axis])
            }
            4 => boxed(dice, b"clap", &[0; 32]),
            5 => full(dice, b"pixi", 0, &[3, 8, 8, 8]),
            6 => boxed(dice, b"pasp", &[0, 0, 0, 1, 0, 0, 0, 1]),
            7 => boxed(dice, b"av1C", &[0x81, 0, 0, 0]),
            _ => {
                let content = dice.bytes(20);
                boxed(dice, b"abcd", &content)
            }
        };
        properties.push(property);
    }
    let essential = if dice.once_in(8) { 0x80 } else { 0 };
    let own = (begin..properties.len()).map(|at| (at as u8 + 1) | essential).collect();
    let mut data = data.clone();
    for _ in 0..dice.below(3) {
        data = dice.damaged(data, 3);
    }
    (data, own)
}

/// Makes a file from these choices with the grammar. The data comes before the table of contents, so that its offsets
/// are known.
pub fn made_avif(choices: &[u8]) -> Vec<u8> {
    let dice = &mut Dice::new(choices);
    let mut properties = Vec::new();
    let items = items(dice, &mut properties);
    let mut file = boxed(dice, b"ftyp", b"avif\0\0\0\0avifmif1miaf");
    let inner = dice.once_in(6);
    let begin = if inner { 0 } else { file.len() as u64 + 8 };
    let data: Vec<u8> = items.iter().flat_map(|item| item.data.clone()).collect();
    if !inner {
        file.extend(boxed(dice, b"mdat", &data));
    }
    if dice.once_in(10) {
        file.extend(boxed(dice, b"moov", b""));
    }
    let mut parts = vec![
        full(dice, b"hdlr", 0, b"\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        primary(dice),
        places(dice, &items, begin, inner),
        kinds(dice, &items),
        references(dice, &items),
        owned(dice, &items, &properties),
    ];
    if inner {
        parts.push(boxed(dice, b"idat", &data));
    }
    if dice.once_in(16) {
        let at = dice.below(parts.len());
        parts.remove(at);
    }
    file.extend(full(dice, b"meta", 0, &parts.concat()));
    dice.damaged(file, 12)
}

fn primary(dice: &mut Dice) -> Vec<u8> {
    let id = (dice.right(1, 16) as u16).to_be_bytes();
    full(dice, b"pitm", 0, &id)
}

/// Makes the table of the items' locations: each in one extent, or in several, which may be the same.
fn places(dice: &mut Dice, items: &[Item], begin: u64, inner: bool) -> Vec<u8> {
    let version = if inner { 1 } else { dice.byte() % 3 };
    let wide = dice.once_in(6);
    let number =
        |number: u64| if wide { number.to_be_bytes().to_vec() } else { (number as u32).to_be_bytes().to_vec() };
    let id = |id: u16| if version < 2 { id.to_be_bytes().to_vec() } else { u32::from(id).to_be_bytes().to_vec() };
    let sizes: u8 = if wide { 0x88 } else { 0x44 };
    let mut content = vec![sizes, 0];
    content.extend(id(dice.right(items.len() as u64, 24) as u16));
    let mut at = begin;
    for item in items {
        content.extend(id(item.id));
        if version > 0 {
            content.extend([0, if inner { 1 } else { dice.right(0, 24) as u8 }]);
        }
        content.extend([0, 0]);
        let count = dice.right(1, 12) as u16;
        content.extend(count.to_be_bytes());
        for _ in 0..count.min(300) {
            let length = if count == 1 { item.data.len() as u64 } else { dice.right(1, 3) };
            content.extend(number(dice.right(at, 24)));
            content.extend(number(dice.right(length, 24)));
        }
        at += item.data.len() as u64;
    }
    full(dice, b"iloc", version, &content)
}

fn kinds(dice: &mut Dice, items: &[Item]) -> Vec<u8> {
    let mut content = (items.len() as u16).to_be_bytes().to_vec();
    for item in items {
        let said: &[u8] = if item.kind == *b"mime" { b"application/rdf+xml\0" } else { b"" };
        let entry = [&item.id.to_be_bytes()[..], &[0, 0], &item.kind, &[0], said].concat();
        content.extend(full(dice, b"infe", 2, &entry));
    }
    full(dice, b"iinf", 0, &content)
}

fn references(dice: &mut Dice, items: &[Item]) -> Vec<u8> {
    let mut content = Vec::new();
    for item in items {
        let Some(kind) = item.reference else { continue };
        // Premultiplication is declared from the picture to its alpha.
        let (from, to) = if kind == *b"prem" { (1, item.id) } else { (item.id, dice.right(1, 16) as u16) };
        let count = dice.right(1, 16) as u16;
        let to = to.to_be_bytes().repeat(usize::from(count.min(300)));
        content.extend(boxed(dice, &kind, &[&from.to_be_bytes()[..], &count.to_be_bytes(), &to].concat()));
    }
    full(dice, b"iref", 0, &content)
}

fn owned(dice: &mut Dice, items: &[Item], properties: &[Vec<u8>]) -> Vec<u8> {
    let mut content = (items.len() as u32).to_be_bytes().to_vec();
    for item in items {
        let mut own = item.properties.clone();
        if dice.once_in(8) {
            own.push(dice.byte());
        }
        content.extend(item.id.to_be_bytes());
        content.push(own.len() as u8);
        content.extend(own);
    }
    let (all, owned) = (boxed(dice, b"ipco", &properties.concat()), full(dice, b"ipma", 0, &content));
    boxed(dice, b"iprp", &[all, owned].concat())
}
