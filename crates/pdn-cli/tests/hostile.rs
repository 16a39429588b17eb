//! Runs the command in hostile conditions: inputs that are not files, names with terminal escapes, signals at any time,
//! and other processes that write to the same folder.
#![cfg(unix)]

use pdn::{Model, Picture, hashed, zoo};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        desk.draw("a.png", 20, 16);
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn draw(&self, name: &str, width: usize, height: usize) {
        let rgb = (0..width * height * 3).map(|i| (i * 7 % 251) as u8).collect();
        std::fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        pdn::write(&self.at(name), &Picture::from_rgb(width, height, rgb), &Default::default()).unwrap();
    }

    /// Writes a slow network with hashed weights.
    fn slow_model(&self, name: &str) {
        let config = serde_json::json!({"scale": 2, "features": 64, "blocks": 8, "residual_scale": 1.0});
        let network = zoo::build("edsr", &config).unwrap();
        let weights = hashed::weights(&network);
        let model = Model { network, weights, card: Default::default(), source: None };
        std::fs::write(self.at(name), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    }

    fn pipe(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.at(name)).status().unwrap().success());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("pdn"));
        command.current_dir(&self.0).env("PDN_CACHE", self.at(".cache")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Returns the names in the folder, sorted, without the cache.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != ".cache");
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the output of a process, which must end within a time.
#[track_caller]
fn within(time: Duration, mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > time {
            child.kill().unwrap();
            panic!("it goes on after {time:?}: {}", text(&child.wait_with_output().unwrap().stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// The longest that a stop may take: two seconds, plus a margin for a busy machine.
const STOP: Duration = Duration::from_millis(2500);

#[test]
fn pipes_and_devices_are_no_files() {
    let desk = Desk::new();
    desk.pipe("pipe");
    for name in ["pipe.json", "pipe.csv", "b.txt", "a_x2.png"] {
        desk.pipe(name);
    }
    desk.draw("b.png", 20, 16);
    std::os::unix::fs::symlink("/dev/zero", desk.at("zero.json")).unwrap();
    let commands: [&[&str]; 12] = [
        &["info", "pipe"],
        &["info", "/dev/zero"],
        &["upscale", "a.png", "-o", "o.png", "-m", "./pipe"],
        &["upscale", "a.png", "-o", "o.png", "--encoder", "./pipe"],
        &["upscale", "a.png", "-o", "o.png", "-m", "pdn-x2", "--prompt-embedding", "pipe"],
        &["upscale", "a.png", "-o", "o.png", "-m", "pdn-x2", "--captions", "pipe.json"],
        &["upscale", "a.png", "-o", "o.png", "-m", "pdn-x2", "--captions", "zero.json"],
        &["upscale", "b.png", "-o", "o.png", "-m", "pdn-x2", "--captions", "sidecar"],
        &["embed", "pipe", "-o", "o.safetensors"],
        &["embed", "--texts", "pipe.csv", "-o", "o.safetensors"],
        &["embed", "--texts", "/dev/zero", "-o", "o.safetensors"],
        &["upscale", "a.png", "a_x2.png", "--out-dir", "out", "-m", "bicubic", "-s", "2"],
    ];
    for arguments in commands {
        let output = within(Duration::from_secs(20), desk.command(arguments).spawn().unwrap());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(err.contains("not a regular file"), "{arguments:?}: {err}");
    }
    assert!(!desk.at("o.png").exists() && !desk.at("o.safetensors").exists());
}

#[test]
fn what_is_too_long_says_how_long_it_may_be() {
    let desk = Desk::new();
    // Sparse files, which take no space on the disk.
    for (name, length) in
        [("long.json", (512 << 20) + 1), ("a.txt", (1 << 20) + 1), ("long.safetensors", (8 << 30) + 1)]
    {
        std::fs::File::create(desk.at(name)).unwrap().set_len(length).unwrap();
    }
    let said = |arguments: &[&str], bytes: u64| {
        let output = desk.run(arguments);
        let err = text(&output.stderr);
        assert!(output.status.code() == Some(1) && err.contains(&format!("longer than {bytes} bytes")), "{err}");
    };
    said(&["upscale", "a.png", "-o", "o.png", "-m", "pdn-x2", "--captions", "long.json"], 512 << 20);
    said(&["upscale", "a.png", "-o", "o.png", "-m", "pdn-x2", "--captions", "sidecar"], 1 << 20);
    said(&["info", "long.safetensors"], 8 << 30);
}

#[test]
fn names_are_no_orders_to_a_terminal() {
    let desk = Desk::new();
    let evil = "\u{1b}]0;owned\u{7}\u{202e}gpj\nx.png";
    desk.draw(&format!("in/{evil}"), 20, 16);
    std::fs::write(desk.at(&format!("in/no{evil}")), "words").unwrap();
    let plain = |bytes: &[u8]| {
        let said = text(bytes);
        let orders = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(orders), "{said:?}");
        said
    };
    let output = desk.run(&["upscale", "in", "--out-dir", "out", "-m", "bicubic", "-s", "2"]);
    let (out, err) = (plain(&output.stdout), plain(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    let shown = "\\u{1b}]0;owned\\u{7}\\u{202e}gpj\\nx_x2.png: 20x16 to 40x32";
    assert!(out.lines().count() == 2 && out.contains(shown), "{out}");
    assert!(err.contains("no\\u{1b}]0;owned"), "{err}");
    assert!(desk.at(&format!("out/{}", evil.replace("x.png", "x_x2.png"))).exists());
    // JSON has its own escapes, and gives names unchanged.
    let output = desk.run(&["upscale", "in", "--out-dir", "again", "-m", "bicubic", "-s", "2", "--json"]);
    let inputs: Vec<String> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["input"].as_str().unwrap().to_owned())
        .collect();
    assert!(inputs.contains(&format!("in/{evil}")), "{inputs:?}");
    for arguments in [&["upscale", "--no\u{1b}[31m"][..], &["upscale", "a.png", "--threads", "\u{1b}[31m\u{7}"]] {
        let output = desk.run(arguments);
        let err = plain(&output.stderr);
        assert!(output.status.code() == Some(2) && err.starts_with("error: ") && err.contains("--help"), "{err}");
    }
    // A model's card with terminal escapes.
    let mut model = pdn::bundled_model("pdn-x2").unwrap().unwrap();
    model.card.description = "a\u{1b}[2J\nlicense       none".into();
    std::fs::write(desk.at("m.safetensors"), model.to_bytes(pdn::StoredPrecision::F16)).unwrap();
    let out = plain(&desk.run(&["info", "m.safetensors"]).stdout);
    assert!(out.contains("description   a\\u{1b}[2J\\nlicense"), "{out}");
}

#[test]
fn a_read_that_brings_nothing_is_stopped() {
    let desk = Desk::new();
    for name in ["-TERM", "-INT"] {
        let mut command = desk.command(&["upscale", "-", "-o", "out.png", "-m", "bicubic", "-s", "2"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // Keep the standard input open.
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"\x89PNG\r\n\x1a\n").unwrap();
        std::thread::sleep(Duration::from_millis(500));
        signal(&child, name);
        let output = within(STOP, child);
        let err = text(&output.stderr);
        assert!(output.status.code() == Some(130) && err.contains("interrupted"), "{err}");
        assert_eq!(desk.names(""), ["a.png"]);
    }
}

/// Writes an all-black PNG with this side, which is small on disk and slow to decode.
fn vast(path: &Path, side: u32) {
    let file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, side, side);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row = vec![0; side as usize * 6];
    (0..side).for_each(|_| stream.write_all(&row).unwrap());
    stream.finish().unwrap();
}

#[test]
fn a_decoder_at_work_is_stopped() {
    let desk = Desk::new();
    vast(&desk.at("vast.png"), 20_000);
    let arguments = ["upscale", "vast.png", "-o", "out.png", "-m", "bicubic", "-s", "1", "--max-pixels", "500000000"];
    let child = desk.command(&arguments).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-TERM");
    let start = Instant::now();
    let output = within(STOP, child);
    println!("stopped after {:?}", start.elapsed());
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(desk.names(""), ["a.png", "vast.png"]);
}

/// Starts a slow batch.
fn batch(desk: &Desk, input: &str, more: &[&str]) -> Child {
    let slow = ["upscale", input, "--out-dir", "out", "-m", "edsr.safetensors", "--isa", "portable", "--jobs", "1"];
    desk.command(&[&slow[..], more].concat()).spawn().unwrap()
}

fn slow() -> Desk {
    let desk = Desk::new();
    desk.slow_model("edsr.safetensors");
    for name in ["a", "b", "c"] {
        desk.draw(&format!("in/{name}.png"), 160, 120);
        desk.draw(&format!("more/{name}_.png"), 40, 30);
    }
    desk
}

#[test]
fn batches_into_one_folder_overwrite_nothing_of_each_other_s() {
    let desk = slow();
    // Different pictures: both succeed.
    let both = ["in", "more"].map(|input| batch(&desk, input, &[]));
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let all = ["a__x2.png", "a_x2.png", "b__x2.png", "b_x2.png", "c__x2.png", "c_x2.png"];
    assert_eq!(desk.names("out"), all);
    // The same pictures: each is written by one command only.
    std::fs::remove_dir_all(desk.at("out")).unwrap();
    let both = [0, 1].map(|_| batch(&desk, "in", &[]));
    let said = both.map(|child| child.wait_with_output().unwrap());
    let made: usize = said.iter().map(|output| text(&output.stdout).matches(": 160x120 to 320x240").count()).sum();
    let errors = said.iter().map(|output| text(&output.stderr)).collect::<String>();
    assert_eq!(made, 3, "{errors}");
    assert!(
        said.iter().any(|output| output.status.code() == Some(1)) && errors.contains("was not changed"),
        "{errors}"
    );
    assert_eq!(desk.names("out"), ["a_x2.png", "b_x2.png", "c_x2.png"]);
    // With `--skip-existing`, two commands share the work.
    std::fs::remove_dir_all(desk.at("out")).unwrap();
    let both = [0, 1].map(|_| batch(&desk, "in", &["--skip-existing", "--json"]));
    let said = both.map(|child| child.wait_with_output().unwrap());
    let lines: Vec<String> =
        said.iter().flat_map(|output| text(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!(said.iter().all(|output| output.status.success()), "{lines:?}");
    let skipped = lines.iter().filter(|line| line.contains("\"skipped\":true")).count();
    assert_eq!((lines.len(), skipped), (6, 3), "{lines:?}");
    assert_eq!(desk.names("out"), ["a_x2.png", "b_x2.png", "c_x2.png"]);
}
