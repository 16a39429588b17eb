//! CLIP's towers against transformers and open_clip, on hashed weights: `tests/reference/clip.py`.

use pdn_engine::{Map, reference};
use pdn_network::hashed;
use pdn_network::zoo::Clip;
use safetensors::SafeTensors;

/// The largest difference over the largest value.
fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

fn check(name: &str) {
    let path = pdn_testing::root().join(format!("tests/reference/clip/{name}.safetensors"));
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    let clip: Clip = serde_json::from_str(&metadata["clip"]).unwrap();
    let tokens: Vec<usize> = serde_json::from_str(&metadata["tokens"]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let expected = |key: &str| -> Vec<f64> {
        let data = file.tensor(key).unwrap();
        data.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    };
    let network = clip.text_network().unwrap();
    let found: Vec<f32> = reference::encode(&network, &hashed::weights(&network), &tokens).unwrap();
    let found: Vec<f64> = found.into_iter().map(f64::from).collect();
    let text = error(&found, &expected("text"));
    let (network, side) = (clip.picture_network().unwrap(), clip.side());
    let picture = Map::new(3, side, side, hashed::numbers("picture", 3 * side * side, 2.0));
    let found = reference::run(&network, &hashed::weights(&network), &picture, None).unwrap().picture.data;
    let found: Vec<f64> = found.into_iter().map(f64::from).collect();
    let picture = error(&found, &expected("picture"));
    println!("{name}: text {text:.1e}, picture {picture:.1e}");
    assert!(text < 1e-5 && picture < 1e-5, "{name}: text {text:e}, picture {picture:e}");
}

#[test]
fn vit_b_32_gives_what_transformers_gives() {
    check("vit_b_32_transformers");
}

#[test]
fn a_small_one_gives_what_open_clip_gives() {
    check("small_open_clip");
}
