//! Compares CLIP's squares with Pillow and torchvision, whose results `tests/reference/clip_files.py` stores.

use pdn_image::{Picture, centre_square};
use pdn_network::hashed;
use safetensors::SafeTensors;

#[test]
fn squares_are_pillow_s() {
    let path = pdn_testing::root().join("tests/reference/clip/squares.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 9);
    for (size, expected) in file.iter() {
        let (width, height) = size.split_once('x').unwrap();
        let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
        let name = format!("picture {size}");
        let level = |i: usize| ((f64::from(hashed::unit(&name, i as u64)) + 1.0) * 128.0) as u8;
        let picture = Picture::from_rgb(width, height, (0..width * height * 3).map(level).collect());
        let found = centre_square(&picture, expected.shape()[0]);
        let different = found.rgb().iter().zip(expected.data()).filter(|(a, b)| a != b).count();
        assert_eq!((found.rgb().len(), different), (expected.data().len(), 0), "{size}: samples that differ");
    }
}
