//! IPTC, the metadata of press agencies: detects whether a file has it. It is not carried over.

/// The note for a picture with IPTC.
pub(crate) const NOTE: &str = "its IPTC is left out";

/// The prefix of Photoshop's segment in a JPEG.
const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";
/// The number of IPTC among Photoshop's resources.
const IPTC: u16 = 0x0404;

/// Returns whether IPTC is among the resources of a JPEG's APP13 segment, each of which has a number, a name and data,
/// padded to even lengths.
pub(crate) fn is_in(segment: &[u8]) -> bool {
    let Some(mut rest) = segment.strip_prefix(PHOTOSHOP) else { return false };
    while let Some(after) = rest.strip_prefix(b"8BIM") {
        let Some((number, length, data)) = resource(after) else { return false };
        if number == IPTC && length > 0 {
            return true;
        }
        rest = data.get(length.next_multiple_of(2)..).unwrap_or_default();
    }
    false
}

/// Reads a resource's number, the length of its data, and what follows that.
fn resource(bytes: &[u8]) -> Option<(u16, usize, &[u8])> {
    let (number, named) = bytes.split_first_chunk()?;
    let name = (1 + usize::from(*named.first()?)).next_multiple_of(2);
    let (length, data) = named.get(name..)?.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), u32::from_be_bytes(*length) as usize, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_behind_other_resources() {
        let other = b"8BIM\x03\xed\x03abc\0\0\0\x03\x01\x02\x03\0";
        let iptc = b"8BIM\x04\x04\0\0\0\0\0\x05\x1c\x02\x05\0\0\0";
        let whole = [PHOTOSHOP, other, iptc].concat();
        assert!(is_in(&whole) && !is_in(&[PHOTOSHOP, other].concat()) && !is_in(&whole[1..]));
        for length in 0..whole.len() - 6 {
            assert!(!is_in(&whole[..length]), "{length} bytes");
        }
        assert!(!is_in(&[PHOTOSHOP, b"8BIM\x03\xed\0\0\xff\xff\xff\xff\x01"].concat()));
    }
}
