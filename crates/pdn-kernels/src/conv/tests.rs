use super::*;
use proptest::prelude::*;

/// Lays out a kernel and bias for a number of inputs, a side and a shuffle.
type Make = fn(&[f32], &[f32], usize, usize, usize) -> Conv;

/// Uses pairs even if there is AMX.
fn pairs(kernel: &[f32], bias: &[f32], inputs: usize, side: usize, shuffle: usize) -> Conv {
    let shape = ConvShape { inputs, outputs: bias.len(), side, shuffle };
    Conv { shape, method: Conv::of_pairs(kernel, bias, shape) }
}

/// Transforms along columns and multiplies with tiles, with the parts of numbers unchanged or rounded to one.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn by_tiles(products: Products) -> Make {
    fn make<const THREE: bool>(kernel: &[f32], bias: &[f32], inputs: usize, side: usize, shuffle: usize) -> Conv {
        let shape = ConvShape { inputs, outputs: bias.len(), side, shuffle };
        let products = if THREE { Products::Three } else { Products::One };
        Conv { shape, method: Method::AmxWinograd(AmxWinograd::new(kernel, bias, shape, products)) }
    }
    match products {
        Products::One => make::<false>,
        Products::Three => make::<true>,
    }
}

fn machine_has_pairs() -> bool {
    let available = has_pairs();
    if !available {
        pdn_testing::skip("avx512", "no AVX-512 with bf16");
    }
    available
}

/// Converts a picture of `[channels][height][width]` to rows.
fn rows(picture: &[f32], channels: usize, height: usize, shape: RowShape) -> Vec<Vec<f32>> {
    let row = |y: usize| {
        let mut row = vec![0.0; shape.len()];
        for c in 0..channels {
            for x in 0..shape.width {
                row[shape.at(c / LANES, x) + c % LANES] = picture[(c * height + y) * shape.width + x];
            }
        }
        row
    };
    (0..height).map(row).collect()
}

/// Returns numbers from -1 to 1.
pub(crate) fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

struct Case {
    inputs: usize,
    outputs: usize,
    side: usize,
    shuffle: usize,
    height: usize,
    width: usize,
    slope: Option<f32>,
    add: bool,
    /// Rows above the picture where the first group begins.
    before: usize,
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

    /// Computes one output number by definition, in float64.
    fn expect(&self, [x, k, b]: [&[f32]; 3], o: usize, y: usize, col: usize) -> f64 {
        let (r, side) = (self.side as isize / 2, self.side);
        let mut sum = f64::from(b[o]);
        for i in 0..self.inputs {
            for tap in 0..side * side {
                let sy = y as isize + (tap / side) as isize - r;
                let sx = col as isize + (tap % side) as isize - r;
                if (0..self.height as isize).contains(&sy) && (0..self.width as isize).contains(&sx) {
                    let v = x[(i * self.height + sy as usize) * self.width + sx as usize];
                    sum += f64::from(v) * f64::from(k[(o * self.inputs + i) * side * side + tap]);
                }
            }
        }
        match self.slope_of(o / self.shuffle.pow(2)) {
            Some(slope) if sum < 0.0 => sum * f64::from(slope),
            _ => sum,
        }
    }

    /// Returns the largest difference between a row kernel's output and the definition.
    fn error(&self, isa: Isa, seed: u64) -> f64 {
        self.error_of(isa, seed, Conv::new)
    }

    /// Returns the error as [`Self::error`] does, of a convolution that `make` lays out.
    fn error_of(&self, isa: Isa, seed: u64, make: Make) -> f64 {
        let r = self.shuffle;
        let x = random(seed, self.inputs * self.height * self.width);
        let k = random(seed + 1, self.outputs * self.inputs * self.side * self.side);
        let b = random(seed + 2, self.outputs);
        let conv = make(&k, &b, self.inputs, self.side, r);
        let shape = RowShape::new(self.inputs, self.width, conv.pad() + 1);
        let out_shape = RowShape::new(self.outputs / (r * r), self.width * r, 2);
        let input = rows(&x, self.inputs, self.height, shape);
        let nothing = vec![0.0; shape.len()];
        let add = random(seed + 3, out_shape.len());
        let slopes = self.slopes(out_shape.blocks * LANES);
        let mut worst = 0.0_f64;
        // The first group begins above the picture.
        let before = self.before % conv.group();
        for group in (0..self.height + before).step_by(conv.group()) {
            let around = (group as isize - (before + self.side / 2) as isize..).take(conv.group() + self.side - 1);
            let around = around.map(|y| usize::try_from(y).ok().and_then(|y| input.get(y)).unwrap_or(&nothing));
            let around: Vec<&[f32]> = around.map(Vec::as_slice).collect();
            let skip = before.saturating_sub(group);
            let first = group + skip - before;
            let count = (group + conv.group() - before).min(self.height) - first;
            let adds = vec![add.as_slice(); if self.add { count } else { 0 }];
            let store = Store { slopes: &slopes, scale: 0.5, add: &adds, skip, ..Store::default() };
            let mut out = vec![f32::NAN; out_shape.len() * r * count];
            // The blocks as one map, and as one map each.
            let apart: Vec<Vec<&[f32]>> = (0..shape.blocks)
                .map(|block| around.iter().map(|row| &row[block * shape.block_len()..][..shape.block_len()]).collect())
                .collect();
            let apart: Vec<&[&[f32]]> = apart.iter().map(Vec::as_slice).collect();
            let mut other = out.clone();
            conv.rows(isa, Input { maps: &apart, formats: &[], shape }, &store, RowsMut::new(&mut other, out_shape));
            conv.rows(isa, Input { maps: &[&around], formats: &[], shape }, &store, RowsMut::new(&mut out, out_shape));
            assert_eq!(out, other, "however the maps are parted");
            assert!(out.iter().all(|v| v.is_finite()), "every number of the rows is written");
            for (dy, row) in out.chunks(out_shape.len()).enumerate() {
                let (y, dy) = (first + dy / r, dy % r);
                for c in 0..self.outputs / (r * r) {
                    for col in 0..self.width * r {
                        let at = out_shape.at(c / LANES, col) + c % LANES;
                        let o = (c * r + dy) * r + col % r;
                        let mut expected = 0.5 * self.expect([&x, &k, &b], o, y, col / r);
                        if self.add {
                            expected += f64::from(add[at]);
                        }
                        worst = worst.max((f64::from(row[at]) - expected).abs());
                    }
                }
            }
        }
        worst
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_instruction_set_convolves_odd_shapes(
        inputs in 1_usize..40,
        outputs in 1_usize..70,
        side in prop::sample::select(vec![1, 3, 5]),
        height in 1_usize..11,
        width in 1_usize..40,
        slope in prop::option::of(0.0_f32..0.3),
        add: bool,
        before in 0_usize..4,
        seed: u64,
    ) {
        let case = Case { inputs, outputs, side, shuffle: 1, height, width, slope, add, before };
        for isa in Isa::available() {
            let error = case.error(isa, seed >> 8);
            prop_assert!(error < 4e-5, "{isa}: {error:.1e}");
        }
    }

    #[test]
    fn every_instruction_set_shuffles(
        inputs in 1_usize..20,
        blocks in 1_usize..4,
        shuffle in 2_usize..4,
        width in 1_usize..20,
        slope in prop::option::of(0.0_f32..0.3),
        seed: u64,
    ) {
        let outputs = blocks * LANES * shuffle * shuffle;
        let case = Case { inputs, outputs, side: 3, shuffle, height: 2, width, slope, add: false, before: 0 };
        for isa in Isa::available() {
            let error = case.error(isa, seed >> 8);
            prop_assert!(error < 2e-5, "{isa}: {error:.1e}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn pairs_convolve_odd_shapes(
        // A few blocks at a time, and several groups of outputs.
        inputs in 16_usize..100,
        outputs in 1_usize..140,
        height in 1_usize..11,
        width in 1_usize..70,
        slope in prop::option::of(0.0_f32..0.3),
        add: bool,
        before in 0_usize..4,
        seed: u64,
    ) {
        if machine_has_pairs() {
            let case = Case { inputs, outputs, side: 3, shuffle: 1, height, width, slope, add, before };
            let error = case.error_of(Isa::Avx512, seed >> 8, pairs) / ((9 * inputs) as f64).sqrt();
            prop_assert!(error < 2e-2, "{error:.1e}");
        }
    }

    #[test]
    fn pairs_shuffle(
        inputs in 16_usize..40,
        blocks in 1_usize..3,
        shuffle in 2_usize..4,
        width in 1_usize..20,
        slope in prop::option::of(0.0_f32..0.3),
        seed: u64,
    ) {
        if machine_has_pairs() {
            let outputs = blocks * LANES * shuffle * shuffle;
            let case = Case { inputs, outputs, side: 3, shuffle, height: 2, width, slope, add: false, before: 0 };
            let error = case.error_of(Isa::Avx512, seed >> 8, pairs) / ((9 * inputs) as f64).sqrt();
            prop_assert!(error < 2e-2, "{error:.1e}");
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn tiles_convolve_what_is_transformed(
        // Padded blocks, and a rest whose columns share a step.
        inputs in 1_usize..100,
        outputs in 1_usize..70,
        height in 1_usize..11,
        width in 1_usize..150,
        slope in prop::option::of(0.0_f32..0.3),
        add: bool,
        before in 0_usize..4,
        seed: u64,
    ) {
        if amx::tests::available() {
            for (products, bound) in [(Products::One, 3e-2), (Products::Three, 1e-4)] {
                let case = Case { inputs, outputs, side: 3, shuffle: 1, height, width, slope, add, before };
                let error = case.error_of(Isa::Avx512, seed >> 8, by_tiles(products)) / ((9 * inputs) as f64).sqrt();
                prop_assert!(error < bound, "{products:?}: {error:.1e}");
            }
        }
    }

    #[test]
    fn tiles_shuffle_what_is_transformed(
        inputs in 1_usize..70,
        blocks in 1_usize..3,
        shuffle in 2_usize..4,
        width in 1_usize..50,
        slope in prop::option::of(0.0_f32..0.3),
        seed: u64,
    ) {
        if amx::tests::available() {
            let outputs = blocks * LANES * shuffle * shuffle;
            let case = Case { inputs, outputs, side: 3, shuffle, height: 2, width, slope, add: false, before: 0 };
            let error = case.error_of(Isa::Avx512, seed >> 8, by_tiles(Products::Three));
            prop_assert!(error / ((9 * inputs) as f64).sqrt() < 1e-4, "{error:.1e}");
        }
    }
}

/// The padding of the last block of inputs is not read, even if it would be a pair's second number.
#[test]
fn lanes_that_are_no_inputs_may_be_anything() {
    let mut makes: Vec<Make> = vec![Conv::new];
    if machine_has_pairs() {
        makes.push(pairs);
    }
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx::tests::available() {
        makes.push(by_tiles(Products::Three));
    }
    for (make, inputs) in makes.into_iter().flat_map(|make| [(make, 17), (make, 18)]) {
        let conv = make(&vec![0.5; 16 * inputs * 9], &[0.5; 16], inputs, 3, 1);
        let (shape, out_shape) = (RowShape::new(inputs, 9, 4), RowShape::new(16, 9, 0));
        let mut row = vec![1.0; shape.len()];
        row[LANES * (shape.len() / LANES / 2)..]
            .chunks_mut(LANES)
            .for_each(|lanes| lanes[inputs % LANES..].fill(f32::NAN));
        let around = vec![row.as_slice(); conv.group() + 2];
        let mut out = vec![0.0; out_shape.len() * conv.group()];
        conv.rows(
            Isa::best(),
            Input { maps: &[&around], formats: &[], shape },
            &Store::default(),
            RowsMut::new(&mut out, out_shape),
        );
        let expected = 0.5 * (inputs * 9 + 1) as f32;
        assert!(out.iter().all(|v| (v - expected).abs() < 1e-2 * expected), "{inputs}: {out:?}");
    }
}

#[test]
fn what_is_no_row_is_refused_or_nothing() {
    // Winograd's tiles, few outputs, direct convolution; a shape whose length would wrap around.
    for (inputs, outputs) in [(16, 16), (16, 3), (3, 16)] {
        let conv = Conv::new(&vec![0.5; outputs * inputs * 9], &vec![0.5; outputs], inputs, 3, 1);
        let (shape, out_shape) = (RowShape::new(inputs, 9, 4), RowShape::new(outputs, 9, 0));
        let row = vec![1.0; shape.len()];
        let around = vec![row.as_slice(); conv.group() + 2];
        let maps: &[&[&[f32]]] = &[&around];
        conv.rows(
            Isa::best(),
            Input { maps, formats: &[], shape },
            &Store::default(),
            RowsMut::new(&mut [], out_shape),
        );
        let refused = |shape: RowShape, out_shape: RowShape, skip: usize| {
            let store = Store { skip, ..Store::default() };
            let mut out = vec![0.0; RowShape::new(outputs, 9, 0).len()];
            let run = || {
                conv.rows(Isa::best(), Input { maps, formats: &[], shape }, &store, RowsMut::new(&mut out, out_shape))
            };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
        };
        assert!(!refused(shape, out_shape, 0) && refused(shape, out_shape, usize::MAX));
        let wide = RowShape { width: (1 << 60) + 9, ..shape };
        assert!(refused(wide, RowShape { width: wide.width, ..out_shape }, 0));
    }
}

#[test]
fn a_pixel_does_not_depend_on_where_it_stands() {
    for outputs in [3, 37] {
        stands_anywhere(19, outputs, 45, Conv::new, &Isa::available().collect::<Vec<_>>());
    }
    if machine_has_pairs() {
        stands_anywhere(19, 37, 75, pairs, &[Isa::Avx512]);
    }
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx::tests::available() {
        stands_anywhere(37, 37, 150, by_tiles(Products::Three), &[Isa::Avx512]);
    }
}

fn stands_anywhere(inputs: usize, outputs: usize, width: usize, make: Make, isas: &[Isa]) {
    let (k, b) = (random(1, outputs * inputs * 9), random(2, outputs));
    let conv = make(&k, &b, inputs, 3, 1);
    let wide = RowShape::new(inputs, width, conv.pad());
    let picture = random(3, wide.len());
    for &isa in isas {
        let run = |from: usize, to: usize| {
            let shape = RowShape { width: to - from, ..wide };
            let cut: Vec<f32> = (0..wide.blocks)
                .flat_map(|block| {
                    let start = wide.at(block, from) - wide.pad * LANES;
                    picture[start..start + shape.block_len()].to_vec()
                })
                .collect();
            let out_shape = RowShape::new(outputs, to - from, 0);
            let mut out = vec![0.0; out_shape.len() * conv.group()];
            let around = vec![cut.as_slice(); conv.group() + 2];
            conv.rows(
                isa,
                Input { maps: &[&around], formats: &[], shape },
                &Store::default(),
                RowsMut::new(&mut out, out_shape),
            );
            (out, out_shape)
        };
        let (whole, whole_shape) = run(0, width);
        // A group's tiles begin at every fourth column, and a tile's results stay together.
        for from in (0..16).map(|i| if conv.group() > 1 { i / 2 * 4 } else { i }) {
            let (part, shape) = run(from, width - from / 2);
            for block in 0..shape.blocks {
                let expected = &whole[whole_shape.at(block, from)..][..shape.width * LANES];
                assert_eq!(&part[shape.at(block, 0)..][..shape.width * LANES], expected, "{isa} from {from}");
            }
        }
    }
}
