//! AVIF decoding, with re_rav1d: planes of 8 to 12 bits become grey or RGB as H.273 specifies.

use crate::codecs::avif::parse::ParsedAvif;
use crate::codecs::avif::serialize::CodePoints;
use crate::codecs::decoded::{Decoded, FIRST, XMP, eight, sixteen};
use crate::limits::Budget;
use crate::metadata::icc;
use crate::sample::divided;
use crate::{Fault, Sample};
use image::DynamicImage;
use image::metadata::Orientation;
use re_rav1d::{Decoder, Picture, PixelLayout, PlanarImageComponent, Settings, pixel};
use std::io::Read;

/// The most frames in a picture, which may consist of layers: each takes as much work, however few bytes it has.
const FRAMES: usize = 8;

pub(crate) fn read(file: impl Read, budget: &mut Budget) -> Result<Decoded, Fault> {
    let mut bytes = Vec::new();
    // Anything longer is not a picture within the pixel limit.
    file.take(budget.decoder()).read_to_end(&mut bytes).map_err(Fault::on_read)?;
    let mut found = ParsedAvif::read(&bytes)?;
    budget.check_pixels(found.width.into(), found.height.into())?;
    let (data, alpha) = (std::mem::take(&mut found.colour), found.alpha.take());
    let colour = frame(&found, data, budget)?;
    let alpha = alpha.map(|alpha| frame(&found, alpha, budget)).transpose()?;
    budget.in_time()?;
    let picture = turned(&found, picture(&found, &colour, alpha.as_ref())?);
    let mut decoded = Decoded::new(picture, Orientation::NoTransforms, found.icc, found.exif.as_deref(), budget);
    decoded.notes.extend(found.xmp.then_some(XMP));
    decoded.notes.extend(found.moves.then_some(FIRST));
    if found.icc.is_none() {
        let points = points(&found, &colour);
        let known = points.primaries.try_into().ok().zip(points.transfer.try_into().ok());
        decoded.icc = known.and_then(|(primaries, transfer)| icc::of_code_points(primaries, transfer));
    }
    Ok(decoded)
}

/// Decodes an AV1 picture and checks that it has the size that the file states.
fn frame(found: &ParsedAvif, data: Vec<u8>, budget: &Budget) -> Result<Picture, Fault> {
    let damaged = |error: re_rav1d::Error| Fault::Damaged(format!("its AV1: {error}"));
    budget.in_time()?;
    // The decoder treats empty data as a caller's mistake.
    if data.is_empty() {
        return Err(Fault::Damaged("its AV1 is empty".into()));
    }
    if frames(&data).nth(FRAMES).is_some() {
        return Err(Fault::Damaged(format!("its AV1 has more than {FRAMES} frames, expected one")));
    }
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(u32::try_from(budget.pixels()).unwrap_or(u32::MAX));
    let mut decoder = Decoder::with_settings(&settings).map_err(damaged)?;
    match decoder.send_data(data, None, None, None) {
        Err(error) if !error.is_again() => return Err(damaged(error)),
        _ => {}
    }
    let frame = decoder.get_picture().map_err(damaged)?;
    match (frame.width(), frame.height()) == (found.width, found.height) {
        true => Ok(frame),
        false => {
            let (width, height) = (frame.width(), frame.height());
            let said = format!("its AV1 is {width}x{height}, the file says {}x{}", found.width, found.height);
            Err(Fault::Damaged(said))
        }
    }
}

/// Iterates over the OBUs that begin a frame (AV1 specification, 5.3).
fn frames(mut data: &[u8]) -> impl Iterator<Item = ()> {
    std::iter::from_fn(move || {
        loop {
            let (head, rest) = data.split_first()?;
            let is_frame = matches!(head >> 3 & 15, 3 | 6);
            let rest = rest.get(usize::from(head >> 2 & 1)..)?;
            // Without a length, the OBU takes up all the rest.
            data = if head >> 1 & 1 == 1 { behind(rest)? } else { &[] };
            if is_frame {
                return Some(());
            }
        }
    })
}

/// Returns what follows an OBU that begins with its length in LEB128.
fn behind(data: &[u8]) -> Option<&[u8]> {
    let (mut length, mut at) = (0_u64, 0);
    loop {
        let byte = *data.get(at).filter(|_| at < 8)?;
        length |= u64::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    data.get(at..)?.get(usize::try_from(length).ok()?..)
}

fn depth(frame: &Picture) -> usize {
    frame.bits_per_component().map_or(8, |bits| bits.0)
}

/// Returns the colour description of the file, or that of AV1's own header.
fn points(found: &ParsedAvif, frame: &Picture) -> CodePoints {
    found.points.unwrap_or_else(|| CodePoints {
        primaries: frame.color_primaries() as u16,
        transfer: frame.transfer_characteristic() as u16,
        matrix: frame.matrix_coefficients() as u16,
        full: frame.color_range() == pixel::YUVRange::Full,
    })
}

fn picture(found: &ParsedAvif, colour: &Picture, alpha: Option<&Picture>) -> Result<DynamicImage, Fault> {
    let matrix = Matrix::of(points(found, colour))?;
    let size = (found.width, found.height);
    let grey = colour.pixel_layout() == PixelLayout::I400;
    let pixels = Pixels { colour, alpha, matrix, multiplied: found.multiplied };
    match depth(colour) {
        8 => eight(grey, alpha.is_some(), size, pixels.samples()),
        _ => sixteen(grey, alpha.is_some(), size, pixels.samples()),
    }
}

/// Rotates and mirrors a picture for display.
fn turned(found: &ParsedAvif, picture: DynamicImage) -> DynamicImage {
    let picture = match found.turns {
        1 => picture.rotate270(),
        2 => picture.rotate180(),
        3 => picture.rotate90(),
        _ => picture,
    };
    match found.mirrored {
        Some(true) => picture.flipv(),
        Some(false) => picture.fliph(),
        None => picture,
    }
}

/// How three planes become red, green and blue (H.273, table 4).
#[derive(Clone, Copy)]
enum Colours {
    /// The planes are green, blue and red.
    Identity,
    /// The weights of red and blue in the first plane.
    Weights(f64, f64),
}

#[derive(Clone, Copy)]
struct Matrix {
    colours: Colours,
    full: bool,
}

impl Matrix {
    fn of(points: CodePoints) -> Result<Self, Fault> {
        let colours = match points.matrix {
            0 => Colours::Identity,
            1 => Colours::Weights(0.2126, 0.0722),
            // Unspecified: BT.601, which AVIF writers use.
            2 | 5 | 6 => Colours::Weights(0.299, 0.114),
            4 => Colours::Weights(0.30, 0.11),
            7 => Colours::Weights(0.212, 0.087),
            9 => Colours::Weights(0.2627, 0.0593),
            other => return Err(Fault::Unsupported(format!("an AVIF with the matrix {other} of H.273"))),
        };
        Ok(Self { colours, full: points.full })
    }

    /// Returns red, green and blue, 0 to 1, from planes of `bits` bits.
    fn rgb(self, [y, u, v]: [f64; 3], bits: usize) -> [f64; 3] {
        let first = |level: f64| luma(level, bits, self.full);
        let Colours::Weights(red, blue) = self.colours else { return [first(v), first(y), first(u)] };
        let unit = f64::from(1_u32 << (bits - 8));
        let span = if self.full { f64::from((1_u32 << bits) - 1) } else { 224.0 * unit };
        let [u, v] = [u, v].map(|level| (level - 128.0 * unit) / span);
        let y = first(y);
        let (r, b) = (y + 2.0 * (1.0 - red) * v, y + 2.0 * (1.0 - blue) * u);
        [r, (y - red * r - blue * b) / (1.0 - red - blue), b]
    }
}

/// Normalises luma to 0 to 1.
fn luma(level: f64, bits: usize, full: bool) -> f64 {
    let unit = f64::from(1_u32 << (bits - 8));
    if full { level / f64::from((1_u32 << bits) - 1) } else { (level - 16.0 * unit) / (219.0 * unit) }
}

/// Planes, read pixel by pixel.
struct Pixels<'a> {
    colour: &'a Picture,
    alpha: Option<&'a Picture>,
    matrix: Matrix,
    multiplied: bool,
}

impl Pixels<'_> {
    /// Returns interleaved samples: grey or RGB, then alpha.
    fn samples<S: Sample>(&self) -> Vec<S> {
        let (width, height) = (self.colour.width() as usize, self.colour.height() as usize);
        let bits = depth(self.colour);
        let planes = Plane::all(self.colour);
        let alpha = self.alpha.map(|alpha| (Plane::of(alpha, PlanarImageComponent::Y), depth(alpha), range(alpha)));
        let rounded = |level: f64| S::rounded(level * S::MAX.level());
        let mut samples = Vec::with_capacity(width * height * (planes.len() + usize::from(alpha.is_some())));
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let opacity = alpha.as_ref().map(|(plane, bits, full)| rounded(luma(plane.at(x, y), *bits, *full)));
            let shown = |level: f64| match self.multiplied {
                true => divided(rounded(level), opacity),
                false => rounded(level),
            };
            match &planes[..] {
                [first, second, third] => {
                    let levels = [first.at(x, y), second.between(x, y), third.between(x, y)];
                    samples.extend(self.matrix.rgb(levels, bits).map(shown));
                }
                planes => samples.extend(planes.iter().map(|grey| shown(luma(grey.at(x, y), bits, self.matrix.full)))),
            }
            samples.extend(opacity);
        }
        samples
    }
}

fn range(frame: &Picture) -> bool {
    frame.color_range() == pixel::YUVRange::Full
}

/// One plane of a frame.
struct Plane {
    data: re_rav1d::Plane,
    /// Bytes from one row to the next.
    stride: usize,
    wide: bool,
    width: usize,
    height: usize,
    /// Whether a sample covers two columns, or two rows.
    halved: (bool, bool),
}

impl Plane {
    fn all(frame: &Picture) -> Vec<Self> {
        let planes = [PlanarImageComponent::Y, PlanarImageComponent::U, PlanarImageComponent::V];
        let count = if frame.pixel_layout() == PixelLayout::I400 { 1 } else { 3 };
        planes.into_iter().take(count).map(|component| Self::of(frame, component)).collect()
    }

    fn of(frame: &Picture, component: PlanarImageComponent) -> Self {
        let halved = match (component, frame.pixel_layout()) {
            (PlanarImageComponent::Y, _) | (_, PixelLayout::I400 | PixelLayout::I444) => (false, false),
            (_, PixelLayout::I420) => (true, true),
            (_, PixelLayout::I422) => (true, false),
        };
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        Self {
            data: frame.plane(component),
            stride: frame.stride(component) as usize,
            wide: depth(frame) > 8,
            width: if halved.0 { width.div_ceil(2) } else { width },
            height: if halved.1 { height.div_ceil(2) } else { height },
            halved,
        }
    }

    fn at(&self, x: usize, y: usize) -> f64 {
        let row = &self.data[y * self.stride..];
        match self.wide {
            false => f64::from(row[x]),
            true => f64::from(u16::from_ne_bytes([row[2 * x], row[2 * x + 1]])),
        }
    }

    /// Interpolates the plane at a pixel of the whole picture. Where a sample covers two pixels, the result is three
    /// quarters of the nearer sample and one of the next: samples lie midway between two pixels, as libavif assumes.
    fn between(&self, x: usize, y: usize) -> f64 {
        let ((x, other_x), (y, other_y)) =
            (neighbours(x, self.width, self.halved.0), neighbours(y, self.height, self.halved.1));
        let row = |y: usize| 0.75 * self.at(x, y) + 0.25 * self.at(other_x, y);
        0.75 * row(y) + 0.25 * row(other_y)
    }
}

/// Returns the indices of the nearer sample and the next.
fn neighbours(at: usize, length: usize, halved: bool) -> (usize, usize) {
    match (halved, at % 2) {
        (false, _) => (at, at),
        (true, 0) => (at / 2, (at / 2).saturating_sub(1)),
        (true, _) => (at / 2, (at / 2 + 1).min(length - 1)),
    }
}
