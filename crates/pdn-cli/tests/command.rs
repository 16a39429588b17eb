//! Runs the built command end to end.

use assert_cmd::Command;
use pdn::{AnyPicture, Isa, Limits, Model, Picture, Precision, hashed, zoo};
use std::path::PathBuf;
use tempfile::TempDir;

/// A working folder with a small picture and a small model.
struct Desk(TempDir);

/// A command's output and exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        let rgb = (0..20 * 16 * 3).map(|i| (i * 7 % 251) as u8).collect();
        pdn::write(&desk.at("small.png"), &Picture::from_rgb(20, 16, rgb), &Default::default()).unwrap();
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::cargo_bin("pdn").unwrap();
        command.current_dir(&self.0).env("PDN_CACHE", self.at("cache"));
        let output = command.args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a command that must fail with this exit code, print one line that contains all of `words`, and leave no
    /// output.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = self.names();
        let said = self.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}{}", said.out, said.err);
        assert!(said.out.is_empty(), "{arguments:?} printed {}", said.out);
        assert_eq!(said.err.lines().count(), 1, "{arguments:?}: {}", said.err);
        for word in words {
            assert!(said.err.contains(word), "{arguments:?} should say `{word}`: {}", said.err);
        }
        assert_eq!(self.names(), before, "{arguments:?} left something behind");
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn picture(&self, name: &str) -> Picture {
        pdn::read(&self.at(name), &Limits::default()).unwrap()
    }

    /// Writes a model with hashed weights.
    fn model(&self, name: &str, architecture: &str, config: serde_json::Value) {
        let network = zoo::build(architecture, &config).unwrap();
        let weights = hashed::weights(&network);
        let model = Model { network, weights, card: Default::default(), source: None };
        std::fs::write(self.at(name), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    }

    fn edsr(&self, name: &str) {
        let config = serde_json::json!({"scale": 2, "features": 16, "blocks": 2, "residual_scale": 1.0});
        self.model(name, "edsr", config);
    }
}

#[test]
fn the_version_says_what_is_built_in_and_what_would_run_here() {
    let said = |arguments: &[&str], isa: Option<&str>| {
        let mut command = Command::cargo_bin("pdn").unwrap();
        command.env_remove("PDN_ISA").envs(isa.map(|isa| ("PDN_ISA", isa)));
        String::from_utf8(command.args(arguments).output().unwrap().stdout).unwrap()
    };
    let short = said(&["-V"], None);
    let here = format!("; {}, {})\n", Isa::best(), Precision::fast(Isa::best()));
    assert!(short.starts_with(&format!("pdn {} (", env!("CARGO_PKG_VERSION"))) && short.ends_with(&here), "{short}");
    assert!(short.lines().count() == 1 && short.contains("+serve") == cfg!(feature = "serve"), "{short}");
    let long = said(&["--version"], None);
    assert!(long.starts_with(&short) && long.contains("instruction sets here: portable"), "{long}");
    assert!(said(&["-V"], Some("portable")).ends_with("; portable, f32)\n"));
    // Manual pages are built once, for every machine.
    assert!(!said(&["man"], None).contains(here.trim_end()));
}

#[test]
fn a_picture_becomes_larger() {
    let desk = Desk::new();
    desk.edsr("edsr.safetensors");
    for (arguments, size) in [
        (&["upscale", "small.png", "-o", "large.png"][..], (80, 64)),
        (&["upscale", "small.png", "-o", "large.png", "--scale", "3", "--model", "bicubic"], (60, 48)),
        (&["upscale", "small.png", "-o", "large.png", "--model", "edsr.safetensors"], (40, 32)),
        (&["upscale", "small.png", "-o", "large.webp", "--model", "edsr.safetensors", "--scale", "2"], (40, 32)),
        (&["upscale", "small.png", "-o", "large.jpg", "--quality", "80"], (80, 64)),
        (&["upscale", "small.png", "-o", "large.tif"], (80, 64)),
    ] {
        let said = desk.run(&[arguments, &["--force"]].concat());
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        let large = desk.picture(arguments[3]);
        assert_eq!((large.width(), large.height()), size, "{arguments:?}");
        assert!(said.out.contains(&format!("20x16 to {}x{}", size.0, size.1)), "{}", said.out);
    }
}

#[test]
fn pixels_do_not_depend_on_how_they_are_run() {
    let desk = Desk::new();
    desk.edsr("edsr.safetensors");
    let run = |more: &[&str]| {
        let arguments =
            [&["upscale", "small.png", "-m", "edsr.safetensors", "--force", "-o", "out.png"], more].concat();
        let said = desk.run(&arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        desk.picture("out.png")
    };
    let plain = run(&[]);
    assert_eq!(run(&["--tile", "7"]), plain);
    assert_eq!(run(&["--threads", "1"]), plain);
    let portable = run(&["--isa", "portable"]);
    let apart = portable.rgb().iter().zip(plain.rgb()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart <= Some(1), "instruction sets differ by {apart:?} levels");
}

#[test]
fn inputs_that_are_no_pictures() {
    let desk = Desk::new();
    let write = |name: &str, bytes: &[u8]| std::fs::write(desk.at(name), bytes).unwrap();
    let png = std::fs::read(desk.at("small.png")).unwrap();
    write("empty.png", b"");
    write("cut.png", &png[..png.len() / 2]);
    write("words.png", b"these are words");
    std::fs::create_dir(desk.at("folder")).unwrap();
    for (input, word) in [
        ("none.png", "no such file"),
        ("folder", "contains no pictures"),
        ("empty.png", "is empty"),
        ("cut.png", "damaged or cut short"),
        ("words.png", "expected PNG, JPEG, WebP, TIFF, BMP or GIF"),
    ] {
        desk.fails(&["upscale", input, "-o", "out.png"], 1, &[input, word]);
        desk.fails(&["degrade", input, "-o", "out.png"], 1, &[input]);
    }
    desk.fails(&["upscale", "small.png", "-o", "out.png", "--max-pixels", "100"], 1, &["small.png", "20x16", "100"]);
}

#[test]
fn outputs_that_cannot_be() {
    let desk = Desk::new();
    std::fs::write(desk.at("file"), b"").unwrap();
    std::fs::create_dir(desk.at("taken.png")).unwrap();
    for (output, code, words) in [
        ("none/out.png", 1, &["none/out.png", "does not exist"][..]),
        ("file/out.png", 1, &["file/out.png", "does not exist"]),
        ("taken.png", 2, &["taken.png", "is a folder", "--out-dir"]),
        ("out.gif", 2, &["out.gif", ".png, .tif, .tiff, .jpg, .jpeg"]),
        ("out", 2, &["out", ".png"]),
        ("small.png", 2, &["small.png", "its own input"]),
    ] {
        desk.fails(&["upscale", "small.png", "-o", output], code, words);
    }
    let wide = Picture::from_rgb(300, 1, vec![9; 900]);
    pdn::write(&desk.at("wide.png"), &wide, &Default::default()).unwrap();
    let bicubic = ["--model", "bicubic", "--scale", "64"];
    let wide = [&["upscale", "wide.png", "-o", "out.webp"][..], &bicubic].concat();
    desk.fails(&wide, 1, &["out.webp", "16383"]);
    let large = Picture::from_rgb(2000, 500, vec![9; 3_000_000]);
    pdn::write(&desk.at("large.png"), &large, &Default::default()).unwrap();
    let large = [&["upscale", "large.png", "-o", "out.png"][..], &bicubic].concat();
    desk.fails(&large, 1, &["large.png", "128000x32000", "limit"]);
    let clear = Picture::from_rgb(2, 1, vec![9; 6]).with_alpha(Some(vec![0, 255]));
    pdn::write(&desk.at("clear.png"), &clear, &Default::default()).unwrap();
    desk.fails(&["upscale", "clear.png", "-o", "out.jpg"], 1, &["out.jpg", "transparency"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_in() {
    // Root can write anywhere except into the kernel's own files.
    let desk = Desk::new();
    desk.fails(&["upscale", "small.png", "-o", "/proc/out.png"], 1, &["/proc/out.png", "cannot be written"]);
}

#[test]
fn models_that_are_none() {
    let desk = Desk::new();
    desk.edsr("edsr.safetensors");
    let good = std::fs::read(desk.at("edsr.safetensors")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(desk.at(name), bytes).unwrap();
    write("empty.pth", b"");
    write("words.pth", b"these are words");
    write("cut.safetensors", &good[..good.len() - 100]);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 0x10;
    write("flipped.safetensors", &flipped);
    // A pickle that would run a command: torch's magic number, version and system information, then the call.
    let header = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.";
    write("evil.pth", &[&header[..], b"cos\nsystem\n(S'touch owned'\ntR."].concat());
    let foreign = pdn_testing::root().join("tests/reference/pickles/plain_zip.pth");
    std::fs::copy(foreign, desk.at("foreign.pth")).unwrap();
    for (model, words) in [
        ("none.pth", &["no such file"][..]),
        (".", &["is a folder"]),
        ("empty.pth", &["is empty"]),
        ("words.pth", &["expected safetensors", ".pth"]),
        ("cut.safetensors", &["damaged or cut short"]),
        ("flipped.safetensors", &["damaged"]),
        ("evil.pth", &["os.system", "nothing was executed"]),
        ("foreign.pth", &["not a known network", "edsr", "imdn"]),
    ] {
        let words = [&[model], words].concat();
        desk.fails(&["upscale", "small.png", "-o", "out.png", "--model", model], 1, &words);
        desk.fails(&["info", model], 1, &words);
    }
}

#[test]
fn wrong_use() {
    let desk = Desk::new();
    desk.edsr("edsr.safetensors");
    let eval = ["eval", "--data", ".", "--model"];
    desk.fails(&[&eval[..], &["edsr.safetensors", "--scale", "4"]].concat(), 2, &["edsr.safetensors", "x2, not x4"]);
    desk.fails(&[&eval[..], &["bicubic", "--scale", "65"]].concat(), 2, &["1 to 64"]);
    desk.fails(&[&eval[..], &["bicubic", "--scale", "2.5"]].concat(), 2, &["--scale 2.5", "whole number"]);
    desk.fails(&[&eval[..], &["bicubic", "--self-ensemble"]].concat(), 2, &["--self-ensemble", "bicubic"]);
    for (options, words) in [
        (&["--scale", "0"][..], &["above 0"][..]),
        (&["--scale", "nan"], &["above 0"]),
        (&["--width", "0"], &["--width 0", "at least one pixel"]),
        (&["--quality", "90"], &["--quality", "PNG", "lossless"]),
        (&["--color-fix", "--model", "bicubic"], &["--color-fix", "bicubic"]),
    ] {
        desk.fails(&[&["upscale", "small.png", "-o", "out.png"][..], options].concat(), 2, words);
    }
    for (out, built, feature) in [
        ("out.webp", cfg!(feature = "webp-lossy"), "feature `webp-lossy`"),
        ("out.avif", cfg!(feature = "avif"), "feature `avif`"),
    ] {
        let arguments = ["upscale", "small.png", "-o", out, "--model", "bicubic", "--quality", "80"];
        match built {
            true => assert_eq!(desk.run(&arguments).code, Some(0), "{out}"),
            false => desk.fails(&arguments, 2, &[feature]),
        }
    }
    desk.fails(&["upscale", "small.png", "-o", "out.jpg", "--depth", "16"], 2, &["--depth 16", "JPEG"]);
    desk.fails(&["upscale", "small.png", "-o", "out.png", "--width", "4000000000"], 1, &["small.png", "limit"]);
    desk.fails(
        &["upscale", "small.png", "-o", "out.jpg", "--width", "70000", "--height", "9", "--exact"],
        1,
        &["65535"],
    );
    desk.fails(
        &["upscale", "small.png", "-o", "out.png", "--model", "pdn-x9"],
        1,
        &["pdn-x9", "the bundled networks are pdn-photo-x4"],
    );
    desk.fails(&["degrade", "small.png", "-o", "out.png", "--scale", "0"], 2, &["--scale 0"]);
    for arguments in [
        &["upscale"][..],
        &["upscale", "small.png", "-o", "out.png", "--isa", "mmx"],
        &["upscale", "small.png", "-o", "out.png", "--out-dir", "out"],
        &["upscale", "small.png", "--force", "--skip-existing"],
        &["upscale", "small.png", "-o", "out.png", "--quality", "0"],
        &["upscale", "small.png", "-o", "out.png", "--megapixels", "-1"],
        &["upscale", "small.png", "-o", "out.png", "--width", "9", "--scale", "2"],
        &["upscale", "small.png", "-o", "out.png", "--depth", "12"],
        &["eval", "--data", ".", "--degradation", "fog"],
        &["enlarge"],
        &[],
    ] {
        let said = desk.run(arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}");
        assert!(said.err.contains("Usage") || said.err.contains("--help"), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn memory_is_a_limit() {
    let desk = Desk::new();
    desk.model("imdn.safetensors", "imdn", serde_json::json!({"scale": 2, "features": 64, "blocks": 6}));
    let large = Picture::from_rgb(300, 300, vec![77; 270_000]);
    pdn::write(&desk.at("large.png"), &large, &Default::default()).unwrap();
    let run = ["upscale", "large.png", "-o", "out.png", "--memory", "16", "--model"];
    desk.fails(&[&run[..], &["imdn.safetensors"]].concat(), 1, &["large.png", "16 MiB", "cannot be split"]);
    desk.edsr("edsr.safetensors");
    assert_eq!(desk.run(&[&run[..], &["edsr.safetensors"]].concat()).code, Some(0));
}

#[test]
fn a_model_whose_prompts_are_of_another_length_says_so() {
    let desk = Desk::new();
    let dcm = serde_json::json!({"dim": 24});
    let config = serde_json::json!({"scale": 2, "features": 8, "groups": 1, "blocks": 2, "modules": 1, "dcm": dcm});
    desk.model("pdn.safetensors", "pdn", config);
    let arguments = ["upscale", "small.png", "-o", "out.png", "--model", "pdn.safetensors"];
    desk.fails(&arguments, 1, &["a prompt embedding of 24 numbers", "a prompt embedding of 256 numbers"]);
    let said = desk.run(&["info", "pdn.safetensors"]);
    assert!(said.out.contains("24 numbers, read by 1 module\n"), "{}", said.out);
}

/// As in `pdn info pdn-x4 | head -1`, which stops reading early.
#[test]
fn who_stops_reading_is_no_fault() {
    let desk = Desk::new();
    for arguments in [&["info", "pdn-x4"][..], &["man"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pdn"));
        let output = command.args(arguments).env("PDN_CACHE", desk.at("cache")).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
    }
}

#[test]
fn info_is_for_people_and_programs() {
    let desk = Desk::new();
    desk.edsr("edsr.safetensors");
    let said = desk.run(&["info", "edsr.safetensors"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for word in ["edsr.safetensors", "EDSR", "x2", "runs row by row"] {
        assert!(said.out.contains(word), "{}", said.out);
    }
    let facts: serde_json::Value =
        serde_json::from_str(&desk.run(&["info", "edsr.safetensors", "--json"]).out).unwrap();
    assert_eq!((&facts["scale"], &facts["config"]["features"]), (&2.into(), &16.into()));
    assert_eq!(facts["stored"]["parameters"], 21_763);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_picture() {
    let desk = Desk::new();
    assert!(std::process::Command::new("mkfifo").arg(desk.at("pipe.png")).status().unwrap().success());
    // Opening the pipe would block until something writes to it.
    desk.fails(&["upscale", "pipe.png", "-m", "bicubic", "-o", "out.png"], 1, &["pipe.png", "not a regular file"]);
}

#[test]
fn degrading_takes_no_picture_away() {
    let desk = Desk::new();
    desk.fails(&["degrade", "small.png", "-o", "small.png"], 2, &["small.png", "is also an input"]);
    std::fs::create_dir(desk.at("set")).unwrap();
    for name in ["set/a.png", "set/a.tif"] {
        let flat = Picture::from_rgb(8, 8, vec![90; 192]);
        pdn::write(&desk.at(name), &flat, &Default::default()).unwrap();
    }
    desk.fails(&["degrade", "set", "-o", "set"], 2, &["is also an input"]);
    desk.fails(&["degrade", "set", "-o", "out"], 2, &["a.png and", "a.tif would both be written to"]);
    desk.fails(&["degrade", "nothing", "-o", "out"], 1, &["nothing"]);
    let other = ["degrade", "small.png", "--scale", "2", "-o", "set/a.png"];
    desk.fails(&other, 1, &["a.png", "already exists", "--force"]);
    assert_eq!(desk.run(&[&other[..], &["--force"]].concat()).code, Some(0));
}

#[test]
fn what_is_degraded_in_16_bits_is_written_so_or_not_at_all() {
    let desk = Desk::new();
    let degrade = |out| ["degrade", "small.png", "-o", out, "--scale", "2", "--degradation", "blur-bicubic-16"];
    for out in ["out.png", "out.tif"] {
        assert_eq!(desk.run(&degrade(out)).code, Some(0));
        let deep = pdn::read_any(&desk.at(out), &Limits::default()).unwrap();
        assert!(matches!(deep, AnyPicture::Sixteen(_)), "{out}");
    }
    desk.fails(&degrade("out.jpg"), 1, &["out.jpg", "8 bits", "blur-bicubic-16", ".png or .tif"]);
    assert!(!desk.at("out.jpg").exists());
}

#[test]
fn degraded_pictures_are_the_published_ones() {
    let Some(set) = pdn_testing::data("eval/Set5") else { return };
    let desk = Desk::new();
    let hr = set.join("HR");
    let hr = hr.to_str().unwrap();
    let said = desk.run(&["degrade", hr, "-o", "small", "--scale", "4", "--degradation", "bicubic"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let found = desk.picture("small/butterfly.png");
    let published = pdn::read(&set.join("LR_bicubic/X4/butterflyx4.png"), &Limits::default()).unwrap();
    assert_eq!(found.rgb(), published.rgb());
}

#[test]
fn a_third_party_s_weights_reach_their_published_figure() {
    let (Some(set), Some(imdn)) = (pdn_testing::data("eval/Set5"), pdn_testing::data("checkpoints/IMDN_x4.pth")) else {
        return;
    };
    let desk = Desk::new();
    let [data, model] = [&set, &imdn].map(|path: &PathBuf| path.to_str().unwrap());
    let arguments = ["eval", "--model", model, "--data", data, "--scale", "4", "--degradation", "bicubic"];
    let said = desk.run(&arguments);
    for word in ["butterfly", "shave", "Y (MATLAB)", "mean"] {
        assert!(said.out.contains(word), "{}", said.out);
    }
    let said = desk.run(&[&arguments[..], &["--against", "bicubic", "--json"]].concat());
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let psnr = found["mean"]["y_matlab"]["psnr"].as_f64().unwrap();
    // 32.211 dB according to an independent numpy implementation.
    assert!((psnr - 32.211).abs() < 0.001, "{psnr}");
    let against = &found["against"][0];
    let ahead = psnr - against["mean"]["y_matlab"]["psnr"].as_f64().unwrap();
    let difference = &against["difference"]["y_matlab"]["psnr"];
    assert!((difference["mean"].as_f64().unwrap() - ahead).abs() < 1e-9, "{against}");
    let [low, high] = [0, 1].map(|i| difference["interval"][i].as_f64().unwrap());
    assert!(2.0 < low && low < ahead && ahead < high, "{against}");
}

#[test]
fn two_pictures_are_compared() {
    let desk = Desk::new();
    let flat = |name: &str, level| {
        pdn::write(&desk.at(name), &Picture::from_rgb(20, 16, vec![level; 960]), &Default::default()).unwrap();
    };
    flat("a.png", 100);
    flat("b.png", 110);
    let said = desk.run(&["compare", "a.png", "b.png", "--shave", "2"]);
    // The pictures are ten levels apart: 20 log10(255 / 10).
    assert!(said.out.contains("RGB") && said.out.contains("28.131") && said.out.contains("2 pixels"), "{}", said.out);
    let equal: serde_json::Value =
        serde_json::from_str(&desk.run(&["compare", "a.png", "a.png", "--json"]).out).unwrap();
    assert_eq!(equal["scores"]["rgb"], serde_json::json!({"psnr": null, "ssim": 1.0}));
    let clear = Picture::from_rgb(20, 16, vec![9; 20 * 16 * 3]).with_alpha(Some(vec![100; 20 * 16]));
    pdn::write(&desk.at("clear.png"), &clear, &Default::default()).unwrap();
    assert!(desk.run(&["compare", "clear.png", "clear.png"]).err.contains("transparency is ignored"));
    assert!(!said.err.contains("transparency"), "{}", said.err);
    for shave in ["5", "9223372036854775808", "18446744073709551615"] {
        desk.fails(&["compare", "a.png", "b.png", "--shave", shave], 1, &["b.png", "leaves less than 1"]);
    }
    pdn::write(&desk.at("wide.png"), &Picture::from_rgb(21, 16, vec![9; 1008]), &Default::default()).unwrap();
    desk.fails(&["compare", "a.png", "wide.png"], 1, &["wide.png", "20x16", "21x16"]);
    let cut = desk.run(&["compare", "wide.png", "a.png"]);
    assert!(cut.out.contains("reference cropped from 21x16 to 20x16") && !said.out.contains("cropped"), "{}", cut.out);
    let cut: serde_json::Value =
        serde_json::from_str(&desk.run(&["compare", "wide.png", "a.png", "--json"]).out).unwrap();
    assert_eq!(cut["sizes"], serde_json::json!({"reference": [21, 16], "compared": [20, 16]}));
    let deep = Picture::new(20, 16, vec![25_700_u16; 960]);
    pdn::write_any(&desk.at("deep.png"), &deep.into(), &Default::default()).unwrap();
    for arguments in [["compare", "a.png", "deep.png"].as_slice(), &["degrade", "deep.png", "-o", "shallow.png"]] {
        let said = desk.run(arguments).err;
        assert!(said.contains("deep.png: read as 8 bits per sample"), "{said}");
    }
    // If both upscale a picture without error, neither is ahead.
    std::fs::create_dir(desk.at("flat")).unwrap();
    let large = Picture::from_rgb(48, 40, vec![100; 3 * 48 * 40]);
    pdn::write(&desk.at("flat/flat.png"), &large, &Default::default()).unwrap();
    let same = desk.run(&["eval", "--model", "bicubic", "--data", "flat", "--against", "bicubic"]).out;
    assert!(same.contains("+0.000 (+0.000 to +0.000)") && !same.contains("NaN"), "{same}");
}

#[test]
fn an_evaluation_names_what_failed() {
    let desk = Desk::new();
    let folder = desk.at("set");
    std::fs::create_dir(&folder).unwrap();
    desk.fails(&["eval", "--data", "set"], 1, &["set", "contains no pictures"]);
    desk.fails(&["eval", "--data", "nowhere"], 1, &["nowhere", "no such folder"]);
    desk.fails(&["eval", "--data", "small.png"], 1, &["small.png", "expected a folder"]);
    let rgb = (0..48 * 48 * 3).map(|i| (i * i % 253) as u8).collect();
    pdn::write(&folder.join("good.png"), &Picture::from_rgb(48, 48, rgb), &Default::default()).unwrap();
    std::fs::write(folder.join("bad.png"), b"no").unwrap();
    std::fs::write(folder.join("notes.txt"), b"not looked at").unwrap();
    desk.edsr("edsr.safetensors");
    let against = ["eval", "--data", "set", "--model", "bicubic", "--against", "edsr.safetensors", "--scale"];
    desk.fails(&[&against[..], &["4"]].concat(), 2, &["edsr.safetensors", "x2, not x4"]);
    // Only one picture can be read, so the mean is its difference, and the interval has no width.
    let said = desk.run(&[&against[..], &["2"]].concat());
    assert!(said.out.contains("mean of edsr.safetensors") && said.out.contains("difference, PSNR"), "{}", said.out);
    // The second model may take prompts even if the first takes none.
    let said = desk.run(&["eval", "--data", "set", "--model", "bicubic", "--against", "pdn-x4-lite"]);
    assert!(said.out.contains("mean of pdn-x4-lite"), "{}{}", said.out, said.err);
    let said = desk.run(&["eval", "--data", "set", "--model", "bicubic", "--scale", "2"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("good") && said.err.contains("bad.png"), "{}{}", said.out, said.err);
    assert!(said.err.contains("1 of 2 pictures failed"), "{}", said.err);
}

#[test]
fn any_size_and_depth() {
    let desk = Desk::new();
    desk.edsr("edsr.safetensors");
    let rgb = (0..20 * 16 * 3).map(|i| 20_000 + i * 11).collect();
    pdn::write(&desk.at("deep.png"), &Picture::<u16>::new(20, 16, rgb), &Default::default()).unwrap();
    let any = |name: &str| pdn::read_any(&desk.at(name), &Limits::default()).unwrap();
    for (output, options, (width, height), bits, words) in [
        ("a.png", &["--scale", "2.5"][..], (50, 40), 16, "by edsr.safetensors and resized in"),
        ("a.tif", &["--width", "33", "--linear-light"], (33, 26), 16, "resized"),
        ("b.tif", &["--depth", "8", "--color-fix"], (40, 32), 8, "edsr.safetensors, colours fixed in"),
        ("b.png", &["--self-ensemble"], (40, 32), 16, "edsr.safetensors, mean of eight flips and rotations in"),
        ("c.png", &["--height", "8"], (10, 8), 16, "bicubic (edsr.safetensors only upscales)"),
        ("d.png", &["--width", "9", "--height", "40", "--exact", "--model", "bicubic"], (9, 40), 16, "by bicubic in"),
        ("e.jpg", &["--megapixels", "0.002"], (50, 40), 8, "resized"),
    ] {
        let base = ["upscale", "deep.png", "-o", output, "--model", "edsr.safetensors"];
        let base = if options.contains(&"--model") { &base[..4] } else { &base[..] };
        let said = desk.run(&[base, options].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.contains(words), "{}", said.out);
        assert_eq!(said.err.contains("at most 8 bits per sample"), output == "e.jpg", "{}", said.err);
        let found = any(output);
        assert_eq!((found.width(), found.height(), found.header().depth.bits()), (width, height, bits), "{output}");
    }
}

/// A program that reads a picture with Pillow and prints its mode, its size, whether it has a profile and an XMP
/// packet, and its samples.
const PILLOW: &str = "
import sys
from PIL import Image
picture = Image.open(sys.argv[1])
print(picture.mode, *picture.size, 'icc_profile' in picture.info, 'xmp' in picture.info)
open(sys.argv[2], 'wb').write(picture.tobytes())
";

#[test]
fn pillow_reads_what_is_written() {
    let python = std::env::var("PDN_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_pillow = std::process::Command::new(&python).args(["-c", "import PIL"]).output();
    if !has_pillow.is_ok_and(|output| output.status.success()) {
        return pdn_testing::skip("pillow", &format!("{python} has no Pillow (set PDN_PYTHON to a Python that has)"));
    }
    let desk = Desk::new();
    let rgb: Vec<u8> = (0..7 * 5 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let mut colour = Picture::from_rgb(7, 5, rgb);
    colour.icc = Some([&[0, 0, 0, 135][..], &[0; 12], b"RGB ", &[0; 16], b"acsp", &[0; 92], &[5; 3]].concat());
    let mut grey = Picture::from_rgb(7, 5, (0..35).flat_map(|i| [i * 7; 3]).collect());
    grey.grey = true;
    let alpha = || Some((0..35).map(|i| i * 7).collect());
    for (mode, profile, picture) in [
        ("RGB", "True", &colour),
        ("RGBA", "True", &colour.clone().with_alpha(alpha())),
        ("L", "False", &grey),
        ("LA", "False", &grey.clone().with_alpha(alpha())),
    ] {
        pdn::write(&desk.at("in.tif"), picture, &Default::default()).unwrap();
        for output in ["out.png", "out.tif"] {
            let said = desk.run(&["upscale", "in.tif", "--force", "-o", output, "--model", "bicubic", "--scale", "3"]);
            assert_eq!(said.code, Some(0), "{}", said.err);
            let mut command = Command::new(&python);
            let read = command.current_dir(&desk.0).args(["-c", PILLOW, output, "samples"]).output().unwrap();
            let said = String::from_utf8_lossy(&read.stdout).into_owned() + &String::from_utf8_lossy(&read.stderr);
            assert_eq!(said.trim(), format!("{mode} 21 15 {profile} True"), "{output}");
            let expected = desk.picture(output);
            assert_eq!(std::fs::read(desk.at("samples")).unwrap(), expected.samples(0..15).into_owned(), "{output}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let desk = Desk::new();
    let before = desk.names();
    // Limit files to 4 blocks and ignore the signal, so that writing fails as on a full disk.
    let limited = r#"trap "" XFSZ; ulimit -f 4; exec "$0" "$@""#;
    for output in ["out.png", "out.tif", "out.webp", "out.jpg"] {
        let mut command = Command::new("sh");
        command.current_dir(&desk.0).args(["-c", limited]).arg(assert_cmd::cargo::cargo_bin("pdn"));
        command.args(["upscale", "small.png", "-o", output, "--model", "bicubic", "--scale", "12"]);
        let said = command.output().unwrap();
        let err = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{output}: {err}");
        assert!(err.contains(output) && err.contains("cannot be written") && err.lines().count() == 1, "{err}");
        assert!(!err.contains("small.png"), "the fault is not the input's: {err}");
        assert_eq!(desk.names(), before, "{output}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_behind() {
    interrupt(false);
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_leaves_nothing_behind() {
    interrupt(true);
}

#[cfg(unix)]
fn interrupt(twice: bool) {
    use std::process::{Command as Process, Stdio};
    let desk = Desk::new();
    desk.model(
        "edsr.safetensors",
        "edsr",
        serde_json::json!({"scale": 2, "features": 256, "blocks": 32, "residual_scale": 0.1}),
    );
    let large = Picture::from_rgb(256, 256, vec![77; 256 * 256 * 3]);
    pdn::write(&desk.at("large.png"), &large, &Default::default()).unwrap();
    let before = desk.names();
    let mut child = Process::new(assert_cmd::cargo::cargo_bin("pdn"))
        .current_dir(&desk.0)
        .args(["upscale", "large.png", "-o", "out.png", "--model", "edsr.safetensors", "--isa", "portable"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command has started once its temporary output exists; it would take minutes.
    while desk.names() == before {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(desk.names()[0].ends_with(".part"));
    assert!(Process::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    if twice {
        // The second signal ends the command at once, without waiting for the network. If the first has already ended
        // it, the second is lost.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let _ = Process::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(twice || String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    assert_eq!(desk.names(), before);
}

#[test]
fn help_is_worth_reading() {
    let desk = Desk::new();
    for (arguments, words) in [
        (&["--help"][..], &["upscale", "info", "eval", "degrade", "controls", "Exit codes"][..]),
        (
            &["upscale", "--help"],
            &["pdn-photo-x4", "bicubic", "--output", "Example", "Output:", "photo_x4.jpg in the same folder", "{name}"],
        ),
        (&["eval", "--help"], &["MATLAB", "blur-bicubic", "Example"]),
    ] {
        let said = desk.run(arguments);
        assert_eq!(said.code, Some(0));
        for word in words {
            assert!(said.out.contains(word), "{arguments:?} should say `{word}`: {}", said.out);
        }
    }
}

/// Returns the commands that the help lists.
fn commands(desk: &Desk) -> Vec<String> {
    let help = desk.run(&["--help"]).out;
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let lines = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names: Vec<String> = lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert!(names.len() > 10 && names.contains(&"upscale".to_owned()), "{names:?}");
    names
}

#[test]
fn every_command_is_completed_and_has_a_page() {
    let desk = Desk::new();
    let commands = commands(&desk);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = desk.run(&["completions", shell]);
        assert_eq!(said.code, Some(0), "{shell}: {}", said.err);
        for word in commands.iter().map(String::as_str).chain(["skip-existing"]) {
            assert!(said.out.contains(word), "{shell} should know {word}");
        }
        std::fs::write(desk.at(shell), said.out).unwrap();
        // The shell itself checks the script.
        let check = if shell == "fish" { "--no-execute" } else { "-n" };
        match std::process::Command::new(shell).arg(check).arg(desk.at(shell)).output() {
            _ if ["elvish", "powershell"].contains(&shell) => {}
            Ok(read) => assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr)),
            Err(_) => pdn_testing::skip(shell, &format!("there is no {shell}")),
        }
    }
    let said = desk.run(&["man", "pages"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for command in commands.iter().filter(|command| *command != "help") {
        let page = std::fs::read_to_string(desk.at("pages").join(format!("pdn-{command}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains(command.as_str()), "{command}: {page}");
    }
    let page = desk.run(&["man"]);
    assert!(page.code == Some(0) && page.out.contains(".SH NAME"), "{}{}", page.out, page.err);
    assert_eq!(page.out, std::fs::read_to_string(desk.at("pages/pdn.1")).unwrap());
    assert_eq!(desk.run(&["man", "small.png"]).code, Some(1));
    assert_eq!(desk.run(&["completions", "dos"]).code, Some(2));
}

/// Creates a desk with a small network that takes prompts of the bundled encoder; its card names the given encoder.
fn prompted(encoder: Option<&str>) -> Desk {
    let desk = Desk::new();
    let dcm = serde_json::json!({"dim": 256, "kernels": 2});
    let config = serde_json::json!({"scale": 2, "features": 8, "groups": 1, "blocks": 1, "modules": 1, "dcm": dcm});
    let network = zoo::build("pdn", &config).unwrap();
    let weights = hashed::weights(&network);
    let mut card = pdn::Card::default();
    if let Some(id) = encoder {
        card.more.insert("encoder".into(), id.into());
    }
    let model = Model { network, weights, card, source: None };
    std::fs::write(desk.at("pdn.safetensors"), model.to_bytes(pdn::StoredPrecision::F32)).unwrap();
    desk
}

#[test]
fn a_prompt_steers_and_is_printed() {
    let desk = prompted(None);
    let run = |more: &[&str], words: &str| {
        let arguments = [&["upscale", "small.png", "-m", "pdn.safetensors", "--force", "-o", "out.png"], more].concat();
        let said = desk.run(&arguments);
        assert_eq!(said.code, Some(0), "{more:?}: {}", said.err);
        assert!(said.out.contains(words), "{more:?}: {}", said.out);
        desk.picture("out.png")
    };
    let dog = run(&["--prompt", "a brown dog on the beach"], "prompt \"a brown dog on the beach\"");
    assert_ne!(dog, run(&["--prompt", "a red bus in the street"], "red bus"));
    let none = run(&[], " s\n");
    assert_ne!(none, dog);
    assert_ne!(none, run(&["--prompt-image", "small.png"], "the picture small.png of 20x16"));
    let said = desk.run(&["embed", "--text", "a brown dog on the beach", "-o", "dog.safetensors"]);
    assert!(said.out.contains("1 embeddings of 256 by pdn-clip@"), "{}{}", said.out, said.err);
    assert_eq!(dog, run(&["--prompt-embedding", "dog.safetensors"], "the embedding dog.safetensors by pdn-clip@"));
}

#[test]
fn a_prompt_that_cannot_be_used_is_said() {
    let desk = prompted(Some("other-clip@0123456789ab"));
    let with =
        |more: &[&'static str]| [&["upscale", "small.png", "-m", "pdn.safetensors", "-o", "out.png"], more].concat();
    desk.fails(&with(&["--prompt", "a dog"]), 1, &["small.png", "pdn-clip@", "other-clip@0123456789ab"]);
    let desk = prompted(None);
    desk.fails(&with(&["--prompt", " "]), 2, &["the prompt is empty"]);
    let long: &'static str = Box::leak("dog ".repeat(90).into_boxed_str());
    desk.fails(&with(&["--prompt", long]), 2, &["92 tokens", "77"]);
    desk.fails(&with(&["--prompt-image", "none.png"]), 1, &["none.png", "no such file"]);
    desk.fails(&with(&["--prompt-embedding", "pdn.safetensors"]), 1, &["pdn.safetensors", "encoder"]);
    desk.fails(&with(&["--encoder", "pdn.safetensors"]), 1, &["pdn.safetensors", "is not an encoder"]);
    let bicubic = ["upscale", "small.png", "-o", "out.png", "--model", "bicubic", "--prompt", "a dog"];
    desk.fails(&bicubic, 2, &["takes no prompt"]);
    desk.fails(&["embed", "-o", "none.safetensors"], 2, &["nothing to embed"]);
    let said = desk.run(&["embed", "--text", "a", "--text", "b", "-o", "two.safetensors"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    desk.fails(&with(&["--prompt-embedding", "two.safetensors"]), 1, &["two.safetensors", "2 embeddings"]);
}

#[test]
fn the_network_that_comes_with_it_is_steered_by_a_sentence() {
    let desk = Desk::new();
    let run = |prompt: &str| {
        let said = desk.run(&["upscale", "small.png", "--force", "-o", "out.png", "--prompt", prompt]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.contains("by pdn-photo-x4 in") && said.out.contains(&format!("\"{prompt}\"")), "{}", said.out);
        desk.picture("out.png")
    };
    assert_ne!(run("a brown dog running on the beach"), run("a tall building of glass"));
    for scale in ["2", "1.5", "3"] {
        let said = desk.run(&["upscale", "small.png", "--force", "-o", "out.png", "--scale", scale]);
        assert!(
            said.code == Some(0) && said.out.contains("by pdn-photo-x4 and resized"),
            "{scale}: {}{}",
            said.out,
            said.err
        );
    }
    let said = desk.run(&["info", "pdn-x4"]);
    assert!(said.out.contains("read by 2 modules") && said.out.contains("prompt effect"), "{}{}", said.out, said.err);
}

#[test]
fn a_benchmark_network_is_named_as_one_where_it_does_not_fit() {
    let desk = Desk::new();
    let Some(photo) = pdn_testing::data("train/bsds500/100007.jpg") else { return };
    std::fs::copy(photo, desk.at("photo.jpg")).unwrap();
    desk.run(&["degrade", "photo.jpg", "-o", "made-so.png"]);
    // JPEG blocks are detected in the pixels, so the file format does not matter.
    pdn::write(&desk.at("photo.png"), &desk.picture("photo.jpg"), &Default::default()).unwrap();
    for (arguments, advised) in [
        (&["photo.jpg"][..], false),
        (&["photo.jpg", "-m", "pdn-x4"], true),
        (&["photo.png", "-m", "pdn-x4"], true),
        (&["photo.png", "photo.jpg", "-m", "pdn-x4-lite"], true),
        (&["made-so.png", "-m", "pdn-x4"], false),
        (&["photo.png", "-m", "bicubic"], false),
    ] {
        let said = desk.run(
            &[
                &["upscale", "--force", "--out-dir", "out", "--format", "png", "--name", "{name}-{from}.{ext}"][..],
                arguments,
            ]
            .concat(),
        );
        assert_eq!(said.code, Some(0), "{}", said.err);
        let times = said.err.matches("for benchmarks: it undoes a Gaussian blur of 1.3 px").count();
        assert_eq!(times, usize::from(advised), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn a_command_that_is_left_out_says_how_to_have_it() {
    let desk = Desk::new();
    if !cfg!(feature = "train") {
        desk.fails(&["train", "recipe.toml", "--out", "run"], 2, &["--features train"]);
    }
    if !cfg!(feature = "serve") {
        desk.fails(&["serve", "--port", "0"], 2, &["--features serve"]);
    }
}

#[test]
fn controls_are_measured_on_captioned_pictures() {
    let desk = Desk::new();
    desk.fails(&["controls", "--data", ".", "--model", "pdn-x4-lite"], 1, &["captions.json"]);
    std::fs::create_dir(desk.at("images")).unwrap();
    let mut entries = Vec::new();
    for i in 0..3_usize {
        let rgb = (0..48 * 48 * 3).map(|j| (j * (i + 3) % 253) as u8).collect();
        pdn::write(&desk.at(&format!("images/{i}.png")), &Picture::from_rgb(48, 48, rgb), &Default::default()).unwrap();
        entries.push(serde_json::json!({"file": format!("{i}.png"), "captions": [format!("pattern {i}"), "lines"]}));
    }
    std::fs::write(desk.at("captions.json"), serde_json::json!(entries).to_string()).unwrap();
    desk.fails(&["controls", "--data", ".", "--model", "bicubic"], 2, &["takes no prompt"]);
    let said = desk.run(&["controls", "--data", ".", "--model", "pdn-x4-lite", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&said.out).expect(&said.err);
    assert_eq!(found["pictures"], 3);
    let psnr: Vec<f64> = (0..5).map(|i| found["conditions"][i]["psnr"].as_f64().unwrap()).collect();
    for (i, a) in psnr.iter().enumerate() {
        assert!(psnr[..i].iter().all(|b| a != b), "every condition is another prompt: {psnr:?}");
    }
    let said = desk.run(&["eval", "--data", "images", "--model", "pdn-x4-lite", "--json"]);
    let evaluated: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let none = evaluated["mean"]["y_matlab"]["psnr"].as_f64().unwrap();
    assert!((psnr[4] - none).abs() < 1e-9, "no prompt is the mirror image: {psnr:?} {none}");
    let said = desk.run(&["controls", "--data", ".", "--model", "pdn-x4-lite"]);
    for word in ["its own captions", "another picture's", "its mirror image", "10000 draws", "blur-bicubic"] {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
    let csv = |rows: &str| std::fs::write(desk.at("captions.csv"), format!("image,split,caption\n{rows}")).unwrap();
    std::fs::rename(desk.at("captions.json"), desk.at("away")).unwrap();
    csv("images/0.png,train,one\nimages/1.png,val,two\n");
    desk.fails(&["controls", "--data", ".", "--model", "pdn-x4-lite"], 1, &["1 captioned pictures", "`train`"]);
    csv("images/0.png,test,one\nimages/1.png,val, \n");
    desk.fails(
        &["controls", "--data", ".", "--model", "pdn-x4-lite"],
        1,
        &["captions.csv", "line 3", "1.png", "empty caption"],
    );
    std::fs::rename(desk.at("away"), desk.at("captions.json")).unwrap();
    std::fs::remove_file(desk.at("images/1.png")).unwrap();
    let said = desk.run(&["controls", "--data", ".", "--model", "pdn-x4-lite"]);
    assert!(said.code == Some(1) && said.err.contains("1.png") && said.err.contains("1 of 3"), "{}", said.err);
}
