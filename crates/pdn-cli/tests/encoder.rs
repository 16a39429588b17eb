//! Runs the command with prompt encoders from files.

use assert_cmd::Command;
use pdn::{Model, Picture, hashed, read_embeddings, zoo};
use std::ffi::OsStr;
use std::path::PathBuf;
use tempfile::TempDir;

/// A command's output and exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "should say `{word}`: {}", self.err);
        }
    }
}

fn run<S: AsRef<OsStr>>(desk: &TempDir, arguments: &[S], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::cargo_bin("pdn").unwrap();
    let output = command.current_dir(desk).args(arguments).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Returns the path of a small CLIP in the format of OpenAI.
fn archive() -> String {
    pdn_testing::root().join("tests/reference/clip/openai.pt").canonicalize().unwrap().to_str().unwrap().to_owned()
}

fn desk() -> TempDir {
    let desk = TempDir::new().unwrap();
    let rgb = (0..20 * 16 * 3).map(|i| (i * 7 % 251) as u8).collect();
    pdn::write(&desk.path().join("small.png"), &Picture::from_rgb(20, 16, rgb), &Default::default()).unwrap();
    desk
}

/// Writes a small network that takes prompts of the archive's length and names no encoder.
fn network(desk: &TempDir) -> PathBuf {
    let dcm = serde_json::json!({"dim": 48, "kernels": 2});
    let config = serde_json::json!({"scale": 2, "features": 8, "groups": 1, "blocks": 1, "modules": 1, "dcm": dcm});
    let network = zoo::build("pdn", &config).unwrap();
    let weights = hashed::weights(&network);
    let path = desk.path().join("pdn.safetensors");
    let model = Model { network, weights, card: Default::default(), source: None };
    std::fs::write(&path, model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    path
}

#[test]
fn real_clip_embeds_and_steers() {
    let (desk, archive) = (desk(), archive());
    let said =
        run(&desk, &["embed", "small.png", "--text", "a b", "--encoder", &archive, "-o", "two.safetensors"], &[]);
    assert!(said.out.contains("2 embeddings of 48 by clip-vit-64x1-8-32-quickgelu@"), "{}{}", said.out, said.err);
    let embeddings = read_embeddings(&desk.path().join("two.safetensors")).unwrap();
    assert_eq!(embeddings.len(), 2);
    network(&desk);
    let upscale = [
        "upscale",
        "small.png",
        "--force",
        "-o",
        "out.png",
        "-m",
        "pdn.safetensors",
        "-p",
        "a b",
        "--encoder",
        &archive,
    ];
    let said = run(&desk, &upscale, &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let gelu = run(&desk, &[&upscale[..], &["--encoder-activation", "gelu"]].concat(), &[]);
    assert_eq!(gelu.code, Some(0), "{}", gelu.err);
    run(&desk, &[&upscale[..], &["--encoder-activation", "relu"]].concat(), &[]).fails(2, &["relu", "quick-gelu"]);
}

#[test]
fn an_encoder_that_does_not_fit_is_refused_with_both_names() {
    let (desk, archive) = (desk(), archive());
    let bundled = ["upscale", "small.png", "--force", "-o", "out.png", "-p", "a b", "--encoder", &archive];
    run(&desk, &bundled, &[]).fails(1, &["clip-vit-64x1-8-32-quickgelu@", "pdn-clip@"]);
    network(&desk);
    let other = ["upscale", "small.png", "--force", "-o", "out.png", "-m", "pdn.safetensors", "-p", "a dog"];
    run(&desk, &other, &[]).fails(1, &["48", "256"]);
    assert!(!desk.path().join("out.png").exists());
}

#[test]
fn prompts_that_cannot_be_read_are_said() {
    let (desk, archive) = (desk(), archive());
    let long = "a ".repeat(20);
    let embed = ["embed", "--encoder", &archive, "-o", "out.safetensors", "--text", &long];
    run(&desk, &embed, &[]).fails(2, &["22 tokens", "12", "--truncate-prompt"]);
    let said = run(&desk, &[&embed[..], &["--truncate-prompt"]].concat(), &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let bytes = OsStr::from_bytes(b"a \xff dog");
        run(&desk, &[OsStr::new("embed"), "-o".as_ref(), "x.safetensors".as_ref(), "-t".as_ref(), bytes], &[])
            .fails(2, &["UTF-8"]);
    }
}

#[cfg(feature = "hub")]
#[test]
fn a_model_of_the_hub_without_a_network_says_what_to_do() {
    let desk = desk();
    let home = desk.path().join("hub").to_str().unwrap().to_owned();
    let embed = ["embed", "-t", "a dog", "-o", "x.safetensors", "--encoder", "openai/clip-vit-base-patch32"];
    let said = run(&desk, &embed, &[("HF_HOME", &home), ("HF_HUB_OFFLINE", "1")]);
    said.fails(
        1,
        &["openai/clip-vit-base-patch32", "HF_HUB_OFFLINE", "model.safetensors", "config.json", "give the path"],
    );
    run(&desk, &["embed", "-t", "a", "-o", "x.safetensors", "--encoder", "./none/file"], &[])
        .fails(1, &["no such file"]);
}
