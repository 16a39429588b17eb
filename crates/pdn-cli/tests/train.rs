//! `pdn train`, run end to end.
#![cfg(feature = "train")]

use assert_cmd::Command;
use std::path::Path;

/// A recipe that would train an encoder on data that is not there.
const RECIPE: &str = r#"
task = "encoder"
name = "test"
description = "A test."
license = "CC0-1.0"
flickr8k = "nowhere"
side = 16
batch = 2

[clip]
dim = 8
text = { vocabulary = 600, context = 20, blocks = { width = 8, heads = 2, layers = 1, quick_gelu = false } }
picture = { convolutions = { side = 16, stages = [[4, 1], [8, 1]] } }

[schedule]
steps = 4
rate = 1e-3
evaluate = 2
"#;

fn train(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::cargo_bin("pdn").unwrap();
    command.current_dir(folder).args(["train", "recipe.toml", "--out", "run", "--data", "data"]).args(more);
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), text)
}

/// Writes a recipe, and eight pictures with captions for it.
fn desk(folder: &Path, recipe: &str) {
    let data = folder.join("data/nowhere");
    std::fs::create_dir_all(&data).unwrap();
    let mut lines = "image,split,caption\n".to_owned();
    for i in 0..8_u8 {
        let rgb = (0..20 * 20 * 3).map(|j| (j as u8).wrapping_mul(i + 1)).collect();
        let picture = pdn::Picture::from_rgb(20, 20, rgb);
        pdn::write(&data.join(format!("{i}.png")), &picture, &pdn::WriteOptions::default()).unwrap();
        lines += &format!("{i}.png,{},picture number {i}\n", if i < 6 { "train" } else { "val" });
    }
    std::fs::write(data.join("captions.csv"), lines).unwrap();
    std::fs::write(folder.join("recipe.toml"), recipe).unwrap();
}

#[test]
fn what_is_wrong_with_a_recipe_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |recipe: &str, code: i32, words: &[&str]| {
        std::fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        let (found, said) = train(folder.path(), &[]);
        assert_eq!(found, Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "expected `{word}`: {said}");
        }
        assert!(!folder.path().join("run").exists(), "nothing is left behind");
    };
    fails(RECIPE, 1, &["captions.csv"]);
    fails(&RECIPE.replace("batch", "bacth"), 2, &["recipe.toml", "bacth"]);
    fails(&RECIPE.replace("side = 16\nbatch", "side = 8\nbatch"), 2, &["recipe.toml", "at least the tower's 16"]);
    fails(&RECIPE.replace("batch = 2", "batch = 0"), 2, &["recipe.toml", "batch 0"]);
    fails(&RECIPE.replace("encoder", "decoder"), 2, &["recipe.toml", "decoder"]);
    fails(&RECIPE.replace("rate = 1e-3", "rate = fast"), 2, &["recipe.toml"]);
}

#[test]
fn a_run_is_stopped_resumed_and_used() {
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), RECIPE);
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(0) && said.contains("R@10"), "{said}");
    assert!(pdn::Encoder::open(&folder.path().join("run/result.safetensors")).unwrap().id().starts_with("test@"));
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(2) && said.contains("--resume"), "{said}");
    std::fs::write(folder.path().join("recipe.toml"), RECIPE.replace("steps = 4", "steps = 6")).unwrap();
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains("step 6 of 6") && !said.contains("step 1 of 6"), "{said}");
}

/// The files of a run, by name.
#[cfg(target_os = "linux")]
fn files(run: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(run).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A process that does not outlive a test that fails.
#[cfg(unix)]
struct Killed(std::process::Child);

#[cfg(unix)]
impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_goes_on_from_its_checkpoint() {
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &RECIPE.replace("steps = 4", "steps = 100000"));
    let run = folder.path().join("run");
    let step = || {
        let text = std::fs::read(run.join("state.safetensors")).ok()?;
        let read = pdn_network::checkpoint::parse(&text).expect("a checkpoint is whole, whenever it is looked at");
        Some(read.metadata["step"].parse::<u64>().unwrap())
    };
    let mut before = 0;
    for pause in [0, 30, 75] {
        let child = std::process::Command::new(assert_cmd::cargo::cargo_bin("pdn"))
            .current_dir(folder.path())
            .args(["train", "recipe.toml", "--out", "run", "--data", "data", "--resume"])
            .stdout(std::process::Stdio::null())
            .spawn();
        let mut child = Killed(child.unwrap());
        let start = Instant::now();
        while step().is_none_or(|step| step <= before) {
            assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint within a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(pause));
        // SIGKILL: nothing can be tidied up.
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        before = step().unwrap();
    }
    let steps = format!("steps = {}", before + 2);
    std::fs::write(folder.path().join("recipe.toml"), RECIPE.replace("steps = 4", &steps)).unwrap();
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains(&format!("step {} of", before + 2)), "{said}");
}

/// A limit on the size of files stands for a disk that is full: both end a write with an error.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_a_run_and_spoils_nothing() {
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), RECIPE);
    let run = folder.path().join("run");
    let limited = |blocks: u32, more: &str| {
        let pdn = assert_cmd::cargo::cargo_bin("pdn");
        let command = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec '{}' train recipe.toml --out run --data data {more}",
            pdn.display()
        );
        let output = Command::new("sh").current_dir(folder.path()).args(["-c", &command]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = limited(4, "");
    assert!(code == Some(1) && said.contains("state.safetensors") && said.lines().count() == 1, "{said}");
    assert!(files(&run).is_empty(), "{:?}", files(&run));
    assert_eq!(train(folder.path(), &["--resume"]).0, Some(0));
    let (whole, state) = (files(&run), std::fs::read(run.join("state.safetensors")).unwrap());
    std::fs::write(folder.path().join("recipe.toml"), RECIPE.replace("steps = 4", "steps = 8")).unwrap();
    assert_eq!(limited(4, "--resume").0, Some(1));
    assert_eq!((files(&run), std::fs::read(run.join("state.safetensors")).unwrap()), (whole, state));
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains("step 8 of 8"), "{said}");
}
