//! Tests results of any size and depth, with every option besides the network itself.

use pdn::{AnyPicture, ColourSpace, Depth, Error, Limits, Model, Options, Picture, Protocol, RunError, Sample};
use pdn::{Card, Prompt, Regions, zoo};
use pdn::{
    Degradation, Session, Size, Target, Tensor, Upscaler, bundled_encoder, bundled_model, hashed, psnr, resize_to,
};

fn small_network() -> Session {
    let network = zoo::Edsr { features: 16, blocks: 1, ..zoo::Edsr::baseline(2) }.build().unwrap();
    let weights = hashed::weights(&network);
    Upscaler::new(&Model { network, weights, card: Card::default(), source: None }).unwrap().session()
}

fn sample(width: usize, height: usize) -> Picture {
    let smooth = |i: usize| (128.0 + 90.0 * (i as f64 / 41.0).sin() + 30.0 * (i as f64 / 3.0).cos()) as u8;
    Picture::from_rgb(width, height, (0..width * height * 3).map(smooth).collect())
}

fn run(session: &Session, picture: impl Into<AnyPicture>, target: Target) -> AnyPicture {
    session.clone().upscale_to(&picture.into(), &target, &Options::default(), &mut |_| true).unwrap()
}

fn deep(picture: AnyPicture) -> Picture<u16> {
    match picture {
        AnyPicture::Sixteen(picture) => picture,
        AnyPicture::Eight(_) => panic!("expected 16 bits"),
    }
}

/// Returns the largest difference between two pictures' colours, in levels.
fn difference<S: Sample>(a: &Picture<S>, b: &Picture<S>) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    a.rgb().iter().zip(b.rgb()).map(|(a, b)| (a.level() - b.level()).abs()).fold(0.0, f64::max)
}

const DEEP: Target = Target {
    size: Size::Model,
    depth: Some(Depth::Sixteen),
    linear_light: false,
    color_fix: false,
    self_ensemble: false,
};

#[test]
fn depth_changes_the_rounding_alone() {
    let alpha = (0..19 * 11).map(|i| (i * 7 % 255 + 1) as u8).collect();
    let picture = sample(19, 11).with_alpha(Some(alpha));
    for session in [small_network(), Upscaler::bicubic(2).unwrap().session()] {
        let eight = run(&session, picture.clone(), Target::default()).into_eight();
        let sixteen = deep(run(&session, picture.clone(), DEEP));
        let widened = picture.converted::<u16>();
        // Bicubic may round a half differently, twice.
        assert!(difference(&sixteen, &deep(run(&session, widened.clone(), Target::default()))) <= 2.0);
        let narrowed = run(&session, widened, Target { depth: Some(Depth::Eight), ..DEEP }).into_eight();
        assert!(difference(&eight, &narrowed) <= 1.0);
        let near = difference(&eight.converted(), &sixteen);
        // Bicubic is rounded twice.
        assert!(near <= if session.upscaler().plan().is_some() { 129.0 } else { 300.0 }, "{near}");
        assert_eq!(sixteen.alpha().map(<[_]>::len), Some(38 * 22));
    }
}

#[test]
fn sixteen_bits_tell_apart_what_eight_cannot() {
    // A ramp over two 8-bit levels, which has 512 levels in 16 bits.
    let rgb = (0..64 * 8).flat_map(|i| [20_000 + 8 * (i % 64) as u16; 3]).collect();
    let mut picture = Picture::new(64, 8, rgb);
    picture.grey = true;
    let model = bundled_model("pdn-x4").unwrap().unwrap();
    let mut network = Upscaler::new(&model).unwrap().session();
    network.set_prompt(&Prompt::Text("a wall".into()), &bundled_encoder().unwrap(), &picture.converted()).unwrap();
    for session in [&network, &Upscaler::bicubic(4).unwrap().session()] {
        let large = deep(run(session, picture.clone(), Target::default()));
        assert!(large.grey && large.rgb().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
        let row: Vec<u16> = large.plane(0).skip(16 * 256).take(256).collect();
        let levels: std::collections::BTreeSet<u16> = row.iter().copied().collect();
        assert!(levels.len() > 60, "{} levels", levels.len());
    }
}

#[test]
fn any_size_is_an_exact_resize_of_what_the_network_gives() {
    // Numbers stay within 0 and 1, so it does not matter when they are clipped.
    let (picture, mut network) = (sample(24, 17), shifted([0.0; 3]));
    let picture = picture.with_rgb(picture.rgb().iter().map(|v| 90 + v / 4).collect());
    network.set_prompt(&Prompt::None, &bundled_encoder().unwrap(), &picture).unwrap();
    let own = deep(run(&network, picture.clone(), DEEP));
    for (size, width, height) in [
        (Size::Factor(1.5), 36, 26),
        (Size::Factor(6.0), 144, 102),
        (Size::Width(31), 31, 22),
        (Size::Exact(25, 9), 25, 9),
        (Size::Megapixels(0.002), 53, 38),
    ] {
        let found = deep(run(&network, picture.clone(), Target { size, ..DEEP }));
        let off = difference(&found, &resize_to(&own, width, height));
        assert!(off <= 2.0, "{size:?}: {off} levels");
        let eight = run(&network, picture.clone(), Target { size, ..Target::default() }).into_eight();
        assert!(difference(&eight.converted(), &found) <= 129.0, "rounded once");
    }
    let same = run(&network, picture.clone(), Target { size: Size::Factor(4.0), ..Target::default() });
    assert_eq!(same, network.clone().upscale(&picture, &Options::default(), &mut |_| true).unwrap().into());
    let any = AnyPicture::from(picture.clone());
    let half = Target { size: Size::Factor(0.5), ..Target::default() };
    assert!(
        !network.upscaler().runs_network(&any, &half).unwrap() && network.upscaler().runs_network(&any, &DEEP).unwrap()
    );
    assert_eq!(run(&network, picture.clone(), half), resize_to(&picture, 12, 9).into());
}

#[test]
fn edges_of_transparency_are_smooth() {
    // An antialiased disc, whose shape at 4 times the size is known.
    let disc = |side: usize| -> Vec<u8> {
        let (radius, samples) = (0.31 * side as f64, 8);
        let inside = |x: f64, y: f64| (x - 0.52 * side as f64).hypot(y - 0.47 * side as f64) < radius;
        let share = |i: usize| {
            let at = |whole: usize, part: usize| whole as f64 + (part as f64 + 0.5) / samples as f64;
            let parts = (0..samples * samples).filter(|s| inside(at(i % side, s % samples), at(i / side, s / samples)));
            255.0 * parts.count() as f64 / (samples * samples) as f64
        };
        (0..side * side).map(|i| share(i).round() as u8).collect()
    };
    let small = Picture::from_rgb(40, 40, [200, 60, 30].repeat(1600)).with_alpha(Some(disc(40)));
    let (expected, model) = (disc(160), bundled_model(pdn::DEFAULT_MODEL).unwrap().unwrap());
    let mut network = Upscaler::new(&model).unwrap().session();
    network.set_prompt(&Prompt::None, &bundled_encoder().unwrap(), &small).unwrap();
    let off = |session: &Session| -> f64 {
        let large = run(session, small.clone(), Target::default()).into_eight();
        let alpha = large.alpha().unwrap();
        assert!(alpha[0] == 0 && alpha[80 * 160 + 80] == 255);
        alpha.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).sum::<f64>() / 25_600.0
    };
    let (found, bicubic) = (off(&network), off(&Upscaler::bicubic(4).unwrap().session()));
    assert!(found < 0.5 * bicubic, "{found} levels off, bicubic {bicubic}");
    // The same holds for any size, and for both depths.
    for size in [Size::Factor(2.0), Size::Width(100), Size::Factor(5.5)] {
        let eight = run(&network, small.clone(), Target { size, ..Target::default() }).into_eight();
        let sixteen = deep(run(&network, small.clone(), Target { size, ..DEEP }));
        for (a, b) in eight.alpha().unwrap().iter().zip(sixteen.alpha().unwrap()) {
            assert!((f64::from(*a) - f64::from(*b) / 257.0).abs() <= 1.0, "{size:?}: {a} and {b}");
        }
    }
}

#[test]
fn columns_and_threads_change_no_bit() {
    let (picture, network) = (sample(33, 29), small_network());
    let target = Target { size: Size::Factor(1.7), color_fix: true, linear_light: true, ..DEEP };
    for target in [DEEP, target, Target { self_ensemble: true, ..target }, Target { depth: None, ..target }] {
        let whole = run(&network, picture.clone(), target);
        for tile in [5, 12] {
            let options = Options { tile: Some(tile), ..Options::default() };
            let found = network.clone().upscale_to(&picture.clone().into(), &target, &options, &mut |_| true).unwrap();
            assert!(found == whole, "columns of {tile}: {target:?}");
        }
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert!(one.install(|| run(&network, picture.clone(), target)) == whole, "{target:?}");
    }
}

#[test]
fn light_is_averaged_and_not_numbers() {
    // Black and white columns: half of the light is 188 in sRGB, half of the number is 128.
    let stripes = Picture::from_rgb(64, 64, (0..64 * 64).flat_map(|i| [255 * (i % 2) as u8; 3]).collect());
    let small = Target { size: Size::Factor(0.25), ..Target::default() };
    let network = small_network();
    for (linear_light, level) in [(false, 128), (true, 188)] {
        let found = run(&network, stripes.clone(), Target { linear_light, ..small }).into_eight();
        assert!(found.plane(1).skip(8 * 16 + 4).take(8).all(|v| v.abs_diff(level) <= 1), "{level}");
    }
}

#[test]
fn the_mean_of_eight_turns_with_its_picture() {
    let (picture, network) = (sample(18, 13), small_network());
    let target = Target { self_ensemble: true, ..DEEP };
    let mean = deep(run(&network, picture.clone(), target));
    let mirrored = deep(run(&network, picture.mirrored(), target));
    assert!(difference(&mirrored.mirrored(), &mean) <= 1.0);
    let plain = |picture| deep(run(&network, picture, DEEP));
    assert!(
        difference(&plain(picture.mirrored()).mirrored(), &plain(picture.clone())) > 100.0,
        "no symmetry by itself"
    );
    let options = Options { memory: 1 << 10, tile: Some(4) };
    let little = network.clone().upscale_to(&picture.into(), &target, &options, &mut |_| true);
    assert!(matches!(little, Err(Error::Run(RunError::Memory { .. }))), "{little:?}");
}

#[test]
fn regions_cannot_be_turned() {
    let model = bundled_model("pdn-x4").unwrap().unwrap();
    let (mut network, encoder) = (Upscaler::new(&model).unwrap().session(), bundled_encoder().unwrap());
    let picture = sample(16, 16);
    let wall = Prompt::Text("a brick wall".into());
    let parts = vec![("0,0,8,16".parse().unwrap(), wall.clone())];
    let regions = Prompt::Regions(Box::new(Regions { parts, rest: wall.clone(), feather: 2 }));
    let target = Target { self_ensemble: true, ..Target::default() };
    network.set_prompt(&regions, &encoder, &picture).unwrap();
    let refused = network.clone().upscale_to(&picture.clone().into(), &target, &Options::default(), &mut |_| true);
    assert!(matches!(refused, Err(Error::Run(RunError::Regions(_)))), "{refused:?}");
    network.set_prompt(&wall, &encoder, &picture).unwrap();
    run(&network, picture, target);
}

/// Returns the bundled network with numbers added to red, green and blue at its end.
fn shifted(shift: [f32; 3]) -> Session {
    let mut model = bundled_model("pdn-x4").unwrap().unwrap();
    let mut tensors = model.network.name_weights(model.weights);
    let bias = tensors.get_mut("conv_last.bias").unwrap();
    // Each channel's numbers are adjacent, because pixels are shuffled afterwards.
    let each = bias.data().len() / 3;
    let data = bias.data().iter().enumerate().map(|(i, v)| v + shift[i / each]).collect();
    *bias = Tensor::new(bias.shape().to_vec(), data);
    model.weights = model.network.bind(tensors).unwrap();
    Upscaler::new(&model).unwrap().session()
}

#[test]
fn a_shift_of_colours_is_undone_and_an_exact_network_is_hardly_changed() {
    let Some(folder) = pdn_testing::data("eval/Set5/HR") else { return };
    let encoder = bundled_encoder().unwrap();
    let mut decibels = [[0.0; 2]; 2];
    let names = ["baby", "bird", "butterfly", "head", "woman"];
    for name in names {
        let hr = pdn::read(&folder.join(format!("{name}.png")), &Limits::default()).unwrap();
        let small = Degradation::BlurBicubic.apply(&hr, 4).unwrap().into_eight();
        let hr = hr.modcrop(4);
        for (session, decibels) in [shifted([0.0; 3]), shifted([0.04, -0.03, 0.02])].iter_mut().zip(&mut decibels) {
            session.set_prompt(&Prompt::None, &encoder, &small).unwrap();
            for (color_fix, decibels) in [false, true].into_iter().zip(decibels) {
                let found = run(session, small.clone(), Target { color_fix, ..Target::default() }).into_eight();
                let protocol = Protocol { space: ColourSpace::Rgb, shave: 4 };
                *decibels += psnr(&hr, &found, protocol).unwrap() / names.len() as f64;
            }
        }
    }
    let [[exact, exact_fixed], [wrong, wrong_fixed]] = decibels;
    println!("exact {exact:.3} dB, fixed {exact_fixed:.3}; shifted {wrong:.3}, fixed {wrong_fixed:.3} (RGB, shave 4)");
    assert!((exact - exact_fixed).abs() < 0.1, "hardly changed");
    assert!(wrong < exact - 1.0 && wrong_fixed > exact_fixed - 0.02, "corrected");
}
