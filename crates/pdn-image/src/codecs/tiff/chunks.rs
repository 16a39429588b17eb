//! The strips or tiles of a TIFF, decoded one by one: each is checked against what the file says of it.

use crate::Fault;
use crate::codecs::jpeg::header::JpegHeader;
use crate::codecs::tiff::ifd::TiffFile;
use crate::codecs::tiff::{MOST_BYTES, fault, unsupported};
use crate::limits::Budget;
use std::io::{Cursor, Read, Seek, SeekFrom};
use tiff::decoder::{BufferLayoutPreference, ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::{Tag, Type, ValueBuffer};

/// Pixels that a picture with its tile padding may have on top of four times the limit: a small picture may have a large
/// tile.
const TILE: u64 = 1 << 24;
/// The compression methods that matter here.
const NONE: u16 = 1;
const JPEG: u16 = 7;
/// A JPEG's sides may be padded to a multiple of this many pixels.
const JPEG_BLOCK: u32 = 16;

fn damaged() -> Fault {
    Fault::Damaged("its directory is damaged".into())
}

/// Returns a decoder's limits for what it holds at once. The part that the decoder gets bounds how much it reads.
pub(crate) fn limits(bytes: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.decoding_buffer_size = usize::try_from(bytes).unwrap_or(usize::MAX);
    limits
}

/// Where the chunks of a picture are in its file.
struct Chunks {
    offsets: Vec<u64>,
    lengths: Vec<u64>,
    compression: u16,
    /// The tables that precede each JPEG.
    tables: Vec<u8>,
    /// Width of a chunk, including padding.
    width: u32,
    height: u32,
}

/// Decodes the samples of a picture, plane by plane, and returns them with the number of planes.
pub(crate) fn samples<R: Read + Seek>(
    decoder: &mut Decoder<TiffFile<R>>,
    budget: &Budget,
) -> Result<(DecodingResult, usize), Fault> {
    let layout = decoder.image_buffer_layout().map_err(fault)?;
    let size = decoder.dimensions().map_err(fault)?;
    if layout.complete_len as u64 > budget.decoder() {
        let (bytes, limit) = (layout.complete_len, budget.decoder());
        return Err(unsupported(format_args!("{}x{} that takes {bytes} bytes, more than {limit}", size.0, size.1)));
    }
    let chunks = Chunks::of(decoder, size, layout.complete_len as u64, budget)?;
    let mut samples = DecodingResult::U8(Vec::new());
    samples.resize_to(&layout, &limits(budget.decoder())).map_err(fault)?;
    let mut planes = samples.as_buffer(0);
    let planes = planes.as_bytes_mut().chunks_exact_mut(layout.len.max(1)).take(layout.planes);
    let each = chunks.offsets.len() / layout.planes.max(1);
    for (plane, bytes) in planes.enumerate() {
        for chunk in 0..each {
            budget.in_time()?;
            chunks.decode(decoder, (plane * each + chunk, chunk), size, (bytes, &layout))?;
        }
    }
    Ok((samples, layout.planes))
}

impl Chunks {
    /// Locates the chunks. Rejects them if together they take more decoding than the picture and its file justify.
    fn of<R: Read + Seek>(
        decoder: &mut Decoder<TiffFile<R>>,
        size: (u32, u32),
        bytes: u64,
        budget: &Budget,
    ) -> Result<Self, Fault> {
        let (places, lengths) = match decoder.get_chunk_type() {
            ChunkType::Strip => (Tag::StripOffsets, Tag::StripByteCounts),
            ChunkType::Tile => (Tag::TileOffsets, Tag::TileByteCounts),
        };
        let mut numbers = |tag| decoder.find_tag_unsigned_vec::<u64>(tag).map_err(fault);
        let (offsets, lengths) = (numbers(places)?.unwrap_or_default(), numbers(lengths)?.unwrap_or_default());
        if offsets.len() != lengths.len() {
            return Err(damaged());
        }
        let compression = decoder.find_tag_unsigned(Tag::Compression).map_err(fault)?.unwrap_or(NONE);
        let mut tables = ValueBuffer::empty(Type::BYTE);
        if compression == JPEG {
            decoder.image_ifd().find_tag_buf(Tag::JPEGTables, &mut tables).map_err(fault)?;
        }
        // Without the end marker.
        let tables = tables.as_bytes();
        let tables = tables[..tables.len().saturating_sub(2)].to_vec();
        let (width, height) = decoder.chunk_dimensions();
        // A strip may claim to be taller than the picture.
        let height = if places == Tag::StripOffsets { height.min(size.1) } else { height };
        let chunks = Self { offsets, lengths, compression, tables, width, height };
        chunks.check(size, bytes, budget)?;
        Ok(chunks)
    }

    fn check(&self, size: (u32, u32), bytes: u64, budget: &Budget) -> Result<(), Fault> {
        let side = |whole: u32, part: u32| u64::from(whole.div_ceil(part.max(1))) * u64::from(part);
        let filled = side(size.0, self.width).saturating_mul(side(size.1, self.height));
        // The decoder may hold a row of a tile.
        let row = u64::from(self.width).saturating_mul(MOST_BYTES as u64);
        if filled > budget.pixels().saturating_mul(4).saturating_add(TILE) || row > budget.decoder() {
            let said = format!("its tiles are {}x{}, the picture {}x{}", self.width, self.height, size.0, size.1);
            return Err(Fault::Damaged(said));
        }
        // Chunks may share bytes, as empty ones do, and then decode to more than the file holds.
        let each = |length: &u64| (*length).min(budget.length()) + self.tables.len() as u64;
        let coded = self.lengths.iter().map(each).fold(0, u64::saturating_add);
        let most = bytes.saturating_add(budget.length()).saturating_add(TILE);
        match self.compression != NONE && coded > most {
            true => {
                Err(Fault::Damaged(format!("its parts are {coded} bytes together, in a file of {}", budget.length())))
            }
            false => Ok(()),
        }
    }

    /// Decodes chunk `index` of all, which is chunk `of_plane` of its plane, to its place in that plane.
    fn decode<R: Read + Seek>(
        &self,
        decoder: &mut Decoder<TiffFile<R>>,
        (index, of_plane): (usize, usize),
        size: (u32, u32),
        (plane, layout): (&mut [u8], &BufferLayoutPreference),
    ) -> Result<(), Fault> {
        let chunk = u32::try_from(index).map_err(|_| damaged())?;
        if self.compression == JPEG {
            self.check_jpeg(decoder.inner(), index)?;
        }
        let row = layout.row_stride.map_or(1, |stride| stride.get());
        let across = size.0.div_ceil(self.width.max(1)).max(1) as usize;
        let (column, top) = (of_plane % across, of_plane / across * self.height as usize);
        let rows = (size.1 as usize).saturating_sub(top).min(self.height as usize);
        let place = plane.get_mut(top * row..(top + rows) * row).ok_or_else(damaged)?;
        decoder.inner().left = if self.compression == NONE { u64::MAX } else { self.lengths[index] };
        let column = (column + 1 < across).then_some(column);
        let decoded = self.decode_to(decoder, chunk, (column, row), place);
        decoder.inner().left = u64::MAX;
        decoded
    }

    /// Decodes a chunk into rows of the picture, at a tile column; `None` is the last column.
    fn decode_to<R: Read + Seek>(
        &self,
        decoder: &mut Decoder<TiffFile<R>>,
        chunk: u32,
        (column, row): (Option<usize>, usize),
        place: &mut [u8],
    ) -> Result<(), Fault> {
        if decoder.get_chunk_type() == ChunkType::Strip {
            return decoder.read_chunk_bytes(chunk, place).map_err(fault);
        }
        let layout = decoder.image_chunk_buffer_layout(chunk).map_err(fault)?;
        let Some(stride) = layout.row_stride.map(|stride| stride.get()) else { return Ok(()) };
        let mut tile = vec![0; layout.len];
        decoder.read_chunk_bytes(chunk, &mut tile).map_err(fault)?;
        // All are as wide as the first, except the last of a row, which ends at the row's end.
        let begin = column.map_or(row.saturating_sub(stride), |column| column * stride);
        for (line, found) in place.chunks_exact_mut(row).zip(tile.chunks_exact(stride)) {
            if let Some(line) = line.get_mut(begin..begin + stride) {
                line.copy_from_slice(found);
            }
        }
        Ok(())
    }

    /// Rejects a JPEG whose size differs from its chunk's: the decoder decodes it whole, however large it is.
    fn check_jpeg<R: Read + Seek>(&self, file: &mut TiffFile<R>, index: usize) -> Result<(), Fault> {
        file.seek(SeekFrom::Start(self.offsets[index])).map_err(Fault::on_read)?;
        let mut jpeg = self.tables.clone();
        if !self.tables.is_empty() {
            // Each begins with the same marker.
            file.seek_relative(2).map_err(Fault::on_read)?;
        }
        file.take(self.lengths[index]).read_to_end(&mut jpeg).map_err(Fault::on_read)?;
        let head = JpegHeader::read(&mut Cursor::new(jpeg))?;
        let fits =
            |side: u16, most: u32| u32::from(side).next_multiple_of(JPEG_BLOCK) <= most.saturating_add(JPEG_BLOCK - 1);
        match fits(head.width, self.width) && fits(head.height, self.height) {
            true => Ok(()),
            false => {
                let (width, height) = (head.width, head.height);
                let said = format!("a JPEG in it is {width}x{height}, its place {}x{}", self.width, self.height);
                Err(Fault::Damaged(said))
            }
        }
    }
}
