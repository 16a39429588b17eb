//! JPEG markers: what precedes the data, and whether the data is complete.

use crate::metadata::iptc;
use crate::{Fault, Resolution};
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// What a JPEG states before its data.
#[derive(Default)]
pub(crate) struct JpegHeader {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) components: u8,
    /// Whether there is an Adobe marker: CMYK is then stored inverted, as the decoder assumes.
    pub(crate) adobe: bool,
    pub(crate) resolution: Option<Resolution>,
    pub(crate) iptc: bool,
}

/// Bytes of a segment to inspect, except in APP13, where IPTC may be anywhere.
const LOOKED_AT: u16 = 12;
/// The most scans: each covers the whole picture again, however few bytes it has. Encoders write ten.
const SCANS: usize = 50;
/// The prefix of extended XMP: once it is present, the decoder goes over all its segments at every further one.
const PIECE_OF_XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/";
/// How often a piece may be gone over, for each byte of the file's head: real files are far below one.
const LOOKS: usize = 4;

impl JpegHeader {
    /// Reads the markers.
    ///
    /// Fails if no end marker follows the data. The decoder would fill what is missing with grey, which would pass for
    /// a picture.
    pub(crate) fn read(file: &mut (impl BufRead + Seek)) -> Result<Self, Fault> {
        file.seek(SeekFrom::Start(2)).map_err(Fault::on_read)?;
        let mut head = Self::default();
        let (mut bytes, mut pieces, mut looks) = (1 << 20, 0, 0);
        loop {
            let Some((marker, length)) = segment(file).map_err(Fault::on_read)? else { return Err(Fault::truncated()) };
            let looked_at = match marker {
                0xed => length,
                0xe1 => length.min(PIECE_OF_XMP.len() as u16),
                _ => length.min(LOOKED_AT),
            };
            let mut begin = vec![0; usize::from(looked_at)];
            if !fills(file, &mut begin).map_err(Fault::on_read)? {
                return Err(Fault::truncated());
            }
            head.take(marker, &begin);
            pieces += usize::from(marker == 0xe1 && begin == PIECE_OF_XMP);
            bytes += LOOKS * (usize::from(length) + 4);
            looks += pieces;
            if looks > bytes {
                return Err(Fault::Damaged("its XMP is in too many pieces".into()));
            }
            file.seek_relative(i64::from(length - looked_at)).map_err(Fault::on_read)?;
            if marker == SCAN {
                return head.whole(file);
            }
        }
    }

    /// Returns the header if the end marker follows after no more scans than the limit.
    fn whole(self, file: &mut (impl BufRead + Seek)) -> Result<Self, Fault> {
        let mut scans = 1;
        loop {
            match marker_in_data(file).map_err(Fault::on_read)? {
                None => return Err(Fault::truncated()),
                Some(END) => return Ok(self),
                Some(SCAN) if scans == SCANS => {
                    return Err(Fault::Damaged(format!("a JPEG of more than {SCANS} scans")));
                }
                Some(SCAN) => scans += 1,
                // Tables and comments between scans, which may hold any bytes.
                Some(0xc4 | 0xdb | 0xdd | 0xe0..=0xef | 0xfe) => {
                    let Some(length) = length(file).map_err(Fault::on_read)? else { return Err(Fault::truncated()) };
                    file.seek_relative(length.into()).map_err(Fault::on_read)?;
                }
                Some(_) => {}
            }
        }
    }

    fn take(&mut self, marker: u8, begin: &[u8]) {
        match (marker, begin) {
            // A two-byte version precedes the unit.
            (0xe0, [b'J', b'F', b'I', b'F', 0, _, _, unit, a, b, c, d, ..]) => {
                let number = |high: u8, low: u8| u16::from_be_bytes([high, low]);
                self.resolution = Resolution::of_jfif(*unit, number(*a, *b), number(*c, *d));
            }
            (0xed, segment) => self.iptc |= iptc::is_in(segment),
            (0xee, _) => self.adobe |= begin.starts_with(b"Adobe"),
            (0xc4 | 0xc8 | 0xcc, _) => {}
            // The precision precedes them.
            (0xc0..=0xcf, [_, a, b, c, d, components, ..]) => {
                (self.height, self.width) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                self.components = *components;
            }
            _ => {}
        }
    }
}

const SCAN: u8 = 0xda;
const END: u8 = 0xd9;

/// Reads the next marker, after any number of fill bytes (ITU-T T.81, B.1.1.2), and the length of its data.
fn segment(file: &mut impl BufRead) -> io::Result<Option<(u8, u16)>> {
    let mut byte = [0; 1];
    if !fills(file, &mut byte)? || byte != [0xff] {
        return Ok(None);
    }
    while byte == [0xff] {
        if !fills(file, &mut byte)? {
            return Ok(None);
        }
    }
    Ok(length(file)?.map(|length| (byte[0], length)))
}

/// Reads how many bytes of a segment follow.
fn length(file: &mut impl Read) -> io::Result<Option<u16>> {
    let mut length = [0; 2];
    let filled = fills(file, &mut length)?;
    Ok(u16::from_be_bytes(length).checked_sub(2).filter(|_| filled))
}

/// Fills the buffer; returns `false` if the file ends first.
fn fills(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// Returns the next marker within coded data, where a stuffed 0 follows each 0xFF byte.
fn marker_in_data(file: &mut impl BufRead) -> io::Result<Option<u8>> {
    let mut last = 0;
    loop {
        let data = file.fill_buf()?;
        let Some(&end) = data.last() else { return Ok(None) };
        let pairs = std::iter::once(&last).chain(data).zip(data);
        let is_marker = |(first, second): (&u8, &u8)| *first == 0xff && !matches!(second, 0 | 0xff | 0xd0..=0xd7);
        if let Some(at) = pairs.into_iter().position(is_marker) {
            let marker = data[at];
            file.consume(at + 1);
            return Ok(Some(marker));
        }
        last = end;
        let length = data.len();
        file.consume(length);
    }
}
