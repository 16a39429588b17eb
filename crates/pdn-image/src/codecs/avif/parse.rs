//! A parser for the boxes of an AVIF. Time and memory grow with the file's length alone: each table is walked once,
//! however long it claims to be, and what it refers to is looked up.

use crate::Fault;
use crate::codecs::avif::serialize::{ALPHA_IS, CodePoints};
use std::collections::{BTreeMap, BTreeSet};

/// A picture as the file describes it.
#[derive(Default)]
pub(crate) struct ParsedAvif<'a> {
    /// Size of the coded picture, as the file states it.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The AV1 data of the colours.
    pub(crate) colour: Vec<u8>,
    pub(crate) alpha: Option<Vec<u8>>,
    /// Whether colours are premultiplied by alpha.
    pub(crate) multiplied: bool,
    pub(crate) points: Option<CodePoints>,
    pub(crate) icc: Option<&'a [u8]>,
    /// EXIF, as a TIFF structure.
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) xmp: bool,
    /// Anticlockwise quarter turns for display.
    pub(crate) turns: u8,
    /// A mirroring after the rotation: `true` exchanges top and bottom, `false` left and right.
    pub(crate) mirrored: Option<bool>,
    /// Whether the file is an animation.
    pub(crate) moves: bool,
}

/// A part of the file, read from its beginning.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    /// Reads a number of up to 8 bytes.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn short(&mut self) -> Option<u16> {
        Some(self.number(2)? as u16)
    }

    /// Reads a version and flags.
    fn version(&mut self) -> Option<(u8, u32)> {
        let number = self.number(4)?;
        Some(((number >> 24) as u8, number as u32 & 0xff_ffff))
    }

    /// Reads the next box: its type and its content. A truncated box ends where the file does.
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

    /// Reads text up to a zero byte.
    fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1).map(|_| text)
    }
}

/// The location of an item: what its offsets count from (0 is the file, 1 the box `idat`), and its extents.
struct Place<'a> {
    method: u64,
    base: u64,
    /// The sizes in bytes of the index, offset and length of each extent.
    sizes: [usize; 3],
    parts: Bytes<'a>,
    count: u16,
}

/// An item's type and, if that is `mime`, its content type.
struct Kind<'a> {
    kind: [u8; 4],
    said: &'a [u8],
}

/// The content of the box `meta`, keyed by item where items are looked up.
struct Meta<'a> {
    file: &'a [u8],
    inner: &'a [u8],
    places: BTreeMap<u32, Place<'a>>,
    kinds: BTreeMap<u32, Kind<'a>>,
    /// References: type, from item, to item.
    references: Vec<([u8; 4], u32, u32)>,
    properties: Vec<([u8; 4], Bytes<'a>)>,
    /// The properties of the items: item, property index from 1, and whether the property is essential. One item's
    /// properties are contiguous.
    owned: Vec<(u32, u16, bool)>,
}

fn unsupported(what: &str) -> Fault {
    Fault::Unsupported(format!("an AVIF {what}"))
}

fn damaged(what: &str) -> Fault {
    Fault::Damaged(format!("an AVIF {what}"))
}

impl<'a> ParsedAvif<'a> {
    /// Parses a file.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, Fault> {
        let mut meta = Bytes(file).child(b"meta").ok_or_else(|| damaged("without its table of contents"))?;
        meta.version().ok_or_else(|| damaged("without its table of contents"))?;
        let primary = meta.child(b"pitm").and_then(|mut pitm| {
            let (version, _) = pitm.version()?;
            pitm.number(if version == 0 { 2 } else { 4 })
        });
        let primary = primary.ok_or_else(|| unsupported("that holds only a video"))? as u32;
        let meta = Meta::of(file, meta).ok_or_else(|| damaged("whose table of contents is damaged"))?;
        let mut found = Self { moves: Bytes(file).child(b"moov").is_some(), ..Self::default() };
        match meta.kind(primary).map(|found| &found.kind) {
            Some(b"av01") => {}
            Some(b"grid") => return Err(unsupported("split into a grid of tiles; save it as one picture")),
            _ => return Err(unsupported("whose picture is not AV1")),
        }
        found.colour = meta.data(primary)?;
        found.describe(&meta, primary)?;
        let alpha = meta.referring(b"auxl", primary).into_iter().find(|item| {
            let says = |content: &Bytes| content.0.get(4..).is_some_and(|name| name.starts_with(ALPHA_IS));
            meta.properties_of(*item).any(|(kind, content, _)| kind == b"auxC" && says(&content))
        });
        if let Some(alpha) = alpha {
            found.alpha = Some(meta.data(alpha)?);
            found.multiplied = meta.references.contains(&(*b"prem", primary, alpha));
        }
        for item in meta.referring(b"cdsc", primary) {
            match meta.kind(item).map(|found| (&found.kind, found.said)) {
                // Keep the first: another would cost a further copy.
                Some((b"Exif", _)) if found.exif.is_none() => {
                    found.exif = Some(meta.data(item).ok().and_then(|data| tiff_of(&data)).unwrap_or_default());
                }
                Some((b"mime", b"application/rdf+xml")) => found.xmp = true,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Reads the properties of the colour item.
    fn describe(&mut self, meta: &Meta<'a>, primary: u32) -> Result<(), Fault> {
        for (kind, mut content, essential) in meta.properties_of(primary) {
            let read = match kind {
                b"ispe" => content.version().and_then(|_| {
                    (self.width, self.height) = (content.number(4)? as u32, content.number(4)? as u32);
                    Some(())
                }),
                b"colr" => self.colours(content),
                b"irot" => content.number(1).map(|turns| self.turns = turns as u8 & 3),
                b"imir" => content.number(1).map(|axis| self.mirrored = Some(axis & 1 == 0)),
                b"clap" => return Err(unsupported("with a crop (clap); crop it before")),
                b"av1C" | b"pixi" | b"pasp" => Some(()),
                _ if essential => {
                    let name = String::from_utf8_lossy(kind);
                    return Err(unsupported(&format!("with an unknown property, {}", name.escape_debug())));
                }
                _ => Some(()),
            };
            read.ok_or_else(|| damaged("whose properties are damaged"))?;
        }
        Ok(())
    }

    fn colours(&mut self, mut content: Bytes<'a>) -> Option<()> {
        match content.take(4)? {
            b"nclx" => {
                let [primaries, transfer, matrix] = [content.short()?, content.short()?, content.short()?];
                self.points = Some(CodePoints { primaries, transfer, matrix, full: content.number(1)? & 0x80 != 0 });
            }
            b"prof" | b"rICC" => self.icc = Some(content.0),
            _ => {}
        }
        Some(())
    }
}

/// Returns the EXIF block that follows the field with its offset.
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
        self.kinds.get(&item)
    }

    /// Returns the items that refer to `to`.
    fn referring(&self, kind: &'static [u8; 4], to: u32) -> BTreeSet<u32> {
        let found = self.references.iter().filter(|reference| (&reference.0, reference.2) == (kind, to));
        found.map(|(_, from, _)| *from).collect()
    }

    fn properties_of(&self, item: u32) -> impl Iterator<Item = (&[u8; 4], Bytes<'a>, bool)> {
        let begin = self.owned.partition_point(|(id, ..)| *id < item);
        let owned = self.owned[begin..].iter().take_while(move |(id, ..)| *id == item);
        owned.filter_map(|(_, number, essential)| {
            let (kind, content) = self.properties.get(usize::from(*number).checked_sub(1)?)?;
            Some((kind, *content, *essential))
        })
    }

    /// Returns an item's data: its extents, concatenated.
    fn data(&self, item: u32) -> Result<Vec<u8>, Fault> {
        let place = self.places.get(&item).ok_or_else(|| damaged("whose data has no place"))?;
        let from = match place.method {
            0 => self.file,
            1 => self.inner,
            _ => return Err(unsupported("whose data is assembled from other items")),
        };
        let mut data = Vec::new();
        for part in place.parts() {
            let (begin, length) = part.ok_or_else(|| damaged("whose table of contents is damaged"))?;
            let rest = usize::try_from(begin).ok().and_then(|begin| from.get(begin..));
            // Without a length, the extent takes up all the rest.
            let part =
                rest.and_then(|rest| if length == 0 { Some(rest) } else { rest.get(..usize::try_from(length).ok()?) });
            let part = part.ok_or_else(Fault::truncated)?;
            if data.len() + part.len() > self.file.len() {
                return Err(damaged("whose data exceeds the file"));
            }
            data.extend(part);
        }
        Ok(data)
    }
}

impl Place<'_> {
    /// Iterates over the extents as offset and length; yields `None` for one without a valid offset.
    fn parts(&self) -> impl Iterator<Item = Option<(u64, u64)>> {
        let mut parts = self.parts;
        (0..self.count).map(move |_| {
            parts.take(self.sizes[0])?;
            let begin = self.base.checked_add(parts.number(self.sizes[1])?)?;
            Some((begin, parts.number(self.sizes[2])?))
        })
    }
}

/// Parses the box `iloc`. If an item occurs twice, the first counts.
fn places(mut iloc: Bytes<'_>) -> Option<BTreeMap<u32, Place<'_>>> {
    let (version, _) = iloc.version()?;
    let sizes = iloc.short()?;
    let size = |at: u16| usize::from(sizes >> at & 15);
    let sizes = [if version == 0 { 0 } else { size(0) }, size(12).min(8), size(8).min(8)];
    let count = iloc.number(if version < 2 { 2 } else { 4 })?;
    let mut places = BTreeMap::new();
    for _ in 0..count {
        let id = iloc.number(if version < 2 { 2 } else { 4 })? as u32;
        let method = if version == 0 { 0 } else { iloc.number(2)? & 15 };
        // The index of the file that holds the data: this one.
        iloc.take(2)?;
        let base = iloc.number(size(4).min(8))?;
        let count = iloc.short()?;
        let parts = Bytes(iloc.take(usize::from(count) * sizes.iter().sum::<usize>())?);
        // Extents without fields are all the same.
        let count = if parts.0.is_empty() { count.min(1) } else { count };
        places.entry(id).or_insert(Place { method, base, sizes, parts, count });
    }
    Some(places)
}

/// Parses the box `iinf`. If an item occurs twice, the first counts.
fn kinds(mut iinf: Bytes<'_>) -> Option<BTreeMap<u32, Kind<'_>>> {
    let (version, _) = iinf.version()?;
    iinf.take(if version == 0 { 2 } else { 4 })?;
    let mut kinds = BTreeMap::new();
    for (_, mut entry) in iinf.boxes().filter(|(kind, _)| kind == b"infe") {
        let (version, _) = entry.version()?;
        if version < 2 {
            continue;
        }
        let id = entry.number(if version == 2 { 2 } else { 4 })? as u32;
        entry.take(2)?;
        let kind = *entry.take(4)?.first_chunk()?;
        let said = entry.text().and_then(|_| entry.text()).unwrap_or_default();
        kinds.entry(id).or_insert(Kind { kind, said });
    }
    Some(kinds)
}

/// Parses the box `iref`.
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

/// Parses the box `ipma`. The properties of an item stay together and in order.
fn owned(mut ipma: Bytes) -> Option<Vec<(u32, u16, bool)>> {
    let (version, flags) = ipma.version()?;
    let wide = flags & 1 != 0;
    let mut owned = Vec::new();
    for _ in 0..ipma.number(4)? {
        let id = ipma.number(if version == 0 { 2 } else { 4 })? as u32;
        for _ in 0..ipma.number(1)? {
            let number = ipma.number(if wide { 2 } else { 1 })?;
            let essential = if wide { 0x8000 } else { 0x80 };
            owned.push((id, (number & (essential - 1)) as u16, number & essential != 0));
        }
    }
    owned.sort_by_key(|(id, ..)| *id);
    Some(owned)
}
