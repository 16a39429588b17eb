//! Runs the command with models by name: bundled ones, and those in the hub's cache.
#![cfg(feature = "hub")]

use assert_cmd::Command;
use pdn::{Model, Picture, hashed, zoo};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Creates a desk with a small picture and an empty hub cache.
fn desk() -> TempDir {
    let desk = TempDir::new().unwrap();
    let rgb = (0..20 * 16 * 3).map(|i| (i * 7 % 251) as u8).collect();
    pdn::write(&desk.path().join("small.png"), &Picture::from_rgb(20, 16, rgb), &Default::default()).unwrap();
    desk
}

/// Puts a file into the cache, in the hub's layout.
fn cache(desk: &TempDir, owner: &str, name: &str, file: &str, bytes: &[u8]) {
    let folder = desk.path().join(format!("hub/models--{owner}--{name}"));
    let path = folder.join("snapshots").join(COMMIT).join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::create_dir_all(folder.join("refs")).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::write(folder.join("refs/main"), COMMIT).unwrap();
}

fn edsr() -> Vec<u8> {
    let config = serde_json::json!({"scale": 2, "features": 16, "blocks": 2, "residual_scale": 1.0});
    let network = zoo::build("edsr", &config).unwrap();
    let weights = hashed::weights(&network);
    let mut card = pdn::Card { name: "small".into(), license: "CC0-1.0".into(), ..Default::default() };
    let measured = serde_json::json!({"figures": [["PSNR", 30.125]], "pictures": 5, "protocol": "MATLAB Y"});
    card.more.insert("held_back".into(), measured);
    Model { network, weights, card, source: None }.to_bytes(pdn::StoredPrecision::F32)
}

fn run(desk: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::cargo_bin("pdn").unwrap();
    command.current_dir(desk).env("HF_HUB_CACHE", desk.path().join("hub")).env("HF_HUB_OFFLINE", "1").args(arguments);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn models_at_hand_are_listed() {
    let desk = desk();
    cache(&desk, "someone", "nets", "x2/small.safetensors", &edsr());
    cache(&desk, "someone", "words", "model.safetensors", b"no network");
    std::fs::write(desk.path().join("hub/models--no--folder"), b"").unwrap();
    let (code, out, err) = run(&desk, &["models"]);
    assert_eq!(code, Some(0), "{err}");
    for word in [
        "pdn-photo-x4 (the default)\n",
        "pdn-x4\n",
        "For benchmarks: undoes",
        "pdn x4",
        "pdn-clip@",
        "on 20 pictures: MATLAB Y",
        "CC0-1.0",
    ] {
        assert!(out.contains(word), "{word}: {out}");
    }
    for word in ["someone/nets:x2/small.safetensors\n", "edsr x2", "PSNR 30.12 on 5 pictures: MATLAB Y", "21,763"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(!out.contains("someone/words"), "{out}");
    let listed: Value = serde_json::from_str(&run(&desk, &["models", "--json"]).1).unwrap();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["pdn-photo-x4", "pdn-x4", "pdn-x2", "pdn-x4-lite", "pdn-face-x8", "someone/nets:x2/small.safetensors"]
    );
    let of_the_hub = &listed[names.len() - 1];
    assert_eq!((&listed[0]["scale"], &of_the_hub["prompt"]), (&4.into(), &Value::Null));
    assert!(Path::new(of_the_hub["file"].as_str().unwrap()).is_file());
}

#[test]
fn every_command_takes_a_model_of_the_hub() {
    let desk = desk();
    cache(&desk, "someone", "nets", "small.safetensors", &edsr());
    cache(&desk, "someone", "two", "a.safetensors", &edsr());
    cache(&desk, "someone", "two", "b.pth", b"");
    std::fs::create_dir(desk.path().join("set")).unwrap();
    std::fs::copy(desk.path().join("small.png"), desk.path().join("set/small.png")).unwrap();
    for arguments in [
        &["upscale", "small.png", "--model", "someone/nets", "--name", "{model}.png"][..],
        &["upscale", "small.png", "--model", "someone/two:a.safetensors", "--name", "{model}.png"],
        &["info", "someone/nets:small.safetensors"],
        &["eval", "--data", "set", "--model", "someone/nets", "--degradation", "bicubic"],
        &["bench", "someone/nets", "--size", "16", "--runs", "1", "--scale", "2"],
        &["convert", "someone/nets", "small.onnx"],
    ] {
        let (code, out, err) = run(&desk, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    }
    assert!(desk.path().join("nets.png").is_file() && desk.path().join("a.png").is_file());
    for (arguments, words) in [
        (["info", "someone/none"], ["someone/none", "HF_HUB_OFFLINE", "path of the file"]),
        (["info", "someone/two"], ["someone/two", "HF_HUB_OFFLINE", "path of the file"]),
        (["info", "someone/nets:none.pth"], ["someone/nets", "HF_HUB_OFFLINE", "path of the file"]),
    ] {
        let (code, _, err) = run(&desk, &arguments);
        assert!(code == Some(1) && words.iter().all(|word| err.contains(word)), "{arguments:?}: {err}");
    }
}
