//! Files that try to exhaust a reader: small, and each with one number that asks for far more. Tests use sizes that
//! read in a moment; `cargo run -p pdn-testing --example hostile FOLDER` writes them at full, harmful size.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::Write;

/// A file's name, and a function that makes it at full size.
pub type Attack = (&'static str, fn() -> Vec<u8>);

/// All files of this module at full size.
pub const ATTACKS: [Attack; 16] = [
    ("jpeg-strips.tif", || tiff_of_jpegs(12_000, 16_384)),
    ("shared-strips.tif", || tiff_of_shared_strips(100_000, 200_000)),
    ("wide-tiles.tif", || tiff_of_wide_tiles(60_000)),
    ("tall-tiles.tif", || tiff_of_tall_tiles(20_000, 90_000_000)),
    ("exif.tif", || tiff_of_exif(65_000, 1_000_000, false)),
    ("exif-big.tif", || tiff_of_exif(65_000, 1_000_000, true)),
    ("long-value.tif", || tiff_of_long_value(338, 1, 250_000_000)),
    ("exif.png", || png_of_exif(&exif_of_shared_values(4_000, 1_000_000))),
    ("exif.webp", || webp_of_exif(&exif_of_shared_values(4_000, 1_000_000))),
    ("profile.png", || png_of_profile(100 << 20)),
    ("texts.png", || png_of_texts(2_000, 10 << 20)),
    ("large-frame.webp", || webp_of_large_frame(16_383)),
    ("scans.jpg", || jpeg_of_scans(100_000, 60_000, 600)),
    ("pieces.jpg", || jpeg_of_pieces(60_000, 1_000_000)),
    ("extents.avif", || avif_of_extents(150_000)),
    ("shared.avif", || avif_of_shared_items(40_000, 1_000_000)),
];

/// An entry of a TIFF directory: its tag, type, count, and value or offset.
#[derive(Clone, Copy)]
struct Entry(u16, u16, u64, u64);

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// Returns the bytes of a directory.
fn directory(entries: &[Entry], big: bool) -> Vec<u8> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| entry.0);
    let size = if big { 8 } else { 4 };
    let number = |number: u64| number.to_le_bytes()[..size].to_vec();
    let mut bytes = if big { number(entries.len() as u64) } else { (entries.len() as u16).to_le_bytes().to_vec() };
    for Entry(tag, kind, count, value) in entries {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([number(count), number(value)].concat());
    }
    bytes.extend(number(0));
    bytes
}

/// The offset of the data after a TIFF's header.
const BEGIN: u64 = 16;

/// Makes a TIFF with its directory after its data.
fn tiff(data: &[u8], entries: &[Entry], big: bool) -> Vec<u8> {
    let place = BEGIN + data.len() as u64;
    let mut bytes = match big {
        true => [b"II\x2b\0\x08\0\0\0".as_slice(), &place.to_le_bytes()].concat(),
        false => [b"II\x2a\0".as_slice(), &(place as u32).to_le_bytes(), &[0; 8]].concat(),
    };
    bytes.extend(data);
    bytes.extend(directory(entries, big));
    bytes
}

/// Returns the entries of an 8-bit grey picture with this size and compression.
fn grey(width: u64, height: u64, compression: u64) -> Vec<Entry> {
    vec![
        Entry(256, LONG, 1, width),
        Entry(257, LONG, 1, height),
        Entry(258, SHORT, 1, 8),
        Entry(259, SHORT, 1, compression),
        Entry(262, SHORT, 1, 1),
        Entry(277, SHORT, 1, 1),
    ]
}

fn longs(numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    numbers.flat_map(|number| (number as u32).to_le_bytes()).collect()
}

/// Makes a TIFF of one column whose parts all share the same bytes; `tags` are those of the offsets and of the lengths.
fn of_parts(data: &[u8], count: u64, height: u64, compression: u64, sides: &[Entry], tags: (u16, u16)) -> Vec<u8> {
    let (places, lengths) = (BEGIN + data.len() as u64, BEGIN + data.len() as u64 + 4 * count);
    let tables = [data.to_vec(), longs((0..count).map(|_| BEGIN)), longs((0..count).map(|_| data.len() as u64))];
    let mut entries = grey(1, height, compression);
    entries.extend(sides);
    // A single number is stored in its entry.
    let (places, lengths) = if count == 1 { (BEGIN, data.len() as u64) } else { (places, lengths) };
    entries.extend([Entry(tags.0, LONG, count, places), Entry(tags.1, LONG, count, lengths)]);
    tiff(&tables.concat(), &entries, false)
}

/// Makes a picture of one column in which every pixel is a JPEG of this side, all of them the same one.
pub fn tiff_of_jpegs(strips: u64, side: u16) -> Vec<u8> {
    let jpeg = [&jpeg_head(0xc2, side, side)[..], &scan(0, 0), &[0, 0], &[0xff, 0xd9]].concat();
    of_parts(&jpeg, strips, strips, 7, &[Entry(278, LONG, 1, 1)], (273, 279))
}

/// Makes a picture of one column in which every pixel follows the same number of bytes of empty deflate blocks.
pub fn tiff_of_shared_strips(strips: u64, bytes: usize) -> Vec<u8> {
    let nothing = [0, 0, 0, 0xff, 0xff].repeat(bytes / 5);
    // One stored byte, and its checksum.
    let data = [&[0x78, 1][..], &nothing, &[1, 1, 0, 0xfe, 0xff, 7], &[0, 8, 0, 8]].concat();
    of_parts(&data, strips, strips, 8, &[Entry(278, LONG, 1, 1)], (273, 279))
}

/// Makes a picture of one pixel, in a tile of this side.
pub fn tiff_of_wide_tiles(side: u64) -> Vec<u8> {
    let sides = [Entry(322, LONG, 1, side), Entry(323, LONG, 1, side)];
    of_parts(&deflated(1 << 20), 1, 1, 8, &sides, (324, 325))
}

/// Makes a picture of one column in which every pixel is in a tile of this width, all of them the same one.
pub fn tiff_of_tall_tiles(tiles: u64, width: u64) -> Vec<u8> {
    let sides = [Entry(322, LONG, 1, width), Entry(323, LONG, 1, 1)];
    of_parts(&deflated(width as usize), tiles, tiles, 8, &sides, (324, 325))
}

/// Makes a picture of one pixel, whose EXIF has the same bytes in every entry.
pub fn tiff_of_exif(entries: u16, bytes: u64, big: bool) -> Vec<u8> {
    let shared: Vec<_> = (0..entries).map(|tag| Entry(tag, 7, bytes, BEGIN)).collect();
    let data = [vec![7; bytes as usize], directory(&shared, big)].concat();
    let mut main = grey(1, 1, 1);
    main.extend([Entry(273, LONG, 1, BEGIN), Entry(278, LONG, 1, 1), Entry(279, LONG, 1, 1)]);
    main.push(Entry(0x8769, LONG, 1, BEGIN + bytes));
    tiff(&data, &main, big)
}

/// Makes a picture of one pixel, and a tag whose value claims this many numbers.
pub fn tiff_of_long_value(tag: u16, kind: u16, count: u64) -> Vec<u8> {
    let mut main = grey(1, 1, 1);
    main.extend([Entry(273, LONG, 1, BEGIN), Entry(278, LONG, 1, 1), Entry(279, LONG, 1, 1)]);
    main.push(Entry(tag, kind, count, 0));
    tiff(&[7; 64], &main, true)
}

/// Makes an EXIF block in which every entry spans the whole block.
pub fn exif_of_shared_values(entries: u16, bytes: usize) -> Vec<u8> {
    // Tags of EXIF itself, none of which is interpreted here.
    let shared: Vec<_> = (0..entries).map(|i| Entry(0x9000_u16.wrapping_add(i), 7, bytes as u64, 0)).collect();
    let main = [Entry(0x8769, LONG, 1, 8 + 2 + 12 + 4)];
    let mut block = [b"II\x2a\0\x08\0\0\0".to_vec(), directory(&main, false), directory(&shared, false)].concat();
    block.resize(block.len().max(bytes), 0);
    block
}

fn deflated(zeros: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let piece = vec![0; 1 << 16];
    for left in (0..=zeros / piece.len()).rev() {
        let length = if left == 0 { zeros % piece.len() } else { piece.len() };
        encoder.write_all(&piece[..length]).expect("memory takes all");
    }
    encoder.finish().expect("memory takes all")
}

/// Makes a PNG of one grey pixel, with chunks before its data.
fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let (head, data): (&[u8], Vec<u8>) = (&[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0], deflated(2));
    let all = [&[(b"IHDR", head)], chunks, &[(b"IDAT", &data[..]), (b"IEND", &[])]].concat();
    for (name, data) in all {
        let mut sum = Crc::new();
        sum.update(name);
        sum.update(data);
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend([name, data, &sum.sum().to_be_bytes()].concat());
    }
    bytes
}

/// Makes a PNG with a block of EXIF.
pub fn png_of_exif(block: &[u8]) -> Vec<u8> {
    png(&[(b"eXIf", block)])
}

/// Makes a PNG whose profile inflates to this many bytes.
pub fn png_of_profile(bytes: usize) -> Vec<u8> {
    png(&[(b"iCCP", &[b"p\0\0", &deflated(bytes)[..]].concat())])
}

/// Makes a PNG with texts that each inflate to this many bytes; a third of them are XMP.
pub fn png_of_texts(count: usize, bytes: usize) -> Vec<u8> {
    let data = deflated(bytes);
    let plain = [b"Raw profile type iptc\0\0", &data[..]].concat();
    let unicode = [b"XML:com.adobe.xmp\0\x01\0\0\0", &data[..]].concat();
    let text = |i: usize| if i.is_multiple_of(3) { (b"iTXt", &unicode[..]) } else { (b"zTXt", &plain[..]) };
    png(&(0..count).map(text).collect::<Vec<_>>())
}

/// Makes a WebP chunk, padded to an even length.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [name, &(data.len() as u32).to_le_bytes()[..], data, &[0][..data.len() % 2]].concat()
}

/// Makes a lossless picture of one black pixel: every code has one symbol, which takes no bits.
fn black() -> Vec<u8> {
    // Its signature, 14 bits each of width and height minus 1, alpha, version; then no transform, no cache, no more
    // codes, and five codes of one symbol of one bit, 0.
    chunk(b"VP8L", &[0x2f, 0, 0, 0, 0, 0x88, 0x88, 0x08])
}

/// Makes a WebP with a canvas of one pixel, followed by chunks.
fn webp(flags: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let canvas = chunk(b"VP8X", &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    chunk(b"RIFF", &[b"WEBP".to_vec(), canvas, chunks.concat()].concat())
}

/// Makes a WebP with a block of EXIF.
pub fn webp_of_exif(block: &[u8]) -> Vec<u8> {
    webp(8, &[black(), chunk(b"EXIF", block)])
}

/// Makes a WebP with a profile that claims this many bytes, and has none.
pub fn webp_of_long_profile(bytes: u32) -> Vec<u8> {
    let profile = [b"ICCP".as_slice(), &bytes.to_le_bytes()].concat();
    webp(32, &[black(), profile])
}

/// Makes a WebP with a canvas of one pixel, and a picture with this side.
pub fn webp_of_large_frame(side: u16) -> Vec<u8> {
    // A key frame that is shown; its first part is 1000 bytes of zeros.
    let tag = (1000_u32 << 5 | 1 << 4).to_le_bytes();
    let head = [&tag[..3], &[0x9d, 1, 0x2a], &side.to_le_bytes(), &side.to_le_bytes()].concat();
    webp(0, &[chunk(b"VP8 ", &[head, vec![0; 4000]].concat())])
}

/// Makes a JPEG up to its first scan: grey, with one-bit codes for no change and for the end of a block.
fn jpeg_head(frame: u8, width: u16, height: u16) -> Vec<u8> {
    of_components(frame, width, height, 1)
}

fn of_components(frame: u8, width: u16, height: u16, components: u8) -> Vec<u8> {
    let each = (1..=components).flat_map(|i| [i, 0x11, 0]);
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let frame_data = [&[8][..], &size, &[components], &each.collect::<Vec<_>>()].concat();
    // One code of one bit, for 0.
    let codes = |kind: u8| [&[kind, 1][..], &[0; 15], &[0]].concat();
    [
        vec![0xff, 0xd8],
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(frame, &frame_data),
        segment(0xc4, &codes(0)),
        segment(0xc4, &codes(0x10)),
    ]
    .concat()
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(data.len() as u16 + 2).to_be_bytes(), data].concat()
}

/// Makes the header of a scan of the first component.
fn scan(first: u8, last: u8) -> Vec<u8> {
    segment(0xda, &[1, 1, 0, first, last, 0])
}

/// Makes a JPEG of three components and this many scans of one of them, of one byte each.
pub fn jpeg_of_scans(scans: usize, width: u16, height: u16) -> Vec<u8> {
    let each = [scan(0, 63), vec![0]].concat();
    [of_components(0xc0, width, height, 3), each.repeat(scans), vec![0xff, 0xd9]].concat()
}

/// Makes a progressive JPEG of this many scans, of one byte each.
pub fn jpeg_of_progressive_scans(scans: usize, width: u16, height: u16) -> Vec<u8> {
    let each = [scan(1, 63), vec![0]].concat();
    [of_components(0xc2, width, height, 3), each.repeat(scans), vec![0xff, 0xd9]].concat()
}

/// Makes a JPEG with XMP in this many pieces, none of them the last, followed by this many empty words.
pub fn jpeg_of_pieces(pieces: usize, words: usize) -> Vec<u8> {
    let mut xmp = b"http://ns.adobe.com/xmp/extension/\0".to_vec();
    xmp.extend([b'0'; 32]);
    // The total length, and the offset of this piece.
    xmp.extend([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
    let mut bytes = vec![0xff, 0xd8];
    bytes.extend(segment(0xe1, &xmp).repeat(pieces));
    bytes.extend(segment(0xfe, &[]).repeat(words));
    bytes.extend(&jpeg_head(0xc0, 8, 8)[2..]);
    bytes.extend([scan(0, 63), vec![0x3f, 0xff, 0xd9]].concat());
    bytes
}

/// Makes a box of ISO 14496-12.
fn boxed(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32 + 8).to_be_bytes(), &kind[..], data].concat()
}

/// Makes an AVIF of these tables; its picture is item 1, in AV1.
fn avif(places: &[u8], kinds: &[u8], references: &[u8], owned: &[u8], data: &[u8]) -> Vec<u8> {
    let full = |kind: &[u8; 4], data: &[u8]| boxed(kind, &[&[0; 4], data].concat());
    let size = full(b"ispe", &[0, 0, 0, 1, 0, 0, 0, 1]);
    let profile = boxed(b"colr", &[b"prof", data].concat());
    let properties = boxed(b"iprp", &[boxed(b"ipco", &[size, profile].concat()), full(b"ipma", owned)].concat());
    let tables = [
        full(b"pitm", &[0, 1]),
        boxed(b"iloc", places),
        full(b"iinf", kinds),
        full(b"iref", references),
        properties,
        boxed(b"idat", data),
    ];
    [boxed(b"ftyp", b"avif\0\0\0\0avifmif1miaf"), full(b"meta", &tables.concat())].concat()
}

fn kind_of(item: u16, kind: &[u8; 4]) -> Vec<u8> {
    boxed(b"infe", &[&[2, 0, 0, 0], &item.to_be_bytes()[..], &[0, 0], kind, &[0]].concat())
}

/// Makes an AVIF of this many items, each of 65,535 extents that take no bytes.
pub fn avif_of_extents(items: u32) -> Vec<u8> {
    // Version 2, with fields of zero bytes.
    let mut places = [&[2, 0, 0, 0, 0, 0], &items.to_be_bytes()[..]].concat();
    for item in 1..=items {
        places.extend([&item.to_be_bytes()[..], &[0, 0, 0, 0, 0xff, 0xff]].concat());
    }
    avif(&places, &[&[0, 1], &kind_of(1, b"av01")[..]].concat(), &[], &[0; 4], &[])
}

/// Makes an AVIF with this many blocks of EXIF, and as many profiles, which all share the same bytes.
pub fn avif_of_shared_items(items: u16, bytes: u32) -> Vec<u8> {
    // Version 1, with offsets and lengths of 4 bytes each, relative to the box `idat`.
    let mut places = [&[1, 0, 0, 0, 0x44, 0], &(items + 1).to_be_bytes()[..]].concat();
    let mut kinds = [&(items + 1).to_be_bytes()[..], &kind_of(1, b"av01")].concat();
    let mut references = Vec::new();
    let mut owned = u32::from(items).to_be_bytes().to_vec();
    for item in 1..=items + 1 {
        let head = [&item.to_be_bytes()[..], &[0, 1, 0, 0, 0, 1]].concat();
        places.extend([&head[..], &[0; 4], &bytes.to_be_bytes()].concat());
        if item > 1 {
            kinds.extend(kind_of(item, b"Exif"));
            references.extend(boxed(b"cdsc", &[&item.to_be_bytes()[..], &[0, 1, 0, 1]].concat()));
            owned.extend([0, 1, 2, 1, 2]);
        }
    }
    avif(&places, &kinds, &references, &owned, &vec![0; bytes as usize])
}

/// Makes an AVIF whose picture consists of this many frames, of two bytes each.
pub fn avif_of_frames(frames: u32) -> Vec<u8> {
    let data = [0x1a, 0].repeat(frames as usize);
    let mut places = vec![1, 0, 0, 0, 0x44, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1];
    places.extend([&[0; 4], &(data.len() as u32).to_be_bytes()[..]].concat());
    avif(&places, &[&[0, 1], &kind_of(1, b"av01")[..]].concat(), &[], &[0, 0, 0, 1, 0, 1, 1, 1], &data)
}
