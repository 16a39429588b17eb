//! Planes to pixels with their channels side by side, and back.

use super::{STEP, Tiles, load, store};
use crate::lanes::{self, Kernel, Lanes};
use crate::planar::PlanarConv;
use crate::{Isa, LANES};
use std::cell::RefCell;

/// A group's maps with their channels side by side: `[image][row][pixel][channel]`, whole tiles and `edge` zero pixels
/// around each image, the channels rounded up to lanes.
pub(super) struct Pixels<'a> {
    edge: usize,
    rows: usize,
    columns: usize,
    channels: usize,
    pub(super) lanes: usize,
    pub(super) numbers: &'a mut [f32],
}

impl<'a> Pixels<'a> {
    /// In memory cut from `scratch`, whatever is there.
    pub(super) fn new(tiles: Tiles, channels: usize, edge: usize, scratch: &mut &'a mut [f32]) -> Self {
        let (rows, columns) = (tiles.rows * STEP + 2 * edge, tiles.columns * STEP + 2 * edge);
        let lanes = channels.next_multiple_of(LANES);
        let numbers = cut(scratch, tiles.images * rows * columns * lanes);
        Self { edge, rows, columns, channels, lanes, numbers }
    }

    /// Where a pixel's channels begin; rows and columns count from the edge's.
    pub(super) fn at(&self, image: usize, row: usize, column: usize) -> usize {
        ((image * self.rows + row) * self.columns + column) * self.lanes
    }

    /// Fills it from planes, with zeros around them.
    pub(super) fn fill(&mut self, isa: Isa, conv: &PlanarConv, planes: &[f32]) {
        self.check(conv, planes.len());
        self.numbers.fill(0.0);
        // SAFETY: `planes` and the numbers are as long as `Exchange` says.
        unsafe { lanes::run(isa, Exchange { conv, pixels: self, planes: Planes::From(planes) }) }
    }

    /// Writes its planes, with `add` added to them where it is given.
    pub(super) fn write(&mut self, isa: Isa, conv: &PlanarConv, planes: &mut [f32], add: Option<&[f32]>) {
        self.check(conv, planes.len());
        assert!(add.is_none_or(|add| add.len() == planes.len()), "what is added to {conv:?}");
        // SAFETY: as above; `add` is as long as `planes`.
        unsafe { lanes::run(isa, Exchange { conv, pixels: self, planes: Planes::To(planes, add) }) }
    }

    fn check(&self, conv: &PlanarConv, planes: usize) {
        let PlanarConv { images, height, width, .. } = *conv;
        assert_eq!(planes, images * self.channels * height * width, "the planes of {conv:?}");
        let tiles = Tiles::of(conv);
        assert_eq!(self.numbers.len(), tiles.room(self.lanes, self.edge), "the tiles of {conv:?}");
    }
}

/// Planes `[image][channel][row][pixel]` that are read or written.
enum Planes<'a> {
    From(&'a [f32]),
    To(&'a mut [f32], Option<&'a [f32]>),
}

/// Planes to pixels or back, squares of 16 pixels by 16 channels at a time.
///
/// The planes are the convolution's images of the pixels' channels; the pixels have room for its tiles.
struct Exchange<'a, 'b> {
    conv: &'a PlanarConv,
    pixels: &'a mut Pixels<'b>,
    planes: Planes<'a>,
}

impl Kernel for Exchange<'_, '_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let PlanarConv { images, height, width, .. } = *self.conv;
        let channels = self.pixels.channels;
        for image in 0..images {
            for row in 0..height {
                for block in (0..channels).step_by(LANES) {
                    let count = LANES.min(channels - block);
                    let plane = |channel: usize| ((image * channels + block + channel) * height + row) * width;
                    let to = self.pixels.at(image, row + self.pixels.edge, self.pixels.edge) + block;
                    // Squares of the row, the last one over the one before it.
                    let squares = (0..width / LANES * LANES).step_by(LANES);
                    let last = (width >= LANES && width % LANES > 0).then(|| width - LANES);
                    for x in squares.chain(last) {
                        // SAFETY: 16 pixels from x on are inside the row; their channels inside the pixel's lanes.
                        unsafe { self.square::<V>(count, |channel| plane(channel) + x, to + x * self.pixels.lanes) }
                    }
                    if width < LANES {
                        self.narrow(count, width, plane, to);
                    }
                }
            }
        }
    }
}

impl Exchange<'_, '_> {
    /// # Safety
    /// As [`Kernel::run`]: 16 numbers at `plane(channel)` for each of `count` channels, 16 pixels' lanes at `to`.
    #[inline(always)]
    unsafe fn square<V: Lanes>(&mut self, count: usize, plane: impl Fn(usize) -> usize, to: usize) {
        let lanes = self.pixels.lanes;
        // SAFETY: this function's contract.
        unsafe {
            let pixels = self.pixels.numbers.as_mut_ptr().add(to);
            match &mut self.planes {
                Planes::From(planes) => {
                    let mut rows = [V::splat(0.0); LANES];
                    for (channel, row) in rows.iter_mut().enumerate().take(count) {
                        *row = V::load(planes.as_ptr().add(plane(channel)));
                    }
                    store(V::transpose(rows), pixels, lanes);
                }
                Planes::To(planes, add) => {
                    let rows: [V; LANES] = load(pixels, lanes);
                    for (channel, row) in V::transpose(rows).iter().enumerate().take(count) {
                        let row = match add {
                            Some(add) => row.plus(V::load(add.as_ptr().add(plane(channel)))),
                            None => *row,
                        };
                        row.store(planes.as_mut_ptr().add(plane(channel)));
                    }
                }
            }
        }
    }

    /// Rows of fewer pixels than lanes, a number at a time.
    fn narrow(&mut self, count: usize, width: usize, plane: impl Fn(usize) -> usize, to: usize) {
        for channel in 0..count {
            for x in 0..width {
                let (pixel, number) = (to + x * self.pixels.lanes + channel, plane(channel) + x);
                match &mut self.planes {
                    Planes::From(planes) => self.pixels.numbers[pixel] = planes[number],
                    Planes::To(planes, add) => {
                        planes[number] = self.pixels.numbers[pixel] + add.map_or(0.0, |add| add[number]);
                    }
                }
            }
        }
    }
}

/// Runs with memory for so many numbers, which each thread keeps: fresh pages would cost half as much as the work.
pub(super) fn with_scratch(len: usize, run: impl FnOnce(&mut [f32])) {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            *scratch = vec![0.0; len];
        }
        run(&mut scratch[..len]);
    });
}

/// The next `len` numbers of `scratch`.
pub(super) fn cut<'a>(scratch: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (part, rest) = std::mem::take(scratch).split_at_mut(len);
    *scratch = rest;
    part
}
