//! Reading pictures: the format is told by the content, limits are checked on the header before anything is decoded.

use crate::{AnyPicture, Error, Fault, Picture, Sample, exif, profile, tiff_read};
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek, SeekFrom};
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

/// Reads a PNG, JPEG, WebP, TIFF or BMP, turned as its EXIF orientation says, with 16 bits a sample where the file has
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

fn decode(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let begin = file.fill_buf().map_err(unreadable)?;
    if begin.is_empty() {
        return Err(Fault::Empty);
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
        ImageFormat::Bmp => decoded(file, format, limits),
        ImageFormat::Tiff => tiff_read::read(file, limits),
        ImageFormat::Jpeg => jpeg(file, limits),
        _ => Err(Fault::NotAPicture),
    }
}

fn decoded(file: impl BufRead + Seek, format: ImageFormat, limits: &Limits) -> Result<Decoded, Fault> {
    let mut reader = ImageReader::with_format(file, format);
    reader.limits(budget(limits));
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    from_decoder(decoder, orientation, limits)
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
    Ok(Decoded { picture, bits, icc, exif, notes })
}

/// Whether a file begins as a JPEG XL does, bare or in its container (ISO 18181).
fn is_jxl(begin: &[u8]) -> bool {
    begin.starts_with(&[0xff, 0x0a]) || begin.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

#[cfg(feature = "jxl")]
fn jxl(file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let mut decoder = jxl_oxide::integration::JxlDecoder::new(file).map_err(fault)?;
    decoder.set_limits(budget(limits)).map_err(fault)?;
    // It gives pictures turned as they are shown.
    from_decoder(decoder, Orientation::NoTransforms, limits)
}

#[cfg(not(feature = "jxl"))]
fn jxl(_: impl BufRead + Seek, _: &Limits) -> Result<Decoded, Fault> {
    Err(Fault::Unsupported("JPEG XL, which this build leaves out: build it with the feature `jxl`".into()))
}

#[cfg(feature = "avif")]
use crate::avif_file::is_avif;

#[cfg(feature = "avif")]
fn avif(file: impl BufRead, limits: &Limits) -> Result<Decoded, Fault> {
    crate::avif_read::read(file, limits)
}

/// Whether a file begins as an AVIF does, by its first brand.
#[cfg(not(feature = "avif"))]
fn is_avif(begin: &[u8]) -> bool {
    matches!(begin.get(4..12), Some(b"ftypavif" | b"ftypavis"))
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
    head.set_ignore_text_chunk(true);
    // What is wrong with it, its decoder will say; but not a size beyond its own limits.
    if let Ok(info) = head.read_header_info() {
        check_pixels(u64::from(info.width), u64::from(info.height), limits)?;
    }
    let (profile, moves) = head.read_info().map_or((None, false), |reader| {
        let grey = matches!(reader.info().color_type, png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha);
        (
            profile::of_png(reader.info(), grey),
            reader.info().animation_control.is_some_and(|found| found.num_frames > 1),
        )
    });
    file.rewind().map_err(unreadable)?;
    let mut found = decoded(file, ImageFormat::Png, limits)?;
    found.icc = found.icc.or(profile);
    found.notes.extend(moves.then_some(FIRST));
    Ok(found)
}

fn webp(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let moves = WebPDecoder::new(&mut file).is_ok_and(|decoder| decoder.has_animation());
    file.rewind().map_err(unreadable)?;
    let mut found = decoded(file, ImageFormat::WebP, limits)?;
    found.notes.extend(moves.then_some(FIRST));
    Ok(found)
}

fn jpeg(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let frame = jpeg_frame(&mut file).map_err(unreadable)?;
    let frame = frame.ok_or_else(|| Fault::Damaged("its end is missing".into()))?;
    if frame.components == 4 && !frame.adobe {
        return Err(Fault::Unsupported("a JPEG of four inks without Adobe's word on how they are stored".into()));
    }
    file.rewind().map_err(unreadable)?;
    let mut found = decoded(file, ImageFormat::Jpeg, limits)?;
    found.notes.extend((frame.components == 4).then_some(CMYK));
    Ok(found)
}

/// What a JPEG says before its data.
struct Frame {
    components: u8,
    /// Whether Adobe's marker is there: inks are then stored inverted, as the decoder takes them to be.
    adobe: bool,
}

/// What a JPEG says before its data; nothing where the data is not followed by the end marker. The decoder fills what is
/// missing with grey, which would be taken for a picture.
fn jpeg_frame(file: &mut (impl BufRead + Seek)) -> io::Result<Option<Frame>> {
    file.seek(SeekFrom::Start(2))?;
    let mut frame = Frame { components: 0, adobe: false };
    loop {
        let Some(marker) = marker(file)? else { return Ok(None) };
        let mut length = [0; 2];
        if !fills(file, &mut length)? {
            return Ok(None);
        }
        let mut left = i64::from(u16::from_be_bytes(length)) - 2;
        let mut begin = [0; 6];
        if left >= 6 {
            if !fills(file, &mut begin)? {
                return Ok(None);
            }
            left -= 6;
        }
        match marker {
            0xee => frame.adobe |= begin.starts_with(b"Adobe"),
            0xc4 | 0xc8 | 0xcc => {}
            // Precision, height and width come before the number of components.
            0xc0..=0xcf => frame.components = begin[5],
            _ => {}
        }
        file.seek_relative(left)?;
        if marker == 0xda {
            return Ok(ends(file)?.then_some(frame));
        }
    }
}

/// The marker that follows, after any number of bytes that fill (ITU-T T.81, B.1.1.2).
fn marker(file: &mut impl BufRead) -> io::Result<Option<u8>> {
    let mut byte = [0; 1];
    if !fills(file, &mut byte)? || byte != [0xff] {
        return Ok(None);
    }
    while byte == [0xff] {
        if !fills(file, &mut byte)? {
            return Ok(None);
        }
    }
    Ok(Some(byte[0]))
}

/// Whether as many bytes follow.
fn fills(file: &mut impl BufRead, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// Whether the end marker follows.
fn ends(file: &mut impl BufRead) -> io::Result<bool> {
    let mut last = 0;
    loop {
        let data = file.fill_buf()?;
        let Some(&end) = data.last() else { return Ok(false) };
        if (last, data[0]) == (0xff, 0xd9) || data.windows(2).any(|pair| pair == [0xff, 0xd9]) {
            return Ok(true);
        }
        last = end;
        let length = data.len();
        file.consume(length);
    }
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
