//! The boxes of a JPEG XL (ISO 18181-2), of which its decoder inflates some without a bound.

use crate::Fault;
use crate::budget::Budget;
use crate::decoded::LARGE_EXIF;
use crate::read::unreadable;
use brotli_decompressor::Decompressor;
use std::io::{BufRead, Read};

/// Bytes that are inflated at once.
const PIECE: usize = 4096;

/// A file, whose compressed boxes that are beyond the budget of metadata are passed over, which is said.
pub(crate) fn read(file: impl BufRead, budget: &mut Budget) -> Result<(Vec<u8>, Option<&'static str>), Fault> {
    let mut bytes = Vec::new();
    file.take(budget.decoder()).read_to_end(&mut bytes).map_err(unreadable)?;
    let (mut at, mut left) = (0, budget.metadata());
    let mut large = None;
    while let Some((kind, begin, end)) = next_box(&bytes, at) {
        // It begins with the type of what is compressed.
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

/// How many bytes are compressed there; nothing where they are more than allowed.
fn inflated(content: &[u8], most: u64) -> Option<u64> {
    let mut inflated = Decompressor::new(content, PIECE);
    let (mut piece, mut length) = ([0; PIECE], 0);
    // At what is damaged it ends, as the decoder does.
    while let Ok(count @ 1..) = inflated.read(&mut piece) {
        length += count as u64;
        if length > most {
            return None;
        }
    }
    Some(length)
}

/// A box's type, and where its content begins and ends; one that is cut short ends where the file does. Nothing at the end, and
/// where the file has no boxes.
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
