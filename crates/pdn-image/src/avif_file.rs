//! The boxes of an AVIF (ISO 14496-12, 23008-12 and AV1 Image File Format 1.1): one picture of AV1, its alpha, and what is
//! said of it.
//!
//! By code of our own: `avif-serialize` has no place for ICC and XMP, `avif-parse` knows none of ICC, EXIF, rotation and
//! mirroring, and `mp4parse` gives a part of them as pointers.

use crate::Fault;

/// How colours are to be understood, in the numbers of H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodePoints {
    pub(crate) primaries: u16,
    pub(crate) transfer: u16,
    pub(crate) matrix: u16,
    /// Whether black is 0 and white the largest sample.
    pub(crate) full: bool,
}

/// A plane or three, as AV1.
pub(crate) struct Coded {
    pub(crate) data: Vec<u8>,
    pub(crate) bits: u8,
    /// Whether it is one plane, and not three of the same size.
    pub(crate) mono: bool,
}

/// A picture to be written.
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
const ALPHA_IS: &[u8] = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0";
const XMP_IS: &[u8] = b"application/rdf+xml\0";

/// A box: its size, its type and its content.
fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], &content].concat()
}

/// A box with a version and no flags.
fn full(kind: &[u8; 4], version: u8, parts: &[&[u8]]) -> Vec<u8> {
    boxed(kind, &[&[version, 0, 0, 0], &parts.concat()])
}

impl AvifFile {
    /// The bytes of the file.
    pub(crate) fn written(self) -> Result<Vec<u8>, Fault> {
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
        // Where the data begins does not change how long its place is.
        let begin = head.len() + self.meta(&items, 0).len() + 8;
        if u32::try_from(begin + data).is_err() {
            return Err(Fault::written(std::io::Error::other("an AVIF beyond 4 GiB")));
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

    /// What AV1's own header says: profile 0 or 1 (4:4:4), level 31 (none), depth and planes.
    fn configuration(&self) -> Vec<u8> {
        let profile = if self.mono { 0 } else { 1 << 5 };
        let planes = if self.mono { 0b11100 } else { 0 };
        boxed(b"av1C", &[&[0x81, profile | 31, u8::from(self.bits > 8) << 6 | planes, 0]])
    }
}

/// A picture as a file has it.
#[derive(Default)]
pub(crate) struct Found {
    /// As the file says, of what is coded.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// AV1, of the colours.
    pub(crate) colour: Vec<u8>,
    pub(crate) alpha: Option<Vec<u8>>,
    /// Whether colours are multiplied by alpha.
    pub(crate) multiplied: bool,
    pub(crate) points: Option<CodePoints>,
    pub(crate) icc: Option<Vec<u8>>,
    /// EXIF as a TIFF's structure.
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) xmp: bool,
    /// Quarters of a turn against the clock, to be shown.
    pub(crate) turns: u8,
    /// After that: whether top and bottom are exchanged, or else left and right.
    pub(crate) mirrored: Option<bool>,
    /// Whether it moves.
    pub(crate) moves: bool,
}

/// A part of the file, read from its begin on.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    /// A number of so many bytes, up to 8.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn short(&mut self) -> Option<u16> {
        Some(self.number(2)? as u16)
    }

    /// Version and flags.
    fn version(&mut self) -> Option<(u8, u32)> {
        let number = self.number(4)?;
        Some(((number >> 24) as u8, number as u32 & 0xff_ffff))
    }

    /// The next box: its type and its content; one that is cut short ends where the file does.
    fn next_box(&mut self) -> Option<([u8; 4], Self)> {
        let size = self.number(4)?;
        let kind = *self.take(4)?.first_chunk()?;
        let size = match size {
            0 => self.0.len() as u64,
            1 => self.number(8)?.checked_sub(16)?,
            size => size.checked_sub(8)?,
        };
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(self.0.len());
        self.take(length).map(|content| (kind, Self(content)))
    }

    fn boxes(mut self) -> impl Iterator<Item = ([u8; 4], Self)> {
        std::iter::from_fn(move || self.next_box())
    }

    fn child(self, kind: &[u8; 4]) -> Option<Self> {
        self.boxes().find(|(found, _)| found == kind).map(|(_, content)| content)
    }

    /// The text up to a zero byte.
    fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1).map(|_| text)
    }
}

/// An item's place: what it counts from (0 is the file, 1 the box `idat`), and its parts.
struct Place {
    id: u32,
    method: u64,
    parts: Vec<(u64, u64)>,
}

/// What an item is and, where its kind is `mime`, of which kind.
struct Kind<'a> {
    id: u32,
    kind: [u8; 4],
    said: &'a [u8],
}

/// What the box `meta` has.
struct Meta<'a> {
    file: &'a [u8],
    inner: &'a [u8],
    places: Vec<Place>,
    kinds: Vec<Kind<'a>>,
    /// References: their kind, from where, to where.
    references: Vec<([u8; 4], u32, u32)>,
    properties: Vec<([u8; 4], Bytes<'a>)>,
    /// Which property each item has, from 1 on, and whether one must understand it.
    owned: Vec<(u32, usize, bool)>,
}

fn unsupported(what: &str) -> Fault {
    Fault::Unsupported(format!("an AVIF {what}"))
}

fn damaged(what: &str) -> Fault {
    Fault::Damaged(format!("an AVIF {what}"))
}

impl Found {
    /// What a file has.
    pub(crate) fn read(file: &[u8]) -> Result<Self, Fault> {
        let mut meta = Bytes(file).child(b"meta").ok_or_else(|| damaged("without its table of contents"))?;
        meta.version().ok_or_else(|| damaged("without its table of contents"))?;
        let primary = meta.child(b"pitm").and_then(|mut pitm| {
            let (version, _) = pitm.version()?;
            pitm.number(if version == 0 { 2 } else { 4 })
        });
        let primary = primary.ok_or_else(|| unsupported("that is a film alone"))? as u32;
        let meta = Meta::of(file, meta).ok_or_else(|| damaged("whose table of contents is damaged"))?;
        let mut found = Self { moves: Bytes(file).child(b"moov").is_some(), ..Self::default() };
        match meta.kind(primary).map(|found| &found.kind) {
            Some(b"av01") => {}
            Some(b"grid") => return Err(unsupported("of several tiles, a grid: save it as one picture")),
            _ => return Err(unsupported("whose picture is not AV1")),
        }
        found.colour = meta.data(primary)?;
        found.describe(&meta, primary)?;
        let alpha = meta.referring(b"auxl", primary).find(|item| {
            let says = |content: &Bytes| content.0.get(4..).is_some_and(|name| name.starts_with(ALPHA_IS));
            meta.properties_of(*item).any(|(kind, content, _)| kind == b"auxC" && says(&content))
        });
        if let Some(alpha) = alpha {
            found.alpha = Some(meta.data(alpha)?);
            found.multiplied = meta.references.contains(&(*b"prem", primary, alpha));
        }
        for item in meta.referring(b"cdsc", primary) {
            match meta.kind(item).map(|found| (&found.kind, found.said)) {
                Some((b"Exif", _)) => found.exif = meta.data(item).ok().and_then(|data| tiff_of(&data)),
                Some((b"mime", b"application/rdf+xml")) => found.xmp = true,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Reads what is said of the colours.
    fn describe(&mut self, meta: &Meta, primary: u32) -> Result<(), Fault> {
        for (kind, mut content, essential) in meta.properties_of(primary) {
            let read = match kind {
                b"ispe" => content.version().and_then(|_| {
                    (self.width, self.height) = (content.number(4)? as u32, content.number(4)? as u32);
                    Some(())
                }),
                b"colr" => self.colours(content),
                b"irot" => content.number(1).map(|turns| self.turns = turns as u8 & 3),
                b"imir" => content.number(1).map(|axis| self.mirrored = Some(axis & 1 == 0)),
                b"clap" => return Err(unsupported("of which a part alone is to be shown: crop it beforehand")),
                b"av1C" | b"pixi" | b"pasp" => Some(()),
                _ if essential => {
                    let name = String::from_utf8_lossy(kind);
                    return Err(unsupported(&format!(
                        "with a property that is not known here, {}",
                        name.escape_debug()
                    )));
                }
                _ => Some(()),
            };
            read.ok_or_else(|| damaged("whose properties are damaged"))?;
        }
        Ok(())
    }

    fn colours(&mut self, mut content: Bytes) -> Option<()> {
        match content.take(4)? {
            b"nclx" => {
                let [primaries, transfer, matrix] = [content.short()?, content.short()?, content.short()?];
                self.points = Some(CodePoints { primaries, transfer, matrix, full: content.number(1)? & 0x80 != 0 });
            }
            b"prof" | b"rICC" => self.icc = Some(content.0.to_vec()),
            _ => {}
        }
        Some(())
    }
}

/// EXIF's block, behind the word on where it begins.
fn tiff_of(data: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Bytes(data);
    let before = rest.number(4)?;
    rest.take(usize::try_from(before).ok()?)?;
    Some(rest.0.to_vec())
}

impl<'a> Meta<'a> {
    fn of(file: &'a [u8], meta: Bytes<'a>) -> Option<Self> {
        let properties = meta.child(b"iprp")?;
        Some(Self {
            file,
            inner: meta.child(b"idat").map_or(&[], |idat| idat.0),
            places: places(meta.child(b"iloc")?)?,
            kinds: kinds(meta.child(b"iinf")?)?,
            references: meta.child(b"iref").map_or(Some(Vec::new()), references)?,
            properties: properties.child(b"ipco")?.boxes().collect(),
            owned: owned(properties.child(b"ipma")?)?,
        })
    }

    fn kind(&self, item: u32) -> Option<&Kind<'a>> {
        self.kinds.iter().find(|kind| kind.id == item)
    }

    /// The items that refer to one.
    fn referring(&self, kind: &'static [u8; 4], to: u32) -> impl Iterator<Item = u32> {
        self.references
            .iter()
            .filter(move |reference| (&reference.0, reference.2) == (kind, to))
            .map(|(_, from, _)| *from)
    }

    fn properties_of(&self, item: u32) -> impl Iterator<Item = (&[u8; 4], Bytes<'a>, bool)> {
        let owned = self.owned.iter().filter(move |(id, ..)| *id == item);
        owned.filter_map(|(_, number, essential)| {
            let (kind, content) = self.properties.get(number.checked_sub(1)?)?;
            Some((kind, *content, *essential))
        })
    }

    /// An item's data, its parts one after the other.
    fn data(&self, item: u32) -> Result<Vec<u8>, Fault> {
        let place = self.places.iter().find(|place| place.id == item);
        let place = place.ok_or_else(|| damaged("whose data has no place"))?;
        let from = match place.method {
            0 => self.file,
            1 => self.inner,
            _ => return Err(unsupported("whose data is put together from other items")),
        };
        let mut data = Vec::new();
        for (begin, length) in &place.parts {
            let rest = usize::try_from(*begin).ok().and_then(|begin| from.get(begin..));
            // No length is all the rest.
            let part = rest
                .and_then(|rest| if *length == 0 { Some(rest) } else { rest.get(..usize::try_from(*length).ok()?) });
            data.extend(part.ok_or_else(|| Fault::Damaged("its end is missing".into()))?);
            if data.len() > self.file.len() {
                return Err(damaged("whose data would be more than the file"));
            }
        }
        Ok(data)
    }
}

/// The box `iloc`.
fn places(mut iloc: Bytes) -> Option<Vec<Place>> {
    let (version, _) = iloc.version()?;
    let sizes = iloc.short()?;
    let size = |at: u16| usize::from(sizes >> at & 15);
    let count = iloc.number(if version < 2 { 2 } else { 4 })?;
    let mut places = Vec::new();
    for _ in 0..count {
        let id = iloc.number(if version < 2 { 2 } else { 4 })? as u32;
        let method = if version == 0 { 0 } else { iloc.number(2)? & 15 };
        // Of which file: this one.
        iloc.take(2)?;
        let base = iloc.number(size(4).min(8))?;
        let mut parts = Vec::new();
        for _ in 0..iloc.short()? {
            iloc.take(if version == 0 { 0 } else { size(0) })?;
            let begin = base.checked_add(iloc.number(size(12).min(8))?)?;
            parts.push((begin, iloc.number(size(8).min(8))?));
        }
        places.push(Place { id, method, parts });
    }
    Some(places)
}

/// The box `iinf`.
fn kinds(mut iinf: Bytes<'_>) -> Option<Vec<Kind<'_>>> {
    let (version, _) = iinf.version()?;
    iinf.take(if version == 0 { 2 } else { 4 })?;
    let mut kinds = Vec::new();
    for (_, mut entry) in iinf.boxes().filter(|(kind, _)| kind == b"infe") {
        let (version, _) = entry.version()?;
        if version < 2 {
            continue;
        }
        let id = entry.number(if version == 2 { 2 } else { 4 })? as u32;
        entry.take(2)?;
        let kind = *entry.take(4)?.first_chunk()?;
        let said = entry.text().and_then(|_| entry.text()).unwrap_or_default();
        kinds.push(Kind { id, kind, said });
    }
    Some(kinds)
}

/// The box `iref`.
fn references(mut iref: Bytes) -> Option<Vec<([u8; 4], u32, u32)>> {
    let (version, _) = iref.version()?;
    let id = |bytes: &mut Bytes| Some(bytes.number(if version == 0 { 2 } else { 4 })? as u32);
    let mut references = Vec::new();
    for (kind, mut content) in iref.boxes() {
        let from = id(&mut content)?;
        for _ in 0..content.short()? {
            references.push((kind, from, id(&mut content)?));
        }
    }
    Some(references)
}

/// The box `ipma`.
fn owned(mut ipma: Bytes) -> Option<Vec<(u32, usize, bool)>> {
    let (version, flags) = ipma.version()?;
    let wide = flags & 1 != 0;
    let mut owned = Vec::new();
    for _ in 0..ipma.number(4)? {
        let id = ipma.number(if version == 0 { 2 } else { 4 })? as u32;
        for _ in 0..ipma.number(1)? {
            let number = ipma.number(if wide { 2 } else { 1 })?;
            let essential = if wide { 0x8000 } else { 0x80 };
            owned.push((id, (number & (essential - 1)) as usize, number & essential != 0));
        }
    }
    Some(owned)
}
