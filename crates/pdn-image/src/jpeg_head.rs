//! What a JPEG says before its data, and whether its data has an end.

use crate::{Resolution, iptc};
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// What a JPEG says before its data.
pub(crate) struct JpegHead {
    pub(crate) components: u8,
    /// Whether Adobe's marker is there: inks are then stored inverted, as the decoder takes them to be.
    pub(crate) adobe: bool,
    pub(crate) resolution: Option<Resolution>,
    pub(crate) iptc: bool,
}

/// Bytes of a segment that are looked at, but of APP13, where IPTC may stand anywhere.
const LOOKED_AT: u16 = 12;

impl JpegHead {
    /// Nothing where the data is not followed by the end marker. The decoder fills what is missing with grey, which would be
    /// taken for a picture.
    pub(crate) fn read(file: &mut (impl BufRead + Seek)) -> io::Result<Option<Self>> {
        file.seek(SeekFrom::Start(2))?;
        let mut head = Self { components: 0, adobe: false, resolution: None, iptc: false };
        loop {
            let Some(marker) = marker(file)? else { return Ok(None) };
            let mut length = [0; 2];
            if !fills(file, &mut length)? {
                return Ok(None);
            }
            let Some(length) = u16::from_be_bytes(length).checked_sub(2) else { return Ok(None) };
            let mut begin = vec![0; usize::from(if marker == 0xed { length } else { length.min(LOOKED_AT) })];
            if !fills(file, &mut begin)? {
                return Ok(None);
            }
            head.take(marker, &begin);
            file.seek_relative(i64::from(length) - begin.len() as i64)?;
            if marker == 0xda {
                return Ok(ends(file)?.then_some(head));
            }
        }
    }

    fn take(&mut self, marker: u8, begin: &[u8]) {
        match (marker, begin) {
            // A version of two bytes comes before the unit.
            (0xe0, [b'J', b'F', b'I', b'F', 0, _, _, unit, a, b, c, d, ..]) => {
                let number = |high: u8, low: u8| u16::from_be_bytes([high, low]);
                self.resolution = Resolution::of_jfif(*unit, number(*a, *b), number(*c, *d));
            }
            (0xed, segment) => self.iptc |= iptc::is_in(segment),
            (0xee, _) => self.adobe |= begin.starts_with(b"Adobe"),
            (0xc4 | 0xc8 | 0xcc, _) => {}
            // Precision, height and width come before the number of components.
            (0xc0..=0xcf, [_, _, _, _, _, components, ..]) => self.components = *components,
            _ => {}
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
fn fills(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
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
