//! A writer for the boxes of an AVIF (ISO 14496-12, 23008-12 and AV1 Image File Format 1.1): one AV1 picture, its
//! alpha, and its metadata.
//!
//! Boxes are written here and parsed in `parse` because no crate covers all of it: `avif-serialize` writes neither ICC
//! nor XMP, `avif-parse` reads none of ICC, EXIF, rotation and mirroring, and `mp4parse` returns some of them as
//! pointers.

use crate::Fault;

/// How to interpret colours, in the code points of H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodePoints {
    pub(crate) primaries: u16,
    pub(crate) transfer: u16,
    pub(crate) matrix: u16,
    /// Whether the range is full: black is 0 and white the largest sample.
    pub(crate) full: bool,
}

/// One plane or three, coded as AV1.
pub(crate) struct Coded {
    pub(crate) data: Vec<u8>,
    pub(crate) bits: u8,
    /// Whether there is one plane instead of three of the same size.
    pub(crate) mono: bool,
}

/// A picture to write.
pub(crate) struct AvifFile {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) colour: Coded,
    pub(crate) alpha: Option<Coded>,
    pub(crate) points: CodePoints,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) xmp: Option<Vec<u8>>,
}

const COLOUR: u16 = 1;
const ALPHA: u16 = 2;
const EXIF: u16 = 3;
const XMP: u16 = 4;
pub(crate) const ALPHA_IS: &[u8] = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0";
const XMP_IS: &[u8] = b"application/rdf+xml\0";

/// Builds a box: size, type and content.
fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], &content].concat()
}

/// Builds a full box: a version, and no flags.
fn full(kind: &[u8; 4], version: u8, parts: &[&[u8]]) -> Vec<u8> {
    boxed(kind, &[&[version, 0, 0, 0], &parts.concat()])
}

impl AvifFile {
    /// Returns the bytes of the file.
    pub(crate) fn serialize(self) -> Result<Vec<u8>, Fault> {
        let exif = self.exif.as_ref().map(|block| [&[0; 4], &block[..]].concat());
        let items: Vec<(u16, &[u8])> = [
            Some((COLOUR, &self.colour.data[..])),
            self.alpha.as_ref().map(|alpha| (ALPHA, &alpha.data[..])),
            exif.as_ref().map(|exif| (EXIF, &exif[..])),
            self.xmp.as_ref().map(|xmp| (XMP, &xmp[..])),
        ]
        .into_iter()
        .flatten()
        .collect();
        let data: usize = items.iter().map(|(_, data)| data.len()).sum();
        let head = boxed(b"ftyp", &[b"avif\0\0\0\0avifmif1miaf"]);
        // The length of `meta` does not depend on where the data begins.
        let begin = head.len() + self.meta(&items, 0).len() + 8;
        if u32::try_from(begin + data).is_err() {
            return Err(Fault::on_write(std::io::Error::other("the AVIF would exceed 4 GiB")));
        }
        let mut file = [head, self.meta(&items, begin as u32)].concat();
        file.extend((data as u32 + 8).to_be_bytes());
        file.extend(b"mdat");
        items.iter().for_each(|(_, data)| file.extend(*data));
        Ok(file)
    }

    fn meta(&self, items: &[(u16, &[u8])], begin: u32) -> Vec<u8> {
        let handler = full(b"hdlr", 0, &[&[0; 4], b"pict", &[0; 13]]);
        let primary = full(b"pitm", 0, &[&COLOUR.to_be_bytes()]);
        let count = (items.len() as u16).to_be_bytes();
        let (mut places, mut kinds, mut references) = (vec![0x44, 0], Vec::new(), Vec::new());
        places.extend(count);
        kinds.extend(count);
        let mut at = begin;
        for (item, data) in items {
            let id = item.to_be_bytes();
            let length = data.len() as u32;
            places.extend([&id[..], &[0, 0, 0, 1], &at.to_be_bytes(), &length.to_be_bytes()].concat());
            at += length;
            let (kind, said, reference): (&[u8; 4], &[u8], _) = match *item {
                COLOUR => (b"av01", b"", None),
                ALPHA => (b"av01", b"", Some(b"auxl")),
                EXIF => (b"Exif", b"", Some(b"cdsc")),
                _ => (b"mime", XMP_IS, Some(b"cdsc")),
            };
            kinds.extend(full(b"infe", 2, &[&id, &[0, 0], kind, &[0], said]));
            references.extend(reference.map_or_else(Vec::new, |reference| {
                boxed(reference, &[&id, &1_u16.to_be_bytes(), &COLOUR.to_be_bytes()])
            }));
        }
        let references = if references.is_empty() { references } else { full(b"iref", 0, &[&references]) };
        let (places, kinds) = (full(b"iloc", 0, &[&places]), full(b"iinf", 0, &[&kinds]));
        full(b"meta", 0, &[&handler, &primary, &places, &kinds, &references, &self.properties()])
    }

    fn properties(&self) -> Vec<u8> {
        const ESSENTIAL: u8 = 0x80;
        let size = full(b"ispe", 0, &[&self.width.to_be_bytes(), &self.height.to_be_bytes()]);
        let CodePoints { primaries, transfer, matrix, full: range } = self.points;
        let points = [primaries, transfer, matrix].map(u16::to_be_bytes).concat();
        let mut all = vec![size, self.colour.depth(), self.colour.configuration()];
        all.push(boxed(b"colr", &[b"nclx", &points, &[u8::from(range) << 7]]));
        let mut of_colour = vec![1, 2, ESSENTIAL | 3, 4];
        if let Some(icc) = &self.icc {
            all.push(boxed(b"colr", &[b"prof", icc]));
            of_colour.push(all.len() as u8);
        }
        let mut owners = vec![(COLOUR, of_colour)];
        if let Some(alpha) = &self.alpha {
            let next = all.len() as u8 + 1;
            all.extend([alpha.depth(), alpha.configuration(), full(b"auxC", 0, &[ALPHA_IS])]);
            owners.push((ALPHA, vec![1, next, ESSENTIAL | (next + 1), ESSENTIAL | (next + 2)]));
        }
        let mut owned = (owners.len() as u32).to_be_bytes().to_vec();
        for (item, properties) in owners {
            owned.extend(item.to_be_bytes());
            owned.push(properties.len() as u8);
            owned.extend(properties);
        }
        boxed(b"iprp", &[&boxed(b"ipco", &[&all.concat()]), &full(b"ipma", 0, &[&owned])])
    }
}

impl Coded {
    fn depth(&self) -> Vec<u8> {
        let channels = if self.mono { 1 } else { 3 };
        full(b"pixi", 0, &[&[channels], &vec![self.bits; channels.into()]])
    }

    /// Returns the `av1C` box, which repeats AV1's own header: profile 0 or 1 (4:4:4), level 31 (none), depth and
    /// planes.
    fn configuration(&self) -> Vec<u8> {
        let profile = if self.mono { 0 } else { 1 << 5 };
        let planes = if self.mono { 0b11100 } else { 0 };
        boxed(b"av1C", &[&[0x81, profile | 31, u8::from(self.bits > 8) << 6 | planes, 0]])
    }
}
