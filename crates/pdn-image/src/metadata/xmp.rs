//! XMP (ISO 16684-1): how a picture was made, stored in its file.
//!
//! XMP rather than EXIF, as its text is Unicode in every format, and its namespaces keep these facts apart from a photographer's
//! own title and description.

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
    /// Facts by name, such as `Prompt`, in the namespace `pdn`. Line ends are stored as line feeds, and control characters
    /// that XML has no place for as U+FFFD.
    pub facts: Vec<(&'static str, String)>,
}

/// The namespace of the facts.
const NAMESPACE: &str = "urn:pdn:xmp:1.0/";

/// As far from a file's beginning and its end as a packet is looked for: formats have it before the pixels or behind them.
const NEAR: u64 = 256 << 10;

/// Whether a file's metadata says that pdn made it. A file that cannot be read was not.
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

/// What a JPEG's segment holds beside its own length and the packet's name.
const JPEG_LIMIT: usize = 65_533 - JPEG_NAME.len();
const JPEG_NAME: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

impl Provenance {
    /// Whether a format can hold it.
    ///
    /// # Errors
    /// [`Fault::LongProvenance`] for a JPEG of more than 65,504 bytes of it.
    pub fn check(&self, format: Format) -> Result<(), Fault> {
        match self.packet().len() {
            found if format == Format::Jpeg && found > JPEG_LIMIT => {
                Err(Fault::LongProvenance { found, limit: JPEG_LIMIT })
            }
            _ => Ok(()),
        }
    }

    /// The packet.
    pub(crate) fn packet(&self) -> String {
        let mut xmp = XmpWriter::new();
        xmp.creator_tool(&storable(&self.software));
        let ours = Namespace::Custom(Box::new(CustomNamespace::new("pdn", "pdn", NAMESPACE)));
        for (name, value) in &self.facts {
            xmp.element(name, ours.clone()).value(storable(value).as_str());
        }
        xmp.finish(None)
    }

    /// The bytes of a JPEG with the packet, which [`Self::check`] found to fit.
    pub(crate) fn in_jpeg(&self, bytes: Vec<u8>) -> Result<Vec<u8>, img_parts::Error> {
        let mut jpeg = Jpeg::from_bytes(bytes.into())?;
        let segments = jpeg.segments_mut();
        // JFIF's own segment is the first, then EXIF.
        let first = |segment: &&JpegSegment| [markers::APP0, markers::APP1].contains(&segment.marker());
        let at = segments.iter().take_while(first).count();
        let packet = [JPEG_NAME, self.packet().as_bytes()].concat();
        segments.insert(at, JpegSegment::new_with_contents(markers::APP1, packet.into()));
        Ok(jpeg.encoder().bytes().into())
    }
}

/// Text of characters that XML 1.0 has, with the line ends that its readers give.
fn storable(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    text.replace("\r\n", "\n").replace('\r', "\n").chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}
