//! TIFF decoding, with the crate `tiff`: packed bits, planes, floats, CMYK and premultiplied alpha become interleaved
//! samples of 8 or 16 bits.

use crate::codecs::decoded::{CMYK, DAMAGED_EXIF, Decoded, FIRST, LARGE_PROFILE, XMP, eight, sixteen};
use crate::codecs::signature;
use crate::codecs::tiff::chunks::{self, limits};
use crate::codecs::tiff::ifd::{FirstIfd, TiffFile, size_of};
use crate::codecs::tiff::{MOST_BYTES, fault, unsupported};
use crate::limits::Budget;
use crate::metadata::exif::{self, Field, TAKEN};
use crate::metadata::iptc;
use crate::sample::divided;
use crate::{Fault, Resolution, Sample};
use image::DynamicImage;
use image::metadata::Orientation;
use std::io::{Read, Seek};
use tiff::ColorType;
use tiff::decoder::ifd::Value;
use tiff::decoder::{Decoder, DecodingResult, IfdDecoder};
use tiff::tags::{ByteOrder, ExtraSamples, PhotometricInterpretation, Tag, ValueBuffer};

/// Reads the first picture of a file.
pub(crate) fn read(mut file: impl Read + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let head = FirstIfd::read(&mut file, budget.length())?;
    file.rewind().map_err(Fault::on_read)?;
    let decoder = Decoder::new(TiffFile::new(file, &head)).map_err(fault)?;
    // Tags that take 32 bytes per number are already checked, and longer ones are requested only when there is room for
    // them.
    let mut decoder = decoder.with_limits(limits(budget.decoder().max(budget.metadata())));
    let (width, height) = decoder.dimensions().map_err(fault)?;
    budget.check_pixels(width.into(), height.into())?;
    check_whole(&mut decoder)?;
    let layout = Layout::of(&mut decoder, &head)?;
    let mut notes = Vec::new();
    notes.extend(decoder.more_images().then_some(FIRST));
    notes.extend((layout.colours == Colours::Cmyk).then_some(CMYK));
    let icc = profile(&mut decoder, budget);
    notes.extend(icc.is_none().then_some(LARGE_PROFILE));
    notes.extend(decoder.image_ifd().find_entry(super::XMP).map(|_| XMP));
    let exif = exif(&mut decoder, budget);
    notes.extend(exif.is_none().then_some(DAMAGED_EXIF));
    notes.extend(decoder.image_ifd().find_entry(IPTC).map(|_| iptc::NOTE));
    let resolution = resolution(&mut decoder);
    let orientation = one(&mut decoder, Tag::Orientation).and_then(|value| value.into_u16().ok());
    let (samples, planes) = chunks::samples(&mut decoder, budget)?;
    let (mut picture, bits) = layout.picture(samples, planes > 1, width, height)?;
    budget.in_time()?;
    let orientation = orientation.and_then(|number| Orientation::from_exif(u8::try_from(number).ok()?));
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    picture.apply_orientation(orientation);
    let resolution = resolution.map(|resolution| resolution.turned(orientation));
    Ok(Decoded { picture, bits, icc: icc.flatten(), exif: exif.flatten(), resolution, notes })
}

/// Returns a tag's value if it has exactly one; the length of any other is unknown.
fn one<R: Read + Seek>(decoder: &mut Decoder<R>, tag: Tag) -> Option<Value> {
    decoder.image_ifd().find_entry(tag).filter(|entry| entry.count() == 1)?;
    decoder.find_tag(tag).ok()?
}

/// Reads the profile; returns `None` if it cannot be read or exceeds the budget.
fn profile<R: Read + Seek>(decoder: &mut Decoder<R>, budget: &mut Budget) -> Option<Option<Vec<u8>>> {
    let Some(entry) = decoder.image_ifd().find_entry(Tag::IccProfile) else { return Some(None) };
    budget.take(size_of(entry.field_type().to_u16())?.checked_mul(entry.count())?)?;
    let mut value = ValueBuffer::empty(tiff::tags::Type::BYTE);
    decoder.image_ifd().find_tag_buf(Tag::IccProfile, &mut value).ok()?;
    Some(Some(value.as_bytes().to_vec()))
}

/// The tag of IPTC (TIFF/EP, 6.7).
const IPTC: Tag = Tag::Unknown(33_723);

/// Returns the resolution if it is complete.
fn resolution<R: Read + Seek>(decoder: &mut Decoder<R>) -> Option<Resolution> {
    let mut number = |tag| match one(decoder, tag)? {
        Value::Rational(over, under) => Some((over, under)),
        _ => None,
    };
    let (x, y) = (number(Tag::XResolution)?, number(Tag::YResolution)?);
    let unit = match decoder.image_ifd().find_entry(Tag::ResolutionUnit) {
        Some(_) => Some(one(decoder, Tag::ResolutionUnit)?.into_u16().ok()?),
        None => None,
    };
    Resolution::of_tiff(unit, x, y)
}

/// Rejects a file whose first picture is a preview of another one in it, which would be mistaken for the picture. Most
/// camera raw files are like that.
fn check_whole<R: Read + Seek>(decoder: &mut Decoder<R>) -> Result<(), Fault> {
    let kind = one(decoder, Tag::NewSubfileType).and_then(|value| value.into_u32().ok()).unwrap_or_default();
    let mut has = |tag| decoder.image_ifd().find_entry(tag).is_some();
    let is_preview = kind & 1 == 1 && has(SUB_DIRECTORIES);
    match is_preview || has(DNG) {
        true => Err(Fault::Unsupported(signature::RAW.into())),
        false => Ok(()),
    }
}

/// The tag for other versions of the picture (TIFF supplement 1).
const SUB_DIRECTORIES: Tag = Tag::Unknown(330);
/// The tag for the version of a digital negative (DNG 1.7).
const DNG: Tag = Tag::Unknown(50_706);

/// Collects EXIF into a block; returns `None` if it cannot be followed or exceeds the budget, as when many of its
/// values share the same bytes.
fn exif<R: Read + Seek>(decoder: &mut Decoder<R>, budget: &mut Budget) -> Option<Option<Vec<u8>>> {
    let main = TAKEN.map(Tag::from_u16_exhaustive);
    let main: Vec<_> = main.into_iter().filter(|tag| decoder.image_ifd().find_entry(*tag).is_some()).collect();
    let taken = main.into_iter().map(|tag| field(&mut decoder.image_ifd(), tag, budget)).collect::<Option<_>>()?;
    let mut linked = [Vec::new(), Vec::new()];
    for (link, fields) in [Tag::ExifDirectory, Tag::GpsDirectory].into_iter().zip(&mut linked) {
        if decoder.image_ifd().find_entry(link).is_none() {
            continue;
        }
        let place = one(decoder, link)?.into_ifd_pointer().ok()?;
        let directory = decoder.read_directory(place).ok()?;
        for (tag, _) in directory.iter().filter(|(tag, _)| exif::is_movable(tag.to_u16())) {
            fields.push(field(&mut decoder.read_directory_tags(&directory), tag, budget)?);
        }
    }
    let [exif, gps] = linked;
    Some(exif::block([taken, exif, gps]))
}

/// Returns a directory's value for a tag, if it has one, in native byte order.
fn field(directory: &mut IfdDecoder<'_>, tag: Tag, budget: &mut Budget) -> Option<Field> {
    let entry = directory.find_entry(tag)?;
    let kind = entry.field_type().to_u16();
    budget.take(size_of(kind)?.checked_mul(entry.count())?)?;
    let mut value = ValueBuffer::empty(tiff::tags::Type::BYTE);
    directory.find_tag_buf(tag, &mut value).ok()??;
    value.set_byte_order(if cfg!(target_endian = "little") { ByteOrder::LittleEndian } else { ByteOrder::BigEndian });
    let count = usize::try_from(value.count()).ok()?;
    Some(Field { tag: tag.to_u16(), kind, count, bytes: value.as_bytes().to_vec() })
}

/// The meaning of a pixel's first samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    Grey,
    Rgb,
    Cmyk,
}

/// The layout of a pixel.
#[derive(Clone, Copy, Debug)]
struct Layout {
    colours: Colours,
    /// Samples per pixel, including those of unknown meaning.
    samples: usize,
    /// Whether alpha follows the colours, and whether they are premultiplied by it.
    alpha: Option<bool>,
    /// Bits per sample.
    bits: u8,
    /// Whether 0 is white. The decoder inverts this itself if a pixel has only one sample.
    inverted: bool,
}

impl Layout {
    fn of<R: Read + Seek>(decoder: &mut Decoder<R>, head: &FirstIfd) -> Result<Self, Fault> {
        let color = decoder.colortype().map_err(fault)?;
        let samples: usize = decoder.find_tag_unsigned(Tag::SamplesPerPixel).map_err(fault)?.unwrap_or(1);
        let extra: Vec<u16> = decoder.find_tag_unsigned_vec(Tag::ExtraSamples).map_err(fault)?.unwrap_or_default();
        let meaning: Option<u16> = decoder.find_tag_unsigned(Tag::PhotometricInterpretation).map_err(fault)?;
        let (colours, bits) = match color {
            ColorType::Gray(bits) | ColorType::GrayA(bits) => (Colours::Grey, bits),
            ColorType::Multiband { bit_depth, .. } => (head.bands.map_or(Colours::Grey, Colours::of), bit_depth),
            ColorType::RGB(bits) | ColorType::RGBA(bits) => (Colours::Rgb, bits),
            ColorType::CMYK(bits) | ColorType::CMYKA(bits) => (Colours::Cmyk, bits),
            other => return Err(unsupported(format_args!("{other:?}"))),
        };
        // Old writers leave alpha unnamed.
        let alpha = match extra.first().copied().and_then(ExtraSamples::from_u16) {
            Some(ExtraSamples::AssociatedAlpha) => Some(true),
            Some(ExtraSamples::UnassociatedAlpha) => Some(false),
            None if colours == Colours::Rgb && samples.checked_sub(extra.len()) == Some(4) => Some(false),
            _ => None,
        };
        let alpha = alpha.filter(|_| samples > colours.count());
        let inverted = samples > 1 && meaning == Some(PhotometricInterpretation::WhiteIsZero.to_u16());
        match samples >= colours.count() && samples * usize::from(bits.div_ceil(8)) <= MOST_BYTES {
            true => Ok(Self { colours, samples, alpha, bits, inverted }),
            false => Err(unsupported(format_args!("{samples} samples of {color:?}"))),
        }
    }

    /// Builds the decoded picture; also returns how many bits the file's samples have.
    fn picture(
        self,
        decoded: DecodingResult,
        planar: bool,
        width: u32,
        height: u32,
    ) -> Result<(DynamicImage, u8), Fault> {
        let deep = match decoded {
            DecodingResult::U8(samples) => {
                let samples = if self.bits < 8 { self.unpacked(&samples, planar, width) } else { samples };
                let picture = Shown { layout: self, planar, width, height }.eight(samples)?;
                return Ok((picture, 8));
            }
            DecodingResult::U16(samples) => samples,
            DecodingResult::U32(samples) => samples.into_iter().map(|v| (v >> 16) as u16).collect(),
            DecodingResult::F16(samples) => whole(samples.len(), samples.into_iter().map(|v| v.to_f64()))?,
            DecodingResult::F32(samples) => whole(samples.len(), samples.into_iter().map(f64::from))?,
            DecodingResult::F64(samples) => whole(samples.len(), samples.into_iter())?,
            _ => return Err(unsupported("signed samples")),
        };
        Ok((Shown { layout: self, planar, width, height }.sixteen(deep)?, self.bits))
    }

    /// Expands samples of fewer than 8 bits, whose rows begin at a byte, to the range of 8 bits.
    fn unpacked(self, bytes: &[u8], planar: bool, width: u32) -> Vec<u8> {
        let (bits, row) = (usize::from(self.bits), width as usize * if planar { 1 } else { self.samples });
        let most = (1_u16 << bits) - 1;
        let sample = |line: &[u8], i: usize| {
            let at = i * bits;
            let pair = u16::from_be_bytes([line[at / 8], line.get(at / 8 + 1).copied().unwrap_or(0)]);
            ((pair >> (16 - bits - at % 8)) & most) * 255 / most
        };
        let lines = bytes.chunks_exact((row * bits).div_ceil(8).max(1));
        lines.flat_map(|line| (0..row).map(move |i| sample(line, i) as u8)).collect()
    }
}

/// Converts floating-point samples, 0 to 1, to integers. Up to a hundredth of them may be out of range, such as what is
/// brighter than white, and are clipped; NaN becomes 0.
fn whole(count: usize, samples: impl Iterator<Item = f64>) -> Result<Vec<u16>, Fault> {
    let (mut beyond, mut low, mut high) = (0, f64::INFINITY, f64::NEG_INFINITY);
    let each = samples.map(|v| {
        beyond += usize::from(!(0.0..=1.0).contains(&v));
        (low, high) = (low.min(v), high.max(v));
        u16::rounded(v.clamp(0.0, 1.0) * 65_535.0)
    });
    let found = each.collect();
    match beyond > count / 100 {
        true if low >= 0.0 && high <= 1.0 || low > high => Err(unsupported("samples that are not numbers")),
        true => Err(unsupported(format_args!("floating-point samples from {low} to {high}; scale them to 0 to 1"))),
        false => Ok(found),
    }
}

/// A picture's size and the meaning of its samples.
struct Shown {
    layout: Layout,
    planar: bool,
    width: u32,
    height: u32,
}

impl Shown {
    fn eight(&self, samples: Vec<u8>) -> Result<DynamicImage, Fault> {
        let Layout { colours, alpha, .. } = self.layout;
        eight(colours == Colours::Grey, alpha.is_some(), (self.width, self.height), self.pixels(samples)?)
    }

    fn sixteen(&self, samples: Vec<u16>) -> Result<DynamicImage, Fault> {
        let Layout { colours, alpha, .. } = self.layout;
        sixteen(colours == Colours::Grey, alpha.is_some(), (self.width, self.height), self.pixels(samples)?)
    }

    /// Converts to grey or RGB and alpha, pixel by pixel, with alpha no longer multiplied in.
    fn pixels<S: Sample>(&self, samples: Vec<S>) -> Result<Vec<S>, Fault> {
        let Layout { colours, samples: count, alpha, inverted, .. } = self.layout;
        if samples.len() != self.width as usize * self.height as usize * count {
            return Err(Fault::truncated());
        }
        if !self.planar && !inverted && colours != Colours::Cmyk && alpha != Some(true) {
            let shown = colours.count() + usize::from(alpha.is_some());
            return Ok(match shown == count {
                true => samples,
                false => samples.chunks_exact(count).flat_map(|pixel| &pixel[..shown]).copied().collect(),
            });
        }
        let pixels = samples.len() / count;
        let at = |i: usize, c: usize| if self.planar { samples[c * pixels + i] } else { samples[i * count + c] };
        let mut out = Vec::with_capacity(pixels * 4);
        for i in 0..pixels {
            let opacity = alpha.map(|_| at(i, colours.count()));
            let divisor = opacity.filter(|_| alpha == Some(true));
            out.extend(colours.shown(|c| at(i, c), inverted).into_iter().flatten().map(|v| divided(v, divisor)));
            out.extend(opacity);
        }
        Ok(out)
    }
}

impl Colours {
    /// Returns the colours of a picture that the decoder reads as bands.
    fn of((meaning, _): (u16, u64)) -> Self {
        if meaning == PhotometricInterpretation::RGB.to_u16() { Self::Rgb } else { Self::Cmyk }
    }

    fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }

    /// Returns a pixel's colour from its samples. CMYK values are the light that the inks absorb: no profile applies
    /// here.
    fn shown<S: Sample>(self, sample: impl Fn(usize) -> S, inverted: bool) -> [Option<S>; 3] {
        let most = S::MAX.level();
        let number = |c: usize| sample(c).level();
        match self {
            Self::Grey if inverted => [Some(S::rounded(most - number(0))), None, None],
            Self::Grey => [Some(sample(0)), None, None],
            Self::Rgb => [0, 1, 2].map(|c| Some(sample(c))),
            Self::Cmyk => [0, 1, 2].map(|c| Some(S::rounded((most - number(c)) * (most - number(3)) / most))),
        }
    }
}
