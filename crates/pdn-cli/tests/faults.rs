//! Runs the command with networks that are steered by faults, and with an encoder that hears and sees them.

use assert_cmd::Command;
use pdn::{Card, Encoder, EncoderFile, FAULTS_ID, Framing, KnownFaults, Limits, Model, Picture, composed_dim};
use pdn_network::zoo::{Clip, PictureTower, Reading, TextTower, Transformer};
use pdn_network::{Tensors, hashed, zoo};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// A working folder with a small picture, a network that hears faults from the bundled encoder, and one that hears none.
struct Desk(TempDir);

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// The length of embeddings by [`encoder`].
const DIM: usize = 16;

const UPSCALE: [&str; 7] = ["upscale", "small.png", "-m", "hears.safetensors", "--force", "-o", "out.png"];

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        desk.draw("small.png", (20, 16), 7);
        let bundled = pdn::bundled_encoder().unwrap();
        desk.network("hears.safetensors", composed_dim(bundled.dim()), Some(&(bundled.id().to_owned() + FAULTS_ID)));
        desk.network("deaf.safetensors", bundled.dim(), Some(bundled.id()));
        desk
    }

    /// Writes the encoder that tells faults, and a network for it.
    fn with_encoder(self) -> Self {
        let path = self.at("tells.safetensors");
        std::fs::write(&path, encoder().to_bytes(pdn::StoredPrecision::F32)).unwrap();
        let id = Encoder::open(&path).unwrap().id().to_owned();
        self.network("both.safetensors", composed_dim(DIM), Some(&(id + FAULTS_ID)));
        self
    }

    fn network(&self, name: &str, dim: usize, encoder: Option<&str>) {
        let dcm = json!({"dim": dim, "kernels": 2});
        let config = json!({"scale": 2, "features": 8, "groups": 1, "blocks": 1, "modules": 1, "dcm": dcm});
        let network = zoo::build("pdn", &config).unwrap();
        let weights = hashed::weights(&network);
        let mut card = Card::default();
        card.more.extend(encoder.map(|id| ("encoder".into(), id.into())));
        let model = Model { network, weights, card, source: None };
        std::fs::write(self.at(name), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    }

    fn draw(&self, name: &str, (width, height): (usize, usize), seed: usize) {
        let rgb = (0..width * height * 3).map(|i| (i * seed % 251) as u8).collect();
        pdn::write(&self.at(name), &Picture::from_rgb(width, height, rgb), &Default::default()).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::cargo_bin("pdn").unwrap();
        let output = command.current_dir(&self.0).env("PDN_CACHE", self.at("cache")).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn works(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        said.out
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.works(arguments)).unwrap()
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], words: &[&str]) {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}{}", said.out, said.err);
        assert!(words.iter().all(|word| said.err.contains(word)), "{arguments:?} should say {words:?}: {}", said.err);
        assert!(!self.at("out.png").exists(), "{arguments:?} left an output");
    }

    /// Upscales with more arguments; returns the result and what was printed.
    #[track_caller]
    fn upscale(&self, more: &[&str]) -> (Vec<u8>, String) {
        let said = self.works(&[&UPSCALE[..], more].concat());
        let picture = pdn::read(&self.at("out.png"), &Limits::default()).unwrap();
        std::fs::remove_file(self.at("out.png")).unwrap();
        (picture.rgb().to_vec(), said)
    }
}

/// Returns a small encoder of hashed weights that hears and sees faults.
fn encoder() -> EncoderFile {
    let tower = |dim| {
        let blocks = || Transformer { width: 16, heads: 2, layers: 1, quick_gelu: true };
        let text = TextTower { vocabulary: 1024, context: 77, blocks: blocks(), reading: Reading::Mean };
        Clip { dim, text, picture: PictureTower::Vit { side: 16, patch: 8, blocks: blocks() } }
    };
    let (clip, faults) = (tower(DIM), tower(KnownFaults::LEN));
    let named = |clip: &Clip| -> Tensors {
        let networks = [clip.text_network().unwrap(), clip.picture_network().unwrap()];
        networks.iter().flat_map(|network| network.name_weights(hashed::weights(network))).collect()
    };
    let mut tensors = named(&clip);
    tensors.extend(named(&faults).into_iter().map(|(name, tensor)| (format!("faults.{name}"), tensor)));
    let card = Card { name: "tells".into(), ..Card::default() };
    let (mean, deviation, framing) = ([0.5; 3], [0.25; 3], Framing::Squeeze);
    EncoderFile { clip, mean, deviation, framing, faults: Some(faults), card, tensors }
}

#[test]
fn what_is_told_steers() {
    let desk = Desk::new();
    let (plain, said) = desk.upscale(&[]);
    assert!(said.contains("; faults ") && said.contains("(seen)") && !said.contains("prompt"), "{said}");
    let (blurred, said) = desk.upscale(&["--faults", "blur=heavy,noise=none"]);
    assert!(blurred != plain && said.contains("; faults heavily blurred, no noise (told)"), "{said}");
    let (unseen, said) = desk.upscale(&["--faults", "unseen"]);
    assert!(unseen != plain && said.contains("; faults nothing known"), "{said}");
    let (both, said) = desk.upscale(&["--faults", "blur=heavy,noise=none,unseen", "-p", "a brown dog"]);
    assert!(both != blurred && said.contains("prompt \"a brown dog\"; faults heavily blurred, no noise (told)"));
    desk.works(&["embed", "-t", "a brown dog", "-o", "dog.safetensors"]);
    let embedded = ["--faults", "blur=heavy,noise=none,unseen", "--prompt-embedding", "dog.safetensors"];
    assert_eq!(desk.upscale(&embedded).0, both);
    let (sixty, said) = desk.upscale(&["--faults", "jpeg=60"]);
    assert!(sixty != plain && said.contains("faults JPEG about 60 (told)"), "{said}");
}

#[test]
fn a_batch_and_its_records_say_the_faults() {
    let desk = Desk::new();
    std::fs::create_dir(desk.at("in")).unwrap();
    for (name, seed) in [("in/a.png", 3), ("in/b.png", 5)] {
        desk.draw(name, (20, 16), seed);
    }
    std::fs::write(desk.at("in/a.txt"), "a brown dog").unwrap();
    std::fs::write(desk.at("in/b.txt"), "a red bus").unwrap();
    let batch =
        ["upscale", "in", "-m", "hears.safetensors", "--out-dir", "out", "--json", "--faults", "noise=strong,unseen"];
    let out = desk.works(&[&batch[..], &["--captions", "sidecar"]].concat());
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        let expected = if line["input"] == "in/a.png" { "\"a brown dog\"" } else { "\"a red bus\"" };
        assert_eq!((&line["faults"], &line["prompt"]), (&json!("noisy (told)"), &json!(expected)));
    }
    let bytes = std::fs::read(desk.at("out/a_x2.png")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("noisy (told)</pdn:Faults>") && !text.contains("faults: "), "{text}");
    let found = desk.json(&["eval", "--data", "in", "-m", "hears.safetensors", "--faults", "noise=strong", "--json"]);
    assert_eq!(found["faults"], "noisy (told), the rest seen in each picture");
    assert!(found["pictures"][0]["faults"].as_str().is_some_and(|said| said.starts_with("noisy (told), ")));
    let eval = ["eval", "--data", "in", "-m", "hears.safetensors"];
    assert!(desk.works(&eval).contains("faults       seen in each picture\n"));
    let unseen = [&eval[..], &["--faults", "unseen", "--against", "deaf.safetensors"]].concat();
    assert!(desk.works(&unseen).contains("faults       nothing told\n"));
    let masks = ["masks", "small.png", "-m", "hears.safetensors", "-o", "masks"];
    let out = desk.works(&[&masks[..], &["-p", "a dog", "--faults", "jpeg=none"]].concat());
    assert!(out.contains("for \"a dog\", faults no JPEG traces (told)"), "{out}");
}

#[test]
fn parts_of_a_picture_have_faults_of_their_own() {
    let desk = Desk::new();
    let (told, _) = desk.upscale(&["--faults", "blur=heavy"]);
    let (whole, said) = desk.upscale(&["--region-faults", "0,0,20,16=blur=heavy"]);
    assert!(whole == told && said.contains("in 0,0,20,16 faults: heavily blurred"), "{said}");
    let (sentence, _) = desk.upscale(&["--faults", "blur=heavy", "-p", "snow"]);
    let (both, said) = desk.upscale(&["--region", "0,0,20,16=snow", "--region-faults", "0,0,20,16=blur=heavy"]);
    assert!(both == sentence && said.contains("\"snow\", faults: heavily blurred"), "{said}");
    // A region without a sentence has the prompt of the rest, and none of its faults.
    let part = ["--faults", "noise=heavy", "-p", "snow", "--region-faults", "10,0,10,16=blur=heavy", "--feather", "4"];
    let (part, _) = desk.upscale(&part);
    assert!(part != sentence && part != desk.upscale(&["--faults", "noise=heavy", "-p", "snow"]).0);
    let covered = ["--faults", "noise=heavy", "-p", "snow", "--region-faults", "0,0,20,16=blur=heavy"];
    assert_eq!(desk.upscale(&covered).0, sentence);
    for (more, word) in [
        ("10,0,5,5", "X,Y,W,H=SETTINGS"),
        ("10,0,5=blur=heavy", "left, top"),
        ("10,0,5,5=focus=bad", "unknown fault `focus`"),
    ] {
        desk.fails(&[&UPSCALE[..], &["--region-faults", more]].concat(), &[word]);
    }
}

#[test]
fn faults_that_cannot_be_told_are_refused_before_work() {
    let desk = Desk::new();
    let words = "not steered by faults";
    for (more, expected) in [
        (&["--faults", "focus=bad"][..], &["unknown fault `focus`", "blur, resize"][..]),
        (&["--faults", "blur=much"], &["blur=much", "slight"]),
        (&["--faults", "jpeg=0"], &["jpeg=0", "1 to 100"]),
        (&["--faults", "blur=heavy", "-m", "deaf.safetensors"], &["--faults", words]),
        (&["--region-faults", "0,0,5,5=blur=heavy", "-m", "deaf.safetensors"], &["--region-faults", words]),
        (&["--faults", "blur=heavy", "-m", "bicubic"], &["takes no prompt"]),
        (&["--region-faults", "0,0,5,5=unseen", "-m", "bicubic"], &["takes no prompt"]),
    ] {
        let base = ["upscale", "small.png", "--force", "-o", "out.png"];
        let model = if more.contains(&"-m") { &[][..] } else { &["-m", "hears.safetensors"] };
        desk.fails(&[&base[..], model, more].concat(), expected);
    }
    let told = ["--faults", "blur=heavy", "-m", "deaf.safetensors"];
    desk.fails(&[&["eval", "--data", "."][..], &told].concat(), &["--faults", words]);
    desk.fails(&[&["masks", "small.png", "-o", "masks"][..], &told].concat(), &["--faults", words]);
    let convert = ["convert", "deaf.safetensors", "out.onnx", "--faults", "blur=heavy"];
    desk.fails(&convert, &["--faults", words]);
}

#[test]
fn faults_are_built_into_onnx() {
    let desk = Desk::new();
    for more in [&["--faults", "blur=slight"][..], &["-p", "a dog", "--faults", "blur=slight"], &["-p", "a dog"]] {
        let out = desk.works(&[&["convert", "hears.safetensors", "out.onnx", "--force"][..], more].concat());
        assert!(out.contains("+faults-1 built in"), "{out}");
    }
    let out = desk.works(&["convert", "hears.safetensors", "out.onnx", "--force"]);
    assert!(out.contains("`prompt` of 292 numbers"), "{out}");
}

#[test]
fn what_is_seen_steers_and_is_said() {
    let desk = Desk::new().with_encoder();
    let upscale = |more: &[&str]| {
        let base = ["-m", "both.safetensors", "--encoder", "tells.safetensors"];
        let said = desk.works(&[&["upscale", "small.png", "--force", "-o", "out.png"][..], &base, more].concat());
        let picture = pdn::read(&desk.at("out.png"), &Limits::default()).unwrap();
        (picture.rgb().to_vec(), said.split_once("; faults ").expect("faults").1.trim_end().to_owned())
    };
    let (_, seen) = upscale(&[]);
    let (_, unseen) = upscale(&["--faults", "unseen"]);
    assert!(seen.ends_with("(seen)") && unseen == "nothing known", "{seen} {unseen}");
    let (_, told) = upscale(&["--faults", "blur=heavy"]);
    assert!(told.starts_with("heavily blurred (told), ") && told.ends_with("(seen)"), "{told}");
    let encoder = Encoder::open(&desk.at("tells.safetensors")).unwrap();
    let small = pdn::read(&desk.at("small.png"), &Limits::default()).unwrap();
    assert_eq!(seen, format!("{} (seen)", encoder.faults_of_picture(&small).unwrap()));
    let heard = encoder.faults_of_text("a brown dog").unwrap();
    let (_, said) = upscale(&["-p", "a brown dog", "--faults", "unseen"]);
    assert_eq!(said, if heard.tells_any() { format!("{heard} (told)") } else { "nothing known".into() });
}

#[test]
fn a_picture_is_described() {
    let desk = Desk::new().with_encoder();
    let out = desk.works(&["info", "small.png"]);
    for word in ["format        PNG", "size          20x16", "RGB", "8 bits per sample", "as pdn-clip@"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    let out = desk.works(&["info", "small.png", "--encoder", "tells.safetensors"]);
    for word in ["as tells@", "slot", "level", "amount", "blur", "jpeg", "unknown ", "antialiased "] {
        assert!(out.contains(word), "{word}: {out}");
    }
    std::fs::copy(desk.at("small.png"), desk.at("picture")).unwrap();
    let found = desk.json(&["info", "picture", "--encoder", "tells.safetensors", "--json"]);
    assert_eq!((&found["width"], &found["format"], &found["bits"]), (&json!(20), &json!("PNG"), &json!(8)));
    let slots = found["faults"]["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 6);
    for slot in slots {
        let sum: f64 = slot["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{slot}");
    }
    assert!(desk.json(&["info", "small.png", "--json"])["faults"].is_object());
    std::fs::write(desk.at("words.png"), "these are words").unwrap();
    let said = desk.run(&["info", "words.png"]);
    assert!(
        said.code == Some(1) && said.err.contains("words.png") && said.err.contains("expected PNG"),
        "{}",
        said.err
    );
}

#[test]
fn controls_are_a_matrix() {
    let desk = Desk::new().with_encoder();
    std::fs::create_dir(desk.at("set")).unwrap();
    for (name, seed) in [("set/a.png", 3), ("set/b.png", 5), ("set/c.png", 11)] {
        desk.draw(name, (48, 40), seed);
    }
    let base = ["controls", "-d", "set", "-m", "both.safetensors", "--encoder", "tells.safetensors", "--limit", "2"];
    let two = [&base[..], &["--degradation", "bicubic", "--degradation", "blur=0.7,noise=9,jpeg=50"]].concat();
    let json = [&two[..], &["--json"]].concat();
    let found = desk.json(&json);
    assert_eq!((&found["pictures"], desk.json(&json)), (&json!(2), found.clone()));
    let degradations = found["degradations"].as_array().unwrap();
    assert_eq!(degradations.len(), 2);
    for block in degradations.iter().chain([&found["mean"]]) {
        let conditions = block["conditions"].as_array().unwrap();
        assert_eq!(conditions.len(), 10);
        for condition in conditions {
            let name = condition["prompt"].as_str().unwrap();
            assert_eq!(condition["psnr"].is_null(), name == "content only", "{condition}");
            assert_eq!(condition["over_none"].is_null(), ["content only", "none"].contains(&name), "{condition}");
        }
        assert!(block["right_minus_wrong"]["interval"][1].is_number(), "{block}");
    }
    let psnr = |at: usize| degradations[1]["conditions"][at]["psnr"].as_f64().unwrap();
    assert!(psnr(0) != psnr(5) && psnr(1) != psnr(5) && psnr(4) != psnr(5), "{}", degradations[1]);
    let out = desk.works(&two);
    for word in ["2 of set", "blur=0.7,noise=9,jpeg=50", "mean over degradations", "right minus wrong", "partly"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    std::fs::write(desk.at("set/captions.csv"), "image,caption\na.png,a brown dog\nb.png,a red bus\n").unwrap();
    let found = desk.json(&json);
    assert!(found["mean"]["conditions"][7]["psnr"].is_number(), "{}", found["mean"]);
    desk.fails(&[&base[..], &["--degradation", "bicubic"]].concat(), &["at least two"]);
    desk.fails(&[&two[..], &["--degradation", "practical"]].concat(), &["practical", "cannot be told"]);
    let deaf = [&["controls", "-d", "set", "-m", "deaf.safetensors"][..], &two[9..]].concat();
    desk.fails(&deaf, &["--degradation", "only one"]);
}
