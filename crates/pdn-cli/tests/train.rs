//! `pdn train`, run end to end.
#![cfg(feature = "train")]

use assert_cmd::Command;
use std::path::Path;

/// What a recipe for sentences and one for pictures share.
const BOTH: &str = r#"
batch = 2

[data]
flickr8k = "nowhere"
teacher = "TEACHER"
views = 2

[clip]
dim = 8
text = { vocabulary = 600, context = 20, blocks = { width = 8, heads = 2, layers = 1, quick_gelu = false } }
picture = { convolutions = { side = 16, stages = [[4, 1], [8, 1]] } }

[schedule]
steps = 4
rate = 1e-3
evaluate = 2
"#;

/// A recipe for sentences, whose data are to be put where it looks; `None` where the teacher is absent.
fn recipe() -> Option<String> {
    let teacher = pdn_testing::data("metrics/squeezenet1.1_fp16")?.canonicalize().unwrap();
    Some(format!("task = \"sentences\"\ndropped = 0.1\n{BOTH}").replace("TEACHER", teacher.to_str().unwrap()))
}

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
    let Some(recipe) = recipe() else { return };
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
    fails(&recipe, 1, &["captions.csv"]);
    fails(&recipe.replace("batch", "bacth"), 2, &["recipe.toml", "bacth"]);
    fails(&recipe.replace("batch = 2", "batch = 0"), 2, &["recipe.toml", "batch 0"]);
    fails(&recipe.replace("dropped = 0.1", "dropped = 1.0"), 2, &["recipe.toml", "dropped 1"]);
    fails(&recipe.replace("views = 2", "views = 0"), 2, &["recipe.toml", "views 0"]);
    fails(&recipe.replace("context = 20", "context = 0"), 2, &["recipe.toml", "context 0"]);
    fails(&recipe.replace("side = 16", "side = 0"), 2, &["recipe.toml", "side 0"]);
    fails(&recipe.replace("sentences", "phrases"), 2, &["recipe.toml", "phrases"]);
    fails(&recipe.replace("rate = 1e-3", "rate = fast"), 2, &["recipe.toml"]);
    fails(&recipe.replace("metrics/squeezenet1.1_fp16", "metrics"), 1, &["squeezenet1.1.xml"]);
}

#[test]
fn an_encoder_is_made_of_sentences_and_pictures() {
    let Some(sentences) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &sentences);
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(0) && said.contains("R@10"), "{said}");
    std::fs::rename(folder.path().join("run"), folder.path().join("sentences")).unwrap();
    let about = r#"name = "test"
description = "A test."
license = "CC0-1.0"
sentences = "sentences/result.safetensors""#;
    let pictures = sentences.replace("task = \"sentences\"\ndropped = 0.1", &format!("task = \"pictures\"\n{about}"));
    std::fs::write(folder.path().join("recipe.toml"), pictures.replace("dim = 8", "dim = 4")).unwrap();
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(1) && said.contains("teacher.weight"), "{said}");
    std::fs::write(folder.path().join("recipe.toml"), &pictures).unwrap();
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(0) && said.contains("R@10"), "{said}");
    let encoder = pdn::Encoder::open(&folder.path().join("run/result.safetensors")).unwrap();
    assert!(encoder.id().starts_with("test@"));
    assert!(
        !serde_json::to_string(encoder.card()).unwrap().contains("sentences/result"),
        "paths are nobody's business"
    );
    // Sentences are what they were: rounded to half precision, no more.
    let read = |path: &str| pdn_network::checkpoint::read(&folder.path().join(path)).unwrap().tensors;
    let (before, after) = (read("sentences/result.safetensors"), read("run/result.safetensors"));
    let name = "token_embedding.weight";
    assert!(before[name].data().iter().zip(after[name].data()).all(|(a, b)| (a - b).abs() <= a.abs() / 1024.0 + 1e-6));
}

#[test]
fn a_run_is_stopped_resumed_and_used() {
    let Some(recipe) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &recipe);
    assert_eq!(train(folder.path(), &[]).0, Some(0));
    let (code, said) = train(folder.path(), &[]);
    assert!(code == Some(2) && said.contains("--resume"), "{said}");
    std::fs::write(folder.path().join("recipe.toml"), recipe.replace("steps = 4", "steps = 6")).unwrap();
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

/// Of those all but the logs.
fn weights(run: &Path) -> Vec<String> {
    files(run).into_iter().filter(|name| name.ends_with(".safetensors")).collect()
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
    let Some(recipe) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &recipe.replace("steps = 4", "steps = 100000"));
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
    std::fs::write(folder.path().join("recipe.toml"), recipe.replace("steps = 4", &steps)).unwrap();
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains(&format!("step {} of", before + 2)), "{said}");
}

/// A limit on the size of files stands for a disk that is full: both end a write with an error.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_a_run_and_spoils_nothing() {
    let Some(recipe) = recipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    desk(folder.path(), &recipe);
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
    assert!(weights(&run).is_empty(), "{:?}", weights(&run));
    assert!(!files(&run).iter().any(|name| name.ends_with(".part")), "{:?}", files(&run));
    assert_eq!(train(folder.path(), &["--resume"]).0, Some(0));
    let (whole, state) = (weights(&run), std::fs::read(run.join("state.safetensors")).unwrap());
    std::fs::write(folder.path().join("recipe.toml"), recipe.replace("steps = 4", "steps = 8")).unwrap();
    assert_eq!(limited(4, "--resume").0, Some(1));
    assert_eq!((weights(&run), std::fs::read(run.join("state.safetensors")).unwrap()), (whole, state));
    let (code, said) = train(folder.path(), &["--resume"]);
    assert!(code == Some(0) && said.contains("step 8 of 8"), "{said}");
}
