//! Compares real CLIP, from files in each project's layout, with the projects' own results, which
//! `tests/reference/clip_files.py` stores.

use pdn::{Activation, Encoder, EncoderError, EncoderFile, Framing, Picture, Tensor, hashed};
use pdn_network::Tensors;
use pdn_network::checkpoint::{Precision, write};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Golden {
    text: String,
    sizes: Vec<(usize, usize)>,
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    config: Value,
    #[serde(default)]
    shapes: BTreeMap<String, Vec<usize>>,
    text: Vec<f64>,
    pictures: Vec<Vec<f64>>,
}

fn folder() -> PathBuf {
    pdn_testing::root().join("tests/reference/clip")
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(folder().join("files.json")).unwrap()).unwrap()
}

/// Returns a picture hashed from its size.
fn picture(width: usize, height: usize) -> Picture {
    let name = format!("picture {width}x{height}");
    let level = |i: usize| ((f64::from(hashed::unit(&name, i as u64)) + 1.0) * 128.0) as u8;
    Picture::from_rgb(width, height, (0..width * height * 3).map(level).collect())
}

/// Returns a parameter by its key, as the script makes it.
fn number(key: &str, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    let norm = ["ln_", "norm", "layrnorm"].iter().any(|mark| key.contains(mark)) && key.ends_with("weight");
    let data = match shape.last() {
        None => vec![4.6],
        Some(_) if norm => hashed::numbers(key, len, 0.2).into_iter().map(|v| 1.0 + v).collect(),
        Some(last) => hashed::numbers(key, len, (3.0 / *last as f64).sqrt() * 0.5),
    };
    Tensor::new(shape.to_vec(), data)
}

impl File {
    fn tensors(&self) -> Tensors {
        self.shapes.iter().map(|(key, shape)| (key.clone(), number(key, shape))).collect()
    }

    /// Writes the weights, with the configuration beside them.
    fn write(&self, folder: &Path, prefix: &str) -> PathBuf {
        let tensors = self.tensors().into_iter().map(|(key, tensor)| (format!("{prefix}{key}"), tensor)).collect();
        let config = if self.config["model_cfg"].is_null() { "config.json" } else { "open_clip_config.json" };
        std::fs::write(folder.join(config), self.config.to_string()).unwrap();
        save(&folder.join("model.safetensors"), &tensors)
    }

    /// Returns the largest difference from the project's results, over the sentence and the pictures.
    fn error(&self, encoder: &Encoder, text: &str, sizes: &[(usize, usize)]) -> f64 {
        let difference = |found: &[f32], expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
        };
        let pictures = sizes.iter().zip(&self.pictures).map(|((width, height), expected)| {
            difference(&encoder.embed_picture(&picture(*width, *height)).unwrap().values, expected)
        });
        pictures.fold(difference(&encoder.embed_text(text).unwrap().values, &self.text), f64::max)
    }
}

fn save(path: &Path, tensors: &Tensors) -> PathBuf {
    std::fs::write(path, write(tensors, HashMap::new(), Precision::F32)).unwrap();
    path.to_owned()
}

#[test]
fn every_layout_gives_what_its_project_gives() {
    let golden = golden();
    for (name, file) in golden.files.iter().filter(|(_, file)| !file.shapes.is_empty()) {
        let prefixes: &[&str] = if name.starts_with("open_clip") { &["", "module."] } else { &[""] };
        for prefix in prefixes {
            let folder = tempfile::tempdir().unwrap();
            let encoder = Encoder::open(&file.write(folder.path(), prefix)).unwrap();
            let error = file.error(&encoder, &golden.text, &golden.sizes);
            println!("{name} {prefix}: {error:.1e}, {}", encoder.id());
            assert!(error < 2e-6, "{name} is off by {error:.1e}");
        }
    }
}

#[test]
fn openai_s_archive_says_its_activation() {
    let (golden, path) = (golden(), folder().join("openai.pt"));
    let encoder = Encoder::open(&path).unwrap();
    let file = &golden.files["archive"];
    let error = file.error(&encoder, "a b c", &golden.sizes);
    println!("archive: {error:.1e}, {}", encoder.id());
    assert!(error < 2e-6, "off by {error:.1e}");
    let other = Encoder::open_with(&path, Activation::Gelu).unwrap();
    assert!(file.error(&other, "a b c", &golden.sizes) > 1e-4 && other.id() != encoder.id());
}

#[test]
fn an_activation_that_is_said_nowhere_is_asked_for() {
    let (golden, folder) = (golden(), tempfile::tempdir().unwrap());
    for (name, config) in [("transformers_gelu", "config.json"), ("open_clip", "open_clip_config.json")] {
        let file = &golden.files[name];
        let path = file.write(folder.path(), "");
        std::fs::remove_file(folder.path().join(config)).unwrap();
        let error = Encoder::open(&path).unwrap_err();
        assert!(matches!(error, EncoderError::Activation { .. }), "{error}");
        for word in ["model.safetensors", config, "quick-gelu"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        let given = Encoder::open_with(&path, Activation::Gelu).unwrap();
        assert!(file.error(&given, &golden.text, &golden.sizes) < 2e-6);
    }
}

#[test]
fn a_damaged_configuration_is_named() {
    let (golden, folder) = (golden(), tempfile::tempdir().unwrap());
    let path = golden.files["transformers_gelu"].write(folder.path(), "");
    for (text, word) in [("{", "configuration"), (r#"{"model_type": "bert"}"#, "bert")] {
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let error = Encoder::open(&path).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains(word), "{error}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let (golden, folder) = (golden(), tempfile::tempdir().unwrap());
    let file = &golden.files["transformers_gelu"];
    let path = file.write(folder.path(), "");
    let mut tensors = file.tensors();
    tensors.remove("vision_model.encoder.layers.1.self_attn.k_proj.bias");
    tensors.insert("text_model.extra".into(), Tensor::new(vec![1], vec![0.0]));
    let error = Encoder::open(&save(&path, &tensors)).unwrap_err().to_string();
    for word in ["model.safetensors", "layers.1.self_attn.k_proj.bias", "text_model.extra"] {
        assert!(error.contains(word), "{error}");
    }
    let other = Tensors::from([("some.weight".to_owned(), Tensor::new(vec![1], vec![0.0]))]);
    let error = Encoder::open(&save(&path, &other)).unwrap_err().to_string();
    assert!(error.contains("is not an encoder") && error.contains("some.weight"), "{error}");
}

#[test]
fn long_prompts_are_counted_or_truncated() {
    let encoder = pdn::bundled_encoder().unwrap();
    let long = "dog ".repeat(100);
    assert!(matches!(encoder.tokens(&long), Err(EncoderError::LongText { found: 102, limit: 77 })));
    let encoder = encoder.truncating();
    let tokens = encoder.tokens(&long).unwrap();
    assert_eq!((tokens.len(), tokens[75], tokens[76]), (77, tokens[1], 8191));
    assert!(matches!(encoder.tokens(" \n"), Err(EncoderError::EmptyText)));
    assert_eq!(encoder.tokens("a dog <|endoftext|> a cat").unwrap(), encoder.tokens("a dog").unwrap());
}

#[test]
fn what_transparency_hides_is_not_looked_at() {
    let encoder = pdn::bundled_encoder().unwrap();
    let shown = |i: usize| i % 40 < 20;
    let with = |hidden: [u8; 3]| {
        let opaque = picture(40, 40);
        let pixel = |i: usize| if shown(i) { opaque.rgb()[3 * i..3 * i + 3].try_into().unwrap() } else { hidden };
        let alpha = (0..1600).map(|i| if shown(i) { 255 } else { 0 }).collect();
        Picture::from_rgb(40, 40, (0..1600).flat_map(pixel).collect()).with_alpha(Some(alpha))
    };
    let embedding = |hidden| encoder.embed_picture(&with(hidden)).unwrap().values;
    assert_eq!(embedding([255, 0, 255]), embedding([0, 80, 0]));
}

#[test]
fn corners_are_two_parts_one_of_them_in_a_mirror() {
    let whole = picture(12, 12);
    let parts = [whole.part((0, 0), 10, 10), whole.part((2, 2), 10, 10).mirrored()];
    assert_eq!(Framing::Corners.squares(&whole, 10), parts);
    let narrow = Framing::Corners.squares(&picture(1, 7), 4);
    assert!(narrow.iter().all(|square| (square.width(), square.height()) == (4, 4)));
}

#[test]
fn what_is_said_of_squares_is_added_up() {
    let path = pdn_testing::root().join("crates/pdn-weights-clip/pdn-clip.safetensors");
    let file = EncoderFile::read(&path, None).unwrap();
    let encoder = |framing| Encoder::new(&path, EncoderFile { framing, ..file.clone() }).unwrap();
    let (corners, squeeze) = (encoder(Framing::Corners), encoder(Framing::Squeeze));
    let whole = picture(120, 90);
    let parts = [whole.part((0, 0), 100, 75), whole.part((20, 15), 100, 75).mirrored()];
    let said = parts.map(|part| squeeze.embed_picture(&part).unwrap().values);
    let sum: Vec<f32> = said[0].iter().zip(&said[1]).map(|(a, b)| a + b).collect();
    let norm = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
    let found = corners.embed_picture(&whole).unwrap().values;
    assert!(found.iter().zip(&sum).all(|(found, sum)| (found - sum / norm).abs() < 1e-6));
}
