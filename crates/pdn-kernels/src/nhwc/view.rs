//! Access of tiles to maps in NHWC order.

use super::shape::{PixelConv, PixelMap, PixelStore};
use crate::LANES;
use crate::lanes::Lanes;
use std::ops::Range;

/// The layout of the channels of a group's pixels.
#[derive(Clone, Copy, Debug)]
struct Places {
    height: usize,
    width: usize,
    channels: usize,
    shuffle: usize,
    /// Row stride.
    row: usize,
    /// Pixel stride.
    pixel: usize,
}

/// A block of an image's channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Offset of the channels of its first pixel.
    first: usize,
    /// Number of channels.
    count: usize,
}

impl Places {
    fn new(conv: &PixelConv, channels: usize, shuffle: usize) -> Self {
        let PixelConv { height, width, .. } = *conv;
        // Compute strides once: a division takes as long as a dozen vectors.
        Self { height, width, channels, shuffle, row: width * channels, pixel: channels / shuffle }
    }

    /// Returns a block of an image's channels from `channel` on.
    #[inline(always)]
    fn block(&self, image: usize, channel: usize) -> Block {
        let (first, count) = (image * self.height * self.row, LANES.min(self.channels - channel));
        if self.shuffle == 1 {
            return Block { first: first + channel, count };
        }
        let channels = self.channels / (self.shuffle * self.shuffle);
        let (part, channel) = (channel / channels, channel % channels);
        let pixel = part / self.shuffle * self.width * self.shuffle + part % self.shuffle;
        Block { first: first + pixel * channels + channel, count }
    }

    /// Returns which of `N` columns from `first` on are inside the image, relative to `first`.
    fn inside<const N: usize>(&self, first: isize) -> Range<usize> {
        let width = self.width as isize;
        (-first).clamp(0, N as isize) as usize..(width - first).clamp(0, N as isize) as usize
    }
}

/// An input map as tiles see it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    places: Places,
    map: PixelMap<'a>,
}

impl<'a> View<'a> {
    pub(super) fn new(conv: &PixelConv, channels: usize, map: PixelMap<'a>) -> Self {
        Self { places: Places::new(conv, channels, map.shuffle), map }
    }

    /// Returns a block of an image's channels from `channel` on.
    #[inline(always)]
    pub(super) fn block(&self, image: usize, channel: usize) -> Block {
        self.places.block(image, channel)
    }

    /// Reads `N` neighbouring pixels of a block, with zeros outside the image.
    ///
    /// # Safety
    /// Same as for [`Lanes`]; the block is the map's.
    #[inline(always)]
    pub(super) unsafe fn row<V: Lanes, const N: usize>(&self, block: Block, row: isize, column: isize) -> [V; N] {
        // SAFETY: this function's contract; only pixels inside the image are read, and of them only the block's
        // channels.
        unsafe {
            let mut pixels = [V::splat(0.0); N];
            if row < 0 || row >= self.places.height as isize {
                return pixels;
            }
            let (stride, count) = (self.places.pixel, block.count);
            let first = (block.first + row as usize * self.places.row) as isize + column * stride as isize;
            let inside = self.places.inside::<N>(column);
            if inside.len() == N && count == LANES {
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    let at = (first + (i * stride) as isize) as usize;
                    *pixel = V::load(self.map.numbers.as_ptr().add(at));
                    if let Some(positive) = self.map.positive {
                        *pixel = pixel.where_positive(V::load(positive.as_ptr().add(at)));
                    }
                }
            } else if count == LANES {
                // The loop is unrolled, and chooses without a branch.
                static ZEROS: [f32; LANES] = [0.0; LANES];
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    let at = first + (i * stride) as isize;
                    let outside = !inside.contains(&i);
                    let from = |map: &[f32]| if outside { ZEROS.as_ptr() } else { map.as_ptr().wrapping_offset(at) };
                    *pixel = V::load(from(self.map.numbers));
                    if let Some(positive) = self.map.positive {
                        *pixel = pixel.where_positive(V::load(from(positive)));
                    }
                }
            } else {
                for i in inside {
                    let at = (first + (i * stride) as isize) as usize;
                    pixels[i] = some(self.map.numbers, at, count);
                    if let Some(positive) = self.map.positive {
                        pixels[i] = pixels[i].where_positive(some(positive, at, count));
                    }
                }
            }
            pixels
        }
    }
}

/// An output map as tiles see it.
pub(super) struct Target<'a> {
    places: Places,
    store: PixelStore<'a>,
    numbers: &'a mut [f32],
}

impl<'a> Target<'a> {
    pub(super) fn new(conv: &PixelConv, store: PixelStore<'a>, numbers: &'a mut [f32]) -> Self {
        Self { places: Places::new(conv, conv.outputs, store.shuffle), store, numbers }
    }

    /// Returns a block of an image's channels from `channel` on.
    #[inline(always)]
    pub(super) fn block(&self, image: usize, channel: usize) -> Block {
        self.places.block(image, channel)
    }

    /// Writes neighbouring pixels of a block, skipping those outside the image.
    ///
    /// # Safety
    /// Same as for [`Lanes`]; the block is the map's.
    #[inline(always)]
    pub(super) unsafe fn write<V: Lanes, const N: usize>(
        &mut self,
        block: Block,
        row: usize,
        column: usize,
        mut pixels: [V; N],
        bias: V,
    ) {
        if row >= self.places.height {
            return;
        }
        let (stride, count) = (self.places.pixel, block.count);
        let first = block.first + row * self.places.row + column * stride;
        // SAFETY: this function's contract; only pixels inside the image are written, and of them only the block's
        // channels.
        unsafe {
            for pixel in &mut pixels {
                *pixel = pixel.plus(bias);
                if self.store.relu {
                    *pixel = V::splat(0.0).max(*pixel);
                }
            }
            let inside = self.places.inside::<N>(column as isize).end;
            for (i, pixel) in pixels.iter().enumerate().take(inside) {
                let (mut pixel, at) = (*pixel, first + i * stride);
                if count == LANES {
                    if let Some(add) = self.store.add {
                        pixel = pixel.plus(V::load(add.as_ptr().add(at)));
                    }
                    pixel.store(self.numbers.as_mut_ptr().add(at));
                } else {
                    if let Some(add) = self.store.add {
                        pixel = pixel.plus(some(add, at, count));
                    }
                    let mut lanes = [0.0; LANES];
                    pixel.store(lanes.as_mut_ptr());
                    self.numbers[at..at + count].copy_from_slice(&lanes[..count]);
                }
            }
        }
    }
}

/// Reads fewer numbers than lanes, filled up with zeros.
///
/// # Safety
/// Same as for [`Lanes`].
#[inline(always)]
unsafe fn some<V: Lanes>(numbers: &[f32], at: usize, count: usize) -> V {
    let mut lanes = [0.0; LANES];
    lanes[..count].copy_from_slice(&numbers[at..at + count]);
    // SAFETY: the array has sixteen numbers.
    unsafe { V::load(lanes.as_ptr()) }
}
