//! Runs the command on many pictures: which inputs it finds, where results go, what fails, and what a stop leaves.

use assert_cmd::Command;
use pdn::{Limits, Model, Picture, hashed, zoo};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Desk(TempDir);

/// A command's output and exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn works(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "should say `{word}`: {}", self.err);
        }
        self
    }

    /// Parses the standard output, in which every line is JSON.
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Creates a desk with pictures that all differ.
    fn with(pictures: &[&str]) -> Self {
        let desk = Self::new();
        for (i, name) in pictures.iter().enumerate() {
            desk.draw(name, 20, 16, i + 7);
        }
        desk
    }

    fn draw(&self, name: &str, width: usize, height: usize, seed: usize) {
        let rgb = (0..width * height * 3).map(|i| (i * seed % 251) as u8).collect();
        std::fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        pdn::write(&self.at(name), &Picture::from_rgb(width, height, rgb), &Default::default()).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        std::fs::write(self.at(name), bytes).unwrap();
    }

    /// Writes a model with hashed weights.
    fn model(&self, name: &str, architecture: &str, config: Value) {
        let network = zoo::build(architecture, &config).unwrap();
        let weights = hashed::weights(&network);
        let model = Model { network, weights, card: Default::default(), source: None };
        std::fs::write(self.at(name), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("pdn").unwrap();
        command.current_dir(&self.0).env("PDN_CACHE", self.at(".cache")).arg("upscale").args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments))
    }

    /// Upscales by two with bicubic.
    fn bicubic(&self, arguments: &[&str]) -> Said {
        self.run(&[arguments, &["-m", "bicubic", "-s", "2"]].concat())
    }

    fn process(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("pdn"));
        command.current_dir(&self.0).arg("upscale").args(arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    }

    /// Returns every file below a folder, with its contents, by its path inside the folder.
    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut left = vec![self.at(folder)];
        while let Some(inside) = left.pop() {
            for entry in std::fs::read_dir(inside).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => left.push(path),
                    false => {
                        let name = path.strip_prefix(self.at(folder)).unwrap().to_string_lossy().replace('\\', "/");
                        found.insert(name, std::fs::read(&path).unwrap());
                    }
                }
            }
        }
        found
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.files(folder).into_keys().collect()
    }

    fn size(&self, name: &str) -> (usize, usize) {
        let picture = pdn::read(&self.at(name), &Limits::default()).unwrap();
        (picture.width(), picture.height())
    }

    /// Returns whether a picture in the folder is being written.
    #[cfg(unix)]
    fn is_at_work(&self, folder: &str) -> bool {
        let entries = std::fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".part"))
    }
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_folder_keeps_its_structure() {
    let desk = Desk::with(&["in/a.png", "in/b.jpg", "in/sub/deep/c.tif", "in/.hidden.png", "in/.git/d.png"]);
    desk.write("in/notes.txt", b"words");
    let said = desk.bicubic(&["in", "--out-dir", "out"]).works();
    assert_eq!(desk.names("out"), ["a_x2.png", "b_x2.jpg", "sub/deep/c_x2.tif"]);
    assert_eq!(desk.size("out/sub/deep/c_x2.tif"), (40, 32));
    assert!(said.out.contains("3 of 3 pictures upscaled") && said.out.lines().count() == 4, "{}", said.out);
    assert_eq!(said.err, "pdn: skipped notes.txt: no picture file extension\n");
    let before = desk.files("out");
    let again = desk
        .bicubic(&["in", "--out-dir", "out"])
        .fails(1, &["a_x2.png", "2 other results", "--force", "--skip-existing"]);
    assert_eq!(again.err.lines().count(), 1, "{}", again.err);
    std::fs::remove_file(desk.at("out/b_x2.jpg")).unwrap();
    let said = desk.bicubic(&["in", "--out-dir", "out", "--skip-existing"]).works();
    assert!(said.out.contains("1 of 3 pictures upscaled") && said.out.contains("2 skipped"), "{}", said.out);
    assert_eq!(desk.files("out"), before);
    desk.write("out/a_x2.png", b"old");
    desk.bicubic(&["in", "--out-dir", "out", "--force"]).works();
    assert_eq!(desk.files("out"), before);
}

#[test]
fn results_are_not_enlarged_again() {
    let desk = Desk::with(&["in/a.png", "in/sub/b.png"]);
    for more in [&[][..], &["--skip-existing"], &["--force"]] {
        desk.bicubic(&[&["in", "--out-dir", "in/large"], more].concat()).works();
        assert_eq!(desk.names("in"), ["a.png", "large/a_x2.png", "large/sub/b_x2.png", "sub/b.png"]);
    }
    std::fs::remove_dir_all(desk.at("in/large")).unwrap();
    // Without an output folder, results lie beside the inputs; their names and metadata mark them as results.
    for more in [&[][..], &["--skip-existing"], &["--force"]] {
        let said = desk.bicubic(&[&["in"], more].concat()).works();
        assert_eq!(
            said.err.contains("skipped in/a_x2.png and 1 other: they are results"),
            !more.is_empty(),
            "{}",
            said.err
        );
        assert_eq!(desk.names("in"), ["a.png", "a_x2.png", "sub/b.png", "sub/b_x2.png"]);
    }
    let again = desk.bicubic(&["in"]).fails(1, &["a_x2.png", "already exists", "--skip-existing"]);
    assert_eq!(again.err.lines().count(), 1, "{}", again.err);
    // A result that is named on the command line is an input, and so is one without metadata.
    desk.bicubic(&["in/a_x2.png", "-o", "twice.png"]).works();
    desk.bicubic(&["in", "--force", "--strip"]).works();
    desk.bicubic(&["in", "--force"]).fails(2, &["a_x2.png", "is also an input", "--skip-existing"]);
}

#[test]
fn results_of_every_format_are_known() {
    let desk = Desk::with(&["a.png", "a.jpg", "a.webp", "a.tif"]);
    let all = ["a.png", "a.jpg", "a.webp", "a.tif"];
    desk.bicubic(&[&all[..], &["--name", "{name}_{from}_large.{ext}"]].concat()).works();
    for (i, name) in all.iter().enumerate() {
        let result = format!("a_{}_large.{0}", name.rsplit('.').next().unwrap());
        let out = format!("{i}.png");
        let said = desk.bicubic(&[name, &result, "--out-dir", "out", "--name", &out]).works();
        assert!(said.err.contains(&format!("skipped {result}: it is the result")), "{}", said.err);
    }
}

#[test]
fn pictures_go_through_pipes() {
    let desk = Desk::with(&["a.png", "b.jpg"]);
    desk.bicubic(&["a.png", "-o", "expected.png"]).works();
    let pipe = |arguments: &[&str], input: &str| {
        let mut command = desk.command(&[arguments, &["-m", "bicubic", "-s", "2x"]].concat());
        command.write_stdin(desk.files("")[input].clone()).output().unwrap()
    };
    for arguments in [&["-"][..], &["-", "-o", "-"], &["-", "-o", "-", "--format", "png"]] {
        let output = pipe(arguments, "a.png");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && err.contains("standard output: 20x16 to 40x32"), "{err}");
        assert!(output.stdout == desk.files("")["expected.png"], "{arguments:?}");
    }
    assert!(pipe(&["-", "--format", "jpg"], "b.jpg").stdout.starts_with(b"\xff\xd8\xff"));
    assert!(pipe(&["-", "--out-dir", "out"], "b.jpg").status.success());
    assert_eq!(desk.names("out"), ["stdin_x2.png"]);
    let to_pipe = desk.process(&["a.png", "-o", "-", "-m", "bicubic", "-s", "x2"]).output().unwrap();
    assert!(to_pipe.stdout == desk.files("")["expected.png"]);
    for (arguments, words) in [
        (&["-", "a.png"][..], "several pictures"),
        (&["a.png", "b.jpg", "-o", "-"], "names one file for 2 pictures"),
        (&["-", "-", "--out-dir", "out"], "given 2 times"),
        (&["-", "--json"], "--json"),
        (&["-", "-o", "x.png", "--format", "jpg"], "--format"),
    ] {
        let output = pipe(arguments, "a.png");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && err.contains(words), "{arguments:?}: {err}");
    }
    desk.write("bad", b"no picture");
    let output = pipe(&["-"], "bad");
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{err}");
    assert!(err.contains("standard input: is not a supported picture"), "{err}");
}

#[test]
fn what_a_folder_holds_beside_pictures_is_named() {
    let desk = Desk::with(&["in/a.png"]);
    for name in ["in/IMG_1.HEIC", "in/sub/IMG_2.heic", "in/film.mov", "in/raw.CR2", "in/.DS_Store", "in/notes.txt"] {
        desk.write(name, b"");
    }
    let said = desk.bicubic(&["in", "--out-dir", "out"]).works();
    for words in ["skipped IMG_1.HEIC and 1 other file: HEIC", "film.mov", "raw.CR2", "skipped notes.txt"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert!(said.err.lines().count() == 4 && !said.err.contains("DS_Store"), "{}", said.err);
    let said = desk.bicubic(&["in/*", "--out-dir", "two"]).works();
    assert!(said.err.contains("skipped notes.txt"), "{}", said.err);
}

#[test]
fn one_picture_goes_beside_and_overwrites_nothing() {
    let desk = Desk::with(&["photo.jpg", "drawing.bmp.png"]);
    desk.bicubic(&["photo.jpg"]).works();
    assert_eq!(desk.size("photo_x2.jpg"), (40, 32));
    desk.write("photo_x2.jpg", b"mine");
    desk.write("out.png", b"mine");
    let said = desk.bicubic(&["photo.jpg"]).fails(1, &["photo_x2.jpg", "already exists", "--force"]);
    assert_eq!(said.err.lines().count(), 1);
    desk.bicubic(&["photo.jpg", "-o", "out.png"]).fails(1, &["out.png", "already exists"]);
    assert_eq!((&desk.files("")["photo_x2.jpg"][..], &desk.files("")["out.png"][..]), (&b"mine"[..], &b"mine"[..]));
    let said = desk.bicubic(&["photo.jpg", "--skip-existing"]).works();
    assert!(said.out.contains("1 skipped"), "{}", said.out);
    desk.bicubic(&["photo.jpg", "-o", "out.png", "--force"]).works();
    assert_eq!(desk.size("out.png"), (40, 32));
    desk.bicubic(&["photo.jpg", "-o", "photo.jpg", "--force"]).fails(2, &["photo.jpg", "its own input"]);
    desk.bicubic(&["photo.jpg", "out.png", "-o", "both.png"]).fails(2, &["both.png", "for 2 pictures", "--out-dir"]);
    desk.bicubic(&["photo.jpg", "out.png", "--region", "0,0,2,2=a"]).fails(2, &["--region: expected one picture"]);
}

#[test]
fn a_second_name_that_is_no_file_is_taken_for_the_result() {
    let desk = Desk::with(&["a.png"]);
    desk.bicubic(&["a.png", "large.png"]).fails(1, &["large.png: no such file", "-o large.png"]);
    assert_eq!(desk.names(""), ["a.png"], "nothing was done");
    desk.bicubic(&["a.png", "gone.png", "--out-dir", "out"]).fails(1, &["gone.png: no such file", "1 of 2"]);
}

#[test]
fn names_and_formats_are_chosen() {
    let desk = Desk::with(&["a.png", "b.jpg"]);
    let name = ["--name", "{model}_{name}_{from}_{scale}.{ext}", "--format", "webp"];
    desk.bicubic(&[&["a.png", "b.jpg", "--out-dir", "out"][..], &name].concat()).works();
    assert_eq!(desk.names("out"), ["bicubic_a_png_2.webp", "bicubic_b_jpg_2.webp"]);
    desk.bicubic(&["a.png", "--name", "{sides}.png"]).fails(2, &["{sides}", "expected name, from"]);
    desk.bicubic(&["a.png", "--name", "{name}.gif"]).fails(2, &["a.gif", ".png, .tif"]);
    desk.bicubic(&["a.png", "b.jpg", "--out-dir", "a.png"]).fails(1, &["a.png", "is a file; expected a folder"]);
}

#[test]
fn sizes_are_in_the_names() {
    let desk = Desk::with(&["a.png"]);
    let sizes: [(&[&str], &str, (usize, usize)); 8] = [
        (&["--scale", "x3"], "a_x3.png", (60, 48)),
        (&["--scale", "2X"], "a_x2.png", (40, 32)),
        (&["--scale", "2.5"], "a_x2.5.png", (50, 40)),
        (&["--width", "30"], "a_30w.png", (30, 24)),
        (&["--height", "32"], "a_32h.png", (40, 32)),
        (&["--width", "30", "--height", "30"], "a_30x30.png", (30, 24)),
        (&["--width", "31", "--height", "30", "--exact"], "a_31x30.png", (31, 30)),
        (&["--megapixels", "0.002"], "a_0.002mp.png", (50, 40)),
    ];
    for (size, name, pixels) in sizes {
        desk.run(&[&["--model", "bicubic", "a.png"], size].concat()).works();
        assert_eq!(desk.size(name), pixels, "{name}");
    }
}

#[test]
fn patterns_and_lists_name_pictures() {
    let desk = Desk::with(&["in/a.png", "in/b.jpg", "in/sub/c.png", "in/with space.png"]);
    desk.bicubic(&["in/**/*.png", "--out-dir", "one"]).works();
    assert_eq!(desk.names("one"), ["a_x2.png", "sub/c_x2.png", "with space_x2.png"]);
    desk.bicubic(&["in/**", "--out-dir", "all"]).works();
    assert_eq!(desk.names("all"), ["a_x2.png", "b_x2.jpg", "sub/c_x2.png", "with space_x2.png"]);
    let list = |null: &[&str], input: &str, out: &str| {
        let mut command =
            desk.command(&[&["--files-from", "-", "-m", "bicubic", "-s", "2", "--out-dir", out], null].concat());
        command.write_stdin(input);
        said(command)
    };
    list(&[], "in/a.png\r\n\nin/with space.png\n", "two").works();
    assert_eq!(desk.names("two"), ["a_x2.png", "with space_x2.png"]);
    list(&["--null"], "in/sub\0in/b.jpg", "three").works();
    assert_eq!(desk.names("three"), ["b_x2.jpg", "c_x2.png"]);
    desk.write("list", b"in/a.png\n");
    desk.bicubic(&["--files-from", "list", "in/b.jpg", "--out-dir", "listed"]).works();
    assert_eq!(desk.names("listed"), ["a_x2.png", "b_x2.jpg"]);
    list(&[], "\u{89}PNG\0\0", "four").fails(2, &["NUL bytes", "--null"]);
    list(&[], "\n", "four").fails(1, &["lists no pictures"]);
    list(&["-0"], "in/a.png\0in/gone.png\0", "five").fails(1, &["in/gone.png: no such file", "1 of 2"]);
    assert_eq!(desk.names("five"), ["a_x2.png"]);
    desk.bicubic(&["in/*.webp", "in/a.png", "--out-dir", "six"]).fails(1, &["in/*.webp", "matches no pictures"]);
    assert_eq!(desk.names("six"), ["a_x2.png"]);
}

#[test]
fn a_line_of_json_for_each() {
    let desk = Desk::with(&["a.png", "b.png", "out/c_x2.png", "c.png"]);
    desk.write("bad.png", b"no picture");
    let said = desk.bicubic(&["a.png", "b.png", "c.png", "bad.png", "--out-dir", "out", "--json", "--skip-existing"]);
    let said = said.fails(1, &["bad.png", "1 of 4 pictures failed"]);
    let lines: BTreeMap<String, Value> =
        said.lines().into_iter().map(|line| (line["input"].as_str().unwrap().to_owned(), line)).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines["c.png"]["skipped"], true);
    assert!(lines["bad.png"]["error"].as_str().unwrap().contains("not a supported picture"), "{lines:?}");
    let a = &lines["a.png"];
    let sizes = ["width", "height", "output_width", "output_height"].map(|key| a[key].as_u64().unwrap());
    assert_eq!((sizes, &a["model"], &a["scale"]), ([20, 16, 40, 32], &"bicubic".into(), &2.into()));
    assert!(Path::new(a["output"].as_str().unwrap()).ends_with("out/a_x2.png"));
    assert!(a["seconds"].as_f64().unwrap() > 0.0 && a["prompt"].is_null() && a.get("error").is_none(), "{a}");
    let alone = desk.bicubic(&["bad.png", "--json"]).fails(1, &["bad.png"]);
    assert_eq!((alone.lines().len(), alone.err.lines().count()), (1, 1));
}

#[test]
fn what_no_network_made_is_said_of_none() {
    let desk = Desk::with(&["a.png", "sub/a.png"]);
    let smaller = ["a.png", "--width", "10", "-p", "a dog", "-o", "small.png"];
    let line = desk.run(&[&smaller[..], &["--json"]].concat()).works().lines().remove(0);
    assert!(line["model"] == "bicubic" && line["prompt"].is_null(), "{line}");
    let said = desk.run(&[&smaller[..], &["--force"]].concat()).works().out.clone();
    assert!(said.contains("bicubic (pdn-photo-x4 only upscales)") && !said.contains("a dog"), "{said}");
    let both =
        desk.bicubic(&["a.png", "sub/a.png", "--out-dir", "out"]).fails(2, &["would both be written to", "separately"]);
    assert!(!both.err.contains("{from}"), "another name cannot help: {}", both.err);
    desk.bicubic(&["a.png", "-o", "sub"]).fails(2, &["sub", "is a folder", "--out-dir"]);
}

#[test]
fn pictures_do_not_depend_on_how_many_are_run_at_once() {
    let names: Vec<String> = (0..12).map(|i| format!("in/{i}.png")).collect();
    let desk = Desk::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    desk.draw("in/large.png", 90, 70, 3);
    let dcm = serde_json::json!({"dim": 256, "kernels": 2});
    let config = serde_json::json!({"scale": 2, "features": 8, "groups": 1, "blocks": 1, "modules": 1, "dcm": dcm});
    desk.model("pdn.safetensors", "pdn", config);
    let captions: String = (0..12).map(|i| format!("{i}.png,picture number {i}\n")).collect();
    desk.write("captions.csv", format!("image,caption\n{captions}large.png,a wall\n").as_bytes());
    for prompt in [&[][..], &["-p", "a dog"], &["--captions", "captions.csv"]] {
        let run = |out: &str, more: &[&str]| {
            let said = desk
                .run(&[&["in", "-m", "pdn.safetensors", "--out-dir", out, "--json", "--force"], prompt, more].concat());
            assert_eq!(said.works().lines().len(), 13);
            desk.files(out)
        };
        let one = run("one", &["--jobs", "1"]);
        assert_eq!(run("many", &["--jobs", "5", "--threads", "3"]), one, "{prompt:?}");
        // The result is the same as for each picture alone.
        let alone = [&["in/7.png", "-m", "pdn.safetensors", "-o", "7.png", "--force"], prompt].concat();
        desk.run(&alone).works();
        assert_eq!(desk.files("")["7.png"], one["7_x2.png"], "{prompt:?}");
    }
}

#[test]
fn prompts_of_each_picture_are_told() {
    let desk = Desk::with(&["in/a.png", "in/b.png", "in/c.png"]);
    desk.write("in/a.txt", b"a brown dog");
    desk.write("in/b.txt", b"a red bus");
    let said = desk.run(&["in", "--out-dir", "out", "--captions", "sidecar", "--json"]);
    let said = said.fails(1, &["c.txt: no such file", "in/c.png", "1 of 3"]);
    let prompts: BTreeMap<String, Value> = said
        .lines()
        .into_iter()
        .map(|line| (line["input"].as_str().unwrap().to_owned(), line["prompt"].clone()))
        .collect();
    assert_eq!(prompts["in/a.png"], "\"a brown dog\"");
    assert_eq!(prompts["in/b.png"], "\"a red bus\"");
    assert_eq!(desk.names("out"), ["a_x4.png", "b_x4.png"]);
}

/// Returns a PNG that consists only of a header, which claims an enormous size.
fn bomb() -> Vec<u8> {
    // A width and height of 60000, 8-bit RGB, and the CRC.
    let head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0";
    let crc = !head[12..].iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    [&head[..], &crc.to_be_bytes(), b"\0\0\0\0IDAT"].concat()
}

#[test]
fn what_fails_is_named_and_stops_nothing() {
    let desk = Desk::with(&["in/a.png", "in/z.png"]);
    desk.write("in/bomb.png", &bomb());
    desk.write("in/empty.png", b"");
    desk.write("notes.txt", b"words");
    let half = desk.files("in")["a.png"].clone();
    desk.write("in/half.png", &half[..half.len() / 2]);
    let said = desk.bicubic(&["in", "notes.txt", "none.png", "--out-dir", "out"]);
    let words = [
        "in/bomb.png: is 60000x60000",
        "in/empty.png: is empty",
        "in/half.png: is damaged",
        "notes.txt: is not a supported picture",
        "none.png: no such file",
        "5 of 7 pictures failed",
    ];
    let said = said.fails(1, &words);
    assert_eq!(said.err.lines().count(), 6, "{}", said.err);
    assert_eq!(desk.names("out"), ["a_x2.png", "z_x2.png"]);
    std::fs::create_dir(desk.at("empty")).unwrap();
    desk.bicubic(&["empty", "in/a.png", "--out-dir", "two"]).fails(1, &["empty: contains no pictures", "1 of 2"]);
    assert_eq!(desk.names("two"), ["a_x2.png"]);
}

#[test]
fn two_pictures_of_one_name_are_refused_before_any_work() {
    let desk = Desk::with(&["one/a.png", "two/a.png", "both/b.png", "both/b.bmp.png"]);
    std::fs::copy(desk.at("both/b.png"), desk.at("both/b.bmp")).unwrap();
    desk.bicubic(&["one/a.png", "two/a.png", "--out-dir", "out"]).fails(2, &["one/a.png", "two/a.png", "out/a_x2.png"]);
    desk.bicubic(&["one", "two", "--out-dir", "out"]).fails(2, &["one/a.png", "two/a.png"]);
    desk.bicubic(&["both", "--out-dir", "out"]).fails(2, &["b.bmp", "b.png", "{from}"]);
    assert!(!desk.at("out").exists());
    desk.bicubic(&["one/a.png", "./one/../one/a.png", "one", "--out-dir", "out"]).works();
    assert_eq!(desk.names("out"), ["a_x2.png"]);
}

#[cfg(unix)]
#[test]
fn names_need_not_be_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let desk = Desk::with(&["in/a.png"]);
    let name = OsStr::from_bytes(b"in/\xff\xfe.png");
    if std::fs::rename(desk.at("in/a.png"), desk.0.path().join(name)).is_err() {
        return pdn_testing::skip("names", "this file system wants names in UTF-8");
    }
    let mut command = desk.command(&["--files-from", "-", "in", "-m", "bicubic", "--out-dir", "out", "--json"]);
    command.write_stdin(name.as_bytes());
    assert_eq!(said(command).works().lines().len(), 1);
    assert!(desk.0.path().join(OsStr::from_bytes(b"out/\xff\xfe_x4.png")).is_file());
}

#[cfg(unix)]
#[test]
fn links_that_loop_are_not_followed() {
    let desk = Desk::with(&["in/a.png"]);
    std::os::unix::fs::symlink("..", desk.at("in/loop")).unwrap();
    std::os::unix::fs::symlink(".", desk.at("in/self")).unwrap();
    let said = desk.bicubic(&["in", "--out-dir", "out"]).works();
    assert!(said.err.contains("in/self: skipped, as it links back to in"), "{}", said.err);
    assert_eq!(desk.names("out").iter().filter(|name| !name.starts_with("loop/")).count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_in() {
    // Root can write anywhere except into the kernel's own files.
    let desk = Desk::with(&["a.png", "b.png"]);
    desk.bicubic(&["a.png", "b.png", "--out-dir", "/proc"])
        .fails(1, &["/proc/a_x2.png", "/proc/b_x2.png", "cannot be written", "2 of 2"]);
    desk.bicubic(&["a.png", "b.png", "--out-dir", "/proc/none"]).fails(1, &["/proc/none", "cannot create folder"]);
}

/// A mounted file system, unmounted when it is dropped.
#[cfg(target_os = "linux")]
struct Mounted(PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_fails_what_does_not_fit() {
    let desk = Desk::new();
    (0..6).for_each(|i| desk.draw(&format!("in/{i}.png"), 40, 40, i + 7));
    std::fs::create_dir(desk.at("out")).unwrap();
    // Make room for half of the results.
    desk.bicubic(&["in", "--out-dir", "roomy", "--format", "tif"]).works();
    let all: usize = desk.files("roomy").values().map(Vec::len).sum();
    let mut mount = std::process::Command::new("mount");
    let made = mount.args(["-t", "tmpfs", "-o", &format!("size={}", all / 2), "none"]).arg(desk.at("out")).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return pdn_testing::skip("tmpfs", "a small file system cannot be mounted here: that takes root");
    }
    let _mounted = Mounted(desk.at("out"));
    let said = desk.bicubic(&["in", "--out-dir", "out", "--format", "tif", "--jobs", "1"]);
    let said = said.fails(1, &["cannot be written: No space left", "pictures failed"]);
    let whole = desk.names("out");
    assert!(!whole.is_empty() && whole.len() < 6, "{whole:?}");
    assert!(
        whole.iter().all(|name| !name.contains(".pdn-") && desk.size(&format!("out/{name}")) == (80, 80)),
        "{whole:?}"
    );
    assert!(said.err.contains(&format!("{} of 6", 6 - whole.len())), "{}", said.err);
}

/// Creates a desk with a slow picture and others after it.
#[cfg(unix)]
fn slow() -> Desk {
    let desk = Desk::with(&["in/a.png", "in/c.png", "in/d.png"]);
    desk.draw("in/b.png", 300, 300, 5);
    let config = serde_json::json!({"scale": 2, "features": 64, "blocks": 8, "residual_scale": 1.0});
    desk.model("edsr.safetensors", "edsr", config);
    desk
}

/// Starts to upscale `in`, and waits until the slow picture is being written.
#[cfg(unix)]
fn begun(desk: &Desk) -> std::process::Child {
    let slow = ["in", "--out-dir", "out", "-m", "edsr.safetensors", "--isa", "portable", "--jobs", "1"];
    let mut child = desk.process(&slow).spawn().unwrap();
    while !(desk.at("out/a_x2.png").exists() && desk.is_at_work("out")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child
}

#[cfg(unix)]
#[test]
fn a_picture_that_vanishes_is_named() {
    let desk = slow();
    let child = begun(&desk);
    std::fs::remove_file(desk.at("in/c.png")).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("in/c.png: no such file") && err.contains("1 of 4"), "{err}");
    assert_eq!(desk.names("out"), ["a_x2.png", "b_x2.png", "d_x2.png"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_finishes_nothing_half_and_says_how_many_are_whole() {
    let desk = slow();
    let child = begun(&desk);
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("interrupted; 1 of 4 pictures are complete") && err.lines().count() == 1, "{err}");
    assert_eq!(desk.names("out"), ["a_x2.png"]);
    assert!(!desk.is_at_work("out"));
}

#[cfg(unix)]
#[test]
fn a_batch_that_is_killed_again_and_again_ends_as_if_it_had_not_been() {
    use std::time::{Duration, Instant};
    let desk = Desk::new();
    let (mut bad, bomb) = (Vec::new(), bomb());
    for i in 0..300_usize {
        let name = format!("in/{}/{i:03}.png", i % 7);
        match i % 15 {
            7 => {
                let bytes = [&b""[..], b"these are words", &bomb, b"\x89PNG\r\n\x1a\n"][i / 15 % 4];
                desk.write(&name, bytes);
                bad.push(name);
            }
            _ => desk.draw(&name, 40 + i % 9, 30 + i % 11, i + 3),
        }
    }
    let start = Instant::now();
    desk.bicubic(&["in", "--out-dir", "undisturbed"]).fails(1, &["20 of 300 pictures failed"]);
    let took = start.elapsed();
    let expected = desk.files("undisturbed");
    assert_eq!(expected.len(), 280);
    // The moments of the kills are drawn from the clock.
    let mut drawn = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let (mut killed, mut left) = (0, 0);
    let arguments = ["in", "--out-dir", "out", "-m", "bicubic", "-s", "2", "--skip-existing"];
    for _ in 0..10 {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = desk.process(&arguments).spawn().unwrap();
        std::thread::sleep(took.mul_f64((drawn >> 40) as f64 / (1 << 24) as f64 / 5.0) + Duration::from_millis(5));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, bytes) in desk.files("out") {
            match name.contains(".pdn-") {
                true => left += 1,
                false => assert!(expected[&name] == bytes, "{name} is not whole"),
            }
        }
    }
    println!("killed {killed} times at work, which left {left} files behind; undisturbed it takes {took:?}");
    assert!(killed > 0);
    let said = desk.run(&arguments).fails(1, &["20 of 300 pictures failed"]);
    assert!(bad.len() == 20 && bad.iter().all(|name| said.err.contains(&format!("{name}: "))), "{}", said.err);
    assert!(desk.files("out") == expected, "the same pictures, and nothing else");
}

#[test]
fn who_stops_reading_is_told_how_many_are_whole() {
    let desk = Desk::with(&["in/a.png", "in/b.jfif"]);
    let mut command = desk.process(&["in", "-m", "bicubic", "-s", "2", "--out-dir", "out", "--jobs", "1", "--json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("standard output")
            && err.contains("1 of 2 pictures are complete; to continue, run the same command with --skip-existing"),
        "{err}"
    );
    assert!(desk.at("out/a_x2.png").exists() && !desk.at("out/b_x2.jfif").exists());
    desk.bicubic(&["in", "--out-dir", "out", "--skip-existing"]).works();
    assert!(desk.at("out/b_x2.jfif").exists());
}

#[test]
fn more_threads_than_machines_have_are_refused() {
    let desk = Desk::with(&["a.png"]);
    desk.bicubic(&["a.png", "--threads", "65535"]).fails(2, &["--threads", "1..=1024"]);
}
