//! Runs the command with every kind of prompt: mixed, from captions, stored with the picture, and embedded in bulk.

use assert_cmd::Command;
use pdn::{Limits, Picture, hashed, read_embeddings, zoo};
use std::path::PathBuf;
use tempfile::TempDir;

/// A working folder with a small picture and a small model that takes prompts, and a cache.
struct Desk(TempDir, TempDir);

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

const UPSCALE: [&str; 7] = ["upscale", "small.png", "-m", "pdn.safetensors", "--force", "-o", "out.png"];

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap(), TempDir::new().unwrap());
        desk.draw("small.png", 7);
        let dcm = serde_json::json!({"dim": 256, "kernels": 2});
        let config = serde_json::json!({"scale": 2, "features": 8, "groups": 1, "blocks": 1, "modules": 1, "dcm": dcm});
        let network = zoo::build("pdn", &config).unwrap();
        let weights = hashed::weights(&network);
        let model = pdn::Model { network, weights, card: pdn::Card::default(), source: None };
        desk.write("pdn.safetensors", model.to_bytes(pdn::StoredPrecision::F32));
        desk
    }

    fn draw(&self, name: &str, seed: usize) {
        let rgb = (0..20 * 16 * 3).map(|i| (i * seed % 251) as u8).collect();
        pdn::write(&self.at(name), &Picture::from_rgb(20, 16, rgb), &Default::default()).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.at(name), bytes).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("pdn").unwrap();
        command.current_dir(&self.0).env("PDN_CACHE", self.1.path()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn works(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        said.out
    }

    /// Runs a command that must fail with this exit code, print all of `words`, and leave no output.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}{}", said.out, said.err);
        for word in words {
            assert!(said.err.contains(word), "{arguments:?} should say `{word}`: {}", said.err);
        }
        assert!(!self.at("out.png").exists(), "{arguments:?} left an output");
    }

    /// Upscales with more arguments; returns the result and what was printed.
    #[track_caller]
    fn upscale(&self, more: &[&str]) -> (Picture, String) {
        let said = self.works(&[&UPSCALE[..], more].concat());
        let picture = pdn::read(&self.at("out.png"), &Limits::default()).unwrap();
        std::fs::remove_file(self.at("out.png")).unwrap();
        (picture, said)
    }
}

#[test]
fn prompts_are_mixed_in_their_order() {
    let desk = Desk::new();
    desk.draw("other.png", 11);
    desk.works(&["embed", "-t", "a red bus", "-o", "bus.safetensors"]);
    desk.fails(&["info", "bus.safetensors"], 1, &["bus.safetensors", "prompt embeddings", "expected a network"]);
    let (dog, _) = desk.upscale(&["-p", "a brown dog"]);
    let (bus, _) = desk.upscale(&["-p", "a red bus"]);
    let (both, said) = desk.upscale(&["-p", "a brown dog", "-p", "a red bus"]);
    assert!(said.contains("prompt equal parts of \"a brown dog\" and \"a red bus\""), "{said}");
    assert!(both != dog && both != bus);
    assert_eq!(desk.upscale(&["-p", "a red bus", "-p", "a brown dog"]).0, both);
    let (weighed, said) = desk.upscale(&["-p", "a brown dog", "--prompt-weights", "3,1", "-p", "a red bus"]);
    assert!(said.contains("3 of \"a brown dog\" and 1 of \"a red bus\""), "{said}");
    assert_ne!(weighed, both);
    // An embedding of the sentence has the same effect as the sentence, in any position.
    let mixed = ["--prompt-embedding", "bus.safetensors", "-p", "a brown dog", "--prompt-weights", "0.25,0.75"];
    let (same, said) = desk.upscale(&mixed);
    assert!(said.contains("0.25 of the embedding bus.safetensors by pdn-clip@"), "{said}");
    assert_eq!(same, weighed);
    let kinds = ["--prompt-image", "other.png", "-p", "a brown dog", "--prompt-weights", "-0.5,1"];
    let (away, said) = desk.upscale(&kinds);
    assert!(said.contains("-0.5 of the picture other.png of 20x16 and 1 of \"a brown dog\""), "{said}");
    assert_ne!(away, dog);
    let (one, said) = desk.upscale(&["-p", "a brown dog", "--prompt-weights", "0.2"]);
    assert!(one == dog && said.contains("prompt \"a brown dog\""), "{said}");
}

#[test]
fn mixes_that_cannot_be_are_said() {
    let desk = Desk::new();
    let dog = ["-p", "a brown dog"];
    desk.works(&["embed", "-t", "a red bus", "-o", "bus.safetensors"]);
    let mut bytes = std::fs::read(desk.at("bus.safetensors")).unwrap();
    let at = bytes.windows(9).position(|word| word == b"pdn-clip@").unwrap();
    bytes[at..at + 3].copy_from_slice(b"tex");
    desk.write("other.safetensors", bytes);
    for (more, code, words) in [
        (&["--prompt-weights", "1,2"][..], 2, &["got 2 for 1 prompts"][..]),
        (&["--prompt-weights", "nan"], 2, &["NaN", "finite"]),
        (&["--prompt-weights", "one"], 2, &["one"]),
        (&["-p", "a brown dog", "--prompt-weights", "1,-1"], 1, &["small.png", "cancel each other out"]),
        (&["--prompt-weights", "0"], 1, &["cancel each other out"]),
        (&["--prompt-embedding", "other.safetensors"], 1, &["pdn-clip@", "tex-clip@", "cannot be mixed"]),
        (&["-p", " "], 2, &["the prompt is empty"]),
        (&["--captions", "sidecar"], 2, &["--captions", "cannot be used with"]),
    ] {
        desk.fails(&[&UPSCALE[..], &dog, more].concat(), code, words);
    }
    desk.fails(&[&UPSCALE[..], &["--prompt-weights", "1"]].concat(), 2, &["got 1 for 0 prompts"]);
}

#[test]
fn captions_steer_where_they_are_asked_for() {
    let desk = Desk::new();
    let (dog, _) = desk.upscale(&["-p", "a brown dog"]);
    desk.write("small.txt", "\n a brown dog \na second caption\n");
    let (none, said) = desk.upscale(&[]);
    assert!(none != dog && !said.contains("prompt"), "a sidecar alone steers nothing: {said}");
    let (sidecar, said) = desk.upscale(&["--captions", "sidecar"]);
    assert!(sidecar == dog && said.contains("prompt \"a brown dog\""), "{said}");
    desk.write("words.csv", "image,caption\nother.png,a bus\nphotos/small.png,a brown dog\nphotos/small.png,second\n");
    desk.write("words.json", r#"[{"file": "small.png", "captions": ["a brown dog", "second"]}]"#);
    for file in ["words.csv", "words.json"] {
        assert_eq!(desk.upscale(&["--captions", file]).0, dog, "{file}");
    }
    for (file, content, words) in [
        ("small.txt", &b"  \n"[..], &["small.txt", "is empty"][..]),
        ("small.txt", b"a\nb\nH\xfcndchen", &["small.txt", "line 3", "UTF-8"]),
        ("none.csv", b"image,caption\nother.png,a bus\n", &["none.csv", "no entry for small.png"]),
        (
            "two.csv",
            b"image,caption\na/small.png,one\nb/small.png,two\n",
            &["two.csv", "a/small.png", "b/small.png", "different"],
        ),
        ("blank.csv", b"image,caption\nother.png,a bus\nsmall.png,\n", &["blank.csv", "line 3", "small.png"]),
        ("head.csv", b"file,words\nsmall.png,one\n", &["head.csv", "file,words", "expected image,"]),
        ("latin.csv", b"image,caption\nsmall.png,H\xfcndchen\n", &["latin.csv", "line 2", "UTF-8"]),
        ("bad.json", b"[{\"file\": \"small.png\",\n \"caption\": 1}]", &["bad.json", "line 2", "captions"]),
        ("words.yaml", b"small.png: a dog", &["words.yaml", ".csv or .json"]),
    ] {
        desk.write(file, content);
        let from = if file == "small.txt" { "sidecar" } else { file };
        desk.fails(&[&UPSCALE[..], &["--captions", from]].concat(), 1, words);
    }
    std::fs::remove_file(desk.at("small.txt")).unwrap();
    desk.fails(&[&UPSCALE[..], &["--captions", "sidecar"]].concat(), 1, &["small.txt", "no such file"]);
    desk.fails(&[&UPSCALE[..], &["--captions", "none"]].concat(), 1, &["none", ".csv or .json"]);
    let bicubic = ["upscale", "small.png", "-m", "bicubic", "--force", "-o", "out.png", "--captions", "words.csv"];
    desk.fails(&bicubic, 2, &["takes no prompt"]);
}

#[test]
fn a_folder_is_measured_with_its_captions() {
    let desk = Desk::new();
    std::fs::create_dir(desk.at("set")).unwrap();
    for (name, seed) in [("a.png", 3), ("b.png", 5), ("c.png", 11)] {
        desk.draw(&format!("set/{name}"), seed);
    }
    desk.write("set/a.txt", "a brown dog");
    desk.write("set/b.txt", "a red bus");
    let eval = ["eval", "--data", "set", "-m", "pdn.safetensors", "--json"];
    let said = desk.run(&[&eval[..], &["--captions", "sidecar"]].concat());
    assert!(said.code == Some(1) && said.err.contains("c.txt") && said.err.contains("1 of 3"), "{}", said.err);
    desk.write("captions.csv", "image,caption\na.png,a brown dog\nb.png,a red bus\nc.png,a brown dog\n");
    let out = desk.works(&[&eval[..], &["--captions", "captions.csv"]].concat());
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["prompt"], "each picture's first caption in captions.csv");
    for (picture, prompt) in [(0, "a brown dog"), (1, "a red bus"), (2, "a brown dog")] {
        let alone = desk.works(&[&eval[..], &["--prompt", prompt]].concat());
        let alone: serde_json::Value = serde_json::from_str(&alone).unwrap();
        assert_eq!(found["pictures"][picture]["prompt"], format!("\"{prompt}\""));
        assert_eq!(found["pictures"][picture]["scores"], alone["pictures"][picture]["scores"]);
    }
}

/// Returns the text of an element of a picture's XMP packet.
fn fact(desk: &Desk, file: &str, name: &str) -> Option<String> {
    let bytes = std::fs::read(desk.at(file)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let packet = &text[text.find("<x:xmpmeta")?..text.find("</x:xmpmeta>")? + 12];
    let document = roxmltree::Document::parse(packet).unwrap();
    let node = document.descendants().find(|node| node.tag_name().name() == name);
    node.and_then(|node| node.text()).map(str::to_owned)
}

#[test]
fn how_a_picture_was_made_is_stored_with_it() {
    let desk = Desk::new();
    let prompt = "a <brown> \"dog\" & ein Hündchen,\n犬";
    let upscale = |out: &'static str, more: &[&str]| {
        desk.works(&[&["upscale", "small.png", "-m", "./pdn.safetensors", "--force", "-o", out][..], more].concat());
    };
    for out in ["out.png", "out.jpg", "out.webp"] {
        upscale(out, &["--prompt", prompt]);
        let fact = |name| fact(&desk, out, name).expect(name);
        assert_eq!(fact("Prompt"), format!("\"{prompt}\""));
        assert_eq!((fact("Model"), fact("Scale")), ("pdn.safetensors".into(), "2".into()));
        assert!(fact("Encoder").starts_with("pdn-clip@") && fact("CreatorTool").starts_with("pdn "));
        upscale(out, &["--prompt", prompt, "--strip"]);
        let bytes = std::fs::read(desk.at(out)).unwrap();
        assert!(!bytes.windows(5).any(|word| word == b"brown"), "{out}: --strip leaves no word");
    }
    std::fs::create_dir(desk.at("private")).unwrap();
    desk.works(&["embed", "-t", "a red bus", "-o", "private/bus.safetensors"]);
    upscale("out.png", &["--prompt-embedding", "private/bus.safetensors", "-p", "fog", "--prompt-weights", "1,-0.5"]);
    let prompt = fact(&desk, "out.png", "Prompt").unwrap();
    assert!(
        prompt.starts_with("1 of the embedding bus.safetensors by pdn-clip@") && prompt.ends_with("-0.5 of \"fog\""),
        "{prompt}"
    );
    upscale("out.png", &[]);
    assert_eq!(fact(&desk, "out.png", "Prompt").unwrap(), "none given: the picture itself, in a mirror");
    desk.works(&["upscale", "small.png", "-m", "bicubic", "--force", "-o", "out.png"]);
    assert_eq!(fact(&desk, "out.png", "Model").unwrap(), "bicubic");
    assert_eq!((fact(&desk, "out.png", "Prompt"), fact(&desk, "out.png", "Encoder")), (None, None));
}

#[test]
fn embedding_takes_no_picture_away() {
    let desk = Desk::new();
    desk.fails(&["embed", "small.png", "-o", "small.png"], 2, &["small.png", ".safetensors"]);
    desk.write("picture.safetensors", b"");
    desk.fails(&["embed", "picture.safetensors", "-o", "picture.safetensors"], 2, &["is also an input"]);
}

/// Returns the names in an embedding file, after checking that every embedding has unit length.
fn names(desk: &Desk, file: &str) -> Vec<String> {
    let named = read_embeddings(&desk.at(file)).unwrap();
    for (name, embedding) in &named {
        let norm = embedding.values.iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < 1e-5, "{name}");
    }
    named.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_folder_and_files_of_sentences_are_embedded() {
    let desk = Desk::new();
    std::fs::create_dir(desk.at("set")).unwrap();
    std::fs::create_dir_all(desk.at("set/HR")).unwrap();
    for (name, seed) in [("b.png", 3), ("a.jpg", 5), ("HR/c.webp", 11)] {
        desk.draw(&format!("set/{name}"), seed);
    }
    desk.write("set/notes.md", "no picture");
    let out = desk.works(&["embed", "set", "small.png", "-o", "pictures.safetensors"]);
    assert!(out.contains("4 embeddings of 256 by pdn-clip@") && !out.contains("cache"), "{out}");
    assert_eq!(names(&desk, "pictures.safetensors"), ["set/HR/c.webp", "set/a.jpg", "set/b.png", "small.png"]);
    let read = |name: &str| read_embeddings(&desk.at(name)).unwrap();
    let first = read("pictures.safetensors");
    desk.fails(&["embed", "small.png", "-o", "pictures.safetensors"], 1, &["pictures.safetensors", "--force"]);
    let out = desk.works(&["embed", "set", "small.png", "-o", "pictures.safetensors", "--force"]);
    assert!(out.contains("4 of them from the cache"), "{out}");
    let out = desk.works(&["embed", "set", "small.png", "-o", "fresh.safetensors", "--no-cache"]);
    assert!(!out.contains("cache"), "{out}");
    assert!(first == read("pictures.safetensors") && first == read("fresh.safetensors"));

    desk.write("texts.txt", "a red bus\r\n\r\n  ein Hündchen\n");
    desk.write("captions.csv", "image,caption\nb.png,two\na.png,\"one, one\"\nb.png,three\n");
    desk.write(
        "captions.json",
        r#"[{"file": "b.png", "captions": ["two", "three"]}, {"file": "a.png", "captions": ["one"]}]"#,
    );
    for (file, expected) in [
        ("texts.txt", &["a dog", "a red bus", "ein Hündchen", "small.png"][..]),
        ("captions.csv", &["a dog", "one, one", "two", "three", "small.png"]),
        ("captions.json", &["a dog", "one", "two", "three", "small.png"]),
    ] {
        desk.works(&["embed", "small.png", "--texts", file, "-t", "a dog", "--force", "-o", "texts.safetensors"]);
        assert_eq!(names(&desk, "texts.safetensors"), expected);
    }
    let cached = std::fs::read_dir(desk.1.path().join("embeddings")).unwrap().map(|e| e.unwrap().path());
    cached.for_each(|path| std::fs::write(path, b"damaged").unwrap());
    desk.works(&["embed", "set/**", "small.png", "-o", "mended.safetensors"]);
    assert_eq!(first, read("mended.safetensors"));
}

#[test]
fn what_cannot_be_embedded_is_named_and_the_rest_is_written() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.at("set/empty")).unwrap();
    desk.draw("set/a.png", 3);
    desk.draw("set/z.png", 5);
    desk.write("set/bad.png", "these are words");
    desk.write("texts.txt", format!("a red bus\n{}\n", "dog ".repeat(90)));
    let said = desk.run(&["embed", "set", "none.png", "--texts", "texts.txt", "-o", "out.safetensors"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    for word in [
        "set/bad.png",
        "expected PNG",
        "none.png: no such file",
        "texts.txt: line 2",
        "92 tokens",
        "3 of 6 inputs failed",
    ] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    assert_eq!(names(&desk, "out.safetensors"), ["a red bus", "set/a.png", "set/z.png"]);
    desk.write("blank.txt", "\n \n");
    desk.write("latin.txt", b"one\nH\xfcndchen\n");
    let said = desk.run(&["embed", "set/empty", "set/a.png", "-o", "one.safetensors"]);
    assert!(said.code == Some(1) && said.err.contains("1 of 2 inputs failed"), "{}", said.err);
    assert_eq!(names(&desk, "one.safetensors"), ["set/a.png"]);
    desk.fails(&["embed", "set/empty", "-o", "two.safetensors"], 1, &["set/empty", "contains no pictures"]);
    for (more, code, words) in [
        (&["--texts", "blank.txt"][..], 1, &["blank.txt", "contains no sentences"][..]),
        (&["--texts", "latin.txt"], 1, &["latin.txt", "line 2", "UTF-8"]),
        (&["--texts", "none.txt"], 1, &["none.txt", "no such file"]),
        (&["--text", " "], 2, &["the prompt is empty"]),
        (&[], 2, &["nothing to embed"]),
    ] {
        desk.fails(&[&["embed", "-o", "out.safetensors"][..], more].concat(), code, words);
    }
    desk.fails(&["embed", "-t", "a", "-o", "none/out.safetensors"], 1, &["none", "does not exist"]);
}

#[test]
fn two_programs_share_a_cache() {
    let desk = Desk::new();
    let texts: String = (0..60).map(|i| format!("a photo of {i} dogs\n")).collect();
    desk.write("texts.txt", texts);
    std::thread::scope(|scope| {
        for out in ["1.safetensors", "2.safetensors", "3.safetensors"] {
            let desk = &desk;
            scope.spawn(move || desk.works(&["embed", "--texts", "texts.txt", "-o", out]));
        }
    });
    let read = |name: &str| read_embeddings(&desk.at(name)).unwrap();
    assert!(read("1.safetensors") == read("2.safetensors") && read("2.safetensors") == read("3.safetensors"));
    let kept = std::fs::read_dir(desk.1.path().join("embeddings")).unwrap().count();
    assert_eq!(kept, 60, "an entry each, and nothing left aside");
    assert!(
        desk.works(&["embed", "--texts", "texts.txt", "-o", "4.safetensors"]).contains("60 of them from the cache")
    );
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let desk = Desk::new();
    desk.write("texts.txt", (0..200).map(|i| format!("a photo of {i} dogs\n")).collect::<String>());
    let arguments = ["embed", "--texts", "texts.txt", "-o", "out.safetensors"];
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("pdn"));
    let mut child = child.current_dir(&desk.0).env("PDN_CACHE", desk.1.path()).args(arguments).spawn().unwrap();
    let kept = || std::fs::read_dir(desk.1.path().join("embeddings")).map_or(0, Iterator::count);
    while kept() < 5 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!desk.at("out.safetensors").exists(), "nothing is half-written");
    let said = desk.works(&arguments);
    assert!(said.contains("200 embeddings") && said.contains("of them from the cache"), "{said}");
}

#[test]
fn a_cache_that_cannot_be_is_said_and_done_without() {
    let desk = Desk::new();
    desk.write("file", "");
    let output = desk
        .command(&["embed", "-t", "a", "-o", "out.safetensors"])
        .env("PDN_CACHE", desk.at("file"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("cannot use this cache folder"), "{said}");
}

#[test]
fn masks_of_several_prompts_are_compared() {
    let desk = Desk::new();
    let out = desk.works(&["masks", "small.png", "-p", "a brown dog", "--prompt-image", "small.png", "-o", "masks"]);
    for words in
        ["masks of 2 modules and their mean, for \"a brown dog\", faults ", " and the picture small.png of 20x16"]
    {
        assert!(out.contains(words), "{words}: {out}");
    }
    let mut names: Vec<String> = std::fs::read_dir(desk.at("masks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names.len(), 2 * 3 + 1, "{names:?}");
    let read = |name: &str| pdn::read(&desk.at("masks").join(name), &Limits::default()).unwrap();
    let (sheet, mean) = (read("sheet.png"), read("1-mean.png"));
    assert!(sheet.width() > 4 * 256 && mean.width() > 512 && mean.height() > 512 * 4 / 5);
    assert_ne!(read("1-mean.png"), read("2-mean.png"));
    desk.works(&["masks", "small.png", "-o", "none"]);
    desk.fails(&["masks", "small.png", "-o", "none"], 1, &["none", "is not empty", "--force"]);
    desk.works(&["masks", "small.png", "-o", "none", "--force"]);
    let sheet = std::fs::read(desk.at("none/sheet.png")).unwrap();
    desk.fails(&["masks", "none/sheet.png", "-o", "none", "--force"], 2, &["none/sheet.png", "is also an input"]);
    assert_eq!(std::fs::read(desk.at("none/sheet.png")).unwrap(), sheet);
    assert_ne!(read("sheet.png"), pdn::read(&desk.at("none/sheet.png"), &Limits::default()).unwrap());
    let masks = ["masks", "small.png", "-o", "out.png"];
    desk.fails(&[&masks[..], &["-m", "bicubic"]].concat(), 2, &["takes no prompt"]);
    desk.fails(&[&masks[..], &["-p", "a", "--prompt-weights", "1"]].concat(), 2, &["does not mix them"]);
    desk.fails(&["masks", "none.png", "-o", "out.png"], 1, &["none.png", "no such file"]);
    desk.fails(&["masks", "small.png", "-o", "small.png"], 1, &["small.png"]);
}

#[test]
fn parts_of_a_picture_have_prompts_of_their_own() {
    let desk = Desk::new();
    let (plain, _) = desk.upscale(&["--prompt", "a red cat"]);
    let (whole, said) = desk.upscale(&["--region", "0,0,20,16=a red cat"]);
    assert!(whole == plain && said.contains("in 0,0,20,16 \"a red cat\", elsewhere none given"), "{said}");
    let part = ["--prompt", "a red cat", "--region", "10,0,10,16=snow on a hill", "--feather", "4"];
    let (both, _) = desk.upscale(&part);
    assert!(both.rgb() != plain.rgb() && both.rgb() != desk.upscale(&["--prompt", "snow on a hill"]).0.rgb());
    assert_eq!(desk.upscale(&[&part[..], &["--tile", "7"]].concat()).0, both);
    let (hidden, _) =
        desk.upscale(&["--prompt", "fog", "--region", "0,0,20,16=snow", "--region", "0,0,20,16=a red cat"]);
    assert_eq!(hidden.rgb(), plain.rgb());
    let fails = |more: &[&str], code, words: &[&str]| desk.fails(&[&UPSCALE[..], more].concat(), code, words);
    fails(&["--region", "10,0,11,16=snow"], 1, &["small.png", "10,0,11,16", "20x16"]);
    fails(&["--region", "10,0,16=snow"], 2, &["10,0,16", "left, top"]);
    fails(&["--region", "10,0,5,5"], 2, &["X,Y,W,H=TEXT"]);
    fails(&["--region", "10,0,5,5= "], 2, &["empty"]);
    fails(&["--feather", "3"], 2, &["--region"]);
    let bicubic = ["upscale", "small.png", "--force", "-o", "out.png", "-m", "bicubic", "--region", "0,0,5,5=snow"];
    desk.fails(&bicubic, 2, &["takes no prompt"]);
}
