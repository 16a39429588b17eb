//! Writing pictures: the format is told by the name, and a file is written aside and renamed, so that no half-written
//! one is ever in its place.

use crate::{Error, Fault, Picture, Provenance};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use image_webp::{ColorType, WebPEncoder};
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP, lossless.
    WebP,
}

/// How a picture is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// JPEG's quality, 1 to 100.
    pub jpeg_quality: u8,
    /// How the picture was made, to be stored with it.
    pub provenance: Option<Provenance>,
}

impl Default for WriteOptions {
    /// JPEG at 95, and no word of how it was made.
    fn default() -> Self {
        Self { jpeg_quality: 95, provenance: None }
    }
}

impl Format {
    /// The format that a file name ends in.
    ///
    /// # Errors
    /// [`Fault::UnknownFormat`] lists the endings.
    pub fn from_path(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match ending.as_str() {
            "png" => Ok(Self::Png),
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            "webp" => Ok(Self::WebP),
            _ => Err(Error::at(path)(Fault::UnknownFormat)),
        }
    }

    /// Whether a picture of this size fits in the format.
    ///
    /// # Errors
    /// [`Fault::BeyondFormat`].
    pub fn check_size(self, width: usize, height: usize) -> Result<(), Fault> {
        let (format, limit) = match self {
            Self::Png => ("PNG", i32::MAX as usize),
            Self::Jpeg => ("JPEG", 65_535),
            Self::WebP => ("WebP", 16_383),
        };
        match width.max(height) <= limit {
            true => Ok(()),
            false => Err(Fault::BeyondFormat { width, height, format, limit }),
        }
    }
}

/// Checks, before any work, that a picture of this size can be written to this name.
///
/// # Errors
/// [`Error`] names the file: its format is not known, cannot hold the size, the transparency or the provenance, or its
/// folder does not exist or cannot be written in.
pub fn check_target(
    path: &Path,
    width: usize,
    height: usize,
    transparent: bool,
    options: &WriteOptions,
) -> Result<(), Error> {
    let format = Format::from_path(path)?;
    let check = || {
        format.check_size(width, height)?;
        if transparent && format == Format::Jpeg {
            return Err(Fault::NoAlpha);
        }
        options.provenance.as_ref().map_or(Ok(()), |provenance| provenance.check(format))?;
        temporary(path).map(drop)
    };
    check().map_err(Error::at(path))
}

/// Checks, before any work, that a file of any kind can be written to this name.
///
/// # Errors
/// [`Error`] names the file: it is a folder, or its folder does not exist or cannot be written in.
pub fn check_writable(path: &Path) -> Result<(), Error> {
    temporary(path).map(drop).map_err(Error::at(path))
}

/// Writes a picture in the format that its name ends in, with its ICC profile; a picture without colour as grey.
///
/// # Errors
/// As [`check_target`], and when writing fails; nothing is left behind then.
pub fn write(path: &Path, picture: &Picture, options: &WriteOptions) -> Result<(), Error> {
    let format = Format::from_path(path)?;
    let bytes = encode(picture, format, options).map_err(Error::at(path))?;
    write_atomically(path, &bytes)
}

fn encode(picture: &Picture, format: Format, options: &WriteOptions) -> Result<Vec<u8>, Fault> {
    format.check_size(picture.width(), picture.height())?;
    if format == Format::Jpeg && picture.has_transparency() {
        return Err(Fault::NoAlpha);
    }
    let alpha = picture.alpha().filter(|_| format != Format::Jpeg);
    let colours = if picture.grey { picture.plane(0).collect() } else { picture.rgb().to_vec() };
    let (color, data) = match (picture.grey, alpha) {
        (true, None) => (ExtendedColorType::L8, colours),
        (true, Some(alpha)) => (ExtendedColorType::La8, interleaved::<1>(&colours, alpha)),
        (false, None) => (ExtendedColorType::Rgb8, colours),
        (false, Some(alpha)) => (ExtendedColorType::Rgba8, interleaved::<3>(&colours, alpha)),
    };
    let provenance = options.provenance.as_ref();
    provenance.map_or(Ok(()), |provenance| provenance.check(format))?;
    let mut bytes = Vec::new();
    let failed = |e: &dyn Display| Fault::Io { doing: "written", error: std::io::Error::other(e.to_string()) };
    match format {
        Format::Png => finish(PngEncoder::new(&mut bytes), &data, color, picture),
        Format::Jpeg => {
            let quality = options.jpeg_quality.clamp(1, 100);
            finish(JpegEncoder::new_with_quality(&mut bytes, quality), &data, color, picture)
        }
        Format::WebP => return webp(&data, color, picture, provenance).map_err(|e| failed(&e)),
    }
    .map_err(|e| failed(&e))?;
    match provenance {
        None => Ok(bytes),
        Some(provenance) if format == Format::Png => provenance.in_png(bytes).map_err(|e| failed(&e)),
        Some(provenance) => provenance.in_jpeg(bytes).map_err(|e| failed(&e)),
    }
}

/// The bytes of a WebP, by the encoder that `image` has, which alone takes XMP.
fn webp(
    data: &[u8],
    color: ExtendedColorType,
    picture: &Picture,
    provenance: Option<&Provenance>,
) -> Result<Vec<u8>, image_webp::EncodingError> {
    let color = match color {
        ExtendedColorType::L8 => ColorType::L8,
        ExtendedColorType::La8 => ColorType::La8,
        ExtendedColorType::Rgb8 => ColorType::Rgb8,
        _ => ColorType::Rgba8,
    };
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new(&mut bytes);
    if let Some(icc) = &picture.icc {
        encoder.set_icc_profile(icc.clone());
    }
    if let Some(provenance) = provenance {
        encoder.set_xmp_metadata(provenance.packet().into_bytes());
    }
    encoder.encode(data, picture.width() as u32, picture.height() as u32, color)?;
    Ok(bytes)
}

fn finish(
    mut encoder: impl ImageEncoder,
    data: &[u8],
    color: ExtendedColorType,
    picture: &Picture,
) -> Result<(), ImageError> {
    if let Some(icc) = &picture.icc {
        encoder.set_icc_profile(icc.clone()).map_err(ImageError::Unsupported)?;
    }
    // Sizes fit: every format's limit is below 32 bits.
    encoder.write_image(data, picture.width() as u32, picture.height() as u32, color)
}

fn interleaved<const N: usize>(colours: &[u8], alpha: &[u8]) -> Vec<u8> {
    colours.chunks_exact(N).zip(alpha).flat_map(|(pixel, a)| pixel.iter().chain([a]).copied()).collect()
}

/// Writes a file aside, then renames it into its place.
///
/// # Errors
/// [`Error`] names the file; nothing is left behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let io = |error| Fault::Io { doing: "written", error };
    let write = || {
        let mut file = temporary(path)?;
        file.write_all(bytes).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(path).map_err(|e| io(e.error))?;
        Ok(())
    };
    write().map_err(Error::at(path))
}

/// A file of no name yet in the folder where `path` goes; it is removed when dropped.
fn temporary(path: &Path) -> Result<tempfile::NamedTempFile, Fault> {
    if path.is_dir() {
        return Err(Fault::TargetIsFolder);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
    if !folder.is_dir() {
        return Err(Fault::NoFolder(folder));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pdn-").suffix(".part");
    #[cfg(unix)]
    {
        // As any new file, less what the umask takes; the default of temporary files is the owner alone.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).map_err(|error| Fault::Io { doing: "written", error })
}
