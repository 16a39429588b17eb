//! Writes small towers of sentences and pictures, of hashed weights, as ONNX, each with its inputs and what the reference
//! executor gives in float64: what `tests/reference/onnx_check.py` runs elsewhere.
//!
//!     cargo run --release -p pdn-engine --example onnx_towers -- FOLDER

use pdn_engine::{Map, reference};
use pdn_network::checkpoint::{self, Precision};
use pdn_network::zoo::{Clip, PictureTower, Reading, TextTower, Transformer};
use pdn_network::{Tensor, Tensors, hashed, onnx};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args().nth(1) else { return Err("expected: FOLDER".into()) };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let blocks = |quick_gelu| Transformer { width: 32, heads: 4, layers: 2, quick_gelu };
    let vit = |quick_gelu| PictureTower::Vit { side: 24, patch: 8, blocks: blocks(quick_gelu) };
    let convolutions = PictureTower::Convolutions { side: 24, stages: vec![(16, 1), (24, 2)] };
    for (name, reading, quick_gelu, picture) in [
        ("quick_gelu", Reading::End, true, vit(true)),
        ("gelu", Reading::Mean, false, vit(false)),
        ("convolutions", Reading::Mean, true, convolutions),
    ] {
        let text = TextTower { vocabulary: 100, context: 16, blocks: blocks(quick_gelu), reading };
        let clip = Clip { dim: 20, text, picture };
        write_text(&clip, &folder.join(format!("text_{name}")))?;
        write_picture(&clip, &folder.join(format!("picture_{name}")))?;
    }
    Ok(())
}

fn write_text(clip: &Clip, path: &Path) -> Result<(), Box<dyn Error>> {
    let network = clip.text_network()?;
    let weights = hashed::weights(&network);
    let tokens = [98, 5, 17, 17, 60, 3, 99];
    let embedding = reference::encode::<f64>(&network, &weights, &tokens)?;
    let tokens = Tensor::new(vec![1, tokens.len()], tokens.map(|token| token as f32).to_vec());
    put(path, &onnx::write(&network, &weights, &[])?, ("tokens", tokens), &embedding)
}

fn write_picture(clip: &Clip, path: &Path) -> Result<(), Box<dyn Error>> {
    let network = clip.picture_network()?;
    let weights = hashed::weights(&network);
    let side = clip.side();
    let picture = hashed::numbers("picture", 3 * side * side, 1.0);
    let map = Map::new(3, side, side, picture.iter().map(|v| f64::from(*v)).collect());
    let embedding = reference::run(&network, &weights, &map, None)?.picture.data;
    let picture = Tensor::new(vec![1, 3, side, side], picture);
    put(path, &onnx::write(&network, &weights, &[])?, ("picture", picture), &embedding)
}

fn put(path: &Path, onnx: &[u8], (name, input): (&str, Tensor), embedding: &[f64]) -> Result<(), Box<dyn Error>> {
    let embedding = Tensor::new(vec![1, embedding.len()], embedding.iter().map(|v| *v as f32).collect());
    let tensors = Tensors::from([(name.to_owned(), input), ("embedding".to_owned(), embedding)]);
    std::fs::write(path.with_extension("onnx"), onnx)?;
    let file = checkpoint::write(&tensors, Default::default(), Precision::F32);
    Ok(std::fs::write(path.with_extension("safetensors"), file)?)
}
