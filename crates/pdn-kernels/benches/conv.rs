//! One row of a convolution with each instruction set: multiply-accumulates per second on one core.
//!
//!     cargo bench -p pdn-kernels

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pdn_kernels::{Conv, Isa, RowShape, Store};

fn convolve(criterion: &mut Criterion) {
    // The body of EDSR-baseline, its second upsampling, its last convolution, and a 1x1.
    for (inputs, outputs, side, shuffle, width) in
        [(64, 64, 3, 1, 256), (64, 256, 3, 2, 512), (64, 3, 3, 1, 1024), (64, 80, 1, 1, 256)]
    {
        let name = format!("{inputs} to {outputs}, {side}x{side}, {width} pixels");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((inputs * outputs * side * side * width) as u64));
        let conv = Conv::new(&vec![0.01; outputs * inputs * side * side], &vec![0.1; outputs], inputs, side, shuffle);
        let shape = RowShape::new(inputs, width, 1);
        let out_shape = RowShape::new(outputs / (shuffle * shuffle), width * shuffle, 1);
        let row = vec![0.5; shape.len()];
        let rows = vec![row.as_slice(); side];
        let mut out = vec![0.0; out_shape.len() * shuffle];
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::from_parameter(isa), |b| {
                b.iter(|| conv.row(isa, &rows, shape, &Store::default(), &mut out, out_shape));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, convolve);
criterion_main!(benches);
