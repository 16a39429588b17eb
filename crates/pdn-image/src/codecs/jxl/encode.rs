//! Lossless JPEG XL encoding (ISO 18181): the frame by zune-jpegxl, everything before it by this module.
//!
//! zune-jpegxl declares every alpha channel as 8 bits and all colours as sRGB, but its coded data is valid for 16 bits
//! and any profile. So this module replaces the header with one that states the true format. A container holds EXIF and
//! XMP.

use crate::codecs::raster::Raster;
use crate::{Depth, Fault, Header};
use std::borrow::Cow;
use zune_core::bit_depth::BitDepth;
use zune_core::colorspace::ColorSpace;
use zune_core::options::EncoderOptions;
use zune_jpegxl::JxlSimpleEncoder;

/// Checks that JPEG XL decoders accept this profile: they refuse the whole file if they cannot parse it.
pub(crate) fn check_profile(icc: &[u8]) -> Result<(), Fault> {
    match jxl_oxide::ColorEncodingWithProfile::with_icc(icc) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::Profile(error.to_string())),
    }
}

/// Encodes a picture.
pub(crate) fn encode(raster: &Raster) -> Result<Vec<u8>, Fault> {
    let header = &raster.header;
    // zune-jpegxl codes 16-bit grey with alpha wrongly, but as colour correctly.
    let coloured = header.is_deep_grey_alpha();
    let shown = Header { grey: header.grey && !coloured, ..header.clone() };
    let samples = if coloured { coloured_samples(&raster.samples) } else { Cow::Borrowed(&raster.samples[..]) };
    let bare = codestream(&shown, &samples)?;
    let packet = raster.packet();
    let is_plain = header.exif.is_none() && packet.is_none() && !beyond_level_5(header);
    Ok(if is_plain { bare } else { contained(header, packet.as_deref(), &bare) })
}

/// Expands 16-bit grey and alpha to red, green, blue and alpha.
fn coloured_samples(samples: &[u8]) -> Cow<'_, [u8]> {
    samples.as_chunks().0.iter().flat_map(|[a, b, c, d]| [*a, *b, *a, *b, *a, *b, *c, *d]).collect()
}

fn codestream(header: &Header, samples: &[u8]) -> Result<Vec<u8>, Fault> {
    let colour = match (header.grey, header.alpha) {
        (true, false) => ColorSpace::Luma,
        (true, true) => ColorSpace::LumaA,
        (false, false) => ColorSpace::RGB,
        (false, true) => ColorSpace::RGBA,
    };
    let depth = match header.depth {
        Depth::Eight => BitDepth::Eight,
        Depth::Sixteen => BitDepth::Sixteen,
    };
    let options = EncoderOptions::new(header.width, header.height, colour, depth).set_num_threads(1);
    let mut coded = Vec::new();
    JxlSimpleEncoder::new(samples, options).encode(&mut coded).map_err(Fault::on_encode)?;
    let theirs = Head { header, alpha_bits: 8, icc: None }.bytes();
    let frame = coded
        .strip_prefix(&theirs[..])
        .ok_or_else(|| Fault::on_encode("the JPEG XL encoder wrote an unexpected header"))?;
    let head = Head { header, alpha_bits: header.depth.bits(), icc: header.icc.as_deref() }.bytes();
    Ok([&head[..], frame].concat())
}

/// The header before a frame: size, depth, channels and colours.
struct Head<'a> {
    header: &'a Header,
    alpha_bits: usize,
    icc: Option<&'a [u8]>,
}

impl Head<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(16, 0x0aff);
        bits.put(1, 0); // sides not coded as small multiples of eight
        bits.size(self.header.height);
        bits.put(3, 0); // no fixed aspect ratio
        bits.size(self.header.width);
        bits.put(2, 0); // not all default; no extra fields, such as orientation and animation
        bits.depth(self.header.depth.bits());
        bits.put(1, u64::from(self.header.depth == Depth::Eight)); // whether 16-bit buffers suffice for decoding
        bits.put(2, u64::from(self.header.alpha)); // number of extra channels
        if self.header.alpha {
            self.alpha(&mut bits);
        }
        bits.put(1, 0); // samples are not XYB
        self.colours(&mut bits);
        bits.put(2, 0); // no extensions
        bits.put(1, 1); // default upsampling weights
        if let Some(icc) = self.icc {
            bits.icc(icc);
        }
        bits.aligned()
    }

    fn alpha(&self, bits: &mut Bits) {
        if self.alpha_bits == 8 {
            return bits.put(1, 1); // all default: 8-bit alpha
        }
        bits.put(1, 0);
        bits.put(2, 0); // type: alpha
        bits.depth(self.alpha_bits);
        bits.put(2, 0); // full resolution
        bits.put(2, 0); // no name
        bits.put(1, 0); // not premultiplied
    }

    fn colours(&self, bits: &mut Bits) {
        let space = u64::from(self.header.grey);
        match (self.icc.is_some(), self.header.grey) {
            (true, _) => {
                bits.put(2, 0b10); // not all default; a profile
                bits.put(2, space);
            }
            (false, false) => bits.put(1, 1), // all default: sRGB
            (false, true) => {
                bits.put(2, 0); // not all default; no profile
                bits.put(2, space);
                bits.put(2, 1); // white point: D65
                bits.put(1, 0); // transfer function instead of a gamma:
                bits.put(2, 0b10);
                bits.put(4, 11); // sRGB, number 2 + 11
                bits.put(2, 1); // rendering intent: relative
            }
        }
    }
}

/// A bit stream, filled from the lowest bit of each byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Unused bits in the last byte.
    free: usize,
}

impl Bits {
    fn put(&mut self, count: usize, number: u64) {
        for at in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((number >> at & 1) as u8) << (8 - self.free);
            }
            self.free -= 1;
        }
    }

    /// Writes a side, which the caller has checked to be below 2 to the 30.
    fn size(&mut self, side: usize) {
        let lengths = [9, 13, 18, 30];
        let which = lengths.iter().position(|length| (side - 1) >> length == 0).unwrap_or(3);
        self.put(2, which as u64);
        self.put(lengths[which], side as u64 - 1);
    }

    /// Writes the bits per sample: integers of 8 or 16 bits.
    fn depth(&mut self, bits: usize) {
        self.put(1, 0);
        match bits {
            8 => self.put(2, 0),
            bits => {
                self.put(2, 3);
                self.put(6, bits as u64 - 1);
            }
        }
    }

    /// Writes a number of up to 64 bits (section 9.2.5), here below 2 to the 44.
    fn number(&mut self, number: u64) {
        self.put(2, 3);
        self.put(12, number);
        let mut rest = number >> 12;
        while rest > 0 {
            self.put(1, 1);
            self.put(8, rest);
            rest >>= 8;
        }
        self.put(1, 0);
    }

    /// Writes a profile (annex E.4): each byte literally, by a code of its own 8 bits.
    fn icc(&mut self, icc: &[u8]) {
        let stream = icc_stream(icc);
        self.number(stream.len() as u64);
        self.put(1, 0); // no LZ77
        self.put(1, 1); // simple context map:
        self.put(2, 0); // one code for all contexts
        self.put(1, 1); // prefix codes
        self.put(4, 8); // numbers below 2 to the 8 are symbols,
        self.put(8, 0); // larger ones have no bits in their symbol
        self.put(1, 1);
        self.put(4, 7);
        self.put(7, 127); // 1 + 128 + 127 symbols
        self.flat_code();
        stream.iter().for_each(|byte| self.put(8, byte.reverse_bits().into()));
    }

    /// Writes a prefix code of 256 symbols of 8 bits each, as in Brotli (RFC 7932, section 3.5): 8 is the only code
    /// length, so its own code is empty.
    fn flat_code(&mut self) {
        self.put(2, 0);
        for length in [1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15] {
            // 0 and 3 in the fixed code of code lengths.
            self.put(2, if length == 8 { 0b10 } else { 0b00 });
        }
    }

    fn aligned(self) -> Vec<u8> {
        self.bytes
    }
}

/// Encodes a number with 7 bits per byte.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

const ICC_HEAD: usize = 128;

/// Returns the coded form of a profile: its length, the length of the commands, the commands, and the data: the head
/// minus its prediction, and the rest unchanged.
fn icc_stream(icc: &[u8]) -> Vec<u8> {
    let (head, rest) = icc.split_at(icc.len().min(ICC_HEAD));
    let expected = expected_head(icc);
    let head = head.iter().zip(expected).map(|(byte, expected)| byte.wrapping_sub(expected));
    // No list of tags, and one inserted piece.
    let commands = if rest.is_empty() { Vec::new() } else { [&[0, 1][..], &varint(rest.len())].concat() };
    let mut stream = [varint(icc.len()), varint(commands.len()), commands].concat();
    stream.extend(head);
    stream.extend(rest);
    stream
}

/// Returns the prediction for a profile's head (annex E.4.3).
fn expected_head(icc: &[u8]) -> [u8; ICC_HEAD] {
    let mut head = [0; ICC_HEAD];
    head[..4].copy_from_slice(&(icc.len() as u32).to_be_bytes());
    head[8] = 4;
    head[12..24].copy_from_slice(b"mntrRGB XYZ ");
    head[36..40].copy_from_slice(b"acsp");
    head[70..72].copy_from_slice(&[246, 214]);
    head[73] = 1;
    head[78..80].copy_from_slice(&[211, 45]);
    if let Some(maker) = icc.get(4..8) {
        head[80..84].copy_from_slice(maker);
    }
    let platform: &[u8; 3] = match icc.get(40..42) {
        Some([b'A', _]) => b"PPL",
        Some([b'M', _]) => b"SFT",
        Some(b"SG") => b"\0I ",
        Some(b"SU") => b"\0NW",
        _ => b"\0\0\0",
    };
    head[41..44].copy_from_slice(platform);
    head
}

/// Returns whether the file must declare that it is beyond what every decoder supports (annex M): by its sides, its
/// pixels, or more than 12 bits.
fn beyond_level_5(header: &Header) -> bool {
    let (width, height) = (header.width, header.height);
    width.max(height) > 1 << 18 || width * height > 1 << 28 || header.depth == Depth::Sixteen
}

/// Wraps a codestream in the container (ISO 18181-2).
fn contained(header: &Header, packet: Option<&[u8]>, codestream: &[u8]) -> Vec<u8> {
    let mut file = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ".to_vec();
    let mut put = |kind: &[u8; 4], content: &[u8]| {
        // For a size beyond 32 bits, 1 says that 64 bits follow.
        match u32::try_from(content.len() + 8) {
            Ok(size) => file.extend([&size.to_be_bytes(), &kind[..]].concat()),
            Err(_) => {
                let size = content.len() as u64 + 16;
                file.extend([&1_u32.to_be_bytes(), &kind[..], &size.to_be_bytes()].concat());
            }
        }
        file.extend(content);
    };
    if beyond_level_5(header) {
        put(b"jxll", &[10]);
    }
    if let Some(exif) = &header.exif {
        put(b"Exif", &[&[0; 4], &exif[..]].concat());
    }
    if let Some(packet) = packet {
        put(b"xml ", packet);
    }
    put(b"jxlc", codestream);
    file
}
