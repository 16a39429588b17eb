//! Compares CLIP's towers on hashed weights with transformers and open_clip, whose results `tests/reference/clip.py`
//! stores.

use pdn_engine::{Map, dense};
use pdn_network::hashed;
use pdn_network::zoo::Clip;
use safetensors::SafeTensors;

/// Returns the largest difference, relative to the largest value.
fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

/// A tower's vectors as computed by a package, with the configuration and the tokens.
struct Golden {
    clip: Clip,
    tokens: Vec<usize>,
    text: Vec<f64>,
    picture: Vec<f64>,
}

fn golden(size: &str, package: &str) -> Golden {
    let path = pdn_testing::root().join(format!("tests/reference/clip/{size}_{package}.safetensors"));
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |key: &str| -> Vec<f64> {
        let data = file.tensor(key).unwrap();
        data.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    };
    Golden {
        clip: serde_json::from_str(&metadata["clip"]).unwrap(),
        tokens: serde_json::from_str(&metadata["tokens"]).unwrap(),
        text: numbers("text"),
        picture: numbers("picture"),
    }
}

/// Runs both towers of a size once and compares them with both packages.
fn check(size: &str) {
    let packages = ["transformers", "open_clip"].map(|package| (package, golden(size, package)));
    let Golden { clip, tokens, .. } = &packages[0].1;
    let f64s = |found: Vec<f32>| -> Vec<f64> { found.into_iter().map(f64::from).collect() };
    let network = clip.text_network().unwrap();
    let text = f64s(dense::encode(&network, &hashed::weights(&network), tokens).unwrap());
    let (network, side) = (clip.picture_network().unwrap(), clip.side());
    let look = Map::new(3, side, side, hashed::numbers("picture", 3 * side * side, 2.0));
    let picture = f64s(dense::run(&network, &hashed::weights(&network), &look, None).unwrap().picture.data);
    for (package, golden) in &packages {
        assert_eq!((&golden.clip, &golden.tokens), (clip, tokens));
        let (text, picture) = (error(&text, &golden.text), error(&picture, &golden.picture));
        println!("{size}, {package}: text {text:.1e}, picture {picture:.1e}");
        assert!(text < 1e-5 && picture < 1e-5, "{size}, {package}: text {text:e}, picture {picture:e}");
    }
}

#[test]
fn vit_b_32_gives_what_both_packages_give() {
    check("vit_b_32");
}

#[test]
fn vit_b_16_gives_what_both_packages_give() {
    check("vit_b_16");
}

#[test]
fn vit_l_14_gives_what_both_packages_give() {
    check("vit_l_14");
}

#[test]
fn a_small_one_with_the_true_gelu_gives_what_both_packages_give() {
    check("small");
}
