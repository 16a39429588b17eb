//! Runs `pdn convert` and `pdn bench` end to end.

use assert_cmd::Command;
use pdn::{Limits, Picture};
use std::path::PathBuf;
use tempfile::TempDir;

/// A working folder with a small picture and two models of the same small network: as trained, and deployed.
struct Desk(TempDir);

/// A command's output.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        let rgb = (0..14 * 11 * 3).map(|i| (i * 7 % 251) as u8).collect();
        pdn::write(&desk.at("small.png"), &Picture::from_rgb(14, 11, rgb), &Default::default()).unwrap();
        let config =
            serde_json::json!({"scale": 2, "features": 16, "blocks": 1, "residual_scale": 1.0, "dcm": {"dim": 256}});
        let network = pdn::zoo::build("edsr", &config).unwrap();
        let weights = pdn::hashed::weights(&network);
        let trained = pdn::Model { network, weights, card: Default::default(), source: None };
        for (name, model) in
            [("deployed.safetensors", pdn::deployed(&trained).unwrap()), ("trained.safetensors", trained)]
        {
            std::fs::write(desk.at(name), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
        }
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = Command::cargo_bin("pdn").unwrap().current_dir(&self.0).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        said.out
    }

    /// Runs a command that must fail with this exit code, print one line that contains all of `words`, and leave no
    /// output.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = self.names();
        let said = self.run(arguments);
        assert_eq!((said.code, said.err.lines().count()), (Some(code), 1), "{arguments:?}: {}", said.err);
        for word in words {
            assert!(said.err.contains(word), "{arguments:?} should say `{word}`: {}", said.err);
        }
        assert!(said.out.is_empty() && self.names() == before, "{arguments:?} left something behind");
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn info(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.does(&["info", name, "--json"])).unwrap()
    }

    fn enlarged(&self, model: &str) -> Picture {
        self.does(&["upscale", "small.png", "--force", "-o", "large.png", "--model", model, "--prompt", "a dog"]);
        pdn::read(&self.at("large.png"), &Limits::default()).unwrap()
    }
}

/// Returns the largest difference between two pictures, in 8-bit levels.
fn apart(a: &Picture, b: &Picture) -> u8 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    a.rgb().iter().zip(b.rgb()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn a_model_keeps_its_pixels_in_every_form_and_type() {
    let desk = Desk::new();
    let plain = desk.enlarged("trained.safetensors");
    for (options, form, levels) in [
        (&[][..], "train", 0),
        (&["--form", "train"], "train", 0),
        // The engine folds modules before it runs them, so the deployed file gives identical results.
        (&["--form", "deploy"], "deploy", 0),
        (&["--precision", "f16"], "train", 2),
        (&["--precision", "bf16", "--form", "deploy"], "deploy", 12),
    ] {
        let said = desk.does(&[&["convert", "--force", "trained.safetensors", "out.safetensors"], options].concat());
        assert!(said.contains("edsr x2"), "{said}");
        assert_eq!(desk.info("out.safetensors")["form"], form, "{options:?}");
        let found = apart(&desk.enlarged("out.safetensors"), &plain);
        assert!(found <= levels, "{options:?}: {found} levels apart");
    }
    assert_eq!(desk.info("out.safetensors")["card"], desk.info("trained.safetensors")["card"]);
    let size = |name: &str| std::fs::metadata(desk.at(name)).unwrap().len();
    assert!(size("out.safetensors") * 3 < size("deployed.safetensors") * 2);
}

#[test]
fn the_name_of_a_network_is_a_model_of_hashed_weights() {
    let desk = Desk::new();
    for (options, scale) in [(&[][..], 4), (&["--scale", "2"], 2)] {
        desk.does(&[&["convert", "--force", "imdn", "imdn.safetensors"], options].concat());
        let info = desk.info("imdn.safetensors");
        assert_eq!((info["scale"].as_u64(), info["card"]["name"].as_str()), (Some(scale), Some("imdn")));
        assert!(info["card"]["description"].as_str().unwrap().contains("Pseudo-random"));
    }
    desk.does(&["upscale", "small.png", "--force", "-o", "large.png", "--model", "imdn.safetensors"]);
}

#[test]
fn of_a_file_for_many_scales_one_is_said() {
    let desk = Desk::new();
    let mut all = std::collections::BTreeMap::new();
    for scale in [2, 3, 4] {
        let network =
            pdn::zoo::build("carn", &serde_json::json!({"scale": scale, "features": 8, "mean": [0, 0, 0]})).unwrap();
        let tensors = network.name_weights(pdn::hashed::weights(&network));
        all.extend(tensors.into_iter().map(|(name, tensor)| (name.replace(".up.", &format!(".up{scale}.")), tensor)));
    }
    let bytes = pdn_network::checkpoint::write(&all, Default::default(), pdn::StoredPrecision::F32);
    std::fs::write(desk.at("carn.safetensors"), bytes).unwrap();
    let one = ["convert", "carn.safetensors", "one.safetensors"];
    desk.fails(&one, 1, &["carn x2", "carn x3", "carn x4", "give the scale"]);
    desk.fails(&[&one[..], &["--scale", "8"]].concat(), 1, &["x2, x3, x4, expected x8"]);
    desk.does(&[&one[..], &["--scale", "3"]].concat());
    assert_eq!(desk.info("one.safetensors")["scale"], 3);
    desk.does(&["bench", "carn.safetensors", "--scale", "4", "--size", "8", "--runs", "1"]);
}

#[test]
fn onnx_takes_the_prompt_or_holds_it() {
    let desk = Desk::new();
    desk.does(&["embed", "--text", "a dog", "-o", "dog.safetensors"]);
    let mut sizes = Vec::new();
    for (options, words) in [
        (&[][..], "`prompt` of 256"),
        (&["--prompt", "input"], "`prompt` of 256"),
        (&["--form", "train"], "`prompt` of 256"),
        (&["--prompt", "a dog"], "built in"),
        (&["--prompt-embedding", "dog.safetensors"], "built in"),
    ] {
        let said = desk.does(&[&["convert", "--force", "trained.safetensors", "out.onnx"], options].concat());
        assert!(said.contains(words), "{options:?}: {said}");
        let bytes = std::fs::read(desk.at("out.onnx")).unwrap();
        let holds = |word: &[u8]| bytes.windows(word.len()).any(|w| w == word);
        assert!(holds(b"pdn.card") && holds(b"\"architecture\":\"edsr\"") && holds(b"enlarged"));
        sizes.push(bytes);
    }
    assert!(sizes[0] == sizes[1] && sizes[3] == sizes[4], "the same question has the same bytes for its answer");
    assert!(sizes[0].len() < sizes[2].len() && sizes[3].len() < sizes[0].len());
    desk.does(&["convert", "deployed.safetensors", "other.onnx"]);
    let said = desk.does(&["convert", "imdn", "imdn.onnx"]);
    assert!(said.contains("with pseudo-random values"), "{said}");
    assert!(said.contains("takes `picture`,") && !said.contains("prompt"), "{said}");
}

#[test]
fn wrong_uses_of_convert() {
    let desk = Desk::new();
    desk.does(&["convert", "imdn", "imdn.safetensors"]);
    std::fs::write(desk.at("broken.safetensors"), b"no model").unwrap();
    let (input, out) = ("trained.safetensors", "out.safetensors");
    for (arguments, code, words) in [
        (&[input, "out.pth"][..], 2, &["out.pth", ".safetensors or .onnx"][..]),
        (&[input, "out"], 2, &["out:", ".safetensors or .onnx"]),
        (&[input, input], 2, &["its own input"]),
        (&[input, input, "--force"], 2, &["its own input"]),
        (&["imdn", input], 1, &[input, "already exists", "--force"]),
        (&["missing.pth", out], 1, &["missing.pth", "no such file", "edsr-baseline", "imdn", "pdn"]),
        (&["edsr-huge", out], 1, &["edsr-huge", "no such file or network", "edsr-baseline+"]),
        (&["broken.safetensors", out], 1, &["broken.safetensors"]),
        (&["imdn", out, "--scale", "5"], 2, &["imdn", "scale 5"]),
        (&[input, out, "--scale", "3"], 1, &[input, "has scale x2, expected x3"]),
        (&["deployed.safetensors", out, "--form", "train"], 1, &["deployed.safetensors", "cannot be undone"]),
        (&["deployed.safetensors", "out.onnx", "--form", "train"], 1, &["cannot be undone"]),
        (&["imdn.safetensors", "out.onnx", "--prompt", "a dog"], 2, &["imdn.safetensors", "takes no prompt"]),
        (&["imdn", "out.onnx", "--prompt", "input"], 2, &["takes no prompt"]),
        (&[input, out, "--prompt", "a dog"], 2, &["built into .onnx"]),
        (&[input, "out.onnx", "--precision", "f16"], 2, &["only .safetensors supports it"]),
        (&[input, "out.onnx", "--prompt-embedding", "small.png"], 1, &["small.png"]),
        (&[input, "no/folder/out.onnx"], 1, &["no/folder"]),
    ] {
        desk.fails(&[&["convert"], arguments].concat(), code, words);
    }
}

#[test]
fn a_number_beyond_half_precision_is_said() {
    let desk = Desk::new();
    let mut model = pdn::Model::open(&desk.at("trained.safetensors")).unwrap();
    let mut tensors = model.network.name_weights(model.weights);
    let bias = tensors.get_mut("conv_last.bias").unwrap();
    *bias = pdn::Tensor::new(vec![3], vec![1e6; 3]);
    model.weights = model.network.bind(tensors).unwrap();
    std::fs::write(desk.at("large.safetensors"), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    let convert = |precision| ["convert", "large.safetensors", "out.safetensors", "--precision", precision];
    desk.fails(&convert("f16"), 1, &["large.safetensors", "conv_last.bias", "bf16"]);
    desk.does(&convert("bf16"));
}

#[test]
fn weights_that_overflow_as_they_are_folded_are_said() {
    let desk = Desk::new();
    let mut model = pdn::Model::open(&desk.at("trained.safetensors")).unwrap();
    let mut tensors = model.network.name_weights(model.weights);
    for (_, tensor) in tensors.iter_mut().filter(|(name, _)| name.contains("dcm") && name.ends_with("weight")) {
        *tensor = pdn::Tensor::new(tensor.shape().to_vec(), vec![1e30; tensor.data().len()]);
    }
    model.weights = model.network.bind(tensors).unwrap();
    std::fs::write(desk.at("huge.safetensors"), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    let words = &["huge.safetensors", "cannot be folded", "dcm"];
    desk.fails(&["convert", "huge.safetensors", "out.safetensors", "--form", "deploy"], 1, words);
    desk.fails(&["convert", "huge.safetensors", "out.onnx"], 1, words);
    desk.fails(&["upscale", "small.png", "-o", "out.png", "--model", "huge.safetensors"], 1, words);
}

#[test]
fn bench_times_what_runs() {
    let desk = Desk::new();
    let run = |more: &[&str]| {
        desk.does(&[&["bench", "trained.safetensors", "--size", "14x11", "--runs", "2"], more].concat())
    };
    let facts: serde_json::Value =
        serde_json::from_str(&run(&["--json", "--output", "out.f32", "--threads", "1"])).unwrap();
    assert_eq!(
        (facts["width"].as_u64(), facts["height"].as_u64(), facts["threads"].as_u64()),
        (Some(14), Some(11), Some(1))
    );
    let [low, middle, high] = ["min_ms", "ms", "max_ms"].map(|key| facts[key].as_f64().unwrap());
    assert!(0.0 < low && low <= middle && middle <= high && facts["gflops"].as_f64().unwrap() > 0.0);
    assert_eq!(facts["peak_mib"].as_u64().is_some(), cfg!(target_os = "linux"));
    assert_eq!(std::fs::metadata(desk.at("out.f32")).unwrap().len(), 4 * 3 * 28 * 22);
    let again = ["bench", "trained.safetensors", "--size", "8", "--runs", "1", "--output", "out.f32"];
    desk.fails(&again, 1, &["out.f32", "already exists", "--force"]);
    desk.does(&[&again[..], &["--force"]].concat());
    let said = run(&["--isa", "portable"]);
    assert!(said.contains("14x11 pixels, portable") && said.contains("GFLOP/s"), "{said}");
    if cfg!(target_os = "linux") {
        desk.fails(&["bench", "trained.safetensors", "--size", "65536"], 1, &["65536x65536", "MiB"]);
    }
    desk.fails(&["bench", "edsr-huge"], 1, &["no such file or network", "imdn"]);
}
