//! Kernels on odd shapes, each instruction set against the portable one, over buffers that the caller lays out: at the
//! end of a page, with no page after it.

use crate::dice::Dice;
use pdn_kernels::{
    Conv, Factors, FoldedMask, Format, Input, Isa, LANES, MaskScale, PixelConv, PixelKernel, PixelMap, PixelStore,
    Precision, Row, RowShape, RowsMut, Store, add_product, mask_row, sum_channels, transpose,
};
use std::ops::DerefMut;

/// Runs a kernel that the input chooses, on buffers that `place` makes of numbers.
///
/// # Panics
/// If an instruction set gives other numbers than the portable kernels.
pub fn kernels<B: DerefMut<Target = [f32]>>(data: &[u8], place: impl Fn(&[f32]) -> B) {
    let mut dice = Dice::new(data);
    match dice.byte() % 8 {
        0..=2 => convolved(&mut dice, &place),
        3 => masked(&mut dice, &place),
        4 => projected(&mut dice, &place),
        5 => exchanged(&mut dice, &place),
        6 => multiplied(&mut dice, &place),
        _ => trained(&mut dice, &place),
    }
}

/// Makes numbers of -1 to 1, whose sums stay small.
fn numbers(dice: &mut Dice, count: usize) -> Vec<f32> {
    let bytes = dice.filled(count);
    bytes
        .into_iter()
        .enumerate()
        .map(|(i, byte)| f32::from(byte.wrapping_add((i * 29) as u8).cast_signed()) / 128.0)
        .collect()
}

/// Makes a row of this many channels, with zeros beside its pixels and in unused lanes.
fn row(dice: &mut Dice, channels: usize, shape: RowShape) -> Vec<f32> {
    let mut row = numbers(dice, shape.len());
    for block in 0..shape.blocks {
        for lane in (0..LANES).filter(|lane| block * LANES + lane >= channels) {
            (0..shape.width).for_each(|x| row[shape.at(block, x) + lane] = 0.0);
        }
    }
    if !row.is_empty() {
        shape.clear_pads(&mut row);
    }
    row
}

/// Checks that numbers agree up to rounding, for sums of at most this size.
#[track_caller]
fn near(found: &[f32], expected: &[f32], most: f32, what: &str) {
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let far = (found - expected).abs();
        assert!(far <= most, "{what}: {found} at {at}, expected {expected}");
    }
}

fn convolved<B: DerefMut<Target = [f32]>>(dice: &mut Dice, place: &impl Fn(&[f32]) -> B) {
    let side = dice.of(&[3, 1, 5, 7, 9, 15]);
    let shuffle = dice.of(&[1, 1, 2, 3]);
    // Keeps large kernels as quick as small ones.
    let most = if side > 5 { 20 } else { 50 };
    let inputs = 1 + dice.below(most);
    let outputs = if shuffle == 1 { 1 + dice.below(most) } else { shuffle * shuffle * LANES };
    let width = dice.below(30);
    let (kernel, bias) = (numbers(dice, outputs * inputs * side * side), numbers(dice, outputs));
    let precisions = Precision::ALL.into_iter().filter(|precision| precision.is_available());
    // Sized for the largest group, from which each kernel takes as many rows as it reads.
    let shape = RowShape::new(inputs, width, Conv::pad_of(side) + dice.below(2));
    let rows: Vec<B> = (0..Conv::MOST_READ).map(|_| place(&row(dice, inputs, shape))).collect();
    let out_shape =
        RowShape { blocks: outputs.div_ceil(LANES) / (shuffle * shuffle), width: width * shuffle, pad: dice.below(4) };
    if out_shape.is_empty() {
        return;
    }
    let slopes = if dice.once_in(2) { numbers(dice, out_shape.blocks * LANES) } else { Vec::new() };
    let slopes = place(&slopes);
    let (adds, wanted, skipped) = (shuffle == 1 && dice.once_in(2), dice.below(16), dice.below(16));
    let scale = dice.of(&[1.0, 0.5, -1.0]);
    let add = place(&row(dice, outputs, out_shape));
    for precision in precisions {
        let conv = Conv::with_precision(&kernel, &bias, (inputs, side, shuffle), precision);
        let stored = 1 + wanted % conv.group();
        let skip = skipped % (conv.group() - stored + 1);
        let read: Vec<&[f32]> = rows.iter().take(conv.group() + side - 1).map(|row| &**row).collect();
        let maps = [&read[..]];
        let input = Input { maps: &maps, formats: &[], shape };
        let added: Vec<&[f32]> = if adds { vec![&*add; stored] } else { Vec::new() };
        let formats = (Format::Singles, Format::Singles);
        let store = Store { slopes: &slopes, scale, add: &added, add_format: formats.0, format: formats.1, skip };
        let run = |isa| {
            let mut out = place(&vec![f32::NAN; out_shape.len() * shuffle * stored]);
            conv.rows(isa, input, &store, RowsMut::new(&mut out, out_shape));
            out
        };
        let expected = run(Isa::Portable);
        assert!(expected.iter().all(|v| v.is_finite()), "{precision}: a number is not written");
        // The error of Winograd's transforms grows with the sums.
        let most = 1e-5 * (inputs * side * side) as f32 + 1e-3;
        for isa in Isa::available() {
            near(
                &run(isa),
                &expected,
                most,
                &format!("{isa} {precision} {inputs} to {outputs}, side {side}, width {width}"),
            );
        }
    }
}

fn masked<B: DerefMut<Target = [f32]>>(dice: &mut Dice, place: &impl Fn(&[f32]) -> B) {
    let channels = 1 + dice.below(70);
    let mut r = numbers(dice, channels * channels);
    for (at, v) in r.iter_mut().enumerate() {
        if at % channels < at / channels {
            *v = 0.0;
        }
    }
    let (shift, numerator) = (numbers(dice, channels), numbers(dice, channels));
    let scale = MaskScale { zeta: 2.0, square: 0.25 };
    let mask = FoldedMask::new(&r, &shift, (&numerator, 0.5), scale);
    let width = 1 + dice.below(40);
    let (shape, out_shape) =
        (RowShape::new(channels, width, dice.below(3)), RowShape::new(channels + 1, width, dice.below(3)));
    let x = place(&row(dice, channels, shape));
    let run = |isa| {
        let mut out = place(&vec![f32::NAN; out_shape.len()]);
        mask.row(isa, Row::new(&x, shape), RowsMut::new(&mut out, out_shape));
        out
    };
    let expected = run(Isa::Portable);
    Isa::available()
        .for_each(|isa| near(&run(isa), &expected, 1e-3, &format!("{isa}: a mask of {channels}, width {width}")));
}

fn projected<B: DerefMut<Target = [f32]>>(dice: &mut Dice, place: &impl Fn(&[f32]) -> B) {
    let (channels, width) = (1 + dice.below(70), 1 + dice.below(40));
    let shape = RowShape { blocks: channels.div_ceil(LANES) + 1, width, pad: dice.below(3) };
    let out_shape = RowShape::new(channels + 1, width, dice.below(3));
    let x = place(&numbers(dice, shape.len()));
    let scale = MaskScale { zeta: 2.0, square: 0.25 };
    let run = |isa| {
        let mut out = place(&vec![0.0; out_shape.len()]);
        mask_row(isa, channels, Row::new(&x, shape), scale, RowsMut::new(&mut out, out_shape));
        out
    };
    let expected = run(Isa::Portable);
    let means = dice.once_in(2).then(|| place(&numbers(dice, shape.blocks * LANES)));
    let sums = |isa| sum_channels(isa, &x, shape, means.as_deref()).into_iter().map(|v| v as f32).collect::<Vec<_>>();
    for isa in Isa::available() {
        near(&run(isa), &expected, 1e-3, &format!("{isa}: a projected mask of {channels}, width {width}"));
        near(&sums(isa), &sums(Isa::Portable), 1e-3, &format!("{isa}: sums of {channels}, width {width}"));
    }
}

fn exchanged<B: DerefMut<Target = [f32]>>(dice: &mut Dice, place: &impl Fn(&[f32]) -> B) {
    let (rows, columns) = (dice.below(70), dice.below(70));
    let from = place(&numbers(dice, rows * columns));
    for isa in Isa::available() {
        let mut to = place(&vec![f32::NAN; rows * columns]);
        transpose(isa, rows, columns, &from, &mut to);
        let right = |at: usize| to[at % columns * rows + at / columns] == from[at];
        assert!((0..rows * columns).all(right), "{isa}: {rows}x{columns}");
    }
}

fn multiplied<B: DerefMut<Target = [f32]>>(dice: &mut Dice, place: &impl Fn(&[f32]) -> B) {
    let [rows, inner, columns] = [0; 3].map(|_| dice.below(40));
    let (a, b) = (place(&numbers(dice, rows * inner)), place(&numbers(dice, inner * columns)));
    let mut out = place(&vec![0.0; rows * columns]);
    add_product(&a, &b, &mut out, [rows, inner, columns]);
    let sum = |at: usize| (0..inner).map(|i| a[at / columns * inner + i] * b[i * columns + at % columns]).sum::<f32>();
    let expected: Vec<f32> = (0..rows * columns).map(sum).collect();
    near(&out, &expected, 1e-3, &format!("{rows}x{inner}x{columns}"));
}

fn trained<B: DerefMut<Target = [f32]>>(dice: &mut Dice, place: &impl Fn(&[f32]) -> B) {
    let side = dice.of(&[3, 1, 5, 7]);
    let (mut outputs, inputs) = (1 + dice.below(50), 1 + dice.below(50));
    let mut shuffle = dice.of(&[1, 2, 1]);
    if shuffle == 2 {
        outputs = 4 * LANES;
    }
    if !PixelConv::shuffles(outputs, inputs, side, shuffle) {
        shuffle = 1;
    }
    let [images, height, width] = [1 + dice.below(2), 1 + dice.below(8), 1 + dice.below(16)];
    let conv = PixelConv { inputs, outputs, side, images, height, width };
    let pixels = images * height * width;
    let kernel = numbers(dice, outputs * inputs * side * side);
    let (x, dy) = (place(&numbers(dice, pixels * inputs)), place(&numbers(dice, pixels * outputs)));
    let bias = place(&numbers(dice, outputs));
    let positive = dice.once_in(2).then(|| place(&numbers(dice, pixels * outputs)));
    let add = dice.once_in(2).then(|| place(&numbers(dice, pixels * outputs)));
    let store = PixelStore { bias: Some(&bias), relu: dice.once_in(2), add: add.as_deref(), shuffle };
    let dy = PixelMap { numbers: &dy, positive: positive.as_deref(), shuffle };
    let laid = PixelKernel::new(&kernel, outputs, inputs, side, shuffle, Factors::F32);
    let forward = |isa| {
        let mut y = place(&vec![f32::NAN; pixels * outputs]);
        conv.forward(isa, PixelMap::new(&x), &laid, store, &mut y);
        y
    };
    let gradients = |isa| {
        let mut lanes = place(&vec![f32::NAN; conv.gradients_len()]);
        conv.gradients(isa, Factors::F32, PixelMap::new(&x), dy, &mut lanes);
        lanes
    };
    let (expected, expected_gradients) = (forward(Isa::Portable), gradients(Isa::Portable));
    let most = 1e-5 * (inputs * side * side) as f32 + 1e-3;
    for isa in Isa::available() {
        near(&forward(isa), &expected, most, &format!("{isa}: {conv:?}"));
        near(
            &gradients(isa),
            &expected_gradients,
            1e-5 * pixels as f32 + 1e-3,
            &format!("{isa}: gradients of {conv:?}"),
        );
    }
}
