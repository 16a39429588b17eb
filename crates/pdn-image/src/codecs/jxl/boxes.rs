//! The boxes of a JPEG XL (ISO 18181-2), some of which the decoder inflates without a limit.

use crate::Fault;
use crate::codecs::decoded::LARGE_EXIF;
use crate::limits::Budget;
use brotli_decompressor::Decompressor;
use std::io::{BufRead, Read};

/// Bytes to inflate at once.
const PIECE: usize = 4096;

/// Reads a file, skipping compressed boxes beyond the metadata budget; the note says so.
pub(crate) fn read(file: impl BufRead, budget: &mut Budget) -> Result<(Vec<u8>, Option<&'static str>), Fault> {
    let mut bytes = Vec::new();
    file.take(budget.decoder()).read_to_end(&mut bytes).map_err(Fault::on_read)?;
    let (mut at, mut left) = (0, budget.metadata());
    let mut large = None;
    while let Some((kind, begin, end)) = next_box(&bytes, at) {
        // The content begins with the type of the compressed box.
        let content = bytes.get(begin + 4..end).unwrap_or_default();
        if &kind == b"brob" {
            left = inflated(content, left).and_then(|length| left.checked_sub(length)).unwrap_or_else(|| {
                large = Some(LARGE_EXIF);
                0
            });
            if large.is_some() {
                bytes[at + 4..at + 8].copy_from_slice(b"skip");
            }
        }
        at = end;
    }
    Ok((bytes, large))
}

/// Returns the inflated length, or `None` if it exceeds `most`.
fn inflated(content: &[u8], most: u64) -> Option<u64> {
    let mut inflated = Decompressor::new(content, PIECE);
    let (mut piece, mut length) = ([0; PIECE], 0);
    // Stop at damaged data, as the decoder does.
    while let Ok(count @ 1..) = inflated.read(&mut piece) {
        length += count as u64;
        if length > most {
            return None;
        }
    }
    Some(length)
}

/// Returns a box's type, and where its content begins and ends. A truncated box ends where the file does. Returns
/// `None` at the end, and if the file has no boxes.
fn next_box(bytes: &[u8], at: usize) -> Option<([u8; 4], usize, usize)> {
    let rest = bytes.get(at..)?;
    let size = u32::from_be_bytes(*rest.first_chunk()?);
    let kind = *rest.get(4..)?.first_chunk()?;
    let (head, size) = match size {
        0 => (8, rest.len()),
        1 => (16, usize::try_from(u64::from_be_bytes(*rest.get(8..)?.first_chunk()?)).unwrap_or(usize::MAX)),
        size => (8, size as usize),
    };
    (size >= head && rest.len() >= head).then(|| (kind, at + head, at + size.min(rest.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn boxed(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        [&(data.len() as u32 + 8).to_be_bytes(), &kind[..], data].concat()
    }

    #[test]
    fn what_inflates_beyond_the_budget_is_passed_over() {
        // A run of zeros compressed by Brotli: 17 MiB, and one byte.
        let large = b"\xcb\xff\xff\x3f\x00\x24\x00\xe2\xb1\x40\x72\xef\xff\xf8\xff\xff\x07\x80\x04\x40\x1c\x16\x80\xee\xfd\x5f\xfd\xff\x3f\x00\x09\x80\x38\x2c\x00\xdd\xfb\x07";
        let small = b"\x0b\x00\x80\x00\x03";
        assert_eq!((inflated(small, 1), inflated(large, 17 << 20)), (Some(1), Some(17 << 20)));
        let brotli = |data: &[u8]| boxed(b"brob", &[b"Exif", data].concat());
        let parts = |data: &[u8]| [boxed(b"JXL ", b"\r\n\x87\n"), brotli(small), brotli(data), brotli(small)].concat();
        for (file, said) in [(parts(small), None), (parts(large), Some(LARGE_EXIF))] {
            let mut budget = Budget::new(&Limits::default(), file.len() as u64);
            let (read, large) = read(&file[..], &mut budget).unwrap();
            assert_eq!((large, read.len()), (said, file.len()));
            let left = read.windows(4).filter(|name| name == b"brob").count();
            // No budget is left after the box that is too large.
            assert_eq!(left, if said.is_some() { 1 } else { 3 });
        }
        for length in 0..parts(small).len() {
            let cut = &parts(small)[..length];
            assert_eq!(read(cut, &mut Budget::new(&Limits::default(), 1)).unwrap().0, cut);
        }
    }
}
