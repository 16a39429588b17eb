//! Reading pictures: the format is told by the content, limits are checked on the header before anything is decoded.

use crate::jpeg_head::JpegHead;
use crate::kinds::{self, is_avif};
use crate::{AnyPicture, Error, Fault, Picture, Resolution, Sample, exif, gif_read, iptc, profile, tiff_read};
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// How large a picture may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Width times height.
    pub pixels: u64,
}

impl Default for Limits {
    /// A hundred million pixels.
    fn default() -> Self {
        Self { pixels: 100_000_000 }
    }
}

/// What decoders may take beside a picture's own samples.
const DECODER_OVERHEAD: u64 = 64 << 20;

/// What is said of a picture of inks.
pub(crate) const CMYK: &str = "converted from CMYK without regard to its profile: its colours are near, not exact";

/// What is said of a picture that has XMP: what was true of it need not be of what is made of it.
pub(crate) const XMP: &str = "its XMP is left out";
/// What is said of a file of several pictures, as one that moves is.
pub(crate) const FIRST: &str = "the first picture is read, the file has more";
pub(crate) const DAMAGED_EXIF: &str = "its EXIF is damaged, and left out";
const NO_PROFILE: &str = "its ICC profile is damaged or for other colours than were read, and left out";

/// Reads a PNG, JPEG, WebP, TIFF, BMP or GIF, turned as its EXIF orientation says, with 16 bits a sample where the file has
/// more than 8; of a file of several pictures the first.
///
/// # Errors
/// [`Error`] names the file: it is missing, a folder, empty, no picture, of a kind that is not read, damaged, or beyond the
/// limits.
pub fn read_any(path: &Path, limits: &Limits) -> Result<AnyPicture, Error> {
    open(path).and_then(|file| decode(BufReader::new(file), limits)).map(Decoded::any).map_err(Error::at(path))
}

/// Reads a picture as [`read_any`] does, but always as 8 bits a sample.
///
/// # Errors
/// As [`read_any`].
pub fn read(path: &Path, limits: &Limits) -> Result<Picture, Error> {
    open(path).and_then(|file| decode(BufReader::new(file), limits)).map(Decoded::eight).map_err(Error::at(path))
}

fn open(path: &Path) -> Result<File, Fault> {
    let what = std::fs::metadata(path).map_err(unreadable)?;
    if what.is_dir() {
        return Err(Fault::Folder);
    }
    if !what.is_file() {
        // A pipe is read once, and opening it may wait for ever.
        return Err(unreadable(io::Error::other("it is no regular file, as a pipe is none")));
    }
    File::open(path).map_err(unreadable)
}

pub(crate) fn unreadable(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Io { doing: "read", error },
    }
}

/// Reads a picture from memory, as [`read_any`] does.
///
/// # Errors
/// [`Fault`] says what is wrong.
pub fn read_any_bytes(bytes: &[u8], limits: &Limits) -> Result<AnyPicture, Fault> {
    decode(Cursor::new(bytes), limits).map(Decoded::any)
}

/// Reads a picture from memory, as [`read`] does.
///
/// # Errors
/// [`Fault`] says what is wrong.
pub fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<Picture, Fault> {
    decode(Cursor::new(bytes), limits).map(Decoded::eight)
}

/// A picture as it is shown, and what its file says of it.
pub(crate) struct Decoded {
    pub(crate) picture: DynamicImage,
    /// Bits of the file's samples; 8 also where there are fewer.
    pub(crate) bits: u8,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) exif: Option<Vec<u8>>,
    /// Where the file says it beside its EXIF; turned as the picture.
    pub(crate) resolution: Option<Resolution>,
    /// What is not as in the file.
    pub(crate) notes: Vec<&'static str>,
}

impl Decoded {
    /// With 16 bits a sample where there are more than 8.
    fn any(mut self) -> AnyPicture {
        if self.bits == 8 {
            return self.eight().into();
        }
        self.notes.extend((self.bits > 16).then_some("read as 16 bits a sample, the file has more"));
        let picture = std::mem::take(&mut self.picture);
        let color = picture.color();
        match color.has_alpha() {
            false => self.built(color, (picture.width(), picture.height()), picture.into_rgb16().into_raw()).into(),
            true => self.built(color, (picture.width(), picture.height()), picture.into_rgba16().into_raw()).into(),
        }
    }

    fn eight(mut self) -> Picture {
        self.notes.extend(match self.bits {
            8 => None,
            16 => Some("read as 8 bits a sample, the file has 16"),
            _ => Some("read as 8 bits a sample, the file has more than 16"),
        });
        let picture = std::mem::take(&mut self.picture);
        let color = picture.color();
        match color.has_alpha() {
            false => self.built(color, (picture.width(), picture.height()), picture.into_rgb8().into_raw()),
            true => self.built(color, (picture.width(), picture.height()), picture.into_rgba8().into_raw()),
        }
    }

    /// A picture of interleaved RGB or RGBA, with what is said of it.
    fn built<S: Sample>(self, color: ColorType, (width, height): (u32, u32), samples: Vec<S>) -> Picture<S> {
        let (width, height) = (width as usize, height as usize);
        let mut picture = match color.has_alpha() {
            false => Picture::new(width, height, samples),
            true => {
                let alpha = samples.iter().skip(3).step_by(4).copied().collect();
                let rgb = samples.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
                Picture::new(width, height, rgb).with_alpha(Some(alpha))
            }
        };
        picture.resolution = self.resolution.or_else(|| exif::resolution(self.exif.as_deref()?));
        (picture.grey, picture.exif, picture.lost) = (!color.has_color(), self.exif, self.notes);
        // WebP has no grey, and a profile that has.
        let is_grey = || picture.rgb().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
        let profile_is_grey = self.icc.as_ref().is_some_and(|icc| profile::fits(icc, true));
        picture.grey |= profile_is_grey && is_grey();
        let fits = self.icc.as_ref().is_none_or(|icc| profile::fits(icc, picture.grey));
        picture.lost.extend((!fits).then_some(NO_PROFILE));
        picture.icc = self.icc.filter(|_| fits);
        picture
    }
}

/// Decodes a picture. Decoders are others' work, and one that panics over a damaged file ends no program.
fn decode(file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    // What a panic leaves half done is dropped with it: the file is read by nobody else.
    let decoded = catch_unwind(AssertUnwindSafe(|| by_format(file, limits)));
    decoded.unwrap_or_else(|_| Err(Fault::Damaged("its decoder broke on it".into())))
}

fn by_format(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let begin = file.fill_buf().map_err(unreadable)?;
    if begin.is_empty() {
        return Err(Fault::Empty);
    }
    if let Some(fault) = kinds::named(begin).filter(|_| !is_avif(begin)) {
        return Err(fault);
    }
    if is_jxl(begin) {
        return jxl(file, limits);
    }
    if is_avif(begin) {
        return avif(file, limits);
    }
    let format = match image::guess_format(begin) {
        Ok(format) => format,
        Err(_) if tiff_read::is_big(begin) => ImageFormat::Tiff,
        Err(_) => return Err(Fault::NotAPicture),
    };
    match format {
        ImageFormat::Png => png(file, limits),
        ImageFormat::WebP => webp(file, limits),
        ImageFormat::Gif => gif_read::read(file, limits),
        ImageFormat::Bmp => bmp(file, limits),
        ImageFormat::Tiff => tiff_read::read(file, limits),
        ImageFormat::Jpeg => jpeg(file, limits),
        _ => Err(Fault::NotAPicture),
    }
}

/// A picture by `image`'s decoder; what it is printed at is told beside.
pub(crate) fn decoded(
    file: impl BufRead + Seek,
    format: ImageFormat,
    resolution: Option<Resolution>,
    limits: &Limits,
) -> Result<Decoded, Fault> {
    let mut reader = ImageReader::with_format(file, format);
    reader.limits(budget(limits));
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut found = from_decoder(decoder, orientation, limits)?;
    found.resolution = resolution.map(|resolution| resolution.turned(orientation));
    Ok(found)
}

fn budget(limits: &Limits) -> image::Limits {
    let mut budget = image::Limits::no_limits();
    // At most 32 bits for each of four channels.
    budget.max_alloc = Some(limits.pixels.saturating_mul(16).saturating_add(DECODER_OVERHEAD));
    budget
}

fn from_decoder(mut decoder: impl ImageDecoder, orientation: Orientation, limits: &Limits) -> Result<Decoded, Fault> {
    let (width, height) = decoder.dimensions();
    check_pixels(u64::from(width), u64::from(height), limits)?;
    let icc = decoder.icc_profile().unwrap_or(None);
    let block = decoder.exif_metadata().unwrap_or(None);
    let exif = block.as_ref().and_then(|block| exif::of_shown(block));
    let mut notes = Vec::new();
    notes.extend((exif.is_none() && block.is_some()).then_some(DAMAGED_EXIF));
    notes.extend(decoder.xmp_metadata().unwrap_or(None).map(|_| XMP));
    let mut picture = DynamicImage::from_decoder(decoder).map_err(fault)?;
    picture.apply_orientation(orientation);
    let color = picture.color();
    let bits = 8 * color.bytes_per_pixel() / color.channel_count();
    Ok(Decoded { picture, bits, icc, exif, resolution: None, notes })
}

/// Whether a file begins as a JPEG XL does, bare or in its container (ISO 18181).
fn is_jxl(begin: &[u8]) -> bool {
    begin.starts_with(&[0xff, 0x0a]) || begin.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

#[cfg(feature = "jxl-read")]
fn jxl(file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let mut decoder = jxl_oxide::integration::JxlDecoder::new(file).map_err(fault)?;
    decoder.set_limits(budget(limits)).map_err(fault)?;
    // It gives pictures turned as they are shown.
    from_decoder(decoder, Orientation::NoTransforms, limits)
}

#[cfg(not(feature = "jxl-read"))]
fn jxl(_: impl BufRead + Seek, _: &Limits) -> Result<Decoded, Fault> {
    Err(Fault::Unsupported("JPEG XL, which this build leaves out: build it with the feature `jxl-read`".into()))
}

#[cfg(feature = "avif")]
fn avif(file: impl BufRead, limits: &Limits) -> Result<Decoded, Fault> {
    crate::avif_read::read(file, limits)
}

#[cfg(not(feature = "avif"))]
fn avif(_: impl BufRead, _: &Limits) -> Result<Decoded, Fault> {
    Err(Fault::Unsupported("AVIF, which this build leaves out: build it with the feature `avif`".into()))
}

pub(crate) fn check_pixels(width: u64, height: u64, limits: &Limits) -> Result<(), Fault> {
    match width * height {
        pixels if pixels > limits.pixels => Err(Fault::TooLarge { width, height, pixels, limit: limits.pixels }),
        _ => Ok(()),
    }
}

fn png(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let mut head = png::Decoder::new(&mut file);
    // What is wrong with it, its decoder will say; but not a size beyond its own limits.
    if let Ok(info) = head.read_header_info() {
        check_pixels(u64::from(info.width), u64::from(info.height), limits)?;
    }
    let said = head.read_info().map_or_else(|_| PngSays::default(), |reader| PngSays::of(reader.info()));
    file.rewind().map_err(unreadable)?;
    let mut found = decoded(file, ImageFormat::Png, said.resolution, limits)?;
    found.icc = found.icc.or(said.profile);
    found.notes.extend(said.iptc.then_some(iptc::NOTE));
    found.notes.extend(said.moves.then_some(FIRST));
    Ok(found)
}

/// What a PNG says before its data, and its decoder does not give.
#[derive(Default)]
struct PngSays {
    profile: Option<Vec<u8>>,
    resolution: Option<Resolution>,
    iptc: bool,
    moves: bool,
}

impl PngSays {
    fn of(info: &png::Info) -> Self {
        let grey = matches!(info.color_type, png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha);
        let metre = info.pixel_dims.filter(|found| found.unit == png::Unit::Meter);
        let plain = info.uncompressed_latin1_text.iter().map(|text| &text.keyword);
        let mut texts = plain.chain(info.compressed_latin1_text.iter().map(|text| &text.keyword));
        Self {
            profile: profile::of_png(info, grey),
            resolution: metre.and_then(|found| Resolution::on_metre(found.xppu, found.yppu)),
            iptc: texts.any(|keyword| keyword == "Raw profile type iptc"),
            moves: info.animation_control.is_some_and(|found| found.num_frames > 1),
        }
    }
}

fn bmp(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let mut head = [0; BMP_HEAD];
    let resolution = file.read_exact(&mut head).ok().and_then(|()| of_bmp(&head));
    file.rewind().map_err(unreadable)?;
    decoded(file, ImageFormat::Bmp, resolution, limits)
}

/// Bytes of a BMP up to the end of its resolution.
const BMP_HEAD: usize = 46;

/// The resolution in a head of Windows' kind; that of OS/2, of 12 bytes, has none.
fn of_bmp(head: &[u8; BMP_HEAD]) -> Option<Resolution> {
    let number = |at: usize| head[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    number(14).filter(|size| *size >= 40).and_then(|_| Resolution::on_metre(number(38)?, number(42)?))
}

fn webp(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let moves = WebPDecoder::new(&mut file).is_ok_and(|decoder| decoder.has_animation());
    file.rewind().map_err(unreadable)?;
    let mut found = decoded(file, ImageFormat::WebP, None, limits)?;
    found.notes.extend(moves.then_some(FIRST));
    Ok(found)
}

fn jpeg(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let head = JpegHead::read(&mut file).map_err(unreadable)?;
    let head = head.ok_or_else(|| Fault::Damaged("its end is missing".into()))?;
    if head.components == 4 && !head.adobe {
        return Err(Fault::Unsupported("a JPEG of four inks without Adobe's word on how they are stored".into()));
    }
    file.rewind().map_err(unreadable)?;
    let mut found = decoded(file, ImageFormat::Jpeg, head.resolution, limits)?;
    found.notes.extend(head.iptc.then_some(iptc::NOTE));
    found.notes.extend((head.components == 4).then_some(CMYK));
    Ok(found)
}

fn fault(error: ImageError) -> Fault {
    match error {
        // The system's, and not a decoder's.
        ImageError::IoError(error) if error.raw_os_error().is_some() => unreadable(error),
        ImageError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => Fault::Damaged(error.to_string()),
        ImageError::IoError(_) => Fault::Damaged("its end is missing".into()),
        ImageError::Unsupported(error) => Fault::Unsupported(error.to_string().replace('\n', " ")),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}
