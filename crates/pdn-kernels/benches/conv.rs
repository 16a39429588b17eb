//! Convolutions with each instruction set, groups of rows as the engine does and a group of images as training does:
//! multiply-accumulates per second on one core.
//!
//!     cargo bench -p pdn-kernels

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pdn_kernels::{
    Conv, Factors, Input, Isa, PixelConv, PixelKernel, PixelMap, PixelStore, Precision, RowShape, RowsMut, Store,
};

fn convolve(criterion: &mut Criterion) {
    // The body of EDSR-baseline, its second upsampling, its last convolution, and a 1x1.
    for (inputs, outputs, side, shuffle, width) in
        [(64, 64, 3, 1, 256), (64, 256, 3, 2, 512), (64, 3, 3, 1, 1024), (64, 80, 1, 1, 256)]
    {
        let name = format!("{inputs} to {outputs}, {side}x{side}, {width} pixels");
        let mut group = criterion.benchmark_group(name);
        let conv = Conv::new(&vec![0.01; outputs * inputs * side * side], &vec![0.1; outputs], inputs, side, shuffle);
        group.throughput(Throughput::Elements((inputs * outputs * side * side * width * conv.group()) as u64));
        let shape = RowShape::new(inputs, width, 4);
        let out_shape = RowShape::new(outputs / (shuffle * shuffle), width * shuffle, 4);
        let row = vec![0.5; shape.len()];
        let rows = vec![row.as_slice(); conv.group() + side - 1];
        let mut out = vec![0.0; out_shape.len() * shuffle * conv.group()];
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::from_parameter(isa), |b| {
                b.iter(|| {
                    conv.rows(
                        isa,
                        Input { maps: &[&rows], formats: &[], shape },
                        &Store::default(),
                        RowsMut::new(&mut out, out_shape),
                    )
                });
            });
        }
        group.finish();
    }
}

/// Rows that are convolved: of one call, or of two.
const ROWS: usize = 8;

/// Numbers from -1 to 1 of which none is like another: tiles multiply a constant a third faster.
fn numbers(len: usize) -> Vec<f32> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1), next).map(|state| (state >> 8) as f32 / (1 << 23) as f32 - 1.0).take(len).collect()
}

fn convolve_rounded(criterion: &mut Criterion) {
    let precisions = [Precision::Bf16, Precision::Bf16x2].into_iter().filter(|precision| precision.is_available());
    let precisions: Vec<Precision> = precisions.collect();
    if precisions.is_empty() {
        println!("no bf16 on this machine");
    }
    // A body, a second upsampling, a last convolution, a folded module and the last of a dense block's.
    for (inputs, outputs, shuffle, width) in
        [(64, 64, 1, 256), (64, 256, 2, 512), (64, 3, 1, 1024), (65, 64, 1, 256), (192, 32, 1, 128)]
    {
        let name = format!("bf16, {inputs} to {outputs}, 3x3, {ROWS} rows of {width} pixels");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((inputs * outputs * 9 * width * ROWS) as u64));
        let shape = RowShape::new(inputs, width, Conv::pad_of(3));
        let out_shape = RowShape::new(outputs / (shuffle * shuffle), width * shuffle, 1);
        let picture = numbers(shape.len() * (ROWS + 2));
        let rows: Vec<&[f32]> = picture.chunks(shape.len()).collect();
        let mut out = vec![0.0; out_shape.len() * shuffle * ROWS];
        for &precision in &precisions {
            let kernel = numbers(outputs * inputs * 9);
            let conv = Conv::with_precision(&kernel, &vec![0.1; outputs], (inputs, 3, shuffle), precision);
            group.bench_function(BenchmarkId::from_parameter(precision), |b| {
                b.iter(|| {
                    let group = conv.group();
                    for (at, out) in out.chunks_mut(out_shape.len() * shuffle * group).enumerate() {
                        let input = Input { maps: &[&rows[at * group..][..group + 2]], formats: &[], shape };
                        conv.rows(Isa::best(), input, &Store::default(), RowsMut::new(out, out_shape));
                    }
                });
            });
        }
        group.finish();
    }
}

/// What another prompt costs a module: its mixed kernel is laid out again.
fn lay_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("laid out, 65 to 64, 3x3");
    let (kernel, bias) = (vec![0.01; 64 * 65 * 9], vec![0.1; 64]);
    for precision in Precision::ALL {
        group.bench_function(BenchmarkId::from_parameter(precision), |b| {
            b.iter(|| Conv::with_precision(&kernel, &bias, (65, 3, 1), precision));
        });
    }
    group.finish();
}

fn train(criterion: &mut Criterion) {
    // A body's convolution on one 48x48 patch, and the deep stage of a small picture tower.
    for (channels, images, extent) in [(64, 1, 48), (192, 32, 6)] {
        let name = format!("training, {channels} to {channels}, 3x3, {images} of {extent}x{extent}");
        let mut group = criterion.benchmark_group(name);
        let conv = PixelConv { inputs: channels, outputs: channels, side: 3, images, height: extent, width: extent };
        group.throughput(Throughput::Elements((channels * channels * 9 * images * extent * extent) as u64));
        let x = vec![0.5; images * channels * extent * extent];
        let mut y = x.clone();
        let mut gradients = vec![0.0; conv.gradients_len()];
        let rounded = Factors::Bf16.is_available().then_some((Isa::best(), Factors::Bf16, ", bf16"));
        for (isa, factors, said) in Isa::available().map(|isa| (isa, Factors::F32, "")).chain(rounded) {
            let kernel = PixelKernel::new(&vec![0.01; channels * channels * 9], channels, channels, 3, 1, factors);
            group.bench_function(format!("forward/{isa}{said}"), |b| {
                b.iter(|| conv.forward(isa, PixelMap::new(&x), &kernel, PixelStore::default(), &mut y));
            });
            group.bench_function(format!("gradients/{isa}{said}"), |b| {
                b.iter(|| conv.gradients(isa, factors, PixelMap::new(&x), PixelMap::new(&y), &mut gradients));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, convolve, convolve_rounded, lay_out, train);
criterion_main!(benches);
