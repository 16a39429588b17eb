//! XMP (ISO 16684-1): how a picture was made, stored in its file.
//!
//! XMP is used instead of EXIF because its text is Unicode in every format, and its namespaces keep these facts apart
//! from a photographer's own title and description.

use crate::{Fault, Format};
use img_parts::jpeg::{Jpeg, JpegSegment, markers};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use xmp_writer::{CustomNamespace, Namespace, XmpWriter};

/// What made a picture, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The program and its version: `xmp:CreatorTool`.
    pub software: String,
    /// Facts by name, such as `Prompt`, in the namespace `pdn`. Line ends are stored as line feeds, and control
    /// characters that XML cannot represent as U+FFFD.
    pub facts: Vec<(&'static str, String)>,
}

/// The namespace of the facts.
const NAMESPACE: &str = "urn:pdn:xmp:1.0/";

/// How far from a file's beginning and end to search for a packet: formats store it before or after the pixels.
const NEAR: u64 = 256 << 10;

/// Returns whether a file's metadata says that pdn made it; `false` if the file cannot be read.
pub fn is_result(path: &Path) -> bool {
    let look = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        file.by_ref().take(NEAR).read_to_end(&mut bytes)?;
        if length > NEAR {
            file.seek(SeekFrom::Start(NEAR.max(length - NEAR)))?;
            file.take(NEAR).read_to_end(&mut bytes)?;
        }
        Ok::<bool, io::Error>(bytes.windows(NAMESPACE.len()).any(|found| found == NAMESPACE.as_bytes()))
    };
    path.is_file() && look().unwrap_or(false)
}

/// What a JPEG segment holds in addition to its own length and the packet's name.
const JPEG_LIMIT: usize = 65_533 - JPEG_NAME.len();
const JPEG_NAME: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

impl Provenance {
    /// Checks that a format can hold this provenance.
    ///
    /// # Errors
    /// Returns [`Fault::LongProvenance`] for more than 65,504 bytes in a JPEG.
    pub fn check(&self, format: Format) -> Result<(), Fault> {
        match self.packet().len() {
            found if format == Format::Jpeg && found > JPEG_LIMIT => {
                Err(Fault::LongProvenance { found, limit: JPEG_LIMIT })
            }
            _ => Ok(()),
        }
    }

    /// Returns the packet.
    pub(crate) fn packet(&self) -> String {
        let mut xmp = XmpWriter::new();
        xmp.creator_tool(&storable(&self.software));
        let ours = Namespace::Custom(Box::new(CustomNamespace::new("pdn", "pdn", NAMESPACE)));
        for (name, value) in &self.facts {
            xmp.element(name, ours.clone()).value(storable(value).as_str());
        }
        xmp.finish(None)
    }

    /// Inserts the packet into a JPEG. [`Self::check`] must have found that it fits.
    pub(crate) fn in_jpeg(&self, bytes: Vec<u8>) -> Result<Vec<u8>, img_parts::Error> {
        let mut jpeg = Jpeg::from_bytes(bytes.into())?;
        let segments = jpeg.segments_mut();
        // JFIF's own segment comes first, then EXIF.
        let first = |segment: &&JpegSegment| [markers::APP0, markers::APP1].contains(&segment.marker());
        let at = segments.iter().take_while(first).count();
        let packet = [JPEG_NAME, self.packet().as_bytes()].concat();
        segments.insert(at, JpegSegment::new_with_contents(markers::APP1, packet.into()));
        Ok(jpeg.encoder().bytes().into())
    }
}

/// Returns text in characters that XML 1.0 allows, with the line ends that XML readers produce.
fn storable(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    text.replace("\r\n", "\n").replace('\r', "\n").chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}
