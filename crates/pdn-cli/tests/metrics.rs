//! Runs `pdn compare` and `pdn eval` with further metrics.

use assert_cmd::Command;
use pdn::Picture;
use serde_json::{Value, json};
use tempfile::TempDir;

fn run(desk: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::cargo_bin("pdn").unwrap().current_dir(desk).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn works(desk: &TempDir, arguments: &[&str]) -> String {
    let (code, out, err) = run(desk, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {err}");
    out
}

#[track_caller]
fn fails(desk: &TempDir, arguments: &[&str], code: i32, words: &[&str]) {
    let (found, out, err) = run(desk, arguments);
    assert_eq!(found, Some(code), "{arguments:?}: {out}{err}");
    assert!(words.iter().all(|word| err.contains(word)), "{arguments:?} should say {words:?}: {err}");
}

/// A folder with two pictures in `set`, and one that is too small in `small`.
fn desk() -> TempDir {
    let desk = TempDir::new().unwrap();
    for (name, side, seed) in [("set/a.png", 204, 5), ("set/b.png", 208, 11), ("small/c.png", 64, 7)] {
        let level = |i: usize| {
            let (y, x) = (i / 3 / side, i / 3 % side);
            (x * x / 37 + y * seed + i * i * seed / 7 % 13).rem_euclid(256) as u8
        };
        let path = desk.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let picture = Picture::from_rgb(side, side, (0..side * side * 3).map(level).collect());
        pdn::write(&path, &picture, &Default::default()).unwrap();
    }
    desk
}

#[test]
fn a_comparison_has_further_metrics() {
    let desk = desk();
    let equal = ["compare", "set/a.png", "set/a.png", "--metrics", "ms-ssim"];
    let out = works(&desk, &equal);
    assert!(out.contains("ms-ssim: Wang 2003") && out.contains("more is better") && out.contains("1.0000"), "{out}");
    let found: Value = serde_json::from_str(&works(&desk, &[&equal[..], &["--json"]].concat())).unwrap();
    assert_eq!(found["metrics"], json!({"ms-ssim": 1.0}));
    assert_eq!(found["metrics_protocol"]["ms-ssim"]["range"], json!([0.0, 1.0]));
    fails(
        &desk,
        &["compare", "small/c.png", "small/c.png", "--metrics", "ms-ssim"],
        1,
        &["c.png", "161 pixels a side"],
    );
    fails(&desk, &["compare", "set/a.png", "set/a.png", "--metrics", "ssimm"], 2, &["ssimm", "ms-ssim"]);
}

#[test]
fn niqe_needs_its_file() {
    let desk = desk();
    let niqe = ["compare", "set/a.png", "set/b.png", "--metrics", "niqe"];
    fails(&desk, &niqe, 2, &["niqe_pris_params.npz", "--metric-files"]);
    let with = |folder: &'static str| [&niqe[..], &["--metric-files", folder]].concat();
    fails(&desk, &with("set"), 1, &["niqe_pris_params.npz", "cannot be read"]);
    std::fs::write(desk.path().join("niqe_pris_params.npz"), b"PK\x03\x04").unwrap();
    fails(&desk, &with("."), 1, &["niqe_pris_params.npz", "expected BasicSR's"]);
    let Some(folder) = pdn_testing::data("metrics") else { return };
    let arguments = ["compare", "set/a.png", "set/a.png", "--metrics", "niqe,niqe-authors,niqe"];
    let arguments = [&arguments[..], &["--metric-files", folder.to_str().unwrap()]].concat();
    let out = works(&desk, &arguments);
    assert!(out.contains("BasicSR's definition") && out.contains("(reference ") && !out.contains("NaN"), "{out}");
    assert_eq!(out.matches("the authors' definition").count(), 1, "{out}");
}

#[test]
fn an_evaluation_has_further_metrics() {
    let desk = desk();
    let eval = ["eval", "--model", "bicubic", "--data", "set", "--metrics", "ms-ssim", "--against", "bicubic"];
    let out = works(&desk, &eval);
    for words in ["metric       ms-ssim: Wang 2003", "difference, others", "+0.0000 (+0.0000 to +0.0000)"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let found: Value = serde_json::from_str(&works(&desk, &[&eval[..], &["--json"]].concat())).unwrap();
    let of = |picture: usize| found["pictures"][picture]["metrics"]["ms-ssim"].as_f64().unwrap();
    let mean = found["mean_metrics"]["ms-ssim"].as_f64().unwrap();
    assert!((mean - (of(0) + of(1)) / 2.0).abs() < 1e-12 && 0.0 < mean && mean < 1.0, "{found}");
    assert_eq!(found["against"][0]["difference_metrics"]["ms-ssim"]["mean"], json!(0.0));
    let small = ["eval", "--model", "bicubic", "--data", "small", "--metrics", "ms-ssim"];
    fails(&desk, &small, 1, &["c.png", "161 pixels a side"]);
}

#[test]
fn a_report_is_one_page_with_everything_in_it() {
    let desk = desk();
    let hostile = "a<script>&.png";
    if cfg!(unix) {
        std::fs::copy(desk.path().join("set/a.png"), desk.path().join("set").join(hostile)).unwrap();
    }
    let rivals = ["--against", "bicubic", "--against", "pdn-x4"];
    let eval = [&["eval", "--model", "pdn-x4-lite", "--data", "set", "--report", "out.html"][..], &rivals].concat();
    let printed = works(&desk, &[&eval[..], &["--metrics", "ms-ssim"]].concat());
    let page = std::fs::read_to_string(desk.path().join("out.html")).unwrap();
    for line in printed.lines().filter(|line| line.starts_with("mean") || line.starts_with("difference, ")) {
        for figure in line.split("  ").filter(|cell| cell.contains('.')) {
            assert!(page.contains(figure.trim()), "{figure} of {line}");
        }
    }
    let pictures = if cfg!(unix) { 3 } else { 2 };
    // The small picture, bicubic interpolation, two models and the original; one rival is bicubic interpolation.
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 5 * pictures);
    assert_eq!(page.matches("<rect").count(), 2 * pictures);
    assert!(!page.contains("<script>") && !page.contains("http"), "nothing runs, nothing is fetched");
    fails(&desk, &eval, 1, &["out.html", "--force"]);
    works(&desk, &[&eval[..], &["--force"]].concat());
    fails(&desk, &["eval", "--model", "bicubic", "--data", "set", "--force"], 2, &["--report"]);
    let alone = ["eval", "--model", "bicubic", "--data", "small", "--report", "alone.html"];
    works(&desk, &alone);
    assert!(!std::fs::read_to_string(desk.path().join("alone.html")).unwrap().contains("<svg"));
}
