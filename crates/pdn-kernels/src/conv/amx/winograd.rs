//! Winograd convolution F(4, 3) of a 3x3 kernel along columns of pixels, with its products by tiles.
//!
//! Six rows of pixels become six transformed ones, each of which is convolved by a kernel of three columns; the sums
//! over those, transformed back, are four rows of results. So 18 products do the work of 36 in direct convolution, for
//! a transform along only one side. F(4x4, 3x3) would save half of those 18, but tiles multiply faster than maps four
//! times as large can be written and read: a map transformed along one side takes only half as much memory again as the
//! rows do. It also costs more of the 16 available bits: rounding after one transform leaves about half the error that
//! it leaves after two.
//!
//! A strip of 32 pixels is transformed, and then multiplied for 32 outputs at a time. Their sums at the six places are
//! transformed back and stored while the next products are in flight.

use super::depth::{self, STEP, Weights};
use super::epilogue::After;
use super::gemm::{add_products, load_left, load_right, store_others};
use super::pack::{Line, remainder, round};
use super::products::Products;
use super::tile::{ROWS, Tiles};
use crate::conv::shape::ConvShape;
use crate::conv::store::Writer;
use crate::conv::winograd::{input, kernel_side, output};
use crate::lanes::{Avx512, Lanes};
use crate::{Aligned, Input, LANES};
use std::arch::x86_64::*;
use std::cell::RefCell;

/// Rows of a group's results.
const GROUP: usize = 4;
/// Rows that a group reads, and places that they become.
const PLACES: usize = 6;
/// Columns of the kernel.
const COLUMNS: usize = 3;
/// Pixels of a strip.
const STRIP: usize = 2 * ROWS;
/// Pixels that a strip's tiles read.
const ROOM: usize = STRIP + COLUMNS - 1;
/// Sums of one place: two tiles of pixels by two of outputs, or fewer.
const SUMS: usize = 4 * ROWS * LANES;

/// Lines, sums, and the inputs left over from blocks of 32, as in [`Job`].
type Scratch = (Vec<Line>, Option<Aligned<f32>>, Vec<u16>);

/// A kernel and bias, transformed along columns and laid out for tiles.
#[derive(Clone, Debug)]
pub(crate) struct AmxWinograd {
    shape: ConvShape,
    products: Products,
    /// Blocks of 32 inputs, the last possibly padded.
    blocks: usize,
    /// Inputs after the blocks; their columns share one step.
    rest: usize,
    /// `[tiles of outputs][place][step][part][tile]`, with tiles of 16 outputs in pairs. Steps are `[block][kx]`, then
    /// that of the rest.
    kernel: Vec<Weights>,
    /// `[tile][16]`.
    bias: Vec<f32>,
}

impl AmxWinograd {
    /// Returns whether the method is possible and faster.
    pub(crate) fn pays(ConvShape { inputs, outputs, side, .. }: ConvShape) -> bool {
        side == 3 && inputs >= STEP && outputs >= LANES
    }

    /// Transforms a kernel `[out, in, 3, 3]`, on any machine.
    pub(crate) fn new(kernel: &[f32], bias: &[f32], shape: ConvShape, products: Products) -> Self {
        let inputs = shape.inputs;
        let rest = if inputs % STEP * COLUMNS <= STEP { inputs % STEP } else { 0 };
        let blocks = (inputs - rest).div_ceil(STEP);
        // The weight of a number in a step: an input and a column of the kernel.
        let tap = |step: usize, k: usize| match step < blocks * COLUMNS {
            true => (step / COLUMNS * STEP + k, step % COLUMNS),
            false => (blocks * STEP + k % rest.max(1), k / rest.max(1)),
        };
        let steps = blocks * COLUMNS + rest.min(1);
        // The six places for each lane's column, computed once.
        let places = |tile: usize| -> Vec<[[[f32; LANES]; PLACES]; COLUMNS]> {
            let number = |lane: usize, input: usize, ky: usize, kx: usize| {
                let begins = |output: usize| ((output * inputs + input) * COLUMNS + ky) * COLUMNS + kx;
                shape.output(tile, lane).map_or(0.0, |output| kernel[begins(output)])
            };
            let column = |input: usize, kx: usize| {
                kernel_side([0, 1, 2].map(|ky| std::array::from_fn(|lane| number(lane, input, ky, kx))))
            };
            (0..inputs).map(|input| [0, 1, 2].map(|kx| column(input, kx))).collect()
        };
        let tiles: Vec<_> = (0..shape.blocks()).map(places).collect();
        let mut laid = Vec::with_capacity(tiles.len() * PLACES * steps * products.parts());
        for group in tiles.chunks(2) {
            for (place, step) in (0..PLACES).flat_map(|place| (0..steps).map(move |step| (place, step))) {
                let numbers = |tile: &Vec<[[[f32; LANES]; PLACES]; COLUMNS]>| {
                    depth::numbers_of(|k, lane| {
                        let (input, kx) = tap(step, k);
                        if input < inputs && kx < COLUMNS { tile[input][kx][place][lane] } else { 0.0 }
                    })
                };
                let numbers: Vec<depth::Numbers> = group.iter().map(numbers).collect();
                for part in [depth::high, depth::low].into_iter().take(products.parts()) {
                    laid.extend(numbers.iter().map(part));
                }
            }
        }
        Self { shape, products, blocks, rest, kernel: laid, bias: shape.lay_out(bias) }
    }

    fn steps(&self) -> usize {
        self.blocks * COLUMNS + self.rest.min(1)
    }

    /// Convolves a group of rows.
    ///
    /// # Safety
    /// `input` is six rows of the inputs, of float32 maps padded by at least one pixel; the writer has `rows` rows of
    /// the outputs, stored as float32, and skips so few that a group's four are not exceeded.
    ///
    /// # Panics
    /// Panics if the machine has no AMX.
    pub(crate) unsafe fn rows(&self, input: &Input, rows: usize, writer: &Writer) {
        thread_local! {
            /// Grows to the size of the largest call, and is kept.
            static SCRATCH: RefCell<Scratch> = const { RefCell::new((Vec::new(), None, Vec::new())) };
        }
        let tiles = Tiles::configure();
        SCRATCH.with_borrow_mut(|(lines, sums, narrow)| {
            let len = self.products.parts() * PLACES * (self.blocks + self.rest.min(1)) * ROOM;
            if lines.len() < len {
                lines.resize(len, Line::default());
            }
            // Half a line is written for every pixel; the next pixel overwrites the excess.
            narrow.resize(narrow.len().max(self.products.parts() * PLACES * self.narrow_len()), 0);
            let sums = sums.get_or_insert_with(|| Aligned::new(0.0, 2 * PLACES * SUMS));
            let (lines, sums, narrow) = (&mut lines[..len], sums.as_mut_ptr(), &mut narrow[..]);
            let mut job = Job { conv: self, input, rows, writer, lines, narrow, sums };
            // SAFETY: this function's contract is the job's; there is AMX, hence AVX-512 with bf16 too.
            unsafe { job.run(&tiles) };
        });
    }

    /// Returns how many numbers of the rest a place's pixels have.
    fn narrow_len(&self) -> usize {
        ROOM * self.rest + STEP
    }
}

/// A group of rows to convolve.
struct Job<'a> {
    conv: &'a AmxWinograd,
    input: &'a Input<'a>,
    rows: usize,
    writer: &'a Writer<'a>,
    /// `[part][place][block][pixel]`, with the rest as the last block.
    lines: &'a mut [Line],
    /// The rest: `[part][place][pixel][input]`.
    narrow: &'a mut [u16],
    /// `[chunk, even or odd][place][tile of pixels][tile of outputs][pixel][16]`.
    sums: *mut f32,
}

/// A strip's pixels by outputs, with sums in one of the two buffers.
#[derive(Clone, Copy)]
struct Chunk {
    /// The first pixel, and the number of pixels.
    x: usize,
    count: usize,
    /// The first tile of outputs, and the number of tiles.
    first: usize,
    outputs: usize,
    /// Which buffer.
    odd: usize,
}

impl Job<'_> {
    /// Convolves the group.
    ///
    /// # Safety
    /// Same as [`AmxWinograd::rows`]; the machine has AVX-512 with bf16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn run(&mut self, tiles: &Tiles) {
        let (width, outputs) = (self.input.shape.width, self.conv.shape.blocks());
        let mut before: Option<Chunk> = None;
        let mut odd = 0;
        for x in (0..width).step_by(STRIP) {
            let count = STRIP.min(width - x);
            // SAFETY: the strip is the row's; its tiles are those of the kernel.
            unsafe {
                self.transform(x, count);
                for first in (0..outputs).step_by(2) {
                    let chunk = Chunk { x, count, first, outputs: (outputs - first).min(2), odd };
                    match (count > ROWS, chunk.outputs) {
                        (false, 1) => self.multiply::<1, 1>(tiles, chunk, before),
                        (false, _) => self.multiply::<1, 2>(tiles, chunk, before),
                        (true, 1) => self.multiply::<2, 1>(tiles, chunk, before),
                        (true, _) => self.multiply::<2, 2>(tiles, chunk, before),
                    }
                    before = Some(chunk);
                    odd = 1 - odd;
                }
            }
        }
        if let Some(chunk) = before {
            // SAFETY: its sums are complete.
            unsafe { self.finish(chunk) };
        }
    }

    /// Returns the stride in lines between parts.
    fn part(&self) -> usize {
        PLACES * (self.conv.blocks + self.conv.rest.min(1)) * ROOM
    }

    /// Returns the index of a place's lines of a block.
    fn line(&self, place: usize, block: usize) -> usize {
        (place * (self.conv.blocks + self.conv.rest.min(1)) + block) * ROOM
    }

    /// Transforms a strip's pixels, from one left of the first to one right of the last.
    ///
    /// # Safety
    /// Same as [`Self::run`].
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn transform(&mut self, first: usize, count: usize) {
        let part = self.part();
        for block in 0..self.conv.blocks {
            let (a, a_lanes) = self.source(2 * block, first);
            let (b, b_lanes) = self.source(2 * block + 1, first);
            let (to, place) = (self.line(0, block), self.line(1, 0));
            let to = self.lines[to..].as_mut_ptr();
            for x in 0..count + COLUMNS - 1 {
                // SAFETY: the pixels are inside the padded rows, and the lines in their block.
                unsafe {
                    let (a, b) = (column(a, a_lanes, x), column(b, b_lanes, x));
                    for (i, (Avx512(a), Avx512(b))) in a.into_iter().zip(b).enumerate() {
                        let high = round(a, b);
                        let to = to.add(i * place + x);
                        _mm512_store_si512(to.cast(), high);
                        if self.conv.products == Products::Three {
                            _mm512_store_si512(to.add(part).cast(), remainder(a, b, high));
                        }
                    }
                }
            }
        }
        if self.conv.rest > 0 {
            // SAFETY: this function's contract.
            unsafe { self.transform_rest(first, count) };
        }
    }

    /// Transforms the inputs that do not fill a block, and gathers the columns of each pixel.
    ///
    /// # Safety
    /// Same as [`Self::transform`].
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn transform_rest(&mut self, first: usize, count: usize) {
        let (rest, blocks, len) = (self.conv.rest, self.conv.blocks, self.conv.narrow_len());
        let (a, lanes) = self.source(2 * blocks, first);
        for x in 0..count + COLUMNS - 1 {
            // SAFETY: the pixels are inside the padded rows; half a line from a pixel's place on has room.
            unsafe {
                for (i, Avx512(a)) in column(a, lanes, x).into_iter().enumerate() {
                    let nothing = _mm512_setzero_ps();
                    let high = round(a, nothing);
                    let to = self.narrow[i * len + x * rest..].as_mut_ptr();
                    _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(high));
                    if self.conv.products == Products::Three {
                        let low = _mm512_castsi512_si256(remainder(a, nothing, high));
                        _mm256_storeu_si256(to.add(PLACES * len).cast(), low);
                    }
                }
            }
        }
        let mask = (!0_u32) >> (STEP - rest * COLUMNS);
        for (part, place) in
            (0..self.conv.products.parts()).flat_map(|part| (0..PLACES).map(move |place| (part, place)))
        {
            let from = self.narrow[(part * PLACES + place) * len..].as_ptr().cast::<i16>();
            let to = part * self.part() + self.line(place, blocks);
            for (x, line) in self.lines[to..][..count].iter_mut().enumerate() {
                // SAFETY: three pixels of the place may be read, and no more are; a line is 64 bytes.
                unsafe {
                    let columns = _mm512_maskz_loadu_epi16(mask, from.add(x * rest));
                    _mm512_store_si512((&raw mut *line).cast(), columns);
                }
            }
        }
    }

    /// Returns where the six rows of a block of 16 inputs begin, one pixel left of `first`, and which of its lanes are
    /// inputs; for a block that does not exist, any place and no lanes.
    fn source(&self, block: usize, first: usize) -> ([*const f32; PLACES], __mmask16) {
        let inputs = self.conv.shape.inputs.saturating_sub(block * LANES).min(LANES);
        let (rows, start) = self.input.block(if inputs == 0 { 0 } else { block });
        let at = start + (self.input.shape.pad + first - 1) * LANES;
        let mut from = [std::ptr::null(); PLACES];
        from.iter_mut().zip(rows).for_each(|(from, row)| *from = row[at..].as_ptr());
        (from, ((1_u32 << inputs) - 1) as __mmask16)
    }

    /// Multiplies a chunk at all places, and finishes the previous one.
    ///
    /// # Safety
    /// Same as [`Self::run`]; the strip was transformed; the chunk has `P` tiles of pixels and `O` of outputs.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn multiply<const P: usize, const O: usize>(&mut self, tiles: &Tiles, chunk: Chunk, before: Option<Chunk>) {
        let (conv, part) = (self.conv, self.part());
        let parts = conv.products.parts();
        let sums = self.sums.wrapping_add(chunk.odd * PLACES * SUMS);
        let mut right = conv.kernel[chunk.first * PLACES * conv.steps() * parts..].as_ptr();
        // SAFETY: this function's contract; the lines of `16 P` pixels and two more are in the room of a block.
        unsafe {
            for place in 0..PLACES {
                // The sums of the previous place are in the registers; at the first place, they belong to nothing.
                let mut last = Some(sums.add(place.saturating_sub(1) * SUMS));
                for step in 0..conv.steps() {
                    let (block, kx) = (step / COLUMNS, step % COLUMNS);
                    let left = self.lines[self.line(place, block) + kx..].as_ptr();
                    load_right::<O>(tiles, right);
                    if conv.products == Products::Three {
                        load_left::<P>(tiles, left.add(part), 1);
                        add_products::<P, O>(tiles, last.take());
                    }
                    load_left::<P>(tiles, left, 1);
                    add_products::<P, O>(tiles, last.take());
                    if conv.products == Products::Three {
                        load_right::<O>(tiles, right.add(O));
                        add_products::<P, O>(tiles, None);
                    }
                    right = right.add(parts * O);
                }
            }
            store_others(tiles, 0, Some(sums.add((PLACES - 1) * SUMS)));
            if let Some(before) = before {
                self.finish(before);
            }
        }
    }

    /// Transforms a chunk's sums back, and stores those inside the rows.
    ///
    /// # Safety
    /// Same as [`Self::run`]; the chunk was multiplied.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn finish(&self, Chunk { x, count, first, outputs, odd }: Chunk) {
        let (writer, r) = (self.writer, self.writer.shuffle);
        let (store, shape) = (writer.store, writer.shape);
        let sums = self.sums.wrapping_add(odd * PLACES * SUMS);
        for output in 0..outputs {
            let at = first + output;
            let (phase, block) = if r == 1 { (0, at) } else { (at / shape.blocks, at % shape.blocks) };
            let pixel = shape.at(block, x * r + phase % r);
            let mut out = [std::ptr::null_mut(); GROUP];
            let mut add = [std::ptr::null(); GROUP];
            for row in 0..self.rows {
                out[row] = writer.out.wrapping_add((row * r + phase / r) * shape.len() + pixel);
                add[row] = store.add.get(row).map_or(std::ptr::null(), |add| add[pixel..].as_ptr());
            }
            // SAFETY: this function's contract: the bias has 16 numbers for every tile and the slopes for every block;
            // the pixels are inside the rows, and so is what is added.
            unsafe {
                let bias = _mm512_loadu_ps(self.conv.bias[at * LANES..].as_ptr());
                let after = After::new(store, block);
                for i in 0..count {
                    let from = sums.add((i / ROWS * outputs + output) * ROWS * LANES + i % ROWS * LANES);
                    let mut places = [Avx512::splat(0.0); PLACES];
                    for (place, v) in places.iter_mut().enumerate() {
                        *v = Avx512::load(from.add(place * SUMS));
                    }
                    let results = output_rows(places);
                    for row in 0..self.rows {
                        let (v, at) = (_mm512_add_ps(results[store.skip + row].0, bias), i * r * LANES);
                        let v = match add[row].is_null() {
                            true => after.scaled(after.activated(v)),
                            false => after.plus(after.activated(v), _mm512_loadu_ps(add[row].add(at))),
                        };
                        _mm512_storeu_ps(out[row].add(at), v);
                    }
                }
            }
        }
    }
}

/// Transforms a column of a block's pixels to the six places.
///
/// # Safety
/// The machine has AVX-512 F; the pixel of each row may be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn column(rows: [*const f32; PLACES], lanes: __mmask16, x: usize) -> [Avx512; PLACES] {
    // SAFETY: this function's contract.
    unsafe {
        let mut numbers = [Avx512::splat(0.0); PLACES];
        for (number, row) in numbers.iter_mut().zip(rows) {
            *number = Avx512(_mm512_maskz_loadu_ps(lanes, row.add(x * LANES)));
        }
        input(numbers)
    }
}

/// Transforms six places back to four rows.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn output_rows(places: [Avx512; PLACES]) -> [Avx512; GROUP] {
    // SAFETY: this function's contract.
    unsafe { output(places) }
}
