//! Compares the engine with the reference executor, and with itself under other tiles, threads and memory.

use pdn_engine::{Isa, Map, Plan, RunError, RunOptions, Session, reference};
use pdn_network::zoo::{Compact, Edsr, Imdn, MsrResNet, Pdn, Rdn, Rrdb, Spsr, SrResNet, Srvgg};
use pdn_network::{Act, Builder, DcmOptions, Interpolation, Network, PictureFormat, Pool, hashed};
use proptest::prelude::*;
use std::sync::Arc;

fn picture(height: usize, width: usize) -> Map<f32> {
    Map::new(3, height, width, hashed::numbers("picture", 3 * height * width, 1.0))
}

fn session(network: &Network, isa: Isa) -> Session {
    let mut session = Session::new(Plan::new(network, &hashed::weights(network), isa).unwrap());
    if let Some(dim) = network.prompt_dim() {
        session.set_prompt(&hashed::prompt("prompt", dim)).unwrap();
    }
    session
}

fn run(session: &mut Session, picture: &Map<f32>, options: RunOptions) -> Map<f32> {
    session.run(picture, &options, &mut |_| true).unwrap()
}

/// Returns the largest difference between the engine and the reference executor in float64, relative to the largest
/// value.
fn error(network: &Network, isa: Isa, height: usize, width: usize) -> f64 {
    let picture = picture(height, width);
    let wide = Map::new(3, height, width, picture.data.iter().map(|v| f64::from(*v)).collect());
    let prompt = network.prompt_dim().map(|dim| hashed::prompt("prompt", dim));
    let prompt: Option<Vec<f64>> = prompt.map(|p| p.iter().map(|v| f64::from(*v)).collect());
    let expected = reference::run(network, &hashed::weights(network), &wide, prompt.as_deref()).unwrap().picture;
    let found = run(&mut session(network, isa), &picture, RunOptions::default());
    assert_eq!((found.height, found.width), (expected.height, expected.width));
    let differences = found.data.iter().zip(&expected.data).map(|(a, b)| (f64::from(*a) - b).abs());
    differences.fold(0.0, f64::max) / expected.data.iter().fold(0.0, |m, v| v.abs().max(m))
}

/// Builds a network with what no architecture here has: activations that cannot be fused, channels that do not fill
/// blocks, a slice inside a block, a product and a sum of maps, a pool of a slice, a gradient, a tap that nothing else
/// reads.
fn odd(features: usize) -> Network {
    let mut b = Builder::new();
    let x = b.picture();
    let head = b.conv("head", x, features, 3);
    let a = b.relu(head);
    let left = b.slice(a, 1, features - 1);
    let right = b.slice(head, 0, 1);
    let joined = b.concat(&[left, right]);
    let pooled = b.global_pool(Pool::Mean, right);
    let weighed = b.mul(joined, pooled);
    let edges = b.gradient(weighed, 0.01);
    let aside = b.conv("aside", edges, 3, 1);
    b.tap("aside", aside);
    let sum = b.add(edges, head);
    let product = b.mul(sum, a);
    let scaled = b.scale(product, 0.25);
    let leaky = b.act(Act::LeakyRelu(0.1), scaled);
    let wide = b.conv("wide", leaky, 12, 5);
    let out = b.pixel_shuffle(wide, 2);
    let soft = b.act(Act::Sigmoid, out);
    b.finish("odd", &(), PictureFormat::UNIT, soft).unwrap()
}

/// How a network can end in a shuffle plus repeated pixels: as SRVGGNetCompact does, with the enlargement first, with
/// an enlargement of another map than the picture, and with a shuffle or an enlargement that is also read or changed
/// elsewhere.
const ENDINGS: [&str; 6] = ["plain", "enlarged first", "of a map", "activated", "read twice", "bilinear"];

/// Builds a network with such an ending, and a PReLU after each convolution, including before and after a shuffle.
fn ending(how: &str, features: usize, r: usize) -> Network {
    let mut b = Builder::new();
    let picture = b.picture();
    let interpolation = if how == "bilinear" { Interpolation::Bilinear } else { Interpolation::Nearest };
    let mut x = b.conv("head", picture, features, 3);
    x = b.prelu("a", x);
    x = b.conv("wide", x, 4 * features, 1);
    x = b.prelu("b", x);
    x = b.pixel_shuffle(x, 2);
    x = b.prelu("c", x);
    x = b.pixel_unshuffle(x, 2);
    // Two factors that cancel out, before an activation.
    x = b.scale(x, 0.5);
    x = b.scale(x, 2.0);
    x = b.relu(x);
    let small = if how == "of a map" { b.conv("small", x, 3, 1) } else { picture };
    let first = (how == "enlarged first").then(|| b.enlarge(small, interpolation, r));
    x = b.conv("tail", x, 3 * r * r, 3);
    x = b.prelu("d", x);
    x = b.pixel_shuffle(x, r);
    if how == "activated" {
        x = b.act(Act::Sigmoid, x);
    }
    let base = first.unwrap_or_else(|| b.enlarge(small, interpolation, r));
    x = b.add(base, x);
    if how == "read twice" {
        x = b.add(x, base);
    }
    b.finish("ending", &(), PictureFormat::UNIT, x).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn dcms_of_every_kind_and_size_agree_with_the_reference(
        features in 1_usize..40,
        dim in 1_usize..60,
        kernels in 1_usize..5,
        kernel in prop::sample::select(vec![1, 3, 5]),
        [attention, dynamic, residual]: [bool; 3],
        (height, width) in (1_usize..12, 1_usize..20),
    ) {
        let dcm = DcmOptions { dim, kernels, kernel, attention, dynamic, residual, ..DcmOptions::default() };
        let network = Edsr { features, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
        for isa in Isa::available() {
            let error = error(&network, isa, height, width);
            prop_assert!(error < 1e-5, "{isa}: {error:.1e}");
        }
    }

    #[test]
    fn odd_networks_agree_with_the_reference(features in 2_usize..40, (height, width) in (1_usize..9, 1_usize..20)) {
        for isa in Isa::available() {
            let error = error(&odd(features), isa, height, width);
            prop_assert!(error < 1e-5, "{isa}: {error:.1e}");
        }
    }

    #[test]
    fn endings_agree_with_the_reference(
        how in prop::sample::select(&ENDINGS[..]),
        features in 1_usize..40,
        r in 1_usize..5,
        (height, width) in (1_usize..9, 1_usize..20),
    ) {
        for isa in Isa::available() {
            let error = error(&ending(how, features, r), isa, height, width);
            prop_assert!(error < 1e-5, "{how} on {isa}: {error:.1e}");
        }
    }
}

#[test]
fn pixels_do_not_depend_on_tiles_or_threads() {
    let dcm = DcmOptions::default();
    let networks = [
        Edsr { blocks: 3, ..Edsr::baseline(4) }.build().unwrap(),
        Edsr { blocks: 2, ..Edsr::baseline(3) }.plus(dcm).build().unwrap(),
        Pdn { groups: 2, blocks: 2, modules: 1, ..Pdn::medium(2) }.build().unwrap(),
        Imdn::published(4).build().unwrap(),
        Compact::small(4).build().unwrap(),
    ];
    for network in networks {
        for isa in Isa::available() {
            let mut session = session(&network, isa);
            let picture = picture(41, 131);
            let whole = run(&mut session, &picture, RunOptions::default());
            for tile in [5, 23, 64] {
                let tiled = run(&mut session, &picture, RunOptions { tile: Some(tile), ..RunOptions::default() });
                assert!(tiled == whole, "{} on {isa} in tiles of {tile}", network.architecture);
            }
            for threads in [1, 3, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| run(&mut session, &picture, RunOptions::default()));
                assert!(again == whole, "{} on {isa} with {threads} threads", network.architecture);
            }
        }
    }
}

#[test]
fn a_picture_without_whole_blocks_is_continued_by_its_reflection() {
    for (scale, height, width) in [(2, 5, 8), (2, 6, 7), (1, 5, 7), (1, 1, 3), (1, 2, 4)] {
        let network = Rrdb { features: 16, growth: 16, ..Rrdb::published(1, scale) }.build().unwrap();
        let block = network.multiple();
        let small = picture(height, width);
        let mirror = |at: usize, length: usize| if at < length { at } else { (2 * length).saturating_sub(2 + at) };
        let (h, w) = (height.next_multiple_of(block), width.next_multiple_of(block));
        let at = |i: usize| (i / (h * w), mirror(i / w % h, height), mirror(i % w, width));
        let data = (0..3 * h * w).map(at).map(|(c, y, x)| small.data[(c * height + y) * width + x]).collect();
        let mut session = session(&network, Isa::best());
        let whole = run(&mut session, &Map::new(3, h, w, data), RunOptions::default());
        let found = run(&mut session, &small, RunOptions::default());
        assert_eq!((found.height, found.width), (height * scale, width * scale));
        for (i, v) in found.data.iter().enumerate() {
            let (c, y, x) = (i / (found.height * found.width), i / found.width % found.height, i % found.width);
            assert_eq!(*v, whole.data[(c * whole.height + y) * whole.width + x], "x{scale} {height}x{width}");
        }
    }
}

#[test]
fn every_architecture_gives_the_same_pixels_in_tiles() {
    let networks = [
        Rdn { features: 16, growth: 16, blocks: 2, layers: 3, ..Rdn::a(3) }.build().unwrap(),
        Rrdb { features: 16, growth: 16, ..Rrdb::published(1, 1) }.build().unwrap(),
        Rrdb { features: 16, growth: 16, ..Rrdb::published(1, 2) }.build().unwrap(),
        Rrdb { features: 16, growth: 16, ..Rrdb::published(1, 4) }.build().unwrap(),
        Spsr { features: 16, growth: 16, blocks: 4, interval: 1, ..Spsr::published(2) }.build().unwrap(),
        SrResNet { features: 16, blocks: 1, ..SrResNet::published(2) }.build().unwrap(),
        MsrResNet { features: 16, blocks: 1, ..MsrResNet::published(3) }.build().unwrap(),
        Srvgg { features: 16, convs: 2, ..Srvgg::compact(3) }.build().unwrap(),
    ];
    for network in networks {
        for isa in Isa::available() {
            let mut session = session(&network, isa);
            let picture = picture(19, 30);
            let whole = run(&mut session, &picture, RunOptions::default());
            let tiled = run(&mut session, &picture, RunOptions { tile: Some(11), ..RunOptions::default() });
            assert!(tiled == whole, "{} {} on {isa}", network.architecture, network.config);
        }
    }
}

#[test]
fn memory_grows_with_the_width_and_not_with_the_height() {
    let edsr = Edsr { blocks: 2, ..Edsr::baseline(4) }.build().unwrap();
    let flowing = session(&edsr, Isa::best()).plan().clone();
    assert_eq!(flowing.memory(1000, 130), flowing.memory(10_000, 130));
    // Wide enough that a band is one row per thread, however many threads there are.
    assert!(flowing.memory(1000, 40_000) > 3 * flowing.memory(1000, 4_000));
    let whole = session(&Imdn::published(4).build().unwrap(), Isa::best()).plan().clone();
    assert!(whole.memory(1000, 130) > 5 * whole.memory(100, 130));
}

#[test]
fn memory_is_kept_by_columns_and_refused_where_that_cannot_be() {
    let edsr = Edsr { blocks: 2, ..Edsr::baseline(4) }.build().unwrap();
    let mut flowing = session(&edsr, Isa::best());
    let picture = picture(30, 600);
    let memory = flowing.plan().memory(30, 600) / 2;
    let whole = run(&mut flowing, &picture, RunOptions::default());
    assert!(run(&mut flowing, &picture, RunOptions { memory, ..RunOptions::default() }) == whole);
    for (network, limit) in [(edsr, 1 << 16), (Imdn::published(4).build().unwrap(), memory / 10)] {
        let mut refused = session(&network, Isa::best());
        let options = RunOptions { memory: limit, ..RunOptions::default() };
        let error = refused.run(&picture, &options, &mut |_| true).unwrap_err();
        assert!(matches!(error, RunError::Memory { .. }), "{error}");
    }
}

#[test]
fn odd_sizes_have_masks_and_any_width_of_columns_will_do() {
    let dcm = DcmOptions { dim: 16, ..DcmOptions::default() };
    for scale in [1, 2] {
        let network = Rrdb { features: 16, growth: 16, ..Rrdb::published(1, scale) }.plus(dcm).build().unwrap();
        let (mut session, block) = (session(&network, Isa::best()), network.multiple());
        for (height, width) in [(1, 1), (1, 5), (7, 5)] {
            let picture = picture(height, width);
            for (name, mask) in session.masks(&picture, &RunOptions::default(), &mut |_| true).unwrap() {
                let expected = (height.div_ceil(block), width.div_ceil(block));
                assert_eq!((mask.height, mask.width), expected, "{name} of {height}x{width} at x{scale}");
                assert!(mask.data.iter().all(|m| *m > 0.0), "{name} of {height}x{width} is filled");
            }
            let whole = run(&mut session, &picture, RunOptions::default());
            assert_eq!(
                run(&mut session, &picture, RunOptions { tile: Some(usize::MAX), ..RunOptions::default() }),
                whole
            );
        }
        assert_eq!(session.plan().memory(0, 9), 0);
        assert_eq!(session.plan().memory(9, 0), 0);
    }
}

#[test]
fn inputs_that_do_not_fit_are_said() {
    let network = Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.plus(DcmOptions::default()).build().unwrap();
    let mut session = Session::new(Plan::new(&network, &hashed::weights(&network), Isa::best()).unwrap());
    let run = |picture: &Map<f32>, session: &mut Session| session.run(picture, &RunOptions::default(), &mut |_| true);
    let error = run(&picture(4, 4), &mut session).unwrap_err().to_string();
    assert!(error.contains("512") && error.contains("no prompt"), "{error}");
    let error = session.set_prompt(&[1.0; 3]).unwrap_err().to_string();
    assert!(error.contains("512") && error.contains('3'), "{error}");
    session.set_prompt(&hashed::prompt("prompt", 512)).unwrap();
    assert!(matches!(run(&Map::new(3, 0, 4, vec![]), &mut session), Err(RunError::Picture { .. })));
    let broken = Map::new(3, 1, 1, vec![f32::INFINITY; 3]);
    assert_eq!(run(&broken, &mut session).unwrap_err(), RunError::NotFinite { layer: "picture 0".into() });
}

#[test]
fn a_run_can_be_watched_and_stopped() {
    let mut session = session(&Imdn::published(2).build().unwrap(), Isa::best());
    let mut asked = 0;
    let mut stop = |_: f64| {
        asked += 1;
        false
    };
    assert_eq!(session.run(&picture(8, 8), &RunOptions::default(), &mut stop).unwrap_err(), RunError::Cancelled);
    assert_eq!(asked, 1);
    let mut seen = vec![0.0];
    session
        .run(&picture(64, 64), &RunOptions::default(), &mut |part| {
            seen.push(part);
            true
        })
        .unwrap();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]) && *seen.last().unwrap() == 1.0, "{seen:?}");
}

#[test]
fn masks_are_the_reference_s_however_the_picture_is_cut() {
    let deployed = DcmOptions { dim: 64, ..DcmOptions::default() };
    let unfolded = DcmOptions { dim: 16, ..DcmOptions::default() };
    let plain = DcmOptions { attention: false, ..deployed };
    for (dcm, count) in [(deployed, 2), (unfolded, 2), (plain, 0)] {
        let edsr = Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
        let rrdb = Rrdb { features: 16, growth: 16, ..Rrdb::published(2, 2) }.plus(dcm).build().unwrap();
        for network in [edsr, rrdb] {
            let picture = picture(22, 16);
            let prompt = hashed::prompt("prompt", network.prompt_dim().unwrap());
            let taps = reference::run(&network, &hashed::weights(&network), &picture, Some(&prompt)).unwrap().taps;
            let mut session = session(&network, Isa::best());
            let mut masks =
                |tile| session.masks(&picture, &RunOptions { tile, ..RunOptions::default() }, &mut |_| true).unwrap();
            let whole = masks(None);
            assert_eq!(whole.len(), count);
            for (name, mask) in &whole {
                let (_, expected) = taps.iter().find(|(tap, _)| tap == name).unwrap();
                assert_eq!((mask.height, mask.width), (expected.height, expected.width));
                assert!(mask.data.iter().zip(&expected.data).all(|(a, b)| (a - b).abs() < 1e-4), "{name}");
            }
            assert_eq!(masks(Some(7)), whole);
        }
    }
}

#[test]
fn sessions_of_one_plan_have_prompts_of_their_own() {
    let dcm = DcmOptions { dim: 64, ..DcmOptions::default() };
    let network = Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
    let plan = Arc::new(Plan::new(&network, &hashed::weights(&network), Isa::best()).unwrap());
    let prompts = ["a dog", "a cat", "a house"].map(|name| hashed::prompt(name, 64));
    let picture = picture(14, 19);
    let alone = prompts.clone().map(|prompt| {
        let mut session = session(&network, Isa::best());
        session.set_prompt(&prompt).unwrap();
        run(&mut session, &picture, RunOptions::default())
    });
    assert_ne!(alone[0], alone[1]);
    std::thread::scope(|scope| {
        for (prompt, alone) in prompts.iter().zip(&alone) {
            let mut session = Session::new(plan.clone());
            session.set_prompt(prompt).unwrap();
            let picture = &picture;
            scope.spawn(move || {
                for session in [&mut session.clone(), &mut session] {
                    assert!(run(session, picture, RunOptions::default()) == *alone);
                    assert!(run(session, picture, RunOptions::default()) == *alone, "in memory that is used again");
                }
            });
        }
    });
    assert!(Session::new(plan).run(&picture, &RunOptions::default(), &mut |_| true).is_err(), "none was set here");
}
