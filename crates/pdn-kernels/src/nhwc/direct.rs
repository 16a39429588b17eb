//! Direct convolution as matrix products, for few input or output channels or a kernel that is not 3x3.
//!
//! With few inputs, the numbers that a row of taps reads are adjacent over all columns of the kernel, so a row of
//! results is `side` products of depth `side * inputs`. With few outputs, each input pixel is multiplied for all taps
//! and outputs at once, and the products are added to the results that they belong to. The gradient of the kernel pairs
//! every number near a pixel of the side with fewer channels with every channel of the other side.

use super::shape::{PixelConv, PixelMap, PixelStore};
use crate::conv::winograd::operands::Singles;
use crate::conv::winograd::{Product, Sums};
use crate::lanes::{self, Kernel, Lanes};
use crate::scratch::{cut, with_scratch};
use crate::{Aligned, Isa, LANES};

/// A kernel laid out for direct convolution.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    /// Whether there are few outputs.
    scatter: bool,
    /// `[tap][input][output]`, or with few outputs `[input][tap, output]`; the last dimension is rounded up to lanes.
    numbers: Aligned<f32>,
}

impl Direct {
    /// Lays out a kernel with the elements `number(output, input, tap)`.
    pub(super) fn new(outputs: usize, inputs: usize, side: usize, number: impl Fn(usize, usize, usize) -> f32) -> Self {
        let taps = side * side;
        let scatter = side > 1 && 2 * outputs <= LANES && inputs >= LANES;
        let lanes = if scatter { taps * outputs } else { outputs }.next_multiple_of(LANES);
        let mut numbers = Aligned::new(0.0, if scatter { inputs } else { inputs * taps } * lanes);
        for output in 0..outputs {
            for input in 0..inputs {
                for tap in 0..taps {
                    let at = match scatter {
                        true => input * lanes + tap * outputs + output,
                        false => (tap * inputs + input) * lanes + output,
                    };
                    numbers[at] = number(output, input, tap);
                }
            }
        }
        Self { scatter, numbers }
    }

    pub(super) fn forward(&self, conv: &PixelConv, isa: Isa, x: PixelMap, store: PixelStore, y: &mut [f32]) {
        let image_out = conv.height * conv.width * conv.outputs;
        if image_out == 0 {
            return;
        }
        for (image, y) in y.chunks_exact_mut(image_out).enumerate() {
            match self.scatter {
                true => self.scatter(conv, isa, x, image, y),
                false => self.gather(conv, isa, x, image, y),
            }
            let add = store.add.map(|add| &add[image * image_out..][..image_out]);
            for (at, pixel) in y.chunks_exact_mut(conv.outputs).enumerate() {
                if let Some(bias) = store.bias {
                    pixel.iter_mut().zip(bias).for_each(|(v, bias)| *v += bias);
                }
                if store.relu {
                    pixel.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v });
                }
                if let Some(add) = add {
                    pixel.iter_mut().zip(&add[at * conv.outputs..]).for_each(|(v, add)| *v += add);
                }
            }
        }
    }

    fn gather(&self, conv: &PixelConv, isa: Isa, x: PixelMap, image: usize, y: &mut [f32]) {
        let PixelConv { inputs, outputs, side, width, .. } = *conv;
        let (lanes, pitch) = (outputs.next_multiple_of(LANES), (width + side - 1) * inputs);
        with_scratch(padded_len(conv, inputs) + width * lanes, |mut scratch| {
            let scratch = &mut scratch;
            let padded = pad(conv, x, inputs, image, scratch);
            let sums = cut(scratch, width * lanes);
            for (row, y) in y.chunks_exact_mut(width * outputs).enumerate() {
                for tap_row in 0..side {
                    run(
                        isa,
                        Job {
                            rows: width,
                            depth: side * inputs,
                            columns: lanes,
                            a: &padded[(row + tap_row) * pitch..][..pitch],
                            a_row: inputs,
                            a_depth: 1,
                            b: &self.numbers[tap_row * side * inputs * lanes..],
                            c: sums,
                            sums: if tap_row == 0 { Sums::New } else { Sums::Onto },
                        },
                    );
                }
                for (y, sums) in y.chunks_exact_mut(outputs).zip(sums.chunks_exact(lanes)) {
                    y.copy_from_slice(&sums[..outputs]);
                }
            }
        });
    }

    fn scatter(&self, conv: &PixelConv, isa: Isa, x: PixelMap, image: usize, y: &mut [f32]) {
        let PixelConv { inputs, outputs, side, height, width, .. } = *conv;
        let (lanes, edge) = ((side * side * outputs).next_multiple_of(LANES), side / 2);
        y.fill(0.0);
        with_scratch(width * (inputs + lanes), |mut scratch| {
            let scratch = &mut scratch;
            let (pixels, products) = (cut(scratch, width * inputs), cut(scratch, width * lanes));
            for row in 0..height {
                read_row(x, (image * height + row) * width * inputs, pixels);
                run(
                    isa,
                    Job {
                        rows: width,
                        depth: inputs,
                        columns: lanes,
                        a: pixels,
                        a_row: inputs,
                        a_depth: 1,
                        b: &self.numbers,
                        c: products,
                        sums: Sums::New,
                    },
                );
                // The pixel contributes through tap (i, j) to the result i rows above and j columns to the left, less
                // the edge.
                for i in 0..side {
                    let Some(to) = (row + edge).checked_sub(i).filter(|to| *to < height) else { continue };
                    let y = &mut y[to * width * outputs..][..width * outputs];
                    for j in 0..side {
                        let (from, to) = (j.saturating_sub(edge), edge.saturating_sub(j));
                        let count = width.saturating_sub(from.max(to));
                        if count == 0 {
                            continue;
                        }
                        let tap = (i * side + j) * outputs;
                        let products = products[from * lanes..].chunks_exact(lanes);
                        for (y, products) in y[to * outputs..].chunks_exact_mut(outputs).zip(products).take(count) {
                            y.iter_mut().zip(&products[tap..]).for_each(|(y, v)| *y += v);
                        }
                    }
                }
            }
        });
    }
}

/// Computes the gradients of a group's kernel, `[tap][input][output]`, and bias, with outputs rounded up to lanes.
pub(super) fn kernel_gradient(
    conv: &PixelConv,
    isa: Isa,
    x: PixelMap,
    dy: PixelMap,
    kernel: &mut [f32],
    bias: &mut [f32],
) {
    let PixelConv { inputs, outputs, side, images, height, width } = *conv;
    let few_inputs = inputs <= outputs;
    let ((few, few_map), (many, many_map)) =
        if few_inputs { ((inputs, x), (outputs, dy)) } else { ((outputs, dy), (inputs, x)) };
    let (lanes, taps, pitch) = (many.next_multiple_of(LANES), side * side, (width + side - 1) * few);
    kernel.fill(0.0);
    bias.fill(0.0);
    let room = padded_len(conv, few) + width * (many + lanes + outputs) + taps * few * lanes;
    with_scratch(room, |mut scratch| {
        let scratch = &mut scratch;
        let (row, block) = (cut(scratch, width * many), cut(scratch, width * lanes));
        let (results, sums) = (cut(scratch, width * outputs), cut(scratch, taps * few * lanes));
        block.fill(0.0);
        sums.fill(0.0);
        let padded_room = cut(scratch, padded_len(conv, few));
        for image in 0..images {
            let padded = pad(conv, few_map, few, image, &mut &mut *padded_room);
            for y in 0..height {
                let mut b = row_of(many_map, (image * height + y) * width * many, row);
                if lanes > many {
                    for (block, pixel) in block.chunks_exact_mut(lanes).zip(b.chunks_exact(many)) {
                        block[..many].copy_from_slice(pixel);
                    }
                    b = &*block;
                }
                for tap_row in 0..side {
                    run(
                        isa,
                        Job {
                            rows: side * few,
                            depth: width,
                            columns: lanes,
                            a: &padded[(y + tap_row) * pitch..][..pitch],
                            a_row: 1,
                            a_depth: few,
                            b,
                            c: &mut sums[tap_row * side * few * lanes..][..side * few * lanes],
                            sums: Sums::Onto,
                        },
                    );
                }
                let results = row_of(dy, (image * height + y) * width * outputs, results);
                for pixel in results.chunks_exact(outputs) {
                    bias.iter_mut().zip(pixel).for_each(|(bias, v)| *bias += v);
                }
            }
        }
        // With few outputs, the sums at a tap of a result come from the pixel that it reads.
        for (at, sums) in sums.chunks_exact(lanes).enumerate() {
            let (tap, channel) = (at / few, at % few);
            let to = outputs.next_multiple_of(LANES);
            match few_inputs {
                true => kernel[(tap * inputs + channel) * to..][..outputs].copy_from_slice(&sums[..outputs]),
                false => {
                    let tap = taps - 1 - tap;
                    for (input, sum) in sums.iter().enumerate().take(inputs) {
                        kernel[(tap * inputs + input) * to + channel] = *sum;
                    }
                }
            }
        }
    });
}

fn padded_len(conv: &PixelConv, channels: usize) -> usize {
    (conv.height + conv.side - 1) * (conv.width + conv.side - 1) * channels
}

/// Copies an image with the zero padding that its taps reach.
fn pad<'a>(conv: &PixelConv, map: PixelMap, channels: usize, image: usize, scratch: &mut &'a mut [f32]) -> &'a [f32] {
    let PixelConv { side, height, width, .. } = *conv;
    let (edge, pitch) = (side / 2, (width + side - 1) * channels);
    let padded = cut(scratch, padded_len(conv, channels));
    padded.fill(0.0);
    for (row, to) in padded.chunks_exact_mut(pitch.max(1)).skip(edge).take(height).enumerate() {
        let to = &mut to[edge * channels..][..width * channels];
        read_row(map, (image * height + row) * width * channels, to);
    }
    padded
}

/// Returns a row of a map, in place or copied to `room`.
fn row_of<'a>(map: PixelMap<'a>, first: usize, room: &'a mut [f32]) -> &'a [f32] {
    if map.positive.is_none() {
        return &map.numbers[first..][..room.len()];
    }
    read_row(map, first, room);
    room
}

/// Copies a row of a map.
fn read_row(map: PixelMap, first: usize, to: &mut [f32]) {
    to.copy_from_slice(&map.numbers[first..][..to.len()]);
    if let Some(positive) = map.positive {
        for (v, positive) in to.iter_mut().zip(&positive[first..]) {
            *v = if *positive > 0.0 { *v } else { 0.0 };
        }
    }
}

/// A [`Product`] of slices.
struct Job<'a> {
    rows: usize,
    depth: usize,
    columns: usize,
    a: &'a [f32],
    a_row: usize,
    a_depth: usize,
    b: &'a [f32],
    c: &'a mut [f32],
    sums: Sums,
}

fn run(isa: Isa, job: Job) {
    if job.rows == 0 || job.depth == 0 {
        return;
    }
    assert!((job.rows - 1) * job.a_row + (job.depth - 1) * job.a_depth < job.a.len());
    assert!(job.depth * job.columns <= job.b.len() && job.rows * job.columns <= job.c.len());
    // SAFETY: the matrices have their extents.
    unsafe { lanes::run(isa, job) }
}

impl Kernel for Job<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { rows, depth, columns, a, a_row, a_depth, b, c, sums } = self;
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        // SAFETY: this function's contract.
        unsafe { Product { rows, depth, columns, a, a_row, a_depth, b, c, sums, room: rows }.run::<V, Singles>() }
    }
}
