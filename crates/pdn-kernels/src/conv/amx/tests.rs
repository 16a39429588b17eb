use super::*;
use crate::conv::shape::ConvShape;
use crate::conv::tests::random;
use crate::{Format, Input, LANES, RowShape, RowsMut, Store};
use half::bf16;
use proptest::prelude::*;

/// Returns whether there is AMX, or what its emulation needs.
pub(crate) fn available() -> bool {
    let available = emulate();
    if !available {
        pdn_testing::skip("avx512", "no AVX-512 with bf16, which the emulation of AMX needs");
    }
    available
}

/// Converts a picture of `[channels][height][width]` to rows. Lanes that are not channels hold values that must not be
/// read.
fn rows(picture: &[f32], channels: usize, height: usize, shape: RowShape) -> Vec<Vec<f32>> {
    let row = |y: usize| {
        let mut row = vec![f32::NAN; shape.len()];
        for c in 0..channels {
            for x in 0..shape.width + 2 * shape.pad {
                row[c / LANES * shape.block_len() + x * LANES + c % LANES] = 0.0;
            }
            for x in 0..shape.width {
                row[shape.at(c / LANES, x) + c % LANES] = picture[(c * height + y) * shape.width + x];
            }
        }
        row
    };
    (0..height).map(row).collect()
}

fn convolution(
    kernel: &[f32],
    bias: &[f32],
    inputs: usize,
    side: usize,
    shuffle: usize,
    products: Products,
) -> AmxConv {
    let shape = ConvShape { inputs, outputs: bias.len(), side, shuffle };
    AmxConv::new(kernel, bias, shape, products)
}

#[derive(Clone, Copy, Debug)]
struct Case {
    inputs: usize,
    outputs: usize,
    side: usize,
    shuffle: usize,
    height: usize,
    width: usize,
    slope: Option<f32>,
    add: bool,
}

impl Case {
    /// Returns the slope of a channel of the stored rows, which differs from its neighbours'.
    fn slope_of(&self, channel: usize) -> Option<f32> {
        self.slope.map(|slope| slope * (channel % 5) as f32 / 4.0)
    }

    /// Returns a slope per lane.
    fn slopes(&self, lanes: usize) -> Vec<f32> {
        (0..lanes).map_while(|channel| self.slope_of(channel)).collect()
    }

    /// Computes one output number by definition, in float64, and the sum of its terms' magnitudes.
    fn expect(&self, [x, k, b]: [&[f32]; 3], o: usize, y: usize, col: usize) -> [f64; 2] {
        let (r, side) = (self.side as isize / 2, self.side);
        let mut sums = [f64::from(b[o]), f64::from(b[o].abs())];
        for i in 0..self.inputs {
            for tap in 0..side * side {
                let sy = y as isize + (tap / side) as isize - r;
                let sx = col as isize + (tap % side) as isize - r;
                if (0..self.height as isize).contains(&sy) && (0..self.width as isize).contains(&sx) {
                    let v = x[(i * self.height + sy as usize) * self.width + sx as usize];
                    let product = f64::from(v) * f64::from(k[(o * self.inputs + i) * side * side + tap]);
                    sums[0] += product;
                    sums[1] += product.abs();
                }
            }
        }
        match self.slope_of(o / self.shuffle.pow(2)) {
            Some(slope) if sums[0] < 0.0 => [sums[0] * f64::from(slope), sums[1]],
            _ => sums,
        }
    }

    /// Returns the largest difference between all rows and the definition, relative to the sum of magnitudes. Operands
    /// are bf16 numbers if there is only one product.
    fn error(&self, products: Products, seed: u64) -> f64 {
        let operands = |seed: u64, len: usize| match products {
            Products::One => random(seed, len).into_iter().map(|v| bf16::from_f32(v).to_f32()).collect(),
            Products::Three => random(seed, len),
        };
        let r = self.shuffle;
        let x = operands(seed, self.inputs * self.height * self.width);
        let k = operands(seed + 1, self.outputs * self.inputs * self.side * self.side);
        let b = random(seed + 2, self.outputs);
        let shape = RowShape::new(self.inputs, self.width, self.side / 2 + 1);
        let out_shape = RowShape::new(self.outputs / (r * r), self.width * r, 2);
        let mut input = rows(&x, self.inputs, self.height, shape);
        let nothing = vec![vec![0.0; shape.len()]; self.side / 2];
        input.splice(0..0, nothing.clone());
        input.extend(nothing);
        let input: Vec<&[f32]> = input.iter().map(Vec::as_slice).collect();
        let add = random(seed + 3, out_shape.len() * self.height * r);
        let add: Vec<&[f32]> = add.chunks(out_shape.len()).collect();
        let slopes = self.slopes(out_shape.blocks * LANES);
        let add: &[&[f32]] = if self.add && r == 1 { &add } else { &[] };
        let store = Store { slopes: &slopes, scale: 0.5, add, ..Store::default() };
        let conv = convolution(&k, &b, self.inputs, self.side, r, products);
        let mut out = vec![f32::NAN; out_shape.len() * self.height * r];
        conv.rows(&Input { maps: &[&input], formats: &[], shape }, &store, RowsMut::new(&mut out, out_shape));
        assert!(out.iter().all(|v| v.is_finite()), "every number of the rows is written");
        let mut worst = 0.0_f64;
        for (out_y, row) in out.chunks(out_shape.len()).enumerate() {
            for c in 0..self.outputs / (r * r) {
                for col in 0..self.width * r {
                    let at = out_shape.at(c / LANES, col) + c % LANES;
                    let o = (c * r + out_y % r) * r + col % r;
                    let [sum, magnitude] = self.expect([&x, &k, &b], o, out_y / r, col / r);
                    let added = if self.add && r == 1 { f64::from(add[out_y][at]) } else { 0.0 };
                    let error = (f64::from(row[at]) - (0.5 * sum + added)).abs();
                    worst = worst.max(error / (0.5 * magnitude + added.abs()).max(f64::MIN_POSITIVE));
                }
            }
        }
        worst
    }

    fn check(&self, seed: u64) -> Result<(), TestCaseError> {
        if available() {
            // For each term: the remainder after rounding either low part, and the product of both, are each at most
            // 2^-16.
            let three = 3.0 * 2.0_f64.powi(-16);
            for (products, bound) in [(Products::One, 1e-5), (Products::Three, three)] {
                let error = self.error(products, seed >> 8);
                prop_assert!(error < bound, "{products:?}: {error:.1e}");
            }
        }
        Ok(())
    }
}

/// A convolution with some of its maps stored as lines.
#[derive(Clone, Copy, Debug)]
struct Lines {
    inputs: usize,
    outputs: usize,
    side: usize,
    shuffle: usize,
    width: usize,
    /// Whether a map that is not stored as lines follows the one that may be.
    beside: bool,
    read: bool,
    write: bool,
    add_lines: bool,
}

impl Lines {
    /// Compares the result bit by bit with that of float32 maps, rounded where it is written.
    fn check(&self, add: bool, seed: u64) {
        let &Self { inputs, outputs, side, shuffle: r, width, beside, read, write, add_lines } = self;
        let (pad, height) = (side / 2 + 1, 3);
        let shape = RowShape::new(inputs, width, pad);
        let behind = RowShape::new(if beside { 35 } else { 0 }, width, pad);
        let out_shape = RowShape::new(outputs / (r * r), width * r, pad);
        let all = inputs + if beside { 35 } else { 0 };
        let (k, b) = (random(seed, outputs * r * r * all * side * side), random(seed + 1, outputs * r * r));
        let conv = convolution(&k, &b, all, side, r, Products::One);
        let out_shape = RowShape { blocks: outputs.div_ceil(LANES), ..out_shape };
        let picture = |seed: u64, shape: RowShape, count: usize| -> Vec<Vec<f32>> {
            let row = |y: usize| {
                let mut row = random(seed + y as u64, shape.len());
                shape.clear_pads(&mut row);
                row
            };
            (0..count).map(row).collect()
        };
        let singles = picture(seed + 2, shape, height + side - 1);
        let rest = picture(seed + 20, behind, height + side - 1);
        let added = picture(seed + 40, out_shape, height * r);
        // The addend is compared where both formats can hold it.
        let added: Vec<Vec<f32>> = added.iter().map(|row| from_lines(&to_lines(row, out_shape), out_shape)).collect();
        let run = |read: bool, write: bool, add_lines: bool| {
            let map: Vec<Vec<f32>> =
                singles.iter().map(|row| if read { to_lines(row, shape) } else { row.clone() }).collect();
            let adds: Vec<Vec<f32>> =
                added.iter().map(|row| if add_lines { to_lines(row, out_shape) } else { row.clone() }).collect();
            let [map, rest, adds] = [&map, &rest, &adds].map(|rows| rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let format = |lines: bool| if lines { Format::Lines } else { Format::Singles };
            let (formats, maps): (_, &[&[&[f32]]]) = ([format(read)], if beside { &[&map, &rest] } else { &[&map] });
            let whole = RowShape { blocks: shape.blocks + behind.blocks, ..shape };
            let input = Input { maps, formats: &formats, shape: whole };
            input.check(height + side - 1);
            let stored = if write { RowShape::of_lines(outputs, width * r, pad) } else { out_shape };
            let slopes = vec![0.25; out_shape.blocks * LANES];
            let add: &[&[f32]] = if add { &adds } else { &[] };
            let (format, add_format) = (format(write), format(add_lines));
            let store = Store { slopes: &slopes, scale: 0.5, add, add_format, format, skip: 0 };
            let mut out = vec![f32::NAN; stored.len() * height * r];
            conv.rows(&input, &store, RowsMut::new(&mut out, stored));
            out
        };
        let expected = run(false, false, false);
        let expected = match write {
            true => expected.chunks(out_shape.len()).flat_map(|row| to_lines(row, out_shape)).collect(),
            false => expected,
        };
        let bits = |numbers: &[f32]| numbers.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&run(read, write, add_lines)), bits(&expected), "{self:?}");
    }
}

/// Converts a row of whole pairs of blocks to lines.
fn to_lines(row: &[f32], shape: RowShape) -> Vec<f32> {
    let mut lines = Vec::new();
    for pair in row.chunks(2 * shape.block_len()) {
        let (first, second) = pair.split_at(shape.block_len());
        for (a, b) in first.chunks(LANES).zip(second.chunks(LANES)) {
            let numbers: Vec<u32> = a.iter().chain(b).map(|v| u32::from(bf16::from_f32(*v).to_bits())).collect();
            lines.extend(numbers.chunks(2).map(|two| f32::from_bits(two[0] | two[1] << 16)));
        }
    }
    lines
}

/// Converts lines to a row.
fn from_lines(lines: &[f32], shape: RowShape) -> Vec<f32> {
    let mut row = Vec::new();
    for block in lines.chunks(shape.block_len()) {
        for (half, pixel) in (0..2).flat_map(|half| (0..shape.width + 2 * shape.pad).map(move |pixel| (half, pixel))) {
            let numbers = &block[pixel * LANES + half * LANES / 2..][..LANES / 2];
            let two = numbers.iter().flat_map(|two| [two.to_bits() << 16, two.to_bits() & 0xffff_0000]);
            row.extend(two.map(f32::from_bits));
        }
    }
    row
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn tiles_convolve_odd_shapes(
        inputs in 1_usize..100,
        outputs in 1_usize..70,
        side in prop::sample::select(vec![1, 3, 5]),
        height in 1_usize..6,
        width in 1_usize..70,
        slope in prop::option::of(0.0_f32..0.3),
        add: bool,
        seed: u64,
    ) {
        Case { inputs, outputs, side, shuffle: 1, height, width, slope, add }.check(seed)?;
    }

    #[test]
    fn lines_are_read_and_written(
        blocks in 1_usize..4,
        outputs in 1_usize..4,
        side in prop::sample::select(vec![1, 3, 5]),
        shuffle in 1_usize..3,
        width in 1_usize..150,
        beside: bool,
        [read, write, add, add_lines] in any::<[bool; 4]>(),
        seed: u64,
    ) {
        if available() {
            let lines = Lines { inputs: 32 * blocks, outputs: 32 * outputs, side, shuffle, width, beside, read, write, add_lines };
            lines.check(add && shuffle == 1, seed >> 8);
        }
    }

    #[test]
    fn few_outputs_read_lines(width in 1_usize..150, outputs in 1_usize..6, seed: u64) {
        if available() {
            let (side, shuffle) = (3, 1);
            Lines { inputs: 64, outputs, side, shuffle, width, beside: false, read: true, write: false, add_lines: false }
                .check(false, seed >> 8);
        }
    }

    #[test]
    fn tiles_share_lanes(
        inputs in 1_usize..100,
        outputs in 1_usize..6,
        height in 1_usize..4,
        width in 1_usize..120,
        slope in prop::option::of(0.0_f32..0.3),
        add: bool,
        seed: u64,
    ) {
        Case { inputs, outputs, side: 3, shuffle: 1, height, width, slope, add }.check(seed)?;
    }

    #[test]
    fn tiles_shuffle(
        inputs in 1_usize..70,
        blocks in 1_usize..3,
        shuffle in 2_usize..4,
        side in prop::sample::select(vec![1, 3]),
        height in 1_usize..4,
        width in 1_usize..40,
        slope in prop::option::of(0.0_f32..0.3),
        add: bool,
        seed: u64,
    ) {
        let outputs = blocks * LANES * shuffle * shuffle;
        Case { inputs, outputs, side, shuffle, height, width, slope, add }.check(seed)?;
    }
}

#[test]
fn networks_own_shapes_convolve() {
    // Bodies, folded modules, heads, tails and a dense block's.
    for (inputs, outputs) in [(64, 64), (65, 64), (3, 64), (64, 3), (192, 32), (48, 12)] {
        let case = Case { inputs, outputs, side: 3, shuffle: 1, height: 2, width: 50, slope: Some(0.0), add: true };
        case.check(7 << 8).expect("within its bound");
    }
}

/// A pixel is bit-identical, whichever rows and columns are computed with it.
#[test]
fn a_pixel_does_not_depend_on_where_it_stands() {
    if !available() {
        return;
    }
    let (width, height) = (75, 4);
    for (inputs, outputs, products) in
        [(19, 37, Products::Three), (65, 64, Products::One), (65, 3, Products::Three), (3, 16, Products::One)]
    {
        let (k, b) = (random(1, outputs * inputs * 9), random(2, outputs));
        let conv = convolution(&k, &b, inputs, 3, 1, products);
        let shape = RowShape::new(inputs, width, 1);
        let picture: Vec<Vec<f32>> = (0..height + 2).map(|y| random(y + 3, shape.len())).collect();
        let run = |y: usize, count: usize, from: usize, to: usize| {
            let cut_shape = RowShape { width: to - from, ..shape };
            let cut: Vec<Vec<f32>> = picture[y..y + count + 2]
                .iter()
                .map(|row| {
                    let block = |block| &row[shape.at(block, from) - LANES..][..cut_shape.block_len()];
                    (0..shape.blocks).flat_map(block).copied().collect()
                })
                .collect();
            let cut: Vec<&[f32]> = cut.iter().map(Vec::as_slice).collect();
            let out_shape = RowShape::new(outputs, to - from, 0);
            let mut out = vec![0.0; out_shape.len() * count];
            conv.rows(
                &Input { maps: &[&cut], formats: &[], shape: cut_shape },
                &Store::default(),
                RowsMut::new(&mut out, out_shape),
            );
            (out, out_shape)
        };
        let (whole, whole_shape) = run(0, height as usize, 0, width);
        for from in 0..20 {
            let (y, count) = (from % 3, 1 + from % 2);
            let (part, part_shape) = run(y, count, from, width - from / 2);
            for (row, block) in (0..count).flat_map(|row| (0..part_shape.blocks).map(move |block| (row, block))) {
                let len = part_shape.width * LANES;
                let expected = &whole[(y + row) * whole_shape.len() + whole_shape.at(block, from)..][..len];
                let found = &part[row * part_shape.len() + part_shape.at(block, 0)..][..len];
                assert_eq!(found, expected, "{inputs} to {outputs}, from {from}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    if !available() {
        return;
    }
    let (inputs, width, side) = (40, 20, 3);
    let shape = RowShape::new(inputs, width, 1);
    for (products, outputs) in [(Products::One, 20), (Products::Three, 20), (Products::One, 3)] {
        let conv = convolution(&vec![0.25; outputs * inputs * 9], &vec![0.5; outputs], inputs, side, 1, products);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // Among the whole blocks, and among the gathered channels.
            for channel in [5, 35] {
                let mut row = vec![1.0; shape.len()];
                row[shape.at(channel / LANES, 9) + channel % LANES] = value;
                let plain = vec![1.0; shape.len()];
                let out_shape = RowShape::new(outputs, width, 0);
                let mut out = vec![0.0; out_shape.len()];
                let slopes = vec![0.1; out_shape.blocks * LANES];
                let store = Store { slopes: &slopes, ..Store::default() };
                conv.rows(
                    &Input { maps: &[&[&plain, &row, &plain]], formats: &[], shape },
                    &store,
                    RowsMut::new(&mut out, out_shape),
                );
                for (o, x) in (0..outputs).flat_map(|o| (0..width).map(move |x| (o, x))) {
                    let found = out[out_shape.at(o / LANES, x) + o % LANES];
                    let reached = (8..=10).contains(&x);
                    assert_eq!(!found.is_finite(), reached, "{products:?}, {value} in {channel}: {found} at {x}");
                    if reached && products == Products::One && !value.is_nan() {
                        assert!(!found.is_nan(), "infinity in {channel} stays infinity");
                    }
                }
            }
        }
    }
}

/// Scratch is kept from call to call, and numbers beyond the taps meet weights of zero: they must not be old ones.
#[test]
fn a_call_leaves_nothing_to_the_next() {
    if !available() {
        return;
    }
    let run = |inputs: usize, outputs: usize, width: usize, value: f32| {
        let conv = convolution(&vec![0.5; outputs * inputs * 9], &vec![0.5; outputs], inputs, 3, 1, Products::Three);
        let (shape, out_shape) = (RowShape::new(inputs, width, 1), RowShape::new(outputs, width, 0));
        let row = vec![value; shape.len()];
        let mut out = vec![0.0; out_shape.len()];
        conv.rows(
            &Input { maps: &[&[&row[..]; 3]], formats: &[], shape },
            &Store::default(),
            RowsMut::new(&mut out, out_shape),
        );
        (0..width).map(|x| out[out_shape.at(0, x)]).collect::<Vec<_>>()
    };
    // Gathered numbers that do not fill a step, and padded blocks.
    for (inputs, outputs) in [(3, 16), (4, 16), (36, 40), (50, 16), (33, 3)] {
        assert!(run(96, 16, 80, f32::NAN).iter().all(|v| v.is_nan()));
        let found = run(inputs, outputs, 37, 1.0);
        let expected = 0.5 * (inputs * 9 + 1) as f32;
        assert_eq!(found, [expected; 37], "{inputs} to {outputs}");
    }
}

#[test]
fn nothing_is_convolved_to_nothing() {
    if !available() {
        return;
    }
    let conv = convolution(&[0.5; 4 * 9], &[1.0; 2], 2, 3, 1, Products::One);
    let shape = RowShape::new(2, 0, 1);
    let row = vec![0.0; shape.len()];
    let mut out = vec![f32::NAN; RowShape::new(2, 0, 1).len()];
    conv.rows(
        &Input { maps: &[&[&row, &row, &row]], formats: &[], shape },
        &Store::default(),
        RowsMut::new(&mut out, shape),
    );
    assert!(out.iter().all(|v| *v == 0.0), "pads only");
    let shape = RowShape::new(2, 0, 1);
    conv.rows(&Input { maps: &[&[&row, &row]], formats: &[], shape }, &Store::default(), RowsMut::new(&mut [], shape));
}
