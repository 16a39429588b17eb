//! Reads TIFFs with extra samples of unknown meaning, in every layout that a file may have.

use flate2::{Compression, write::ZlibEncoder};
use pdn_image::{AnyPicture, Limits, Picture, Sample, read_any_bytes};
use std::io::Write;

const WIDTH: usize = 21;
const HEIGHT: usize = 18;

/// How a picture's samples are stored.
#[derive(Clone, Copy, Debug)]
struct Stored {
    /// The photometric interpretation: grey, RGB or inks.
    meaning: u16,
    colours: usize,
    /// The extra samples: of unknown meaning, premultiplied alpha, or alpha.
    extra: &'static [u16],
    bits: usize,
    planar: bool,
    /// Whether to store differences, deflated.
    differences: bool,
    /// Whether to use tiles of 16 pixels per side instead of strips of 7 rows.
    tiled: bool,
    big_end: bool,
}

impl Stored {
    fn samples(self) -> usize {
        self.colours + self.extra.len()
    }

    /// Returns a sample of a pixel.
    fn level(self, x: usize, y: usize, sample: usize) -> u16 {
        let level = (x * 1009 + y * 7919 + sample * 4099 + 77) as u16;
        if self.bits == 8 { level >> 8 } else { level }
    }

    fn bytes<const N: usize>(self, little: [u8; N]) -> [u8; N] {
        let mut bytes = little;
        if self.big_end {
            bytes.reverse();
        }
        bytes
    }

    /// Returns some samples of each pixel of a rectangle, row by row; zeros beyond the picture.
    fn part(self, (left, top): (usize, usize), (width, height): (usize, usize), samples: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for y in top..top + height {
            let mut before = vec![0; samples.len()];
            for x in left..left + width {
                for (before, &sample) in before.iter_mut().zip(samples) {
                    let level = if x < WIDTH && y < HEIGHT { self.level(x, y, sample) } else { 0 };
                    let stored = if self.differences { level.wrapping_sub(*before) } else { level };
                    *before = level;
                    match self.bits {
                        8 => bytes.push(stored as u8),
                        _ => bytes.extend(self.bytes(stored.to_le_bytes())),
                    }
                }
            }
        }
        if !self.differences {
            return bytes;
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn parts(self) -> Vec<Vec<u8>> {
        let all: Vec<usize> = (0..self.samples()).collect();
        let planes: Vec<&[usize]> = if self.planar { all.chunks(1).collect() } else { vec![&all] };
        let (width, height) = if self.tiled { (16, 16) } else { (WIDTH, 7) };
        let mut parts = Vec::new();
        for samples in planes {
            for top in (0..HEIGHT).step_by(height) {
                let rows = if self.tiled { height } else { height.min(HEIGHT - top) };
                parts.extend((0..WIDTH).step_by(width).map(|left| self.part((left, top), (width, rows), samples)));
            }
        }
        parts
    }

    fn file(self) -> Vec<u8> {
        let mut file = if self.big_end { b"MM\0\x2a\0\0\0\0" } else { b"II\x2a\0\0\0\0\0" }.to_vec();
        let mut put = |bytes: &[u8]| {
            let at = file.len() as u32;
            file.extend(bytes);
            file.resize(file.len().next_multiple_of(2), 0);
            at
        };
        let shorts = |numbers: &[u16]| numbers.iter().flat_map(|v| self.bytes(v.to_le_bytes())).collect::<Vec<_>>();
        let longs = |numbers: &[u32]| numbers.iter().flat_map(|v| self.bytes(v.to_le_bytes())).collect::<Vec<_>>();
        let parts = self.parts();
        let places: Vec<u32> = parts.iter().map(|part| put(part)).collect();
        let lengths: Vec<u32> = parts.iter().map(|part| part.len() as u32).collect();
        let mut entries = vec![
            (256, 3, shorts(&[WIDTH as u16])),
            (257, 3, shorts(&[HEIGHT as u16])),
            (258, 3, shorts(&vec![self.bits as u16; self.samples()])),
            (259, 3, shorts(&[if self.differences { 8 } else { 1 }])),
            (262, 3, shorts(&[self.meaning])),
            (277, 3, shorts(&[self.samples() as u16])),
            (284, 3, shorts(&[if self.planar { 2 } else { 1 }])),
            (317, 3, shorts(&[if self.differences { 2 } else { 1 }])),
            (if self.tiled { 324 } else { 273 }, 4, longs(&places)),
            (if self.tiled { 325 } else { 279 }, 4, longs(&lengths)),
            (338, 3, shorts(self.extra)),
        ];
        match self.tiled {
            true => entries.extend([(322, 3, shorts(&[16])), (323, 3, shorts(&[16]))]),
            false => entries.push((278, 3, shorts(&[7]))),
        }
        entries.retain(|(_, _, value)| !value.is_empty());
        entries.sort();
        let mut directory = shorts(&[entries.len() as u16]);
        for (tag, kind, value) in entries {
            let count = (value.len() / if kind == 3 { 2 } else { 4 }) as u32;
            directory.extend([shorts(&[tag, kind]), longs(&[count])].concat());
            match value.len() {
                ..=4 => directory.extend([&value[..], &[0; 4][value.len()..]].concat()),
                _ => directory.extend(longs(&[put(&value)])),
            }
        }
        directory.extend([0; 4]);
        let at = put(&directory);
        file[4..8].copy_from_slice(&self.bytes(at.to_le_bytes()));
        file
    }

    /// Returns a pixel as it should be read: three colours, and alpha if the file has it.
    fn expected(self, x: usize, y: usize) -> ([u16; 3], Option<u16>) {
        let most = if self.bits == 8 { 255 } else { 65_535 };
        let level = |sample: usize| u64::from(self.level(x, y, sample));
        let ink = |sample: usize| ((most - level(sample)) * (most - level(3)) * 2 + most) / (2 * most);
        let rgb = match self.meaning {
            1 => [0; 3].map(level),
            2 => [0, 1, 2].map(level),
            _ => [0, 1, 2].map(ink),
        };
        let alpha = self.extra.first().filter(|meaning| **meaning == 2).map(|_| level(self.colours) as u16);
        (rgb.map(|level| level as u16), alpha)
    }

    fn check<S: Sample>(self, picture: &Picture<S>, of: impl Fn(S) -> u16) {
        assert_eq!((picture.width(), picture.height()), (WIDTH, HEIGHT), "{self:?}");
        for (i, pixel) in picture.rgb().chunks_exact(3).enumerate() {
            let found = ([0, 1, 2].map(|c| of(pixel[c])), picture.alpha().map(|alpha| of(alpha[i])));
            assert_eq!(found, self.expected(i % WIDTH, i / WIDTH), "{self:?}, pixel {i}");
        }
    }
}

#[test]
fn samples_that_nobody_knows_are_passed_over() {
    let both = [false, true];
    let mut count = 0;
    for (meaning, colours) in [(1, 1), (2, 3), (5, 4)] {
        for extra in [&[][..], &[0], &[0, 0], &[2], &[2, 0]] {
            for (bits, planar, differences) in [8, 16].into_iter().flat_map(|bits| {
                both.into_iter().flat_map(move |planar| both.map(|differences| (bits, planar, differences)))
            }) {
                for (tiled, big_end) in both.into_iter().flat_map(|tiled| both.map(|big_end| (tiled, big_end))) {
                    let stored = Stored { meaning, colours, extra, bits, planar, differences, tiled, big_end };
                    let found = read_any_bytes(&stored.file(), &Limits::default());
                    match found.unwrap_or_else(|fault| panic!("{stored:?}: {fault}")) {
                        AnyPicture::Eight(picture) => stored.check(&picture, u16::from),
                        AnyPicture::Sixteen(picture) => stored.check(&picture, |level| level),
                    }
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 480);
}
